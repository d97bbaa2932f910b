//! The library as an embedder uses it, around nodes in this process.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use common::embedded::{self, addresses, serving};
use common::{CLUSTER, PATIENCE, Place, Site};
use cp_catalog::{
    Admission, CollectionName, Effect, GroupName, Join, Locality, LongestLease, MemberLife, MembershipCommand, Mode,
    OwnershipCommand, Request, Verdict,
};
use cp_seam::{ControlPlaneLogIndex, Incarnation, MemberId, MemberKind, ProposeRefusal, ReadError};
use cp_supervisor::changes::Compacted;
use cp_supervisor::client::{Client, ClientError};
use cp_supervisor::daemon::found::{self, FoundError};
use cp_supervisor::daemon::{Daemon, Layer, ServeError};
use cp_supervisor::executor::{self, Goal, Local, ObservedFile};
use cp_supervisor::leases;
use cp_supervisor::supervisor::{SubmitError, Supervisor};
use cp_supervisor::token::{Secret, Token};
use std::time::Duration;

async fn first(site: &Site) -> (Place, Daemon) {
    embedded::first(site, LongestLease::default(), layer()).await
}

fn layer() -> Layer {
    Layer { auto_promote: Some(false), snapshot_every: Some(8), retained: Some(2), ..Layer::default() }
}

fn create(name: &str) -> OwnershipCommand {
    OwnershipCommand::CreateCollection {
        collection: CollectionName::new(name).unwrap(),
        group: GroupName::new("g").unwrap(),
        mode: Mode::Hash,
    }
}

/// The one range of collection `name`, of n1.
fn range(name: &str) -> OwnershipCommand {
    OwnershipCommand::CreateRange(cp_catalog::NewRange {
        range: cp_catalog::RangeKey::new(CollectionName::new(name).unwrap(), cp_catalog::RangeId(1)),
        mode: Mode::Hash,
        bounds: cp_catalog::Bounds::ALL,
        owner: MemberId::new("n1").unwrap(),
        replicas: cp_catalog::Copies::default(),
        archives: cp_catalog::Copies::default(),
        placement: cp_catalog::Placement::default(),
    })
}

async fn admit(supervisor: &Supervisor, place: &Place) -> Token {
    let secret = Secret::new().unwrap();
    let admission = Admission {
        member: MemberId::new(&place.name).unwrap(),
        kind: MemberKind::Data,
        token_hash: secret.hash(),
        locality: Locality::default(),
        standby: false,
    };
    let decision = supervisor.submit(Request::new(None, MembershipCommand::Admit(admission)), PATIENCE).await.unwrap();
    let Verdict::Done(Effect::Admitted { incarnation, .. }) = decision.verdict else { panic!("{decision:?}") };
    secret.for_life(incarnation)
}

#[tokio::test]
async fn a_request_is_decided_once_and_watched_in_order() {
    let site = Site::new();
    let (_, node) = first(&site).await;
    let supervisor = node.supervisor();
    let session = supervisor.session().unwrap();
    let from = supervisor.read_stale().applied.next();
    let mut changes = supervisor.watch(from).unwrap();

    let id = session.next_id();
    let one = supervisor.submit(Request::new(Some(id), create("one")), PATIENCE).await.unwrap();
    let again = supervisor.submit(Request::new(Some(id), create("one")), PATIENCE).await.unwrap();
    assert_eq!(one.verdict, again.verdict);
    let two = Request::new(Some(session.next_id()), create("two"));
    // No time to wait: it is unknown, unless it was faster than that, and never a failure.
    let hurried = supervisor.submit(two.clone(), Duration::ZERO).await;
    assert!(matches!(hurried, Ok(_) | Err(SubmitError::Unknown { .. })), "{hurried:?}");
    let two = supervisor.submit(two, PATIENCE).await.unwrap();
    assert!(two.verdict.is_done());

    let mut seen = Vec::new();
    while seen.last().is_none_or(|(position, _)| *position < two.position) {
        let change = changes.next().await.unwrap();
        seen.push((change.position, change.repeated));
    }
    assert_eq!(seen.iter().map(|(_, repeated)| *repeated).collect::<Vec<_>>(), [false, true, false, true]);
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(supervisor.counts().failed, u64::from(hurried.is_err()));

    let reading = supervisor.read().await.unwrap();
    assert!(!reading.stale && reading.applied >= two.position.index);
    assert_eq!(reading.catalog.collections().count(), 2);
    assert!(supervisor.read_stale().stale);
    let one = CollectionName::new("one").unwrap();
    let located = supervisor.locate(&one, b"key").await.unwrap();
    assert!(!located.stale && located.applied >= two.position.index && located.range.is_none(), "{located:?}");
    assert_eq!(supervisor.owner_of_stale(&one, b"key"), None);
    let made = supervisor.submit(Request::new(None, range("one")), PATIENCE).await.unwrap();
    assert!(made.verdict.is_done(), "{}", made.verdict);
    let located = supervisor.locate(&one, b"key").await.unwrap();
    assert_eq!(located.range.unwrap().owner.as_str(), "n1");
    assert!(supervisor.locate_stale(&one, b"key").stale);
    assert_eq!(supervisor.owner_of_stale(&one, b"key").unwrap().as_str(), "n1");
    node.shutdown().await.unwrap();
}

