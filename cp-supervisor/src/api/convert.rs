//! Between messages and the types they stand for.

use super::messages::{
    GenerationMessage, Position, RangeName, ReleasedMessage, RenewalMessage, SnapshotHeader, Welcome,
    WireConfiguration, WireMember,
};
use bytes::Bytes;
use cp_catalog::{ClientName, CollectionName, Epoch, MemberLife, Principal, RangeId, RangeKey};
use cp_lease::{Coverage, Renewal};
use cp_net::tls::{PeerInfo, PeerName};
use cp_recovery::BackupMeta;
use cp_seam::{
    ClusterId, ControlPlaneEntry, ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload, Generation,
    Incarnation, LogPosition, MemberId, MemberKind, QuorumMember, StateDigest, Term,
};
use cp_store::{Configuration, Founding, Identity, SnapshotMeta, TermRun, TermRuns};
use std::time::Duration;

/// The number of an entry's kind.
pub(crate) fn kind_number(kind: ControlPlaneEntryKind) -> u32 {
    match kind {
        ControlPlaneEntryKind::MembershipChange => 1,
        ControlPlaneEntryKind::OwnershipTransition => 2,
    }
}

/// The entry of a kind and a body.
pub(crate) fn entry(kind: u32, body: Bytes) -> Result<ControlPlaneEntry, String> {
    let kind = match kind {
        1 => ControlPlaneEntryKind::MembershipChange,
        2 => ControlPlaneEntryKind::OwnershipTransition,
        other => return Err(format!("entry kind {other} is unknown; use 1 or 2, or upgrade this node")),
    };
    Ok(kind.entry(ControlPlanePayload::new(body).map_err(|error| error.to_string())?))
}

pub(crate) fn position(position: LogPosition) -> Position {
    Position { term: position.term.0, index: position.index.0 }
}

pub(crate) fn log_position(position: Position) -> LogPosition {
    LogPosition::new(Term(position.term), ControlPlaneLogIndex(position.index))
}

fn members(half: &[QuorumMember]) -> Vec<WireMember> {
    half.iter()
        .map(|m| WireMember {
            incarnation: m.incarnation.0,
            id: m.id.to_string(),
            witness: m.kind == MemberKind::Witness,
            address: m.address.clone(),
        })
        .collect()
}

fn quorum_members(half: Vec<WireMember>) -> Result<Vec<QuorumMember>, String> {
    half.into_iter()
        .map(|m| {
            Ok(QuorumMember {
                incarnation: Incarnation(m.incarnation),
                id: MemberId::new(&m.id).map_err(|bad| bad.to_string())?,
                kind: if m.witness { MemberKind::Witness } else { MemberKind::Data },
                address: m.address,
            })
        })
        .collect()
}

/// The first message of a join: `identity` is the host's, `incarnation` the joiner's.
pub(crate) fn welcome(identity: &Identity, engine: &str, incarnation: Incarnation, founding: &Founding) -> Welcome {
    let meta = &founding.meta;
    Welcome {
        state: snapshot_header(identity, engine, meta),
        incarnation: incarnation.0,
        configuration: WireConfiguration {
            voters: members(&meta.configuration.voters),
            outgoing: members(&meta.configuration.outgoing),
            learners: members(&meta.configuration.learners),
        },
        configuration_at: position(meta.configuration_at),
        chunks: u64::try_from(founding.chunks.len()).unwrap_or(u64::MAX),
    }
}

/// What the joiner `member` makes its directory from.
pub(crate) fn founding(member: MemberId, welcome: Welcome, chunks: Vec<Bytes>) -> Result<(Identity, Founding), String> {
    let state = backup_meta(welcome.state)?;
    let BackupMeta { cluster, generation, engine, .. } = state;
    let identity = Identity { cluster, generation, member, incarnation: Incarnation(welcome.incarnation), engine };
    let meta = SnapshotMeta {
        position: state.position,
        configuration: Configuration {
            voters: quorum_members(welcome.configuration.voters)?,
            outgoing: quorum_members(welcome.configuration.outgoing)?,
            learners: quorum_members(welcome.configuration.learners)?,
        },
        configuration_at: log_position(welcome.configuration_at),
        terms: state.terms,
        digest: state.digest,
    };
    Ok((identity, Founding { meta, chunks }))
}

/// What the state that `meta` is of is; `identity` is the host's.
pub(crate) fn snapshot_header(identity: &Identity, engine: &str, meta: &SnapshotMeta) -> SnapshotHeader {
    SnapshotHeader {
        cluster: identity.cluster.0.to_vec(),
        generation: wire_generation(identity.generation),
        member: identity.member.to_string(),
        engine: engine.to_owned(),
        position: position(meta.position),
        terms: wire_terms(&meta.terms),
        digest: meta.digest.0.to_vec(),
    }
}

