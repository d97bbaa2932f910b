//! Steps of a history: drawn as small numbers, made into commands for the state at hand.

use crate::common::*;
use crate::model::{Answer, Backing, MemberModel, Model, RangeModel};
use cp_catalog::*;
use cp_seam::{Incarnation, MemberKind};
use std::collections::BTreeSet;

pub(crate) const NAMES: [&str; 8] = ["a", "b", "c", "d", "w", "e", "f", "z"];

/// A step, drawn before the state is known: small numbers that choose among what there is.
pub(crate) type Draw = [u8; 8];

pub(crate) fn bound(n: u32) -> Bound {
    match n {
        0 => Bound::Min,
        256 => Bound::Max,
        n => Bound::at(&[n as u8]).unwrap(),
    }
}

/// One of those that exist, or now and then any number.
fn pick_range(model: &Model, draw: u8) -> u64 {
    if draw.is_multiple_of(16) || model.ranges.is_empty() {
        return u64::from(draw / 16 % 9);
    }
    model.ranges[usize::from(draw) % model.ranges.len()].id
}

/// The fence of a range, now and then a stale one.
fn pick_fence(model: &Model, id: u64, draw: u8) -> (u64, u64) {
    let (epoch, version) = model.ranges.iter().find(|r| r.id == id).map_or((1, 1), |r| (r.epoch, r.version));
    match draw % 32 {
        0 => (epoch + 1, version),
        1 => (epoch - 1, version),
        2 => (epoch, version + 1),
        3 => (epoch, version - 1),
        _ => (epoch, version),
    }
}

fn fence((epoch, version): (u64, u64)) -> Fence {
    Fence { epoch: Epoch(epoch), version: Version(version) }
}

fn pick_backing(draw: u8) -> Backing {
    let all = [
        Backing::Nothing,
        Backing::NoGate,
        Backing::OtherCandidate,
        Backing::OtherGate,
        Backing::Short,
        Backing::ShortOfGate,
    ];
    all.get(usize::from(draw % 12)).copied().unwrap_or(Backing::Whole)
}

fn evidence_of(backing: Backing, candidate: &str, epoch: u64) -> Option<Evidence> {
    let whole = evidence(candidate, Epoch(epoch));
    let gate = |epoch, last| Some(ClosedGate { epoch: Epoch(epoch), last });
    match backing {
        Backing::Nothing => None,
        Backing::NoGate => Some(Evidence { closed_gate: None, ..whole }),
        Backing::OtherCandidate => Some(Evidence { candidate: id("z-other"), ..whole }),
        Backing::OtherGate => Some(Evidence { closed_gate: gate(epoch + 1, at(3, 10)), ..whole }),
        Backing::Short => Some(Evidence { applied: at(2, 99), ..whole }),
        Backing::ShortOfGate => Some(Evidence { closed_gate: gate(epoch, at(3, 11)), ..whole }),
        Backing::Whole => Some(whole),
    }
}

/// The command that `draw` makes of the present state, and the model's answer to it.
pub(crate) fn interpret(model: &mut Model, draw: Draw) -> (Command, Answer) {
    let [what, a, b, c, d, e, ..] = draw;
    let name = |draw: u8| NAMES[usize::from(draw) % NAMES.len()];
    if what % 3 == 0 { member_step(model, draw) } else { range_step(model, what, (a, b, c, d, e), name) }
}

