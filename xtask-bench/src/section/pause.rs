//! For how long nobody is served when something happens.

use super::{Extent, STEADY, Subjects};
use crate::report::Series;
use anyhow::{Context, Result};
use xtask_cluster::Step;

/// Kills each subject's leader in turns.
pub(crate) async fn failovers(subjects: &mut Subjects, extent: &Extent, step: &Step<'_>) -> Result<Vec<Series>> {
    let mut series: Vec<_> = subjects.iter().map(|subject| Series::new(subject.name())).collect();
    for kill in 0..extent.kills {
        for (subject, series) in subjects.iter_mut().zip(&mut series) {
            step.progress(&format!("kill {} of {}: {}", kill + 1, extent.kills, subject.name()));
            series.add(subject.fail_over().await.with_context(|| format!("failover of {}", subject.name()))?);
            subject.mend().await.with_context(|| format!("after a failover of {}", subject.name()))?;
        }
    }
    Ok(series)
}

/// Hands each subject's leadership over in turns.
pub(crate) async fn transfers(subjects: &mut Subjects, extent: &Extent, step: &Step<'_>) -> Result<Vec<Series>> {
    let mut series: Vec<_> = subjects.iter().map(|subject| Series::new(subject.name())).collect();
    for turn in 0..extent.transfers {
        for (subject, series) in subjects.iter_mut().zip(&mut series) {
            step.progress(&format!("transfer {} of {}: {}", turn + 1, extent.transfers, subject.name()));
            series.add(subject.transfer(STEADY).await.with_context(|| format!("transfer of {}", subject.name()))?);
        }
    }
    Ok(series)
}

/// Has a fourth member come and go in turns. Answers the pauses while one is admitted, and while it is removed.
pub(crate) async fn memberships(
    subjects: &mut Subjects,
    extent: &Extent,
    step: &Step<'_>,
) -> Result<(Vec<Series>, Vec<Series>)> {
    let all = || subjects.iter().map(|subject| Series::new(subject.name())).collect::<Vec<_>>();
    let (mut admissions, mut removals) = (all(), all());
    for turn in 0..extent.changes {
        for ((subject, admissions), removals) in subjects.iter_mut().zip(&mut admissions).zip(&mut removals) {
            step.progress(&format!("change {} of {}: {}", turn + 1, extent.changes, subject.name()));
            let paused = subject.change_membership(STEADY).await;
            let paused = paused.with_context(|| format!("a membership change of {}", subject.name()))?;
            admissions.add(paused.admitting);
            removals.add(paused.removing);
        }
    }
    Ok((admissions, removals))
}
