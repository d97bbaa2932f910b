//! What the catalog promises, seen from outside.

mod common;
mod machine;
