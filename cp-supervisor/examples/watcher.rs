//! Follows who may write which range, without a part in the cluster: what a router, a
//! cache or a dashboard does.
//!
//! ```text
//! cargo run -p cp-supervisor --example watcher -- \\
//!     127.0.0.1:7412,127.0.0.1:7422 certs/ca.pem certs/router.client.pem certs/router.client.key
//! ```
//!
//! It reads the state once, then every committed change from there on, at any member. A
//! change that is no longer kept, or a cluster that went on in another generation, says
//! so, and it begins with the state again. It ends after as many changes as a fifth
//! argument says.

use cp_catalog::{Change, RangeEffect, RangeKey, RangeStanding, Verdict};
use cp_net::tls::Credentials;
use cp_supervisor::client::{Client, ClientError, Watched};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// Where each range stands, by what was read and what came since.
type Owners = BTreeMap<RangeKey, RangeStanding>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoints, ca, cert, key, rest @ ..] = arguments.as_slice() else {
        return Err("usage: watcher HOST:PORT[,..] CA CERT KEY [COUNT]".into());
    };
    let credentials = Credentials::load(Path::new(ca), Path::new(cert), Path::new(key))?;
    let endpoints = endpoints.split(',').map(str::to_owned).collect();
    let client = Client::new(endpoints, credentials, Duration::from_secs(10));
    let mut left = rest.first().map(|count| count.parse::<u64>()).transpose()?;
    while left != Some(0) {
        left = follow(&client, left).await?;
        if left != Some(0) {
            println!("some changes are not to be had any more; beginning with the state again");
        }
    }
    Ok(())
}

/// Reads the state and follows it, until it cannot or `left` changes have come.
async fn follow(client: &Client, mut left: Option<u64>) -> Result<Option<u64>, ClientError> {
    let ranges = client.ranges(None).await?;
    let mut owners: Owners = ranges.value.iter().map(|(key, range)| (key.clone(), range.standing())).collect();
    println!("at index {}: {} ranges", ranges.applied, owners.len());
    // A page may be newer than the first; to hear of a change twice does no harm.
    let mut watch = client.watch(ranges.applied.next());
    while left != Some(0) {
        match watch.next().await? {
            Watched::Change(change) => note(&mut owners, &change),
            Watched::Compacted(_) => return Ok(left),
            Watched::Reached(_) => continue,
        }
        left = left.map(|left| left.saturating_sub(1));
    }
    Ok(left)
}

fn note(owners: &mut Owners, change: &Change) {
    let Verdict::Done(effect) = &change.verdict else { return };
    match effect.on_ranges() {
        Some(RangeEffect::At { range, now }) => stands(owners, range, now),
        Some(RangeEffect::Split { lower, lower_now, upper, upper_now }) => {
            stands(owners, lower, lower_now);
            stands(owners, upper, upper_now);
        }
        Some(RangeEffect::Merged { survivor, now, retired }) => {
            owners.remove(retired);
            stands(owners, survivor, now);
        }
        None => println!("{}: {effect}", change.position),
    }
}

/// Only what is newer counts, so that what comes twice changes nothing.
fn stands(owners: &mut Owners, range: &RangeKey, now: &RangeStanding) {
    let newer = |was: &RangeStanding| (was.epoch, was.version) < (now.epoch, now.version);
    if owners.get(range).is_none_or(newer) {
        println!("{range}: {now}");
        owners.insert(range.clone(), now.clone());
    }
}
