//! One committed entry: decode it, see whether it is a retry, decide, commit.

use crate::access::{Origin, Privilege};
use crate::catalog::Catalog;
use crate::codec::{self, DecodeError};
use crate::command::Command;
use crate::edit::Edit;
use crate::refusal::{Refusal, RequestRefusal};
use crate::request::{AuthorityClaim, Request};
use crate::session::Admission;
use crate::verdict::{Effect, Verdict};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex};

/// What is decided about a command: what to answer and what to change.
pub(crate) type Decision = Result<(Effect, Vec<Edit>), Refusal>;

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The command; `None` if it could not be decoded.
    pub request: Option<Request>,
    /// What it did.
    pub verdict: Verdict,
    /// Whether it was a retry, which changed nothing.
    pub repeated: bool,
}

impl Catalog {
    /// Applies the committed `entry` at `index`.
    ///
    /// Never fails and never panics, whatever the bytes: an entry that makes no
    /// sense is refused, alike on every member. Depends on nothing but the
    /// state, the index and the entry (CP-R3). A request takes effect at most
    /// once (CP-P5).
    pub fn apply(&mut self, index: ControlPlaneLogIndex, entry: &ControlPlaneEntry) -> Applied {
        #[cfg(planted_bugs)]
        self.roll_a_die();
        self.forget_clients(index);
        let request = match self.decode(entry) {
            Ok(request) => request,
            Err(error) => {
                let verdict = Verdict::Refused(Refusal::from(&error));
                return Applied { request: None, verdict, repeated: false };
            }
        };
        if request.command.level() > self.feature_level() {
            // As a release that does not know it would: nothing is remembered of it.
            let verdict = Verdict::Refused(Refusal::Request(RequestRefusal::UnknownCommand));
            return Applied { request: None, verdict, repeated: false };
        }
        let (verdict, repeated) = self.apply_request(index, &request);
        Applied { request: Some(request), verdict, repeated }
    }

    /// The request in `entry`. What is remembered of it is smaller with the state's own names, and
    /// costs less to forget.
    fn decode(&self, entry: &ControlPlaneEntry) -> Result<Request, DecodeError> {
        if let Some(request) = codec::read_request(entry, self) {
            return Ok(request);
        }
        let mut request = codec::decode_request_at(self.feature_level(), entry)?;
        if let Command::Ownership(command) = &mut request.command {
            self.share_names(command);
        }
        Ok(request)
    }

    /// What `command` would do now. Changes nothing, and knows nothing of retries.
    pub fn judge(&self, command: &Command) -> Verdict {
        self.decide(None, None, command).map(|(effect, _)| effect).into()
    }

    fn apply_request(&mut self, index: ControlPlaneLogIndex, request: &Request) -> (Verdict, bool) {
        // A member of an older release knows neither origins nor the audit.
        let speaks = self.feature_level() >= 2;
        let origin = request.origin.as_ref().filter(|_| speaks);
        let claim = request.claim.as_ref().filter(|_| speaks);
        let principal = origin.map(|origin| &origin.principal);
        if let Some(id) = &request.id {
            match self.sessions.admit(&self.meta, index, id, principal) {
                Admission::Fresh => {}
                Admission::Repeat(verdict) => return (verdict, true),
                Admission::Barred(refusal) => return (Verdict::Refused(refusal), false),
            }
        }
        let mut changed = true;
        let verdict = self.decide(origin, claim, &request.command).map(|(effect, edits)| {
            changed = !edits.is_empty();
            self.commit(edits);
            effect
        });
        let verdict = Verdict::from(verdict);
        // What was so already is no event: repeated, it would drive out what was. Only a forced
        // attempt is on record whatever came of it.
        if speaks && (changed || request.command.privilege() == Privilege::Force) {
            self.note_attempt(index, origin, &request.command, &verdict);
        }
        if let Some(id) = &request.id {
            self.sessions.record(&mut self.sum, index, id, principal, &verdict);
        }
        (verdict, false)
    }

    fn forget_clients(&mut self, index: ControlPlaneLogIndex) {
        if let Some(last_active) = self.sessions.forget(&mut self.sum, index) {
            self.edit_meta(|meta| meta.clients_since = meta.clients_since.max(last_active));
        }
    }

    /// As [`judge`](Self::judge), asked by `origin`.
    pub fn judge_of(&self, origin: &Origin, command: &Command) -> Verdict {
        self.decide(Some(origin), None, command).map(|(effect, _)| effect).into()
    }

    fn decide(&self, origin: Option<&Origin>, claim: Option<&AuthorityClaim>, command: &Command) -> Decision {
        // Verdicts are part of the state: members of older releases must come to the same.
        let told = |refusal| if self.feature_level() < 2 { codec::without_hints(refusal) } else { refusal };
        self.allow(origin, claim, command)
            .and_then(|()| match command {
                Command::Membership(command) => self.decide_membership(origin, command),
                Command::Ownership(command) => self.decide_ownership(origin, command),
            })
            .map_err(told)
    }

    /// Whether who asks may, and acts by an authority that has not moved.
    fn allow(&self, origin: Option<&Origin>, claim: Option<&AuthorityClaim>, command: &Command) -> Result<(), Refusal> {
        if command.privilege() == Privilege::Force {
            // The gate of forced changes has an order of its own, and is past authorities.
            return Ok(());
        }
        origin.map_or(Ok(()), |origin| self.may_ask(&origin.principal, command))?;
        claim.map_or(Ok(()), |claim| self.check_claim(claim, command))
    }
}

impl From<&DecodeError> for Refusal {
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::Newer { .. } => Refusal::Request(RequestRefusal::UnknownCommand),
            DecodeError::WrongKind => Refusal::Request(RequestRefusal::WrongKind),
            DecodeError::Malformed { .. } | DecodeError::Value { .. } | DecodeError::Member { .. } => {
                Refusal::Request(RequestRefusal::Undecodable)
            }
        }
    }
}
