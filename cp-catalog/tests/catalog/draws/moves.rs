//! Steps by which write authority moves.

use super::ranges::{Picked, about, pick_range, picked};
use super::{COLLECTIONS, NAMES, pick};
use crate::common::*;
use crate::model::{About, Answer, Backing, By, Model, Presence, RangeModel, Shown};
use cp_catalog::*;

fn pick_backing(draw: u8) -> Backing {
    let all = [
        Backing::Nothing,
        Backing::NoGate,
        Backing::OtherCandidate,
        Backing::OtherGate,
        Backing::GateOfAnother,
        Backing::Short,
        Backing::ShortOfGate,
    ];
    all.get(usize::from(draw % 12)).copied().unwrap_or(Backing::Whole)
}

fn evidence_of(backing: Backing, range: &RangeKey, candidate: &str, epoch: u64) -> Option<Evidence> {
    let whole = evidence(range, candidate, Epoch(epoch));
    let gate = |epoch, last| Some(closed(range, Epoch(epoch), last));
    let another = RangeKey::new(range.collection.clone(), RangeId(range.id.0 + 1));
    match backing {
        Backing::Nothing => None,
        Backing::NoGate => Some(Evidence { closed_gate: None, ..whole }),
        Backing::OtherCandidate => Some(Evidence { candidate: id("z-other"), ..whole }),
        Backing::OtherGate => Some(Evidence { closed_gate: gate(epoch + 1, at(3, 10)), ..whole }),
        Backing::GateOfAnother => {
            Some(Evidence { closed_gate: Some(closed(&another, Epoch(epoch), at(3, 10))), ..whole })
        }
        Backing::Short => Some(Evidence { applied: at(2, 99), ..whole }),
        Backing::ShortOfGate => Some(Evidence { closed_gate: gate(epoch, at(3, 11)), ..whole }),
        Backing::Whole => Some(whole),
    }
}

/// Names are few; a static one spares the borrow of the model.
fn leak(name: &str) -> &'static str {
    NAMES.into_iter().find(|known| *known == name).unwrap()
}

/// A member that could take a role in the range, if there is one.
fn newcomer(model: &Model, range: &RangeModel) -> Option<&'static str> {
    let able = |name: &str| model.may_hold(name).is_ok() && !range.holds(name);
    model.members.keys().find(|name| able(name)).map(|name| leak(name))
}

/// A range that is moving, if there is one.
fn in_motion(model: &Model) -> Option<(&'static str, u64)> {
    COLLECTIONS.into_iter().find_map(|name| {
        let range = model.collections.get(name)?.ranges.iter().find(|range| range.moving.is_some())?;
        Some((name, range.id))
    })
}

pub(super) fn step(model: &mut Model, by: &By, [what, a, b, c, d, e, f]: [u8; 7]) -> (Command, Answer) {
    // Moves are rare enough: what is about one goes to a range that has one.
    let mut what = what % 23;
    let moving = in_motion(model).filter(|_| (6..=10).contains(&what) && a % 8 != 0);
    let range =
        moving.map_or_else(|| pick_range(model, a, b), |(collection, number)| picked(model, collection, number, b));
    if moving.is_some() && e % 2 == 0 {
        let phase = range.known.as_ref().and_then(|known| known.moving.as_ref()).map(|(_, phase)| *phase);
        what = if phase == Some(3) { 8 } else { 6 };
    }
    let about = about(model, range.collection);
    let (command, answer) = match what {
        1..=4 => transfer(model, by, &about, &range, what <= 2, [c, d, e, f]),
        5..=10 => movement(model, by, &about, &range, [what, c, d]),
        19 | 20 => {
            let (to, reason) = (pick(&NAMES, c), pick(&["it is lost", "it is lost", "it is lost", "", "\t"], d));
            // Now and then what an expelled member owns is what is forced.
            let lost = lost(model).filter(|_| e % 2 == 0);
            let range = lost.map_or(range, |(collection, number)| picked(model, collection, number, b));
            let about = About { later: true, forced: true, recorded: Some("force"), ..about };
            let answer = model.ask(by, &about, |m| m.force(by, range.name(), to, reason));
            (OwnershipCommand::Force { range: range.key(), to: id(to), reason: reason.to_owned() }, answer)
        }
        _ => restore(model, by, about, &range, [c, d, e, f]),
    };
    (command.into(), answer)
}

/// A range whose owner is expelled, if there is one.
fn lost(model: &Model) -> Option<(&'static str, u64)> {
    let expelled = |name: &str| model.members.get(name).is_some_and(|m| m.presence == Presence::Expelled);
    COLLECTIONS.into_iter().find_map(|name| {
        let range = model.collections.get(name)?.ranges.iter().find(|range| expelled(&range.owner))?;
        Some((name, range.id))
    })
}

