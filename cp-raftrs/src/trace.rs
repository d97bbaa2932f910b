//! The engine's log lines, handed to `tracing`.

use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, o};
use std::fmt::{Arguments, Write};

/// A logger whose lines are `tracing` events. The engine's `info` is our `debug`.
pub(crate) fn logger() -> Logger {
    Logger::root(Tracing, o!())
}

#[derive(Debug)]
struct Tracing;

impl Drain for Tracing {
    type Ok = ();
    type Err = Never;

    fn is_enabled(&self, level: Level) -> bool {
        match level {
            Level::Critical | Level::Error => tracing::enabled!(tracing::Level::ERROR),
            Level::Warning => tracing::enabled!(tracing::Level::WARN),
            Level::Info => tracing::enabled!(tracing::Level::DEBUG),
            Level::Debug | Level::Trace => tracing::enabled!(tracing::Level::TRACE),
        }
    }

    fn log(&self, record: &Record<'_>, context: &OwnedKVList) -> Result<(), Never> {
        if !self.is_enabled(record.level()) {
            return Ok(());
        }
        let mut line = Line(record.msg().to_string());
        // Writing to a string fails only if a value's own formatting does: the line is then short.
        if record.kv().serialize(record, &mut line).and_then(|()| context.serialize(record, &mut line)).is_err() {
            line.0.push_str(" ..");
        }
        match record.level() {
            Level::Critical | Level::Error => tracing::error!("{}", line.0),
            Level::Warning => tracing::warn!("{}", line.0),
            Level::Info => tracing::debug!("{}", line.0),
            Level::Debug | Level::Trace => tracing::trace!("{}", line.0),
        }
        Ok(())
    }
}

struct Line(String);

impl Serializer for Line {
    fn emit_arguments(&mut self, key: Key, value: &Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(slog::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing::span::{Attributes, Id};
    use tracing::{Event, Metadata, Subscriber};

    /// Keeps the level of every event.
    #[derive(Debug, Clone, Default)]
    struct Levels(Arc<Mutex<Vec<tracing::Level>>>);

    impl Subscriber for Levels {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= tracing::Level::DEBUG
        }
        fn new_span(&self, _span: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _span: &Id, _values: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
        fn event(&self, event: &Event<'_>) {
            self.0.lock().expect("unpoisoned").push(*event.metadata().level());
        }
        fn enter(&self, _span: &Id) {}
        fn exit(&self, _span: &Id) {}
    }

    /// What the engine says is heard, its `info` among what is for debugging.
    #[test]
    fn the_engine_is_heard() {
        let heard = Levels::default();
        tracing::subscriber::with_default(heard.clone(), || {
            let logger = logger();
            slog::crit!(logger, "crit");
            slog::error!(logger, "error");
            slog::warn!(logger, "warn");
            slog::info!(logger, "info"; "key" => 1);
        });
        use tracing::Level;
        assert_eq!(*heard.0.lock().expect("unpoisoned"), [Level::ERROR, Level::ERROR, Level::WARN, Level::DEBUG]);
    }
}
