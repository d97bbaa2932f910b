//! Forced recovery and restore on a directory in memory, cut off at every step.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use cp_catalog::*;
use cp_recovery::{RecoverError, Request, Restored, Survivor, backup, restore};
use cp_seam::*;
use cp_store::*;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CLUSTER: ClusterId = ClusterId([7; 16]);

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn addresses(name: &str) -> Addresses {
    Addresses { peer: format!("{name}:1"), client: format!("{name}:2"), http: String::new() }
}

fn request() -> Request {
    Request {
        confirm: CLUSTER,
        operator: "ann".to_owned(),
        reason: "fire".to_owned(),
        at_unix_ms: 5,
        generation_id: [9; 8],
        after_generation: 0,
        again: false,
    }
}

fn collection(name: &str) -> OwnershipCommand {
    let (collection, group) = (CollectionName::new(name).unwrap(), GroupName::new("g").unwrap());
    OwnershipCommand::CreateCollection { collection, group, mode: Mode::Hash }
}

fn identity(member: &str, incarnation: u64) -> Identity {
    Identity {
        cluster: CLUSTER,
        generation: Generation { number: 0, id: [1; 8] },
        member: id(member),
        incarnation: Incarnation(incarnation),
        engine: "x".to_owned(),
    }
}

/// `n1` of three: two committed entries, and one above the committed index.
fn survivor() -> MemoryDirectory {
    directory_of(&identity("n1", 1))
}

/// The same, of whoever `identity` says.
fn directory_of(identity: &Identity) -> MemoryDirectory {
    let founder = |name: &str| FoundingMember {
        id: id(name),
        kind: MemberKind::Data,
        addresses: addresses(name),
        locality: Locality::default(),
        features: Features::default(),
    };
    let generation = Generation { number: 0, id: [1; 8] };
    let founding = ["n1", "n2", "n3"].map(founder).into();
    let genesis = Catalog::genesis(CLUSTER, generation, founding).unwrap().to_genesis().unwrap();
    let meta = SnapshotMeta {
        position: LogPosition::GENESIS,
        configuration: genesis.quorum.into(),
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns::default(),
        digest: genesis.digest,
    };
    let dir = MemoryDirectory::new();
    let founding = Founding { meta, chunks: genesis.chunks };
    Store::create_with(&dir, identity, founding, Layout { segment_bytes: 40 << 10 }).unwrap();
    let store = Store::open(Arc::new(dir.clone()), &Expected::default(), Writer::Thread).unwrap();
    let at = |index| LogPosition::new(Term(3), ControlPlaneLogIndex(index));
    let entry = |index, name: &str| LogRecord {
        position: at(index),
        body: RecordBody::Entry(Request0::new(None, collection(name)).to_entry().unwrap()),
    };
    let batch = Batch {
        vote: Some(LastVote { term: Term(4), ..LastVote::default() }),
        append: vec![
            LogRecord { position: at(1), body: RecordBody::Blank },
            entry(2, "committed"),
            entry(3, "acknowledged"),
        ],
        committed: Some(ControlPlaneLogIndex(2)),
        ..Batch::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store.submit(batch).unwrap()).unwrap();
    runtime.block_on(store.close()).unwrap();
    dir.crash()
}

use cp_catalog::Request as Request0;

/// A directory on which the operation after `left` others fails, as all that follow.
#[derive(Debug, Clone)]
struct Failing {
    inner: MemoryDirectory,
    left: Arc<AtomicU64>,
}

#[derive(Debug)]
struct FailingFile(Arc<dyn File>, Arc<AtomicU64>);

fn spend(left: &AtomicU64) -> io::Result<()> {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .map(drop)
        .map_err(|_| io::Error::other("cut off"))
}

impl Failing {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FailingFile(file, Arc::clone(&self.left)))
    }
}

impl Directory for Failing {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.inner.open(name).map(|file| self.file(file))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        spend(&self.left)?;
        self.inner.create(name).map(|file| self.file(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        spend(&self.left)?;
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        spend(&self.left)?;
        self.inner.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn sync(&self) -> io::Result<()> {
        spend(&self.left)?;
        self.inner.sync()
    }
    fn lock(&self) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        self.inner.lock()
    }
}

impl File for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        spend(&self.1)?;
        self.0.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        spend(&self.1)?;
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        spend(&self.1)?;
        self.0.sync_data()
    }
}

