//! Ranges and chunks read straight from the bytes that this release writes.
//!
//! A shortcut past their messages, for restoring many: it copies no text, and knows that the bytes
//! are the record's one encoding, so that they can be hashed as they are. What it does not
//! recognise, whatever the reason, is read by way of the messages.

use crate::bounds::{Bound, Bounds, Key};
use crate::id::{Epoch, RangeId, Version};
use crate::range::{Copies, Move, MovePhase, Placement, Range};
use cp_seam::MemberId;
use std::sync::Arc;

/// Bytes still to be read. Whatever it gives was in its shortest form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire<'a>(&'a [u8]);

const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

impl<'a> Wire<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Takes the key of a field, if it comes next.
    fn takes(&mut self, tag: u8, wire_type: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == (tag << 3 | wire_type) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            // No more than 64 bits, and no last byte that says nothing.
            if (bits << shift) >> shift != bits || (*byte == 0 && shift > 0) {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number, which is left out if it is 0.
    pub(crate) fn number(&mut self, tag: u8) -> Option<u64> {
        if self.takes(tag, VARINT) { self.varint().filter(|value| *value != 0) } else { Some(0) }
    }

    /// The bytes of a field that comes next; `None` also if another one does.
    pub(crate) fn field(&mut self, tag: u8) -> Option<&'a [u8]> {
        if !self.takes(tag, LENGTH_DELIMITED) {
            return None;
        }
        let len = usize::try_from(self.varint()?).ok()?;
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    fn comes(self, tag: u8) -> bool {
        self.0.first() == Some(&(tag << 3 | LENGTH_DELIMITED))
    }

    /// Which field comes next, if it is one whose bytes are counted; `None` also at the end.
    pub(crate) fn next_field(self) -> Option<u8> {
        self.0.first().filter(|key| **key & 7 == LENGTH_DELIMITED && **key < 0x80).map(|key| key >> 3)
    }

    /// The text of a field that comes next.
    pub(crate) fn text(&mut self, tag: u8) -> Option<&'a str> {
        std::str::from_utf8(self.field(tag)?).ok()
    }

    /// What `read` makes of a message that comes next, to its end.
    pub(crate) fn inner<T>(&mut self, tag: u8, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut inner = Self(self.field(tag)?);
        let value = read(&mut inner)?;
        inner.is_empty().then_some(value)
    }

    /// As [`inner`](Self::inner) of a message that may be left out.
    pub(crate) fn optional<T>(&mut self, tag: u8, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.comes(tag) { self.inner(tag, read).map(Some) } else { Some(None) }
    }

    /// The bytes of a field, which is left out if there are none.
    fn bytes(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.comes(tag) { self.field(tag).filter(|bytes| !bytes.is_empty()) } else { Some(&[]) }
    }
}

/// What a range refers to.
pub(crate) trait Known {
    /// The member of this name, if it is known.
    fn member(&mut self, name: &[u8]) -> Option<MemberId>;
    /// The placement that has this one encoding.
    fn placement(&mut self, bytes: &[u8]) -> Option<Arc<Placement>>;
}

/// The range whose one encoding `bytes` are; `None` if they are not, or if it is not known
/// what they refer to.
pub(crate) fn read_range(bytes: &[u8], known: &mut impl Known) -> Option<Range> {
    let mut wire = Wire(bytes);
    let id = RangeId(wire.number(1)?);
    let bounds = read_bounds(wire.field(2)?)?;
    let owner = known.member(wire.field(3)?)?;
    let replicas = read_copies(&mut wire, 4, known)?;
    let archives = read_copies(&mut wire, 5, known)?;
    let (epoch, version) = (Epoch(wire.number(6)?), Version(wire.number(7)?));
    let placement = known.placement(wire.field(8)?)?;
    let moving = if wire.comes(9) { Some(Box::new(read_move(&mut wire, known)?)) } else { None };
    let range = Range { id, bounds, owner, replicas, archives, epoch, version, placement, moving };
    wire.is_empty().then_some(range)
}

fn read_bounds(bytes: &[u8]) -> Option<Bounds> {
    let mut wire = Wire(bytes);
    let (lower, upper) = (wire.bytes(1)?, wire.bytes(2)?);
    let at = |bytes: &[u8], open| if bytes.is_empty() { Some(open) } else { Key::new(bytes).ok().map(Bound::Key) };
    let bounds = Bounds::new(at(lower, Bound::Min)?, at(upper, Bound::Max)?).ok()?;
    wire.is_empty().then_some(bounds)
}

