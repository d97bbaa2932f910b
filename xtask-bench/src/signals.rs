//! Signals that end a run before its time.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for the first of them, and names it.
pub(crate) async fn any() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}
