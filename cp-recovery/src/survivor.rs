//! A directory that is left, with the state that it holds.

use crate::backup::BackupMeta;
use crate::error::{RecoverError, Violations, Whose};
use crate::successor::{Request, Source, Step};
use cp_catalog::{Catalog, Cause, Genesis, Join, Recovery};
use cp_seam::{LogPosition, SnapshotError};
use cp_store::{Configuration, Directory, Identity, Inspection, Offline, RecordBody, TermRuns};
use std::sync::Arc;

/// A directory that is left, held under its lock, and the state at its last record.
#[derive(Debug)]
pub struct Survivor {
    offline: Offline,
    pub(crate) catalog: Catalog,
    pub(crate) last: LogPosition,
    pub(crate) configuration: Configuration,
    terms: TermRuns,
}

impl Survivor {
    /// Takes the directory and rebuilds the state from its snapshot and its whole
    /// durable log. Changes nothing. Blocks.
    ///
    /// Entries above the committed index are included: they may have been
    /// committed, and acknowledged, by those that are lost (CP-S2).
    ///
    /// Errors: a running node holds it, there is none in it, it is damaged, or its
    /// files are not of one node.
    pub fn open(dir: Arc<dyn Directory>) -> Result<Self, RecoverError> {
        let offline = Offline::open(dir)?;
        let Inspection { identity, snapshot, log, .. } = offline.inspection();
        let position = snapshot.position;
        let damaged = |source| RecoverError::State { position, source };
        let mut catalog = Catalog::from_chunks(&offline.snapshot_chunks()?).map_err(damaged)?;
        if catalog.digest() != snapshot.digest {
            let (expected, found) = (snapshot.digest, catalog.digest());
            return Err(damaged(SnapshotError::Digest { expected, found }));
        }
        let of_state = Whose { cluster: catalog.cluster(), generation: catalog.generation() };
        let of_identity = Whose { cluster: Some(identity.cluster), generation: identity.generation };
        if of_state != of_identity {
            return Err(RecoverError::OtherState { identity: of_identity, state: of_state });
        }
        let (mut last, mut terms, mut configuration) = (position, snapshot.terms.clone(), &snapshot.configuration);
        for record in log.iter().filter(|record| record.position.index > position.index) {
            match &record.body {
                RecordBody::Blank => {}
                RecordBody::Entry(entry) => {
                    catalog.apply(record.position.index, entry);
                }
                RecordBody::Configuration(newer) => configuration = newer,
            }
            last = record.position;
            terms.push(last);
        }
        let configuration = configuration.clone();
        Ok(Self { offline, catalog, last, configuration, terms })
    }

    /// What the directory holds besides.
    pub fn inspection(&self) -> &Inspection {
        self.offline.inspection()
    }

    /// The state at its last record.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The state as it is, to be kept before anything is changed, or because nobody can
    /// go on as this member.
    pub fn to_backup(&self) -> Result<(BackupMeta, Genesis), RecoverError> {
        let Inspection { identity, committed, .. } = self.inspection();
        let meta = BackupMeta {
            cluster: identity.cluster,
            generation: identity.generation,
            member: identity.member.clone(),
            engine: identity.engine.clone(),
            position: self.last,
            committed: *committed,
            terms: self.terms.clone(),
            digest: self.catalog.digest(),
        };
        Ok((meta, self.catalog.to_genesis()?))
    }

    /// Makes the directory's member the only voter of a new generation (CP-R2).
    ///
    /// The state is that of [`open`](Self::open), with every epoch raised, every
    /// other member fenced and a record of this in it; see `Catalog::succeed`. Terms
    /// and positions rise too, so that nothing of a lost suffix is taken for what
    /// comes now (CP-P3). Atomic and durable: a crash at any point leaves the old
    /// directory or the new one.
    ///
    /// Errors: it is not confirmed, not needed, or not possible; nothing was changed.
    pub fn recover(self, request: &Request) -> Result<(Identity, Recovery), RecoverError> {
        let step = self.step(request)?;
        self.offline.replace(&step.identity, step.founding, step.vote)?;
        Ok((step.identity, step.recovery))
    }

    /// Whether [`recover`](Self::recover) would do what `request` asks. Changes nothing.
    pub fn check(&self, request: &Request) -> Result<(), RecoverError> {
        self.step(request).map(drop)
    }

    fn step(&self, request: &Request) -> Result<Step, RecoverError> {
        let Inspection { identity, vote, committed, .. } = self.inspection();
        let member = || identity.member.clone();
        let known = self.catalog.member(&identity.member);
        if known.is_none_or(|known| known.incarnation != identity.incarnation || known.join != Join::Joined) {
            return Err(RecoverError::NotAMember { member: member() });
        }
        if let Some(violations) = Violations::of(&self.catalog) {
            return Err(violations.into());
        }
        let alone = |configuration: &Configuration| {
            !configuration.is_joint() && configuration.voters.iter().all(|voter| voter.id == identity.member)
        };
        if !request.again && alone(&self.configuration) && alone(&self.catalog.quorum().clone().into()) {
            let generation = identity.generation.number;
            return Err(RecoverError::OnlyVoter { member: member(), generation });
        }
        let source = Source {
            cause: Cause::Forced,
            catalog: &self.catalog,
            position: self.last,
            committed: *committed,
            highest_term: vote.term.max(self.last.term),
            terms: self.terms.clone(),
        };
        Step::take(source, member(), None, identity.engine.clone(), request)
    }
}
