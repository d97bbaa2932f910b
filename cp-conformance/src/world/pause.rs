//! Nodes that stand still, and a clock that jumps.
//!
//! A pause is what SIGSTOP, a long collection of garbage or a suspended machine does:
//! no task of the node runs, callers wait, frames pile up in front of it, the disk
//! finishes what it was given, and afterwards every timer is late at once. Such a node
//! finds that its clock has jumped forward by as long as it was paused; all nodes do
//! when the clock of the whole simulation jumps. Clocks that run at different speeds,
//! or back, are not simulated for nodes: they measure spans on one monotonic clock, and read
//! no other. Those of the data plane beside them do drift: leases are what depends on that.

use super::World;
use crate::checks::Broken;
use crate::sync::locked;
use std::time::Duration;

impl World {
    /// Pauses the node in `slot`. Does nothing to one that does not run.
    pub fn pause(&mut self, slot: usize) -> Result<(), Broken> {
        self.slot(slot)?;
        let Ok(up) = self.up(slot) else { return Ok(()) };
        if up.life.responds() {
            self.pauses += 1;
            self.trace.node(slot, "is paused");
            up.life.freezer().freeze();
        }
        Ok(())
    }

    /// Lets the node in `slot` go on.
    pub fn resume(&mut self, slot: usize) -> Result<(), Broken> {
        self.slot(slot)?;
        let Ok(up) = self.up(slot) else { return Ok(()) };
        if up.life.freezer().is_frozen() {
            self.trace.node(slot, "goes on");
            up.life.freezer().thaw();
            self.network.release();
        }
        Ok(())
    }

    /// Pauses the node in `slot`, for so long.
    pub fn pause_for(&mut self, slot: usize, time: Duration) -> Result<(), Broken> {
        self.pause(slot)?;
        let Ok(up) = self.up(slot) else { return Ok(()) };
        let (network, trace) = (self.network.clone(), self.trace.clone());
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if up.life.freezer().is_frozen() {
                trace.node(slot, "goes on");
                up.life.freezer().thaw();
                network.release();
            }
        });
        Ok(())
    }

    /// Lets every paused node go on.
    pub fn resume_all(&mut self) -> Result<(), Broken> {
        (0..self.slots.len()).try_for_each(|slot| self.resume(slot))
    }

    /// The slots of the nodes that are paused.
    pub fn paused(&self) -> Vec<usize> {
        let frozen = |up: &super::Up| up.life.freezer().is_frozen();
        locked(&self.roster).iter().filter(|(_, up)| frozen(up)).map(|(slot, _)| *slot).collect()
    }

    /// The clock of everything jumps forward: all that was to happen meanwhile is late.
    pub async fn jump(&mut self, by: Duration) {
        self.jumps += 1;
        self.trace.note(&"sim", &format_args!("the clock jumps by {} ms", by.as_millis()));
        tokio::time::advance(by).await;
    }
}
