//! Members come and go, as an operator makes them.

use super::clients::{Attempt, attempt};
use super::life_cycle::addresses;
use super::{World, scenario};
use crate::checks::Broken;
use crate::disk::{Disk, Survivors};
use crate::promise::Promise;
use cp_catalog::{
    Admission, Command, Effect, Features, Joining, Locality, MemberLife, MembershipCommand, TokenHash, Verdict, Voting,
};
use cp_seam::{Incarnation, LogPosition, MemberId, MemberKind};
use cp_store::{Configuration, Founding};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

impl World {
    /// Has `command` decided, wherever the leader is, and answers the verdict.
    pub async fn decide(&mut self, command: impl Into<Command>) -> Result<Verdict, Broken> {
        let command = command.into();
        let deadline = Instant::now() + self.election_timeout() * 20;
        while Instant::now() < deadline {
            let leader = self.leader().await?;
            let (up, entry) = (self.up(leader)?, self.workload.request(command.clone())?);
            let attempt = attempt(&self.monitor, &up, &entry, self.election_timeout() * 2).await;
            if let Attempt::Committed(position) = attempt {
                let verdict = up.state.verdict(position.index);
                self.trace.node(leader, format_args!("decides {position}: {verdict:?}"));
                return verdict.ok_or_else(|| scenario(format!("no verdict at {position}")));
            }
            // A refusal takes no time: without a pause the clock would stand still.
            self.pass(Duration::from_millis(10)).await;
        }
        Err(Broken::new("liveness", Promise::L1, format!("{command:?} was not decided in time")))
    }

    async fn done(&mut self, command: impl Into<Command>) -> Result<Effect, Broken> {
        let verdict = self.decide(command).await?;
        verdict.into_result().map_err(|refusal| scenario(format!("refused: {refusal}")))
    }

    /// The life that the catalog has for the member in `slot`.
    pub fn life_of(&self, slot: usize) -> Result<MemberLife, Broken> {
        let slot = self.slot(slot)?;
        Ok(MemberLife { id: slot.member.clone(), incarnation: slot.incarnation })
    }

    /// Admits `member`, gives it a disk founded on the leader's state and starts
    /// it. It is a learner afterwards.
    pub async fn join(&mut self, name: &str, kind: MemberKind) -> Result<usize, Broken> {
        let member = MemberId::new(name).map_err(|e| scenario(e.to_string()))?;
        let (incarnation, founding) = self.admit(&member, kind).await?;
        let slot = self.add(member, kind, incarnation, &founding)?;
        self.start(slot).await?;
        Ok(slot)
    }

    /// As [`join`](Self::join), founded on `founding`: on genesis, it catches up from a
    /// snapshot like any other member that is far behind.
    pub async fn join_on(&mut self, name: &str, founding: &Founding) -> Result<usize, Broken> {
        let (member, kind) = (MemberId::new(name).map_err(|e| scenario(e.to_string()))?, MemberKind::Data);
        let (incarnation, _) = self.admit(&member, kind).await?;
        let slot = self.add(member, kind, incarnation, founding)?;
        self.start(slot).await?;
        Ok(slot)
    }

    async fn admit(&mut self, member: &MemberId, kind: MemberKind) -> Result<(Incarnation, Founding), Broken> {
        let token_hash = TokenHash([9; 32]);
        let locality = Locality::default();
        let admission = Admission { member: member.clone(), kind, token_hash, locality, standby: false };
        let effect = self.done(MembershipCommand::Admit(admission)).await?;
        let Effect::Admitted { incarnation, .. } = effect else {
            return Err(scenario(format!("{member} was not admitted: {effect}")));
        };
        let joining = Joining {
            cluster: self.cluster,
            member: MemberLife { id: member.clone(), incarnation },
            token_hash,
            kind,
            addresses: addresses(member),
            features: Features { level: cp_catalog::FEATURE_LEVEL, ..Features::default() },
        };
        self.done(MembershipCommand::Joined(joining)).await?;
        let leader = self.leader().await?;
        let up = self.up(leader)?;
        let founding = cp_driver::founding(&up.store, &*up.state).map_err(|halt| scenario(halt.reason))?;
        Ok((incarnation, founding))
    }

    /// Gives the member in `slot` a vote, and waits until the engine has it so.
    pub async fn promote(&mut self, slot: usize) -> Result<(), Broken> {
        let member = self.life_of(slot)?;
        self.done(MembershipCommand::SetVoting { member }).await?;
        self.settled().await
    }

    /// Takes the member in `slot` out, and waits until the engine has it so. Its
    /// node goes on running; nobody is to listen to it.
    pub async fn remove(&mut self, slot: usize) -> Result<(), Broken> {
        self.remove_unsettled(slot).await?;
        self.settled().await
    }