/// What a backup of that state says of itself. A node captures what is committed only.
pub(crate) fn backup_meta(header: SnapshotHeader) -> Result<BackupMeta, String> {
    let position = log_position(header.position);
    Ok(BackupMeta {
        cluster: ClusterId(fixed(&header.cluster, "cluster id")?),
        generation: generation(&header.generation)?,
        member: MemberId::new(&header.member).map_err(|bad| bad.to_string())?,
        engine: header.engine,
        position,
        committed: position.index,
        terms: term_runs(header.terms),
        digest: StateDigest(fixed(&header.digest, "digest")?),
    })
}

pub(crate) fn wire_generation(generation: Generation) -> GenerationMessage {
    GenerationMessage { number: generation.number.into(), id: generation.id.to_vec() }
}

pub(crate) fn generation(message: &GenerationMessage) -> Result<Generation, String> {
    let number = u16::try_from(message.number).map_err(|_| "the generation is out of range".to_owned())?;
    Ok(Generation { number, id: fixed(&message.id, "generation id")? })
}

fn wire_terms(terms: &TermRuns) -> Vec<Position> {
    terms.0.iter().map(|run| Position { term: run.term.0, index: run.first.0 }).collect()
}

fn term_runs(terms: Vec<Position>) -> TermRuns {
    let run = |at: Position| TermRun { term: Term(at.term), first: ControlPlaneLogIndex(at.index) };
    TermRuns(terms.into_iter().map(run).collect())
}

/// As many nanoseconds as fit.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn range_name(range: RangeKey) -> RangeName {
    RangeName { collection: range.collection.to_string(), id: range.id.0 }
}

pub(crate) fn range_key(name: &RangeName) -> Result<RangeKey, String> {
    let collection = CollectionName::new(&name.collection).map_err(|bad| bad.to_string())?;
    Ok(RangeKey::new(collection, RangeId(name.id)))
}

pub(crate) fn renewal_message(renewal: Renewal) -> RenewalMessage {
    let (in_effect_only, withheld, released) = match renewal.coverage {
        Coverage::Owned { withheld } => (false, withheld, Vec::new()),
        Coverage::InEffect { released } => (true, Vec::new(), released),
    };
    let released =
        released.into_iter().map(|(range, epoch)| ReleasedMessage { range: range_name(range), epoch: epoch.0 });
    RenewalMessage {
        term: renewal.term.0,
        as_of: renewal.as_of.0,
        length_ns: nanos(renewal.length),
        in_effect_only,
        withheld: withheld.into_iter().map(range_name).collect(),
        released: released.collect(),
        more_in_ns: renewal.more_in.map(nanos),
    }
}

/// The renewal that `owner` was given.
pub(crate) fn renewal(owner: MemberLife, message: RenewalMessage) -> Result<Renewal, String> {
    // Whoever sent it: what is looked up in it has to be in order.
    let coverage = if message.in_effect_only {
        let pair = |released: &ReleasedMessage| Ok((range_key(&released.range)?, Epoch(released.epoch)));
        let mut released = message.released.iter().map(pair).collect::<Result<Vec<_>, String>>()?;
        released.sort_unstable();
        Coverage::InEffect { released }
    } else {
        let mut withheld = message.withheld.iter().map(range_key).collect::<Result<Vec<_>, _>>()?;
        withheld.sort_unstable();
        Coverage::Owned { withheld }
    };
    Ok(Renewal {
        term: Term(message.term),
        owner,
        as_of: ControlPlaneLogIndex(message.as_of),
        length: Duration::from_nanos(message.length_ns),
        coverage,
        more_in: message.more_in_ns.map(Duration::from_nanos),
    })
}

fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], String> {
    <[u8; N]>::try_from(bytes).map_err(|_| format!("the {what} has {} bytes, not {N}", bytes.len()))
}

/// The name that grants and the audit have for whom a certificate is for.
pub(crate) fn principal(name: &PeerName) -> Result<Principal, tonic::Status> {
    match name {
        PeerName::Member { member, .. } => Ok(Principal::Member(member.clone())),
        PeerName::Client { name, .. } => ClientName::new(name).map(Principal::Client).map_err(|bad| {
            tonic::Status::unauthenticated(format!("the certificate's name cannot be granted anything: {bad}"))
        }),
    }
}

/// Whom TLS has proved to be at the other end of `request`.
pub(crate) fn peer<T>(request: &tonic::Request<T>) -> Result<PeerName, tonic::Status> {
    let proved = request.extensions().get::<PeerInfo>().map(|peer| peer.name.clone());
    proved.ok_or_else(|| tonic::Status::unauthenticated("the connection proves no name; use mutual TLS"))
}
