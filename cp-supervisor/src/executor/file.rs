//! What an operator has exported of the data, as a data plane that moves nothing.

mod raw;

pub use raw::{position, range_key};

use super::data::{CopyOrder, DataPlane, Fault};
use async_trait::async_trait;
use cp_catalog::plan::{MemberObserved, Observed, RangeObserved};
use cp_catalog::{Catalog, ClosedGate, DataPosition, RangeKey, RangeStanding, Role};
use cp_seam::MemberId;
use raw::Raw;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Positions, gates and disks as they were seen, from a file (JSON, or TOML by its name).
///
/// ```json
/// {
///   "ranges": [{
///     "id": "orders/1", "epoch": "0:4",
///     "watermark": "3.120", "applied": {"n1": "3.120", "n2": "3.118"},
///     "closed_gate": {"epoch": "0:4", "last": "3.120"}, "load": 12
///   }],
///   "members": [{"id": "n1", "disk_bytes": 1000000, "lost": false}]
/// }
/// ```
///
/// As a data plane it closes no gate and copies nothing: what a step needs is in the file,
/// or the step is not done. Positions and watermark are those of the epoch that the file says
/// the range had; once it has another they count for nothing. The watermark of a range whose
/// owner is lost is taken at its word.
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

    /// What in the file counts for nothing by `catalog`, by name and with what would help.
    pub fn ignored(&self, catalog: &Catalog) -> Vec<String> {
        let file = self.name.as_deref().unwrap_or_default();
        let range = |(key, seen): (&RangeKey, &RangeObserved)| {
            let Some(range) = catalog.range(key) else {
                return Some(format!("{file}: range {key} does not exist; what is said of it is ignored"));
            };
            let other = |what: &str, epoch| {
                let now = range.epoch;
                format!(
                    "{file}: {what} of range {key} is of epoch {epoch}, it has {now}; this is ignored, export again"
                )
            };
            if let Some(epoch) = seen.epoch.filter(|epoch| *epoch != range.epoch) {
                return Some(other("what is said", epoch));
            }
            let gate = seen.closed_gate.as_ref().filter(|gate| gate.epoch != range.epoch);
            gate.map(|gate| other("the closed gate", gate.epoch))
        };
        let positions = self.observed.ranges.values().flat_map(|seen| seen.applied.keys());
        let named: BTreeSet<_> = self.observed.members.keys().chain(positions).collect();
        let strangers = named.into_iter().filter(|member| catalog.member(member).is_none());
        let member = |member| format!("{file}: {member} is not a member; what is said of it is ignored");
        self.observed.ranges.iter().filter_map(range).chain(strangers.map(member)).collect()
    }

    /// That `what` was not seen.
    fn lacks(&self, what: &str) -> String {
        match &self.name {
            Some(name) => format!("{name} does not show {what}"),
            None => format!("no observations are given to show {what}"),
        }
    }
}

#[async_trait]
impl DataPlane for ObservedFile {
    async fn members(&self) -> Result<BTreeMap<MemberId, MemberObserved>, Fault> {
        Ok(self.observed.members.clone())
    }

    async fn ranges(
        &self,
        ranges: &[RangeKey],
        _lost: &BTreeSet<MemberId>,
    ) -> Result<BTreeMap<RangeKey, RangeObserved>, Fault> {
        let seen = |key: &RangeKey| Some((key.clone(), self.observed.ranges.get(key)?.clone()));
        Ok(ranges.iter().filter_map(seen).collect())
    }