fn transfer(
    model: &mut Model,
    by: &By,
    about: &About,
    range: &Picked,
    alive: bool,
    [c, d, e, f]: [u8; 4],
) -> (OwnershipCommand, Answer) {
    let (backing, known) = (pick_backing(d), range.known.as_ref());
    let from = known.filter(|_| e % 8 != 0).map_or(pick(&NAMES, e), |r| leak(&r.owner));
    let copies: Vec<_> = known.iter().flat_map(|r| &r.replicas).collect();
    let to =
        if c % 2 == 0 && !copies.is_empty() { leak(copies[usize::from(f) % copies.len()]) } else { pick(&NAMES, c) };
    let evidence = evidence_of(backing, &range.key(), to, known.map_or(1, |r| r.epoch));
    let transfer = Transfer { range: range.key(), from: id(from), fence: range.fence(), to: id(to), evidence };
    let answer = model.ask(by, about, |m| m.transfer(range.name(), from, range.stamp, to, backing, alive));
    (if alive { OwnershipCommand::Handoff(transfer) } else { OwnershipCommand::Promote(transfer) }, answer)
}

fn movement(
    model: &mut Model,
    by: &By,
    about: &About,
    picked: &Picked,
    [what, c, d]: [u8; 3],
) -> (OwnershipCommand, Answer) {
    let (range, fence, name, stamp) = (picked.key(), picked.fence(), picked.name(), picked.stamp);
    let known = picked.known.as_ref();
    let moving = known.and_then(|r| r.moving.clone());
    let (epoch, backing) = (known.map_or(1, |r| r.epoch), pick_backing(d));
    let of = picked.key();
    let evidence = || evidence_of(backing, &of, moving.as_ref().map_or("a", |(target, _)| target), epoch);
    match what {
        5 => {
            let target = known.filter(|_| d % 4 != 0).and_then(|r| newcomer(model, r)).unwrap_or(pick(&NAMES, c));
            let answer = model.ask(by, about, |m| m.begin_move(name, stamp, target));
            (OwnershipCommand::BeginMove { range, fence, target: id(target) }, answer)
        }
        6 | 7 => {
            let now = moving.map_or(1, |(_, phase)| phase);
            let number = if c % 4 == 0 { u32::from(c / 4 % 3) + 1 } else { (now + 1).min(3) };
            let answer = model.ask(by, about, |m| m.advance_move(name, stamp, number));
            let phase = [MovePhase::Begun, MovePhase::Copying, MovePhase::CatchingUp][number as usize - 1];
            (OwnershipCommand::AdvanceMove { range, fence, phase }, answer)
        }
        8 => {
            let answer = model.ask(by, about, |m| m.complete_move(name, stamp, backing));
            (OwnershipCommand::CompleteMove { range, fence, evidence: evidence() }, answer)
        }
        9 => {
            let answer = model.ask(by, about, |m| m.resolve_move(name, stamp, backing));
            (OwnershipCommand::ResolveMove { range, fence, evidence: evidence() }, answer)
        }
        _ => {
            let answer = model.ask(by, about, |m| m.abort_move(name, stamp));
            (OwnershipCommand::AbortMove { range, fence }, answer)
        }
    }
}

fn restore(
    model: &mut Model,
    by: &By,
    about: About,
    picked: &Picked,
    [c, d, e, f]: [u8; 4],
) -> (OwnershipCommand, Answer) {
    let known = picked.known.as_ref();
    let archives: Vec<_> = known.iter().flat_map(|r| &r.archives).collect();
    let archive = if archives.is_empty() || c % 8 == 0 {
        pick(&NAMES, c)
    } else {
        leak(archives[usize::from(f) % archives.len()])
    };
    let shown = Shown { checksum: d % 16 != 0, bounds: d % 16 != 1, whole: d % 3 != 0 };
    let hash = model.collections.get(picked.collection).is_some_and(|collection| collection.hash);
    let bounds = known.filter(|_| shown.bounds).map(|r| super::ranges::ends(hash, r.lower, r.upper));
    let proof = RestoreProof {
        checksum: [1; 32],
        recorded: [1 + u8::from(!shown.checksum); 32],
        // No range has these.
        bounds: bounds.unwrap_or_else(|| Bounds::new(Bound::Min, Bound::at(b"\x01\x02\x03").unwrap()).unwrap()),
        restored: at(3, 10 - u64::from(!shown.whole)),
        watermark: at(3, 10),
    };
    let reason = (e % 2 == 0).then(|| pick(&["all else is gone", "all else is gone", " "], f));
    let (later, forced) = (true, reason.is_some());
    let about = About { later, forced, recorded: Some("restore-archive"), ..about };
    let answer = model.ask(by, &about, |m| m.restore_archive(by, picked.name(), picked.stamp, archive, shown, reason));
    let (range, fence, forced) = (picked.key(), picked.fence(), reason.map(str::to_owned));
    (OwnershipCommand::RestoreArchive(Restore { range, fence, archive: id(archive), proof, forced }), answer)
}
