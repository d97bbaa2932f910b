//! Requests read straight from the bytes that this release writes.
//!
//! A shortcut past their messages, for the transitions that are asked for most often: it copies no
//! text, and takes names from the state where that has them. What it does not recognise, whatever
//! the reason, is read by way of the messages, which alone say what is wrong with it.

use super::VERSION;
use super::audit::principal;
use super::canonical::Wire;
use super::value::{fixed, group_name, phase};
use crate::access::Origin;
use crate::bounds::Key;
use crate::command::{ClosedGate, Command, CopyEdit, Evidence, OwnershipCommand, Transfer};
use crate::id::{CollectionName, DataPosition, Epoch, Fence, RangeId, RangeKey, Version};
use crate::request::{AuthorityClaim, ClientId, Request, RequestId};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, MemberId};

/// Names as the state has them, or new ones; `None` if they are none.
pub(crate) trait Names {
    fn member(&self, name: &str) -> Option<MemberId>;
    fn collection(&self, name: &str) -> Option<CollectionName>;
}

/// The request in `entry`, if it is one that is read here. It means the same at every feature level.
pub(crate) fn read_request(entry: &ControlPlaneEntry, names: &impl Names) -> Option<Request> {
    let mut wire = Wire::new(entry.payload().as_bytes());
    if wire.number(1)? != u64::from(VERSION) {
        return None;
    }
    let id = wire.optional(2, read_id)?;
    let command = Command::Ownership(wire.inner(4, |command| read_command(command, names))?);
    let origin = wire.optional(5, read_origin)?;
    let claim = wire.optional(6, read_claim)?;
    (wire.is_empty() && command.kind() == entry.kind()).then_some(Request { id, command, origin, claim })
}

fn read_id(wire: &mut Wire<'_>) -> Option<RequestId> {
    let client = ClientId(fixed(wire.field(1)?, "client id").ok()?);
    Some(RequestId { client, since: ControlPlaneLogIndex(wire.number(2)?), sequence: wire.number(3)? })
}

fn read_origin(wire: &mut Wire<'_>) -> Option<Origin> {
    let kind = u32::try_from(wire.number(1)?).ok()?;
    let principal = principal(kind, wire.text(2)?).ok()?;
    Some(Origin { principal, at_unix_ms: wire.number(3)? })
}

fn read_claim(wire: &mut Wire<'_>) -> Option<AuthorityClaim> {
    Some(AuthorityClaim { group: group_name(wire.text(1)?).ok()?, epoch: Epoch(wire.number(2)?) })
}

fn read_command(wire: &mut Wire<'_>, names: &impl Names) -> Option<OwnershipCommand> {
    use OwnershipCommand as To;
    Some(match wire.next_field()? {
        5 => To::Handoff(wire.inner(5, |of| read_transfer(of, names))?),
        6 => To::Promote(wire.inner(6, |of| read_transfer(of, names))?),
        7 => {
            let CopyEdit { range, fence, member: target } = wire.inner(7, |of| read_edit(of, names))?;
            To::BeginMove { range, fence, target }
        }
        8 => wire.inner(8, |of| {
            let (range, fence) = (read_range(of, 1, names)?, read_fence(of, 2)?);
            let phase = phase(u32::try_from(of.number(4)?).ok()?).ok()?;
            Some(To::AdvanceMove { range, fence, phase })
        })?,
        9 => wire.inner(9, |of| {
            let (range, fence) = (read_range(of, 1, names)?, read_fence(of, 2)?);
            let evidence = of.optional(5, |evidence| read_evidence(evidence, &range, names))?;
            Some(To::CompleteMove { range, fence, evidence })
        })?,
        12 => wire.inner(12, |of| {
            let (range, fence) = (read_range(of, 1, names)?, read_fence(of, 2)?);
            let (at, new_id) = (Key::new(of.field(6)?).ok()?, RangeId(of.number(7).filter(|id| *id != 0)?));
            Some(To::Split { range, fence, at, new_id })
        })?,
        14 => To::AddReplica(wire.inner(14, |of| read_edit(of, names))?),
        15 => To::RemoveReplica(wire.inner(15, |of| read_edit(of, names))?),
        _ => return None,
    })
}

fn read_transfer(wire: &mut Wire<'_>, names: &impl Names) -> Option<Transfer> {
    let range = read_range(wire, 1, names)?;
    let from = names.member(wire.text(2)?)?;
    let fence = read_fence(wire, 3)?;
    let to = names.member(wire.text(4)?)?;
    let evidence = wire.optional(5, |evidence| read_evidence(evidence, &range, names))?;
    Some(Transfer { range, from, fence, to, evidence })
}

fn read_edit(wire: &mut Wire<'_>, names: &impl Names) -> Option<CopyEdit> {
    let (range, fence) = (read_range(wire, 1, names)?, read_fence(wire, 2)?);
    Some(CopyEdit { range, fence, member: names.member(wire.text(3)?)? })
}

fn read_range(wire: &mut Wire<'_>, tag: u8, names: &impl Names) -> Option<RangeKey> {
    wire.inner(tag, |key| Some(RangeKey::new(names.collection(key.text(1)?)?, RangeId(key.number(2)?))))
}

