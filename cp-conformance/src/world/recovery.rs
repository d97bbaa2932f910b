//! What an operator does when a quorum is lost for good: the same code as the command's.

use super::{World, scenario};
use crate::checks::Broken;
use crate::disk::{Disk, Survivors};
use crate::life::Life;
use crate::promise::Promise;
use cp_catalog::{RangeKey, Recovery};
use cp_recovery::{Description, RecoverError, Request, Survivor, plan};
use cp_seam::{ClusterId, Generation};
use cp_store::Founding;
use std::sync::Arc;

fn opened(disk: &Disk, slot: usize) -> Result<Survivor, RecoverError> {
    Survivor::open(disk.mount(Arc::new(Life::new(slot, 0))))
}

fn request(confirm: ClusterId, generation_id: [u8; 8]) -> Request {
    let (operator, reason) = ("the simulator".to_owned(), "a quorum is gone".to_owned());
    Request { confirm, operator, reason, at_unix_ms: 1, generation_id, after_generation: 0, again: false }
}

impl World {
    /// What the disk of a node that does not run holds.
    pub fn described(&self, slot: usize) -> Result<Description, Broken> {
        let survivor = opened(&self.slot(slot)?.disk, slot);
        let survivor = survivor.map_err(|error| scenario(format!("n{slot}: {}", cp_driver::chain(&error))))?;
        Ok(survivor.description())
    }

    /// Whom of `slots` an operator would go on from.
    pub fn planned(&self, slots: &[usize]) -> Result<usize, Broken> {
        let found: Vec<Description> = slots.iter().map(|slot| self.described(*slot)).collect::<Result<_, _>>()?;
        let best = plan(&found).map_err(|error| scenario(error.to_string()))?.best;
        slots.get(best).copied().ok_or_else(|| scenario("the plan names nobody"))
    }

    /// Makes the member in `slot`, which does not run, the only voter of a new
    /// generation. Everybody else is left out of what heals from now on.
    pub fn recover(&mut self, slot: usize) -> Result<Recovery, Broken> {
        let mut id = [0; 8];
        id.iter_mut().for_each(|byte| *byte = u8::try_from(self.rng.below(256)).unwrap_or_default());
        let refused = |error: RecoverError| {
            Broken::new("case", Promise::R2, format!("n{slot} was not recovered: {}", cp_driver::chain(&error)))
        };
        let disk = self.disk(slot)?;
        let (identity, recovery) =
            opened(&disk, slot).and_then(|survivor| survivor.recover(&request(self.cluster, id))).map_err(refused)?;
        self.trace.node(
            slot,
            format_args!("goes on alone as {}, generation {}", identity.incarnation, identity.generation.number),
        );
        let before = std::mem::replace(&mut self.generation, identity.generation);
        self.slot_mut(slot)?.incarnation = identity.incarnation;
        for other in self.others(&[slot]) {
            self.retire(other)?;
        }
        // What the checkers know begins anew with the recovered state, at an index of its own.
        let recovered = opened(&disk, slot).map_err(refused)?;
        let (meta, state) = (recovered.inspection().snapshot.clone(), recovered.catalog().clone());
        let chunks = state.to_genesis().map_err(|halt| scenario(halt.reason))?.chunks;
        drop(recovered);
        let index = meta.position.index;
        self.genesis = Some(Founding { meta, chunks });
        self.monitor.enroll(slot, identity.incarnation, disk);
        self.monitor.begins(index, before.number, identity.generation.number);
        for spec in state.collections() {
            for range in state.ranges(&spec.name) {
                self.monitor.stands(index, &RangeKey::new(spec.name.clone(), range.id), &range.standing());
            }
        }
        self.monitor.inspect(slot);
        Ok(recovery)
    }

    /// What an operator does after a disaster: all lose power as it comes, one disk of
    /// them is gone, whoever the plan names goes on alone, and the rest joins anew.
    pub async fn disaster(&mut self) -> Result<Recovery, Broken> {
        let kinds = [Survivors::Nothing, Survivors::Everything, Survivors::Subset, Survivors::Torn { unit_bytes: 512 }];
        for slot in 0..self.slots.len() {
            let at = usize::try_from(self.rng.below(kinds.len() as u64)).unwrap_or_default();
            self.kill(slot, kinds.get(at).copied().unwrap_or(Survivors::Nothing))?;
        }
        let gone = usize::try_from(self.rng.below(self.slots.len() as u64)).unwrap_or_default();
        self.wipe(gone)?;
        let left = self.others(&[gone]);
        let survivor = self.planned(&left)?;
        let recovery = self.recover(survivor)?;
        self.holds_everything(survivor)?;
        self.start(survivor).await?;
        self.leader_among(&[survivor], self.election_timeout() * 20).await?;
        for slot in self.others(&[survivor]) {
            self.rejoin(slot).await?;
            let last = self.writes(2).await?;
            self.applied(&[slot], last, self.election_timeout() * 6).await?;
            self.promote(slot).await?;
        }
        Ok(recovery)
    }

    /// Recovers a copy of the disk in `slot`, which loses power at the operation after
    /// `steps` others, and answers which generation is left on it. Objects to anything
    /// but the old node, unchanged, or the new one, whole.
    pub fn recovery_cut_after(&mut self, slot: usize, steps: u64, survivors: Survivors) -> Result<Cut, Broken> {
        let broken = |what: String| Broken::new("case", Promise::R2, format!("cut after {steps} operations, {what}"));
        let original = self.disk(slot)?;
        let before = original.inspect().map_err(|error| broken(error.to_string()))?;
        let copy = original.duplicate();
        let survivor = opened(&copy, slot).map_err(|error| broken(error.to_string()))?;
        copy.with_faults(|faults| faults.crash_after = Some(steps));
        let finished = survivor.recover(&request(self.cluster, [1; 8])).is_ok();
        copy.with_faults(|faults| faults.crash_after = None);
        copy.crash(survivors);
        let after = copy.inspect().map_err(|error| broken(format!("nothing opens: {}", cp_driver::chain(&error))))?;
        if after.identity.generation == before.identity.generation {
            if after != before || finished {
                return Err(broken(format!("the old node is changed, or the new one is gone: {after:?}")));
            }
        } else {
            let state = opened(&copy, slot).map_err(|error| broken(cp_driver::chain(&error)))?;
            if let Some(violation) = state.catalog().violations().first() {
                return Err(broken(violation.to_string()));
            }
        }
        Ok(Cut { finished, left: after.identity.generation })
    }
}

/// What was left by a recovery that was cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Whether it had finished before.
    pub finished: bool,
    /// The generation on the disk.
    pub left: Generation,
}
