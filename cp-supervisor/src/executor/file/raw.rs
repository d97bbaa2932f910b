//! The text of such a file, and what it may say.

use cp_catalog::plan::{MemberObserved, Observed, RangeObserved};
use cp_catalog::{ClosedGate, CollectionName, DataPosition, Epoch, RangeId, RangeKey};
use cp_seam::MemberId;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default, alias = "range")]
    ranges: Vec<RawRange>,
    #[serde(default, alias = "member")]
    members: Vec<RawMember>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    id: String,
    epoch: String,
    watermark: Option<String>,
    #[serde(default, deserialize_with = "each_once")]
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

impl Raw {
    pub(super) fn check(self) -> Result<Observed, String> {
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
        let seen_at = epoch(&self.epoch).map_err(|why| of_range("epoch", why))?;
        let mut applied = BTreeMap::new();
        for (name, text) in &self.applied {
            applied.insert(member(name).map_err(|why| of_range("applied", why))?, at(name, text)?);
        }
        let watermark = self.watermark.as_ref().map(|text| at("watermark", text)).transpose()?;
        let closed_gate = match &self.closed_gate {
            Some(gate) => {
                let epoch = epoch(&gate.epoch).map_err(|why| of_range("closed_gate", why))?;
                Some(ClosedGate { range: key.clone(), epoch, last: at("closed_gate", &gate.last)? })
            }
            None => None,
        };
        let (epoch, load) = (Some(seen_at), self.load);
        Ok((key, RangeObserved { epoch, applied, watermark, closed_gate, load, ..RangeObserved::default() }))
    }
}

/// A map none of whose keys is there twice: of two, JSON would let the last one win.
fn each_once<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct EachOnce;

    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a position for each member")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<String, String>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format!("{key} is there twice; leave one out")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    input.deserialize_map(EachOnce)
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
