//! Exit codes: 0 done, 1 refused or failed, 2 usage, 3 invalid input, 4 no
//! connection, 5 the server failed or the outcome is unknown, 6 the cluster is unhealthy.

use cp_catalog::Refusal;
use cp_net::tls::CredentialsError;
use cp_recovery::backup::FileError;
use cp_recovery::{BackupError, PlanError, RecoverError};
use cp_supervisor::client::ClientError;
use cp_supervisor::cluster_file::BadClusterFile;
use cp_supervisor::daemon::found::FoundError;
use cp_supervisor::daemon::{BadEngine, BadSetting, ServeError};
use std::fmt;
use std::process::ExitCode;

/// What was asked makes no sense; the message says which part and what would do.
#[derive(Debug)]
pub(crate) struct Invalid(pub(crate) String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

/// The cluster answered, and is not well; the report has been printed.
#[derive(Debug)]
pub(crate) struct Unhealthy;

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cluster is unhealthy")
    }
}

impl std::error::Error for Unhealthy {}

/// Part of what was asked may or may not have taken effect; the report has been printed.
#[derive(Debug)]
pub(crate) struct Undecided;

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whether all of it took effect is unknown; run it again, it goes on from where things stand")
    }
}

impl std::error::Error for Undecided {}

/// An error about the input called `what`.
pub(crate) fn invalid(what: &str, why: impl fmt::Display) -> anyhow::Error {
    Invalid(format!("{what}: {why}")).into()
}

/// Says on stderr what went wrong, and gives the code for it.
pub(crate) fn code(done: anyhow::Result<()>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    let code = error.chain().find_map(number).unwrap_or(1);
    if !error.is::<Unhealthy>() {
        let label = super::output::Tone::Bad.paint("error:");
        anstream::eprintln!("{label} {}", cp_driver::chain(error.as_ref()));
    }
    ExitCode::from(code)
}

fn number(error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return Some(match error {
            ClientError::Unreachable { .. } | ClientError::Identity { .. } => 4,
            ClientError::NotServed { .. } => 6,
            ClientError::Refused { .. } => 3,
            _ => 5,
        });
    }
    if error.is::<Undecided>() {
        return Some(5);
    }
    let declined = matches!(
        error.downcast_ref(),
        Some(
            RecoverError::NotConfirmed { .. }
                | RecoverError::OnlyVoter { .. }
                | RecoverError::NotAMember { .. }
                | RecoverError::OtherState { .. }
                | RecoverError::Violations(_)
                | RecoverError::Successor(_)
        )
    );
    if declined || error.is::<PlanError>() || error.is::<FileError>() || error.is::<BackupError>() {
        return Some(3);
    }
    if let Some(FoundError::Client(error)) = error.downcast_ref() {
        return number(error);
    }
    let invalid = error.is::<Invalid>()
        || error.is::<BadClusterFile>()
        || error.is::<BadSetting>()
        || error.is::<BadEngine>()
        || error.is::<CredentialsError>()
        || matches!(
            error.downcast_ref(),
            Some(ServeError::Credentials(_) | ServeError::Engine(_) | ServeError::Member(_) | ServeError::Leases(_))
        )
        || matches!(
            error.downcast_ref(),
            Some(FoundError::Address { .. } | FoundError::Genesis(_) | FoundError::Engine(_))
        );
    if invalid {
        return Some(3);
    }
    error.is::<Unhealthy>().then_some(6).or_else(|| error.is::<Refusal>().then_some(1))
}
