use crate::Settings;
use crate::testing::{BAD, Rig, T, lock, settings, text, uniform};
use crate::wire::{Body, Chunk, Ended, Envelope, Offer, Pull};
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, StateDigest, Term};
use cp_store::{SnapshotMeta, TermRun, TermRuns};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::sleep;

const PEER: Incarnation = Incarnation(2);

fn meta() -> SnapshotMeta {
    SnapshotMeta {
        position: LogPosition::new(Term(4), ControlPlaneLogIndex(50)),
        configuration: uniform(&[1, 2, 3], &[]),
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns(vec![TermRun { term: Term(4), first: ControlPlaneLogIndex(1) }]),
        digest: StateDigest::default(),
    }
}

fn offer(transfer: u64, chunk_count: u64) -> Body {
    offer_of(transfer, chunk_count, &[])
}

/// An offer of a snapshot with this body.
fn offer_of(transfer: u64, chunk_count: u64, body: &[u8]) -> Body {
    let hash = Bytes::copy_from_slice(blake3::hash(body).as_bytes());
    Body::Offer(Offer { transfer, meta: Some((&meta()).into()), chunk_count, header: Bytes::new(), hash })
}

fn chunk(transfer: u64, ordinal: u64, bytes: Bytes) -> Body {
    Body::Chunk(Chunk { transfer, ordinal, bytes })
}

impl Rig {
    /// The peer says something.
    fn say(&self, body: Body) {
        self.say_as(PEER, body);
    }

    fn say_as(&self, peer: Incarnation, body: Body) {
        let envelope = Envelope { version: Envelope::VERSION, body: Some(body), ..Envelope::default() };
        let receiver = lock(&self.wire.receiver).clone().expect("attached");
        receiver.receive(peer, envelope.encode_to_vec().into());
    }

    /// What was sent since this was last asked.
    fn said(&self) -> Vec<Body> {
        let sent = std::mem::take(&mut *lock(&self.wire.sent));
        sent.into_iter().filter_map(|(_, frame)| Envelope::read(frame).expect("ours").body).collect()
    }
}

fn pull(transfer: u64, ordinal: u64) -> Body {
    Body::Pull(Pull { transfer, ordinal })
}

/// CP-R1: a snapshot is pulled chunk by chunk, what is lost is asked for again, and an offer that comes
/// late, or again because the word of its end was lost, is answered without another transfer.
#[tokio::test(start_paused = true)]
async fn a_snapshot_is_pulled_once() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.say(offer_of(7, 2, &[1, 2, 3]));
    rig.say(offer_of(7, 2, &[1, 2, 3]));
    sleep(T / 10).await;
    assert_eq!(rig.said(), [pull(7, 0)]);
    sleep(T).await;
    assert_eq!(rig.said(), [pull(7, 0)], "asked again");
    rig.say(chunk(7, 1, Bytes::from_static(&[9])));
    rig.say(chunk(7, 0, Bytes::from_static(&[1, 2])));
    sleep(T / 10).await;
    assert_eq!(rig.said(), [pull(7, 1)], "in order");
    rig.say(offer(6, 1));
    rig.say(chunk(7, 1, Bytes::from_static(&[3])));
    sleep(T / 10).await;
    let done = Body::Ended(Ended { transfer: 7, failure: String::new() });
    assert_eq!(rig.said(), std::slice::from_ref(&done));
    assert_eq!(rig.asked(), ["install 4.50"]);
    rig.say(offer(7, 2));
    rig.say(offer(6, 1));
    sleep(T * 2).await;
    assert_eq!(rig.said(), [done.clone(), done], "the end is told again, nothing is pulled");
}

/// A sender that began anew has a snapshot of its own: none of its chunks may end in the old one's file.
#[tokio::test(start_paused = true)]
async fn a_later_transfer_replaces_an_earlier_one() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.say(offer_of(7, 2, &[1, 2]));
    rig.say(offer_of(1 << 32, 1, &[1]));
    sleep(T / 10).await;
    rig.say(chunk(7, 0, Bytes::from_static(&[1])));
    rig.say(chunk(1 << 32, 0, Bytes::from_static(&[1])));
    sleep(T / 10).await;
    let said = rig.said();
    assert!(said.contains(&pull(1 << 32, 0)) && !said.contains(&pull(7, 1)), "{said:?}");
    assert_eq!(rig.asked(), ["install 4.50"]);
}

/// CP-R1: what was pulled stays pulled while the same snapshot is offered again, by whomever; another one
/// begins anew.
#[tokio::test(start_paused = true)]
async fn an_interrupted_transfer_goes_on() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.say(offer_of(7, 3, &[1, 2, 3]));
    sleep(T / 10).await;
    rig.say(chunk(7, 0, Bytes::from_static(&[1])));
    sleep(T / 10).await;
    rig.say(offer_of(8, 3, &[1, 2, 3]));
    sleep(T / 10).await;
    assert_eq!(rig.said().last(), Some(&pull(8, 1)), "the first is not asked for again");
    rig.say(chunk(8, 1, Bytes::from_static(&[2])));
    sleep(T * 30).await;
    assert!(matches!(rig.said().last(), Some(Body::Ended(ended)) if ended.failure.contains("did not come")));
    rig.say_as(Incarnation(3), offer_of(1, 3, &[1, 2, 3]));
    sleep(T / 10).await;
    assert_eq!(rig.said(), [pull(1, 2)]);
    rig.say_as(Incarnation(3), offer_of(2, 3, &[1, 2, 4]));
    sleep(T / 10).await;
    assert_eq!(rig.said().last(), Some(&pull(2, 0)), "another snapshot");
}

