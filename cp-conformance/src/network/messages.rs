//! Messages beside the consensus: each for itself, over the same ways.

use super::{Conditions, Network};
use crate::sync::locked;
use std::time::Duration;

impl Network {
    /// Calls `deliver` once a message from the one slot arrives at the other: after as long
    /// as a frame takes, twice if it is doubled, never if it is lost or cut off.
    ///
    /// What is on a clogged way waits until that is freed. Who is there when it arrives is
    /// for `deliver` to see. What is sent to oneself is there at once.
    pub(crate) fn carry(&self, from: usize, to: usize, deliver: impl Fn() + Send + Sync + 'static) {
        if from == to {
            return deliver();
        }
        let journeys = self.journeys(from, to);
        if journeys.is_empty() {
            return;
        }
        let network = self.clone();
        tokio::spawn(async move {
            for journey in journeys {
                tokio::time::sleep(journey).await;
                network.unclogged(from, to).await;
                if !locked(&network.state).cut.contains(&(from, to)) {
                    deliver();
                }
            }
        });
    }

    /// How long it travels; and how long after that its double, if it has one.
    fn journeys(&self, from: usize, to: usize) -> Vec<Duration> {
        let mut state = locked(&self.state);
        let Conditions { low_us, high_us, loss, duplication, reorder } = state.conditions;
        let slow = state.slow.get(&(from, to)).copied().unwrap_or_default();
        let cut = state.cut.contains(&(from, to));
        let rng = &mut state.messages_rng;
        if cut || rng.per_mille(loss) {
            return Vec::new();
        }
        let longest_us = if rng.per_mille(reorder) { high_us.saturating_mul(10) } else { high_us };
        let mut journeys = vec![slow + Duration::from_micros(rng.between(low_us, longest_us))];
        if rng.per_mille(duplication) {
            journeys.push(Duration::from_micros(rng.between(low_us, high_us.saturating_mul(10))));
        }
        journeys
    }

    async fn unclogged(&self, from: usize, to: usize) {
        loop {
            let freed = self.freed.notified();
            if !locked(&self.state).clogged.contains(&(from, to)) {
                return;
            }
            freed.await;
        }
    }
}
