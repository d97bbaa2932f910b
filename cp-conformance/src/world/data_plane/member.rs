//! The member's side of a process: its gates, and the renewals that it asks for.

use super::host::Host;
use super::{Ask, DataPlane, Word};
use crate::rng::Rng;
use cp_lease::{Monotonic, RenewError, Renewal};
use cp_seam::MemberId;
#[cfg(planted_bugs)]
use cp_seam::planted::{Bug, active};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

/// How many asks are remembered.
const ASKS_KEPT: usize = 64;

struct Member {
    plane: DataPlane,
    host: Arc<Host>,
    rng: Rng,
    /// When each ask was sent, on this process's clock.
    asked: BTreeMap<u64, Monotonic>,
    number: u64,
    /// Whom it last knew to lead.
    leader: Option<MemberId>,
    /// A renewal that it has yet to follow the state for, and from when it counts.
    ahead: Option<(Renewal, Monotonic)>,
}

/// Hears words, and every few milliseconds follows the state, writes, and asks for renewals.
pub(super) async fn run(plane: DataPlane, host: Arc<Host>, mut words: UnboundedReceiver<Word>, rng: Rng) {
    let life = Arc::clone(&host.life);
    let mut member = Member { plane, host, rng, asked: BTreeMap::new(), number: 0, leader: None, ahead: None };
    let (mut look_at, mut ask_at) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            biased;
            () = life.finished() => return,
            word = words.recv() => match word {
                Some(word) => member.hears(word),
                None => return,
            },
            () = tokio::time::sleep_until(look_at) => {
                member.looks();
                look_at = Instant::now() + Duration::from_millis(member.rng.between(5, 15));
            }
            () = tokio::time::sleep_until(ask_at) => {
                member.asks();
                ask_at = Instant::now() + member.plane.0.leases.renewal;
            }
        }
    }
}

impl Member {
    fn looks(&mut self) {
        // Whatever it has not followed yet: that is what leases are for.
        self.host.writes_everywhere(&self.plane.0.monitor);
        if self.rng.per_mille(700) {
            self.host.follow();
        }
        if let Some((renewal, counted)) = self.ahead.take() {
            self.renews(renewal, counted);
        }
    }

    fn asks(&mut self) {
        self.leader = self.host.leader().or(self.leader.take());
        let Some(leader) = self.leader.as_ref().and_then(|leader| self.plane.slot_of(leader)) else { return };
        self.number += 1;
        self.asked.insert(self.number, self.host.clock.now());
        if self.asked.len() > ASKS_KEPT {
            self.asked.pop_first();
        }
        let (slot, life, number) = (self.host.slot(), self.host.life.number(), self.number);
        let (plane, member) = (self.plane.clone(), self.host.member().clone());
        let deliver = move || plane.ask(leader, Ask::Renew { slot, life, number, member: member.clone() });
        self.plane.0.network.carry(slot, leader, deliver);
    }

    fn hears(&mut self, word: Word) {
        match word {
            Word::Renewed { life, number, renewal } => {
                // What an earlier process had asked for is not counted by this one's clock.
                let sent_at = self.asked.get(&number).filter(|_| life == self.host.life.number()).copied();
                let Some(sent_at) = sent_at else { return };
                #[cfg(planted_bugs)]
                let sent_at = if active(Bug::RenewalCountsFromArrival) { self.host.clock.now() } else { sent_at };
                self.renews(renewal, sent_at);
            }
            Word::Close(range) => match self.host.close(&range) {
                Ok(gate) => {
                    let (plane, host) = (self.plane.clone(), Arc::clone(&self.host));
                    let sync = Duration::from_millis(self.rng.between(1, 5));
                    let written = async move {
                        tokio::time::sleep(sync).await;
                        if host.life.goes_on() {
                            plane.closed(&host, gate);
                        }
                    };
                    let freezer = self.host.life.freezer().clone();
                    tokio::spawn(async move { freezer.run(written).await });
                }
                Err(never) => tracing::trace!(%never, "a gate is not closed"),
            },
            Word::Write { range, epoch, key } => self.host.write(&self.plane.0.monitor, &range, epoch, &key),
        }
    }

    fn renews(&mut self, renewal: Renewal, counted: Monotonic) {
        match self.host.renew(&renewal, counted) {
            // A gate that opens is written to at once.
            Ok(_) => self.host.writes_everywhere(&self.plane.0.monitor),
            Err(RenewError::Behind { .. }) => self.ahead = Some((renewal, counted)),
            Err(error) => tracing::trace!(%error, "a renewal is dropped"),
        }
    }
}
