//! The steps that most storms take: ranges are made, promoted, and given and taken copies.

use super::{Workload, create, member, name};
use crate::checks::Broken;
use crate::world::scenario;
use cp_catalog::{
    Bound, Bounds, Catalog, Copies, CopyEdit, DataPosition, Evidence, Key, Mode, NewRange, OwnershipCommand, Placement,
    RangeId, RangeKey, Transfer,
};

impl Workload {
    /// A step in the life of one of a few ranges: its owner and its copies change.
    pub(super) fn promotion(&mut self, catalog: &Catalog) -> Result<OwnershipCommand, Broken> {
        let collection = name("ranges")?;
        if catalog.collection(&collection).is_none() {
            return create(collection);
        }
        let id = RangeId(1 + self.rng.below(3));
        let key = RangeKey::new(collection, id);
        let Some(range) = catalog.range(&key) else {
            let lower = Bound::Key(Key::new(&[u8::try_from(id.0).unwrap_or(1)]).map_err(|e| scenario(e.to_string()))?);
            let upper =
                Bound::Key(Key::new(&[u8::try_from(id.0 + 1).unwrap_or(2)]).map_err(|e| scenario(e.to_string()))?);
            let bounds = Bounds::new(lower, upper).map_err(|e| scenario(e.to_string()))?;
            let (mode, owner) = (Mode::Ordered, member(self.rng.below(2))?);
            let (replicas, archives, placement) = (Copies::default(), Copies::default(), Placement::default());
            return Ok(OwnershipCommand::CreateRange(NewRange {
                range: key,
                mode,
                bounds,
                owner,
                replicas,
                archives,
                placement,
            }));
        };
        let fence = range.fence();
        let other = range.replicas.iter().next().cloned();
        match other {
            Some(to) if self.rng.per_mille(700) => {
                let position = DataPosition { term: 1, lsn: 1 };
                let evidence =
                    Some(Evidence { candidate: to.clone(), applied: position, watermark: position, closed_gate: None });
                Ok(OwnershipCommand::Promote(Transfer { range: key, from: range.owner.clone(), fence, to, evidence }))
            }
            Some(gone) => Ok(OwnershipCommand::RemoveReplica(CopyEdit { range: key, fence, member: gone })),
            None => {
                let target = member(u64::from(range.owner == member(0)?))?;
                Ok(OwnershipCommand::AddReplica(CopyEdit { range: key, fence, member: target }))
            }
        }
    }
}
