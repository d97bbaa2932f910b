//! What drives the writer: a thread in production, a task in the simulator.

use crate::absorb::start_thread;
use crate::error::OpenError;
use crate::shared::{Due, Shared, lock};
use crate::store::{Pace, Writer, WriterWork};
use crate::writer::{Core, Next};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Shared by all clones of a store; when the last one goes, the writer ends.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    task: Option<Task>,
}

#[derive(Debug)]
struct Task {
    core: Arc<Mutex<Option<Core>>>,
    abort: AbortHandle,
}

impl Handle {
    pub(crate) fn drive(core: Core, writer: Writer) -> Result<Self, OpenError> {
        let shared = Arc::clone(&core.shared);
        let failed = |source| OpenError::Io { file: "the writer".to_owned(), source };
        match writer {
            Writer::Thread => {
                let builder = std::thread::Builder::new().name("cp-store-writer".to_owned());
                builder.spawn(move || run_thread(core)).map_err(failed)?;
                Ok(Self { shared, task: None })
            }
            Writer::Task(pace) => {
                let runtime = runtime::Handle::try_current().map_err(|e| failed(io::Error::other(e)))?;
                let core = Arc::new(Mutex::new(Some(core)));
                let task = runtime.spawn(run_task(Arc::clone(&shared), Arc::clone(&core), pace));
                Ok(Self { shared, task: Some(Task { core, abort: task.abort_handle() }) })
            }
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Does all queued work inline, if a task drives the writer.
    pub(crate) fn flush(&self) {
        if let Some(task) = &self.task
            && let Some(core) = lock(&task.core).as_mut()
        {
            core.flush();
        }
    }

    /// Ends a task at once. A thread ends after the I/O it is in.
    pub(crate) fn abort(&self) {
        if let Some(task) = &self.task {
            task.abort.abort();
            // If it is taken, this is a call from within the writer: it sees that the store has stopped.
            let core = task.core.try_lock().ok().and_then(|mut core| core.take());
            drop(core);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.shared.inner).closing = true;
        self.shared.wake();
    }
}

fn run_thread(mut core: Core) {
    core.start = Some(start_thread);
    let shared = Arc::clone(&core.shared);
    loop {
        match core.prepare() {
            Next::Work(_) => core.perform(),
            Next::End => return,
            Next::Idle | Next::Until(_) => {
                let mut inner = lock(&shared.inner);
                loop {
                    let due = inner.due();
                    if due == Some(Due::Now) || !inner.bulk.is_empty() || inner.closing || inner.stopped.is_some() {
                        break;
                    }
                    let wake = &shared.thread_wake;
                    inner = match due {
                        Some(Due::At(due)) => {
                            let left = due.saturating_duration_since(Instant::now());
                            wake.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                        }
                        Some(Due::Now) | None => wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
                    };
                }
            }
        }
    }
}

async fn run_task(shared: Arc<Shared>, core: Arc<Mutex<Option<Core>>>, pace: Arc<dyn Pace>) {
    // Dropped with this future: the task may be cancelled at any await.
    let core = Owned(core);
    tokio::select! {
        biased;
        () = write(&shared, &core, pace.as_ref()) => {}
        () = absorb(&shared, &core, pace.as_ref()) => {}
    }
}

async fn write(shared: &Shared, core: &Owned, pace: &dyn Pace) {
    loop {
        match core.with(Core::prepare) {
            Some(Next::Work(work)) => {
                pace.wait(work).await;
                core.with(Core::perform);
            }
            Some(Next::Idle) => shared.task_wake.notified().await,
            Some(Next::Until(due)) => {
                tokio::select! {
                    () = shared.task_wake.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                }
            }
            Some(Next::End) | None => return,
        }
    }
}

/// What a thread beside the writer does in production.
async fn absorb(shared: &Shared, core: &Owned, pace: &dyn Pace) {
    loop {
        shared.absorb_wake.notified().await;
        if core.with(|core| core.absorption_waits()) == Some(true) {
            pace.wait(WriterWork::Absorb).await;
            core.with(Core::absorb_beside);
        }
    }
}

/// Takes the core away when the task ends, however it ends.
struct Owned(Arc<Mutex<Option<Core>>>);

impl Owned {
    fn with<T>(&self, work: impl FnOnce(&mut Core) -> T) -> Option<T> {
        lock(&self.0).as_mut().map(work)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let core = lock(&self.0).take();
        drop(core);
    }
}
