//! A checker that is disabled, or blind, finds nothing, and nothing else says so.
//! Each is fed its bad history here, by way of the monitor, and must object.

use crate::backend::Backend;
use crate::checks::{self, Check};
use crate::monitor::Monitor;
use crate::trace::Trace;
use std::sync::OnceLock;

static DISABLED: OnceLock<String> = OnceLock::new();

/// Disables a checker for the rest of this process: the planted bug.
pub fn disable(checker: &str) {
    DISABLED.get_or_init(|| checker.to_owned());
}

/// Whether the monitor drops what this checker says.
pub(crate) fn is_disabled(checker: &str) -> bool {
    DISABLED.get().is_some_and(|disabled| disabled == checker)
}

/// The checkers that have not objected to their bad history.
pub fn blind(backend: &'static dyn Backend) -> Vec<&'static str> {
    let sees = |check: &Check| {
        let monitor = Monitor::new(backend, Trace::new());
        monitor.judge((check.bad_history)());
        monitor.objection().is_some_and(|broken| broken.checker == check.name)
    };
    checks::ALL.iter().filter(|check| !sees(check)).map(|check| check.name).collect()
}
