//! Callers that write to ranges, at whom they were told last.

use super::{DataPlane, Word};
use crate::rng::Rng;
use crate::sync::locked;
use crate::world::{Up, World};
use cp_catalog::{CollectionName, Epoch, Range, RangeKey};
use cp_seam::MemberId;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How many routes a caller remembers, however old.
const ROUTES_KEPT: usize = 16;

/// A write, and where it goes.
#[derive(Debug, Clone)]
struct Routed {
    owner: MemberId,
    range: RangeKey,
    epoch: Epoch,
    key: Vec<u8>,
}

struct Writer {
    plane: DataPlane,
    collection: CollectionName,
    rng: Rng,
    routes: VecDeque<Routed>,
}

impl World {
    /// Starts `count` callers that write until the run ends.
    pub(crate) fn writers(&self, count: u64, collection: &CollectionName) -> Vec<AbortHandle> {
        let Some(plane) = &self.plane else { return Vec::new() };
        let writer = |number| Writer {
            plane: plane.clone(),
            collection: collection.clone(),
            rng: Rng::new(self.seed, &format!("writer {number}")),
            routes: VecDeque::new(),
        };
        (0..count).map(|number| tokio::spawn(writer(number).run()).abort_handle()).collect()
    }
}

impl Writer {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(Duration::from_millis(self.rng.between(3, 20))).await;
            let Some(to) = self.next() else { continue };
            let Some(slot) = self.plane.slot_of(&to.owner) else { continue };
            self.plane.tell(slot, Word::Write { range: to.range, epoch: to.epoch, key: to.key });
        }
    }

    /// Goes where it went before, or asks any node's state, however old that is.
    fn next(&mut self) -> Option<Routed> {
        let known = self.rng.below(ROUTES_KEPT as u64 * 2);
        if let Some(old) = self.routes.get(usize::try_from(known).unwrap_or_default()) {
            return Some(old.clone());
        }
        let nodes: Vec<Up> = locked(&self.plane.0.roster).values().cloned().collect();
        let node = self.rng.pick(&nodes).filter(|node| node.life.responds())?;
        let byte = |rng: &mut Rng, bound| u8::try_from(rng.below(bound)).unwrap_or_default();
        let key = vec![1 + byte(&mut self.rng, 3), byte(&mut self.rng, 256)];
        let found = node.state.read(|catalog| catalog.locate(&self.collection, &key).map(routed));
        let (owner, epoch, id) = found?;
        let to = Routed { owner, range: RangeKey::new(self.collection.clone(), id), epoch, key };
        self.routes.push_front(to.clone());
        self.routes.truncate(ROUTES_KEPT);
        Some(to)
    }
}

fn routed(range: &Range) -> (MemberId, Epoch, cp_catalog::RangeId) {
    (range.owner.clone(), range.epoch, range.id)
}
