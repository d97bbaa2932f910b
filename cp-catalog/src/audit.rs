//! What was asked for with authority, and what came of it: a chain of records in the
//! replicated state.
//!
//! Each record's hash is over the hash before it, so that none can be left out or
//! changed without all after it. The oldest are let go by count alone; the hash at
//! which what is kept begins stays.

use crate::access::Origin;
use crate::catalog::Catalog;
use crate::codec::audit::encode_record;
use crate::command::{Command, MembershipCommand, OwnershipCommand};
use crate::cow::CowMap;
use crate::refusal::{AccessRefusal, Refusal};
use crate::verdict::Verdict;
use cp_seam::ControlPlaneLogIndex;
use std::fmt;
use std::sync::Arc;

/// How many records are kept. Part of the replicated behaviour: a change needs a feature level.
pub const AUDIT_COUNT_MAX: usize = 16_384;
/// The longest reason, in bytes.
pub const REASON_LEN_MAX_BYTES: usize = 1024;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A member was to be admitted.
    Admit,
    /// A vote was to be taken.
    Demote,
    /// A member was to take no new ranges.
    Drain,
    /// A drain was to end.
    Undrain,
    /// A member was to be removed.
    Remove,
    /// A member's life was to end and another to be admitted.
    Replace,
    /// The feature level was to rise.
    RaiseFeatureLevel,
    /// A client was to be granted privileges, or to lose them.
    Grant,
    /// An authority was to be named.
    AssignAuthority,
    /// An authority was to move.
    ReassignAuthority,
    /// Write authority was to move past evidence and fence.
    Force,
    /// Write authority was to go to an archive.
    RestoreArchive,
    /// A member was to be removed, whatever it owned.
    ForceRemove,
}

impl Action {
    /// All, each at the place that its number says, from 1. Numbers never change.
    pub(crate) const ALL: [Self; 13] = [
        Self::Admit,
        Self::Demote,
        Self::Drain,
        Self::Undrain,
        Self::Remove,
        Self::Replace,
        Self::RaiseFeatureLevel,
        Self::Grant,
        Self::AssignAuthority,
        Self::ReassignAuthority,
        Self::Force,
        Self::RestoreArchive,
        Self::ForceRemove,
    ];

    /// Its name, as commands are named.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Demote => "demote",
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::RaiseFeatureLevel => "raise-feature-level",
            Self::Grant => "grant",
            Self::AssignAuthority => "assign-authority",
            Self::ReassignAuthority => "reassign-authority",
            Self::Force => "force",
            Self::RestoreArchive => "restore-archive",
            Self::ForceRemove => "force-remove",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It took effect.
    Allowed,
    /// Whoever asked may not, or did not say why.
    Denied,
    /// It could not be done.
    Failed,
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        })
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its place in the chain, from 1.
    pub sequence: u64,
    /// Where in the log it was asked.
    pub index: ControlPlaneLogIndex,
    /// Who asked and when; `None` if nobody said.
    pub origin: Option<Origin>,
    /// What for.
    pub action: Action,
    /// Of what.
    pub target: String,
    /// Why, by the word of whoever asked; empty where no reason is asked for.
    pub reason: String,
    /// What came of it.
    pub disposition: Disposition,
    /// The number of the refusal; 0 if it took effect.
    pub refusal: u32,
}

impl AuditRecord {
    /// The hash of the chain with this record behind `previous`.
    pub fn chained(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(previous).update(&encode_record(self));
        *hasher.finalize().as_bytes()
    }
}

/// Where the chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditChain {
    /// How many records there have been.
    pub count: u64,
    /// The hash over all of them.
    pub head: [u8; 32],
    /// How many of them are not kept any more.
    pub forgotten: u64,
    /// The hash over those.
    pub floor: [u8; 32],
}

impl AuditChain {
    /// Whether `records`, the oldest first, lead from the floor to the head: none was changed
    /// or left out.
    pub fn is_made_of<'a>(&self, records: impl IntoIterator<Item = &'a AuditRecord>) -> bool {
        let mut reached = (self.forgotten, self.floor);
        for record in records {
            if reached.0.checked_add(1) != Some(record.sequence) {
                return false;
            }
            reached = (record.sequence, record.chained(&reached.1));
        }
        reached == (self.count, self.head)
    }
}

