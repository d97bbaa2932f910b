//! A plain model of the rules: strings, numbers and linear searches.
//!
//! Written from the rules and not from the code. It answers each command with
//! the name of the refusal, or changes itself. Keys are single bytes as numbers:
//! 0 is min and 256 is max.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Answer = Result<(), &'static str>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberModel {
    pub(crate) incarnation: u64,
    pub(crate) witness: bool,
    pub(crate) voting: bool,
    pub(crate) draining: bool,
    pub(crate) joined: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeModel {
    pub(crate) id: u64,
    pub(crate) lower: u32,
    pub(crate) upper: u32,
    pub(crate) owner: String,
    pub(crate) replicas: BTreeSet<String>,
    pub(crate) archives: BTreeSet<String>,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    /// Target and phase: 1 begun, 2 copying, 3 catching up.
    pub(crate) moving: Option<(String, u32)>,
}

/// What a transfer of write authority is backed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backing {
    Nothing,
    NoGate,
    OtherCandidate,
    OtherGate,
    Short,
    /// Covers the watermark, but not what passed the gate after it.
    ShortOfGate,
    Whole,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) members: BTreeMap<String, MemberModel>,
    pub(crate) next_incarnation: u64,
    pub(crate) ranges: Vec<RangeModel>,
    pub(crate) retired: BTreeSet<u64>,
    pub(crate) holder: Option<(String, u64)>,
}

impl Model {
    fn may_hold(&self, name: &str) -> Answer {
        match self.members.get(name) {
            None => Err("NotAMember"),
            Some(m) if m.witness || m.draining || !m.joined => Err("Ineligible"),
            Some(_) => Ok(()),
        }
    }

