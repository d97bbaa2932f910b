//! Log records, configurations and snapshot metadata on the wire.

use super::{BadFrame, required};
use bytes::Bytes;
use cp_seam::{
    ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload, Incarnation, LogPosition, MemberId, MemberKind,
    QuorumMember, StateDigest, Term,
};
use cp_store::{Configuration, LogRecord, RecordBody, SnapshotMeta, TermRun, TermRuns};

/// A [`LogPosition`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PositionMessage {
    /// The term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The index.
    #[prost(uint64, tag = "2")]
    pub index: u64,
}

impl From<LogPosition> for PositionMessage {
    fn from(position: LogPosition) -> Self {
        Self { term: position.term.0, index: position.index.0 }
    }
}

impl From<PositionMessage> for LogPosition {
    fn from(message: PositionMessage) -> Self {
        Self::new(Term(message.term), ControlPlaneLogIndex(message.index))
    }
}

/// A [`QuorumMember`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemberMessage {
    /// The incarnation.
    #[prost(uint64, tag = "1")]
    pub incarnation: u64,
    /// The name.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Whether it is a witness.
    #[prost(bool, tag = "3")]
    pub witness: bool,
    /// Where its peers reach it.
    #[prost(string, tag = "4")]
    pub address: String,
}

impl From<&QuorumMember> for MemberMessage {
    fn from(member: &QuorumMember) -> Self {
        Self {
            incarnation: member.incarnation.0,
            id: member.id.as_str().to_owned(),
            witness: member.kind == MemberKind::Witness,
            address: member.address.clone(),
        }
    }
}

impl TryFrom<MemberMessage> for QuorumMember {
    type Error = BadFrame;

    fn try_from(message: MemberMessage) -> Result<Self, BadFrame> {
        if message.incarnation == 0 {
            return Err(BadFrame(format!("member {:?} has incarnation 0", message.id)));
        }
        Ok(Self {
            incarnation: Incarnation(message.incarnation),
            id: MemberId::new(&message.id).map_err(|e| BadFrame(e.to_string()))?,
            kind: if message.witness { MemberKind::Witness } else { MemberKind::Data },
            address: message.address,
        })
    }
}

/// A [`Configuration`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfigurationMessage {
    /// The incoming voters.
    #[prost(message, repeated, tag = "1")]
    pub voters: Vec<MemberMessage>,
    /// The outgoing voters.
    #[prost(message, repeated, tag = "2")]
    pub outgoing: Vec<MemberMessage>,
    /// The learners.
    #[prost(message, repeated, tag = "3")]
    pub learners: Vec<MemberMessage>,
}

impl From<&Configuration> for ConfigurationMessage {
    fn from(configuration: &Configuration) -> Self {
        let all = |members: &[QuorumMember]| members.iter().map(MemberMessage::from).collect();
        Self {
            voters: all(&configuration.voters),
            outgoing: all(&configuration.outgoing),
            learners: all(&configuration.learners),
        }
    }
}

impl TryFrom<ConfigurationMessage> for Configuration {
    type Error = BadFrame;

    fn try_from(message: ConfigurationMessage) -> Result<Self, BadFrame> {
        let all = |members: Vec<MemberMessage>, part: &str| -> Result<Vec<QuorumMember>, BadFrame> {
            let members = members.into_iter().map(QuorumMember::try_from).collect::<Result<Vec<_>, _>>()?;
            let ascending = members.iter().zip(members.iter().skip(1)).all(|(a, b)| a.incarnation < b.incarnation);
            if ascending { Ok(members) } else { Err(BadFrame(format!("{part} of a configuration are not ascending"))) }
        };
        let configuration = Self {
            voters: all(message.voters, "voters")?,
            outgoing: all(message.outgoing, "outgoing voters")?,
            learners: all(message.learners, "learners")?,
        };
        if configuration.voters.is_empty() {
            return Err(BadFrame("a configuration has no voter".to_owned()));
        }
        let both = |m: &QuorumMember| configuration.voters.iter().any(|v| v.incarnation == m.incarnation);
        match configuration.learners.iter().find(|m| both(m)) {
            Some(m) => Err(BadFrame(format!("member {} is both voter and learner", m.id))),
            None => Ok(configuration),
        }
    }
}

/// What a record holds.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum RecordBodyMessage {
    /// [`RecordBody::Blank`].
    #[prost(bool, tag = "2")]
    Blank(bool),
    /// A membership change.
    #[prost(bytes = "bytes", tag = "3")]
    Membership(Bytes),
    /// An ownership transition.
    #[prost(bytes = "bytes", tag = "4")]
    Ownership(Bytes),
    /// [`RecordBody::Configuration`].
    #[prost(message, tag = "5")]
    Configuration(ConfigurationMessage),
}

