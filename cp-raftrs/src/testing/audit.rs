//! Whatever leaves a node must hold on what a power loss would leave of its disk.

use bytes::Bytes;
use cp_driver::wire::Envelope;
use cp_seam::Incarnation;
use cp_store::{MemoryDirectory, Store};
use raft::eraftpb::MessageType;

/// Panics if `frame`, sent by `from`, promises what `directory` would forget (CP-D1, CP-D2).
/// Gives what kind of message it was, if it was one that can promise anything.
pub(crate) fn audit(from: u64, to: Incarnation, frame: Bytes, directory: &MemoryDirectory) -> Option<MessageType> {
    let message = Envelope::engine_message(frame)?;
    let message = crate::wire::decode(Incarnation(from), to, message).expect("a node of ours sent it");
    let trial = [MessageType::MsgRequestPreVote, MessageType::MsgRequestPreVoteResponse];
    if trial.contains(&message.get_msg_type()) {
        return None;
    }
    let disk = Store::inspect(&directory.crash()).expect("readable");
    let last = disk.log.last().map_or(disk.snapshot.position, |record| record.position);
    let held = (disk.vote.term.0, disk.vote.granted_to);
    assert!(held.0 >= message.term, "{from} is in term {held:?} on disk: {message:?}");
    let of_this_term = held.0 == message.term;
    match message.get_msg_type() {
        MessageType::MsgRequestVote | MessageType::MsgAppend | MessageType::MsgHeartbeat if of_this_term => {
            assert_eq!(held.1, Some(Incarnation(from)), "a candidate and a leader have voted for themselves");
        }
        MessageType::MsgRequestVoteResponse if !message.reject && of_this_term => {
            assert_eq!(held.1, Some(to), "a grant that a power loss forgets");
        }
        MessageType::MsgAppendResponse if !message.reject && of_this_term => {
            assert!(last.index.0 >= message.index, "{from} has {last} on disk: {message:?}");
        }
        _ => {}
    }
    Some(message.get_msg_type())
}
