//! What is proposed to our engines: write authority over ranges goes round between two members.

use anyhow::{Result, bail, ensure};
use cp_catalog::{
    Bound, Bounds, Catalog, ClosedGate, CollectionName, DataPosition, Effect, Evidence, GroupName, Key, Mode, NewRange,
    OwnershipCommand, Placement, Range, RangeId, RangeKey, Transfer, Verdict,
};
use cp_seam::MemberId;

/// How many ranges there are: each proposer moves one of its own.
pub(crate) const RANGES: u64 = 512;

pub(crate) fn collection() -> Result<CollectionName> {
    Ok(CollectionName::new("bench")?)
}

/// The commands that make the ranges.
pub(crate) fn founding(owner: &MemberId, replica: &MemberId) -> Result<Vec<OwnershipCommand>> {
    let (collection, mode) = (collection()?, Mode::Ordered);
    let group = GroupName::new("bench")?;
    let mut commands = vec![OwnershipCommand::CreateCollection { collection: collection.clone(), group, mode }];
    for number in 1..=RANGES {
        commands.push(OwnershipCommand::CreateRange(NewRange {
            range: RangeKey::new(collection.clone(), RangeId(number)),
            mode,
            bounds: bounds(number)?,
            owner: owner.clone(),
            replicas: [replica.clone()].into_iter().collect(),
            archives: Default::default(),
            placement: Placement::default(),
        }));
    }
    Ok(commands)
}

pub(crate) fn bounds(number: u64) -> Result<Bounds> {
    let at = |number: u64| Key::new(&number.to_be_bytes()).map(Bound::Key);
    Ok(Bounds::new(at(number)?, at(number + 1)?)?)
}

/// One range whose authority goes round.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    key: RangeKey,
    range: Range,
}

impl Round {
    pub(crate) fn of(key: RangeKey, range: Range) -> Self {
        Self { key, range }
    }

    /// That of the `number`-th proposer, as it stands in `catalog`.
    pub(crate) fn at(catalog: &Catalog, number: u64) -> Result<Self> {
        let key = RangeKey::new(collection()?, RangeId(number));
        let Some(range) = catalog.range(&key) else { bail!("there is no range {key}: there are {RANGES}") };
        Ok(Self { range: range.clone(), key })
    }

    pub(crate) fn key(&self) -> &RangeKey {
        &self.key
    }

    pub(crate) fn command(&self) -> Result<OwnershipCommand> {
        let Some(candidate) = self.range.replicas.iter().next() else { bail!("range {} has no replica", self.key) };
        let at = DataPosition { term: 1, lsn: self.range.version.0 };
        let closed_gate = Some(ClosedGate { range: self.key.clone(), epoch: self.range.epoch, last: at });
        Ok(OwnershipCommand::Handoff(Transfer {
            range: self.key.clone(),
            from: self.range.owner.clone(),
            fence: self.range.fence(),
            to: candidate.clone(),
            evidence: Some(Evidence { candidate: candidate.clone(), applied: at, watermark: at, closed_gate }),
        }))
    }

    /// Goes on from what it came to.
    pub(crate) fn take(&mut self, verdict: &Verdict) -> Result<()> {
        let now = match verdict {
            Verdict::Done(Effect::RangeAt { now, .. }) => now,
            other => bail!("range {}: {other}", self.key),
        };
        ensure!(now.owner != self.range.owner, "range {} did not move", self.key);
        let before = std::mem::replace(&mut self.range.owner, now.owner.clone());
        self.range.replicas = self.range.replicas.without(&now.owner).with(&before);
        (self.range.epoch, self.range.version) = (now.epoch, now.version);
        Ok(())
    }
}
