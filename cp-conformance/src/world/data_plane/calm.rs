//! After the faults: every owner writes again.

use super::DataPlane;
use super::host::POSITION;
use crate::checks::Broken;
use crate::promise::Promise;
use crate::workload::OPERATOR;
use crate::world::{World, scenario};
use cp_catalog::{
    ClientName, CollectionName, CopyEdit, Evidence, MembershipCommand, OwnershipCommand, Privileges, Range, RangeKey,
    Transfer,
};
use cp_lease::GateRefusal;
use cp_seam::MemberId;
use std::time::Duration;

/// How often an owner that does not write yet is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl World {
    /// The data plane of this run.
    pub(crate) fn plane(&self) -> Result<DataPlane, Broken> {
        self.plane.clone().ok_or_else(|| scenario("this run has no data plane"))
    }

    /// Lets the client that forces do so.
    pub(crate) async fn grant_operator(&mut self) -> Result<(), Broken> {
        let client = ClientName::new(OPERATOR).map_err(|error| scenario(error.to_string()))?;
        let privileges = Privileges { read: true, operate: true, force: true };
        let verdict = self.decide(MembershipCommand::Grant { client, privileges }).await?;
        verdict.into_result().map(drop).map_err(|refusal| scenario(format!("nobody may force: {refusal}")))
    }

    /// Demands that every range's owner is admitted writes from now on within bounded time.
    /// Ranges whose gates were closed are handed over first, as a caller that closed them would.
    pub(crate) async fn owners_write_again(&mut self, collection: &CollectionName) -> Result<(), Broken> {
        let plane = self.plane()?;
        let leader = self.leader().await?;
        self.retire_as_decided(leader)?;
        self.finish_joining(leader).await?;
        self.settled_leader().await?;
        let since = self.trace.elapsed();
        let within = plane.longest_wait() * 2 + self.election_timeout() * 10;
        loop {
            let leader = self.leader().await?;
            let ranges: Vec<(RangeKey, Range)> = self.up(leader)?.state.read(|catalog| {
                let named = |range: &Range| (RangeKey::new(collection.clone(), range.id), range.clone());
                catalog.ranges(collection).map(named).collect()
            });
            let silent = ranges.into_iter().find(|(key, range)| {
                let slot = plane.slot_of(&range.owner);
                let written = slot.and_then(|slot| self.monitor.written(slot, key, range.epoch));
                written.is_none_or(|(_, last)| last < since)
            });
            let Some((key, range)) = silent else { return Ok(()) };
            let host = plane.slot_of(&range.owner).and_then(|slot| plane.host(slot));
            let refusal = host.and_then(|host| host.refusal(&key, range.epoch));
            if self.trace.elapsed() > since + within {
                let why = refusal.map_or_else(|| "its member does not run".to_owned(), |why| why.to_string());
                let what = format!("{} does not write to {key} after {} ms: {why}", range.owner, within.as_millis());
                return Err(Broken::new("liveness", Promise::L1, what));
            }
            match refusal {
                Some(GateRefusal::Revoked { .. }) => self.hand_over_range(&plane, &key, &range).await?,
                _ => self.pass(LOOK_AGAIN).await,
            }
        }
    }

    /// A step towards another owner of a range whose gate is closed.
    async fn hand_over_range(&mut self, plane: &DataPlane, key: &RangeKey, range: &Range) -> Result<(), Broken> {
        let Some(gate) = plane.closed_gate(key, range.epoch, &range.owner) else {
            self.pass(LOOK_AGAIN).await;
            return Ok(());
        };
        let leader = self.leader().await?;
        let eligible: Vec<MemberId> = self.up(leader)?.state.read(|catalog| {
            let others = catalog.members().filter(|member| member.eligibility().is_ok() && member.id != range.owner);
            others.map(|member| member.id.clone()).collect()
        });
        let (of, fence) = (key.clone(), range.fence());
        let command = if range.moving.is_some() {
            OwnershipCommand::AbortMove { range: of, fence }
        } else if let Some(to) = eligible.iter().find(|member| range.replicas.contains(member)).cloned() {
            let (from, candidate) = (range.owner.clone(), to.clone());
            let evidence =
                Some(Evidence { candidate, applied: POSITION, watermark: POSITION, closed_gate: Some(gate) });
            OwnershipCommand::Handoff(Transfer { range: of, from, fence, to, evidence })
        } else {
            let free = eligible.iter().find(|member| !range.archives.contains(member)).cloned();
            let member = free.ok_or_else(|| scenario(format!("nobody can take {key}")))?;
            OwnershipCommand::AddReplica(CopyEdit { range: of, fence, member })
        };
        let verdict = self.decide(command).await?;
        self.trace.note(&"sim", &format_args!("hands over {key}: {verdict:?}"));
        self.pass(LOOK_AGAIN).await;
        Ok(())
    }
}