fn read_fence(wire: &mut Wire<'_>, tag: u8) -> Option<Fence> {
    wire.inner(tag, |fence| Some(Fence { epoch: Epoch(fence.number(1)?), version: Version(fence.number(2)?) }))
}

/// Evidence in a command about `range`; a gate that names another is left to the message.
fn read_evidence(wire: &mut Wire<'_>, range: &RangeKey, names: &impl Names) -> Option<Evidence> {
    Some(Evidence {
        candidate: names.member(wire.text(1)?)?,
        applied: read_position(wire, 2)?,
        watermark: read_position(wire, 3)?,
        closed_gate: wire.optional(4, |gate| {
            let (epoch, last) = (Epoch(gate.number(1)?), read_position(gate, 2)?);
            Some(ClosedGate { range: range.clone(), epoch, last })
        })?,
    })
}

fn read_position(wire: &mut Wire<'_>, tag: u8) -> Option<DataPosition> {
    wire.inner(tag, |at| Some(DataPosition { term: at.number(1)?, lsn: at.number(2)? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{ClientName, Principal};
    use crate::catalog::Catalog;
    use crate::codec::decode_request_at;
    use crate::id::GroupName;
    use crate::range::MovePhase;
    use cp_seam::ControlPlanePayload;
    use proptest::prelude::*;

    fn commands() -> Vec<OwnershipCommand> {
        use OwnershipCommand as To;
        let id = |name: &str| MemberId::new(name).unwrap();
        let range = || RangeKey::new(CollectionName::new("Books").unwrap(), RangeId(9));
        let fence = Fence { epoch: Epoch(5), version: Version(600) };
        let at = |term, lsn| DataPosition { term, lsn };
        let evidence = |gate: bool| Evidence {
            candidate: id("n"),
            applied: at(3, 300),
            watermark: at(0, 0),
            closed_gate: gate.then_some(ClosedGate { range: range(), epoch: Epoch(5), last: at(0, 7) }),
        };
        let transfer = |evidence| Transfer { range: range(), from: id("m"), fence, to: id("n"), evidence };
        let edit =
            || CopyEdit { range: range(), fence: Fence { epoch: Epoch(0), version: Version(0) }, member: id("n") };
        vec![
            To::Handoff(transfer(Some(evidence(true)))),
            To::Promote(transfer(Some(evidence(false)))),
            To::Promote(transfer(None)),
            To::BeginMove { range: range(), fence, target: id("n") },
            To::AdvanceMove { range: range(), fence, phase: MovePhase::CatchingUp },
            To::CompleteMove { range: range(), fence, evidence: Some(evidence(true)) },
            To::CompleteMove { range: range(), fence, evidence: None },
            To::Split { range: range(), fence, at: Key::new(&[7; 40]).unwrap(), new_id: RangeId(1 << 40) },
            To::AddReplica(edit()),
            To::RemoveReplica(edit()),
        ]
    }

    fn requests() -> Vec<Request> {
        let id = RequestId { client: ClientId([0xc1; 16]), since: ControlPlaneLogIndex(0), sequence: 300 };
        let of = |principal| Origin { principal, at_unix_ms: 1 << 40 };
        let client = of(Principal::Client(ClientName::new("fay").unwrap()));
        let member = of(Principal::Member(MemberId::new("m").unwrap()));
        let claim = AuthorityClaim { group: GroupName::new("g").unwrap(), epoch: Epoch(0) };
        let plain = commands().into_iter().map(|command| Request::new(None, command));
        let with = |request: Request| {
            let named = Request { id: Some(id), ..request.clone() };
            let whole = named.clone().of(client.clone()).under(claim.clone());
            [request.clone().under(claim.clone()), request.of(member.clone()), named, whole]
        };
        plain.clone().chain(plain.flat_map(with)).collect()
    }

    fn read(entry: &ControlPlaneEntry) -> Option<Request> {
        read_request(entry, &Catalog::vacant())
    }

    #[test]
    fn what_is_asked_for_most_often_is_read_without_its_message() {
        for request in requests() {
            let entry = request.to_entry().unwrap();
            assert_eq!(read(&entry), Some(request));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Other bytes are left to the messages, or mean the same to both.
        #[test]
        fn what_is_read_without_its_message_means_the_same_by_it(
            request in prop::sample::select(requests()),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0u8..5, any::<u8>()), 1..3),
            other_kind in prop::bool::weighted(0.1),
        ) {
            let mut bytes = request.to_entry().unwrap().payload().as_bytes().to_vec();
            for (at, what, byte) in edits {
                let place = at.index(bytes.len());
                match what {
                    0 => bytes[place] = byte,
                    1 => bytes.insert(place, byte % 4),
                    2 => drop(bytes.remove(place)),
                    3 => bytes[place] = bytes[place].wrapping_add(byte % 3),
                    _ => bytes.extend_from_within(place..),
                }
                if bytes.is_empty() {
                    bytes.push(byte);
                }
            }
            let kind = if other_kind { cp_seam::ControlPlaneEntryKind::MembershipChange } else { request.command.kind() };
            let entry = kind.entry(ControlPlanePayload::new(bytes).unwrap());
            if let Some(read) = read(&entry) {
                for level in [0, 1, 2] {
                    prop_assert_eq!(decode_request_at(level, &entry), Ok(read.clone()));
                }
            }
        }
    }
}
