//! The rules of collections, authorities, and the shape and copies of ranges.

use super::{Allowed, Answer, CollectionModel, Model, RangeModel, Stamp};
use std::collections::BTreeSet;

/// A range by its collection and number.
pub(crate) type Name<'a> = (&'a str, u64);

/// A range to be made.
#[derive(Debug, Clone)]
pub(crate) struct New<'a> {
    pub(crate) range: Name<'a>,
    pub(crate) hash: bool,
    /// Whether its ends mean something in a hashed collection.
    pub(crate) slots: bool,
    pub(crate) ends: (u32, u32),
    pub(crate) owner: &'a str,
    pub(crate) replicas: BTreeSet<String>,
    pub(crate) archives: BTreeSet<String>,
}

impl CollectionModel {
    pub(crate) fn at(&self, id: u64) -> Result<usize, &'static str> {
        self.ranges.iter().position(|r| r.id == id).ok_or("UnknownRange")
    }

    fn unused(&self, id: u64) -> Allowed {
        if self.at(id).is_ok() {
            Err("RangeExists")
        } else if self.retired.contains(&id) {
            Err("RetiredId")
        } else {
            Ok(())
        }
    }
}

impl RangeModel {
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.owner == name || self.replicas.contains(name) || self.archives.contains(name)
    }

    fn matches(&self, (epoch, version): Stamp) -> Allowed {
        if self.epoch != epoch {
            return Err("StaleEpoch");
        }
        if self.version == version { Ok(()) } else { Err("StaleVersion") }
    }
}

impl Model {
    pub(crate) fn found(&mut self, (collection, id): Name<'_>) -> Result<&mut RangeModel, &'static str> {
        let collection = self.collections.get_mut(collection).ok_or("UnknownRange")?;
        let at = collection.at(id)?;
        Ok(&mut collection.ranges[at])
    }

    pub(crate) fn fenced(&mut self, name: Name<'_>, stamp: Stamp) -> Result<&mut RangeModel, &'static str> {
        let range = self.found(name)?;
        range.matches(stamp)?;
        Ok(range)
    }

    // Collections and authorities.

    pub(crate) fn create_collection(&mut self, name: &str, group: &str, hash: bool) -> Answer {
        let new = CollectionModel { group: group.to_owned(), hash, ..CollectionModel::default() };
        let there = self.collections.entry(name.to_owned()).or_insert(new);
        if there.group == group && there.hash == hash { Ok("CollectionReady") } else { Err("CollectionDiffers") }
    }

    pub(crate) fn assign(&mut self, group: &str, name: &str) -> Answer {
        if self.holders.contains_key(group) {
            return Err("AuthorityExists");
        }
        self.may_hold(name)?;
        self.holders.insert(group.to_owned(), (name.to_owned(), 1));
        Ok("AuthorityHeld")
    }

    pub(crate) fn reassign(&mut self, group: &str, name: &str, number: u64) -> Answer {
        let held = self.holders.get(group).ok_or("UnknownAuthority")?.1;
        if held != number {
            return Err("StaleAuthority");
        }
        self.may_hold(name)?;
        self.holders.insert(group.to_owned(), (name.to_owned(), held + 1));
        Ok("AuthorityHeld")
    }

    // Shape.

    pub(crate) fn create(&mut self, new: New<'_>) -> Answer {
        let (name, id) = new.range;
        let (lower, upper) = new.ends;
        let collection = self.collections.get(name).ok_or("UnknownCollection")?;
        if collection.hash != new.hash {
            return Err("ModeDiffers");
        }
        if collection.hash && !new.slots {
            return Err("NotASlot");
        }
        collection.unused(id)?;
        if collection.ranges.iter().any(|r| r.lower < upper && lower < r.upper) {
            return Err("Overlap");
        }
        self.may_hold(new.owner)?;
        for replica in &new.replicas {
            if replica == new.owner {
                return Err("RoleTaken");
            }
            self.may_hold(replica)?;
        }
        for archive in &new.archives {
            if archive == new.owner || new.replicas.contains(archive) {
                return Err("RoleTaken");
            }
            self.may_hold(archive)?;
        }
        let range = RangeModel {
            id,
            lower,
            upper,
            owner: new.owner.to_owned(),
            replicas: new.replicas,
            archives: new.archives,
            epoch: 1,
            version: 1,
            wants: (3, String::new()),
            moving: None,
        };
        self.collections.get_mut(name).unwrap().ranges.push(range);
        Ok("RangeAt")
    }

    pub(crate) fn split(&mut self, name: Name<'_>, stamp: Stamp, cut: Option<u32>, new_id: u64) -> Answer {
        let range = self.fenced(name, stamp)?;
        if range.moving.is_some() {
            return Err("MoveInFlight");
        }
        let cut = cut.ok_or("NotASlot")?;
        if cut <= range.lower || cut >= range.upper {
            return Err("CutOutside");
        }
        self.collections[name.0].unused(new_id)?;
        let range = self.found(name)?;
        let child = RangeModel { id: new_id, lower: cut, version: 1, ..range.clone() };
        range.upper = cut;
        range.version += 1;
        self.collections.get_mut(name.0).unwrap().ranges.push(child);
        Ok("Split")
    }

    pub(crate) fn merge(&mut self, name: Name<'_>, stamp: Stamp, other: u64, other_stamp: Stamp) -> Answer {
        let a = self.fenced(name, stamp)?.clone();
        let b = self.fenced((name.0, other), other_stamp)?.clone();
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
        let survivor = self.found(name)?;
        survivor.lower = a.lower.min(b.lower);
        survivor.upper = a.upper.max(b.upper);
        survivor.epoch = a.epoch.max(b.epoch) + 1;
        survivor.version += 1;
        let collection = self.collections.get_mut(name.0).unwrap();
        collection.ranges.retain(|range| range.id != other);
        collection.retired.insert(other);
        Ok("Merged")
    }

    // Copies.

    /// A member without a role in the range becomes a copy of it.
    pub(crate) fn add(&mut self, name: Name<'_>, member: &str, archive: bool) -> Allowed {
        if self.found(name)?.holds(member) {
            return Err("RoleTaken");
        }
        self.may_hold(member)?;
        let range = self.found(name)?;
        let set = if archive { &mut range.archives } else { &mut range.replicas };
        set.insert(member.to_owned());
        range.version += 1;
        Ok(())
    }

    pub(crate) fn add_copy(&mut self, name: Name<'_>, stamp: Stamp, member: &str, archive: bool) -> Answer {
        self.fenced(name, stamp)?;
        self.add(name, member, archive)?;
        Ok("RangeAt")
    }

    pub(crate) fn drop_copy(&mut self, name: Name<'_>, stamp: Stamp, member: &str, archive: bool) -> Answer {
        let range = self.fenced(name, stamp)?;
        if !archive && range.moving.as_ref().is_some_and(|(target, _)| target == member) {
            return Err("MoveInFlight");
        }
        let set = if archive { &mut range.archives } else { &mut range.replicas };
        if !set.remove(member) {
            return Err("NotInRole");
        }
        range.version += 1;
        Ok("RangeAt")
    }

    pub(crate) fn set_placement(&mut self, name: Name<'_>, stamp: Stamp, wants: (u32, String)) -> Answer {
        let range = self.fenced(name, stamp)?;
        range.wants = wants;
        range.version += 1;
        Ok("RangeAt")
    }
}