    async fn copy(&self, order: &CopyOrder) -> Result<DataPosition, Fault> {
        let seen = self.observed.ranges.get(&order.range);
        let Some(applied) = seen.and_then(|seen| seen.applied.get(&order.member)).copied() else {
            return Err(format!("{}; copy it, and export again", self.lacks("where it is")).into());
        };
        let now = order.standing.epoch;
        if let Some(epoch) = seen.and_then(|seen| seen.epoch).filter(|epoch| *epoch != now) {
            return Err(format!("it is seen under epoch {epoch}, and the range has {now}; export again").into());
        }
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

    async fn close(&self, range: &RangeKey, standing: &RangeStanding) -> Result<ClosedGate, Fault> {
        let gate = self.observed.ranges.get(range).and_then(|seen| seen.closed_gate.clone());
        let owner = &standing.owner;
        gate.filter(|gate| gate.is_of(range, standing.epoch))
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
        "ranges": [{"id": "orders/1", "epoch": "1:4", "watermark": "3.120", "applied": {"n1": "3.120"},
                    "closed_gate": {"epoch": "1:4", "last": "3.121"}, "load": 12}],
        "members": [{"id": "n1", "disk_bytes": 7}, {"id": "n2", "lost": true}]
    }"#;
    const TOML: &str = "[[range]]\nid = \"orders/1\"\nepoch = \"1:4\"\nwatermark = \"3.120\"\nload = 12\napplied = { n1 = \"3.120\" }\nclosed_gate = { epoch = \"1:4\", last = \"3.121\" }\n[[member]]\nid = \"n1\"\ndisk_bytes = 7\n[[member]]\nid = \"n2\"\nlost = true\n";

    #[test]
    fn what_was_seen_is_read_from_json_and_toml_alike() {
        let json = ObservedFile::parse("seen.json", JSON).unwrap();
        let toml = ObservedFile::parse("seen.toml", TOML).unwrap();
        assert_eq!(json.observed(), toml.observed());
        let seen = &json.observed().ranges[&range_key("orders/1").unwrap()];
        let gate = seen.closed_gate.clone().unwrap();
        assert_eq!((gate.epoch.to_string(), gate.last.to_string()), ("1:4".to_owned(), "3.121".to_owned()));
        assert!(json.observed().is_lost(&MemberId::new("n2").unwrap()));
    }

    /// Nobody is shown to have all of what another owner has had acknowledged since.
    #[tokio::test]
    async fn what_was_seen_under_another_epoch_counts_for_nothing_and_is_named() {
        let (catalog, key) = (founded(), range_key("orders/1").unwrap());
        let text = JSON.replace("\"n2\"", "\"n9\"");
        let now = text.replace("1:4", "0:1");
        assert_eq!(
            ObservedFile::parse("seen.json", &now).unwrap().ignored(&catalog),
            ["seen.json: n9 is not a member; what is said of it is ignored"]
        );
        let file = ObservedFile::parse("seen.json", &text.replace("orders/1", "orders/7")).unwrap();
        assert!(file.ignored(&catalog)[0].contains("range orders/7 does not exist"));
        let file = ObservedFile::parse("seen.json", &now.replacen("0:1", "0:0", 1)).unwrap();
        assert_eq!(
            file.ignored(&catalog)[0],
            "seen.json: what is said of range orders/1 is of epoch 0:0, it has 0:1; this is ignored, export again"
        );
        let range = catalog.range(&key).unwrap();
        assert_eq!(file.observed().needed(&key, range), None);
        let (standing, member) = (range.standing(), MemberId::new("n1").unwrap());
        let order = CopyOrder { range: key.clone(), standing, member, role: Role::Replica, until: None };
        let refused = file.copy(&order).await.unwrap_err().to_string();
        assert_eq!(refused, "it is seen under epoch 0:0, and the range has 0:1; export again");
        let file = ObservedFile::parse("seen.json", &text.replacen("1:4", "0:1", 1)).unwrap();
        assert!(file.ignored(&catalog)[0].contains("the closed gate of range orders/1 is of epoch 1:4, it has 0:1"));
    }

    /// Members n1 and n2; n1 owns orders/1, and n2 follows.
    fn founded() -> Catalog {
        use cp_catalog::*;
        use cp_seam::{ClusterId, ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, MemberKind, Term};
        let founder = |name: &str| FoundingMember {
            id: MemberId::new(name).unwrap(),
            kind: MemberKind::Data,
            addresses: Addresses { peer: format!("{name}:1"), client: format!("{name}:2"), http: String::new() },
            locality: Locality::default(),
            features: Features::default(),
        };
        let founding = ["n1", "n2"].map(founder).into();
        let catalog = Catalog::genesis(ClusterId([1; 16]), cp_seam::Generation::default(), founding).unwrap();
        let machine = CatalogMachine::new(catalog, ControlPlaneLogIndex(0));
        let (collection, mode) = (CollectionName::new("orders").unwrap(), Mode::Ordered);
        let group = GroupName::new("shop").unwrap();
        let commands = [
            OwnershipCommand::CreateCollection { collection, group, mode },
            OwnershipCommand::CreateRange(NewRange {
                range: range_key("orders/1").unwrap(),
                mode,
                bounds: Bounds::ALL,
                owner: MemberId::new("n1").unwrap(),
                replicas: [MemberId::new("n2").unwrap()].into_iter().collect(),
                archives: Copies::default(),
                placement: Placement::default(),
            }),
        ];
        for (index, command) in (1..).map(ControlPlaneLogIndex).zip(commands) {
            let entry = Request::new(None, command).to_entry().unwrap();
            machine.apply(LogPosition::new(Term(1), index), &entry).unwrap();
            assert!(machine.verdict(index).unwrap().is_done());
        }
        machine.read(Catalog::clone)
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_with_what_would_do() {
        let refusal = |text: &str| ObservedFile::parse("seen.json", text).unwrap_err().to_string();
        for (bad, why) in [
            (JSON.replace("orders/1", "orders"), "collection/id"),
            (JSON.replace("3.121", "3"), "range orders/1: closed_gate: \"3\" is no position; write term.lsn"),
            (JSON.replace("\"watermark\": \"3.120\"", "\"watermark\": \"x\""), "range orders/1: watermark"),
            (JSON.replace("1:4", "4"), "generation:number"),
            (JSON.replace("\"epoch\": \"1:4\", \"watermark\"", "\"watermark\""), "missing field `epoch`"),
            (JSON.replace("{\"n1\": \"3.120\"}", "{\"n1\": \"3.120\", \"n1\": \"9.9\"}"), "n1 is there twice"),
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