/// A run at the leader, without a network; what one member alone cannot do is named.
#[tokio::test]
async fn a_plan_is_run_at_the_leader() {
    let site = Site::new();
    let (_, node) = first(&site).await;
    let supervisor = node.supervisor();
    for command in [create("one"), range("one")] {
        assert!(supervisor.submit(Request::new(None, command), PATIENCE).await.unwrap().verdict.is_done());
    }
    let control = Local::new(supervisor.clone(), PATIENCE).unwrap();
    let (nothing, goal) = (ObservedFile::default(), Goal::Drain(MemberId::new("n1").unwrap()));
    let report = executor::run(&control, &nothing, &goal, executor::Settings::default()).await.unwrap();
    assert!(!report.finished, "{report}");
    assert!(report.to_string().contains("blocked: no safe handoff target for range one/1"), "{report}");
    let catalog = supervisor.read().await.unwrap().catalog;
    assert_eq!(catalog.members().next().unwrap().service, cp_catalog::Service::Draining);
    let report = executor::run(&control, &nothing, &Goal::Finish, executor::Settings::default()).await.unwrap();
    assert!(report.finished, "{report}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn changes_that_are_no_longer_kept_are_said_to_be() {
    let site = Site::new();
    let (place, node) = first(&site).await;
    for number in 0..40 {
        let request = Request::new(None, create(&format!("c{number}")));
        node.supervisor().submit(request, PATIENCE).await.unwrap();
    }
    node.shutdown().await.unwrap();
    let node = Daemon::start(&embedded::settings(&site, &place, layer())).await.unwrap();
    serving(node.supervisor()).await;
    let Err(Compacted { resume, .. }) = node.supervisor().watch(ControlPlaneLogIndex(1)) else {
        panic!("all are kept")
    };
    assert!(resume > ControlPlaneLogIndex(40), "{resume}");
    let mut changes = node.supervisor().watch(resume).unwrap();
    let decision = node.supervisor().submit(Request::new(None, create("next")), PATIENCE).await.unwrap();
    assert_eq!(changes.next().await.unwrap().position, decision.position);
    assert_eq!(node.supervisor().read().await.unwrap().catalog.collections().count(), 41);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_follower_names_the_leader_and_a_membership_change_is_final_once_settled() {
    let site = Site::new();
    let (place, leader) = first(&site).await;
    let second = site.place(2);
    let token = admit(leader.supervisor(), &second).await;
    let member = MemberId::new(&second.name).unwrap();

    // Nobody joins in another's name, whatever token it has.
    site.place(3);
    let impostor = Client::new(vec![place.client.clone()], site.credentials("n3"), PATIENCE);
    let refused = impostor.join(&member, &token, &addresses(&second)).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused { reason } if reason.contains("certificate")), "{refused:?}");

    let joiner = Client::new(vec![place.client.clone()], site.credentials("n2"), PATIENCE);
    let identity = found::join(&second.data_dir, &joiner, &member, &token, &addresses(&second)).await.unwrap();
    assert_eq!((identity.cluster, identity.incarnation), (CLUSTER, Incarnation(2)));
    // A directory that is taken is refused before a token is spent on it.
    let third = admit(leader.supervisor(), &site.place(3)).await;
    let other = MemberId::new("n3").unwrap();
    let taken = found::join(&second.data_dir, &impostor, &other, &third, &addresses(&site.place(3))).await.unwrap_err();
    assert!(matches!(taken, FoundError::Create(_)), "{taken:?}");
    let awaited = leader.supervisor().read_stale().catalog.member(&other).unwrap().join;
    assert!(matches!(awaited, Join::Awaited(_)), "{awaited:?}");

    let follower = Daemon::start(&embedded::settings(&site, &second, layer())).await.unwrap();
    let life = MemberLife { id: member.clone(), incarnation: identity.incarnation };
    let voting = Request::new(None, MembershipCommand::SetVoting { member: life });
    let decision = leader.supervisor().submit(voting, PATIENCE).await.unwrap();
    assert!(decision.verdict.is_done() && !decision.settled, "{decision:?}");
    assert!(leader.supervisor().settle(PATIENCE).await);

    let mut watch = follower.supervisor().consensus().watch();
    while watch.current().applied < decision.position.index {
        tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap().unwrap();
    }
    let refused = follower.supervisor().submit(Request::new(None, create("x")), PATIENCE).await;
    let Err(SubmitError::Refused(ProposeRefusal::NotLeader { leader: named })) = refused else { panic!("{refused:?}") };
    assert_eq!(named, Some(MemberId::new(&place.name).unwrap()));
    let refused = follower.supervisor().read().await.unwrap_err();
    assert!(matches!(refused, ReadError::NotLeader { leader: Some(_) }), "{refused:?}");
    assert_eq!(follower.supervisor().read_stale().catalog.member(&member).unwrap().incarnation, Incarnation(2));

    // By the follower's address alone a client finds the leader.
    let client = site.client(&[&second]);
    assert!(client.submit(create("y")).await.unwrap().verdict.is_done());
    let statuses = [client.node(&place.client, PATIENCE).await.unwrap(), client.leader().await.unwrap()];
    assert_eq!(statuses[0].member, statuses[1].member);
    follower.shutdown().await.unwrap();
    leader.shutdown().await.unwrap();
}