    /// As [`remove`](Self::remove), without waiting for the engine.
    pub async fn remove_unsettled(&mut self, slot: usize) -> Result<(), Broken> {
        let member = self.life_of(slot)?;
        self.done(MembershipCommand::Drain { member: member.clone() }).await?;
        let reachable = self.voters().await?;
        self.done(MembershipCommand::Remove { member, reachable }).await?;
        self.slot_mut(slot)?.retired = true;
        Ok(())
    }

    /// Takes the vote of the member in `slot`, which stays a member; without waiting for the engine.
    pub async fn demote_unsettled(&mut self, slot: usize) -> Result<(), Broken> {
        let (member, reachable) = (self.life_of(slot)?, self.voters().await?);
        self.done(MembershipCommand::Demote { member, reachable }).await.map(drop)
    }

    /// Who has a vote by the leader's catalog.
    async fn voters(&mut self) -> Result<BTreeSet<Incarnation>, Broken> {
        let leader = self.leader().await?;
        let state = self.up(leader)?.state;
        Ok(state.read(|c| c.members().filter(|m| m.voting == Voting::Voting).map(|m| m.incarnation).collect()))
    }

    /// The newest configuration in the log of `slot`, and where it is.
    pub fn configuration(&self, slot: usize) -> Result<(LogPosition, Configuration), Broken> {
        Ok(self.up(slot)?.store.configurations().pop().unwrap_or_default())
    }

    /// Waits until the leader's configuration is what the catalog wants.
    pub async fn settled(&mut self) -> Result<(), Broken> {
        let within = self.election_timeout() * 20;
        self.until(within, Promise::M1, "the membership change to be final", |world| {
            let leads = |slot: &usize| world.up(*slot).is_ok_and(|up| up.node.is_leader());
            let leader = world.running().into_iter().find(leads)?;
            world.status(leader).is_ok_and(|status| status.settled).then_some(())
        })
        .await
    }

    /// Replaces the disk of `slot` by an empty one, admits the member anew, and
    /// starts it as its next incarnation.
    pub async fn replace(&mut self, slot: usize) -> Result<(), Broken> {
        self.kill(slot, Survivors::Nothing)?;
        let (member, kind) = (self.member(slot)?, self.slot(slot)?.kind);
        self.remove_unsettled(slot).await?;
        self.settled().await?;
        self.anew(slot, &member, kind).await
    }

    /// Gives the member in `slot`, which a recovery has fenced, an empty disk and a new
    /// life. It is a learner afterwards.
    pub async fn rejoin(&mut self, slot: usize) -> Result<(), Broken> {
        self.kill(slot, Survivors::Nothing)?;
        let (member, kind) = (self.member(slot)?, self.slot(slot)?.kind);
        self.anew(slot, &member, kind).await
    }

    async fn anew(&mut self, slot: usize, member: &MemberId, kind: MemberKind) -> Result<(), Broken> {
        self.wipe(slot)?;
        let (incarnation, founding) = self.admit(member, kind).await?;
        self.format(slot, incarnation, &founding)?;
        self.slot_mut(slot)?.retired = false;
        self.start(slot).await
    }

    /// Empties the disk of a node that does not run.
    pub fn wipe(&mut self, slot: usize) -> Result<(), Broken> {
        self.trace.node(slot, "loses its disk");
        self.slot(slot)?.disk.wipe();
        self.monitor.forget(slot);
        Ok(())
    }

    /// Founds an empty disk anew under the incarnation that it had: what must
    /// never happen, and must be noticed when it does.
    pub fn resurrect(&mut self, slot: usize, founding: &Founding) -> Result<(), Broken> {
        let incarnation = self.incarnation(slot)?;
        self.format(slot, incarnation, founding)
    }

    /// What the founding members were founded on.
    pub fn genesis(&self) -> Result<Founding, Broken> {
        self.genesis.clone().ok_or_else(|| scenario("the world is not founded"))
    }

    /// Sets the disk of a node that does not run back to `older`: a planted bug,
    /// since no disk that is synced does so.
    pub fn set_back(&mut self, slot: usize, older: &Disk) -> Result<(), Broken> {
        self.trace.node(slot, "has its disk set back");
        let at = self.slot(slot)?;
        at.disk.overwrite_with(older);
        self.monitor.enroll(slot, at.incarnation, at.disk.clone());
        Ok(())
    }

    /// Leaves `slot` out of everything that heals from now on.
    pub fn retire(&mut self, slot: usize) -> Result<(), Broken> {
        self.slot_mut(slot)?.retired = true;
        Ok(())
    }
}
