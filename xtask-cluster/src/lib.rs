//! Clusters of real processes on this machine, for the tasks that need one: built,
//! founded and driven as an operator would, through the product's own commands.

pub mod cargo;
pub mod cluster;
pub mod memory;
pub mod port;
pub mod process;
pub mod ranges;
pub mod steps;

pub use cluster::Cluster;
pub use memory::Memory;
pub use process::{Binary, Node};
pub use steps::{Step, Steps};