/// The one number that has to be alike everywhere is in the state: nobody sets it up otherwise.
#[tokio::test]
async fn the_longest_lease_is_what_the_cluster_was_founded_with() {
    let site = Site::new();
    let longest = LongestLease::new(Duration::from_millis(600)).unwrap();
    let too_long = Layer { lease_ms: Some(601), ..layer() };
    let place = site.place(1);
    embedded::found(&place, longest);
    let refused = Daemon::start(&embedded::settings(&site, &place, too_long)).await.unwrap_err();
    assert!(matches!(refused, ServeError::Leases(_)), "{refused}");
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("601ms is longer than the longest of this cluster, 600ms"), "{why}");

    let node = Daemon::start(&embedded::settings(&site, &place, layer())).await.unwrap();
    serving(node.supervisor()).await;
    let desk = node.supervisor().leases();
    assert_eq!(desk.policy().unwrap().length(), Duration::from_millis(540), "nine tenths of it, if nobody chose");
    let life = MemberLife { id: MemberId::new("n1").unwrap(), incarnation: node.identity().incarnation };
    assert!(desk.renew(&life).await.unwrap().length <= Duration::from_millis(540));
    assert!(desk.status().unwrap().settles_in < Duration::from_secs(1));
    // An embedder that chose what does not fit is told so by name, and grants nothing.
    let terms = leases::Terms { length: Some(Duration::from_secs(9)), ..leases::Terms::default() };
    let machine = node.supervisor().machine().clone();
    let other = Supervisor::new(node.supervisor().consensus().clone(), machine, PATIENCE);
    let other = other.with_leases(terms, std::sync::Arc::new(leases::ProcessClock::default()));
    let refused = other.leases().renew(&life).await.unwrap_err();
    assert!(matches!(refused, leases::Refused::Policy(_)), "{refused}");
    assert_eq!(other.leases().status(), None);
    node.shutdown().await.unwrap();
}
