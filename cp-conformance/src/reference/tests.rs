//! The core alone: inputs in, outputs out, no task, no disk, no clock.

use super::commands::{Command, Reply};
use super::core::{Core, Input, Output, Role};
use super::storage::Log;
use super::timing::Timeouts;
use super::wire::{self, Append, Body, Message};
use cp_driver::{EngineError, Settings};
use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Incarnation, LastVote, LogPosition, MemberId,
    MemberKind, QuorumMember, Term,
};
use cp_store::{Configuration, LogRecord, RecordBody};
use std::collections::VecDeque;
use tokio::sync::oneshot;

fn members(of: impl IntoIterator<Item = u64>) -> Vec<QuorumMember> {
    let member = |n: u64| QuorumMember {
        incarnation: Incarnation(n),
        id: MemberId::new(&format!("m{n}")).expect("legal"),
        kind: MemberKind::Data,
        address: String::new(),
    };
    of.into_iter().map(member).collect()
}

fn uniform(of: impl IntoIterator<Item = u64>) -> Configuration {
    Configuration { voters: members(of), ..Configuration::default() }
}

fn core(me: u64, configuration: Configuration) -> Core {
    let timeouts = Timeouts::new(&Settings { seed: me, ..Settings::default() }, 1);
    Core::new(Incarnation(me), LastVote::default(), Log::empty(configuration), timeouts, 1 << 20)
}

fn entry(text: &str) -> ControlPlaneEntry {
    ControlPlaneEntry::OwnershipTransition(ControlPlanePayload::new(text.to_owned()).expect("short"))
}

fn propose(core: &mut Core, text: &str) -> (Output, Result<LogPosition, EngineError>) {
    let (reply, mut answer) = oneshot::channel();
    let output = core.step(Input::Command(Command::Append(entry(text), Reply(reply))));
    (output, answer.try_recv().expect("answered at once"))
}

/// Delivers everything, and what follows from it, among those of `up`.
fn settle(cores: &mut [Core], up: &[u64], from: u64, output: Output) {
    let sent =
        |from, output: Output| output.messages.into_iter().map(move |(to, message)| (Incarnation(from), to, message));
    let mut queue: VecDeque<_> = sent(from, output).collect();
    while let Some((from, to, message)) = queue.pop_front() {
        let decoded = wire::decode(from, to, wire::encode(message.clone())).expect("a frame of ours");
        assert_eq!(decoded, message, "what is sent is what arrives");
        if up.contains(&to.0) {
            let output = cores[to.0 as usize - 1].step(Input::Message(from, message));
            queue.extend(sent(to.0, output));
        }
    }
}

fn wait_and_stand(cores: &mut [Core], up: &[u64], who: u64) {
    for _ in 0..20 {
        let output = cores[who as usize - 1].step(Input::Tick);
        settle(cores, up, who, output);
    }
}

/// CP-L1, CP-S2: one stands, wins, and what it is given is committed everywhere.
#[test]
fn a_quorum_elects_and_commits() {
    let mut cores: Vec<_> = (1..=3).map(|n| core(n, uniform(1..=3))).collect();
    wait_and_stand(&mut cores, &[1, 2, 3], 1);
    assert!(matches!(cores[0].role, Role::Leader(_)));
    let (output, position) = propose(&mut cores[0], "first");
    assert_eq!(position.expect("it leads"), LogPosition::new(Term(1), ControlPlaneLogIndex(2)));
    settle(&mut cores, &[1, 2, 3], 1, output);
    wait_and_stand(&mut cores, &[1, 2, 3], 1);
    for core in &cores {
        assert_eq!((core.log.last().index.0, core.log.committed().0), (2, 2));
        assert_eq!(core.leader, Some(Incarnation(1)));
    }
}

/// CP-S3, CP-D1: a vote is in the output that carries it, and is given once in a term.
#[test]
fn a_vote_comes_with_what_is_to_be_persisted() {
    let mut voter = core(1, uniform(1..=3));
    let ballot = |term| Message {
        term: Term(term),
        body: Body::Ballot { trial: false, handover: false, last: LogPosition::GENESIS },
    };
    let granted = |output: &Output| matches!(&output.messages[..], [(_, m)] if matches!(m.body, Body::Voted { granted: true, .. }));
    let first = voter.step(Input::Message(Incarnation(2), ballot(4)));
    assert!(granted(&first));
    assert_eq!(first.vote, Some(LastVote { term: Term(4), granted_to: Some(Incarnation(2)), following: None }));
    let second = voter.step(Input::Message(Incarnation(3), ballot(4)));
    assert!(!granted(&second) && second.vote.is_none());
    assert!(granted(&voter.step(Input::Message(Incarnation(2), ballot(4)))), "the same vote, asked for again");
    assert!(granted(&voter.step(Input::Message(Incarnation(3), ballot(5)))));
}

/// CP-S2: no vote for a log that may miss what is committed, by its last term before its length.
#[test]
fn an_incomplete_log_gets_no_vote() {
    let after = |last: LogPosition| {
        let mut voter = core(1, uniform(1..=3));
        voter.log.append_in(Term(1), RecordBody::Blank);
        voter.log.append_in(Term(2), RecordBody::Blank);
        let body = Body::Ballot { trial: false, handover: false, last };
        let output = voter.step(Input::Message(Incarnation(2), Message { term: Term(3), body }));
        matches!(&output.messages[..], [(_, m)] if matches!(m.body, Body::Voted { granted: true, .. }))
    };
    let at = |term, index| LogPosition::new(Term(term), ControlPlaneLogIndex(index));
    assert_eq!([at(1, 9), at(2, 1), at(2, 2), at(3, 1)].map(after), [false, false, true, true]);
}

