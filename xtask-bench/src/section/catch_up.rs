//! How fast a node that was away catches up.

use super::Extent;
use crate::elections::During;
use crate::ours::{CaughtUp, Ours};
use crate::report::{CatchUp, Source};
use crate::subject::Subject;
use anyhow::{Context, Result, bail};
use cp_driver::Settings;
use xtask_cluster::Step;

/// How often leadership may move, on a busy machine, before that is a failure.
const MOVES_MAX: usize = 5;

/// Leaves a follower of each behind in turns, and lets it catch up.
pub(crate) async fn catch_ups(
    subjects: &mut [Ours],
    source: Source,
    extent: &Extent,
    step: &Step<'_>,
    into: &mut Vec<CatchUp>,
) -> Result<()> {
    let behind = match source {
        Source::Log => extent.behind,
        // The leader has one that is beyond the follower's log, and keeps none of what came before it.
        Source::Snapshot => extent.behind.max(Settings::default().snapshot_every * 5 / 4),
    };
    for turn in 0..extent.catch_ups {
        for ours in &mut *subjects {
            step.progress(&format!("from {source}, {} of {}: {}", turn + 1, extent.catch_ups, ours.engine()));
            let came = once(ours, behind, source).await?;
            match into.iter_mut().find(|series| series.subject == ours.engine() && series.source == source) {
                Some(series) => series.add(&came),
                None => {
                    let mut series = CatchUp::new(ours.engine(), source);
                    series.add(&came);
                    into.push(series);
                }
            }
        }
    }
    Ok(())
}

async fn once(ours: &mut Ours, entries: u64, source: Source) -> Result<CaughtUp> {
    ours.look(During::Idle).await?;
    for _ in 0..=MOVES_MAX {
        let came = ours.catch_up(entries, source).await;
        // Those that are made up for by another attempt, too.
        ours.look(During::CatchUps).await?;
        if let Some(came) = came.with_context(|| format!("{} catching up from {source}", ours.engine()))? {
            return Ok(came);
        }
    }
    bail!("leadership of {} has moved {} times while a follower caught up", ours.engine(), MOVES_MAX + 1)
}
