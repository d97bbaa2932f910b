//! What one directory holds, as a document that `recover plan` reads.

use super::names;
use super::survivor;
use crate::cli::exit::invalid;
use crate::cli::output::{self, Format, Report};
use anyhow::{Context, Result, bail};
use clap::Args;
use cp_catalog::MemberLife;
use cp_recovery::Description;
use cp_seam::{ControlPlaneLogIndex, Generation, Incarnation, LogPosition, MemberId, MemberKind, StateDigest, Term};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// The node's directory
    #[arg(long, env = "CP_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
}

impl Collect {
    pub(super) fn run(self, format: Format) -> Result<()> {
        let described = survivor(&self.data_dir)?.description();
        output::print(&Document::new(&described, &self.data_dir), format)
    }
}

/// A description as it is printed and read; numbers that may be large are texts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Document {
    cluster: String,
    generation: u16,
    generation_id: String,
    member: Life,
    joined: bool,
    /// `data` or `witness`.
    kind_of_member: String,
    engine: String,
    vote_term: String,
    last_term: String,
    last_index: String,
    committed: String,
    snapshot_term: String,
    snapshot_index: String,
    uncommitted: String,
    digest: String,
    voters: Vec<Life>,
    halves: Vec<Vec<Life>>,
    others: Vec<Life>,
    ranges: String,
    data_dir: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Life {
    member: String,
    incarnation: String,
}

impl From<&MemberLife> for Life {
    fn from(life: &MemberLife) -> Self {
        Self { member: life.id.to_string(), incarnation: life.incarnation.0.to_string() }
    }
}

impl Life {
    fn read(&self) -> Result<MemberLife> {
        Ok(MemberLife { id: MemberId::new(&self.member)?, incarnation: Incarnation(number(&self.incarnation)?) })
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text:?} is not a number"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Result<[u8; N]> {
    let digit = |character: char| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
    let (pairs, odd) = digits.as_deref().unwrap_or_default().as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    let whole = <[u8; N]>::try_from(bytes).ok().filter(|_| odd.is_empty());
    whole.with_context(|| format!("{text:?} is not {} hexadecimal digits", 2 * N))
}

const fn kind_name(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::Data => "data",
        MemberKind::Witness => "witness",
    }
}

impl Document {
    fn new(described: &Description, data_dir: &Path) -> Self {
        Self {
            cluster: described.cluster.to_string(),
            generation: described.generation.number,
            generation_id: hex(&described.generation.id),
            member: (&described.member).into(),
            joined: described.joined,
            kind_of_member: kind_name(described.kind).to_owned(),
            engine: described.engine.clone(),
            vote_term: described.vote_term.to_string(),
            last_term: described.last.term.to_string(),
            last_index: described.last.index.to_string(),
            committed: described.committed.to_string(),
            snapshot_term: described.snapshot.term.to_string(),
            snapshot_index: described.snapshot.index.to_string(),
            uncommitted: described.uncommitted.to_string(),
            digest: hex(&described.digest.0),
            voters: described.voters.iter().map(Life::from).collect(),
            halves: described.halves.iter().map(|half| half.iter().map(Life::from).collect()).collect(),
            others: described.others.iter().map(Life::from).collect(),
            ranges: described.ranges.to_string(),
            data_dir: data_dir.display().to_string(),
        }
    }

    fn read(&self) -> Result<Description> {
        let position = |term: &str, index: &str| -> Result<LogPosition> {
            Ok(LogPosition::new(Term(number(term)?), ControlPlaneLogIndex(number(index)?)))
        };
        Ok(Description {
            cluster: self.cluster.parse().map_err(anyhow::Error::msg)?,
            generation: Generation { number: self.generation, id: unhex(&self.generation_id)? },
            member: self.member.read()?,
            joined: self.joined,
            kind: match self.kind_of_member.as_str() {
                "data" => MemberKind::Data,
                "witness" => MemberKind::Witness,
                other => bail!("{other:?} is no kind of member; it is data or witness"),
            },
            engine: self.engine.clone(),
            vote_term: Term(number(&self.vote_term)?),
            last: position(&self.last_term, &self.last_index)?,
            committed: ControlPlaneLogIndex(number(&self.committed)?),
            snapshot: position(&self.snapshot_term, &self.snapshot_index)?,
            uncommitted: number(&self.uncommitted)?,
            digest: StateDigest(unhex(&self.digest)?),
            voters: self.voters.iter().map(Life::read).collect::<Result<_>>()?,
            halves: self.halves.iter().map(|half| half.iter().map(Life::read).collect()).collect::<Result<_>>()?,
            others: self.others.iter().map(Life::read).collect::<Result<_>>()?,
            ranges: number(&self.ranges)?,
        })
    }
}

impl Report for Document {
    const KIND: &'static str = "survivor";

    fn render(&self) -> String {
        let names = |lives: &[Life]| names(&lives.iter().filter_map(|life| life.read().ok()).collect::<Vec<_>>());
        let Self { cluster, generation, generation_id, engine, data_dir, kind_of_member, .. } = self;
        let not = if self.joined { "" } else { " (not a joined member of the state it holds)" };
        format!(
            "{data_dir}: {kind_of_member} member {}#{}{not} of cluster {cluster}, generation {generation} ({generation_id}), {engine}\n\
             last record {}.{}, committed to {}, {} entries above that, voted in term {}\n\
             snapshot at {}.{}, {} ranges, digest {}\n\
             voters: {}\nother members: {}",
            self.member.member,
            self.member.incarnation,
            self.last_term,
            self.last_index,
            self.committed,
            self.uncommitted,
            self.vote_term,
            self.snapshot_term,
            self.snapshot_index,
            self.ranges,
            self.digest,
            names(&self.voters),
            names(&self.others),
        )
    }
}

/// What `from` says: a document that `recover collect -o json` printed, or a directory.
pub(super) fn described(from: &Path) -> Result<(Description, PathBuf)> {
    if from.is_dir() {
        return Ok((survivor(from)?.description(), from.to_owned()));
    }
    let what = format!("--from {}", from.display());
    let text = std::fs::read_to_string(from).map_err(|error| invalid(&what, error))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        invalid(&what, format!("it is no JSON document ({error}); make it with `recover collect -o json`"))
    })?;
    if value.get("kind").and_then(|kind| kind.as_str()) != Some(Document::KIND) {
        return Err(invalid(&what, "it does not describe a survivor; make it with `recover collect -o json`"));
    }
    if value.get("version").and_then(serde_json::Value::as_u64) != Some(1) {
        return Err(invalid(&what, "another release made it; collect again with this one"));
    }
    let document: Document = serde_json::from_value(value).map_err(|error| invalid(&what, error))?;
    let read = document.read().map_err(|error| invalid(&what, format!("{error:#}")))?;
    Ok((read, document.data_dir.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pairs_of_digits() {
        assert_eq!(unhex("0aFf").unwrap(), [0x0a, 0xff]);
        for wrong in ["", "0aF", "0aFfb", "0aFfbb", "0aFg", "+aFf", "\u{663}aF"] {
            let error = unhex::<2>(wrong).unwrap_err();
            assert!(error.to_string().contains("is not 4 hexadecimal digits"), "{error}");
        }
    }
}
