//! Callers that never let up: what an operator's change costs whoever is writing meanwhile.

use super::clients::{Attempt, attempt};
use super::{Roster, World};
use crate::checks::Broken;
use crate::monitor::Monitor;
use crate::promise::Promise;
use crate::sync::locked;
use crate::workload::Workload;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How many callers there are, each with one request at a time.
const CALLERS: usize = 4;
/// How long a caller that was refused waits before it looks for a leader again.
const RETRY: Duration = Duration::from_millis(2);

/// Callers at work, until this is dropped.
#[derive(Debug)]
pub struct Steady {
    callers: Vec<AbortHandle>,
    acknowledged: Arc<Mutex<Vec<Instant>>>,
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.callers.iter().for_each(AbortHandle::abort);
    }
}

impl Steady {
    /// How many requests were acknowledged so far.
    pub fn count(&self) -> usize {
        locked(&self.acknowledged).len()
    }

    /// The longest time without an acknowledgement that ended, or goes on, after `from`.
    pub fn longest_wait(&self, from: Instant) -> Duration {
        let mut times = locked(&self.acknowledged).clone();
        times.push(Instant::now());
        let ends = times.iter().skip(1);
        let gaps = times.iter().zip(ends).filter(|(_, end)| **end > from);
        gaps.map(|(begin, end)| end.duration_since(*begin)).max().unwrap_or_default()
    }
}

impl World {
    /// Begins to propose without a pause, at whoever leads.
    pub fn steady(&mut self) -> Steady {
        let acknowledged = Arc::new(Mutex::new(vec![Instant::now()]));
        let wait = self.election_timeout() * 2;
        let first = 2_000 + self.callers;
        self.callers += CALLERS;
        let callers = (first..first + CALLERS).map(|caller| {
            let workload = self.workload.fork(caller);
            let (roster, monitor) = (Arc::clone(&self.roster), Arc::clone(&self.monitor));
            tokio::spawn(call(roster, monitor, workload, wait, Arc::clone(&acknowledged))).abort_handle()
        });
        Steady { callers: callers.collect(), acknowledged }
    }

    /// Notes how long `steady` went without an acknowledgement since `from`, while `what`
    /// happened, and demands that they are served again and waited for at most `most`.
    pub async fn waited(
        &mut self,
        steady: &Steady,
        from: Instant,
        what: &'static str,
        most: Duration,
    ) -> Result<(), Broken> {
        let before = steady.count();
        let served = |_: &Self| (steady.count() >= before + 2 * CALLERS).then_some(());
        self.until(self.election_timeout() * 8, Promise::L1, "the callers to be served again", served).await?;
        let wait = steady.longest_wait(from);
        self.trace.note(&"sim", &format_args!("{what}: the callers waited for {} ms", wait.as_millis()));
        let longest = self.waits.entry(what).or_default();
        *longest = wait.max(*longest);
        if wait > most {
            let what = format!(
                "{what}: callers waited for {} ms, at most {} were allowed",
                wait.as_millis(),
                most.as_millis()
            );
            return Err(Broken::new("liveness", Promise::L1, what));
        }
        Ok(())
    }
}

async fn call(
    roster: Roster,
    monitor: Arc<Monitor>,
    mut workload: Workload,
    wait: Duration,
    acknowledged: Arc<Mutex<Vec<Instant>>>,
) {
    while let Ok(entry) = workload.next(None) {
        let leading = locked(&roster).values().find(|up| up.life.goes_on() && up.node.is_leader()).cloned();
        let done = match leading {
            Some(up) => matches!(attempt(&monitor, &up, &entry, wait).await, Attempt::Committed(_)),
            None => false,
        };
        if done {
            locked(&acknowledged).push(Instant::now());
        } else {
            tokio::time::sleep(RETRY).await;
        }
    }
}
