//! The declarative cluster file: members, collections and how they are cut into ranges.
//!
//! Reading it checks everything that can be checked without a cluster, and says
//! for what it refuses the line, the reason and what would do.

mod check;

use check::{Fault, Raw};
use cp_catalog::{Addresses, Bounds, CollectionName, GroupName, Locality, Mode};
use cp_seam::{MemberId, MemberKind};
use std::path::Path;

pub use check::check_address;

/// A checked cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFile {
    /// The members, in the order of the file.
    pub members: Vec<MemberSpec>,
    /// The collections, in the order of the file.
    pub collections: Vec<CollectionSpec>,
}

/// A member as the file wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSpec {
    /// Its name.
    pub id: MemberId,
    /// What it is for.
    pub kind: MemberKind,
    /// Where it will be reached.
    pub addresses: Addresses,
    /// Where it stands.
    pub locality: Locality,
}

/// A collection as the file wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionSpec {
    /// Its name.
    pub name: CollectionName,
    /// The group whose placement authority it is under.
    pub group: GroupName,
    /// How its keys map to ranges.
    pub mode: Mode,
    /// How many members hold each range, the owner included.
    pub replication_factor: u32,
    /// The bounds of its ranges, ascending, without gaps; their ids are 1, 2, 3...
    pub bounds: Vec<Bounds>,
}

impl ClusterFile {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, BadClusterFile> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| BadClusterFile::Unreadable { file: file.clone(), source })?;
        Self::parse(&file, &text)
    }

    /// Checks `text`, which came from `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, BadClusterFile> {
        let refuse = |fault: Fault| BadClusterFile::Refused {
            file: file.to_owned(),
            line: fault.at.map_or(1, |at| line_of(text, at)),
            why: fault.why,
        };
        let raw: Raw = toml::from_str(text).map_err(|error| {
            refuse(Fault { at: error.span().map(|span| span.start), why: error.message().replace('\n', " ") })
        })?;
        raw.check().map_err(refuse)
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

/// The cluster file is refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadClusterFile {
    /// It cannot be read.
    #[error("cluster file {file} cannot be read")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It says something that cannot be.
    #[error("{file}:{line}: {why}")]
    Refused {
        /// Which.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what would do.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_catalog::Bound;

    use std::collections::BTreeSet;

    const MEMBER: &str = "[[member]]\nid = \"n1\"\npeer = \"h:1\"\nclient = \"h:2\"\nfailure_domain = \"a\"\n";

    fn refusal(text: &str) -> String {
        ClusterFile::parse("c.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_is_three_members_four_collections_and_64_ranges() {
        let file = ClusterFile::parse("cluster.toml", include_str!("../../../examples/cluster.toml")).unwrap();
        let domains: BTreeSet<_> = file.members.iter().map(|m| &m.locality.domain).collect();
        assert_eq!((file.members.len(), domains.len(), file.collections.len()), (3, 3, 4));
        assert_eq!(file.collections.iter().map(|c| c.bounds.len()).sum::<usize>(), 64);
    }

    #[test]
    fn the_other_example_has_one_witness_among_three() {
        let text = include_str!("../../../examples/two-and-a-witness.toml");
        let file = ClusterFile::parse("two-and-a-witness.toml", text).unwrap();
        let kinds: Vec<_> = file.members.iter().map(|m| m.kind).collect();
        assert_eq!(kinds, [MemberKind::Data, MemberKind::Data, MemberKind::Witness]);
    }

    #[test]
    fn bounds_tile_the_key_space() {
        let collections = "[[collection]]\nname = \"a\"\ngroup = \"g\"\nmode = \"hash\"\nranges = 7\n\
             [[collection]]\nname = \"b\"\ngroup = \"g\"\nmode = \"ordered\"\nsplit_at = [\"b\", \"m\"]\n";
        let file = ClusterFile::parse("c.toml", &format!("{MEMBER}{collections}")).unwrap();
        assert_eq!(file.collections.iter().map(|c| c.bounds.len()).collect::<Vec<_>>(), [7, 3]);
        for spec in file.collections {
            let (first, last) = (spec.bounds.first().unwrap(), spec.bounds.last().unwrap());
            assert_eq!((first.lower(), last.upper()), (&Bound::Min, &Bound::Max));
            assert!(spec.bounds.windows(2).all(|pair| pair[0].upper() == pair[1].lower()));
            assert!(spec.bounds.iter().all(|bounds| bounds.check(spec.mode).is_ok()));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            ("[[member]\n".to_owned(), "c.toml:1: ", "expected"),
            (MEMBER.replace("n1", "N1"), "c.toml:2: ", "a-z"),
            (MEMBER.replace("h:2", "h"), "c.toml:4: client address \"h\" has no port", "host:port"),
            (MEMBER.replace("h:2", "h:1"), "c.toml:4: ", "already that of n1"),
            (format!("{MEMBER}colour = 1\n"), "c.toml:6: ", "colour"),
            (format!("{MEMBER}weight = 0\n"), "c.toml:6: ", "weight 0"),
            (format!("{MEMBER}{}", MEMBER.replace("h:", "k:")), "c.toml:7: ", "listed twice"),
            (
                format!("{MEMBER}[[collection]]\nname = \"x\"\ngroup = \"g\"\nmode = \"tree\"\n"),
                "c.toml:9: ",
                "\"hash\" or \"ordered\"",
            ),
            (
                format!("{MEMBER}[[collection]]\nname = \"x\"\ngroup = \"g\"\nmode = \"hash\"\nranges = 99999\n"),
                "c.toml:10: ",
                "u16",
            ),
            (
                format!(
                    "{MEMBER}[[collection]]\nname = \"x\"\ngroup = \"g\"\nmode = \"ordered\"\nsplit_at = [\n\"b\",\n\"a\"]\n"
                ),
                "c.toml:12: ",
                "ascend",
            ),
            (
                format!(
                    "{MEMBER}[[collection]]\nname = \"x\"\ngroup = \"g\"\nmode = \"hash\"\nranges = 4\nreplication_factor = 2\n"
                ),
                "c.toml:11: ",
                "1 data members; use 1 to 1",
            ),
            (String::new(), "c.toml:1: ", "[[member]]"),
        ];
        for (text, place, reason) in cases {
            let refusal = refusal(&text);
            assert!(refusal.starts_with(place) && refusal.contains(reason), "{refusal}\nin:\n{text}");
        }
    }
}
