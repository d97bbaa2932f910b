//! What an operator has exported of the data, as a data plane that moves nothing.

use super::data::{CopyOrder, DataPlane, Fault};
use async_trait::async_trait;
use cp_catalog::plan::{MemberObserved, Observed, RangeObserved};
use cp_catalog::{ClosedGate, CollectionName, DataPosition, Epoch, RangeId, RangeKey, RangeStanding, Role};
use cp_seam::MemberId;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Positions, gates and disks as they were seen, from a file (JSON, or TOML by its name).
///
/// ```json
/// {
///   "ranges": [{
///     "id": "orders/1", "watermark": "3.120", "applied": {"n1": "3.120", "n2": "3.118"},
///     "closed_gate": {"epoch": "0:4", "last": "3.120"}, "load": 12
///   }],
///   "members": [{"id": "n1", "disk_bytes": 1000000, "lost": false}]
/// }
/// ```
///
/// As a data plane it closes no gate and copies nothing: what a step needs is in the file,
/// or the step is not done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedFile {
    /// Its name; none if there is no file, and so nothing was seen.
    name: Option<String>,
    observed: Observed,
}

/// The file is refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadObservedFile {
    /// It cannot be read.
    #[error("{file} cannot be read")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It says something that cannot be.
    #[error("{file}: {why}")]
    Refused {
        /// Which.
        file: String,
        /// What is wrong and what would do.
        why: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default, alias = "range")]
    ranges: Vec<RawRange>,
    #[serde(default, alias = "member")]
    members: Vec<RawMember>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    id: String,
    watermark: Option<String>,
    #[serde(default)]
    applied: BTreeMap<String, String>,
    closed_gate: Option<RawGate>,
    load: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGate {
    epoch: String,
    last: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    id: String,
    disk_bytes: Option<u64>,
    #[serde(default)]
    lost: bool,
}

impl ObservedFile {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, BadObservedFile> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| BadObservedFile::Unreadable { file: file.clone(), source })?;
        Self::parse(&file, &text)
    }

    /// Checks `text`, which came from `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, BadObservedFile> {
        let refused = |why: String| BadObservedFile::Refused { file: file.to_owned(), why };
        let toml = Path::new(file).extension().is_some_and(|extension| extension == "toml");
        let raw: Raw = if toml {
            toml::from_str(text).map_err(|error| refused(error.to_string()))?
        } else {
            serde_json::from_str(text).map_err(|error| refused(error.to_string()))?
        };
        let observed = raw.check().map_err(refused)?;
        Ok(Self { name: Some(file.to_owned()), observed })
    }

    /// What was seen.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// That `what` was not seen.
    fn lacks(&self, what: &str) -> String {
        match &self.name {
            Some(name) => format!("{name} does not show {what}"),
            None => format!("no observations are given to show {what}"),
        }
    }
}

impl Raw {
    fn check(self) -> Result<Observed, String> {
        let mut observed = Observed::default();
        for range in self.ranges {
            let (key, seen) = range.check()?;
            if observed.ranges.insert(key.clone(), seen).is_some() {
                return Err(format!("range {key} is there twice; leave one out"));
            }
        }
        for RawMember { id, disk_bytes, lost } in self.members {
            let member = member(&id)?;
            if observed.members.insert(member, MemberObserved { disk_bytes, lost }).is_some() {
                return Err(format!("member {id} is there twice; leave one out"));
            }
        }
        Ok(observed)
    }
}

impl RawRange {
    fn check(self) -> Result<(RangeKey, RangeObserved), String> {
        let key = range_key(&self.id)?;
        let of_range = |what: &str, why: String| format!("range {key}: {what}: {why}");
        let at = |what: &str, text: &String| position(text).map_err(|why| of_range(what, why));
        let mut applied = BTreeMap::new();
        for (name, text) in &self.applied {
            applied.insert(member(name).map_err(|why| of_range("applied", why))?, at(name, text)?);
        }
        let watermark = self.watermark.as_ref().map(|text| at("watermark", text)).transpose()?;
        let closed_gate = match &self.closed_gate {
            Some(gate) => {
                let epoch = epoch(&gate.epoch).map_err(|why| of_range("closed_gate", why))?;
                Some(ClosedGate { epoch, last: at("closed_gate", &gate.last)? })
            }
            None => None,
        };
        Ok((key, RangeObserved { applied, watermark, closed_gate, load: self.load }))
    }
}

fn member(name: &str) -> Result<MemberId, String> {
    name.parse().map_err(|bad| format!("{name:?} is no member: {bad}"))
}

/// A range, as `collection/id`.
pub fn range_key(text: &str) -> Result<RangeKey, String> {
    let bad = || format!("{text:?} is no range; write collection/id, as `range list` prints it");
    let (collection, id) = text.rsplit_once('/').ok_or_else(bad)?;
    let id = RangeId(id.parse().map_err(|_| bad())?);
    let collection: CollectionName = collection.parse().map_err(|bad| format!("{text:?} is no range: {bad}"))?;
    Ok(RangeKey::new(collection, id))
}

