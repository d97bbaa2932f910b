use crate::apply;
use crate::testing::{Rig, T, lock, member, settings, text, uniform, want};
use crate::wire::Members;
use bytes::Bytes;
use cp_seam::{
    ControlPlaneLogIndex, ControlPlaneRole, LogPosition, Outcome, PeerHello, PeerRefusal, ProposeRefusal, ReadError,
    StateDigest, Term, TransferError,
};
use cp_store::{Batch, RecordBody, SnapshotMeta, TermRun, TermRuns};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A configuration counts from the moment it is appended (CP-M1): a member that it brings in must be
/// reachable before it is committed, or the two that could commit it never meet.
#[tokio::test(start_paused = true)]
async fn a_member_of_an_appended_configuration_is_served() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    assert_eq!(*lock(&rig.wire.served), [2, 3]);
    rig.puppet.withholds.store(true, Ordering::SeqCst);
    rig.puppet.write(RecordBody::Configuration(uniform(&[1, 2, 3], &[4])));
    rig.until("4 is served", || *lock(&rig.wire.served) == [2, 3, 4]).await;
}

/// CP-M3: a member that is in neither the state nor the configuration in force is not served, although
/// the log still holds configurations that name it.
#[tokio::test(start_paused = true)]
async fn a_removed_member_is_not_served() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.puppet.write(RecordBody::Entry(want(&[1, 2])));
    rig.puppet.write(RecordBody::Configuration(uniform(&[1, 2], &[])));
    rig.until("3 is not served", || *lock(&rig.wire.served) == [2]).await;
}

/// Whoever sees an entry applied sees what it did to the quorum too.
#[tokio::test(start_paused = true)]
async fn a_change_is_not_settled_before_it_has_begun() {
    let rig = Rig::start(&[1], settings()).await;
    rig.lead(1).await;
    rig.until("it is settled", || rig.node.watch().current().settled).await;
    let position = rig.node.propose(want(&[1, 2])).await.expect("placed");
    assert_eq!(rig.node.outcome(position, Duration::from_secs(1)).await, Outcome::Committed);
    assert!(!rig.node.watch().current().settled);
}

/// A stopped node follows nobody, itself least of all, and its last word stays published.
#[tokio::test(start_paused = true)]
async fn a_stopped_node_names_no_leader() {
    let rig = Rig::start(&[1], settings()).await;
    rig.lead(1).await;
    rig.host().halt("told to");
    let status = rig.node.watch().current();
    assert_eq!((status.leader, status.role, status.serving), (None, ControlPlaneRole::Follower, false));
    assert_eq!(status.stopped.as_deref(), Some("told to"));
    assert_eq!(rig.node.leader(), None);
}

/// A node does not live on without one of its tasks: a leader that no longer applies must not serve.
#[tokio::test(start_paused = true)]
async fn a_task_that_panics_stops_the_node() {
    let rig = Rig::start(&[1], settings()).await;
    rig.lead(1).await;
    rig.node.propose(text("panic")).await.expect("placed");
    rig.until("it stopped", || rig.host().halted().is_some_and(|why| why.contains("apply task panicked"))).await;
    rig.until("the engine was ended", || rig.asked().contains(&"stop".to_owned())).await;
}

/// CP-D3: a snapshot is shown by the store from its submission; its state counts once it is durable.
#[tokio::test(start_paused = true)]
async fn a_snapshot_counts_once_it_is_durable() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    let position = LogPosition::new(Term(4), ControlPlaneLogIndex(50));
    let meta = SnapshotMeta {
        position,
        configuration: uniform(&[1, 2, 4], &[]),
        configuration_at: LogPosition::new(Term(4), ControlPlaneLogIndex(40)),
        terms: TermRuns(vec![TermRun { term: Term(4), first: ControlPlaneLogIndex(1) }]),
        digest: StateDigest::default(),
    };
    let mut stage = rig.store.stage();
    stage.push(Bytes::from_static(&[1, 2, 4])).await.expect("written");
    let staged = stage.seal(meta).await.expect("sealed");
    rig.store.submit(Batch { snapshot: Some(staged), ..Batch::default() }).expect("accepted");
    let durable = rig.store.durable().borrow().committed;
    assert_eq!(rig.store.snapshot().position, position, "shown");
    assert!(!apply::restore(rig.host(), durable).await.expect("no failure"), "not durable yet");
    assert_eq!(rig.host().parts.state.applied(), ControlPlaneLogIndex(0));
    rig.until("it is restored", || rig.node.watch().current().applied == position.index).await;
    rig.until("its members are served", || *lock(&rig.wire.served) == [2, 4]).await;
}

