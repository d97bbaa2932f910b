//! Members come and go while everything goes wrong: an operator who tries, and
//! takes what comes.

use super::clients::{Attempt, attempt};
use super::life_cycle::addresses;
use super::{Up, World, scenario};
use crate::checks::Broken;
use crate::disk::{Faults, Survivors};
use crate::workload::{OPERATOR, forced};
use cp_catalog::{
    Admission, ClientName, Command, Effect, Features, Join, Joining, Locality, Member, MemberLife, MembershipCommand,
    Principal, Privilege, Privileges, TokenHash, Verdict, Voting,
};
use cp_seam::{ControlPlaneEntry, Incarnation, MemberId, MemberKind};
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
        match self.rng.below(12) {
            0..4 => self.grow(&up).await,
            4..7 => self.give_a_vote(&up).await,
            7..9 => self.shrink(&up).await,
            9..11 => self.exchange(&up).await,
            _ => self.expel(&up).await,
        }
    }

    async fn tried(&mut self, up: &Up, command: impl Into<Command>) -> Result<Option<Effect>, Broken> {
        let entry = self.workload.request(command.into())?;
        self.tried_entry(up, &entry).await
    }

    async fn tried_entry(&mut self, up: &Up, entry: &ControlPlaneEntry) -> Result<Option<Effect>, Broken> {
        match attempt(&self.monitor, up, entry, Duration::from_millis(600)).await {
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
        let life = MemberLife { id: member, incarnation };
        if self.joins(up, &life, kind, token_hash).await? { self.begin(up, life, kind).await } else { Ok(()) }
    }

    /// Whether `life` is known to have joined, and `up` to be there.
    async fn joins(
        &mut self,
        up: &Up,
        life: &MemberLife,
        kind: MemberKind,
        token_hash: TokenHash,
    ) -> Result<bool, Broken> {
        let joining = Joining {
            cluster: self.cluster,
            member: life.clone(),
            token_hash,
            kind,
            addresses: addresses(&life.id),
            features: Features { level: cp_catalog::FEATURE_LEVEL, ..Features::default() },
        };
        Ok(self.tried(up, MembershipCommand::Joined(joining)).await?.is_some() && up.life.goes_on())
    }

    /// A member whose machine is gone, other than the leader, that the others can do without; and
    /// who of them votes.
    fn lose_one(
        &mut self,
        up: &Up,
        stay: &[&str],
    ) -> Result<Option<(usize, MemberLife, BTreeSet<Incarnation>)>, Broken> {
        let members: Vec<(MemberLife, Voting, Join)> =
            up.state.read(|c| c.members().map(|m| (m.life(), m.voting, m.join)).collect());
        let votes =
            |(_, voting, join): &&(MemberLife, Voting, Join)| *voting == Voting::Voting && *join == Join::Joined;
        let voters: BTreeSet<Incarnation> = members.iter().filter(votes).map(|(life, ..)| life.incarnation).collect();
        let spare = voters.len() > VOTERS_MIN;
        let mut lost = Vec::new();
        for (slot, at) in self.slots.iter().enumerate() {
            let present = members.iter().find(|(life, ..)| life.id == at.member && life.incarnation == at.incarnation);
            let Some((life, _, Join::Joined)) = present else { continue };
            let may = spare || !voters.contains(&life.incarnation);
            if may && slot != up.life.slot() && !stay.contains(&life.id.as_str()) {
                lost.push((slot, life.clone()));
            }
        }
        let Some((slot, life)) = self.rng.pick(&lost).cloned() else { return Ok(None) };
        self.kill(slot, Survivors::Nothing)?;
        let rest = voters.into_iter().filter(|voter| *voter != life.incarnation).collect();
        Ok(Some((slot, life, rest)))
    }

    /// The machine of a member is exchanged: another life begins under its name, with an empty disk.
    async fn exchange(&mut self, up: &Up) -> Result<(), Broken> {
        let Some((slot, member, reachable)) = self.lose_one(up, &[])? else { return Ok(()) };
        let (token_hash, id) = (TokenHash([9; 32]), member.id.clone());
        let replaced = self.tried(up, MembershipCommand::Replace { member, token_hash, reachable }).await?;
        let Some(Effect::Admitted { incarnation, .. }) = replaced else { return Ok(()) };
        let (life, kind) = (MemberLife { id, incarnation }, self.slot(slot)?.kind);
        if self.joins(up, &life, kind, token_hash).await? {
            self.begin_anew(up, slot, incarnation).await
        } else {
            Ok(())
        }
    }

    /// Starts another life of the member in `slot`, which has joined, from what `up` holds.
    async fn begin_anew(&mut self, up: &Up, slot: usize, incarnation: Incarnation) -> Result<(), Broken> {
        let Ok(founding) = cp_driver::founding(&up.store, &*up.state) else { return Ok(()) };
        self.kill(slot, Survivors::Nothing)?;
        self.wipe(slot)?;
        let disk = self.disk(slot)?;
        disk.with_faults(|faults| *faults = Faults::default());
        disk.stall(false);
        self.format(slot, incarnation, &founding)?;
        self.slot_mut(slot)?.retired = false;
        self.exchanged += 1;
        self.trace.node(slot, format_args!("begins anew as {incarnation}"));
        self.start(slot).await
    }

    /// A member that is gone for good is removed by force, whatever it has. Its node may come back.
    async fn expel(&mut self, up: &Up) -> Result<(), Broken> {
        let client = ClientName::new(OPERATOR).map_err(|e| scenario(e.to_string()))?;
        let privileges = Privileges { read: true, operate: true, force: true };
        let granted = up.state.read(|c| c.may(&Principal::Client(client.clone()), Privilege::Force).is_ok());
        if !granted && self.tried(up, MembershipCommand::Grant { client, privileges }).await?.is_none() {
            return Ok(());
        }
        // The first two own ranges in the workload, and stay.
        let Some((slot, member, reachable)) = self.lose_one(up, &["n0", "n1"])? else { return Ok(()) };
        let reason = format!("drill {}", self.rng.bits());
        let entry = forced(MembershipCommand::ForceRemove { member, reason, reachable }.into())?;
        let effect = self.tried_entry(up, &entry).await?;
        self.expelled += u64::from(effect.is_some());
        self.trace.node(slot, format_args!("is removed by force: {effect:?}"));
        Ok(())
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
            // A name may have moved to another slot; the newest life of it counts.
            let lives = self.slots.iter().enumerate().filter(|(_, slot)| slot.member == member.id);
            match lives.map(|(at, slot)| (slot.incarnation, at)).max() {
                None => self.begin(&up, member, kind).await?,
                Some((newest, at)) if newest < member.incarnation => {
                    self.begin_anew(&up, at, member.incarnation).await?;
                }
                Some(_) => {}
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
            let there = |m: &&Member| m.join != Join::Expelled;
            let member = state.read(|c| c.member(&slot.member).filter(there).map(|m| m.incarnation));
            slot.retired |= member != Some(slot.incarnation);
        }
        Ok(())
    }
}
