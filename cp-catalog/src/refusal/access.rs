//! What takes a privilege, or somebody who answers for it.

use crate::access::{ClientName, Principal, Privilege};

/// Whoever asks may not, or nobody stands behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessRefusal {
    /// Whoever asks was not granted what it takes.
    #[error("{principal} lacks the privilege to {privilege}; have an operator grant it: `grant set`")]
    MissingPrivilege {
        /// Who.
        principal: Principal,
        /// What it lacks.
        privilege: Privilege,
    },
    /// Nobody stands behind a forced change.
    #[error("a forced change names no operator; send it with a client's certificate")]
    NoOperator,
    /// A forced change says no reason.
    #[error("a forced change says no reason; give one")]
    BlankReason,
    /// The first grant closes the cluster, and would do so for its author too.
    #[error("the first grant closes the cluster: let yourself operate first, then grant others")]
    FirstGrant,
    /// Nobody could operate any more.
    #[error("without {client} nobody may operate; grant that to another client first")]
    LastOperator {
        /// The client.
        client: ClientName,
    },
    /// There are as many grants as there may be.
    #[error("there are {count} grants, which is the most; take one back first")]
    TooManyGrants {
        /// How many.
        count: u64,
    },
}
