//! One committed entry: decode it, see whether it is a retry, decide, commit.

use crate::catalog::Catalog;
use crate::codec::DecodeError;
use crate::command::Command;
use crate::edit::Edit;
use crate::refusal::Refusal;
use crate::request::Request;
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
        let request = match Request::from_entry(entry) {
            Ok(request) => request,
            Err(error) => {
                let verdict = Verdict::Refused(Refusal::from(&error));
                return Applied { request: None, verdict, repeated: false };
            }
        };
        let (verdict, repeated) = self.apply_request(index, &request);
        Applied { request: Some(request), verdict, repeated }
    }

    /// What `command` would do now. Changes nothing, and knows nothing of retries.
    pub fn judge(&self, command: &Command) -> Verdict {
        self.decide(command).map(|(effect, _)| effect).into()
    }

    fn apply_request(&mut self, index: ControlPlaneLogIndex, request: &Request) -> (Verdict, bool) {
        if let Some(id) = &request.id {
            match self.sessions.admit(&self.meta, index, id) {
                Admission::Fresh => {}
                Admission::Repeat(verdict) => return (verdict, true),
                Admission::Barred(refusal) => return (Verdict::Refused(refusal), false),
            }
        }
        let verdict = self.decide(&request.command).map(|(effect, edits)| {
            self.commit(edits);
            effect
        });
        let verdict = Verdict::from(verdict);
        if let Some(id) = &request.id {
            self.sessions.record(&mut self.sum, index, id, &verdict);
        }
        (verdict, false)
    }

    fn forget_clients(&mut self, index: ControlPlaneLogIndex) {
        if let Some(last_active) = self.sessions.forget(&mut self.sum, index) {
            self.edit_meta(|meta| meta.clients_since = meta.clients_since.max(last_active));
        }
    }

    fn decide(&self, command: &Command) -> Decision {
        match command {
            Command::Membership(command) => self.decide_membership(command),
            Command::Ownership(command) => self.decide_ownership(command),
        }
    }
}

impl From<&DecodeError> for Refusal {
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::Newer { .. } => Self::UnknownCommand,
            DecodeError::WrongKind => Self::WrongKind,
            DecodeError::Malformed { .. } | DecodeError::Value { .. } | DecodeError::Member { .. } => Self::Undecodable,
        }
    }
}
