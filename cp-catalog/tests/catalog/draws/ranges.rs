//! Steps about collections, authorities, and the shape and copies of ranges.

use super::{COLLECTIONS, GROUPS, NAMES, pick};
use crate::common::*;
use crate::model::ranges::New;
use crate::model::{About, Answer, By, Model, RangeModel, Stamp};
use cp_catalog::*;
use std::collections::BTreeMap;

/// The number of what lies above the last key.
pub(crate) fn end(hash: bool) -> u32 {
    if hash { u32::from(SLOT_COUNT) } else { 256 }
}

/// A key's number as it stands in a range.
pub(crate) fn key_at(hash: bool, number: u32) -> Key {
    let bytes = u16::try_from(number).unwrap().to_be_bytes();
    Key::new(if hash { &bytes } else { &bytes[1..] }).unwrap()
}

fn bound(hash: bool, number: u32) -> Bound {
    match number {
        0 => Bound::Min,
        number if number == end(hash) => Bound::Max,
        number => Bound::Key(key_at(hash, number)),
    }
}

pub(super) fn ends(hash: bool, lower: u32, upper: u32) -> Bounds {
    Bounds::new(bound(hash, lower), bound(hash, upper)).unwrap()
}

/// A range: its collection, number, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Picked {
    pub(super) collection: &'static str,
    pub(super) number: u64,
    pub(super) stamp: Stamp,
    pub(super) known: Option<RangeModel>,
}

impl Picked {
    pub(super) fn key(&self) -> RangeKey {
        rk(self.collection, self.number)
    }

    pub(super) fn fence(&self) -> Fence {
        fence(self.stamp)
    }

    pub(super) fn name(&self) -> (&'static str, u64) {
        (self.collection, self.number)
    }
}

pub(super) fn fence((epoch, version): Stamp) -> Fence {
    Fence { epoch: Epoch(epoch), version: Version(version) }
}

/// The fence of a range, now and then a stale one.
fn stamp(known: Option<&RangeModel>, draw: u8) -> Stamp {
    let (epoch, version) = known.map_or((1, 1), |r| (r.epoch, r.version));
    match draw % 32 {
        0 => (epoch + 1, version),
        1 => (epoch - 1, version),
        2 => (epoch, version + 1),
        3 => (epoch, version - 1),
        _ => (epoch, version),
    }
}

/// A collection that there mostly is.
fn pick_collection(draw: u8) -> &'static str {
    if draw.is_multiple_of(8) { pick(&COLLECTIONS, draw / 8) } else { pick(&COLLECTIONS[..2], draw) }
}

/// A range that there mostly is, and now and then any number.
pub(super) fn pick_range(model: &Model, draw: u8, fence: u8) -> Picked {
    let collection = pick_collection(draw);
    let ranges = model.collections.get(collection).map_or(&[][..], |collection| &collection.ranges);
    let number =
        if draw.is_multiple_of(16) || ranges.is_empty() { u64::from(draw / 16 % 9) } else { pick(ranges, draw / 2).id };
    picked(model, collection, number, fence)
}

pub(super) fn picked(model: &Model, collection: &'static str, number: u64, fence: u8) -> Picked {
    let ranges = model.collections.get(collection).map_or(&[][..], |collection| &collection.ranges);
    let known = ranges.iter().find(|range| range.id == number).cloned();
    Picked { collection, number, stamp: stamp(known.as_ref(), fence), known }
}

/// A number for a new range: mostly free, and now and then one that was merged away.
fn pick_id(model: &Model, collection: &str, draw: u8) -> u64 {
    let retired = model.collections.get(collection).and_then(|collection| collection.retired.first());
    retired.copied().filter(|_| draw.is_multiple_of(4)).unwrap_or(u64::from(draw % 24))
}

/// What a command on a range of `collection` is about.
pub(super) fn about(model: &Model, collection: &str) -> About {
    let group = model.collections.get(collection).map(|collection| collection.group.clone());
    About { group, ..About::default() }
}