/// The chain and what is kept of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit {
    pub(crate) chain: AuditChain,
    pub(crate) kept: CowMap<u64, Arc<AuditRecord>>,
}

impl Audit {
    /// Whether the records kept lead from the floor to the head.
    pub(crate) fn is_whole(&self) -> bool {
        let records = self.kept.iter().map(|(_, record)| &**record);
        self.kept.iter().all(|(sequence, record)| *sequence == record.sequence) && self.chain.is_made_of(records)
    }
}

impl Command {
    /// Whether every attempt at it is put on record, a denied one too.
    pub fn is_audited(&self) -> bool {
        audited(self).is_some()
    }
}

impl Catalog {
    /// Where the audit's chain stands.
    pub fn audit_chain(&self) -> AuditChain {
        self.audit.chain
    }

    /// The records kept above `sequence`, the oldest first.
    pub fn audit_above(&self, sequence: u64) -> impl Iterator<Item = &AuditRecord> {
        self.audit.kept.iter_above(Some(&sequence)).map(|(_, record)| &**record)
    }

    /// Puts an attempt on record, if it is one that is.
    pub(crate) fn note_attempt(
        &mut self,
        index: ControlPlaneLogIndex,
        origin: Option<&Origin>,
        command: &Command,
        verdict: &Verdict,
    ) {
        let Some((action, target, reason)) = audited(command) else { return };
        let Some(sequence) = self.audit.chain.count.checked_add(1) else { return };
        let (disposition, refusal) = match verdict {
            Verdict::Done(_) => (Disposition::Allowed, 0),
            Verdict::Refused(refusal) => (disposition(refusal), crate::codec::refusal_code(refusal)),
        };
        let (origin, reason) = (origin.cloned(), reason.to_owned());
        self.put_audit(AuditRecord { sequence, index, origin, action, target, reason, disposition, refusal });
    }
}

fn disposition(refusal: &Refusal) -> Disposition {
    match refusal {
        Refusal::Access(AccessRefusal::MissingPrivilege { .. })
        | Refusal::Access(AccessRefusal::NoOperator)
        | Refusal::Access(AccessRefusal::BlankReason) => Disposition::Denied,
        _ => Disposition::Failed,
    }
}

/// What is put on record of a command: what for, of what, and why. What members and
/// planners do by themselves, under fences, is not.
fn audited(command: &Command) -> Option<(Action, String, &str)> {
    use {MembershipCommand as M, OwnershipCommand as O};
    let plain = |action, target: &dyn fmt::Display| Some((action, target.to_string(), ""));
    match command {
        Command::Membership(command) => match command {
            M::Admit(admission) => plain(Action::Admit, &admission.member),
            M::Demote { member, .. } => plain(Action::Demote, member),
            M::Drain { member } => plain(Action::Drain, member),
            M::Undrain { member } => plain(Action::Undrain, member),
            M::Remove { member, .. } => plain(Action::Remove, member),
            M::ForceRemove { member, reason, .. } => Some((Action::ForceRemove, member.to_string(), reason)),
            M::Replace { member, .. } => plain(Action::Replace, member),
            M::RaiseFeatureLevel { to } => plain(Action::RaiseFeatureLevel, to),
            M::Grant { client, privileges } => plain(Action::Grant, &format_args!("{client} {privileges}")),
            M::Joined(_)
            | M::SetVoting { .. }
            | M::SetAddresses { .. }
            | M::SetLocality { .. }
            | M::SetFeatures { .. } => None,
        },
        Command::Ownership(command) => match command {
            O::AssignAuthority { group, holder } => {
                plain(Action::AssignAuthority, &format_args!("{group} to {holder}"))
            }
            O::ReassignAuthority { group, holder, .. } => {
                plain(Action::ReassignAuthority, &format_args!("{group} to {holder}"))
            }
            O::Force { range, to, reason } => Some((Action::Force, format!("{range} to {to}"), reason)),
            O::RestoreArchive(restore) => {
                let (restored, watermark) = (restore.proof.restored, restore.proof.watermark);
                let target = format!("{} to {}, at {restored} of {watermark}", restore.range, restore.archive);
                Some((Action::RestoreArchive, target, restore.forced.as_deref().unwrap_or_default()))
            }
            _ => None,
        },
    }
}