/// CP-L1: who is silent inherits nothing, however far it once was, and who does not take over is not
/// asked for ever.
#[tokio::test(start_paused = true)]
async fn a_leaving_leader_asks_who_is_in_touch() {
    let rig = Rig::start(&[1, 2, 3, 4], settings()).await;
    rig.lead(1).await;
    rig.hear(&[2, 3, 4]);
    for step in 0..60 {
        rig.hear(&[3, 4]);
        sleep(T / 10).await;
        if step == 10 {
            rig.node.propose(want(&[2, 3, 4])).await.expect("placed");
        }
    }
    let joint = "#2#3#4/#1#2#3#4/";
    assert_eq!(rig.asked()[..3], ["transfer to #3", "transfer to #4", joint], "then it goes without a handover");
}

/// CP-M2: a witness that leads hands over to a caught-up data member, and goes on if that fails.
#[tokio::test(start_paused = true)]
async fn a_witness_hands_over() {
    assert_eq!(member(5).kind, cp_seam::MemberKind::Witness);
    let rig = Rig::start_as(5, &[1, 2, 5], settings()).await;
    rig.lead(1).await;
    for _ in 0..40 {
        rig.hear(&[2]);
        sleep(T / 10).await;
    }
    assert_eq!(rig.asked(), ["transfer to #2"]);
    assert!(rig.node.is_leader());
}

/// Nothing hangs: a transfer that the engine does not answer is over within T.
#[tokio::test(start_paused = true)]
async fn an_unanswered_transfer_ends() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.lead(1).await;
    rig.puppet.hangs.store(true, Ordering::SeqCst);
    let to = member(2).id;
    let refused = timeout(T * 2, rig.node.transfer_leadership(&to)).await.expect("in time").expect_err("refused");
    assert_eq!(refused, TransferError::TimedOut { to: to.clone() });
    rig.puppet.hangs.store(false, Ordering::SeqCst);
    let node = Arc::clone(&rig.node);
    let transfer = tokio::spawn(async move { node.transfer_leadership(&to).await });
    sleep(T / 10).await;
    rig.publish(ControlPlaneRole::Follower, 2, None);
    transfer.await.expect("ran").expect("handed over");
}

/// A stop that nobody waits for any more goes on, and whoever asks again waits for the same one.
#[tokio::test(start_paused = true)]
async fn a_stop_is_not_undone() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.lead(1).await;
    rig.hear(&[2, 3]);
    rig.puppet.hangs.store(true, Ordering::SeqCst);
    timeout(T / 10, rig.node.shutdown()).await.expect_err("it waits for the heir");
    let (a, b) = tokio::join!(rig.node.shutdown(), rig.node.shutdown());
    a.and(b).expect("closed");
    assert_eq!(rig.asked(), ["transfer to #2", "stop", "stop"], "one by the halt, one by the stop");
    assert!(rig.node.watch().changed().await.is_err());
    assert!(rig.store.submit(Batch::default()).is_err(), "closed");
}

