//! How long a killed follower takes to be back, by the length of its log.

use super::{Extent, LONG_LOG};
use crate::elections::During;
use crate::ours::Ours;
use crate::report::Restart;
use crate::subject::Subject;
use anyhow::{Context, Result};
use xtask_cluster::Step;

/// Restarts a follower of each in turns, at every length. All of them keep their whole log.
pub(crate) async fn restarts(
    subjects: &mut [Ours],
    extent: &Extent,
    step: &Step<'_>,
    into: &mut Vec<Restart>,
) -> Result<()> {
    let mut followers = Vec::new();
    for ours in &mut *subjects {
        step.progress(&format!("{}: a snapshot", ours.engine()));
        let member = ours.follower().await?;
        ours.have_snapshot(&member).await?;
        followers.push(member);
    }
    let mut after = 0;
    for wanted in extent.after_snapshot {
        extend(subjects, wanted.saturating_sub(after), step).await?;
        after = *wanted;
        measure(subjects, &followers, extent, step, into).await?;
    }
    if extent.long_log {
        let (before, beyond) = LONG_LOG;
        extend(subjects, before.saturating_sub(after), step).await?;
        for (ours, member) in subjects.iter_mut().zip(&followers) {
            ours.have_snapshot(member).await?;
        }
        extend(subjects, beyond, step).await?;
        measure(subjects, &followers, extent, step, into).await?;
    }
    Ok(())
}

async fn extend(subjects: &mut [Ours], entries: u64, step: &Step<'_>) -> Result<()> {
    for ours in subjects {
        step.progress(&format!("{}: {entries} entries", ours.engine()));
        ours.commit(entries).await.with_context(|| format!("{entries} entries of {}", ours.engine()))?;
        // Those over which a load began again, too.
        ours.look(During::Restarts).await?;
    }
    Ok(())
}

async fn measure(
    subjects: &mut [Ours],
    followers: &[String],
    extent: &Extent,
    step: &Step<'_>,
    into: &mut Vec<Restart>,
) -> Result<()> {
    let before = into.len();
    for turn in 0..extent.restarts {
        for (at, (ours, member)) in subjects.iter_mut().zip(followers).enumerate() {
            step.progress(&format!("restart {} of {}: {}", turn + 1, extent.restarts, ours.engine()));
            ours.look(During::Idle).await?;
            let (log, took) = ours.restart(member).await.with_context(|| format!("a restart of {}", ours.engine()))?;
            ours.look(During::Restarts).await?;
            if into.len() <= before + at {
                into.push(Restart::new(ours.engine()));
            }
            if let Some(series) = into.get_mut(before + at) {
                series.add(log, took);
            }
        }
    }
    Ok(())
}
