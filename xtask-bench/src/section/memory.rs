//! What an idle node holds in memory.

use super::RANGES;
use crate::elections::During;
use crate::ours::Ours;
use crate::report::{Held, Role};
use crate::subject::Subject;
use crate::transition;
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::time::sleep;
use xtask_cluster::{Memory, Step, ranges};

/// How long a node has been idle when it is looked at.
const IDLE: Duration = Duration::from_secs(3);

/// Has each of them hold [`RANGES`] ranges.
pub(crate) async fn fill(subjects: &mut [Ours], step: &Step<'_>) -> Result<()> {
    for ours in subjects {
        step.progress(&format!("{}: {RANGES} ranges", ours.engine()));
        ranges::make(ours.cluster(), "memory", RANGES.saturating_sub(transition::RANGES)).await?;
        ours.look(During::Memory).await?;
    }
    Ok(())
}

/// Looks at a leader and a follower of each, once they are idle.
pub(crate) async fn look(subjects: &mut [Ours]) -> Result<Vec<Held>> {
    for ours in &mut *subjects {
        ours.cluster().agreed().await?;
    }
    sleep(IDLE).await;
    let mut held = Vec::new();
    for ours in subjects {
        ours.look(During::Memory).await?;
        let (leader, follower) = (ours.cluster().leader().await?, ours.follower().await?);
        for (role, member) in [(Role::Leader, leader), (Role::Follower, follower)] {
            let entries = ours.cluster().status(&member).await?.applied;
            let pid = ours.cluster().node(&member)?.pid().with_context(|| format!("{member} does not run"))?;
            held.push(Held::new(ours.engine(), role, (RANGES, entries), Memory::of(pid)?));
        }
    }
    Ok(held)
}
