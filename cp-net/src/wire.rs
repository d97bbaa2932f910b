//! What goes over a peer connection: one message type in both directions.
//!
//! A stream is `hello`, then (from the end that dialled) frames and probes; the
//! answers are `hello`, then the probes back. Either end may say `refusal`
//! instead of going on, and is done then. Tags are never reused.

use bytes::Bytes;
use cp_seam::{
    ClusterId, ControlPlaneLogIndex, Generation, Incarnation, Lane, LogPosition, MemberId, PeerHello, Term,
    WireVersions,
};

/// The one method of the service.
pub(crate) const PATH: &str = "/cp.peer.v1.Peer/Frames";
/// A message is a frame and a few bytes around it.
pub(crate) const MESSAGE_BYTES_MAX: usize = cp_seam::transport::FRAME_MAX_BYTES + 1024;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Packet {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4")]
    pub(crate) body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(bytes = "bytes", tag = "2")]
    Frame(Bytes),
    /// Comes back as it went, to measure the round trip.
    #[prost(uint64, tag = "3")]
    Probe(u64),
    #[prost(message, tag = "4")]
    Refusal(WireRefusal),
}

impl From<Body> for Packet {
    fn from(body: Body) -> Self {
        Self { body: Some(body) }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hello {
    #[prost(bytes = "vec", tag = "1")]
    cluster: Vec<u8>,
    #[prost(uint32, tag = "2")]
    generation_number: u32,
    #[prost(bytes = "vec", tag = "3")]
    generation_id: Vec<u8>,
    #[prost(string, tag = "4")]
    member: String,
    #[prost(uint64, tag = "5")]
    incarnation: u64,
    /// Which life of the other end it wants to talk to; 0 where it does not say.
    #[prost(uint64, tag = "20")]
    dialled: u64,
    #[prost(string, tag = "6")]
    engine: String,
    #[prost(uint32, tag = "7")]
    wire_newest: u32,
    #[prost(uint64, tag = "8")]
    boot: u64,
    #[prost(uint64, tag = "9")]
    tail_term: u64,
    #[prost(uint64, tag = "10")]
    tail_index: u64,
    /// 1 consensus, 2 bulk.
    #[prost(uint32, tag = "11")]
    lane: u32,
    #[prost(uint32, tag = "12")]
    wire_oldest: u32,
    #[prost(bytes = "bytes", tag = "13")]
    members: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireRefusal {
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(string, tag = "2")]
    pub(crate) sentence: String,
}

/// The longest engine name that a hello may carry.
const ENGINE_BYTES_MAX: usize = 64;

impl Hello {
    pub(crate) fn new(hello: &PeerHello, lane: Lane) -> Self {
        Self {
            cluster: hello.cluster.0.to_vec(),
            generation_number: hello.generation.number.into(),
            generation_id: hello.generation.id.to_vec(),
            member: hello.member.to_string(),
            incarnation: hello.incarnation.0,
            dialled: 0,
            engine: hello.engine.clone(),
            wire_newest: hello.wire_versions.newest,
            wire_oldest: hello.wire_versions.oldest,
            boot: hello.boot,
            tail_term: hello.tail.term.0,
            tail_index: hello.tail.index.0,
            members: hello.members.clone(),
            lane: match lane {
                Lane::Consensus => 1,
                Lane::Bulk => 2,
            },
        }
    }

    /// The same, and meant for this life of the other end alone.
    pub(crate) fn to(self, dialled: Incarnation) -> Self {
        Self { dialled: dialled.0, ..self }
    }

    /// Whom it is meant for, if it says so: an answer does not, nor does an earlier release.
    pub(crate) fn dialled(&self) -> Option<Incarnation> {
        (self.dialled != 0).then_some(Incarnation(self.dialled))
    }

    /// The hello, or which field of it is wrong.
    pub(crate) fn read(self) -> Result<(PeerHello, Lane), String> {
        let cluster = self.cluster.as_slice().try_into().map_err(|_| bytes("cluster", &self.cluster, 16))?;
        let id = self.generation_id.as_slice().try_into();
        let id = id.map_err(|_| bytes("generation id", &self.generation_id, 8))?;
        let number = u16::try_from(self.generation_number)
            .map_err(|_| format!("generation number {} exceeds {}", self.generation_number, u16::MAX))?;
        let member = MemberId::new(&self.member).map_err(|error| error.to_string())?;
        let printable = self.engine.bytes().all(|byte| byte.is_ascii_graphic());
        if self.engine.len() > ENGINE_BYTES_MAX || !printable {
            return Err("engine is no short name".to_owned());
        }
        // One that says no oldest reads one version alone.
        let oldest = if self.wire_oldest == 0 { self.wire_newest } else { self.wire_oldest };
        let wire_versions = WireVersions { oldest, newest: self.wire_newest };
        if wire_versions.oldest > wire_versions.newest {
            return Err(format!("wire versions {wire_versions} are none"));
        }
        let lane = match self.lane {
            1 => Lane::Consensus,
            2 => Lane::Bulk,
            other => return Err(format!("lane {other} is unknown")),
        };
        let hello = PeerHello {
            cluster: ClusterId(cluster),
            generation: Generation { number, id },
            member,
            incarnation: Incarnation(self.incarnation),
            engine: self.engine,
            wire_versions,
            boot: self.boot,
            tail: LogPosition::new(Term(self.tail_term), ControlPlaneLogIndex(self.tail_index)),
            members: self.members,
        };
        Ok((hello, lane))
    }
}

fn bytes(field: &str, found: &[u8], expected: usize) -> String {
    format!("{field} has {} bytes, not {expected}", found.len())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    pub(crate) fn hello() -> PeerHello {
        PeerHello {
            cluster: ClusterId([7; 16]),
            generation: Generation { number: 3, id: [9; 8] },
            member: MemberId::new("n1").unwrap(),
            incarnation: Incarnation(5),
            engine: "openraft".to_owned(),
            wire_versions: WireVersions { oldest: 1, newest: 2 },
            boot: 11,
            tail: LogPosition::new(Term(4), ControlPlaneLogIndex(99)),
            members: Bytes::from_static(b"all of them"),
        }
    }

    #[test]
    fn a_hello_comes_back_as_it_went() {
        for lane in [Lane::Consensus, Lane::Bulk] {
            let packet = Packet::from(Body::Hello(Hello::new(&hello(), lane)));
            let read = Packet::decode(packet.encode_to_vec().as_slice()).unwrap();
            let Some(Body::Hello(read)) = read.body else { panic!("{read:?}") };
            assert_eq!(read.read(), Ok((hello(), lane)));
        }
    }

    #[test]
    fn a_hello_says_whom_it_is_meant_for_or_nothing() {
        let hello = Hello::new(&hello(), Lane::Bulk);
        for (hello, dialled) in [(hello.clone(), None), (hello.to(Incarnation(4)), Some(Incarnation(4)))] {
            assert_eq!(Hello::decode(hello.encode_to_vec().as_slice()).unwrap().dialled(), dialled);
        }
    }

    #[test]
    fn a_malformed_hello_names_the_field() {
        let good = Hello::new(&hello(), Lane::Bulk);
        for (bad, field) in [
            (Hello { cluster: vec![1; 15], ..good.clone() }, "cluster has 15 bytes"),
            (Hello { generation_id: vec![], ..good.clone() }, "generation id has 0 bytes"),
            (Hello { generation_number: 70_000, ..good.clone() }, "generation number 70000"),
            (Hello { member: "N1".to_owned(), ..good.clone() }, "member id"),
            (Hello { engine: "a\nb".to_owned(), ..good.clone() }, "engine"),
            (Hello { engine: "x".repeat(65), ..good.clone() }, "engine"),
            (Hello { lane: 0, ..good.clone() }, "lane 0"),
            (Hello { wire_oldest: 3, ..good.clone() }, "wire versions 3 to 2"),
        ] {
            let error = bad.read().unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    }

    /// The longest frame fits into the longest message.
    #[test]
    fn a_frame_and_its_wrapping_fit() {
        let frame = Bytes::from(vec![0; cp_seam::transport::FRAME_MAX_BYTES]);
        assert!(Packet::from(Body::Frame(frame)).encoded_len() <= MESSAGE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_packet_or_an_error(bytes: Vec<u8>) {
            if let Ok(Packet { body: Some(Body::Hello(hello)) }) = Packet::decode(bytes.as_slice()) {
                drop(hello.read());
            }
        }

        /// Damaged in one place: never a panic, and a hello that is read reads back.
        #[test]
        fn a_damaged_hello_is_a_hello_or_an_error(at: prop::sample::Index, byte: u8) {
            let mut bytes = Packet::from(Body::Hello(Hello::new(&hello(), Lane::Bulk))).encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(Packet { body: Some(Body::Hello(damaged)) }) = Packet::decode(bytes.as_slice())
                && let Ok((read, lane)) = damaged.read()
            {
                prop_assert_eq!(Hello::new(&read, lane).read(), Ok((read, lane)));
            }
        }
    }
}
