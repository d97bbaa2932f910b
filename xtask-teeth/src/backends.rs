//! The engines, as the conformance suite is put to them.

use cp_conformance::teeth::On;
use cp_conformance::{Backend, reference};

cp_conformance::backend!(Openraft = cp_openraft);
cp_conformance::backend!(Raftrs = cp_raftrs);
cp_conformance::backend!(Reference = reference);

/// Every engine, and which bugs are looked for in it.
const ALL: &[(&dyn Backend, On)] = &[(&Openraft, On::Engines), (&Raftrs, On::Engines), (&Reference, On::Reference)];

/// The engine of this name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Backend> {
    ALL.iter().map(|(backend, _)| *backend).find(|backend| backend.name() == name)
}

/// The engines that such bugs are looked for in.
pub(crate) fn on(on: On) -> impl Iterator<Item = &'static str> {
    ALL.iter().filter(move |(_, of)| *of == on).map(|(backend, _)| backend.name())
}