/// A position in a range's own log, as `term.lsn`.
pub fn position(text: &str) -> Result<DataPosition, String> {
    let bad = || format!("{text:?} is no position; write term.lsn, such as 3.1200");
    let (term, lsn) = text.split_once('.').ok_or_else(bad)?;
    Ok(DataPosition { term: term.parse().map_err(|_| bad())?, lsn: lsn.parse().map_err(|_| bad())? })
}

/// An epoch, as it is printed.
fn epoch(text: &str) -> Result<Epoch, String> {
    let bad = || format!("{text:?} is no epoch; write generation:number, such as 0:4, as `range list` prints it");
    let (generation, number) = text.split_once(':').ok_or_else(bad)?;
    let generation: u64 = generation.parse::<u16>().map_err(|_| bad())?.into();
    let number: u64 = number.parse().map_err(|_| bad())?;
    if number >> Epoch::COUNT_BITS != 0 {
        return Err(bad());
    }
    Ok(Epoch((generation << Epoch::COUNT_BITS) | number))
}

#[async_trait]
impl DataPlane for ObservedFile {
    async fn members(&self) -> Result<BTreeMap<MemberId, MemberObserved>, Fault> {
        Ok(self.observed.members.clone())
    }

    async fn ranges(&self, ranges: &[RangeKey]) -> Result<BTreeMap<RangeKey, RangeObserved>, Fault> {
        let seen = |key: &RangeKey| Some((key.clone(), self.observed.ranges.get(key)?.clone()));
        Ok(ranges.iter().filter_map(seen).collect())
    }

    async fn copy(&self, order: &CopyOrder) -> Result<DataPosition, Fault> {
        let seen = self.observed.ranges.get(&order.range);
        let Some(applied) = seen.and_then(|seen| seen.applied.get(&order.member)).copied() else {
            return Err(format!("{}; copy it, and export again", self.lacks("where it is")).into());
        };
        match order.until {
            Some(needed) if !applied.covers(needed) => {
                Err(format!("it is seen at {applied}; let it catch up, and export again").into())
            }
            None if order.role != Role::Archive => {
                Err(format!("{}; export it too", self.lacks("the watermark of the range")).into())
            }
            _ => Ok(applied),
        }
    }

    async fn close(&self, range: &RangeKey, owner: &MemberId, epoch: Epoch) -> Result<ClosedGate, Fault> {
        let gate = self.observed.ranges.get(range).and_then(|seen| seen.closed_gate);
        gate.filter(|gate| gate.epoch == epoch)
            .ok_or_else(|| format!("{}; close it at {owner}, and export again", self.lacks("it closed")).into())
    }

    async fn orphans(&self) -> Result<Vec<(RangeKey, MemberId)>, Fault> {
        Ok(Vec::new())
    }

    async fn delete(&self, range: &RangeKey, member: &MemberId, _: &RangeStanding) -> Result<(), Fault> {
        Err(format!("delete what {member} keeps of range {range} there").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{
        "ranges": [{"id": "orders/1", "watermark": "3.120", "applied": {"n1": "3.120"},
                    "closed_gate": {"epoch": "1:4", "last": "3.121"}, "load": 12}],
        "members": [{"id": "n1", "disk_bytes": 7}, {"id": "n2", "lost": true}]
    }"#;
    const TOML: &str = "[[range]]\nid = \"orders/1\"\nwatermark = \"3.120\"\nload = 12\napplied = { n1 = \"3.120\" }\nclosed_gate = { epoch = \"1:4\", last = \"3.121\" }\n[[member]]\nid = \"n1\"\ndisk_bytes = 7\n[[member]]\nid = \"n2\"\nlost = true\n";

    #[test]
    fn what_was_seen_is_read_from_json_and_toml_alike() {
        let json = ObservedFile::parse("seen.json", JSON).unwrap();
        let toml = ObservedFile::parse("seen.toml", TOML).unwrap();
        assert_eq!(json.observed(), toml.observed());
        let seen = &json.observed().ranges[&range_key("orders/1").unwrap()];
        let gate = seen.closed_gate.unwrap();
        assert_eq!((gate.epoch.to_string(), gate.last.to_string()), ("1:4".to_owned(), "3.121".to_owned()));
        assert!(json.observed().is_lost(&MemberId::new("n2").unwrap()));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_with_what_would_do() {
        let refusal = |text: &str| ObservedFile::parse("seen.json", text).unwrap_err().to_string();
        for (bad, why) in [
            (JSON.replace("orders/1", "orders"), "collection/id"),
            (JSON.replace("3.121", "3"), "range orders/1: closed_gate: \"3\" is no position; write term.lsn"),
            (JSON.replace("\"watermark\": \"3.120\"", "\"watermark\": \"x\""), "range orders/1: watermark"),
            (JSON.replace("1:4", "4"), "generation:number"),
            (JSON.replace("1:4", "1:281474976710656"), "generation:number"),
            (JSON.replace("\"n2\"", "\"n1\""), "member n1 is there twice"),
            (JSON.replace("\"n1\": \"3.120\"", "\"N 1\": \"3.120\""), "no member"),
            (JSON.replace("load", "lode"), "unknown field `lode`"),
        ] {
            let said = refusal(&bad);
            assert!(said.starts_with("seen.json: ") && said.contains(why), "{said}");
        }
    }
}
