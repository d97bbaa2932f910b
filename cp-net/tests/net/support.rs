//! A certificate authority in a temporary directory, and a clock that stands still.

use cp_net::issue::{IssueSettings, init_ca, issue};
use cp_net::tls::{Credentials, CredentialsError, PeerName, TimeProvider, UnixTime};
use cp_seam::{ClusterId, MemberId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub(crate) const NOW: u64 = 1_795_408_820;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const CLUSTER: ClusterId = ClusterId([0xc1; 16]);
pub(crate) const OTHER_CLUSTER: ClusterId = ClusterId([0xc2; 16]);

#[derive(Debug)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(time(self.0.load(Relaxed)))
    }
}

pub(crate) fn time(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub(crate) fn settings(now: u64) -> IssueSettings {
    IssueSettings { now: time(now), days: 30, overwrite: false }
}

pub(crate) fn member(name: &str, cluster: ClusterId) -> PeerName {
    PeerName::member(MemberId::new(name).unwrap(), cluster)
}

/// An authority's directory.
pub(crate) struct Pki {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) cluster: ClusterId,
}

impl Pki {
    pub(crate) fn new(cluster: ClusterId) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Long before NOW and long after it, so that only leaves are out of date.
        let settings = IssueSettings { now: time(NOW - 365 * DAY), days: 3650, overwrite: false };
        init_ca(dir.path(), cluster, &settings).unwrap();
        Self { dir, cluster }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn issue(&self, name: &PeerName) -> Credentials {
        self.issue_at(name, NOW, NOW).unwrap()
    }

    /// Issued at one time, loaded at another.
    pub(crate) fn issue_at(&self, name: &PeerName, issued: u64, loaded: u64) -> Result<Credentials, CredentialsError> {
        let overwrite = IssueSettings { overwrite: true, ..settings(issued) };
        let files = issue(self.dir.path(), name, &overwrite).unwrap();
        load(&self.path("ca.pem"), &files.certificate, &files.key, loaded)
    }

    /// Loaded while valid, and then its holder's clock jumps to `NOW`.
    pub(crate) fn issue_outdated(&self, name: &PeerName, issued: u64) -> Credentials {
        let files = issue(self.dir.path(), name, &IssueSettings { overwrite: true, ..settings(issued) }).unwrap();
        let clock = Clock::at(issued);
        let credentials =
            Credentials::load_at(&self.path("ca.pem"), &files.certificate, &files.key, clock.clone()).unwrap();
        clock.0.store(NOW, Relaxed);
        credentials
    }

    pub(crate) fn member(&self, name: &str) -> Credentials {
        self.issue(&member(name, self.cluster))
    }
}

pub(crate) fn load(ca: &Path, certificate: &Path, key: &Path, now: u64) -> Result<Credentials, CredentialsError> {
    Credentials::load_at(ca, certificate, key, Clock::at(now))
}

/// Waits until `condition` gives something.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = condition() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// A test that would wait for ever fails instead.
pub(crate) async fn in_time<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(5), future.into_future()).await.expect("it takes for ever")
}
