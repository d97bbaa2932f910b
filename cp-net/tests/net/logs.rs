//! What operators read: a refusal once, not once per retry.

use crate::node::{LOCAL, Node, hello, introduce, quick};
use crate::support::{Pki, eventually};
use cp_seam::{ClusterId, PeerHello};
use std::fmt::{Debug, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps the warnings of this crate.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("cp_net")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_refusal_is_logged_once_at_each_end() {
    // For the whole process: one for this thread alone misses call sites that
    // another test's thread was the first to reach. Told apart by the cluster.
    const OURS: ClusterId = ClusterId([0xd0; 16]);
    let warnings = Warnings::default();
    tracing::subscriber::set_global_default(warnings.clone()).unwrap();
    let pki = Pki::new(OURS);
    let hello = |number, engine: &str| PeerHello { cluster: OURS, engine: engine.to_owned(), ..hello(number) };
    let good = Node::start_with(pki.member("n1"), hello(1, "openraft"), quick(), LOCAL).await;
    let bad = Node::start_with(pki.member("n2"), hello(2, "raftrs"), quick(), LOCAL).await;
    introduce(&good, &bad);
    // Two lanes, two directions, several tries each.
    let tries = |node: &Node| node.receiver.handshakes.load(Relaxed);
    eventually("tries", || (tries(&good) > 24 && tries(&bad) > 24).then_some(())).await;

    let ours = [good.transport.local_addr().to_string(), bad.transport.local_addr().to_string(), OURS.to_string()];
    let mut logged = warnings.0.lock().unwrap().clone();
    logged.retain(|line| ours.iter().any(|part| line.contains(part)));
    let about = |part: &str| logged.iter().filter(|line| line.contains(part)).count();
    assert_eq!(about("no connection to peer"), 2, "{logged:#?}");
    assert_eq!(about("refused a connection"), 2, "{logged:#?}");
    assert_eq!(logged.len(), 4, "{logged:#?}");
    assert!(logged.iter().all(|line| line.contains("openraft") && line.contains("raftrs")), "{logged:#?}");
}