pub(super) fn step(model: &mut Model, by: &By, [what, a, b, c, d, e, f]: [u8; 7]) -> (Command, Answer) {
    let name = |draw: u8| pick(&NAMES, draw);
    let range = pick_range(model, a, b);
    let about = about(model, range.collection);
    let hash = model.collections.get(range.collection).is_some_and(|collection| collection.hash);
    let (key, fence_, stamp) = (range.key(), range.fence(), range.stamp);
    let edit = || CopyEdit { range: range.key(), fence: fence_, member: id(name(c)) };
    let (command, answer) = match what % 23 {
        0 => {
            let number = if a % 4 == 0 { range.number } else { pick_id(model, range.collection, a / 2) };
            let range = rk(range.collection, number);
            let unit = end(hash) / 256;
            let ends = (u32::from(c) * unit, (u32::from(c) + u32::from(d % 32) + 1).min(256) * unit);
            let (other_mode, no_slots) = (f % 16 == 0, hash && f % 16 == 1);
            let hash_said = hash != other_mode;
            let bounds = match no_slots {
                true => Bounds::new(Bound::at(&[c.max(1)]).unwrap(), Bound::Max).unwrap(),
                false => self::ends(hash, ends.0, ends.1),
            };
            let new = new_range(&range, bounds, name(a / 8), &[name(b)], &[name(e)]);
            let of = New {
                range: (range.collection.as_str(), number),
                hash: hash_said,
                slots: !no_slots,
                ends,
                owner: name(a / 8),
                replicas: [name(b).to_owned()].into(),
                archives: [name(e).to_owned()].into(),
            };
            let answer = model.ask(by, &about, |m| m.create(of));
            let mode = if hash_said { Mode::Hash } else { Mode::Ordered };
            (OwnershipCommand::CreateRange(NewRange { mode, ..new }), answer)
        }
        11 => {
            let cut = u32::from(c.max(1)) * (end(hash) / 256);
            let no_slot = hash && f % 16 == 0;
            let at = if no_slot { Key::new(&[c]).unwrap() } else { key_at(hash, cut) };
            let new_id = pick_id(model, range.collection, d);
            let answer = model.ask(by, &about, |m| m.split(range.name(), stamp, (!no_slot).then_some(cut), new_id));
            (OwnershipCommand::Split { range: key, fence: fence_, at, new_id: RangeId(new_id) }, answer)
        }
        12 => {
            // Mostly a neighbour.
            let ranges = model.collections.get(range.collection).map_or(&[][..], |collection| &collection.ranges);
            let above = range.known.as_ref().and_then(|r| ranges.iter().find(|o| o.lower == r.upper).map(|o| o.id));
            let other = above.filter(|_| c % 8 != 0).unwrap_or_else(|| u64::from(d % 9));
            let other = picked(model, range.collection, other, e);
            let answer = model.ask(by, &about, |m| m.merge(range.name(), stamp, other.number, other.stamp));
            let (retired, retired_fence) = (RangeId(other.number), other.fence());
            (OwnershipCommand::Merge { survivor: key, fence: fence_, retired, retired_fence }, answer)
        }
        13 | 14 => {
            let archive = what % 23 == 14;
            let answer = model.ask(by, &about, |m| m.add_copy(range.name(), stamp, name(c), archive));
            (if archive { OwnershipCommand::AddArchive(edit()) } else { OwnershipCommand::AddReplica(edit()) }, answer)
        }
        15 => {
            let archive = d % 2 == 1;
            let answer = model.ask(by, &about, |m| m.drop_copy(range.name(), stamp, name(c), archive));
            let command = if archive { OwnershipCommand::RemoveArchive } else { OwnershipCommand::RemoveReplica };
            (command(edit()), answer)
        }
        16 => authority(model, by, [c, d, e]),
        17 => {
            let (new, of) = (pick(&COLLECTIONS, c), pick(&GROUPS, d));
            let hash = if e % 4 == 0 { new != "slots" && d % 2 == 0 } else { new == "slots" || new == "x" };
            let about = About { group: Some(of.to_owned()), ..About::default() };
            let answer = model.ask(by, &about, |m| m.create_collection(new, of, hash));
            let mode = if hash { Mode::Hash } else { Mode::Ordered };
            (OwnershipCommand::CreateCollection { collection: coll(new), group: group(of), mode }, answer)
        }
        _ => {
            let wants = (1 + u32::from(d % 4), pick(&["ssd", "tape"], e).to_owned());
            let attributes = BTreeMap::from([("disk".to_owned(), wants.1.clone())]);
            let placement = Placement { replication_factor: wants.0, attributes };
            let answer = model.ask(by, &about, |m| m.set_placement(range.name(), stamp, wants));
            (OwnershipCommand::SetPlacement { range: key, fence: fence_, placement }, answer)
        }
    };
    (command.into(), answer)
}

fn authority(model: &mut Model, by: &By, [c, d, e]: [u8; 3]) -> (OwnershipCommand, Answer) {
    let (of, holder) = (pick(&GROUPS, e / 4), pick(&NAMES, c));
    let number = model.holders.get(of).map_or(1, |(_, number)| *number) + u64::from(d % 4 == 0);
    let about = |action| About { group: Some(of.to_owned()), recorded: Some(action), ..About::default() };
    if model.holders.contains_key(of) != (d % 5 == 0) {
        let answer = model.ask(by, &about("reassign-authority"), |m| m.reassign(of, holder, number));
        let fence = fence((number, number));
        return (OwnershipCommand::ReassignAuthority { group: group(of), fence, holder: id(holder) }, answer);
    }
    let answer = model.ask(by, &about("assign-authority"), |m| m.assign(of, holder));
    (OwnershipCommand::AssignAuthority { group: group(of), holder: id(holder) }, answer)
}
