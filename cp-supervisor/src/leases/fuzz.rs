//! What is read of leases and closed gates, for the fuzz targets. Not an interface.

use super::closure_file::{checksum, line, parse};
use crate::api::convert;
use crate::api::messages::{
    AwaitingRanges, CloseGateReply, CloseGateRequest, GenerationMessage, RangeName, ReleasedMessage, RenewLeaseReply,
    RenewLeaseRequest, RenewLeaseResult, RenewalMessage,
};
use cp_catalog::{
    Addresses, Bound, Bounds, Catalog, ClosedGate, CollectionName, Copies, DataPosition, Epoch, Features,
    FoundingMember, GroupName, Key, Locality, MemberLife, Mode, NewRange, OwnershipCommand, Placement, Range, RangeId,
    RangeKey, Request,
};
use cp_lease::{Coverage, Holder, Margin, Monotonic, Renewal};
use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, Incarnation, MemberId, MemberKind};
use prost::Message;
use std::time::Duration;

/// The first byte says what the rest is. What decodes is encoded as what decodes the same; a member
/// that takes a renewal, whoever sent it, writes to nothing that it withholds, nor for longer.
pub fn message(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    match which % 6 {
        0 => drop(back::<RenewLeaseRequest>(data)),
        1 => renewed(data),
        2 => closed(data),
        3 => drop(back::<CloseGateReply>(data)),
        4 => drop(back::<AwaitingRanges>(data)),
        _ => kept(data),
    }
}

fn back<M: Message + Default + PartialEq + std::fmt::Debug>(data: &[u8]) -> Option<M> {
    let message = M::decode(data).ok()?;
    assert_eq!(M::decode(message.encode_to_vec().as_slice()).as_ref(), Ok(&message));
    Some(message)
}

fn renewed(data: &[u8]) {
    let Some(RenewLeaseResult::Renewed(message)) = back::<RenewLeaseReply>(data).and_then(|reply| reply.result) else {
        return;
    };
    let Ok(renewal) = convert::renewal(life(), message) else { return };
    let again = convert::renewal(life(), convert::renewal_message(renewal.clone()));
    assert_eq!(again.as_ref(), Ok(&renewal));
    let (catalog, applied) = owned();
    let mut holder = Holder::new(life(), Margin::new(Duration::ZERO), applied, &catalog, []);
    if holder.renew(&renewal, Monotonic::default()).is_err() {
        return;
    }
    let over = Monotonic::default().saturating_add(renewal.length);
    for range in catalog.ranges(&books()) {
        let key = RangeKey::new(books(), range.id);
        let writes = |now| holder.admit(&key, range.epoch, now).is_ok();
        assert!(!writes(over), "{key} after the end of {renewal:?}");
        assert!(!writes(Monotonic::default()) || covers(&renewal, &key, range), "{key} under {renewal:?}");
    }
}

/// Nothing was in effect before.
fn covers(renewal: &Renewal, key: &RangeKey, range: &Range) -> bool {
    match &renewal.coverage {
        Coverage::Owned { withheld } => !withheld.contains(key),
        Coverage::InEffect { released } => released.contains(&(key.clone(), range.epoch)),
    }
}

fn closed(data: &[u8]) {
    let Some(request) = back::<CloseGateRequest>(data) else { return };
    if let Ok(range) = convert::range_key(&request.range) {
        assert_eq!(convert::range_key(&convert::range_name(range.clone())), Ok(range));
    }
}

/// A line of a file of closed gates, under a checksum that is right, and as it is.
fn kept(data: &[u8]) {
    let Ok(body) = std::str::from_utf8(data) else { return };
    for text in [body.to_owned(), format!("{} {body}", checksum(body))] {
        if let Some(gate) = parse(&text) {
            assert_eq!(parse(line(&gate).trim_end_matches('\n')), Some(gate));
        }
    }
}

/// Valid inputs to begin with.
pub fn corpus() -> Vec<Vec<u8>> {
    let generation = GenerationMessage { number: 1, id: vec![9; 8] };
    let name = |id| convert::range_name(RangeKey::new(books(), RangeId(id)));
    let renewal = RenewalMessage {
        term: 4,
        as_of: 2,
        length_ns: 1_000,
        in_effect_only: false,
        withheld: vec![name(1), name(3)],
        released: Vec::new(),
        more_in_ns: Some(9),
    };
    let released = |id| ReleasedMessage { range: name(id), epoch: 1 };
    let unsettled = RenewalMessage {
        in_effect_only: true,
        withheld: Vec::new(),
        released: vec![released(1), released(2)],
        ..renewal.clone()
    };
    let reply = |result| RenewLeaseReply { result: Some(result) }.encode_to_vec();
    let close = CloseGateRequest {
        incarnation: 1,
        generation: generation.clone(),
        range: RangeName { ..name(2) },
        epoch: 1,
        last_term: 3,
        last_lsn: 10,
    };
    let range = RangeKey::new(books(), RangeId(2));
    let gate = ClosedGate { range, epoch: Epoch(1), last: DataPosition { term: 3, lsn: 10 } };
    let text = line(&gate).trim_end().to_owned();
    let body = text.split_once(' ').map(|(_, body)| body.to_owned()).unwrap_or_default();
    let all = [
        (0, RenewLeaseRequest { incarnation: 1, generation }.encode_to_vec()),
        (1, reply(RenewLeaseResult::Renewed(renewal))),
        (1, reply(RenewLeaseResult::Renewed(unsettled))),
        (1, reply(RenewLeaseResult::EarlierLife(5))),
        (2, close.encode_to_vec()),
        (3, Vec::new()),
        (4, Vec::new()),
        (5, text.into_bytes()),
        (5, body.into_bytes()),
    ];
    all.map(|(which, bytes)| [vec![which], bytes].concat()).into()
}

fn life() -> MemberLife {
    MemberLife { id: known(MemberId::new("a")), incarnation: Incarnation(1) }
}

fn books() -> CollectionName {
    known(CollectionName::new("books"))
}

/// a owns three ranges.
fn owned() -> (Catalog, ControlPlaneLogIndex) {
    let founder = FoundingMember {
        id: life().id,
        kind: MemberKind::Data,
        addresses: Addresses { peer: "a:1".to_owned(), ..Addresses::default() },
        locality: Locality::default(),
        features: Features::default(),
    };
    let mut catalog = known(Catalog::genesis(ClusterId([7; 16]), Generation::default(), vec![founder]));
    let (collection, mode) = (books(), Mode::Ordered);
    let mut commands =
        vec![OwnershipCommand::CreateCollection { collection, group: known(GroupName::new("shelf")), mode }];
    let at = |byte: u8| known(Key::new(&[byte]).map(Bound::Key));
    for id in 1..=3_u8 {
        commands.push(OwnershipCommand::CreateRange(NewRange {
            range: RangeKey::new(books(), RangeId(id.into())),
            mode,
            bounds: known(Bounds::new(at(id), at(id + 1))),
            owner: life().id,
            replicas: Copies::default(),
            archives: Copies::default(),
            placement: Placement::default(),
        }));
    }
    let mut index = ControlPlaneLogIndex(0);
    for command in commands {
        index = index.next();
        let entry = known(Request::new(None, command).to_entry());
        assert!(catalog.apply(index, &entry).verdict.is_done());
    }
    (catalog, index)
}

fn known<T, E: std::fmt::Debug>(made: Result<T, E>) -> T {
    made.unwrap_or_else(|error| unreachable!("{error:?}"))
}
