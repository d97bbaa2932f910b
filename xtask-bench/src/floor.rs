//! The physical floor: what no replicated commit on this machine can go below.
//!
//! Two durable writes of a preallocated file, the second after the first, and one round
//! trip over loopback: a leader must hear from another that it has written.

use crate::latency::Latencies;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// What is written each time, in bytes.
const WRITE_LEN: usize = 512;
/// How much is preallocated, in bytes.
const FILE_LEN: u64 = 16 << 20;

/// What the parts of a commit cost, one after the other.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) whole: Latencies,
    pub(crate) sync: Latencies,
    pub(crate) trip: Latencies,
}

impl Floor {
    pub(crate) fn none() -> Result<Self> {
        Ok(Self { whole: Latencies::none()?, sync: Latencies::none()?, trip: Latencies::none()? })
    }
}

/// What is measured with: a file in `dir`, and a connection to an echo.
#[derive(Debug)]
pub(crate) struct Gauge {
    dir: PathBuf,
    file: File,
    at: u64,
    stream: TcpStream,
}

impl Gauge {
    pub(crate) fn prepare(dir: &Path) -> Result<Self> {
        let path = dir.join("floor");
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path);
        let mut file = file.with_context(|| format!("{} cannot be made", path.display()))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..FILE_LEN >> 20 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nodelay(true)?;
        let (mut end, _) = listener.accept()?;
        end.set_nodelay(true)?;
        // It ends with the connection.
        std::thread::spawn(move || {
            let mut bytes = [0; WRITE_LEN];
            while end.read_exact(&mut bytes).and_then(|()| end.write_all(&bytes)).is_ok() {}
        });
        Ok(Self { dir: dir.to_owned(), file, at: 0, stream })
    }

    /// Where it writes: the disk that all subjects write to.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Measures for `period`.
    pub(crate) fn measure(&mut self, period: Duration, floor: &mut Floor) -> Result<()> {
        let end = Instant::now() + period;
        while Instant::now() < end {
            let began = Instant::now();
            self.sync()?;
            let first = began.elapsed();
            self.trip()?;
            let trip = began.elapsed() - first;
            self.sync()?;
            floor.whole.add(began.elapsed());
            floor.sync.add(first);
            floor.trip.add(trip);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.write_all_at(&[1; WRITE_LEN], self.at)?;
        self.file.sync_data()?;
        self.at = (self.at + WRITE_LEN as u64) % FILE_LEN;
        Ok(())
    }

    fn trip(&mut self) -> Result<()> {
        let mut bytes = [0; WRITE_LEN];
        self.stream.write_all(&bytes)?;
        self.stream.read_exact(&mut bytes)?;
        Ok(())
    }
}
