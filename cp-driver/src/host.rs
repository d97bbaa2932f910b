//! The shared middle of a node: what its engine calls.

use crate::engine::EngineView;
use crate::settings::Settings;
use bytes::Bytes;
use cp_seam::{Incarnation, LogPosition, Term};
use cp_store::Store;

/// The part of a node that engine and seam share. Adapters hold it as `Arc<Host>`.
#[derive(Debug)]
pub struct Host {}

impl Host {
    /// The store.
    pub fn store(&self) -> &Store {
        todo!()
    }
    /// The tuning.
    pub fn settings(&self) -> &Settings {
        todo!()
    }
    /// This node.
    pub fn me(&self) -> Incarnation {
        todo!()
    }
    /// Publishes what the engine is now. Call it on every change, from one task.
    pub fn publish(&self, _view: EngineView) {
        todo!()
    }
    /// Sends one of the engine's messages to a peer's engine; at most once, never
    /// blocks. Leader frames are dropped while the disk gate is closed (CP-L2).
    /// The caller has made durable whatever the message promises (CP-D1, CP-D2).
    pub fn send(&self, _to: Incarnation, _message: Bytes) {
        todo!()
    }
    /// Notes that `from` answered this leader in `term` and holds `matched`
    /// (durably) by its own word. Call it for successful append and heartbeat
    /// answers of the current term only: `NoQuorum` (CP-P2), `progress` and the
    /// amnesia check of the handshake rest on it.
    pub fn acknowledged(&self, _from: Incarnation, _term: Term, _matched: LogPosition) {
        todo!()
    }
    /// Streams the store's current snapshot to `to`, with the engine's own `header`;
    /// resolves when the peer's engine has installed it. At most one at a time per peer:
    /// a later call replaces an earlier one.
    pub async fn send_snapshot(&self, _to: Incarnation, _header: Bytes) -> Result<(), SnapshotNotSent> {
        todo!()
    }
    /// Stops the node for good and says why (CP-D4, CP-R3). Idempotent: the first reason stays.
    pub fn halt(&self, _reason: &str) {
        todo!()
    }
    /// Whether the node has stopped.
    pub fn halted(&self) -> Option<String> {
        todo!()
    }
}

/// A snapshot did not reach the peer; the engine may try again later.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot did not reach member {to}: {reason}")]
pub struct SnapshotNotSent {
    /// The peer.
    pub to: Incarnation,
    /// Why.
    pub reason: String,
}