/// CP-M3, CP-D4: who is let in, and who is told that it has lost its state.
#[tokio::test(start_paused = true)]
async fn a_peer_that_has_lost_its_state_is_refused() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.lead(3).await;
    let receiver = lock(&rig.wire.receiver).clone().expect("attached");
    let last = rig.store.last();
    let hello = PeerHello { member: member(2).id, incarnation: member(2).incarnation, boot: 7, ..receiver.hello() };
    assert_eq!(receiver.admit(&hello), Ok(()));
    let back = PeerHello { boot: 6, ..hello.clone() };
    assert!(matches!(receiver.admit(&back), Err(PeerRefusal::PutBack { boot: 6, seen: 7, .. })));
    rig.hear(&[2]);
    let lost = PeerHello { boot: 8, tail: LogPosition::GENESIS, ..hello.clone() };
    let refused = receiver.admit(&lost);
    assert!(matches!(refused, Err(PeerRefusal::Amnesia { acknowledged, .. }) if acknowledged == last), "{refused:?}");
    let other = PeerHello { incarnation: member(4).incarnation, ..hello.clone() };
    assert!(matches!(receiver.admit(&other), Err(PeerRefusal::NotAMember { .. })));
    assert_eq!(receiver.admit(&PeerHello { boot: 8, ..hello }), Ok(()));
}

/// CP-L1: a member that came while this node was away is let in by its own word; one of which this
/// node knows better, or that leaves this node out, is not. CP-M3: its word makes nobody a voter.
#[tokio::test(start_paused = true)]
async fn a_member_that_came_meanwhile_introduces_itself() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.lead(1).await;
    let receiver = lock(&rig.wire.receiver).clone().expect("attached");
    let committed = rig.store.committed();
    let says = |number: u64, records: &[(u64, ControlPlaneLogIndex, &[u64])]| {
        let record = |(term, index, voters): &(u64, ControlPlaneLogIndex, &[u64])| {
            (LogPosition::new(Term(*term), *index), uniform(voters, &[]))
        };
        PeerHello {
            member: member(number).id,
            incarnation: member(number).incarnation,
            members: Members::say(&records.iter().map(record).collect::<Vec<_>>()),
            ..receiver.hello()
        }
    };
    let stranger = |hello| matches!(receiver.admit(&hello), Err(PeerRefusal::NotAMember { .. }));
    let later = committed.next();
    assert!(stranger(PeerHello { members: Bytes::new(), ..says(4, &[]) }));
    assert!(stranger(PeerHello { members: Bytes::from_static(&[9]), ..says(4, &[]) }));
    assert!(stranger(says(4, &[(9, committed, &[1, 3, 4])])), "this node is as far and knows better");
    assert!(stranger(says(4, &[(0, later, &[1, 3, 4])])), "of a term that what is committed has overtaken");
    assert!(stranger(says(4, &[(9, later, &[3, 4])])), "it leaves this node out");
    assert!(stranger(says(4, &[(9, later, &[1, 5])])), "it is no member by its own word");
    let under_another = PeerHello { member: member(5).id, ..says(4, &[(9, later, &[1, 4])]) };
    assert!(stranger(under_another), "nor under that name");
    assert_eq!(*lock(&rig.wire.served), [2, 3]);

    // The last leaves this node out, and may not be known to be committed: those before it may count yet.
    let leaves_out = says(4, &[(9, later, &[1, 4, 5]), (9, later.next(), &[4, 5])]);
    assert_eq!(receiver.admit(&leaves_out), Ok(()));
    assert_eq!(*lock(&rig.wire.served), [2, 3, 4, 5]);
    assert_eq!(rig.store.configurations().len(), 1, "it counts for nothing here");
    assert_eq!(receiver.admit(&says(5, &[(9, later.next(), &[1, 5, 6])])), Ok(()));
    assert_eq!(*lock(&rig.wire.served), [2, 3, 4, 5, 6]);
    assert_eq!(receiver.admit(&says(4, &[(9, later.next(), &[4, 5])])), Ok(()), "what was said before holds");
    rig.puppet.write(RecordBody::Blank);
    rig.until("it is further than the first", || *lock(&rig.wire.served) == [2, 3, 5, 6]).await;
    rig.puppet.write(RecordBody::Blank);
    rig.until("it is further than both", || *lock(&rig.wire.served) == [2, 3]).await;
}

