//! The engines that can be put to the suite.

use clap::ValueEnum;
use cp_conformance::Backend;
use std::fmt;

cp_conformance::backend!(Openraft = cp_openraft);
cp_conformance::backend!(Raftrs = cp_raftrs);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Openraft,
    Raftrs,
}

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::Openraft, Self::Raftrs];

    pub(crate) fn backend(self) -> &'static dyn Backend {
        match self {
            Self::Openraft => &Openraft,
            Self::Raftrs => &Raftrs,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.backend().name())
    }
}
