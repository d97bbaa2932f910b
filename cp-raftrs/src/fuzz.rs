//! This engine's messages, for the fuzz targets. Not an interface.

use crate::{translate, wire};
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, Term};
use cp_store::{LogRecord, RecordBody};
use raft::eraftpb::{Message, MessageType};

const ME: Incarnation = Incarnation(1);
const PEER: Incarnation = Incarnation(2);

/// Reads `data` as a message: what is read is written as something that reads the
/// same, and its records follow each other.
pub fn message(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    drop(wire::explain(PEER, ME, frame.clone()));
    let Ok(message) = wire::decode(PEER, ME, frame) else { return };
    let mut end = (message.log_term, message.index);
    for entry in message.entries.iter() {
        assert!(entry.index == end.1 + 1 && entry.term >= end.0 && entry.term <= message.term);
        end = (entry.term, entry.index);
    }
    let frames = wire::encode(message.clone(), usize::MAX).ok().flatten().unwrap_or_default();
    let again: Vec<_> = frames.into_iter().map(|frame| wire::decode(PEER, ME, frame)).collect();
    assert_eq!(again, [Ok(message)]);
}

/// Messages to begin with.
pub fn corpus() -> Vec<Vec<u8>> {
    use MessageType as T;
    let kinds = [
        (T::MsgAppend, false),
        (T::MsgAppendResponse, false),
        (T::MsgAppendResponse, true),
        (T::MsgRequestVote, false),
        (T::MsgRequestPreVoteResponse, false),
        (T::MsgRequestVoteResponse, true),
        (T::MsgHeartbeat, false),
        (T::MsgHeartbeatResponse, false),
        (T::MsgTimeoutNow, false),
    ];
    let message = |(kind, reject)| {
        let mut message = Message { term: 5, reject, ..Message::default() };
        message.set_msg_type(kind);
        (message.log_term, message.index, message.commit, message.commit_term) = (4, 9, 8, 4);
        if kind == T::MsgAppend {
            let position = |index| LogPosition::new(Term(4), ControlPlaneLogIndex(index));
            let record = |index| LogRecord { position: position(index), body: RecordBody::Blank };
            message.set_entries([10, 11].map(|index| translate::entry(&record(index))).to_vec().into());
        }
        wire::encode(message, usize::MAX).ok().flatten().unwrap_or_default()
    };
    kinds.into_iter().flat_map(message).map(|frame| frame.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fuzz targets begin with every kind of message that travels, each legal.
    #[test]
    fn the_corpus_is_read() {
        let frames = corpus();
        let read = frames.iter().map(|data| wire::decode(PEER, ME, Bytes::copy_from_slice(data)).expect("legal"));
        let kinds: Vec<_> = read.map(|message| (message.get_msg_type(), message.reject)).collect();
        assert_eq!(kinds.len(), 9);
        assert!(kinds.iter().enumerate().all(|(i, kind)| !kinds.iter().take(i).any(|earlier| earlier == kind)));
        frames.iter().for_each(|data| message(data));
    }
}
