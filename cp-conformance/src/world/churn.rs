//! Members come and go while everything goes wrong: an operator who tries, and
//! takes what comes.

use super::clients::{Attempt, attempt};
use super::life_cycle::addresses;
use super::{Up, World, scenario};
use crate::checks::Broken;
use cp_catalog::{
    Admission, Command, Effect, Features, Join, Joining, Locality, MemberLife, MembershipCommand, TokenHash, Verdict,
    Voting,
};
use cp_seam::{Incarnation, MemberId, MemberKind};
use std::collections::BTreeSet;
use std::time::Duration;

/// The most members a storm makes.
const MEMBERS_MAX: usize = 7;
/// The fewest voters a storm leaves.
const VOTERS_MIN: usize = 3;

impl World {
    /// One attempt at a membership change, by whoever leads.
    pub(super) async fn churn(&mut self) -> Result<(), Broken> {
        let leads = |slot: &usize| self.up(*slot).is_ok_and(|up| up.life.responds() && up.node.is_leader());
        let Some(leader) = self.running().into_iter().find(leads) else { return Ok(()) };
        let up = self.up(leader)?;
        match self.rng.below(3) {
            0 => self.grow(&up).await,
            1 => self.give_a_vote(&up).await,
            _ => self.shrink(&up).await,
        }
    }

    async fn tried(&mut self, up: &Up, command: impl Into<Command>) -> Result<Option<Effect>, Broken> {
        let entry = self.workload.request(command.into())?;
        match attempt(&self.monitor, up, &entry, Duration::from_millis(600)).await {
            Attempt::Committed(position) => Ok(match up.state.verdict(position.index) {
                Some(Verdict::Done(effect)) => Some(effect),
                Some(Verdict::Refused(_)) | None => None,
            }),
            _ => Ok(None),
        }
    }

    async fn grow(&mut self, up: &Up) -> Result<(), Broken> {
        if self.slots.len() >= MEMBERS_MAX {
            return Ok(());
        }
        let member = MemberId::new(&format!("n{}", self.slots.len())).map_err(|e| scenario(e.to_string()))?;
        let (kind, token_hash) = (MemberKind::Data, TokenHash([9; 32]));
        let locality = Locality::default();
        let admission = Admission { member: member.clone(), kind, token_hash, locality, standby: false };
        let admitted = self.tried(up, MembershipCommand::Admit(admission)).await?;
        let (Some(Effect::Admitted { incarnation, .. }) | Some(Effect::AlreadyMember { incarnation, .. })) = admitted
        else {
            return Ok(());
        };
        let joining = Joining {
            cluster: self.cluster,
            member: MemberLife { id: member.clone(), incarnation },
            token_hash,
            kind,
            addresses: addresses(&member),
            features: Features { level: cp_catalog::FEATURE_LEVEL, ..Features::default() },
        };
        if self.tried(up, MembershipCommand::Joined(joining)).await?.is_none() || !up.life.goes_on() {
            return Ok(());
        }
        self.begin(up, MemberLife { id: member, incarnation }, kind).await
    }

    /// Starts a member that has joined, from what `up` holds.
    async fn begin(&mut self, up: &Up, member: MemberLife, kind: MemberKind) -> Result<(), Broken> {
        let Ok(founding) = cp_driver::founding(&up.store, &*up.state) else { return Ok(()) };
        let slot = self.add(member.id, kind, member.incarnation, &founding)?;
        self.trace.node(slot, format_args!("joins as {}", member.incarnation));
        self.start(slot).await
    }

    /// Starts whoever has joined by the leader's catalog, though the operator was never told.
    pub(super) async fn finish_joining(&mut self, leader: usize) -> Result<(), Broken> {
        let up = self.up(leader)?;
        let joined: Vec<_> = up
            .state
            .read(|catalog| catalog.members().filter(|m| m.join == Join::Joined).map(|m| (m.life(), m.kind)).collect());
        for (member, kind) in joined {
            if !self.slots.iter().any(|slot| slot.member == member.id) {
                self.begin(&up, member, kind).await?;
            }
        }
        Ok(())
    }

    async fn give_a_vote(&mut self, up: &Up) -> Result<(), Broken> {
        let learner = up.state.read(|c| c.members().find(|m| m.voting == Voting::CatchingUp).map(|m| m.life()));
        match learner {
            Some(member) => self.tried(up, MembershipCommand::SetVoting { member }).await.map(drop),
            None => Ok(()),
        }
    }

    async fn shrink(&mut self, up: &Up) -> Result<(), Broken> {
        let voters: Vec<MemberLife> =
            up.state.read(|c| c.members().filter(|m| m.voting == Voting::Voting).map(|m| m.life()).collect());
        if voters.len() <= VOTERS_MIN {
            return Ok(());
        }
        // The first two own ranges in the workload, and stay.
        let leavers: Vec<MemberLife> =
            voters.iter().filter(|m| !matches!(m.id.as_str(), "n0" | "n1")).cloned().collect();
        let Some(member) = self.rng.pick(&leavers).cloned() else { return Ok(()) };
        let reachable: BTreeSet<Incarnation> = voters.iter().map(|m| m.incarnation).collect();
        self.tried(up, MembershipCommand::Drain { member: member.clone() }).await?;
        self.tried(up, MembershipCommand::Remove { member, reachable }).await.map(drop)
    }

    /// Whoever the leader's catalog does not have in its present life has left,
    /// whatever the operator was told.
    pub(super) fn retire_as_decided(&mut self, leader: usize) -> Result<(), Broken> {
        let state = self.up(leader)?.state;
        for slot in &mut self.slots {
            let member = state.read(|catalog| catalog.member(&slot.member).map(|m| m.incarnation));
            slot.retired |= member != Some(slot.incarnation);
        }
        Ok(())
    }
}