    fn at(&self, id: u64) -> Result<usize, &'static str> {
        self.ranges.iter().position(|r| r.id == id).ok_or("UnknownRange")
    }

    fn fenced(&self, id: u64, epoch: u64, version: u64) -> Result<usize, &'static str> {
        let at = self.at(id)?;
        if self.ranges[at].epoch != epoch {
            return Err("StaleEpoch");
        }
        if self.ranges[at].version != version {
            return Err("StaleVersion");
        }
        Ok(at)
    }

    fn backed(backing: Backing, alive: bool) -> Answer {
        match backing {
            Backing::Nothing => Err("MissingEvidence"),
            Backing::NoGate if alive => Err("MissingEvidence"),
            Backing::OtherCandidate | Backing::OtherGate => Err("OtherEvidence"),
            Backing::Short | Backing::ShortOfGate => Err("NotCovered"),
            Backing::NoGate | Backing::Whole => Ok(()),
        }
    }

    // Members.

    pub(crate) fn admit(&mut self, name: &str, witness: bool) -> Answer {
        if let Some(m) = self.members.get(name) {
            return if m.witness == witness { Ok(()) } else { Err("KindMismatch") };
        }
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        let member = MemberModel { incarnation, witness, voting: false, draining: false, joined: false };
        self.members.insert(name.to_owned(), member);
        Ok(())
    }

    fn living(&mut self, name: &str, incarnation: u64) -> Result<&mut MemberModel, &'static str> {
        let member = self.members.get_mut(name).ok_or("NotAMember")?;
        if member.incarnation == incarnation { Ok(member) } else { Err("OtherIncarnation") }
    }

    pub(crate) fn joined(&mut self, name: &str, incarnation: u64, good_token: bool, witness: bool) -> Answer {
        let member = self.living(name, incarnation)?;
        if member.joined {
            return Err("TokenSpent");
        }
        if !good_token {
            return Err("WrongToken");
        }
        if member.witness != witness {
            return Err("KindMismatch");
        }
        member.joined = true;
        Ok(())
    }

    pub(crate) fn set_voting(&mut self, name: &str, incarnation: u64) -> Answer {
        let member = self.living(name, incarnation)?;
        if !member.joined {
            return Err("NotJoined");
        }
        if member.draining {
            return Err("Draining");
        }
        member.voting = true;
        Ok(())
    }

    pub(crate) fn set_draining(&mut self, name: &str, incarnation: u64, draining: bool) -> Answer {
        self.living(name, incarnation)?.draining = draining;
        Ok(())
    }

    fn spare(&self, name: &str, reachable: &BTreeSet<u64>) -> Answer {
        if !self.members[name].voting {
            return Ok(());
        }
        let rest: Vec<_> = self.members.iter().filter(|(n, m)| *n != name && m.voting).map(|(_, m)| m).collect();
        if rest.iter().all(|m| m.witness) {
            return Err("LastVoter");
        }
        let reached = rest.iter().filter(|m| reachable.contains(&m.incarnation)).count();
        if reached * 2 > rest.len() { Ok(()) } else { Err("WouldLoseQuorum") }
    }

    pub(crate) fn demote(&mut self, name: &str, incarnation: u64, reachable: &BTreeSet<u64>) -> Answer {
        self.living(name, incarnation)?;
        self.spare(name, reachable)?;
        self.living(name, incarnation)?.voting = false;
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str, incarnation: u64, reachable: &BTreeSet<u64>) -> Answer {
        if !self.living(name, incarnation)?.draining {
            return Err("NotDraining");
        }
        if self.ranges.iter().any(|r| r.owner == name) {
            return Err("StillOwns");
        }
        if self.ranges.iter().any(|r| r.replicas.contains(name) || r.archives.contains(name)) {
            return Err("StillHolds");
        }
        if self.holder.as_ref().is_some_and(|(holder, _)| holder == name) {
            return Err("HoldsAuthority");
        }
        self.spare(name, reachable)?;
        self.members.remove(name);
        Ok(())
    }

    // Authority.

    pub(crate) fn assign(&mut self, name: &str) -> Answer {
        if self.holder.is_some() {
            return Err("AuthorityExists");
        }
        self.may_hold(name)?;
        self.holder = Some((name.to_owned(), 1));
        Ok(())
    }

    pub(crate) fn reassign(&mut self, name: &str, stamp: u64) -> Answer {
        let held = self.holder.as_ref().ok_or("UnknownAuthority")?.1;
        if held != stamp {
            return Err("StaleAuthority");
        }
        self.may_hold(name)?;
        self.holder = Some((name.to_owned(), held + 1));
        Ok(())
    }

    // Ranges.

    fn unused(&self, id: u64) -> Answer {
        if self.at(id).is_ok() {
            Err("RangeExists")
        } else if self.retired.contains(&id) {
            Err("RetiredId")
        } else {
            Ok(())
        }
    }

    pub(crate) fn create(
        &mut self,
        id: u64,
        (lower, upper): (u32, u32),
        owner: &str,
        replicas: &[String],
        archives: &[String],
    ) -> Answer {
        self.unused(id)?;
        if self.ranges.iter().any(|r| r.lower < upper && lower < r.upper) {
            return Err("Overlap");
        }
        self.may_hold(owner)?;
        let (replicas, archives): (BTreeSet<_>, BTreeSet<_>) =
            (replicas.iter().cloned().collect(), archives.iter().cloned().collect());
        for replica in &replicas {
            if replica == owner {
                return Err("RoleTaken");
            }
            self.may_hold(replica)?;
        }
        for archive in &archives {
            if archive == owner || replicas.contains(archive) {
                return Err("RoleTaken");
            }
            self.may_hold(archive)?;
        }
        let owner = owner.to_owned();
        self.ranges.push(RangeModel {
            id,
            lower,
            upper,
            owner,
            replicas,
            archives,
            epoch: 1,
            version: 1,
            moving: None,
        });
        Ok(())
    }

    pub(crate) fn transfer(
        &mut self,
        id: u64,
        from: &str,
        (epoch, version): (u64, u64),
        to: &str,
        backing: Backing,
        alive: bool,
    ) -> Answer {
        let at = self.at(id)?;
        if self.ranges[at].owner != from {
            return Err("OwnerMismatch");
        }
        self.fenced(id, epoch, version)?;
        let range = &self.ranges[at];
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
        Self::backed(backing, alive)?;
        let range = &mut self.ranges[at];
        range.epoch += 1;
        range.version += 1;
        range.replicas.remove(to);
        range.replicas.insert(from.to_owned());
        range.owner = to.to_owned();
        if let Some((target, _)) = range.moving.take() {
            range.replicas.remove(&target);
        }
        Ok(())
    }

    pub(crate) fn begin_move(&mut self, id: u64, (epoch, version): (u64, u64), target: &str) -> Answer {
        let at = self.fenced(id, epoch, version)?;
        if self.ranges[at].moving.is_some() {
            return Err("MoveInFlight");
        }
        if self.ranges[at].owner == target {
            return Err("AlreadyOwner");
        }
        self.add(at, target, false)?;
        self.ranges[at].moving = Some((target.to_owned(), 1));
        Ok(())
    }

    pub(crate) fn advance_move(&mut self, id: u64, (epoch, version): (u64, u64), phase: u32) -> Answer {
        let at = self.fenced(id, epoch, version)?;
        let range = &mut self.ranges[at];
        let (_, now) = range.moving.as_mut().ok_or("NotMoving")?;
        if phase != *now + 1 {
            return Err("WrongPhase");
        }
        *now = phase;
        range.version += 1;
        Ok(())
    }

    pub(crate) fn complete_move(&mut self, id: u64, (epoch, version): (u64, u64), backing: Backing) -> Answer {
        let at = self.fenced(id, epoch, version)?;
        let (target, phase) = self.ranges[at].moving.clone().ok_or("NotMoving")?;
        if phase != 3 {
            return Err("WrongPhase");
        }
        self.may_hold(&target)?;
        Self::backed(backing, true)?;
        self.end_move(at, true);
        Ok(())
    }

    pub(crate) fn resolve_move(&mut self, id: u64, (epoch, version): (u64, u64), backing: Backing) -> Answer {
        let at = self.fenced(id, epoch, version)?;
        let (target, _) = self.ranges[at].moving.clone().ok_or("NotMoving")?;
        match Self::backed(backing, false) {
            Err("OtherEvidence") => return Err("OtherEvidence"),
            backed => self.end_move(at, backed.is_ok() && self.may_hold(&target).is_ok()),
        }
        Ok(())
    }

    pub(crate) fn abort_move(&mut self, id: u64, (epoch, version): (u64, u64)) -> Answer {
        let at = self.fenced(id, epoch, version)?;
        if self.ranges[at].moving.is_none() {
            return Err("NotMoving");
        }
        self.end_move(at, false);
        Ok(())
    }

    fn end_move(&mut self, at: usize, cut_over: bool) {
        let range = &mut self.ranges[at];
        let Some((target, _)) = range.moving.take() else { return };
        range.replicas.remove(&target);
        range.version += 1;
        if cut_over {
            range.owner = target;
            range.epoch += 1;
        }
    }

    pub(crate) fn split(&mut self, id: u64, (epoch, version): (u64, u64), cut: u32, new_id: u64) -> Answer {
        let at = self.fenced(id, epoch, version)?;
        if self.ranges[at].moving.is_some() {
            return Err("MoveInFlight");
        }
        if cut <= self.ranges[at].lower || cut >= self.ranges[at].upper {
            return Err("CutOutside");
        }
        self.unused(new_id)?;
        let mut child = self.ranges[at].clone();
        child.id = new_id;
        child.lower = cut;
        child.version = 1;
        self.ranges[at].upper = cut;
        self.ranges[at].version += 1;
        self.ranges.push(child);
        Ok(())
    }

    pub(crate) fn merge(&mut self, id: u64, fence: (u64, u64), other: u64, other_fence: (u64, u64)) -> Answer {
        let one = self.fenced(id, fence.0, fence.1)?;
        let two = self.fenced(other, other_fence.0, other_fence.1)?;
        let (a, b) = (self.ranges[one].clone(), self.ranges[two].clone());
        if a.moving.is_some() || b.moving.is_some() {
            return Err("MoveInFlight");
        }
        if a.upper != b.lower && b.upper != a.lower {
            return Err("NotAdjacent");
        }
        if a.owner != b.owner {
            return Err("OwnersDiffer");
        }
        if (&a.replicas, &a.archives) != (&b.replicas, &b.archives) {
            return Err("CopiesDiffer");
        }
        let survivor = &mut self.ranges[one];
        survivor.lower = a.lower.min(b.lower);
        survivor.upper = a.upper.max(b.upper);
        survivor.epoch = a.epoch.max(b.epoch) + 1;
        survivor.version += 1;
        self.ranges.remove(two);
        self.retired.insert(other);
        Ok(())
    }

    fn add(&mut self, at: usize, name: &str, archive: bool) -> Answer {
        let range = &self.ranges[at];
        if range.owner == name || range.replicas.contains(name) || range.archives.contains(name) {
            return Err("RoleTaken");
        }
        self.may_hold(name)?;
        let range = &mut self.ranges[at];
        let set = if archive { &mut range.archives } else { &mut range.replicas };
        set.insert(name.to_owned());
        range.version += 1;
        Ok(())
    }

    pub(crate) fn add_copy(&mut self, id: u64, (epoch, version): (u64, u64), name: &str, archive: bool) -> Answer {
        let at = self.fenced(id, epoch, version)?;
        self.add(at, name, archive)
    }

    pub(crate) fn drop_copy(&mut self, id: u64, (epoch, version): (u64, u64), name: &str, archive: bool) -> Answer {
        let at = self.fenced(id, epoch, version)?;
        let range = &mut self.ranges[at];
        if !archive && range.replicas.contains(name) && range.moving.as_ref().is_some_and(|(target, _)| target == name)
        {
            return Err("MoveInFlight");
        }
        let set = if archive { &mut range.archives } else { &mut range.replicas };
        if !set.remove(name) {
            return Err("NotInRole");
        }
        range.version += 1;
        Ok(())
    }
}
