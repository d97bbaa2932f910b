//! Between the types of the interface and the bodies on disk.

use crate::codec::{Bad, Kind, seal, unseal};
use crate::file_set::Home;
use crate::identity::Identity;
use crate::record::{Configuration, LogRecord, RecordBody, TermRun, TermRuns};
use crate::snapshot::SnapshotMeta;
use crate::wire;
use bytes::Bytes;
use cp_seam::{
    ClusterId, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Generation, Incarnation, LastVote,
    LogPosition, MemberId, MemberKind, QuorumMember, StateDigest, Term,
};

pub(crate) fn identity_to_bytes(Home { identity, set }: &Home) -> Vec<u8> {
    let body = wire::Identity {
        cluster: identity.cluster.0.to_vec(),
        generation_number: identity.generation.number.into(),
        generation_id: identity.generation.id.to_vec(),
        member: identity.member.as_str().to_owned(),
        incarnation: identity.incarnation.0,
        engine: identity.engine.clone(),
        set: *set,
    };
    seal(Kind::Identity, &body)
}

pub(crate) fn identity_from_bytes(sealed: &[u8]) -> Result<Home, Bad> {
    let body: wire::Identity = unseal(Kind::Identity, sealed)?;
    let number =
        u16::try_from(body.generation_number).map_err(|_| Bad::damaged("the generation number is out of range"))?;
    let identity = Identity {
        cluster: ClusterId(array(&body.cluster, "the cluster id")?),
        generation: Generation { number, id: array(&body.generation_id, "the generation id")? },
        member: member_id(&body.member)?,
        incarnation: Incarnation(body.incarnation),
        engine: body.engine,
    };
    Ok(Home { identity, set: body.set })
}

pub(crate) fn record_to_bytes(record: &LogRecord) -> Bytes {
    let body = match &record.body {
        RecordBody::Blank => wire::Body::Blank(true),
        RecordBody::Entry(ControlPlaneEntry::MembershipChange(p)) => wire::Body::Membership(p.as_bytes().clone()),
        RecordBody::Entry(ControlPlaneEntry::OwnershipTransition(p)) => wire::Body::Ownership(p.as_bytes().clone()),
        RecordBody::Configuration(c) => wire::Body::Configuration(c.into()),
    };
    seal(Kind::Log, &wire::LogRecord { position: record.position.into(), body: Some(body) }).into()
}

pub(crate) fn record_from_bytes(sealed: &[u8]) -> Result<LogRecord, Bad> {
    let record: wire::LogRecord = unseal(Kind::Log, sealed)?;
    let payload = |body| ControlPlanePayload::new(body).map_err(|e| Bad::damaged(e.to_string()));
    let body = match record.body {
        Some(wire::Body::Blank(_)) => RecordBody::Blank,
        Some(wire::Body::Membership(b)) => RecordBody::Entry(ControlPlaneEntry::MembershipChange(payload(b)?)),
        Some(wire::Body::Ownership(b)) => RecordBody::Entry(ControlPlaneEntry::OwnershipTransition(payload(b)?)),
        Some(wire::Body::Configuration(c)) => RecordBody::Configuration(c.try_into()?),
        None => return Err(Bad::damaged("a log record without a body")),
    };
    Ok(LogRecord { position: record.position.into(), body })
}

pub(crate) fn array<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], Bad> {
    bytes.try_into().map_err(|_| Bad::damaged(format!("{what} has {} bytes, not {N}", bytes.len())))
}

fn member_id(name: &str) -> Result<MemberId, Bad> {
    MemberId::new(name).map_err(|e| Bad::damaged(e.to_string()))
}

impl From<LogPosition> for wire::Position {
    fn from(position: LogPosition) -> Self {
        Self { term: position.term.0, index: position.index.0 }
    }
}

impl From<wire::Position> for LogPosition {
    fn from(position: wire::Position) -> Self {
        Self::new(Term(position.term), ControlPlaneLogIndex(position.index))
    }
}

impl From<LastVote> for wire::Vote {
    fn from(vote: LastVote) -> Self {
        Self { term: vote.term.0, granted_to: vote.granted_to.map(|i| i.0), following: vote.following.map(|i| i.0) }
    }
}

impl From<wire::Vote> for LastVote {
    fn from(vote: wire::Vote) -> Self {
        Self {
            term: Term(vote.term),
            granted_to: vote.granted_to.map(Incarnation),
            following: vote.following.map(Incarnation),
        }
    }
}

impl From<&Configuration> for wire::Configuration {
    fn from(configuration: &Configuration) -> Self {
        let part = |members: &[QuorumMember]| {
            members
                .iter()
                .map(|m| wire::Member {
                    incarnation: m.incarnation.0,
                    id: m.id.as_str().to_owned(),
                    kind: match m.kind {
                        MemberKind::Data => 1,
                        MemberKind::Witness => 2,
                    },
                    address: m.address.clone(),
                })
                .collect()
        };
        Self {
            voters: part(&configuration.voters),
            outgoing: part(&configuration.outgoing),
            learners: part(&configuration.learners),
        }
    }
}

impl TryFrom<wire::Configuration> for Configuration {
    type Error = Bad;

    fn try_from(configuration: wire::Configuration) -> Result<Self, Bad> {
        let part = |members: Vec<wire::Member>| {
            members
                .into_iter()
                .map(|m| {
                    let kind = match m.kind {
                        1 => MemberKind::Data,
                        2 => MemberKind::Witness,
                        other => return Err(Bad::damaged(format!("member kind {other} is not known"))),
                    };
                    let incarnation = Incarnation(m.incarnation);
                    Ok(QuorumMember { incarnation, id: member_id(&m.id)?, kind, address: m.address })
                })
                .collect::<Result<Vec<_>, Bad>>()
        };
        Ok(Self {
            voters: part(configuration.voters)?,
            outgoing: part(configuration.outgoing)?,
            learners: part(configuration.learners)?,
        })
    }
}

impl From<&SnapshotMeta> for wire::SnapshotMeta {
    fn from(meta: &SnapshotMeta) -> Self {
        let run = |run: &TermRun| wire::TermRun { term: run.term.0, first: run.first.0 };
        Self {
            position: meta.position.into(),
            configuration: (&meta.configuration).into(),
            configuration_at: meta.configuration_at.into(),
            terms: meta.terms.0.iter().map(run).collect(),
            digest: meta.digest.0.to_vec(),
        }
    }
}

impl TryFrom<wire::SnapshotMeta> for SnapshotMeta {
    type Error = Bad;

    fn try_from(meta: wire::SnapshotMeta) -> Result<Self, Bad> {
        let run = |run: &wire::TermRun| TermRun { term: Term(run.term), first: ControlPlaneLogIndex(run.first) };
        Ok(Self {
            position: meta.position.into(),
            configuration: meta.configuration.try_into()?,
            configuration_at: meta.configuration_at.into(),
            terms: TermRuns(meta.terms.iter().map(run).collect()),
            digest: StateDigest(array(&meta.digest, "the state digest")?),
        })
    }
}