fn open(dir: MemoryDirectory) -> Survivor {
    Survivor::open(Arc::new(dir)).unwrap()
}

#[test]
fn the_whole_durable_log_is_in_the_recovered_state() {
    let dir = survivor();
    let described = open(dir.clone()).description();
    assert_eq!((described.uncommitted, described.committed.0, described.last.index.0), (1, 2, 3));
    let before = open(dir.clone()).catalog().clone();
    let (identity, recovery) = open(dir.clone()).recover(&request()).unwrap();
    assert_eq!((identity.generation.number, identity.incarnation), (1, Incarnation((1 << 32) + 1)));
    assert_eq!((recovery.lost_voters.len(), recovery.position), (2, described.last));

    let after = open(dir.crash());
    assert_eq!(after.catalog().violations_since(&before), vec![]);
    assert_eq!(after.catalog().collections().count(), 2, "what was above the committed index is kept");
    let held = after.inspection().clone();
    assert_eq!((held.identity, held.committed.0, held.boot), (identity, 4, 0));
    assert_eq!(held.snapshot.configuration.voters.len(), 1);
    let segment = dir.open("1.wal-0").unwrap();
    assert_eq!(segment.len().unwrap(), 40 << 10, "the sizes that the directory was made with stay");
    // CP-P3: no lost member can have been in a term as high, and history stays exact.
    assert_eq!(held.vote.term, Term(Epoch::first(1).0));
    let term_at = |index| held.snapshot.terms.term_at(ControlPlaneLogIndex(index));
    assert_eq!((term_at(3), term_at(4)), (Some(Term(3)), Some(held.vote.term)));
}

/// CP-R2: a crash at any write of a recovery leaves the old directory or the new one.
#[test]
fn a_recovery_that_is_cut_off_leaves_the_old_or_the_new() {
    let pristine = survivor();
    let old = Store::inspect(&pristine).unwrap();
    let (mut steps, mut seen_old, mut seen_new) = (0, 0, 0);
    loop {
        let dir = Failing { inner: pristine.crash(), left: Arc::new(AtomicU64::new(steps)) };
        let survivor = Survivor::open(Arc::new(dir.clone())).unwrap();
        let done = survivor.recover(&request());
        for left in [dir.inner.crash(), dir.inner.clone()] {
            let found = Store::inspect(&left).unwrap();
            if found.identity.generation.number == 0 {
                assert_eq!(found, old, "after {steps} steps");
                seen_old += 1;
            } else {
                assert_eq!(open(left).catalog().recoveries().len(), 1);
                seen_new += 1;
            }
        }
        // Whatever is left can be opened, which removes what is not its own, or recovered again.
        let again = dir.inner.crash();
        let store = Store::open(Arc::new(again.clone()), &Expected::default(), Writer::Thread).unwrap();
        drop(store);
        let stray = again.list().unwrap().into_iter().filter(|name| name.contains("state.redb")).count();
        assert_eq!(stray, 1, "after {steps} steps");
        let retried = open(dir.inner.crash()).recover(&request());
        assert!(matches!(retried, Ok(_) | Err(RecoverError::OnlyVoter { .. })), "after {steps} steps: {retried:?}");
        if done.is_ok() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 20 && seen_old > 20 && seen_new >= 2, "{steps} steps, {seen_old} old, {seen_new} new");
}

