//! The node's directory, with its fsyncs timed.

use super::metrics::Metrics;
use cp_store::{Directory, DiskDirectory, File};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use tokio::time::Instant;

/// A directory on disk that notes how long each fsync took.
#[derive(Debug)]
pub(super) struct TimedDirectory {
    inner: DiskDirectory,
    metrics: Metrics,
}

impl TimedDirectory {
    pub(super) fn new(inner: DiskDirectory, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }

    fn timed(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(TimedFile { inner: file, metrics: self.metrics.clone() })
    }
}

impl Directory for TimedDirectory {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.inner.open(name).map(|file| self.timed(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.inner.create(name).map(|file| self.timed(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>> {
        self.inner.lock()
    }
}

#[derive(Debug)]
struct TimedFile {
    inner: Arc<dyn File>,
    metrics: Metrics,
}

impl File for TimedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let began = Instant::now();
        let done = self.inner.sync_data();
        self.metrics.synced(began.elapsed());
        done
    }
}
