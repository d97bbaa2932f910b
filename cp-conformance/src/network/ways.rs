//! What is done to the ways between the nodes.

use super::{Conditions, Network, State};
use crate::sync::locked;
use cp_seam::Incarnation;
use std::time::Duration;
use tokio::time::Instant;

impl Network {
    /// Changes what happens to frames from now on.
    pub fn conditions(&self, conditions: Conditions) {
        locked(&self.state).conditions = conditions;
    }

    /// Cuts the way from the slots of `from` to those of `to`, not back.
    pub fn cut_one_way(&self, from: &[usize], to: &[usize]) {
        let mut state = locked(&self.state);
        for a in from {
            for b in to {
                if a != b {
                    state.cut.insert((*a, *b));
                }
            }
        }
        let State { links, cut, endpoints, .. } = &mut *state;
        // A connection needs both directions.
        links.retain(|(a, b), _| {
            let slot = |i: &Incarnation| endpoints.get(i).map(|e| e.life.slot());
            let (Some(a), Some(b)) = (slot(a), slot(b)) else { return false };
            !cut.contains(&(a, b)) && !cut.contains(&(b, a))
        });
        drop(state);
        self.trace.note(&"net", &format_args!("cuts {from:?} -> {to:?}"));
    }

    /// Cuts all ways between the slots of `a` and those of `b`. Bridges and
    /// partial partitions are made of several calls.
    pub fn cut(&self, a: &[usize], b: &[usize]) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Makes the way from the slots of `from` to those of `to` take so much longer.
    pub fn slow_one_way(&self, from: &[usize], to: &[usize], by: Duration) {
        let mut state = locked(&self.state);
        state.slow.extend(from.iter().flat_map(|a| to.iter().map(move |b| ((*a, *b), by))));
        drop(state);
        self.trace.note(&"net", &format_args!("slows {from:?} -> {to:?} by {} ms", by.as_millis()));
    }

    /// Clogs the way from the slots of `from` to those of `to`: it takes frames and
    /// delivers none until it is unclogged.
    pub fn clog_one_way(&self, from: &[usize], to: &[usize]) {
        let mut state = locked(&self.state);
        state.clogged.extend(from.iter().flat_map(|a| to.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b));
        drop(state);
        self.trace.note(&"net", &format_args!("clogs {from:?} -> {to:?}"));
    }

    /// Clogs all ways between the slots of `a` and those of `b`.
    pub fn clog(&self, a: &[usize], b: &[usize]) {
        self.clog_one_way(a, b);
        self.clog_one_way(b, a);
    }

    /// As [`clog`](Self::clog), for so long; then every way is freed.
    pub fn clog_for(&self, a: &[usize], b: &[usize], time: Duration) {
        self.clog(a, b);
        let network = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            network.unclog();
        });
    }

    /// Frees every clogged way: what waited arrives now.
    pub fn unclog(&self) {
        locked(&self.state).clogged.clear();
        self.trace.note(&"net", &"unclogs");
        self.release();
    }

    /// Lets what waited for a paused node or a clogged way arrive now, if it no longer has to.
    pub fn release(&self) {
        let mut state = locked(&self.state);
        let now = Instant::now();
        let stuck = std::mem::take(&mut state.stuck);
        state.flights.extend(stuck.into_iter().map(|(number, flight)| ((now, number), flight)));
        drop(state);
        self.wake.notify_one();
        self.freed.notify_waiters();
    }

    /// Opens all ways again.
    pub fn heal(&self) {
        let mut state = locked(&self.state);
        state.cut.clear();
        state.slow.clear();
        state.clogged.clear();
        drop(state);
        self.trace.note(&"net", &"heals");
        self.release();
    }
}
