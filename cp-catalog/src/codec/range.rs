//! Ranges encoded straight into a buffer: the bytes of [`RangeRecord`](super::record::RangeRecord),
//! without its texts being copied first. Every transition hashes two of them.

use super::value::{PlacementMessage, phase_number};
use crate::bounds::{Bound, Bounds};
use crate::range::{Copies, Placement, Range};
use prost::Message;
use prost::encoding::{WireType, encode_varint, encoded_len_varint, key_len};

/// What most ranges fit into.
pub(crate) const RANGE_LEN_BYTES: usize = 320;

/// Appends the encoding of `range`.
pub(crate) fn write_range(range: &Range, to: &mut Vec<u8>) {
    number(1, range.id.0, to);
    message(2, bounds_len(&range.bounds), to);
    write_bounds(&range.bounds, to);
    bytes(3, range.owner.as_str().as_bytes(), to);
    names(4, &range.replicas, to);
    names(5, &range.archives, to);
    number(6, range.epoch.0, to);
    number(7, range.version.0, to);
    message(8, placement_len(&range.placement), to);
    write_placement(&range.placement, to);
    if let Some(moving) = &range.moving {
        bytes(9, moving.target.as_str().as_bytes(), to);
        number(10, phase_number(moving.phase).into(), to);
    }
}

fn write_bounds(bounds: &Bounds, to: &mut Vec<u8>) {
    bytes(1, key_bytes(bounds.lower()), to);
    bytes(2, key_bytes(bounds.upper()), to);
}

fn bounds_len(bounds: &Bounds) -> usize {
    bytes_len(1, key_bytes(bounds.lower())) + bytes_len(2, key_bytes(bounds.upper()))
}

/// Empty for an open end.
fn key_bytes(bound: &Bound) -> &[u8] {
    match bound {
        Bound::Key(key) => key.as_bytes(),
        Bound::Min | Bound::Max => &[],
    }
}

fn write_placement(placement: &Placement, to: &mut Vec<u8>) {
    number(1, placement.replication_factor.into(), to);
    for (name, value) in &placement.attributes {
        message(2, attribute_len(name, value), to);
        bytes(1, name.as_bytes(), to);
        bytes(2, value.as_bytes(), to);
    }
}

/// The placement whose one encoding `bytes` are.
pub(crate) fn read_placement(bytes: &[u8]) -> Option<Placement> {
    let placement = Placement::try_from(PlacementMessage::decode(bytes).ok()?).ok()?;
    let mut own = Vec::with_capacity(bytes.len());
    write_placement(&placement, &mut own);
    (own == bytes).then_some(placement)
}

fn placement_len(placement: &Placement) -> usize {
    let attributes = placement.attributes.iter().map(|(name, value)| delimited_len(2, attribute_len(name, value)));
    number_len(1, placement.replication_factor.into()) + attributes.sum::<usize>()
}

fn attribute_len(name: &str, value: &str) -> usize {
    bytes_len(1, name.as_bytes()) + bytes_len(2, value.as_bytes())
}

/// A repeated text: each is written, whatever it holds.
fn names(tag: u32, copies: &Copies, to: &mut Vec<u8>) {
    for member in copies {
        let name = member.as_str().as_bytes();
        message(tag, name.len(), to);
        to.extend_from_slice(name);
    }
}

/// A number, left out if it is 0.
fn number(tag: u32, value: u64, to: &mut Vec<u8>) {
    if value != 0 {
        varint(key(tag, WireType::Varint), to);
        varint(value, to);
    }
}

fn number_len(tag: u32, value: u64) -> usize {
    if value == 0 { 0 } else { key_len(tag) + encoded_len_varint(value) }
}

/// A text or a byte string, left out if it is empty.
fn bytes(tag: u32, value: &[u8], to: &mut Vec<u8>) {
    if !value.is_empty() {
        message(tag, value.len(), to);
        to.extend_from_slice(value);
    }
}

fn bytes_len(tag: u32, value: &[u8]) -> usize {
    if value.is_empty() { 0 } else { delimited_len(tag, value.len()) }
}

/// What stands before a message of `len` bytes.
pub(crate) fn message(tag: u32, len: usize, to: &mut Vec<u8>) {
    varint(key(tag, WireType::LengthDelimited), to);
    varint(len as u64, to);
}

fn key(tag: u32, wire_type: WireType) -> u64 {
    u64::from((tag << 3) | wire_type as u32)
}

/// Most are below 128, which take one byte.
fn varint(value: u64, to: &mut Vec<u8>) {
    match u8::try_from(value) {
        Ok(byte) if byte < 0x80 => to.push(byte),
        _ => encode_varint(value, to),
    }
}

/// How long a message of `len` bytes is together with what stands before it.
pub(crate) fn delimited_len(tag: u32, len: usize) -> usize {
    key_len(tag) + encoded_len_varint(len as u64) + len
}

/// Ranges of every kind, for tests.
#[cfg(test)]
pub(crate) mod strategy {
    use super::*;
    use crate::id::{Epoch, RangeId, Version};
    use crate::range::{Move, MovePhase};
    use cp_seam::MemberId;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn member() -> impl Strategy<Value = MemberId> {
        "[a-z0-9]{1,63}".prop_map(|name| MemberId::new(&name).unwrap())
    }

    fn copies() -> impl Strategy<Value = Copies> {
        vec(member(), 0..4).prop_map(|members| members.into_iter().collect())
    }

    fn bounds() -> impl Strategy<Value = Bounds> {
        let key = || vec(any::<u8>(), 0..200);
        (key(), key()).prop_filter_map("not empty", |(lower, upper)| {
            let upper = if upper.is_empty() { Bound::Max } else { Bound::at(&upper).unwrap() };
            Bounds::new(Bound::at(&lower).unwrap(), upper).ok()
        })
    }

    fn placement() -> impl Strategy<Value = Placement> {
        (1u32.., btree_map("[a-zä]{0,60}", ".{0,30}", 0..4))
            .prop_map(|(replication_factor, attributes)| Placement { replication_factor, attributes })
    }

    fn moving() -> impl Strategy<Value = Option<Box<Move>>> {
        let phase = prop_oneof![Just(MovePhase::Begun), Just(MovePhase::Copying), Just(MovePhase::CatchingUp)];
        prop::option::of((member(), phase).prop_map(|(target, phase)| Box::new(Move { target, phase })))
    }

    pub(crate) fn range() -> impl Strategy<Value = Range> {
        let numbers = (0u64..3, any::<u64>(), 0u64..300);
        let roles = (member(), copies(), copies());
        (numbers, bounds(), roles, placement(), moving()).prop_map(|(numbers, bounds, roles, placement, moving)| {
            let (id, epoch, version) = numbers;
            let (id, epoch, version) = (RangeId(id), Epoch(epoch), Version(version));
            let (owner, replicas, archives) = roles;
            Range { id, bounds, owner, replicas, archives, epoch, version, placement: placement.into(), moving }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::record::RangeRecord;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_is_written_as_its_message_is(range in strategy::range()) {
            let mut written = vec![7];
            write_range(&range, &mut written);
            prop_assert_eq!(&written[1..], RangeRecord::from(&range).encode_to_vec());
        }
    }
}
