//! What clients propose: entries of both kinds, each unlike any other.

use crate::checks::Broken;
use crate::rng::Rng;
use crate::world::scenario;
use cp_catalog::{
    ClientId, CollectionName, Command, GroupName, Locality, MemberLife, MembershipCommand, Mode, OwnershipCommand,
    Request, RequestId,
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

    /// The next entry: mostly a new collection, sometimes a change of a member's locality.
    pub(crate) fn next(&mut self) -> Result<ControlPlaneEntry, Broken> {
        let name = |text: &str| CollectionName::new(text).map_err(|e| scenario(e.to_string()));
        let command: Command = if self.rng.per_mille(200) {
            let id = MemberId::new("n0").map_err(|e| scenario(e.to_string()))?;
            let member = MemberLife { id, incarnation: Incarnation(1) };
            let weight = u32::try_from(self.rng.below(1000)).unwrap_or_default();
            MembershipCommand::SetLocality { member, locality: Locality { domain: None, weight } }.into()
        } else {
            let collection = name(&format!("c{}", self.rng.below(40)))?;
            let group = GroupName::new("g").map_err(|e| scenario(e.to_string()))?;
            OwnershipCommand::CreateCollection { collection, group, mode: Mode::Hash }.into()
        };
        self.request(command)
    }

    /// `command` as this client's next request.
    pub(crate) fn request(&mut self, command: Command) -> Result<ControlPlaneEntry, Broken> {
        self.sequence += 1;
        let id = RequestId { client: self.client, since: ControlPlaneLogIndex(0), sequence: self.sequence };
        Request::new(Some(id), command).to_entry().map_err(|e| scenario(e.to_string()))
    }
}
