//! What clients propose: entries of both kinds, each unlike any other.

mod promotions;
mod transitions;

use crate::checks::Broken;
use crate::rng::Rng;
use crate::world::{DataPlane, scenario};
use cp_catalog::{
    AuthorityClaim, Catalog, ClientId, ClientName, CollectionName, Command, Epoch, GroupName, Locality, MemberLife,
    MembershipCommand, Mode, Origin, OwnershipCommand, Principal, Privilege, Request, RequestId,
};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, Incarnation, MemberId};

/// A client's stream of requests.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    seed: u64,
    client: ClientId,
    sequence: u64,
    rng: Rng,
    /// See [`Options::every_transition`](crate::Options::every_transition).
    every_transition: bool,
    /// Whose gates are closed before a range is handed over; there is no data plane without.
    plane: Option<DataPlane>,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(seed, 0)
    }

    /// With every transition that the catalog has.
    pub(crate) fn every_transition(self, every_transition: bool) -> Self {
        Self { every_transition, ..self }
    }

    /// The stream of another client of the same run.
    pub(crate) fn fork(&self, number: usize) -> Self {
        let number = u64::try_from(number).unwrap_or(u64::MAX).saturating_add(1);
        let fork = Self::of(self.seed, number).every_transition(self.every_transition);
        Self { plane: self.plane.clone(), ..fork }
    }

    /// From now on ranges are handed over once a gate of `plane` was closed, and forced now and then.
    pub(crate) fn closes_gates_of(&mut self, plane: Option<DataPlane>) {
        self.plane = plane;
    }

    fn of(seed: u64, number: u64) -> Self {
        let mut client = [0; 16];
        for (to, from) in client.iter_mut().zip(number.to_be_bytes().into_iter().chain(seed.to_be_bytes())) {
            *to = from;
        }
        let rng = Rng::new(seed, &format!("workload {number}"));
        Self { seed, client: ClientId(client), sequence: 0, rng, every_transition: false, plane: None }
    }

    /// The next entry: a collection, a change of a member's locality, or a
    /// transition of a range, fenced by what `seen` says of it, stale or not.
    pub(crate) fn next(&mut self, seen: Option<&Catalog>) -> Result<ControlPlaneEntry, Broken> {
        let command: Command = match (self.rng.below(10), seen) {
            (0..2, Some(catalog)) if self.rng.per_mille(200) => self.authority(catalog)?.into(),
            (0..2, _) => {
                let member = MemberLife { id: member(0)?, incarnation: Incarnation(1) };
                let weight = u32::try_from(self.rng.below(1000)).unwrap_or_default();
                MembershipCommand::SetLocality { member, locality: Locality { domain: None, weight } }.into()
            }
            (2..6, Some(catalog)) if self.every_transition => self.transition(catalog)?.into(),
            (2..6, Some(catalog)) => self.promotion(catalog)?.into(),
            _ => {
                let collection = name(&format!("c{}", self.rng.below(40)))?;
                create(collection)?.into()
            }
        };
        if command.privilege() == Privilege::Force {
            return forced(command);
        }
        let claim = seen.map(|catalog| self.claim(catalog)).transpose()?.flatten();
        self.request_under(command, claim)
    }

    /// Who decides on the placement of the one group, fenced by what `catalog` says, stale or not.
    fn authority(&mut self, catalog: &Catalog) -> Result<OwnershipCommand, Broken> {
        let (group, holder) = (group()?, member(self.rng.below(3))?);
        Ok(match catalog.authority(&group) {
            Some(authority) => OwnershipCommand::ReassignAuthority { group, fence: authority.fence(), holder },
            None => OwnershipCommand::AssignAuthority { group, holder },
        })
    }

    /// Now and then a planner says by which authority it acts; some by one that has moved.
    fn claim(&mut self, catalog: &Catalog) -> Result<Option<AuthorityClaim>, Broken> {
        if !self.rng.per_mille(150) {
            return Ok(None);
        }
        let group = group()?;
        let epoch = catalog.authority(&group).map_or(Epoch(1), |authority| authority.epoch);
        let epoch = if self.rng.per_mille(200) { Epoch(epoch.0.saturating_sub(1)) } else { epoch };
        Ok(Some(AuthorityClaim { group, epoch }))
    }

    /// `command` as this client's next request.
    pub(crate) fn request(&mut self, command: Command) -> Result<ControlPlaneEntry, Broken> {
        self.request_under(command, None)
    }

    fn request_under(&mut self, command: Command, claim: Option<AuthorityClaim>) -> Result<ControlPlaneEntry, Broken> {
        self.sequence += 1;
        let id = RequestId { client: self.client, since: ControlPlaneLogIndex(0), sequence: self.sequence };
        let request = Request { claim, ..Request::new(Some(id), command) };
        request.to_entry().map_err(|e| scenario(e.to_string()))
    }
}

/// The client that may force, where one is needed.
pub(crate) const OPERATOR: &str = "operator";

/// Attempts of its author count under no session: each is one of its own.
pub(crate) fn forced(command: Command) -> Result<ControlPlaneEntry, Broken> {
    let operator = ClientName::new(OPERATOR).map_err(|e| scenario(e.to_string()))?;
    let origin = Origin { principal: Principal::Client(operator), at_unix_ms: 1 };
    Request::new(None, command).of(origin).to_entry().map_err(|e| scenario(e.to_string()))
}

fn name(text: &str) -> Result<CollectionName, Broken> {
    CollectionName::new(text).map_err(|e| scenario(e.to_string()))
}

fn member(number: u64) -> Result<MemberId, Broken> {
    MemberId::new(&format!("n{number}")).map_err(|e| scenario(e.to_string()))
}

fn create(collection: CollectionName) -> Result<OwnershipCommand, Broken> {
    Ok(OwnershipCommand::CreateCollection { collection, group: group()?, mode: Mode::Ordered })
}

/// The group of every collection.
fn group() -> Result<GroupName, Broken> {
    GroupName::new("g").map_err(|e| scenario(e.to_string()))
}
