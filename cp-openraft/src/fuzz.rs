//! This engine's messages, for the fuzz targets. Not an interface.

use crate::wire::{
    Append, Appended, Body, Campaign, Fate, Header, Judged, Message, Records, Transfer, Transferred, VoteMessage,
    explain, voted,
};
use bytes::Bytes;
use cp_driver::wire::{PositionMessage, RecordMessage};
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, Term};
use cp_store::{LogRecord, RecordBody};
use prost::Message as _;

/// Reads `data` as a message: what is read is written as something that reads the
/// same, and what passes as records cannot trip the engine.
pub fn message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    drop(explain(Incarnation(1), bytes.clone()));
    if let Ok(header) = Header::read(bytes.clone()) {
        assert_eq!(Header::read(header.encode_to_vec().into()), Ok(header));
    }
    let Ok((id, body)) = Message::read(bytes) else { return };
    assert_eq!(Message::read(Message::bytes(id, body.clone())), Ok((id, body.clone())));
    match body {
        Body::Append(append) => {
            if let Ok(records) = Records::try_from(append) {
                follow_each_other(&records);
            }
        }
        Body::Judged(Judged { vote: Some(vote), .. }) => {
            assert!(voted(vote).is_err() || vote.candidate != 0);
        }
        Body::Judged(_) | Body::Campaign(_) | Body::Transfer(_) | Body::Appended(_) | Body::Transferred(_) => {}
    }
}

fn follow_each_other(records: &Records) {
    let mut end = records.after.unwrap_or_default();
    for record in &records.records {
        let next = record.position;
        assert!(next.index == end.index.next() && next.term >= end.term && next.term <= records.term);
        end = next;
    }
}

/// Messages to begin with.
pub fn corpus() -> Vec<Vec<u8>> {
    let at = |term, index| Some(PositionMessage { term, index });
    let record = |index| {
        let position = LogPosition::new(Term(4), ControlPlaneLogIndex(index));
        RecordMessage::from(&LogRecord { position, body: RecordBody::Blank })
    };
    let records = vec![record(10), record(11)];
    let vote = VoteMessage { term: 5, candidate: 2, elected: false };
    let bodies = [
        Body::Append(Append { term: 5, after: at(4, 9), records, committed: at(4, 8) }),
        Body::Campaign(Campaign { term: 5, last: at(4, 9), pre: false, transfer: true }),
        Body::Transfer(Transfer { term: 5, last: at(4, 9) }),
        Body::Appended(Appended { fate: Some(Fate::Outvoted(vote)) }),
        Body::Judged(Judged { vote: Some(vote), granted: true, last: at(4, 9) }),
        Body::Transferred(Transferred { refusal: "no".to_owned() }),
    ];
    bodies.map(|body| Message::bytes(7, body).to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fuzz targets begin with every kind of message, each legal.
    #[test]
    fn the_corpus_is_read() {
        let messages = corpus();
        let read = messages.iter().map(|data| Message::read(Bytes::copy_from_slice(data)).expect("legal").1);
        let kinds: Vec<_> = read.map(|body| std::mem::discriminant(&body)).collect();
        assert_eq!(kinds.len(), 6);
        assert!(kinds.iter().enumerate().all(|(i, kind)| !kinds.iter().take(i).any(|earlier| earlier == kind)));
        messages.iter().for_each(|data| message(data));
    }
}
