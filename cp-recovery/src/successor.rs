//! The one step into a new generation, from a survivor or from a backup.

use crate::backup::Backup;
use crate::error::RecoverError;
use cp_catalog::{Addresses, BadRecovery, Catalog, Cause, Epoch, Recovery, Successor};
use cp_seam::{ClusterId, ControlPlaneLogIndex, LastVote, LogPosition, MemberId, Term};
use cp_store::{Directory, Founding, Identity, SnapshotMeta, Store, TermRuns};

/// What the operator asks for, and what the caller has to bring: this crate has
/// neither a clock nor chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The cluster, as the operator typed it.
    pub confirm: ClusterId,
    /// Who asks.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Eight random bytes, so that two recoveries made by mistake refuse each other.
    pub generation_id: [u8; 8],
    /// The highest generation number that ever served, as far as the operator knows. Two
    /// generations of one number would issue the same epochs (CP-S5).
    pub after_generation: u16,
    /// Whether to recover a member that is the only voter already.
    pub again: bool,
}

/// Where the step starts.
pub(crate) struct Source<'a> {
    pub(crate) cause: Cause,
    pub(crate) catalog: &'a Catalog,
    pub(crate) position: LogPosition,
    pub(crate) committed: ControlPlaneLogIndex,
    pub(crate) highest_term: Term,
    pub(crate) terms: TermRuns,
}

/// Where it ends: a directory's content.
pub(crate) struct Step {
    pub(crate) identity: Identity,
    pub(crate) founding: Founding,
    pub(crate) vote: LastVote,
    pub(crate) recovery: Recovery,
}

impl Step {
    pub(crate) fn take(
        source: Source<'_>,
        survivor: MemberId,
        addresses: Option<Addresses>,
        engine: String,
        request: &Request,
    ) -> Result<Self, RecoverError> {
        let Source { cause, catalog, position, committed, highest_term, mut terms } = source;
        if let Some(found) = catalog.cluster().filter(|found| *found != request.confirm) {
            return Err(RecoverError::NotConfirmed { found, typed: request.confirm });
        }
        let next = catalog.succeed(&Successor {
            cause,
            generation_id: request.generation_id,
            after_generation: request.after_generation,
            survivor: survivor.clone(),
            addresses,
            operator: request.operator.clone(),
            reason: request.reason.clone(),
            at_unix_ms: request.at_unix_ms,
            position,
            committed,
        })?;
        let recovery = next.recoveries().last().cloned().ok_or(BadRecovery::Vacant)?;
        // The recovery takes the next index, in a term that no lost member can have
        // reached: its number has the generation above as an epoch has.
        let term = Term(Epoch::first(next.generation().number).0).max(Term(highest_term.0.saturating_add(1)));
        let position = LogPosition::new(term, position.index.next());
        terms.push(position);
        let genesis = next.to_genesis()?;
        let meta = SnapshotMeta {
            position,
            configuration: genesis.quorum.into(),
            configuration_at: position,
            terms,
            digest: genesis.digest,
        };
        let identity = Identity {
            cluster: request.confirm,
            generation: next.generation(),
            member: survivor,
            incarnation: recovery.survivor.incarnation,
            engine,
        };
        let vote = LastVote { term, ..LastVote::default() };
        Ok(Self { identity, founding: Founding { meta, chunks: genesis.chunks }, vote, recovery })
    }
}

/// Who goes on from a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its name: a member of the backup's state, or a new one.
    pub member: MemberId,
    /// Where it will be reached.
    pub addresses: Addresses,
    /// The engine it will run.
    pub engine: String,
}

/// Makes the empty directory `dir` that of the only voter of a new generation,
/// with the state of `backup` (CP-R2). Epochs, members, terms and the record of
/// it are as after [`Survivor::recover`](crate::Survivor::recover).
///
/// Errors: it is not confirmed, not possible, or a node lives in `dir`.
pub fn restore(
    dir: &dyn Directory,
    backup: &Backup,
    restored: Restored,
    request: &Request,
) -> Result<(Identity, Recovery), RecoverError> {
    let catalog = backup.catalog()?;
    let meta = &backup.meta;
    let source = Source {
        cause: Cause::Restored,
        catalog: &catalog,
        position: meta.position,
        committed: meta.committed,
        highest_term: meta.position.term,
        terms: meta.terms.clone(),
    };
    let Restored { member, addresses, engine } = restored;
    let step = Step::take(source, member, Some(addresses), engine, request)?;
    Store::create_voted(dir, &step.identity, step.founding, step.vote)?;
    Ok((step.identity, step.recovery))
}
