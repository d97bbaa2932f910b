//! Listing and finding ranges.

use super::super::connection::{Connection, named};
use super::super::exit::invalid;
use super::super::output::{self, Format, Report, table};
use super::bytes;
use anyhow::Result;
use clap::Args;
use cp_catalog::{Bound, CollectionName, CollectionSpec, Copies, Mode, Range, RangeKey};
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of this collection only
    #[arg(value_name = "COLLECTION")]
    collection: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Lookup {
    /// The collection
    #[arg(value_name = "COLLECTION")]
    collection: String,
    /// The key (`hex:` before bytes that are no text)
    #[arg(value_name = "KEY")]
    user_key: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Ranges {
    applied: String,
    stale: bool,
    ranges: Vec<Row>,
}

/// A range, as it is listed. Bounds are slot numbers in hash mode, else hexadecimal.
#[derive(Debug, Serialize)]
struct Row {
    collection: String,
    id: String,
    mode: String,
    lower: Option<String>,
    upper: Option<String>,
    #[serde(skip)]
    shown: (String, String),
    owner: String,
    replicas: Vec<String>,
    archives: Vec<String>,
    epoch: String,
    epoch_raw: String,
    version: String,
    replication_factor: u32,
    move_target: Option<String>,
    move_phase: Option<String>,
}

impl Row {
    fn new(key: &RangeKey, range: &Range, mode: Mode) -> Self {
        let names = |copies: &Copies| copies.iter().map(ToString::to_string).collect();
        Self {
            collection: key.collection.to_string(),
            id: key.id.to_string(),
            mode: mode.to_string(),
            lower: machine(range.bounds.lower(), mode),
            upper: machine(range.bounds.upper(), mode),
            shown: (human(range.bounds.lower(), mode), human(range.bounds.upper(), mode)),
            owner: range.owner.to_string(),
            replicas: names(&range.replicas),
            archives: names(&range.archives),
            epoch: range.epoch.to_string(),
            epoch_raw: range.epoch.0.to_string(),
            version: range.version.to_string(),
            replication_factor: range.placement.replication_factor,
            move_target: range.moving.as_ref().map(|m| m.target.to_string()),
            move_phase: range.moving.as_ref().map(|m| m.phase.to_string()),
        }
    }
}

fn slot(bound: &Bound) -> Option<u16> {
    match bound {
        Bound::Key(key) => <[u8; 2]>::try_from(key.as_bytes()).ok().map(u16::from_be_bytes),
        Bound::Min | Bound::Max => None,
    }
}

fn human(bound: &Bound, mode: Mode) -> String {
    match (mode, slot(bound)) {
        (Mode::Hash, Some(slot)) => slot.to_string(),
        _ => bound.to_string(),
    }
}

fn machine(bound: &Bound, mode: Mode) -> Option<String> {
    match (mode, bound) {
        (Mode::Hash, bound) => slot(bound).map(|slot| slot.to_string()),
        (Mode::Ordered, Bound::Key(key)) => Some(key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()),
        (Mode::Ordered, Bound::Min | Bound::Max) => None,
    }
}

impl Report for Ranges {
    const KIND: &'static str = "ranges";

    fn render(&self) -> String {
        let row = |r: &Row| {
            let moving = match (&r.move_target, &r.move_phase) {
                (Some(target), Some(phase)) => format!("to {target}, {phase}"),
                _ => "-".to_owned(),
            };
            let list = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(",") };
            [
                format!("{}/{}", r.collection, r.id),
                r.shown.0.clone(),
                r.shown.1.clone(),
                r.owner.clone(),
                list(&r.replicas),
                list(&r.archives),
                r.epoch.clone(),
                r.version.clone(),
                moving,
            ]
        };
        let header = ["RANGE", "FROM", "TO", "OWNER", "REPLICAS", "ARCHIVES", "EPOCH", "VERSION", "MOVING"];
        output::labelled(table(header, self.ranges.iter().map(row)), self.stale, &self.applied)
    }
}

fn rows(ranges: &[(RangeKey, Range)], collections: &[CollectionSpec]) -> Vec<Row> {
    let mode = |name: &CollectionName| collections.iter().find(|c| c.name == *name).map_or(Mode::Ordered, |c| c.mode);
    ranges.iter().map(|(key, range)| Row::new(key, range, mode(&key.collection))).collect()
}

impl List {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let only = self.collection.as_deref().map(|name| named::<CollectionName>("COLLECTION", name)).transpose()?;
        let client = self.connection.client()?;
        let collections = client.collections().await?.value;
        let answer = client.ranges(only.as_ref()).await?;
        let rows = rows(&answer.value, &collections);
        output::print(&Ranges { applied: answer.applied.to_string(), stale: answer.stale, ranges: rows }, format)
    }
}

impl Lookup {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let collection: CollectionName = named("COLLECTION", &self.collection)?;
        let key = bytes("KEY", &self.user_key)?;
        let client = self.connection.client()?;
        let collections = client.collections().await?.value;
        let answer = client.lookup(&collection, &key).await?;
        let Some(found) = answer.value else {
            return Err(invalid("KEY", format!("no range of {collection} covers it; create one")));
        };
        let rows = rows(&[found], &collections);
        output::print(&Ranges { applied: answer.applied.to_string(), stale: answer.stale, ranges: rows }, format)
    }
}