/// A [`LogRecord`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RecordMessage {
    /// Where it is.
    #[prost(message, optional, tag = "1")]
    pub position: Option<PositionMessage>,
    /// What is there.
    #[prost(oneof = "RecordBodyMessage", tags = "2, 3, 4, 5")]
    pub body: Option<RecordBodyMessage>,
}

impl From<&LogRecord> for RecordMessage {
    fn from(record: &LogRecord) -> Self {
        let body = match &record.body {
            RecordBody::Blank => RecordBodyMessage::Blank(true),
            RecordBody::Entry(entry) => {
                let payload = entry.payload().as_bytes().clone();
                match entry.kind() {
                    ControlPlaneEntryKind::MembershipChange => RecordBodyMessage::Membership(payload),
                    ControlPlaneEntryKind::OwnershipTransition => RecordBodyMessage::Ownership(payload),
                }
            }
            RecordBody::Configuration(configuration) => RecordBodyMessage::Configuration(configuration.into()),
        };
        Self { position: Some(record.position.into()), body: Some(body) }
    }
}

impl TryFrom<RecordMessage> for LogRecord {
    type Error = BadFrame;

    fn try_from(message: RecordMessage) -> Result<Self, BadFrame> {
        let position: LogPosition = required(message.position, "position")?.into();
        if position.index == ControlPlaneLogIndex(0) {
            return Err(BadFrame("a record at index 0".to_owned()));
        }
        let entry = |kind: ControlPlaneEntryKind, body: Bytes| -> Result<RecordBody, BadFrame> {
            let payload = ControlPlanePayload::new(body).map_err(|e| BadFrame(e.to_string()))?;
            Ok(RecordBody::Entry(kind.entry(payload)))
        };
        let body = match required(message.body, "body")? {
            RecordBodyMessage::Blank(_) => RecordBody::Blank,
            RecordBodyMessage::Membership(body) => entry(ControlPlaneEntryKind::MembershipChange, body)?,
            RecordBodyMessage::Ownership(body) => entry(ControlPlaneEntryKind::OwnershipTransition, body)?,
            RecordBodyMessage::Configuration(message) => RecordBody::Configuration(message.try_into()?),
        };
        Ok(Self { position, body })
    }
}

/// A [`SnapshotMeta`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SnapshotMetaMessage {
    /// The last record included.
    #[prost(message, optional, tag = "1")]
    pub position: Option<PositionMessage>,
    /// The configuration.
    #[prost(message, optional, tag = "2")]
    pub configuration: Option<ConfigurationMessage>,
    /// Where it was recorded.
    #[prost(message, optional, tag = "3")]
    pub configuration_at: Option<PositionMessage>,
    /// The history of terms: each the first position of its term.
    #[prost(message, repeated, tag = "4")]
    pub terms: Vec<PositionMessage>,
    /// The digest of the state.
    #[prost(bytes = "bytes", tag = "5")]
    pub digest: Bytes,
}

impl From<&SnapshotMeta> for SnapshotMetaMessage {
    fn from(meta: &SnapshotMeta) -> Self {
        Self {
            position: Some(meta.position.into()),
            configuration: Some((&meta.configuration).into()),
            configuration_at: Some(meta.configuration_at.into()),
            terms: meta.terms.0.iter().map(|run| LogPosition::new(run.term, run.first).into()).collect(),
            digest: Bytes::copy_from_slice(&meta.digest.0),
        }
    }
}

impl TryFrom<SnapshotMetaMessage> for SnapshotMeta {
    type Error = BadFrame;

    fn try_from(message: SnapshotMetaMessage) -> Result<Self, BadFrame> {
        let position: LogPosition = required(message.position, "position")?.into();
        let runs: Vec<TermRun> = message
            .terms
            .iter()
            .map(|m| TermRun { term: Term(m.term), first: ControlPlaneLogIndex(m.index) })
            .collect();
        let ascending = runs.iter().zip(runs.iter().skip(1)).all(|(a, b)| a.term < b.term && a.first < b.first);
        let terms = TermRuns(runs);
        if !ascending || terms.0.last().is_some_and(|run| run.first > position.index) {
            return Err(BadFrame("the history of terms is not ascending up to the snapshot".to_owned()));
        }
        if position != LogPosition::GENESIS && terms.term_at(position.index) != Some(position.term) {
            return Err(BadFrame(format!("the history of terms does not lead to {position}")));
        }
        let digest = <[u8; 32]>::try_from(message.digest.as_ref())
            .map_err(|_| BadFrame(format!("a digest of {} bytes", message.digest.len())))?;
        let configuration_at: LogPosition = required(message.configuration_at, "configuration_at")?.into();
        if configuration_at > position {
            return Err(BadFrame("a configuration from after its snapshot".to_owned()));
        }
        Ok(Self {
            position,
            configuration: required(message.configuration, "configuration")?.try_into()?,
            configuration_at,
            terms,
            digest: StateDigest(digest),
        })
    }
}
