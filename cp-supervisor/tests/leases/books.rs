//! When a leader's book can go on, and when not.

use crate::common::{PATIENCE, Site};
use crate::desk::node;
use crate::id;
use cp_catalog::*;
use cp_lease::{Coverage, Monotonic, Renewal};
use cp_seam::{ControlPlaneStateMachine, LogPosition, Term};
use cp_supervisor::daemon::Daemon;
use cp_supervisor::leases::{self, Clock};
use cp_supervisor::supervisor::Supervisor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that the test moves.
#[derive(Debug, Default)]
struct ByHand(AtomicU64);

impl ByHand {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for ByHand {
    fn now(&self) -> Monotonic {
        Monotonic::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A desk at a node that leads, over a state of its own that remembers so many changes.
struct Aside {
    machine: CatalogMachine,
    supervisor: Supervisor,
    clock: Arc<ByHand>,
    life: MemberLife,
}

impl Aside {
    fn of(node: &Daemon, history: usize) -> Self {
        let reading = node.supervisor().read_stale();
        let machine = CatalogMachine::with_history(reading.catalog, reading.applied, history);
        let clock = Arc::new(ByHand::default());
        let supervisor = Supervisor::new(Arc::clone(node.supervisor().consensus()), machine.clone(), PATIENCE);
        let supervisor = supervisor.with_leases(leases::Terms::default(), Arc::clone(&clock) as Arc<dyn Clock>);
        let life = MemberLife { id: id("n1"), incarnation: node.identity().incarnation };
        Self { machine, supervisor, clock, life }
    }

    async fn renew(&self) -> Result<Renewal, leases::Refused> {
        self.supervisor.leases().renew(&self.life).await
    }

    fn settles_in(&self) -> Option<Duration> {
        self.supervisor.leases().status().map(|status| status.settles_in)
    }

    /// Applies what was committed in `term`.
    fn applies(&self, term: Term, name: &str) {
        let (collection, group) = (CollectionName::new(name).unwrap(), GroupName::new("shop").unwrap());
        let create = OwnershipCommand::CreateCollection { collection, group, mode: Mode::Ordered };
        let position = LogPosition::new(term, self.machine.applied().next());
        self.machine.apply(position, &Request::new(None, create).to_entry().unwrap()).unwrap();
    }
}

/// What another leader has granted since is in no book of this one.
#[tokio::test]
async fn a_book_that_outlived_another_leaders_term_grants_nothing() {
    let site = Site::new();
    let (node, _) = node(&site, 600).await;
    let (aside, term) = (Aside::of(&node, 100), node.supervisor().status().term);
    aside.renew().await.unwrap();
    let whole = aside.settles_in().unwrap();
    aside.clock.advance(Duration::from_millis(300));
    aside.applies(term, "second");
    aside.renew().await.unwrap();
    assert_eq!(aside.settles_in(), Some(whole - Duration::from_millis(300)), "its own it goes on from");
    aside.applies(Term(term.0 + 1), "third");
    let refused = aside.renew().await.unwrap_err();
    assert_eq!(refused, leases::Refused::NotLeader { leader: Some(id("n1")) });
    assert_eq!((aside.settles_in(), aside.supervisor.leases().counts().granted), (None, 2));
    node.shutdown().await.unwrap();
}

/// A book that missed changes does not know for whom to wait, so all wait anew.
#[tokio::test]
async fn a_book_that_missed_changes_is_begun_anew() {
    let site = Site::new();
    let (node, _) = node(&site, 600).await;
    let (aside, term) = (Aside::of(&node, 1), node.supervisor().status().term);
    aside.renew().await.unwrap();
    let whole = aside.settles_in().unwrap();
    aside.clock.advance(whole);
    assert_eq!(aside.settles_in(), Some(Duration::ZERO));
    for name in ["second", "third", "fourth"] {
        aside.applies(term, name);
    }
    let renewal = aside.renew().await.unwrap();
    assert_eq!((renewal.as_of, aside.settles_in()), (aside.machine.applied(), Some(whole)));
    assert!(matches!(renewal.coverage, Coverage::InEffect { .. }), "{renewal:?}");
    node.shutdown().await.unwrap();
}
