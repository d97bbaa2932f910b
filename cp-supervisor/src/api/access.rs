//! Whether whoever calls may, before anything is proposed or read.

use super::convert;
use super::messages::{Refused, RefusedCode};
use super::server::{NodeApi, refused};
use cp_catalog::{Catalog, Origin, Principal, Privilege, Request};
use tokio::time::Instant;
use tonic::Status;

/// Who calls.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<Principal, Status> {
    convert::principal(&convert::peer(request)?)
}

/// Whether `principal` may do what takes `privilege`, by this state.
pub(super) fn allow(catalog: &Catalog, principal: &Principal, privilege: Privilege) -> Result<(), Refused> {
    catalog.may(principal, privilege).map_err(|refusal| refused(RefusedCode::Denied, refusal.to_string()))
}

impl NodeApi {
    /// Whether `principal` may do what takes `privilege`, as far as this node knows.
    pub(super) fn allows(&self, principal: &Principal, privilege: Privilege) -> Result<(), Refused> {
        self.supervisor.machine().read(|catalog| allow(catalog, principal, privilege))
    }

    /// `request` as one of the caller, whatever it says itself; or why it is not proposed. What
    /// is to be on record is proposed although it will be refused, but not too often.
    pub(super) fn vouched(&self, principal: Principal, request: Request) -> Result<Request, Refused> {
        let at_unix_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
        let origin = Origin { principal, at_unix_ms };
        let request = self.supervisor.with_evidence(request);
        let command = &request.command;
        let (may, level, judged) = self.supervisor.machine().read(|catalog| {
            let forced = command.privilege() == Privilege::Force;
            let judged = forced.then(|| catalog.judge_of(&origin, command));
            (catalog.may_ask(&origin.principal, command), catalog.feature_level(), judged)
        });
        let refusal = may.err().or_else(|| judged.and_then(|verdict| verdict.into_result().err()));
        if let Some(refusal) = refusal {
            if !command.is_audited() || level < 2 {
                return Err(refused(RefusedCode::Denied, refusal.to_string()));
            }
            if let Err(wait) = self.denials.admit(&origin.principal, Instant::now()) {
                let wait_s = wait.as_secs().saturating_add(1);
                let why = format!("{refusal}; it was refused too often, the next attempt counts in {wait_s} s");
                return Err(refused(RefusedCode::RateLimited, why));
            }
        }
        Ok(request.of(origin))
    }
}
