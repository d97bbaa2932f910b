//! How long a killed follower takes to be back, by the length of its log.

use super::{Extent, LONG_LOG};
use crate::ours::Ours;
use crate::report::Restart;
use anyhow::{Context, Result};
use xtask_cluster::Step;

/// Restarts a follower of each in turns, at every length. All of them keep their whole log.
pub(crate) async fn restarts(subjects: &mut [Ours], extent: &Extent, step: &Step<'_>) -> Result<Vec<Restart>> {
    let mut all = Vec::new();
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
        all.extend(measure(subjects, &followers, extent, step).await?);
    }
    if extent.long_log {
        let (before, beyond) = LONG_LOG;
        extend(subjects, before.saturating_sub(after), step).await?;
        for (ours, member) in subjects.iter_mut().zip(&followers) {
            ours.have_snapshot(member).await?;
        }
        extend(subjects, beyond, step).await?;
        all.extend(measure(subjects, &followers, extent, step).await?);
    }
    Ok(all)
}

async fn extend(subjects: &mut [Ours], entries: u64, step: &Step<'_>) -> Result<()> {
    for ours in subjects {
        step.progress(&format!("{}: {entries} entries", ours.engine()));
        ours.commit(entries).await.with_context(|| format!("{entries} entries of {}", ours.engine()))?;
    }
    Ok(())
}

async fn measure(
    subjects: &mut [Ours],
    followers: &[String],
    extent: &Extent,
    step: &Step<'_>,
) -> Result<Vec<Restart>> {
    let mut all: Vec<_> = subjects.iter().map(|ours| Restart::new(ours.engine())).collect();
    for turn in 0..extent.restarts {
        for ((ours, member), series) in subjects.iter_mut().zip(followers).zip(&mut all) {
            step.progress(&format!("restart {} of {}: {}", turn + 1, extent.restarts, ours.engine()));
            let (log, took) = ours.restart(member).await.with_context(|| format!("a restart of {}", ours.engine()))?;
            series.add(log, took);
        }
    }
    Ok(all)
}
