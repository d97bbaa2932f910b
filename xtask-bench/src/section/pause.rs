//! For how long nobody is served when something happens.

use super::{Extent, STEADY, Subjects};
use crate::elections::During;
use crate::report::Series;
use anyhow::{Context, Result};
use std::time::Duration;
use xtask_cluster::Step;

/// Kills each subject's leader in turns.
pub(crate) async fn failovers(
    subjects: &mut Subjects,
    extent: &Extent,
    step: &Step<'_>,
    into: &mut Vec<Series>,
) -> Result<()> {
    for kill in 0..extent.kills {
        for subject in subjects.iter_mut() {
            step.progress(&format!("kill {} of {}: {}", kill + 1, extent.kills, subject.name()));
            subject.look(During::Idle).await?;
            let took = subject.fail_over().await.with_context(|| format!("failover of {}", subject.name()))?;
            record(into, subject.name(), took);
            subject.mend().await.with_context(|| format!("after a failover of {}", subject.name()))?;
            subject.look(During::Mending).await?;
        }
    }
    Ok(())
}

/// Hands each subject's leadership over in turns.
pub(crate) async fn transfers(
    subjects: &mut Subjects,
    extent: &Extent,
    step: &Step<'_>,
    into: &mut Vec<Series>,
) -> Result<()> {
    for turn in 0..extent.transfers {
        for subject in subjects.iter_mut() {
            step.progress(&format!("transfer {} of {}: {}", turn + 1, extent.transfers, subject.name()));
            subject.look(During::Idle).await?;
            let took = subject.transfer(STEADY).await.with_context(|| format!("transfer of {}", subject.name()))?;
            record(into, subject.name(), took);
            subject.look(During::Transfers).await?;
        }
    }
    Ok(())
}

/// Has a fourth member come and go in turns: the pauses while one is admitted, and while it is removed.
pub(crate) async fn memberships(
    subjects: &mut Subjects,
    extent: &Extent,
    step: &Step<'_>,
    admissions: &mut Vec<Series>,
    removals: &mut Vec<Series>,
) -> Result<()> {
    for turn in 0..extent.changes {
        for subject in subjects.iter_mut() {
            step.progress(&format!("change {} of {}: {}", turn + 1, extent.changes, subject.name()));
            subject.look(During::Idle).await?;
            let paused = subject.change_membership(STEADY).await;
            let paused = paused.with_context(|| format!("a membership change of {}", subject.name()))?;
            record(admissions, subject.name(), paused.admitting);
            record(removals, subject.name(), paused.removing);
            subject.look(During::MembershipChanges).await?;
        }
    }
    Ok(())
}

fn record(into: &mut Vec<Series>, subject: &str, took: Duration) {
    match into.iter_mut().find(|series| series.subject == subject) {
        Some(series) => series.add(took),
        None => {
            let mut series = Series::new(subject);
            series.add(took);
            into.push(series);
        }
    }
}
