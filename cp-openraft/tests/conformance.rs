//! The conformance suite, on this engine.

cp_conformance::backend!(Openraft = cp_openraft);
cp_conformance::suite!(Openraft);
