//! Runs a scenario: one runtime, one thread, a paused clock, everything seeded.

use crate::backend::Backend;
use crate::checks::Broken;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::{Least, Report, Violation};
use crate::trace::Trace;
use crate::world::World;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, RngSeed, UnhandledPanic};

/// The longest run, in simulated time.
const LONGEST: Duration = Duration::from_secs(1800);
/// How much of the trace a violation prints, unless `CP_TRACE_LINES` says otherwise.
const TRACE_LINES: usize = 160;

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// What a run of a scenario ends with.
pub type Verdict = Result<Report, Box<Violation>>;

/// A named run, before it happens.
#[derive(Debug, Clone)]
pub struct Scenario {
    name: &'static str,
    seed: u64,
    options: Options,
    least: Least,
    /// Whether everything is healed and held to its liveness at the end.
    heals: bool,
}

impl Scenario {
    /// A scenario of this name, which is its case's. Its seed comes from the name,
    /// or from `CP_SEED` in the environment.
    pub fn new(name: &'static str) -> Self {
        let named = crate::rng::Rng::new(0, name).bits() % 1_000_000;
        let seed = from_environment("CP_SEED").unwrap_or(named);
        Self { name, seed, options: Options::default(), least: Least::default(), heals: true }
    }

    /// With this seed, whatever the environment says.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// With these options.
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Demands that this much happens.
    #[must_use]
    pub fn least(self, least: Least) -> Self {
        Self { least, ..self }
    }

    /// Ends where the body ends: without healing and the checks after it.
    #[must_use]
    pub fn unhealed(self) -> Self {
        Self { heals: false, ..self }
    }

    /// Runs `body` in a new world, then heals everything, and holds every node to
    /// its promises once more.
    pub fn run<F>(self, backend: &'static dyn Backend, body: F) -> Verdict
    where
        F: AsyncFnOnce(&mut World) -> Result<(), Broken>,
    {
        let seen: Arc<Mutex<Option<Trace>>> = Arc::default();
        let caught = std::panic::catch_unwind(AssertUnwindSafe(|| self.block_on(backend, body, &seen)));
        let broken = match caught {
            Ok(Ok(report)) => match report.reaches(&self.least) {
                Ok(()) => return Ok(report),
                Err(broken) => broken,
            },
            Ok(Err(broken)) => broken,
            Err(_) => Broken::new("unexpected panic", Promise::L1, "a task panicked; its message is printed above"),
        };
        let lines = from_environment("CP_TRACE_LINES").unwrap_or(TRACE_LINES);
        let trace = crate::sync::locked(&seen).as_ref().map(|trace| trace.tail(lines)).unwrap_or_default();
        Err(Box::new(Violation {
            broken,
            scenario: self.name.to_owned(),
            backend: backend.name(),
            seed: self.seed,
            options: format!("{:?}", self.options),
            trace,
            reproduce: format!(
                "CP_SEED={} cargo test -p {} --test conformance -- --exact {}",
                self.seed,
                backend.package(),
                self.name
            ),
        }))
    }

    fn block_on<F>(&self, backend: &'static dyn Backend, body: F, seen: &Mutex<Option<Trace>>) -> Result<Report, Broken>
    where
        F: AsyncFnOnce(&mut World) -> Result<(), Broken>,
    {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&self.seed.to_be_bytes()))
            .unhandled_panic(UnhandledPanic::ShutdownRuntime)
            .build()
            .map_err(|error| Broken::new("setup", Promise::E1, format!("no runtime: {error}")))?;
        runtime.block_on(async {
            let trace = Trace::new();
            crate::sync::locked(seen).replace(trace.clone());
            let mut world = World::new(backend, self.name, self.seed, self.options.clone(), trace);
            let monitor = Arc::clone(world.monitor());
            let whole = Box::pin(async {
                world.found().await?;
                Box::pin(body(&mut world)).await?;
                if self.heals {
                    Box::pin(world.heal_and_settle()).await?;
                }
                Ok(world.report())
            });
            tokio::select! {
                biased;
                broken = monitor.objected() => Err(broken),
                outcome = whole => match monitor.objection() {
                    Some(broken) => Err(broken),
                    None => outcome,
                },
                () = tokio::time::sleep(LONGEST) => {
                    let what = format!("the scenario did not end within {} simulated seconds", LONGEST.as_secs());
                    Err(Broken::new("liveness", Promise::L1, what))
                }
            }
        })
    }
}
