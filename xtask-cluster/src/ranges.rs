//! Many ranges: entries that all stay in the state.

use crate::Cluster;
use anyhow::{Context, Result};
use cp_catalog::{
    Bound, Bounds, CollectionName, Copies, GroupName, Key, Mode, NewRange, OwnershipCommand, Placement, RangeId,
    RangeKey,
};
use cp_seam::MemberId;
use cp_supervisor::client::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How many connections write, and how many requests each has under way.
const CONNECTIONS: usize = 4;
const REQUESTS: usize = 128;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the collection `name` and `count` ranges in it, through the client API.
pub async fn make(cluster: &Cluster, name: &str, count: u64) -> Result<()> {
    let (collection, group) = (CollectionName::new(name)?, GroupName::new(name)?);
    let first = cluster.addresses().into_iter().next().context("there is no member")?.0;
    let owner = MemberId::new(&first)?;
    let mode = Mode::Ordered;
    let collect = OwnershipCommand::CreateCollection { collection: collection.clone(), group, mode };
    cluster.client()?.submit(collect).await?;
    let next = Arc::new(AtomicU64::new(1));
    let mut writers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = Arc::new(Client::new(cluster.endpoints(), cluster.credentials()?, PATIENCE));
        for _ in 0..REQUESTS {
            let (client, next) = (Arc::clone(&client), Arc::clone(&next));
            let (collection, owner) = (collection.clone(), owner.clone());
            writers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > count {
                        return Ok::<_, anyhow::Error>(());
                    }
                    client.submit(range(&collection, &owner, number)?).await?;
                }
            });
        }
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(())
}

fn range(collection: &CollectionName, owner: &MemberId, number: u64) -> Result<OwnershipCommand> {
    let lower = Bound::Key(Key::new(&number.to_be_bytes())?);
    let upper = Bound::Key(Key::new(&(number + 1).to_be_bytes())?);
    Ok(OwnershipCommand::CreateRange(NewRange {
        range: RangeKey::new(collection.clone(), RangeId(number)),
        mode: Mode::Ordered,
        bounds: Bounds::new(lower, upper)?,
        owner: owner.clone(),
        replicas: Copies::default(),
        archives: Copies::default(),
        placement: Placement::default(),
    }))
}
