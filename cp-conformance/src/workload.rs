//! What clients propose: entries of both kinds, each unlike any other.

use crate::checks::Broken;
use crate::rng::Rng;
use crate::world::scenario;
use cp_catalog::{
    Bound, Bounds, Catalog, ClientId, CollectionName, Command, Copies, CopyEdit, DataPosition, Evidence, GroupName,
    Key, Locality, MemberLife, MembershipCommand, Mode, NewRange, OwnershipCommand, Placement, RangeId, RangeKey,
    Request, RequestId, Transfer,
};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, Incarnation, MemberId};

/// A client's stream of requests.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    seed: u64,
    client: ClientId,
    sequence: u64,
    rng: Rng,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(seed, 0)
    }

    /// The stream of another client of the same run.
    pub(crate) fn fork(&self, number: usize) -> Self {
        Self::of(self.seed, u64::try_from(number).unwrap_or(u64::MAX).saturating_add(1))
    }

    fn of(seed: u64, number: u64) -> Self {
        let mut client = [0; 16];
        for (to, from) in client.iter_mut().zip(number.to_be_bytes().into_iter().chain(seed.to_be_bytes())) {
            *to = from;
        }
        let rng = Rng::new(seed, &format!("workload {number}"));
        Self { seed, client: ClientId(client), sequence: 0, rng }
    }

    /// The next entry: a collection, a change of a member's locality, or a
    /// transition of a range, fenced by what `seen` says of it, stale or not.
    pub(crate) fn next(&mut self, seen: Option<&Catalog>) -> Result<ControlPlaneEntry, Broken> {
        let command = match (self.rng.below(10), seen) {
            (0..2, _) => {
                let member = MemberLife { id: member(0)?, incarnation: Incarnation(1) };
                let weight = u32::try_from(self.rng.below(1000)).unwrap_or_default();
                MembershipCommand::SetLocality { member, locality: Locality { domain: None, weight } }.into()
            }
            (2..6, Some(catalog)) => self.transition(catalog)?.into(),
            _ => {
                let collection = name(&format!("c{}", self.rng.below(40)))?;
                create(collection)?.into()
            }
        };
        self.request(command)
    }

    /// A step in the life of one of a few ranges.
    fn transition(&mut self, catalog: &Catalog) -> Result<OwnershipCommand, Broken> {
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

    /// `command` as this client's next request.
    pub(crate) fn request(&mut self, command: Command) -> Result<ControlPlaneEntry, Broken> {
        self.sequence += 1;
        let id = RequestId { client: self.client, since: ControlPlaneLogIndex(0), sequence: self.sequence };
        Request::new(Some(id), command).to_entry().map_err(|e| scenario(e.to_string()))
    }
}

fn name(text: &str) -> Result<CollectionName, Broken> {
    CollectionName::new(text).map_err(|e| scenario(e.to_string()))
}

fn member(number: u64) -> Result<MemberId, Broken> {
    MemberId::new(&format!("n{number}")).map_err(|e| scenario(e.to_string()))
}

fn create(collection: CollectionName) -> Result<OwnershipCommand, Broken> {
    let group = GroupName::new("g").map_err(|e| scenario(e.to_string()))?;
    Ok(OwnershipCommand::CreateCollection { collection, group, mode: Mode::Ordered })
}