fn member_step(model: &mut Model, [_, what, a, b, c, d, ..]: Draw) -> (Command, Answer) {
    let name = NAMES[usize::from(a) % NAMES.len()];
    let incarnation = model.members.get(name).map_or(1, |m| m.incarnation).saturating_sub(u64::from(b % 8 == 0)).max(1);
    let member = MemberLife { id: id(name), incarnation: Incarnation(incarnation) };
    // Mostly everyone; now and then only those whose bit is set.
    let reachable: BTreeSet<u64> =
        (1..model.next_incarnation).filter(|n| c % 4 != 0 || d >> (n % 8) & 1 == 1).collect();
    let reached = reachable.iter().map(|n| Incarnation(*n)).collect();
    let witness = if c % 8 == 0 { name != "w" } else { name == "w" };
    let kind = if witness { MemberKind::Witness } else { MemberKind::Data };
    let token = |good| TokenHash([if good { 9 } else { 8 }; 32]);
    let (command, answer) = match what % 10 {
        0 | 1 => {
            let admission = Admission {
                member: id(name),
                kind,
                token_hash: token(true),
                locality: Locality::default(),
                standby: d % 5 == 0,
            };
            (MembershipCommand::Admit(admission), model.admit(name, witness))
        }
        2 | 3 => {
            let good = d % 6 != 0;
            let joining = Joining {
                cluster: CLUSTER,
                member,
                token_hash: token(good),
                kind,
                addresses: addresses(name),
                features: Features::default(),
            };
            (MembershipCommand::Joined(joining), model.joined(name, incarnation, good, witness))
        }
        4 => (MembershipCommand::SetVoting { member }, model.set_voting(name, incarnation)),
        5 => {
            let answer = model.demote(name, incarnation, &reachable);
            (MembershipCommand::Demote { member, reachable: reached }, answer)
        }
        6 => (MembershipCommand::Drain { member }, model.set_draining(name, incarnation, true)),
        7 | 8 => (MembershipCommand::Undrain { member }, model.set_draining(name, incarnation, false)),
        _ => {
            let answer = model.remove(name, incarnation, &reachable);
            (MembershipCommand::Remove { member, reachable: reached }, answer)
        }
    };
    (command.into(), answer)
}

type Rest = (u8, u8, u8, u8, u8);

