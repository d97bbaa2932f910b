//! etcd, to measure next to: started and stopped here, with the same durability, mutual TLS
//! on both sides, and a client written here.

mod certificates;
mod etcd;
mod rpc;

pub(crate) use etcd::{Etcd, installed};

/// Its clusters in the report: at its defaults, with the election timeout that ours have, and with the
/// one at which its nodes stand as long after they last heard their leader as ours do.
pub(crate) const NAME: &str = "etcd";
pub(crate) const EQUAL_SETTING: &str = "etcd, equal setting";
pub(crate) const EQUAL_WINDOW: &str = "etcd, equal window";
