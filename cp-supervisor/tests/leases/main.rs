//! Leases over real processes: an owner fences itself before its successor writes, a handoff
//! takes effect at once, a failover interrupts no writer, and nobody speaks for another.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of tests fails the test")]

mod books;
#[path = "../common/mod.rs"]
mod common;
mod desk;

use common::{CLUSTER, PATIENCE, Place, Process, Site};
use cp_catalog::*;
use cp_lease::GateRefusal;
use cp_net::tls::PeerName;
use cp_seam::{Incarnation, MemberId};
use cp_supervisor::client::{Client, ClientError, LeaseError};
use cp_supervisor::daemon::Engine;
use cp_supervisor::leases::{Clock, ClosureFile, Gates, Keeper, KeeperEnd, ProcessClock, Source, Terms};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const LAST: DataPosition = DataPosition { term: 1, lsn: 1 };

fn terms(length_ms: u64) -> Terms {
    Terms { length: Some(Duration::from_millis(length_ms)), ..Terms::default() }
}

/// Three nodes of a cluster with leases of that length, and none that are longer by more than
/// 100 ms; n1 leads.
fn cluster(site: &Site, length_ms: u64) -> (Vec<Place>, Vec<Process>) {
    let (length, longest) = (length_ms.to_string(), (length_ms + 100).to_string());
    let founding = ["--lease-longest-ms", &longest];
    let (places, nodes) = site.cluster_with(&founding, 3, Engine::COMPILED[0].name(), &["--lease-ms", &length]);
    site.run(&places[0], &["leader", "transfer", "--to", "n1"]);
    site.run(&places[0], &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
    (places, nodes)
}

fn rk(id: u64) -> RangeKey {
    RangeKey::new(CollectionName::new("orders").unwrap(), RangeId(id))
}

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

/// A data member: its gates, and what keeps them.
struct Member {
    gates: Gates,
    keeper: JoinHandle<KeeperEnd>,
    client: Client,
    life: MemberLife,
}

/// Whose keeper is dropped renews and follows no more.
impl Drop for Member {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Member {
    /// Begins in a process beside the node, with what it had closed before.
    async fn begin(site: &Site, places: &[Place], name: &str, terms: Terms, clock: &Arc<dyn Clock>) -> Self {
        let endpoints = || places.iter().map(|place| place.client.clone()).collect();
        let client = || Client::new(endpoints(), site.credentials(name), PATIENCE);
        let (path, deadline) = (site.path().join(format!("{name}.closed")), Instant::now() + PATIENCE);
        let closures = loop {
            match ClosureFile::open(&path) {
                Ok(file) => break Arc::new(file),
                // What kept its gates before is not gone yet.
                Err(error) => assert!(error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline, "{error}"),
            }
            sleep(Duration::from_millis(1)).await;
        };
        let member = id(name);
        let begun = Keeper::begin(&member, Source::Cluster, client(), terms, Arc::clone(clock), closures);
        let keeper = begun.await.unwrap();
        let (gates, life) = (keeper.gates(), keeper.gates().life().clone());
        Self { gates, keeper: tokio::spawn(keeper.run()), client: client(), life }
    }

    fn admits(&self, range: &Range) -> bool {
        self.gates.admit(&rk(range.id.0), range.epoch).is_ok()
    }
}

/// Waits until `done`, as [`common::until`] does, without holding up what is waited for.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it did not come about that {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

async fn range(client: &Client, id: u64) -> Range {
    client.range(&rk(id)).await.unwrap().value.unwrap()
}

/// Moves range `id` to `to`; with a closed gate it is a handoff.
async fn transfer(client: &Client, id: u64, to: &str, closed_gate: Option<ClosedGate>) -> Range {
    let was = range(client, id).await;
    let candidate = self::id(to);
    let handed = closed_gate.is_some();
    let evidence = Some(Evidence { candidate: candidate.clone(), applied: LAST, watermark: LAST, closed_gate });
    let transfer = Transfer { range: rk(id), from: was.owner.clone(), fence: was.fence(), to: candidate, evidence };
    let command = match handed {
        true => OwnershipCommand::Handoff(transfer),
        false => OwnershipCommand::Promote(transfer),
    };
    let decision = client.submit(command).await.unwrap();
    assert!(decision.verdict.is_done(), "{}", decision.verdict);
    range(client, id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_stops_by_itself_before_its_successor_begins_and_a_closed_gate_need_not_be_waited_for() {
    let site = Site::new();
    let (places, _nodes) = cluster(&site, 2000);
    let operator = site.client(&places.iter().collect::<Vec<_>>());
    for (name, owner, replica) in [("orders/1", "n2", "n3"), ("orders/2", "n3", "n2")] {
        let (bound, key) = if name == "orders/1" { ("--to", "m") } else { ("--from", "m") };
        site.run(&places[0], &["range", "create", name, "--owner", owner, "--replicas", replica, bound, key]);
    }
    let (terms, clock) = (terms(2000), Arc::new(ProcessClock::default()) as Arc<dyn Clock>);
    let begin = |name| Member::begin(&site, &places, name, terms, &clock);
    let (two, three) = (begin("n2").await, begin("n3").await);
    let first = range(&operator, 1).await;
    until("n2 writes", || two.admits(&first)).await;
    assert!(matches!(three.gates.admit(&rk(1), first.epoch), Err(GateRefusal::NotOwned { .. })));
    let settled = || site.json(&places[0], &["status"])["leases"]["settles_in_ms"] == "0";
    until("the leader has settled", settled).await;

    // n2 is cut off: it hears of nothing, and n3 is promoted without its word.
    two.keeper.abort();
    let second = transfer(&operator, 1, "n3", None).await;
    let awaiting = site.json(&places[1], &["range", "awaiting"]);
    let shown = &awaiting["ranges"][0];
    assert_eq!(
        (&shown["range"], &shown["owner"], &shown["earlier"]),
        (&"orders/1".into(), &"n3".into(), &"n2".into()),
        "{awaiting}"
    );
    let mut after = 0_u64;
    until("n3 writes", || {
        let (old, new) = (two.admits(&first), three.admits(&second));
        assert!(!(old && new), "two owners write");
        after += u64::from(old);
        new
    })
    .await;
    assert!(after > 0, "n2 had a lease still, and used it");
    assert!(matches!(two.gates.admit(&rk(1), first.epoch), Err(GateRefusal::Expired { .. })));

    assert!(site.run(&places[0], &["range", "awaiting"]).contains("no range waits"));

    // A handoff: n3's gate is closed, and n2, that is back, waits for nobody.
    drop(two);
    let two = begin("n2").await;
    let closed = three.gates.close_durably(&rk(1), LAST).await.unwrap();
    let lease = three.gates.gate(&rk(1)).unwrap().lease.unwrap();
    let third = transfer(&operator, 1, "n2", Some(closed)).await;
    until("n2 writes again", || {
        assert!(!three.admits(&second));
        two.admits(&third)
    })
    .await;
    assert!(clock.now() < lease.expires_at, "it has waited for a lease that nobody used");

    // A gate that was closed stays so over a restart, although all else goes on.
    let closed = two.gates.close_durably(&rk(1), LAST).await.unwrap();
    let other = transfer(&operator, 2, "n2", Some(three.gates.close_durably(&rk(2), LAST).await.unwrap())).await;
    drop(two);
    let two = begin("n2").await;
    until("n2 has its other range", || two.admits(&other)).await;
    let refused = two.gates.admit(&rk(1), third.epoch);
    assert!(matches!(refused, Err(GateRefusal::Revoked { .. })), "{refused:?}");

    // Its word to the leader does what evidence does: whoever is promoted need not wait.
    assert!(two.client.close_gate(&two.life, two.gates.generation(), &closed).await.unwrap());
    let lease = two.gates.gate(&rk(2)).unwrap().lease.unwrap();
    let fourth = transfer(&operator, 1, "n3", None).await;
    until("n3 writes again", || three.admits(&fourth)).await;
    assert!(clock.now() < lease.expires_at, "the word of n2 was not counted");

    let status = site.json(&places[0], &["status"]);
    // Nobody but the founder said so, and whoever joined knows it.
    assert_eq!(status["leases"]["longest_ms"], "2100", "{status}");
    assert!(status["leases"]["granted"].as_str().unwrap().parse::<u64>().unwrap() > 3, "{status}");
    let (_, metrics) = common::page(&places[0], "/metrics");
    for line in ["cp_gates_closed_total 1", "cp_leases_settled 1", "cp_lease_ranges_awaiting 0"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_interrupts_no_writer() {
    let site = Site::new();
    let (places, mut nodes) = cluster(&site, 5000);
    let operator = site.client(&places.iter().collect::<Vec<_>>());
    site.run(&places[0], &["range", "create", "orders/1", "--owner", "n2", "--replicas", "n3"]);
    let clock = Arc::new(ProcessClock::default()) as Arc<dyn Clock>;
    let two = Member::begin(&site, &places, "n2", terms(5000), &clock).await;
    let owned = range(&operator, 1).await;
    // A range that was just made waits for nobody, under a leader that has not settled too.
    until("n2 writes", || two.admits(&owned)).await;
    let term = || two.gates.gate(&rk(1)).unwrap().lease.unwrap().term;
    let before = term();
    nodes[0].kill();
    let mut writes = 0_u64;
    until("the new leader renews", || {
        assert!(two.admits(&owned), "after {writes} writes: {:?}", two.gates.admit(&rk(1), owned.epoch));
        writes += 1;
        term() > before
    })
    .await;
    // What moves under the new leader waits for what the old one may have granted.
    let three = Member::begin(&site, &places, "n3", terms(5000), &clock).await;
    two.keeper.abort();
    let moved = transfer(&operator, 1, "n3", None).await;
    until("n3 writes", || {
        let (old, new) = (two.admits(&owned), three.admits(&moved));
        assert!(!(old && new), "two owners write");
        new
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_at_a_node_that_falls_silent_holds_up_no_renewal() {
    let site = Site::new();
    let (places, nodes) = cluster(&site, 5000);
    let operator = site.client(&places.iter().collect::<Vec<_>>());
    site.run(&places[0], &["range", "create", "orders/1", "--owner", "n2", "--replicas", "n3"]);
    let clock = Arc::new(ProcessClock::default()) as Arc<dyn Clock>;
    // It follows n1, which leads.
    let two = Member::begin(&site, &places, "n2", terms(5000), &clock).await;
    let owned = range(&operator, 1).await;
    until("n2 writes", || two.admits(&owned)).await;
    site.run(&places[0], &["leader", "transfer", "--to", "n2"]);
    nodes[0].pause();
    // What n1 never hears of, and every renewal from now on presupposes.
    site.run(&places[1], &["collection", "create", "returns", "--group", "shop", "--mode", "ordered"]);
    let since = clock.now();
    until("a later renewal counts", || {
        assert!(two.admits(&owned), "{:?}", two.gates.admit(&rk(1), owned.epoch));
        two.gates.gate(&rk(1)).unwrap().lease.unwrap().granted_at > since
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_renews_or_closes_for_another() {
    let site = Site::new();
    site.issue(&PeerName::client("eve", CLUSTER).unwrap());
    let (places, _nodes) = cluster(&site, 2000);
    site.run(&places[0], &["range", "create", "orders/1", "--owner", "n2", "--replicas", "n3"]);
    let clock = Arc::new(ProcessClock::default()) as Arc<dyn Clock>;
    let two = Member::begin(&site, &places, "n2", terms(2000), &clock).await;
    let operator = site.client(&places.iter().collect::<Vec<_>>());
    let owned = range(&operator, 1).await;
    until("n2 writes", || two.admits(&owned)).await;
    let generation = two.gates.generation();
    let gate = ClosedGate { range: rk(1), epoch: owned.epoch, last: LAST };
    let within = Duration::from_secs(10);
    let client = |stem: &str| Client::new(vec![places[2].client.clone()], site.credentials(stem), within);
    let renew =
        async |client: &Client, life: &MemberLife| client.renew_lease(life, generation, &clock, within, within).await;

    // A client's certificate, whatever it says that it is.
    for client in [client("eve.client"), client("tester.client")] {
        for error in [
            renew(&client, &two.life).await.unwrap_err(),
            client.close_gate(&two.life, generation, &gate).await.unwrap_err(),
        ] {
            let denied = matches!(&error, LeaseError::Denied { reason } if reason.contains("is no member"));
            assert!(denied, "{error:?}");
        }
    }
    assert!(common::page(&places[2], "/metrics").1.contains("refused_total{reason=\"denied\"} 4"));
    let closures = Arc::new(ClosureFile::open(&site.path().join("tester.closed")).unwrap());
    let member = id("n3");
    let begun =
        Keeper::begin(&member, Source::Cluster, client("tester.client"), terms(2000), Arc::clone(&clock), closures);
    let end = timeout(PATIENCE, begun.await.unwrap().run()).await.unwrap();
    assert!(matches!(end, KeeperEnd::Refused(_)), "{end}");
    // Another member's: it is taken for what it proves to be, and not for what it says.
    let three = client("n3");
    let error = renew(&three, &two.life).await.unwrap_err();
    assert!(matches!(&error, LeaseError::NotAMember { reason } if reason.contains("n3#2")), "{error:?}");
    let own = MemberLife { id: id("n3"), incarnation: Incarnation(3) };
    assert!(!three.close_gate(&own, generation, &gate).await.unwrap());
    // Another life of its own, another generation.
    let earlier = MemberLife { incarnation: Incarnation(9), ..two.life.clone() };
    let error = renew(&two.client, &earlier).await.unwrap_err();
    assert!(matches!(error, LeaseError::NotAMember { .. }), "{error:?}");
    let other = cp_seam::Generation { id: [9; 8], ..generation };
    let error = two.client.close_gate(&two.life, other, &gate).await.unwrap_err();
    assert!(matches!(error, LeaseError::NotAMember { .. }), "{error:?}");
    // A node that a recovery has left behind says nothing final of the generation after its own.
    let (later, brief) = (cp_seam::Generation { number: 7, ..generation }, Duration::from_millis(200));
    let error = two.client.renew_lease(&two.life, later, &clock, brief, brief).await.unwrap_err();
    assert!(matches!(error, LeaseError::Client(ClientError::NotServed { .. })), "{error:?}");
    // None of it has closed anything; the owner's own word does.
    let renewed = renew(&two.client, &two.life).await.unwrap();
    assert_eq!(renewed.renewal.owner, two.life);
    assert!(two.client.close_gate(&two.life, generation, &gate).await.unwrap());
    // With another term a book is begun anew: what others granted meanwhile is not in it.
    let settles = || {
        let status = site.json(&places[0], &["status"]);
        (status["leader"] == "n1").then(|| status["leases"]["settles_in_ms"].as_str().map(str::to_owned)).flatten()
    };
    until("n1 has settled", || settles().as_deref() == Some("0")).await;
    for to in ["n2", "n1"] {
        site.run(&places[0], &["leader", "transfer", "--to", to]);
    }
    let mut anew = None;
    until("n1 has a book again", || {
        anew = settles();
        anew.is_some()
    })
    .await;
    assert_ne!(anew.as_deref(), Some("0"));
    let metrics = common::page(&places[0], "/metrics").1;
    assert!(metrics.contains("cp_lease_renewals_refused_total{reason=\"not_a_member\"} 2"), "{metrics}");
}
