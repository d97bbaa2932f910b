//! What peers say before and between frames, for the fuzz targets. Not an interface.

use crate::handshake::{RefusalKind, heard};
use crate::wire::{Body, Hello, Packet, WireRefusal};
use bytes::Bytes;
use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, Incarnation, Lane, LogPosition, MemberId, PeerHello, Term};
use prost::Message;

/// Reads `data` as a packet: what is read is written as something that reads the
/// same, and no sentence of another node can break a line of a log.
pub fn packet(data: &[u8]) {
    let Ok(packet) = Packet::decode(data) else { return };
    assert_eq!(Packet::decode(packet.encode_to_vec().as_slice()), Ok(packet.clone()));
    match packet.body {
        Some(Body::Hello(hello)) => {
            if let Ok((read, lane)) = hello.read() {
                assert_eq!(Hello::new(&read, lane).read(), Ok((read, lane)));
            }
        }
        Some(Body::Refusal(refusal)) => {
            let (_, sentence) = (RefusalKind::from_number(refusal.kind), heard(&refusal.sentence));
            assert!(!sentence.chars().any(char::is_control) && sentence.chars().count() <= 500);
        }
        Some(Body::Frame(_) | Body::Probe(_)) | None => {}
    }
}

/// Packets to begin with.
pub fn corpus() -> Vec<Vec<u8>> {
    let hello = PeerHello {
        cluster: ClusterId([7; 16]),
        generation: Generation { number: 3, id: [9; 8] },
        member: MemberId::new("n1").unwrap_or_else(|never| unreachable!("{never}")),
        incarnation: Incarnation(5),
        engine: "openraft".to_owned(),
        wire_versions: cp_seam::WireVersions::only(1),
        boot: 11,
        tail: LogPosition::new(Term(4), ControlPlaneLogIndex(99)),
        members: Bytes::from_static(b"all of them"),
    };
    let refusal = WireRefusal { kind: 8, sentence: "not a member".to_owned() };
    let bodies = [
        Body::Hello(Hello::new(&hello, Lane::Bulk).to(Incarnation(6))),
        Body::Frame(Bytes::from(vec![3; 40])),
        Body::Probe(1 << 40),
        Body::Refusal(refusal),
    ];
    bodies.map(|body| Packet::from(body).encode_to_vec()).into()
}