/// The latest words are kept, and each that is kept is served, however many there were before.
#[tokio::test(start_paused = true)]
async fn one_more_introduction_than_are_kept_is_served() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    let receiver = lock(&rig.wire.receiver).clone().expect("attached");
    let says = |number: u64, index| PeerHello {
        member: member(number).id,
        incarnation: member(number).incarnation,
        members: Members::say(&[(LogPosition::new(Term(9), index), uniform(&[1, number], &[]))]),
        ..receiver.hello()
    };
    let mut at = rig.store.committed();
    for number in 4..24 {
        at = at.next();
        assert_eq!(receiver.admit(&says(number, at)), Ok(()), "number {number}");
    }
    assert_eq!(*lock(&rig.wire.served), [2, 3].into_iter().chain(8..24).collect::<Vec<_>>());
}

/// The term never falls, whatever an engine says before it has read its own.
#[tokio::test(start_paused = true)]
async fn a_stale_view_is_ignored() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.publish(ControlPlaneRole::Follower, 4, Some(2));
    rig.publish(ControlPlaneRole::Follower, 0, None);
    assert_eq!((rig.node.term(), rig.node.leader()), (Term(4), Some(member(2).id)));
}

/// CP-P2: a leader that gave up for want of a quorum says so until it sees a leader, also if its engine
/// noticed before the last answers were old; one that was deposed or voted out says that it does not lead.
#[tokio::test(start_paused = true)]
async fn a_leader_that_gave_up_says_why() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    let refusal = || rig.host().refusal().expect("refuses");
    rig.lead(1).await;
    rig.hear(&[2, 3]);
    rig.publish(ControlPlaneRole::Follower, 1, None);
    assert_eq!(refusal(), ProposeRefusal::NoQuorum);
    rig.publish(ControlPlaneRole::Candidate, 2, None);
    assert_eq!(refusal(), ProposeRefusal::NoQuorum);
    rig.publish(ControlPlaneRole::Follower, 3, Some(2));
    assert_eq!(refusal(), ProposeRefusal::NotLeader { leader: Some(member(2).id) });
    rig.publish(ControlPlaneRole::Follower, 4, None);
    assert_eq!(refusal(), ProposeRefusal::NotLeader { leader: None });
    rig.lead(5).await;
    rig.hear(&[2, 3]);
    rig.publish(ControlPlaneRole::Follower, 6, None);
    assert_eq!(refusal(), ProposeRefusal::NotLeader { leader: None }, "deposed by a later term");
    rig.lead(7).await;
    rig.hear(&[2, 3]);
    rig.puppet.write(RecordBody::Configuration(uniform(&[2, 3], &[])));
    rig.publish(ControlPlaneRole::Follower, 7, None);
    assert_eq!(refusal(), ProposeRefusal::NotLeader { leader: None }, "voted out");
}

/// CP-P4: a leader that has committed nothing in its term serves no read, also while it hands over; and
/// no read names the term of a record that another leader has put where this one was to read.
#[tokio::test(start_paused = true)]
async fn a_read_names_no_term_but_the_one_that_was_confirmed() {
    let rig = Rig::start(&[1], settings()).await;
    rig.lead(1).await;
    assert_eq!(rig.node.read_barrier().await.expect("served").term, Term(1));
    rig.host().begin_transfer(cp_seam::Incarnation(1));
    rig.node.read_barrier().await.expect("a transfer does not stand in its way");
    rig.publish(ControlPlaneRole::Leader, 2, Some(1));
    rig.host().begin_transfer(cp_seam::Incarnation(1));
    assert!(matches!(rig.host().refusal(), Some(ProposeRefusal::NoQuorum)), "{:?}", rig.host().refusal());
    assert_eq!(rig.node.read_barrier().await, Err(ReadError::NoQuorum));
    rig.lead(3).await;
    // While the read is under way, it goes on as another's.
    rig.puppet.withholds.store(true, Ordering::SeqCst);
    let last = rig.puppet.write(RecordBody::Blank);
    *lock(&rig.puppet.reads_at) = Some(last.index);
    let read = tokio::spawn({
        let node = Arc::clone(&rig.node);
        async move { node.read_barrier().await }
    });
    sleep(T / 10).await;
    rig.publish(ControlPlaneRole::Follower, 4, None);
    rig.puppet.replace_last();
    rig.until("it is applied", || rig.node.watch().current().applied == last.index).await;
    assert_eq!(read.await.expect("ended"), Err(ReadError::NoQuorum));
}