fn range_step(
    model: &mut Model,
    what: u8,
    (a, b, c, d, e): Rest,
    name: impl Fn(u8) -> &'static str,
) -> (Command, Answer) {
    // Moves are rare enough: what is about one goes to a range that has one.
    let moving = model.ranges.iter().find(|r| r.moving.is_some() && (6..=10).contains(&(what % 17)) && a % 8 != 0);
    let phase = moving.and_then(|r| r.moving.as_ref()).map(|(_, phase)| *phase).filter(|_| e % 2 == 0);
    let what = phase.map_or(what % 17, |phase| if phase == 3 { 8 } else { 6 });
    let number = moving.map_or_else(|| pick_range(model, a), |r| r.id);
    let stamp = pick_fence(model, number, b);
    let (range, fence_) = (rk("books", number), fence(stamp));
    let known = model.ranges.iter().find(|r| r.id == number).cloned();
    let edit = || CopyEdit { range: range.clone(), fence: fence_, member: id(name(c)) };
    let (command, answer) = match what {
        0 => {
            let number = if a % 4 == 0 { number } else { u64::from(a % 24) };
            let range = rk("books", number);
            let (lower, upper) = (u32::from(c), (u32::from(c) + u32::from(d % 32) + 1).min(256));
            let (replicas, archives) = (vec![name(b).to_owned()], vec![name(e).to_owned()]);
            let bounds = Bounds::new(bound(lower), bound(upper)).unwrap();
            let new = new_range(&range, bounds, name(a / 8), &[name(b)], &[name(e)]);
            let answer = model.create(number, (lower, upper), name(a / 8), &replicas, &archives);
            (OwnershipCommand::CreateRange(new), answer)
        }
        kind @ 1..=4 => {
            let backing = pick_backing(d);
            let from = known.as_ref().filter(|_| e % 8 != 0).map_or(name(e), |r| leak(&r.owner));
            let to = known
                .as_ref()
                .and_then(|r| r.replicas.iter().next().filter(|_| c % 2 == 0))
                .map_or(name(c), |r| leak(r));
            let epoch = known.map_or(1, |r| r.epoch);
            let evidence = evidence_of(backing, to, epoch);
            let transfer = Transfer { range, from: id(from), fence: fence_, to: id(to), evidence };
            let answer = model.transfer(number, from, stamp, to, backing, kind <= 2);
            if kind <= 2 {
                (OwnershipCommand::Handoff(transfer), answer)
            } else {
                (OwnershipCommand::Promote(transfer), answer)
            }
        }
        5 => {
            let target = known.filter(|_| d % 4 != 0).and_then(|r| newcomer(model, &r)).unwrap_or(name(c));
            let answer = model.begin_move(number, stamp, target);
            (OwnershipCommand::BeginMove { range, fence: fence_, target: id(target) }, answer)
        }
        6 | 7 => {
            let now = known.and_then(|r| r.moving).map_or(1, |(_, phase)| phase);
            let phase = if c % 4 == 0 { u32::from(c / 4 % 3) + 1 } else { (now + 1).min(3) };
            let phases = [MovePhase::Begun, MovePhase::Copying, MovePhase::CatchingUp];
            let answer = model.advance_move(number, stamp, phase);
            (OwnershipCommand::AdvanceMove { range, fence: fence_, phase: phases[phase as usize - 1] }, answer)
        }
        kind @ (8 | 9) => {
            let backing = pick_backing(d);
            let (target, epoch) = known.map_or(("a".to_owned(), 1), |r| {
                (r.moving.map_or_else(|| "a".to_owned(), |(target, _)| target), r.epoch)
            });
            let evidence = evidence_of(backing, &target, epoch);
            if kind == 8 {
                let answer = model.complete_move(number, stamp, backing);
                (OwnershipCommand::CompleteMove { range, fence: fence_, evidence }, answer)
            } else {
                let answer = model.resolve_move(number, stamp, backing);
                (OwnershipCommand::ResolveMove { range, fence: fence_, evidence }, answer)
            }
        }
        10 => (OwnershipCommand::AbortMove { range, fence: fence_ }, model.abort_move(number, stamp)),
        11 => {
            let cut = u32::from(c.max(1));
            let new_id = u64::from(d % 24);
            let answer = model.split(number, stamp, cut, new_id);
            (
                OwnershipCommand::Split {
                    range,
                    fence: fence_,
                    at: Key::new(&[c.max(1)]).unwrap(),
                    new_id: RangeId(new_id),
                },
                answer,
            )
        }
        12 => {
            // Mostly a neighbour.
            let neighbour = known.and_then(|r| model.ranges.iter().find(|o| o.lower == r.upper).map(|o| o.id));
            let other = neighbour.filter(|_| c % 8 != 0).unwrap_or_else(|| pick_range(model, d));
            let other_stamp = pick_fence(model, other, e);
            let answer = model.merge(number, stamp, other, other_stamp);
            let (retired, retired_fence) = (RangeId(other), fence(other_stamp));
            (OwnershipCommand::Merge { survivor: range, fence: fence_, retired, retired_fence }, answer)
        }
        13 => (OwnershipCommand::AddReplica(edit()), model.add_copy(number, stamp, name(c), false)),
        14 => (OwnershipCommand::AddArchive(edit()), model.add_copy(number, stamp, name(c), true)),
        15 if d % 2 == 0 => (OwnershipCommand::RemoveReplica(edit()), model.drop_copy(number, stamp, name(c), false)),
        15 => (OwnershipCommand::RemoveArchive(edit()), model.drop_copy(number, stamp, name(c), true)),
        _ => {
            let stamp = model.holder.as_ref().map_or(1, |(_, stamp)| *stamp) + u64::from(d % 4 == 0);
            let (group, holder) = (group("shelf"), id(name(c)));
            if model.holder.is_none() || d % 5 == 0 {
                (OwnershipCommand::AssignAuthority { group, holder }, model.assign(name(c)))
            } else {
                let answer = model.reassign(name(c), stamp);
                (OwnershipCommand::ReassignAuthority { group, fence: fence((stamp, stamp)), holder }, answer)
            }
        }
    };
    (command.into(), answer)
}

/// A member that could take a role in the range, if there is one.
fn newcomer(model: &Model, range: &RangeModel) -> Option<&'static str> {
    let free = |name: &str| range.owner != name && !range.replicas.contains(name) && !range.archives.contains(name);
    let able = |m: &MemberModel| m.joined && !m.draining && !m.witness;
    model.members.iter().find(|(name, m)| able(m) && free(name)).map(|(name, _)| leak(name))
}

/// Names are few; a static one spares the borrow of the model.
fn leak(name: &str) -> &'static str {
    NAMES.into_iter().find(|known| *known == name).unwrap()
}
