//! One peer's two outgoing connections: their queues, their tasks, their report.

use crate::backoff::{Backoff, seed};
use crate::dialled::connect_and_carry;
use crate::hub::Hub;
use crate::queue::{Limits, Queue};
use crate::status::{PeerStatus, Report};
use crate::tls::Credentials;
use crate::transport::Settings;
use cp_seam::{Lane, QuorumMember};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: QuorumMember,
    pub(crate) report: Arc<Report>,
    consensus: Arc<Queue>,
    bulk: Arc<Queue>,
    seed: u64,
    wakes: [Notify; 2],
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Link {
    pub(crate) fn new(peer: QuorumMember, own: &Credentials, settings: &Settings) -> Self {
        let age = settings.unsent_age_max;
        let (frames, bytes) = (settings.consensus_frames_max, settings.consensus_bytes_max);
        let consensus = Arc::new(Queue::new(Limits { frames, bytes, age }));
        let (frames, bytes) = (settings.bulk_frames_max, settings.bulk_bytes_max);
        let bulk = Arc::new(Queue::new(Limits { frames, bytes, age }));
        let seed = seed(own.name().label(), peer.incarnation.0, 0);
        Self {
            peer,
            report: Arc::new(Report::new()),
            consensus,
            bulk,
            seed,
            wakes: Default::default(),
            tasks: Mutex::default(),
        }
    }

    pub(crate) fn queue(&self, lane: Lane) -> &Arc<Queue> {
        match lane {
            Lane::Consensus => &self.consensus,
            Lane::Bulk => &self.bulk,
        }
    }

    fn wake_of(&self, lane: Lane) -> &Notify {
        let [consensus, bulk] = &self.wakes;
        match lane {
            Lane::Consensus => consensus,
            Lane::Bulk => bulk,
        }
    }

    /// Cuts a wait between two tries short, and nothing else.
    pub(crate) fn wake(&self, lane: Lane) {
        self.wake_of(lane).notify_waiters();
    }

    /// Begins to connect, from the start if it had begun.
    pub(crate) fn start(self: &Arc<Self>, hub: &Arc<Hub>, runtime: &Handle) {
        self.stop();
        let tasks = [Lane::Consensus, Lane::Bulk].map(|lane| {
            let (link, hub, hold) = (self.clone(), hub.clone(), hub.closer.hold());
            let task = runtime.spawn(async move {
                link.keep_connected(&hub, lane).await;
                drop(hold);
            });
            task.abort_handle()
        });
        *self.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks.into();
    }

    pub(crate) fn start_or_wake(self: &Arc<Self>, hub: &Arc<Hub>, runtime: &Handle) {
        if self.tasks.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.start(hub, runtime);
        }
        self.wake(Lane::Consensus);
        self.wake(Lane::Bulk);
    }

    pub(crate) fn stop(&self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }

    pub(crate) fn status(&self, inbound: bool) -> PeerStatus {
        self.report.status(self.peer.clone(), inbound)
    }

    /// Connects, carries frames until the connection breaks, waits, and again.
    async fn keep_connected(&self, hub: &Hub, lane: Lane) {
        let settings = &hub.settings;
        let lane_seed = self.seed.wrapping_add(u64::from(lane == Lane::Bulk) << 32);
        let mut backoff = Backoff::new(settings.backoff_first, settings.backoff_max, lane_seed);
        loop {
            let begun = Instant::now();
            let end = Box::pin(connect_and_carry(self, hub, lane)).await;
            self.report.failed(&self.peer, lane, &end.sentence, end.refusal);
            // One that is accepted and then broken at once gets no quicker.
            if begun.elapsed() > settings.backoff_max {
                backoff.reset();
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = self.wake_of(lane).notified() => {}
            }
        }
    }
}