#[test]
fn what_is_not_asked_for_rightly_changes_nothing() {
    let dir = survivor();
    let before = Store::inspect(&dir).unwrap();
    let wrong = Request { confirm: ClusterId([8; 16]), ..request() };
    assert!(matches!(open(dir.clone()).recover(&wrong), Err(RecoverError::NotConfirmed { .. })));
    let unsigned = Request { operator: String::new(), ..request() };
    assert!(matches!(open(dir.clone()).recover(&unsigned), Err(RecoverError::Successor(_))));
    assert_eq!(Store::inspect(&dir).unwrap(), before);
    let held = dir.lock().unwrap();
    let busy = Survivor::open(Arc::new(dir.clone())).unwrap_err();
    assert!(matches!(busy, RecoverError::Open(OpenError::Busy { .. })));
    drop(held);

    open(dir.clone()).recover(&request()).unwrap();
    assert!(matches!(open(dir.clone()).recover(&request()), Err(RecoverError::OnlyVoter { generation: 1, .. })));
    let (identity, _) = open(dir.clone()).recover(&Request { again: true, ..request() }).unwrap();
    assert_eq!(identity.generation.number, 2);
    assert_eq!(open(dir).catalog().recoveries().len(), 2);
}

/// Removed, or fenced by a recovery that its directory has heard of: nobody can go on as it,
/// and the state need not be lost with it.
#[test]
fn what_a_member_that_is_none_holds_can_be_kept_and_restored() {
    for (member, incarnation) in [("n9", 9), ("n1", 7)] {
        let dir = directory_of(&identity(member, incarnation));
        let before = Store::inspect(&dir).unwrap();
        let survivor = open(dir.clone());
        assert!(!survivor.description().joined);
        assert!(matches!(survivor.check(&request()), Err(RecoverError::NotAMember { .. })));
        let (meta, genesis) = survivor.to_backup().unwrap();
        assert!(matches!(survivor.recover(&request()), Err(RecoverError::NotAMember { .. })));
        assert_eq!(Store::inspect(&dir).unwrap(), before);
        let backup = backup::Backup { meta, chunks: genesis.chunks };
        let restored = Restored { member: id(member), addresses: addresses("new"), engine: "x".to_owned() };
        let anew = MemoryDirectory::new();
        restore(&anew, &backup, restored, &request()).unwrap();
        assert_eq!(open(anew).catalog().collections().count(), 2);
    }
}

/// A file set that belongs to another cluster or generation than the identity file.
#[test]
fn a_directory_whose_files_are_not_of_one_node_is_refused() {
    let of = identity("n1", 1);
    let others = [
        Identity { generation: Generation { number: 1, id: [1; 8] }, ..of.clone() },
        Identity { generation: Generation { number: 0, id: [2; 8] }, ..of.clone() },
        Identity { cluster: ClusterId([8; 16]), ..of },
    ];
    for identity in others {
        let refused = Survivor::open(Arc::new(directory_of(&identity))).unwrap_err();
        assert!(matches!(refused, RecoverError::OtherState { .. }), "{refused:?}");
    }
}

/// It is read and kept, and neither recovered nor restored; nothing calls it damaged.
#[test]
fn nobody_goes_on_from_a_state_that_breaks_an_invariant() {
    let backup::Backup { meta, chunks } = cp_recovery::fuzz::broken();
    let identity = Identity { generation: meta.generation, ..identity("n1", (1 << 32) + 1) };
    let founding = Founding {
        meta: SnapshotMeta {
            position: LogPosition::GENESIS,
            configuration: Configuration::default(),
            configuration_at: LogPosition::GENESIS,
            terms: TermRuns::default(),
            digest: meta.digest,
        },
        chunks,
    };
    let dir = MemoryDirectory::new();
    Store::create_with(&dir, &identity, founding, Layout { segment_bytes: 40 << 10 }).unwrap();
    let before = Store::inspect(&dir).unwrap();
    let survivor = open(dir.clone());
    let (meta, genesis) = survivor.to_backup().unwrap();
    let refused = survivor.recover(&Request { again: true, ..request() }).unwrap_err();
    assert!(matches!(&refused, RecoverError::Violations(violations) if violations.count == 1), "{refused:?}");
    assert_eq!(Store::inspect(&dir).unwrap(), before);
    let backup = backup::Backup { meta, chunks: genesis.chunks };
    let restored = Restored { member: id("n1"), addresses: addresses("new"), engine: "x".to_owned() };
    let anew = MemoryDirectory::new();
    let refused = restore(&anew, &backup, restored, &request()).unwrap_err();
    assert!(matches!(refused, RecoverError::Backup(backup::BackupError::Violations(_))), "{refused:?}");
    assert_eq!(anew.list().unwrap(), Vec::<String>::new());
}

