//! etcd, to measure next to: started and stopped here, with the same durability, mutual TLS
//! on both sides, and a client written here.

mod certificates;
mod etcd;
mod rpc;

pub(crate) use etcd::Etcd;
