//! Names and numbers: who a member is, which life of it, and where in the log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The stable name of a cluster member.
///
/// It is a DNS label (1 to 63 of `a-z`, `0-9`, `-`; neither first nor last may
/// be `-`) because it is also the first label of the member's certificate: the
/// name that votes, acknowledges and holds ranges is the name that TLS proved.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(Arc<str>);

impl MemberId {
    /// Takes a name, or says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, BadMemberId> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 63 {
            return Err(BadMemberId::Length { name: name.to_owned(), length: name.len() });
        }
        if let Some(bad) = name.chars().find(|c| !u8::try_from(*c).is_ok_and(legal)) {
            return Err(BadMemberId::Character { name: name.to_owned(), character: bad });
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(BadMemberId::Edge { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MemberId {
    type Err = BadMemberId;

    fn from_str(name: &str) -> Result<Self, BadMemberId> {
        Self::new(name)
    }
}

/// Why a text is not a member id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadMemberId {
    /// Empty, or longer than a DNS label.
    #[error("member id {name:?} has {length} bytes; give it 1 to 63")]
    Length {
        /// The text.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A character that no DNS label has.
    #[error("member id {name:?} holds {character:?}; use a-z, 0-9 and '-' only")]
    Character {
        /// The text.
        name: String,
        /// The first offending character.
        character: char,
    },
    /// A dash at either end.
    #[error("member id {name:?} begins or ends with '-'; begin and end it with a letter or a digit")]
    Edge {
        /// The text.
        name: String,
    },
}

/// One life of a member: a number that the replicated state allots at admission
/// and never reuses (CP-M3).
///
/// A member whose disk was wiped returns under the same [`MemberId`] and a new
/// incarnation, so that nothing the old life promised can be claimed by the new
/// one. Votes, configurations and frames name incarnations. Zero is no member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The random identity of a cluster, fixed at genesis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ClusterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("cluster id {text:?} is not 32 hexadecimal digits");
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| bad())
    }
}

/// Which continuation of a cluster this is (CP-R2).
///
/// It starts at number 0 and rises at every forced recovery and restore. Two
/// recoveries made from the same predecessor share a number and differ in `id`,
/// so their members refuse each other. The number is the upper 16 bits of every
/// range epoch issued under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Generation {
    /// How many recoveries came before.
    pub number: u16,
    /// Random, so that equal numbers can be told apart.
    pub id: [u8; 8],
}

/// A Raft term. At most one leader per term (CP-S1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A slot of the control-plane log; 0 is genesis, 1 the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ControlPlaneLogIndex(pub u64);

impl fmt::Display for ControlPlaneLogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl ControlPlaneLogIndex {
    /// The slot after this one (saturating: the log cannot outgrow 2^64).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The slot before this one; genesis stays genesis.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A term and an index: what was put into a slot, not just the slot.
///
/// Ordered as Raft compares logs: by term, then by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPosition {
    /// The term of the leader that put it there.
    pub term: Term,
    /// The slot.
    pub index: ControlPlaneLogIndex,
}

impl LogPosition {
    /// Genesis: term 0, index 0.
    pub const GENESIS: Self = Self { term: Term(0), index: ControlPlaneLogIndex(0) };

    /// The position of `index` in `term`.
    pub const fn new(term: Term, index: ControlPlaneLogIndex) -> Self {
        Self { term, index }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_id_is_a_dns_label() {
        for good in ["a", "0", "node-1", "a--b", &"x".repeat(63)] {
            let id: MemberId = good.parse().unwrap();
            assert_eq!((id.as_str(), id.to_string()), (good, good.to_owned()));
        }
        let of = |text: &str| MemberId::new(text).unwrap_err();
        for bad in ["", &"x".repeat(64)] {
            assert_eq!(of(bad), BadMemberId::Length { name: bad.to_owned(), length: bad.len() });
        }
        for (bad, character) in [("Node", 'N'), ("a.b", '.'), ("a_b", '_'), ("né", 'é')] {
            assert_eq!(of(bad), BadMemberId::Character { name: bad.to_owned(), character });
        }
        for bad in ["-", "-a", "a-"] {
            assert_eq!(of(bad), BadMemberId::Edge { name: bad.to_owned() });
        }
    }

    #[test]
    fn a_cluster_id_is_32_hexadecimal_digits() {
        let id = ClusterId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0xfe, 0xff]);
        let text = "000102030405060708090a0b0c0dfeff";
        assert_eq!((id.to_string(), text.parse()), (text.to_owned(), Ok(id)));
        for bad in ["", "00", &text[1..], &format!("0{text}"), &text.replace('f', "g"), &text.replacen('0', "+", 1)] {
            assert!(bad.parse::<ClusterId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_read_as_they_are_written_elsewhere() {
        let position = LogPosition::new(Term(4), ControlPlaneLogIndex(17));
        assert_eq!(
            [position.to_string(), position.term.to_string(), position.index.to_string(), Incarnation(3).to_string()],
            ["4.17", "4", "17", "#3"]
        );
    }

    #[test]
    fn slots_follow_each_other_and_stop_at_the_ends() {
        let slot = ControlPlaneLogIndex;
        assert_eq!([slot(0).next(), slot(8).next(), slot(u64::MAX).next()], [slot(1), slot(9), slot(u64::MAX)]);
        assert_eq!([slot(0).prev(), slot(1).prev(), slot(9).prev()], [slot(0), slot(0), slot(8)]);
    }
}
