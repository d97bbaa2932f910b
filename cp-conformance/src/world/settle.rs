//! After the faults: everything heals, and every node is held to its promises.

use super::World;
use crate::checks::Broken;
use crate::disk::{Faults, Survivors};
use crate::network::Conditions;
use crate::promise::Promise;
use cp_seam::{ControlPlaneStateMachine, LogPosition};
use std::time::Duration;

impl World {
    /// Ends every fault: ways are open, disks work, nothing is aimed at, and every
    /// member that has not left runs.
    pub async fn heal(&mut self) -> Result<(), Broken> {
        self.trace.note(&"sim", &"everything heals");
        self.monitor.hold_fire();
        self.resume_all()?;
        self.network.heal();
        self.network.conditions(Conditions::default());
        for slot in &self.slots {
            slot.disk.with_faults(|faults| *faults = Faults::default());
            slot.disk.stall(false);
        }
        self.reap(Survivors::Nothing)?;
        for slot in 0..self.slots.len() {
            if !self.slot(slot)?.retired && self.up(slot).is_err() {
                self.start(slot).await?;
            }
        }
        Ok(())
    }

    /// Heals, and demands within a bounded time: a leader, service, the same state
    /// on every member, and every acknowledged entry on every disk (CP-L1, CP-S2, CP-R3).
    pub async fn heal_and_settle(&mut self) -> Result<(), Broken> {
        self.heal().await?;
        let within = self.election_timeout() * 20;
        let leader = self.leader().await?;
        self.writes(1).await?;
        self.retire_as_decided(leader)?;
        self.finish_joining(leader).await?;
        self.settled_leader().await?;
        let last = self.writes(3).await?;
        let mut running = self.running();
        running.retain(|slot| self.slot(*slot).is_ok_and(|slot| !slot.retired));
        self.applied(&running, last, within).await?;
        self.same_state(&running, within).await?;
        let state = self.up(leader)?.state;
        self.monitor.replays(&self.genesis()?, state.applied(), state.digest())?;
        self.until(within, Promise::M1, "no membership change to be in flight", |world| {
            running.iter().all(|slot| world.status(*slot).is_ok_and(|s| s.settled)).then_some(())
        })
        .await?;
        for slot in running {
            self.holds_everything(slot)?;
        }
        Ok(())
    }

    /// Waits until the nodes in `slots` have applied the same index with the same digest.
    pub async fn same_state(&mut self, slots: &[usize], within: Duration) -> Result<(), Broken> {
        let what = format!("{slots:?} to be in the same state");
        let equal = |world: &Self| {
            let mut states =
                slots.iter().map(|slot| world.up(*slot).ok().map(|up| (up.state.applied(), up.state.digest())));
            let first = states.next().flatten()?;
            states.all(|state| state == Some(first)).then_some(())
        };
        self.until(within, Promise::R3, &what, equal).await
    }

    /// Demands that a power loss now would leave `slot` with everything acknowledged.
    pub fn holds_everything(&mut self, slot: usize) -> Result<(), Broken> {
        match self.monitor.missing(slot)? {
            None => Ok(()),
            Some(position) => Err(lost(slot, position)),
        }
    }
}

fn lost(slot: usize, position: LogPosition) -> Broken {
    let what = format!("{position} was acknowledged and is not on n{slot}'s disk");
    Broken::new("nothing acknowledged is lost", Promise::S2, what)
}