/// CP-R1: what is not what was offered, or restores to nothing, is not installed; the node goes on.
#[tokio::test(start_paused = true)]
async fn a_snapshot_is_tried_before_it_is_installed() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    for (transfer, body, why) in [(7, [1], "hash"), (8, [BAD], "restores to"), (9, [2], "")] {
        rig.say(offer_of(transfer, 1, if transfer == 7 { &[9] } else { &body }));
        sleep(T / 10).await;
        rig.say(chunk(transfer, 0, Bytes::copy_from_slice(&body)));
        sleep(T / 10).await;
        let said = rig.said();
        assert!(matches!(said.last(), Some(Body::Ended(ended)) if ended.failure.contains(why)), "{said:?}");
    }
    assert_eq!(rig.asked(), ["install 4.50"], "the last one alone");
    assert_eq!(rig.host().halted(), None);
}

/// What no sender of ours says is refused before it fills the disk.
#[tokio::test(start_paused = true)]
async fn offers_are_bounded() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.say(offer(7, u64::MAX));
    sleep(T / 10).await;
    let refused = |said: Vec<Body>, why: &str| {
        let ended = said.into_iter().find_map(|body| if let Body::Ended(ended) = body { Some(ended) } else { None });
        assert!(ended.is_some_and(|ended| ended.failure.contains(why)));
    };
    refused(rig.said(), "at most");
    rig.say(offer(8, 1));
    sleep(T / 10).await;
    rig.say(chunk(8, 0, vec![0; (1 << 20) + 1].into()));
    sleep(T / 10).await;
    refused(rig.said(), "bytes");
    assert_eq!(rig.host().halted(), None);
    assert!(rig.asked().is_empty());
}

/// A transfer is numbered above all of earlier lives, is offered again until it is pulled, also to a
/// receiver that lost its half, and ends with the node.
#[tokio::test(start_paused = true)]
async fn an_offer_is_repeated_while_nothing_is_pulled() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    let host = Arc::clone(rig.puppet.host());
    let sending = tokio::spawn(async move { host.send_snapshot(PEER, Bytes::new()).await });
    sleep(T / 10).await;
    let said = rig.said();
    let [Body::Offer(offer)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(offer.transfer >> 32, rig.store.boot());
    rig.say(pull(offer.transfer, 0));
    assert!(matches!(rig.said().as_slice(), [Body::Chunk(_)]));
    sleep(T * 2).await;
    assert!(matches!(rig.said().first(), Some(Body::Offer(again)) if again == offer));
    rig.say(Body::Ended(Ended { transfer: 1, failure: String::new() }));
    sleep(T / 10).await;
    assert!(!sending.is_finished(), "a word of an earlier life");
    rig.host().halt("told to");
    assert!(sending.await.expect("ran").is_err());
}

/// CP-R1: a few large records call for a snapshot as many small ones do.
#[tokio::test(start_paused = true)]
async fn snapshots_are_built_as_the_log_gets_large() {
    let settings = Settings { snapshot_every: 1 << 40, snapshot_bytes: 10_000, retained: 0, ..settings() };
    let rig = Rig::start(&[1], settings).await;
    rig.lead(1).await;
    for _ in 0..10 {
        rig.node.propose(text(&"x".repeat(3_000))).await.expect("placed");
        sleep(T / 50).await;
    }
    assert_eq!(rig.asked(), ["adopt 1.5 and compact to 5", "adopt 1.9 and compact to 9"]);
}

/// CP-R1: snapshots are built as the log grows, also after an engine has left one lying, and none is
/// begun once the node has stopped.
#[tokio::test(start_paused = true)]
async fn snapshots_are_built_as_the_log_grows() {
    let rig = Rig::start(&[1], Settings { snapshot_every: 16, retained: 4, ..settings() }).await;
    rig.lead(1).await;
    let write = async |count: u64| {
        for n in 0..count {
            rig.node.propose(text(&n.to_string())).await.expect("placed");
            sleep(T / 50).await;
        }
    };
    write(20).await;
    assert_eq!(rig.asked(), ["adopt 1.16 and compact to 12"]);
    assert_eq!(rig.store.purged().index, ControlPlaneLogIndex(12));
    rig.puppet.hangs.store(true, Ordering::SeqCst);
    write(16).await;
    rig.puppet.hangs.store(false, Ordering::SeqCst);
    sleep(T * 61).await;
    write(16).await;
    let adopted = rig.asked().len();
    assert!(adopted >= 3 && rig.store.snapshot().position.index > ControlPlaneLogIndex(40), "{:?}", rig.asked());
    rig.puppet.hangs.store(true, Ordering::SeqCst);
    write(10).await;
    rig.host().halt("told to");
    let asked = rig.asked().len();
    sleep(T * 100).await;
    assert!(rig.asked().len() <= asked + 1, "nothing but the end");
}
