//! Seeds, handed out in order to as many threads as there are cores.

use anyhow::{Result, anyhow};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use tokio::time::Instant;

/// Which seeds to run, and when to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: u64,
    /// As many as time allows if there is none.
    pub(crate) count: Option<u64>,
    pub(crate) until: Option<Instant>,
    pub(crate) jobs: usize,
}

/// Runs `work` for each seed of `span`, and gives each result to `done`, which
/// answers whether to go on. Every seed that was handed out is finished, so those
/// that ran are a span of their own from the first on. Returns how many ran.
pub(crate) fn each<T: Send>(
    span: Span,
    work: impl Fn(u64) -> T + Sync,
    mut done: impl FnMut(u64, T) -> Result<bool>,
) -> Result<u64> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..span.jobs.max(1) {
            let (sender, work, next, stop) = (sender.clone(), &work, &next, &stop);
            thread::Builder::new().spawn_scoped(scope, move || {
                loop {
                    let late = span.until.is_some_and(|until| Instant::now() >= until);
                    if late || stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if span.count.is_some_and(|count| number >= count) {
                        return;
                    }
                    let seed = span.first.saturating_add(number);
                    if sender.send((seed, work(seed))).is_err() {
                        return;
                    }
                }
            })?;
        }
        drop(sender);
        let mut ran = 0;
        for (seed, result) in results {
            ran += 1;
            if !done(seed, result)? {
                stop.store(true, Ordering::SeqCst);
            }
        }
        Ok(ran)
    })
}

/// How many threads to use: as asked, or as many as there are cores.
pub(crate) fn jobs(asked: Option<usize>) -> Result<usize> {
    match asked {
        Some(0) => Err(anyhow!("--jobs 0 would run nothing; give 1 or more")),
        Some(jobs) => Ok(jobs),
        None => Ok(thread::available_parallelism()?.get()),
    }
}
