//! The double as a run sees it.

use super::{Inner, Op, Site, World};
use async_trait::async_trait;
use cp_catalog::plan::{MemberObserved, RangeObserved};
use cp_catalog::*;
use cp_seam::MemberId;
use cp_supervisor::executor::{ControlPlane, CopyOrder, DataPlane, Fault};
use cp_supervisor::supervisor::Reading;
use std::collections::{BTreeMap, BTreeSet};

#[async_trait]
impl ControlPlane for World {
    async fn state(&self) -> Result<Reading, Fault> {
        self.op(Op::State, |inner| {
            inner.unplanned.clear();
            let (applied, catalog) = inner.machine.read_at(|applied, catalog| (applied, catalog.clone()));
            Ok(Reading { catalog, applied, stale: false })
        })
        .await
    }

    async fn range(&self, key: &RangeKey) -> Result<Option<Range>, Fault> {
        self.op(Op::Range, |inner| {
            let range = inner.range(key);
            inner.read.extend(range.as_ref().map(|range| (key.clone(), range.fence())));
            Ok(range)
        })
        .await
    }

    async fn submit(&self, command: Command) -> Result<Verdict, Fault> {
        self.op(Op::Submit, |inner| Ok(inner.submit(command))).await
    }
}

#[async_trait]
impl DataPlane for World {
    async fn members(&self) -> Result<BTreeMap<MemberId, MemberObserved>, Fault> {
        let seen = |(member, site): (&MemberId, &Site)| {
            (member.clone(), MemberObserved { disk_bytes: Some(100), lost: site.dead })
        };
        self.op(Op::Members, |inner| Ok(inner.sites.iter().map(seen).collect())).await
    }

    async fn ranges(
        &self,
        ranges: &[RangeKey],
        lost: &BTreeSet<MemberId>,
    ) -> Result<BTreeMap<RangeKey, RangeObserved>, Fault> {
        let seen = |inner: &Inner, key: &RangeKey| {
            let copies = inner.sites.iter().filter_map(|(member, site)| {
                let known = site.view.get(key).filter(|known| known.role);
                known.and(site.copies.get(key)).map(|at| (member.clone(), *at))
            });
            let now = inner.range(key);
            let gate = now.as_ref().and_then(|range| inner.sites[&range.owner].gates.get(key).cloned());
            RangeObserved {
                epoch: now.map(|range| range.epoch),
                applied: copies.collect(),
                watermark: inner.watermarks.get(key).copied(),
                closed_gate: inner.forged.map_or(gate.clone(), |forge| gate.map(forge)),
                ..RangeObserved::default()
            }
        };
        self.op(Op::Ranges, |inner| {
            // Only so is the watermark one that they cannot go beyond.
            lost.iter().for_each(|member| inner.sites.get_mut(member).unwrap().fenced = true);
            Ok(ranges.iter().map(|key| (key.clone(), seen(inner, key))).collect())
        })
        .await
    }

    async fn copy(&self, order: &CopyOrder) -> Result<DataPosition, Fault> {
        self.op(Op::Copy, |inner| inner.copy(order)).await
    }

    async fn close(&self, range: &RangeKey, standing: &RangeStanding) -> Result<ClosedGate, Fault> {
        self.op(Op::Close, |inner| {
            let now = inner.range(range).map(|range| range.fence());
            if inner.read.get(range).copied() != now {
                inner.wrong.push(format!("the gate of {range} is closed, and the run has not seen that it changed"));
            }
            if inner.unplanned.contains(range) {
                inner.wrong.push(format!("the gate of {range} is closed for a plan that others have overtaken"));
            }
            let gate = inner.close(range, standing)?;
            Ok(inner.forged.map_or(gate.clone(), |forge| forge(gate)))
        })
        .await
    }

    async fn orphans(&self) -> Result<Vec<(RangeKey, MemberId)>, Fault> {
        self.op(Op::Orphans, |inner| {
            let kept = |(member, site): (&MemberId, &Site)| {
                site.copies.keys().map(|key| (key.clone(), member.clone())).collect::<Vec<_>>()
            };
            let all: BTreeSet<_> = inner.sites.iter().filter(|(_, site)| !site.dead).flat_map(kept).collect();
            let no_role = |(key, member): &(RangeKey, MemberId)| {
                inner.range(key).is_none_or(|range| range.role(member).is_none())
            };
            Ok(all.into_iter().filter(no_role).collect())
        })
        .await
    }

    async fn delete(&self, range: &RangeKey, member: &MemberId, standing: &RangeStanding) -> Result<(), Fault> {
        self.op(Op::Delete, |inner| inner.delete(range, member, standing)).await
    }
}
