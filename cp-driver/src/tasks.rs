//! The tasks of a node live and die with it.

use crate::freezer::of_node;
use crate::host::Host;
use futures::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

/// Runs `task` until the node stops; it is dropped where it is then (CP-D4). A node does
/// not live on without one of its tasks: one that ends or panics before stops it.
pub(crate) fn spawn(host: &Arc<Host>, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let host = Arc::clone(host);
    tokio::spawn(of_node(guarded(Arc::clone(&host), name, async move {
        tokio::select! {
            biased;
            () = host.until_halted() => {}
            () = task => host.halt(&format!("its {name} task has ended")),
        }
    })));
}

/// Runs `task`, and stops the node if it panics: an adapter spawns its own tasks in this.
pub async fn guarded(host: Arc<Host>, name: &'static str, task: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        host.halt(&format!("its {name} task panicked: {}", text(panic.as_ref())));
        // Whoever watches the runtime for panics sees this one too.
        resume_unwind(panic);
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    panic.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("without a message")
}
