//! The daemon's settings: flag, then environment `CP_*`, then file, then default.
//!
//! One struct, [`Layer`], is read three times: as flags, as variables, as a file.
//! A setting therefore has one name, spelled for each place: `--election-timeout-ms`,
//! `CP_ELECTION_TIMEOUT_MS`, `election_timeout_ms`.

use crate::leases;
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One source of settings; what it leaves out comes from the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The node's directory, made by `cluster init` or `join`
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The member this node must be; checked against directory and certificate
    #[arg(long, value_name = "ID")]
    pub member: Option<String>,
    /// Where peers connect
    #[arg(long, value_name = "IP:PORT")]
    pub peer_listen: Option<SocketAddr>,
    /// Where clients connect (gRPC, mutual TLS)
    #[arg(long, value_name = "IP:PORT")]
    pub client_listen: Option<SocketAddr>,
    /// Where health and metrics are served (plain HTTP)
    #[arg(long, value_name = "IP:PORT")]
    pub http_listen: Option<SocketAddr>,
    /// The certificate authority of the cluster
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// This member's certificate
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// This member's private key
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The consensus engine: openraft or raftrs
    #[arg(long, value_name = "NAME")]
    pub engine: Option<String>,
    /// Allow an engine other than the one that ran here last
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub swap_engine: Option<bool>,
    /// A leader not heard from for this long is replaced
    #[arg(long, value_name = "MS")]
    pub election_timeout_ms: Option<u64>,
    /// How often a leader says that it is there; at most a fifth of the election timeout
    #[arg(long, value_name = "MS")]
    pub heartbeat_ms: Option<u64>,
    /// Records between snapshots
    #[arg(long, value_name = "COUNT")]
    pub snapshot_every: Option<u64>,
    /// Bytes of log between snapshots, however few the records
    #[arg(long, value_name = "BYTES")]
    pub snapshot_bytes: Option<u64>,
    /// Records kept behind a snapshot for members that lag
    #[arg(long, value_name = "COUNT")]
    pub retained: Option<u64>,
    /// Make caught-up learners voters without being asked
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub auto_promote: Option<bool>,
    /// How long the leases are that this node grants while it leads; nine tenths of the
    /// cluster's longest if left out
    #[arg(long, value_name = "MS")]
    pub lease_ms: Option<u64>,
    /// How wrong the rate of this machine's clock may be, in parts per million
    #[arg(long, value_name = "PPM")]
    pub clock_drift_ppm: Option<u32>,
    /// How many threads the node runs on, besides the one that writes
    #[arg(long, value_name = "COUNT")]
    pub worker_threads: Option<usize>,
    /// What is logged, as a tracing filter
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Parses a [`Layer`] alone, so that variables go through the same parser as flags.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Alone {
    #[command(flatten)]
    layer: Layer,
}