/// CP-M3: also a restore begins no other life of a member that was removed by force.
#[test]
fn a_backup_is_not_restored_as_a_member_that_was_expelled() {
    let founder = |name: &str| FoundingMember {
        id: id(name),
        kind: MemberKind::Data,
        addresses: addresses(name),
        locality: Locality::default(),
        features: Features { level: 2, ..Features::default() },
    };
    let generation = Generation { number: 0, id: [1; 8] };
    let mut catalog = Catalog::genesis(CLUSTER, generation, ["n1", "n2", "n3"].map(founder).into()).unwrap();
    let client = ClientName::new("fay").unwrap();
    let (group, privileges) = (GroupName::new("g").unwrap(), Privileges { read: true, operate: true, force: true });
    let member = MemberLife { id: id("n3"), incarnation: Incarnation(3) };
    let reachable = [1, 2].map(Incarnation).into();
    let commands: [Command; 4] = [
        MembershipCommand::Grant { client: client.clone(), privileges }.into(),
        collection("orders").into(),
        OwnershipCommand::AssignAuthority { group, holder: id("n3") }.into(),
        MembershipCommand::ForceRemove { member, reason: "fire".to_owned(), reachable }.into(),
    ];
    for (index, command) in (1..).zip(commands) {
        let origin = Origin { principal: Principal::Client(client.clone()), at_unix_ms: index };
        let entry = Request0::new(None, command).of(origin).to_entry().unwrap();
        let verdict = catalog.apply(ControlPlaneLogIndex(index), &entry).verdict;
        assert!(verdict.is_done(), "{verdict}");
    }
    assert_eq!(catalog.member(&id("n3")).unwrap().join, Join::Expelled);
    let genesis = catalog.to_genesis().unwrap();
    let (meta, _) = open(survivor()).to_backup().unwrap();
    let meta = backup::BackupMeta { digest: genesis.digest, ..meta };
    let backup = backup::Backup { meta, chunks: genesis.chunks };
    let to = |member: &str| Restored { member: id(member), addresses: addresses("new"), engine: "x".to_owned() };
    let anew = MemoryDirectory::new();
    let refused = restore(&anew, &backup, to("n3"), &request()).unwrap_err();
    let expelled = |error: &RecoverError| matches!(error, RecoverError::Successor(BadRecovery::Expelled { member }) if *member == id("n3"));
    assert!(expelled(&refused), "{refused:?}");
    assert_eq!(anew.list().unwrap(), Vec::<String>::new());
    restore(&anew, &backup, to("n9"), &request()).unwrap();
    assert_eq!(open(anew).catalog().member(&id("n3")).unwrap().join, Join::Expelled);
}

#[test]
fn a_backup_is_restored_into_a_new_generation() {
    let (meta, genesis) = open(survivor()).to_backup().unwrap();
    let backup = backup::Backup { meta, chunks: genesis.chunks };
    let to = |member: &str| Restored { member: id(member), addresses: addresses("new"), engine: "x".to_owned() };
    let dir = MemoryDirectory::new();
    let wrong = Request { confirm: ClusterId([8; 16]), ..request() };
    assert!(matches!(restore(&dir, &backup, to("n9"), &wrong), Err(RecoverError::NotConfirmed { .. })));
    for (member, former) in [("n9", None), ("n2", Some(Incarnation(2)))] {
        let dir = MemoryDirectory::new();
        let (identity, recovery) = restore(&dir, &backup, to(member), &request()).unwrap();
        assert_eq!((identity.member, recovery.former, recovery.cause), (id(member), former, Cause::Restored));
        let state = open(dir.crash());
        assert_eq!(state.catalog().violations(), vec![]);
        assert_eq!(state.catalog().collections().count(), 2);
        assert_eq!(state.catalog().quorum().voters.len(), 1);
        assert!(matches!(restore(&dir, &backup, to(member), &request()), Err(RecoverError::Create(_))));
    }
}
