//! Whether to talk to a node, judged alike at both ends before the first frame.

use crate::tls::PeerName;
use crate::wire::WireRefusal;
use cp_seam::{Incarnation, MemberId, PeerHello, PeerReceiver, PeerRefusal, QuorumMember};

/// Why a node is not talked to, by the end that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this node is not ready to talk to its peers; try again")]
    NotReady,
    #[error("its hello is malformed: {0}; both ends must run releases that know each other")]
    Malformed(String),
    #[error(
        "wrong name: it says that it is {says}, its certificate is for {proved}; give each member its own certificate"
    )]
    Name { says: String, proved: String },
    #[error("wrong name: this node is {is}, its own certificate is for {proved}; give it its own certificate")]
    OwnName { is: String, proved: String },
    #[error(
        "wrong life: {member} {dialled} was dialled, but {member} {is} runs here; that passes when it has replaced the other, else stop the one that is no member"
    )]
    OtherLife { member: MemberId, dialled: Incarnation, is: Incarnation },
    #[error("{0}")]
    Peer(#[from] PeerRefusal),
}

/// Which of the reasons a refusal has; the sentence says the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// A reason that this release does not know, or none of the others.
    Other,
    /// The node is starting or stopping.
    NotReady,
    /// Its hello could not be read.
    Malformed,
    /// It is not whom its certificate is for.
    Name,
    /// Another cluster.
    Cluster,
    /// Another generation of the cluster.
    Generation,
    /// Another engine.
    Engine,
    /// Another version of the engine's frames.
    WireVersion,
    /// Not a member, or another life of one.
    NotAMember,
    /// It lost what it had acknowledged.
    Amnesia,
    /// Its address is that of another life of the member.
    OtherLife,
}

impl RefusalKind {
    /// The numbers on the wire; never changed.
    const NUMBERS: [(u32, Self); 10] = [
        (1, Self::NotReady),
        (2, Self::Malformed),
        (3, Self::Name),
        (4, Self::Cluster),
        (5, Self::Generation),
        (6, Self::Engine),
        (7, Self::WireVersion),
        (8, Self::NotAMember),
        (9, Self::Amnesia),
        (10, Self::OtherLife),
    ];

    fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(_, kind)| *kind == self).map_or(0, |(number, _)| *number)
    }

    pub(crate) fn from_number(number: u32) -> Self {
        Self::NUMBERS.iter().find(|(known, _)| *known == number).map_or(Self::Other, |(_, kind)| *kind)
    }
}

impl Refusal {
    pub(crate) fn kind(&self) -> RefusalKind {
        match self {
            Self::NotReady => RefusalKind::NotReady,
            Self::Malformed(_) => RefusalKind::Malformed,
            Self::Name { .. } | Self::OwnName { .. } => RefusalKind::Name,
            Self::OtherLife { .. } => RefusalKind::OtherLife,
            Self::Peer(PeerRefusal::Cluster { .. }) => RefusalKind::Cluster,
            Self::Peer(PeerRefusal::Generation { .. }) => RefusalKind::Generation,
            Self::Peer(PeerRefusal::Engine { .. }) => RefusalKind::Engine,
            Self::Peer(PeerRefusal::WireVersion { .. }) => RefusalKind::WireVersion,
            Self::Peer(PeerRefusal::NotAMember { .. }) => RefusalKind::NotAMember,
            Self::Peer(PeerRefusal::Amnesia { .. }) => RefusalKind::Amnesia,
            Self::Peer(_) => RefusalKind::Other,
        }
    }

    pub(crate) fn to_wire(&self) -> WireRefusal {
        WireRefusal { kind: self.kind().number(), sentence: self.to_string() }
    }
}

/// A sentence from another node, fit for a log.
pub(crate) fn heard(sentence: &str) -> String {
    sentence.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// This node's account of itself, if its certificate bears it out.
pub(crate) fn own_hello(receiver: &dyn PeerReceiver, proved: &PeerName) -> Result<PeerHello, Refusal> {
    let hello = receiver.hello();
    let is = PeerName::member(hello.member.clone(), hello.cluster);
    if is == *proved {
        return Ok(hello);
    }
    Err(Refusal::OwnName { is: is.to_string(), proved: proved.to_string() })
}

/// Judges the node that says `theirs` and whose certificate is for `proved`:
/// first what can be told from the two hellos alone, then what only the node
/// behind this transport knows (CP-M3).
pub(crate) fn judge(
    ours: &PeerHello,
    theirs: &PeerHello,
    proved: &PeerName,
    receiver: &dyn PeerReceiver,
) -> Result<(), Refusal> {
    let member = || theirs.member.clone();
    if theirs.cluster != ours.cluster {
        return Err(PeerRefusal::Cluster { member: member(), theirs: theirs.cluster, ours: ours.cluster }.into());
    }
    let says = PeerName::member(member(), theirs.cluster);
    if says != *proved {
        return Err(Refusal::Name { says: says.to_string(), proved: proved.to_string() });
    }
    if theirs.generation != ours.generation {
        return Err(
            PeerRefusal::Generation { member: member(), theirs: theirs.generation, ours: ours.generation }.into()
        );
    }
    if theirs.engine != ours.engine {
        let (theirs, ours) = (theirs.engine.clone(), ours.engine.clone());
        return Err(PeerRefusal::Engine { member: member(), theirs, ours }.into());
    }
    if !theirs.wire_versions.overlap(ours.wire_versions) {
        let (theirs, ours) = (theirs.wire_versions, ours.wire_versions);
        return Err(PeerRefusal::WireVersion { member: member(), theirs, ours }.into());
    }
    Ok(receiver.admit(theirs)?)
}

/// Whether the node that dialled wants this life of it. It is told before it is
/// let in: a life that is dialled in vain must not take the place of the
/// connection that the same node has made to this one.
pub(crate) fn are_we_dialled(ours: &PeerHello, dialled: Option<Incarnation>) -> Result<(), Refusal> {
    match dialled {
        Some(dialled) if dialled != ours.incarnation => {
            Err(Refusal::OtherLife { member: ours.member.clone(), dialled, is: ours.incarnation })
        }
        _ => Ok(()),
    }
}

/// Whether the node that answered is the one that was dialled: one of an earlier
/// release does not ask.
pub(crate) fn is_whom_we_dialled(theirs: &PeerHello, dialled: &QuorumMember) -> Result<(), Refusal> {
    if theirs.incarnation == dialled.incarnation && theirs.member == dialled.id {
        return Ok(());
    }
    Err(not_a_member(theirs))
}

pub(crate) fn not_a_member(theirs: &PeerHello) -> Refusal {
    PeerRefusal::NotAMember { member: theirs.member.clone(), incarnation: theirs.incarnation }.into()
}
