//! What members do by themselves, and when they are called.

use super::{Inner, Site};
use cp_catalog::*;
use cp_seam::MemberId;
use cp_supervisor::executor::{CopyOrder, Fault};

/// What a member knows of a range.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) standing: RangeStanding,
    /// Whether it has a role there.
    pub(crate) role: bool,
}

impl Known {
    fn is_below(&self, standing: &RangeStanding) -> bool {
        (self.standing.epoch, self.standing.version) < (standing.epoch, standing.version)
    }

    fn is_above(&self, standing: &RangeStanding) -> bool {
        (self.standing.epoch, self.standing.version) > (standing.epoch, standing.version)
    }
}

impl Site {
    /// The member follows to where the range stands: its store is divided where the range was
    /// split, before it forgets that it was one.
    fn learn(&mut self, key: &RangeKey, standing: &RangeStanding, role: bool, splits: &[super::Cut]) {
        let known = self.view.get(key);
        if known.is_some_and(|known| !known.is_below(standing)) {
            return;
        }
        let from = known.map(|known| known.standing.version);
        let passed = |version: Version| from.is_none_or(|from| from < version) && version <= standing.version;
        for (_, upper, _) in splits.iter().filter(|(lower, _, version)| lower == key && passed(*version)) {
            if let Some(at) = self.copies.get(key).copied() {
                self.copies.entry(upper.clone()).or_insert(at);
            }
        }
        self.view.insert(key.clone(), Known { standing: standing.clone(), role });
    }
}

impl Inner {
    /// Members hear of the state: some of them, or all. A new owner always does.
    pub(super) fn follow(&mut self, all: bool) {
        let ranges = self.all();
        let turn = self.ops.len();
        for (number, (member, site)) in self.sites.iter_mut().enumerate().filter(|(_, (_, site))| !site.deaf) {
            for (key, range) in &ranges {
                if all || (turn + number).is_multiple_of(3) || range.owner == *member {
                    site.learn(key, &range.standing(), range.role(member).is_some(), &self.splits);
                }
            }
        }
    }

    /// Who admits writes to a range.
    pub(super) fn writers(&self, key: &RangeKey) -> Vec<MemberId> {
        let open = |(member, site): &(&MemberId, &Site)| {
            let Some(known) = site.view.get(key).filter(|known| known.standing.owner == **member) else {
                return false;
            };
            let closed = site.gates.get(key).is_some_and(|gate| gate.epoch >= known.standing.epoch);
            !site.dead && !site.fenced && !closed
        };
        self.sites.iter().filter(open).map(|(member, _)| member.clone()).collect()
    }

    /// Members follow, users write, replicas lag; then what must never be is looked for.
    pub(super) fn tick(&mut self) {
        self.follow(false);
        for (key, range) in self.all() {
            let writers = self.writers(&key);
            if writers.len() > 1 {
                self.wrong.push(format!("{writers:?} have open gates for {key}"));
            }
            for writer in &writers {
                let epoch = self.sites[writer].view[&key].standing.epoch.0;
                let watermark = self.watermarks.entry(key.clone()).or_default();
                let copy = self.sites.get_mut(writer).unwrap().copies.entry(key.clone()).or_default();
                if !copy.covers(*watermark) {
                    self.wrong.push(format!("{writer} writes {key} at {copy}, without all up to {watermark}"));
                }
                *copy = DataPosition { term: epoch, lsn: copy.lsn + 1 };
                *watermark = *copy;
            }
            let last = self.sites[&range.owner].copies.get(&key).copied();
            let hot = [&range.owner].into_iter().chain(&range.replicas);
            let mut whole = 0;
            for member in hot {
                let copy = self.sites.get_mut(member).unwrap().copies.get_mut(&key);
                whole += usize::from(copy.is_some());
                let follows = self.ops.len().is_multiple_of(2) && !self.stuck && !self.idle;
                if let (Some(copy), Some(last), true) = (copy, last, follows) {
                    *copy = last.max(*copy);
                }
            }
            let wanted = self.wanted.get(&key).copied().unwrap_or_default();
            if whole < wanted {
                self.wrong.push(format!("{key} has {whole} whole copies, and had {wanted}"));
            }
        }
    }

    /// Who was enlisted makes its copy by itself, in its time.
    pub(super) fn replicate(&mut self) {
        for (key, range) in self.all() {
            let last = self.sites[&range.owner].copies[&key];
            for member in range.replicas.iter().chain(&range.archives) {
                self.sites.get_mut(member).unwrap().copies.entry(key.clone()).or_insert(last);
            }
        }
    }

    pub(crate) fn close(&mut self, key: &RangeKey, standing: &RangeStanding) -> Result<ClosedGate, Fault> {
        let now = self.range(key).ok_or("no such range")?;
        let (owner, epoch) = (&standing.owner, standing.epoch);
        let site = self.sites.get_mut(owner).ok_or("no such member")?;
        if site.dead {
            return Err(format!("{owner} does not answer").into());
        }
        if now.owner != *owner || now.epoch != epoch {
            return Err(format!("{owner} is not the owner under {epoch}").into());
        }
        site.learn(key, standing, true, &self.splits);
        if let Some(gate) = site.gates.get(key).filter(|gate| gate.epoch == epoch) {
            return Ok(gate.clone());
        }
        let last = site.copies.get(key).copied().ok_or("it has no copy")?;
        let gate = ClosedGate { range: key.clone(), epoch, last };
        site.gates.insert(key.clone(), gate.clone());
        Ok(gate)
    }

    pub(crate) fn copy(&mut self, order: &CopyOrder) -> Result<DataPosition, Fault> {
        self.orders.push(order.clone());
        let now = self.range(&order.range).ok_or("no such range")?;
        if [&now.owner, &order.member].iter().any(|member| self.sites[*member].dead) {
            return Err(format!("{} or {} does not answer", now.owner, order.member).into());
        }
        if self.cut_off.contains(&order.member) {
            return Err(format!("{} does not answer", order.member).into());
        }
        let source = self.sites[&now.owner].copies.get(&order.range).copied().ok_or("the owner has no copy")?;
        let site = self.sites.get_mut(&order.member).unwrap();
        site.learn(&order.range, &order.standing, true, &self.splits);
        let copy = site.copies.entry(order.range.clone()).or_default();
        if !self.stuck {
            *copy = source.max(*copy);
        }
        Ok(*copy)
    }

    pub(super) fn delete(&mut self, key: &RangeKey, member: &MemberId, standing: &RangeStanding) -> Result<(), Fault> {
        let site = self.sites.get_mut(member).ok_or("no such member")?;
        if site.view.get(key).is_some_and(|known| known.is_above(standing)) {
            return Err(format!("{member} knows that {key} has gone on").into());
        }
        site.learn(key, standing, false, &self.splits);
        site.copies.remove(key);
        if self.range(key).is_some_and(|now| now.role(member).is_some()) {
            self.wrong.push(format!("the copy of {key} at {member} is deleted, and has a role"));
        }
        Ok(())
    }
}
