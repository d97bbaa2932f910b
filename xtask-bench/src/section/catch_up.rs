//! How fast a node that was away catches up.

use super::Extent;
use crate::ours::Ours;
use crate::report::{CatchUp, Source};
use anyhow::{Context, Result};
use xtask_cluster::Step;

/// Leaves a follower of each behind in turns, and lets it catch up.
pub(crate) async fn catch_ups(
    subjects: &mut [Ours],
    source: Source,
    extent: &Extent,
    step: &Step<'_>,
) -> Result<Vec<CatchUp>> {
    let mut all: Vec<_> = subjects.iter().map(|ours| CatchUp::new(ours.engine(), source)).collect();
    for turn in 0..extent.catch_ups {
        for (ours, series) in subjects.iter_mut().zip(&mut all) {
            step.progress(&format!("from {source}, {} of {}: {}", turn + 1, extent.catch_ups, ours.engine()));
            let came = ours.catch_up(extent.behind, source).await;
            series.add(&came.with_context(|| format!("{} catching up from {source}", ours.engine()))?);
        }
    }
    Ok(all)
}
