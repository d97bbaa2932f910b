//! What cases about leases stage: one range, whose owner is cut off, replaced or restarted.

use super::host::POSITION;
use crate::checks::Broken;
use crate::promise::Promise;
use crate::world::clients::{Attempt, attempt};
use crate::world::{World, scenario};
use cp_catalog::{
    Bound, Bounds, ClosedGate, CollectionName, Command, Copies, Epoch, Evidence, GroupName, Key, Mode, NewRange,
    OwnershipCommand, Placement, Range, RangeId, RangeKey, Transfer, Verdict,
};
use std::time::Duration;

impl World {
    /// A new range `number`, with `owner` as its owner and replicas everywhere else.
    pub(crate) async fn owned(&mut self, number: u8, owner: usize) -> Result<RangeKey, Broken> {
        let bad = |what: String| scenario(what);
        let name = CollectionName::new("leased").map_err(|error| bad(error.to_string()))?;
        let group = GroupName::new("g").map_err(|error| bad(error.to_string()))?;
        let (collection, mode) = (name.clone(), Mode::Ordered);
        self.done_or_refused(OwnershipCommand::CreateCollection { collection, group, mode }).await?;
        let end = |byte| Key::new(&[byte]).map(Bound::Key).map_err(|error| scenario(error.to_string()));
        let bounds =
            Bounds::new(end(number)?, end(number.saturating_add(1))?).map_err(|error| bad(error.to_string()))?;
        let range = RangeKey::new(name, RangeId(number.into()));
        let replicas = self.others(&[owner]).into_iter().map(|slot| self.member(slot)).collect::<Result<_, _>>()?;
        self.done_or_refused(OwnershipCommand::CreateRange(NewRange {
            range: range.clone(),
            mode,
            bounds,
            owner: self.member(owner)?,
            replicas,
            archives: Copies::default(),
            placement: Placement::default(),
        }))
        .await?;
        Ok(range)
    }

    async fn done_or_refused(&mut self, command: OwnershipCommand) -> Result<(), Broken> {
        let verdict = self.decide(command).await?;
        verdict.into_result().map(drop).map_err(|refusal| scenario(refusal.to_string()))
    }

    /// Has `range` given to the member in `to`, by the leader in `at`: a handoff if its
    /// gate was closed. Answers the new epoch.
    pub(crate) async fn gives(
        &mut self,
        at: usize,
        range: &RangeKey,
        to: usize,
        closed_gate: Option<ClosedGate>,
    ) -> Result<Epoch, Broken> {
        let (up, to) = (self.up(at)?, self.member(to)?);
        let of = up.state.read(|catalog| catalog.range(range).cloned());
        let of: Range = of.ok_or_else(|| scenario(format!("there is no {range}")))?;
        let handed = closed_gate.is_some();
        let evidence = Evidence { candidate: to.clone(), applied: POSITION, watermark: POSITION, closed_gate };
        let (from, fence, evidence) = (of.owner.clone(), of.fence(), Some(evidence));
        let transfer = Transfer { range: range.clone(), from, fence, to, evidence };
        let command: Command = match handed {
            true => OwnershipCommand::Handoff(transfer).into(),
            false => OwnershipCommand::Promote(transfer).into(),
        };
        let entry = self.workload.request(command)?;
        match attempt(&self.monitor, &up, &entry, self.election_timeout() * 2).await {
            Attempt::Committed(position) => match up.state.verdict(position.index) {
                Some(Verdict::Done(_)) => {
                    let epoch = up.state.read(|catalog| catalog.range(range).map(|range| range.epoch));
                    epoch.ok_or_else(|| scenario(format!("there is no {range}")))
                }
                verdict => Err(scenario(format!("{range} was not given away: {verdict:?}"))),
            },
            other => Err(Broken::new("liveness", Promise::L1, format!("a transfer at n{at} ended as {other:?}"))),
        }
    }

    /// The epoch of `range` at the member in `slot`.
    pub(crate) fn epoch_at(&self, slot: usize, range: &RangeKey) -> Result<Epoch, Broken> {
        let epoch = self.up(slot)?.state.read(|catalog| catalog.range(range).map(|range| range.epoch));
        epoch.ok_or_else(|| scenario(format!("n{slot} knows no {range}")))
    }

    /// From now on the clock of the process in `slot` is wrong by so much; a negative one is slow.
    pub(crate) fn drifts(&self, slot: usize, drift_ppm: i64) -> Result<(), Broken> {
        let host = self.plane()?.host(slot).ok_or_else(|| scenario(format!("n{slot} does not run")))?;
        host.clock.drifts(drift_ppm);
        Ok(())
    }

    /// Virtual time since the run began.
    pub(crate) fn time(&self) -> Duration {
        self.trace.elapsed()
    }

    /// Waits until the member in `slot` writes to `range` under `epoch`, and answers since when.
    pub(crate) async fn writes_to(
        &mut self,
        slot: usize,
        range: &RangeKey,
        epoch: Epoch,
        within: Duration,
    ) -> Result<Duration, Broken> {
        let since = self.time();
        let what = format!("n{slot} to write to {range} under epoch {epoch}");
        let written = |world: &Self| {
            world.monitor.written(slot, range, epoch).filter(|(_, last)| *last >= since).map(|(first, _)| first)
        };
        self.until(within, Promise::L1, &what, written).await
    }

    /// When the member in `slot` last wrote to `range` under `epoch`.
    pub(crate) fn last_write(&self, slot: usize, range: &RangeKey, epoch: Epoch) -> Result<Duration, Broken> {
        let written = self.monitor.written(slot, range, epoch);
        written.map(|(_, last)| last).ok_or_else(|| scenario(format!("n{slot} never wrote to {range}")))
    }

    /// Has the gate of `range` closed at its owner in `slot`, and waits for its word.
    pub(crate) async fn closes(&mut self, slot: usize, range: &RangeKey) -> Result<ClosedGate, Broken> {
        let (plane, epoch, owner) = (self.plane()?, self.epoch_at(slot, range)?, self.member(slot)?);
        let what = format!("the word of n{slot} that {range} is closed");
        let word = |_: &Self| plane.closed_gate(range, epoch, &owner);
        self.until(self.election_timeout() * 2, Promise::L1, &what, word).await
    }
}
