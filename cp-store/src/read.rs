//! Reads of the log as submitted: what redb has not absorbed, else redb.
//!
//! A view of redb is begun without the store's lock, because redb holds a lock of its
//! own through an fsync when its file grows, and whoever submits would wait for that
//! too. What is in memory is looked at after it. If records were let go of in
//! between, because redb has them now, the view may be older than that, and another
//! is begun. Otherwise a record that is not in memory is in the view as it was submitted.

use crate::base::LogView;
use crate::codec::Bad;
use crate::convert::record_from_bytes;
use crate::error::Failure;
use crate::fault::Fault;
use crate::record::LogRecord;
use crate::shared::{Inner, Shared, lock};
use cp_seam::ControlPlaneLogIndex;
use std::ops::Range;
use std::sync::PoisonError;

const FAILED: &str = "reading the log failed";

/// redb's log, begun when records had been let go of so many times.
struct View {
    absorptions: u64,
    log: LogView,
}

/// What a look into memory tells.
enum Found {
    /// These; what of the range is before them is in redb.
    Newer(Newer),
    /// That redb must be asked, in a view begun after so many absorptions.
    Behind(u64),
}

/// Records at the end of a range, from the first that redb need not be asked for.
#[derive(Debug, PartialEq, Eq)]
struct Newer {
    first: u64,
    records: Vec<LogRecord>,
}

/// Records in order, as many as fit but at least one.
struct Fitting {
    records: Vec<LogRecord>,
    bytes: usize,
    bytes_max: usize,
}

impl Fitting {
    fn new(bytes_max: usize) -> Self {
        Self { records: Vec::new(), bytes: 0, bytes_max }
    }

    /// Whether there was room.
    fn push(&mut self, record: LogRecord) -> bool {
        self.bytes = self.bytes.saturating_add(record.len_bytes());
        let fits = self.bytes <= self.bytes_max || self.records.is_empty();
        if fits {
            self.records.push(record);
        }
        fits
    }
}

impl Inner {
    /// Where in the range the records begin that redb need not be asked for.
    fn newer_from(&self, range: &Range<u64>) -> u64 {
        self.overlay.range(range.clone()).next().map_or(range.end, |(index, _)| *index)
    }

    /// These records, no more than an answer of so many bytes can hold.
    fn newer(&self, range: Range<u64>, bytes_max: usize) -> Newer {
        let first = range.start;
        let mut fitting = Fitting::new(bytes_max);
        // Cloned one by one: the range may be all that was not absorbed.
        let mut all = self.overlay.range(range).map(|(_, (_, record))| record.clone());
        while all.next().is_some_and(|record| fitting.push(record)) {}
        Newer { first, records: fitting.records }
    }
}

impl Shared {
    /// Reads the log as submitted.
    pub(crate) fn read(&self, range: Range<ControlPlaneLogIndex>, bytes_max: usize) -> Result<Vec<LogRecord>, Failure> {
        let mut view = None;
        loop {
            match self.look(&range, bytes_max, view.as_ref()) {
                Found::Behind(absorptions) => view = Some(self.view(absorptions)?),
                Found::Newer(newer) => return self.merge(range.start.0, view.as_ref(), newer, bytes_max),
            }
        }
    }

    fn look(&self, range: &Range<ControlPlaneLogIndex>, bytes_max: usize, view: Option<&View>) -> Found {
        let inner = lock(&self.inner);
        let (start, end) = (range.start.0, range.end.min(inner.state.last.index.next()).0);
        if start <= inner.state.purged.index.0 || start >= end {
            return Found::Newer(Newer { first: start, records: Vec::new() });
        }
        let first = inner.newer_from(&(start..end));
        if first > start && view.is_none_or(|view| view.absorptions != inner.absorptions) {
            return Found::Behind(inner.absorptions);
        }
        Found::Newer(inner.newer(first..end, bytes_max))
    }

    fn view(&self, absorptions: u64) -> Result<View, Failure> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner);
        match base.as_ref() {
            Some(base) => {
                base.log().map(|log| View { absorptions, log }).map_err(|fault| self.fail_with(fault, FAILED))
            }
            None => Err(self.closed()),
        }
    }

    fn closed(&self) -> Failure {
        lock(&self.inner).stopped.clone().unwrap_or_else(Failure::closed)
    }

    fn merge(&self, from: u64, view: Option<&View>, newer: Newer, bytes_max: usize) -> Result<Vec<LogRecord>, Failure> {
        let mut fitting = Fitting::new(bytes_max);
        if let Some(view) = view {
            for index in from..newer.first {
                let record = match read_base(&view.log, index) {
                    Ok(record) => record,
                    // With the database a view of it ends.
                    Err(_) if lock(&self.inner).fuse.is_none() => return Err(self.closed()),
                    Err(fault) => return Err(self.fail_with(fault, FAILED)),
                };
                if !fitting.push(record) {
                    return Ok(fitting.records);
                }
            }
        }
        let mut records = newer.records.into_iter();
        while records.next().is_some_and(|record| fitting.push(record)) {}
        Ok(fitting.records)
    }
}

fn read_base(view: &LogView, index: u64) -> Result<LogRecord, Fault> {
    let missing = || Bad::Damaged(format!("record {index} is missing"));
    let record = record_from_bytes(&view.get(index)?.ok_or_else(missing)?)?;
    if record.position.index.0 != index {
        return Err(Bad::Damaged(format!("record {index} says it is {}", record.position)).into());
    }
    Ok(record)
}

#[cfg(test)]
mod tests;
