//! The rules by which write authority moves.

use super::ranges::Name;
use super::{Allowed, Answer, Backing, By, Model, Presence, Shown, Stamp};

fn backed(backing: Backing, alive: bool) -> Allowed {
    match backing {
        Backing::Nothing => Err("MissingEvidence"),
        Backing::NoGate if alive => Err("MissingEvidence"),
        Backing::OtherCandidate | Backing::OtherGate | Backing::GateOfAnother => Err("OtherEvidence"),
        Backing::Short | Backing::ShortOfGate => Err("NotCovered"),
        Backing::NoGate | Backing::Whole => Ok(()),
    }
}

impl Model {
    /// Handoff, and promotion if the owner is not alive.
    pub(crate) fn transfer(
        &mut self,
        name: Name<'_>,
        from: &str,
        stamp: Stamp,
        to: &str,
        backing: Backing,
        alive: bool,
    ) -> Answer {
        if self.found(name)?.owner != from {
            return Err("OwnerMismatch");
        }
        let range = self.fenced(name, stamp)?;
        if range.owner == to {
            return Err("AlreadyOwner");
        }
        if range.archives.contains(to) {
            return Err("NeedsRestore");
        }
        if !range.replicas.contains(to) {
            return Err("NotInRole");
        }
        self.may_hold(to)?;
        backed(backing, alive)?;
        // Who is expelled takes no role any more.
        let stays = self.members[from].presence != Presence::Expelled;
        let range = self.found(name)?;
        range.epoch += 1;
        range.version += 1;
        if let Some((target, _)) = range.moving.take() {
            range.replicas.remove(&target);
        }
        range.replicas.remove(to);
        if stays {
            range.replicas.insert(from.to_owned());
        }
        range.owner = to.to_owned();
        Ok("RangeAt")
    }

    pub(crate) fn begin_move(&mut self, name: Name<'_>, stamp: Stamp, target: &str) -> Answer {
        let range = self.fenced(name, stamp)?;
        if range.moving.is_some() {
            return Err("MoveInFlight");
        }
        if range.owner == target {
            return Err("AlreadyOwner");
        }
        self.add(name, target, false)?;
        self.found(name)?.moving = Some((target.to_owned(), 1));
        Ok("RangeAt")
    }

    pub(crate) fn advance_move(&mut self, name: Name<'_>, stamp: Stamp, phase: u32) -> Answer {
        let range = self.fenced(name, stamp)?;
        let (_, now) = range.moving.as_mut().ok_or("NotMoving")?;
        if phase != *now + 1 {
            return Err("WrongPhase");
        }
        *now = phase;
        range.version += 1;
        Ok("RangeAt")
    }

    pub(crate) fn complete_move(&mut self, name: Name<'_>, stamp: Stamp, backing: Backing) -> Answer {
        let (target, phase) = self.fenced(name, stamp)?.moving.clone().ok_or("NotMoving")?;
        if phase != 3 {
            return Err("WrongPhase");
        }
        self.may_hold(&target)?;
        backed(backing, true)?;
        self.end_move(name, true)
    }

    pub(crate) fn resolve_move(&mut self, name: Name<'_>, stamp: Stamp, backing: Backing) -> Answer {
        let (target, _) = self.fenced(name, stamp)?.moving.clone().ok_or("NotMoving")?;
        match backed(backing, false) {
            Err("OtherEvidence") => Err("OtherEvidence"),
            Ok(()) if self.may_hold(&target).is_ok() => self.end_move(name, true),
            _ => self.end_move(name, false).map(|_| "SourceKept"),
        }
    }

    pub(crate) fn abort_move(&mut self, name: Name<'_>, stamp: Stamp) -> Answer {
        if self.fenced(name, stamp)?.moving.is_none() {
            return Err("NotMoving");
        }
        self.end_move(name, false)
    }

    fn end_move(&mut self, name: Name<'_>, cut_over: bool) -> Answer {
        let range = self.found(name)?;
        let (target, _) = range.moving.take().ok_or("NotMoving")?;
        range.replicas.remove(&target);
        range.version += 1;
        if cut_over {
            range.owner = target;
            range.epoch += 1;
        }
        Ok("RangeAt")
    }

    // Past evidence.

    pub(crate) fn force(&mut self, by: &By, name: Name<'_>, to: &str, reason: &str) -> Answer {
        self.signed(by, reason)?;
        self.found(name)?;
        self.take_over(name, to)?;
        Ok("RangeAt")
    }

    pub(crate) fn restore_archive(
        &mut self,
        by: &By,
        name: Name<'_>,
        stamp: Stamp,
        archive: &str,
        shown: Shown,
        forced: Option<&str>,
    ) -> Answer {
        if forced.is_some() {
            self.may_force(by)?;
        }
        if !self.fenced(name, stamp)?.archives.contains(archive) {
            return Err("NotInRole");
        }
        if !shown.checksum {
            return Err("ChecksumDiffers");
        }
        if !shown.bounds {
            return Err("BoundsDiffer");
        }
        match forced {
            Some(reason) => self.signed(by, reason)?,
            None if !shown.whole => return Err("Gap"),
            None => {}
        }
        self.take_over(name, archive)?;
        Ok(if shown.whole { "RangeAt" } else { "RestoredWithGap" })
    }

    /// Whoever it was before, `to` owns the range; who owned it follows, if it may.
    fn take_over(&mut self, name: Name<'_>, to: &str) -> Allowed {
        self.may_hold(to)?;
        let was = self.found(name)?.owner.clone();
        let stays = was != to && self.may_hold(&was).is_ok();
        let range = self.found(name)?;
        range.epoch += 1;
        range.version += 1;
        if let Some((target, _)) = range.moving.take() {
            range.replicas.remove(&target);
        }
        range.replicas.remove(to);
        range.archives.remove(to);
        if stays {
            range.replicas.insert(was);
        }
        range.owner = to.to_owned();
        Ok(())
    }
}