impl Layer {
    /// Reads the `CP_*` variables that `get` knows.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let mut layer = Self::default();
        for argument in Alone::command().get_arguments() {
            let Some(long) = argument.get_long() else { continue };
            let variable = format!("CP_{}", long.replace('-', "_").to_uppercase());
            let Some(value) = get(&variable).filter(|value| !value.is_empty()) else { continue };
            let one = Alone::command()
                .try_get_matches_from([format!("--{long}={value}")])
                .and_then(|matches| Alone::from_arg_matches(&matches))
                .map_err(|error| BadSetting::Variable { variable, why: first_line(&error.to_string()) })?;
            layer = one.layer.or(layer);
        }
        Ok(layer)
    }

    /// Reads a settings file.
    pub fn from_file(path: &Path) -> Result<Self, BadSetting> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| BadSetting::Unreadable { file: file.clone(), source })?;
        Self::from_toml(&text).map_err(|error| BadSetting::File { file, why: error.to_string().trim_end().to_owned() })
    }

    fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// `self` where it says something, else `other`.
    fn or(self, other: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(other.data_dir),
            member: self.member.or(other.member),
            peer_listen: self.peer_listen.or(other.peer_listen),
            client_listen: self.client_listen.or(other.client_listen),
            http_listen: self.http_listen.or(other.http_listen),
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
            engine: self.engine.or(other.engine),
            swap_engine: self.swap_engine.or(other.swap_engine),
            election_timeout_ms: self.election_timeout_ms.or(other.election_timeout_ms),
            heartbeat_ms: self.heartbeat_ms.or(other.heartbeat_ms),
            snapshot_every: self.snapshot_every.or(other.snapshot_every),
            snapshot_bytes: self.snapshot_bytes.or(other.snapshot_bytes),
            retained: self.retained.or(other.retained),
            auto_promote: self.auto_promote.or(other.auto_promote),
            lease_ms: self.lease_ms.or(other.lease_ms),
            clock_drift_ppm: self.clock_drift_ppm.or(other.clock_drift_ppm),
            worker_threads: self.worker_threads.or(other.worker_threads),
            log: self.log.or(other.log),
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Where a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// A `CP_*` variable.
    Environment,
    /// The settings file.
    File,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// A setting in force, for printing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

/// What the daemon runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The node's directory.
    pub data_dir: PathBuf,
    /// The member it must be, if asked for.
    pub member: Option<String>,
    /// Where peers connect.
    pub peer_listen: SocketAddr,
    /// Where clients connect.
    pub client_listen: SocketAddr,
    /// Where health and metrics are served.
    pub http_listen: SocketAddr,
    /// The certificate authority.
    pub ca: PathBuf,
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The engine, if asked for.
    pub engine: Option<String>,
    /// Whether another engine than the remembered one may start.
    pub swap_engine: bool,
    /// T.
    pub election_timeout: Duration,
    /// The heartbeat.
    pub heartbeat: Duration,
    /// Records between snapshots.
    pub snapshot_every: u64,
    /// Bytes of log between snapshots.
    pub snapshot_bytes: u64,
    /// Records kept behind a snapshot.
    pub retained: u64,
    /// Whether the leader promotes caught-up learners.
    pub auto_promote: bool,
    /// Of leases: how long, and how wrong this clock may be.
    pub leases: leases::Terms,
    /// See [`Settings::runtime`].
    pub worker_threads: usize,
    /// The log filter.
    pub log: String,
    /// All of the above with their origins, in the order of the flags.
    pub effective: Vec<Effective>,
}