/// Members in ascending order: in another, their encoding would be another one.
fn read_copies(wire: &mut Wire<'_>, tag: u8, known: &mut impl Known) -> Option<Copies> {
    let mut ahead = *wire;
    let mut count = 0;
    while ahead.comes(tag) {
        ahead.field(tag)?;
        count += 1;
    }
    if count > Copies::COUNT_MAX {
        return None;
    }
    let (mut members, mut last) = (Vec::with_capacity(count), &[][..]);
    for _ in 0..count {
        let name = wire.field(tag)?;
        if name <= last {
            return None;
        }
        last = name;
        members.push(known.member(name)?);
    }
    Some(members.into_iter().collect())
}

fn read_move(wire: &mut Wire<'_>, known: &mut impl Known) -> Option<Move> {
    let target = known.member(wire.field(9)?)?;
    let phase = match wire.number(10)? {
        1 => MovePhase::Begun,
        2 => MovePhase::Copying,
        3 => MovePhase::CatchingUp,
        _ => return None,
    };
    Some(Move { target, phase })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::range::strategy;
    use crate::codec::range::write_range;
    use crate::codec::record::RangeRecord;
    use proptest::prelude::*;
    use prost::Message;

    /// Takes every legal name, and every placement that it can encode anew to the same.
    struct Everybody;

    impl Known for Everybody {
        fn member(&mut self, name: &[u8]) -> Option<MemberId> {
            MemberId::new(std::str::from_utf8(name).ok()?).ok()
        }

        fn placement(&mut self, bytes: &[u8]) -> Option<Arc<Placement>> {
            crate::codec::range::read_placement(bytes).map(Arc::new)
        }
    }

    fn written(range: &Range) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_range(range, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn a_range_is_read_as_it_was_written(range in strategy::range()) {
            prop_assert_eq!(read_range(&written(&range), &mut Everybody), Some(range));
        }

        /// What is read is hashed by its bytes: no others may be taken for the same range.
        #[test]
        fn no_other_bytes_are_taken_for_a_range(
            range in strategy::range(),
            at in any::<prop::sample::Index>(),
            what in 0u8..5,
            byte in any::<u8>(),
        ) {
            let mut bytes = written(&range);
            let place = at.index(bytes.len());
            match what {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 => drop(bytes.remove(place)),
                3 => bytes.truncate(place),
                // A whole field comes twice, or bytes follow that belong to none.
                _ => bytes.extend_from_within(place..),
            }
            if let Some(read) = read_range(&bytes, &mut Everybody) {
                prop_assert_eq!(&written(&read), &bytes);
                let by_message = RangeRecord::decode(&*bytes).unwrap();
                prop_assert_eq!(Range::try_from(by_message).unwrap(), read);
            }
        }
    }

    #[test]
    fn other_encodings_of_a_range_are_left_to_the_message() {
        let read = |bytes: &[u8]| read_range(bytes, &mut Everybody).is_some();
        let plain = [&[8, 1, 18, 3, 10, 1, b'b', 26, 1, b'a'][..], &[34, 1, b'b', 34, 1, b'c', 48, 1, 56, 1]].concat();
        let placement = [66, 2, 8, 1];
        let with = |from: &[u8], to: &[u8]| {
            let at = (0..plain.len()).find(|at| plain[*at..].starts_with(from)).unwrap();
            [&plain[..at], to, &plain[at + from.len()..], &placement].concat()
        };
        assert!(read(&with(&[], &[])));
        for (what, from, to) in [
            ("a long number", &[8, 1][..], &[8, 0x81, 0][..]),
            ("a number that could be left out", &[8, 1], &[8, 0]),
            ("copies in another order", &[34, 1, b'b', 34, 1, b'c'], &[34, 1, b'c', 34, 1, b'b']),
            ("a copy twice", &[34, 1, b'b', 34, 1, b'c'], &[34, 1, b'b', 34, 1, b'b']),
            ("an empty bound", &[18, 3, 10, 1, b'b'], &[18, 5, 10, 1, b'b', 18, 0]),
            ("fields in another order", &[48, 1, 56, 1], &[56, 1, 48, 1]),
            ("a field twice", &[48, 1], &[48, 1, 48, 1]),
            ("a field that is unknown", &[48, 1], &[48, 1, 0x7a, 0]),
        ] {
            let bytes = with(from, to);
            assert!(RangeRecord::decode(&*bytes).is_ok() && !read(&bytes), "{what}");
        }
    }
}