/// CP-S2: what a deposed leader alone held is replaced; the vote goes to a complete log only.
#[test]
fn a_deposed_leaders_tail_gives_way() {
    let mut cores: Vec<_> = (1..=3).map(|n| core(n, uniform(1..=3))).collect();
    wait_and_stand(&mut cores, &[1, 2, 3], 1);
    let (lost, _) = propose(&mut cores[0], "lost");
    settle(&mut cores, &[], 1, lost);
    // 3 must have missed its leader for a while before it listens to another.
    wait_and_stand(&mut cores, &[3], 3);
    wait_and_stand(&mut cores, &[2, 3], 2);
    let (kept, position) = propose(&mut cores[1], "kept");
    settle(&mut cores, &[2, 3], 2, kept);
    wait_and_stand(&mut cores, &[1, 2, 3], 2);
    assert_eq!(
        cores[0].log.position(position.expect("it leads").index),
        cores[1].log.position(ControlPlaneLogIndex(3))
    );
    assert_eq!(
        cores[0].log.read(ControlPlaneLogIndex(2), 1 << 20),
        cores[1].log.read(ControlPlaneLogIndex(2), 1 << 20)
    );
}

/// CP-S2: a record of an earlier term is on a quorum, and still is not committed by that.
#[test]
fn an_earlier_terms_record_is_not_committed_by_count() {
    let mut leader = core(1, uniform(1..=3));
    let old = LogRecord { position: LogPosition::new(Term(1), ControlPlaneLogIndex(1)), body: RecordBody::Blank };
    let append =
        Append { after: LogPosition::GENESIS, committed: ControlPlaneLogIndex(0), round: 0, records: vec![old] };
    leader.step(Input::Message(Incarnation(3), Message { term: Term(1), body: Body::Append(append) }));
    leader.enter(Term(2));
    leader.lead();
    leader.step(Input::Tick);
    let answer = |up_to| {
        let body = Body::Appended { up_to: ControlPlaneLogIndex(up_to), round: 0 };
        Input::Message(Incarnation(2), Message { term: Term(2), body })
    };
    assert_eq!(leader.step(answer(1)).batch.committed, None);
    assert_eq!(leader.step(answer(2)).batch.committed, Some(ControlPlaneLogIndex(2)));
}

/// CP-S2: a leader's word of what is committed says nothing of records beyond those that it sent.
#[test]
fn a_tail_that_nobody_vouched_for_is_not_committed() {
    let mut follower = core(1, uniform(1..=3));
    let append = |term, after, committed, records: &[(u64, u64)]| {
        let record = |(term, index): &(u64, u64)| LogRecord {
            position: LogPosition::new(Term(*term), ControlPlaneLogIndex(*index)),
            body: RecordBody::Blank,
        };
        let committed = ControlPlaneLogIndex(committed);
        let append = Append { after, committed, round: 0, records: records.iter().map(record).collect() };
        Message { term: Term(term), body: Body::Append(append) }
    };
    let first = LogPosition::new(Term(1), ControlPlaneLogIndex(1));
    follower.step(Input::Message(Incarnation(2), append(1, LogPosition::GENESIS, 0, &[(1, 1), (1, 2), (1, 3)])));
    let output = follower.step(Input::Message(Incarnation(3), append(2, first, 3, &[])));
    assert_eq!(output.batch.committed, Some(ControlPlaneLogIndex(1)));
    let output = follower.step(Input::Message(Incarnation(3), append(2, first, 3, &[(2, 2), (2, 3)])));
    assert_eq!(
        (output.batch.truncate_from, output.batch.committed),
        (Some(ControlPlaneLogIndex(2)), Some(ControlPlaneLogIndex(3)))
    );
}

/// CP-M1: in a joint configuration each half must hold a record, and grant a vote.
#[test]
fn a_joint_configuration_needs_both_halves() {
    let joint = Configuration { voters: members([1, 4, 5]), outgoing: members(1..=3), learners: Vec::new() };
    let mut cores: Vec<_> = (1..=5).map(|n| core(n, joint.clone())).collect();
    wait_and_stand(&mut cores, &[1, 2, 3], 1);
    assert!(!matches!(cores[0].role, Role::Leader(_)), "the old half alone");
    wait_and_stand(&mut cores, &[1, 2, 4], 1);
    assert!(matches!(cores[0].role, Role::Leader(_)));
    let (output, _) = propose(&mut cores[0], "both");
    let before = cores[0].log.committed();
    settle(&mut cores, &[1, 4, 5], 1, output);
    assert_eq!(cores[0].log.committed(), before, "the new half alone");
    wait_and_stand(&mut cores, &[1, 2, 4], 1);
    assert_eq!(cores[0].log.committed(), cores[0].log.last().index);
}

/// CP-P4: an answer to what was sent before a read was asked does not confirm it.
#[test]
fn an_earlier_answer_confirms_no_read() {
    let mut cores: Vec<_> = (1..=3).map(|n| core(n, uniform(1..=3))).collect();
    wait_and_stand(&mut cores, &[1, 2, 3], 1);
    let (reply, mut answer) = oneshot::channel();
    let asked = cores[0].step(Input::Command(Command::ReadIndex(Reply(reply))));
    let stale = Body::Appended { up_to: ControlPlaneLogIndex(1), round: 0 };
    cores[0].step(Input::Message(Incarnation(2), Message { term: Term(1), body: stale }));
    assert!(answer.try_recv().is_err(), "nobody has answered the read");
    settle(&mut cores, &[1, 2], 1, asked);
    assert_eq!(answer.try_recv().expect("answered").expect("confirmed"), ControlPlaneLogIndex(1));
}
