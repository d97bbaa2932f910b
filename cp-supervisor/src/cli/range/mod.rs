//! Commands about ranges.
//!
//! Each reads the range first and carries the fence it saw, so that what changed
//! in between refuses the command rather than being overwritten (CP-S5).

mod awaiting;
mod create;
mod failover;
mod force;
mod list;
mod placement;
mod reshape;
mod transfer;

use super::connection::decide;
use super::exit::invalid;
use super::output::{self, Format};
use anyhow::Result;
use clap::Subcommand;
use cp_catalog::{Bound, CollectionName, DataPosition, Key, Mode, OwnershipCommand, Range as CatalogRange, RangeKey};
use cp_supervisor::client::Client;
use cp_supervisor::executor;

#[derive(Debug, Subcommand)]
pub(crate) enum Range {
    /// Make a range
    Create(Box<create::Create>),
    /// List ranges
    List(list::List),
    /// List ranges whose new owner waits for an earlier one's lease
    Awaiting(awaiting::Awaiting),
    /// Find the range that holds a key
    Lookup(list::Lookup),
    /// Move a range to another member, phase by phase
    Move(Box<transfer::Move>),
    /// Move write authority to a replica while the owner lives
    Handoff(Box<transfer::Handoff>),
    /// Move write authority to a replica when the owner is lost
    Promote(Box<transfer::Promote>),
    /// Promote replicas of every range whose owner is lost, and reassign its authorities
    Failover(Box<failover::Failover>),
    /// Cut a range in two
    Split(reshape::Split),
    /// Join two adjacent ranges
    Merge(reshape::Merge),
    /// Add or drop one copy of a range
    Copy(Box<reshape::Copy>),
    /// Say how many copies a range wants, and where
    Placement(Box<placement::Placement>),
    /// Give a range to a member past fence and evidence; takes the privilege to force, and a reason
    Force(force::Force),
    /// Give a range to an archive of it that was restored
    Restore(Box<force::Restore>),
}

impl Range {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Create(create) => create.run(format).await,
            Self::List(list) => list.run(format).await,
            Self::Awaiting(awaiting) => awaiting.run(format).await,
            Self::Lookup(lookup) => lookup.run(format).await,
            Self::Move(step) => step.run(format).await,
            Self::Handoff(handoff) => handoff.run(format).await,
            Self::Promote(promote) => promote.run(format).await,
            Self::Failover(failover) => failover.run(format).await,
            Self::Split(split) => split.run(format).await,
            Self::Merge(merge) => merge.run(format).await,
            Self::Copy(copy) => copy.run(format).await,
            Self::Placement(placement) => placement.run(format).await,
            Self::Force(force) => force.run(format).await,
            Self::Restore(restore) => restore.run(format).await,
        }
    }
}

/// Submits `command` and prints what it did.
async fn change(client: &Client, format: Format, command: OwnershipCommand) -> Result<()> {
    output::print_done("range_changed", &decide(client, command).await?, format)
}

/// `collection/id`.
fn key(text: &str) -> Result<RangeKey> {
    executor::range_key(text).map_err(|bad| invalid("RANGE", bad))
}

/// The range called `text`, as it is now.
async fn read(client: &Client, text: &str) -> Result<(RangeKey, CatalogRange)> {
    let key = key(text)?;
    match client.range(&key).await?.value {
        Some(range) => Ok((key, range)),
        None => Err(invalid("RANGE", format!("range {key} does not exist; `range list` lists the ranges"))),
    }
}

/// How `collection` maps keys to ranges.
async fn mode(client: &Client, collection: &CollectionName) -> Result<Mode> {
    let collections = client.collections().await?.value;
    let found = collections.iter().find(|spec| spec.name == *collection).map(|spec| spec.mode);
    found.ok_or_else(|| invalid("COLLECTION", format!("collection {collection} does not exist; create it first")))
}

/// A bound as the command line has it: a slot's number in hash mode, else a key
/// (`hex:` before bytes that are no text).
fn bound(what: &str, text: &str, mode: Mode) -> Result<Bound> {
    match mode {
        Mode::Hash => {
            let slot = text.parse().map_err(|_| invalid(what, format!("{text:?} is no slot; use 0 to 16384")))?;
            Bound::at_slot(slot).map_err(|bad| invalid(what, bad))
        }
        Mode::Ordered => Bound::at(&bytes(what, text)?).map_err(|bad| invalid(what, bad)),
    }
}

/// A bound that is a key.
fn cut(what: &str, text: &str, mode: Mode) -> Result<Key> {
    match bound(what, text, mode)? {
        Bound::Key(key) => Ok(key),
        end => Err(invalid(what, format!("{end} cuts nothing; choose a key strictly inside the range"))),
    }
}

fn bytes(what: &str, text: &str) -> Result<Vec<u8>> {
    let Some(digits) = text.strip_prefix("hex:") else { return Ok(text.as_bytes().to_vec()) };
    let pair = |pair: &[u8]| {
        let pair =
            std::str::from_utf8(pair).ok().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u8::from_str_radix(pair, 16).ok()
    };
    let decoded: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
    decoded.ok_or_else(|| invalid(what, format!("{text:?} is not hex: and pairs of hexadecimal digits")))
}

/// A position in a range's own log, as `term.lsn`.
fn data_position(text: &str) -> Result<DataPosition, String> {
    executor::position(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_taken_or_refused_with_a_remedy() {
        assert_eq!(key("orders/12").unwrap().to_string(), "orders/12");
        assert!(key("orders").unwrap_err().to_string().contains("collection/id"));
        assert_eq!(bytes("--at", "hex:00ff").unwrap(), [0, 255]);
        assert!(bytes("--at", "hex:0").is_err() && bytes("--at", "hex:+1").is_err());
        assert_eq!(bound("--from", "0", Mode::Hash).unwrap(), Bound::Min);
        assert!(bound("--from", "20000", Mode::Hash).is_err());
        assert!(cut("--at", "16384", Mode::Hash).unwrap_err().to_string().contains("strictly inside"));
        assert_eq!(data_position("3.12"), Ok(DataPosition { term: 3, lsn: 12 }));
        assert!(data_position("3").unwrap_err().contains("term.lsn"));
    }
}
