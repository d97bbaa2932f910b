//! Which engine drives a node.

use cp_driver::{Parts, StartError};
use cp_seam::ControlPlaneConsensus;
use std::fmt;
use std::sync::Arc;

/// An engine that is compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// openraft.
    #[cfg(feature = "openraft")]
    Openraft,
    /// raft-rs.
    #[cfg(feature = "raftrs")]
    Raftrs,
}

impl Engine {
    /// Every engine that is compiled in; the first is what a new cluster gets.
    pub const COMPILED: &[Self] = &[
        #[cfg(feature = "openraft")]
        Self::Openraft,
        #[cfg(feature = "raftrs")]
        Self::Raftrs,
    ];

    /// Its name on the command line, in identities and in handshakes.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "openraft")]
            Self::Openraft => cp_openraft::ENGINE,
            #[cfg(feature = "raftrs")]
            Self::Raftrs => cp_raftrs::ENGINE,
        }
    }

    fn named(name: &str) -> Result<Self, BadEngine> {
        let found = Self::COMPILED.iter().copied().find(|engine| engine.name() == name);
        found.ok_or_else(|| BadEngine::NotCompiled { name: name.to_owned(), compiled: compiled() })
    }

    /// The engine of a new cluster.
    pub fn founding(asked: Option<&str>) -> Result<Self, BadEngine> {
        match (asked, Self::COMPILED.first()) {
            (Some(name), _) => Self::named(name),
            (None, Some(first)) => Ok(*first),
            (None, None) => Err(BadEngine::None),
        }
    }

    /// The engine for a directory where `remembered` ran last. Another one is
    /// refused unless `swap` allows it.
    pub fn pick(asked: Option<&str>, remembered: &str, swap: bool) -> Result<Self, BadEngine> {
        let wanted = match (asked, Self::COMPILED) {
            (Some(name), _) => Self::named(name)?,
            (None, [only]) => *only,
            (None, _) => Self::named(remembered)?,
        };
        if wanted.name() == remembered || swap {
            return Ok(wanted);
        }
        Err(BadEngine::Swap { remembered: remembered.to_owned(), wanted: wanted.name() })
    }

    /// Starts a node with it.
    #[cfg_attr(
        not(any(feature = "openraft", feature = "raftrs")),
        expect(unused_variables, reason = "without an engine there is nothing to start")
    )]
    pub(crate) async fn start(self, parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
        match self {
            #[cfg(feature = "openraft")]
            Self::Openraft => cp_openraft::start(parts).await,
            #[cfg(feature = "raftrs")]
            Self::Raftrs => cp_raftrs::start(parts).await,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn compiled() -> String {
    Engine::COMPILED.iter().map(|engine| engine.name()).collect::<Vec<_>>().join(", ")
}

/// No engine can drive the node; nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadEngine {
    /// Not one of those compiled in.
    #[error("engine {name:?} is not compiled in; use one of: {compiled}")]
    NotCompiled {
        /// Its name.
        name: String,
        /// What is.
        compiled: String,
    },
    /// None is compiled in.
    #[error("no engine is compiled in; build with the feature openraft or raftrs")]
    None,
    /// Another one ran here last.
    #[error(
        "the directory was last run by {remembered}, not {wanted}; stop every member, then start all of them with --engine {wanted} --swap-engine"
    )]
    Swap {
        /// What ran here last.
        remembered: String,
        /// What was asked for.
        wanted: &'static str,
    },
}

#[cfg(all(test, feature = "openraft", feature = "raftrs"))]
mod tests {
    use super::*;

    #[test]
    fn the_directory_remembers_and_a_swap_must_be_asked_for() {
        assert_eq!(Engine::pick(None, "raftrs", false), Ok(Engine::Raftrs));
        assert_eq!(Engine::pick(Some("openraft"), "openraft", false), Ok(Engine::Openraft));
        assert!(matches!(Engine::pick(Some("openraft"), "raftrs", false), Err(BadEngine::Swap { .. })));
        assert_eq!(Engine::pick(Some("openraft"), "raftrs", true), Ok(Engine::Openraft));
        assert!(matches!(Engine::pick(Some("paxos"), "raftrs", true), Err(BadEngine::NotCompiled { .. })));
        assert_eq!(Engine::founding(None), Ok(Engine::Openraft));
    }
}
