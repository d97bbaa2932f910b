//! The conformance suite, on this engine.

cp_conformance::backend!(Raftrs = cp_raftrs);
cp_conformance::suite!(Raftrs);