impl Settings {
    /// Puts the layers together, or names the setting that is missing or wrong.
    pub fn resolve(flags: Layer, environment: Layer, file: Layer) -> Result<Self, BadSetting> {
        let mut effective = Vec::new();
        macro_rules! pick {
            ($field:ident) => {{
                let (found, origin) = match (flags.$field, environment.$field, file.$field) {
                    (Some(value), _, _) => (Some(value), Origin::Flag),
                    (_, Some(value), _) => (Some(value), Origin::Environment),
                    (_, _, Some(value)) => (Some(value), Origin::File),
                    _ => (None, Origin::Default),
                };
                (found, origin, stringify!($field))
            }};
        }
        let mut note = |name: &'static str, value: String, origin| effective.push(Effective { name, value, origin });
        macro_rules! required {
            ($field:ident, $flag:literal, $what:literal) => {{
                let (found, origin, name) = pick!($field);
                let value: PathBuf = found.ok_or(BadSetting::Missing { name, flag: $flag, what: $what })?;
                note(name, value.display().to_string(), origin);
                value
            }};
        }
        macro_rules! optional {
            ($field:ident) => {{
                let (found, origin, name) = pick!($field);
                note(name, found.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string), origin);
                found
            }};
        }
        macro_rules! or {
            ($field:ident, $default:expr) => {{
                let (found, origin, name) = pick!($field);
                let value = found.unwrap_or($default);
                note(name, value.to_string(), origin);
                value
            }};
        }
        let engine_defaults = cp_driver::Settings::default();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let settings = Self {
            data_dir: required!(data_dir, "--data-dir", "the node's directory"),
            member: optional!(member),
            peer_listen: or!(peer_listen, SocketAddr::from(([0, 0, 0, 0], 7401))),
            client_listen: or!(client_listen, SocketAddr::from(([0, 0, 0, 0], 7402))),
            http_listen: or!(http_listen, SocketAddr::from(([127, 0, 0, 1], 7403))),
            ca: required!(ca, "--ca", "the cluster's certificate authority (make one with `cert init-ca`)"),
            cert: required!(cert, "--cert", "this member's certificate (make one with `cert issue`)"),
            key: required!(key, "--key", "the key of this member's certificate"),
            engine: optional!(engine),
            swap_engine: or!(swap_engine, false),
            election_timeout: Duration::from_millis(or!(election_timeout_ms, millis(engine_defaults.election_timeout))),
            heartbeat: Duration::from_millis(or!(heartbeat_ms, millis(engine_defaults.heartbeat))),
            snapshot_every: or!(snapshot_every, engine_defaults.snapshot_every),
            snapshot_bytes: or!(snapshot_bytes, engine_defaults.snapshot_bytes),
            retained: or!(retained, engine_defaults.retained),
            auto_promote: or!(auto_promote, true),
            leases: leases::Terms {
                length: optional!(lease_ms).map(Duration::from_millis),
                drift_ppm: or!(clock_drift_ppm, leases::DRIFT_PPM),
            },
            worker_threads: or!(worker_threads, default_worker_threads()),
            log: or!(log, "info,openraft=warn".to_owned()),
            effective: Vec::new(),
        };
        settings.check()?;
        Ok(Self { effective, ..settings })
    }

    /// A runtime for the node. A commit passes a dozen tasks that wake each other, and every one
    /// that another thread is woken for takes longer than what it has to do (ADR 14).
    pub fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime> {
        tokio::runtime::Builder::new_multi_thread().worker_threads(self.worker_threads).enable_all().build()
    }

    fn check(&self) -> Result<(), BadSetting> {
        let bad = |name, why: String| Err(BadSetting::Value { name, why });
        if !(Duration::from_millis(50)..=Duration::from_secs(60)).contains(&self.election_timeout) {
            return bad(
                "election_timeout_ms",
                format!("{} is out of range; choose 50 to 60000", self.election_timeout.as_millis()),
            );
        }
        if self.heartbeat.is_zero() || self.heartbeat * 5 > self.election_timeout {
            let most = self.election_timeout.as_millis() / 5;
            return bad(
                "heartbeat_ms",
                format!("{} does not fit the election timeout; choose 1 to {most}", self.heartbeat.as_millis()),
            );
        }
        if self.snapshot_every == 0 {
            return bad("snapshot_every", "0 would never end; choose 1 or more".to_owned());
        }
        if self.worker_threads == 0 {
            return bad("worker_threads", "0 would do nothing; choose 1 or more".to_owned());
        }
        if self.snapshot_bytes == 0 {
            return bad("snapshot_bytes", "0 would never end; choose 1 or more".to_owned());
        }
        Ok(())
    }
}

/// Half of the cores: what writes, and whatever the node serves, runs beside it.
fn default_worker_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// A setting that cannot be used; the daemon does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadSetting {
    /// Nothing says what it is.
    #[error("{name} is not set: give {what} with {flag}, CP_{}, or `{name}` in the settings file", name.to_uppercase())]
    Missing {
        /// Which.
        name: &'static str,
        /// Its flag.
        flag: &'static str,
        /// What it is.
        what: &'static str,
    },
    /// A variable does not parse.
    #[error("{variable}: {why}")]
    Variable {
        /// Which.
        variable: String,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be read.
    #[error("settings file {file} cannot be read")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not parse; `why` names line and key.
    #[error("settings file {file}: {why}")]
    File {
        /// Which.
        file: String,
        /// What is wrong, and where.
        why: String,
    },
    /// The value cannot be used.
    #[error("{name}: {why}")]
    Value {
        /// Which.
        name: &'static str,
        /// What is wrong and what would do.
        why: String,
    },
}

#[cfg(test)]
mod tests;
