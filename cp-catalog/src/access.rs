//! Who may ask for what: privileges of clients, part of the replicated state.
//!
//! TLS proves who asks; the leader writes it into the command as its [`Origin`]. A
//! cluster without grants is open: everybody may read and operate, and nobody may
//! force. The first grant closes it. Members may then change what concerns themselves.
//!
//! Grants travel as membership changes (CP-S4). They are checked where a request comes
//! in, and again where it is applied, so that one revoked meanwhile counts for nothing.

use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::command::{Command, MembershipCommand, OwnershipCommand};
use crate::edit::Edit;
use crate::member::Join;
use crate::refusal::{AccessRefusal, Refusal};
use crate::verdict::Effect;
use cp_seam::{BadMemberId, MemberId};
use std::fmt;
use std::str::FromStr;

/// The most clients that have a grant.
pub const GRANT_COUNT_MAX: usize = 4096;

/// The name of a client: the first label of its certificate, and so under the rules of a
/// member's id. A name that no certificate can bear could lock everybody out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientName(MemberId);

impl ClientName {
    /// Takes a name, or says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, BadMemberId> {
        MemberId::new(name).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for ClientName {
    type Err = BadMemberId;

    fn from_str(name: &str) -> Result<Self, BadMemberId> {
        Self::new(name)
    }
}

/// Who asks, as a certificate proved it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A member of the cluster.
    Member(MemberId),
    /// An operator or an application.
    Client(ClientName),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(member) => write!(f, "member {member}"),
            Self::Client(client) => write!(f, "client {client}"),
        }
    }
}

/// Who asked, and when, by the word of the node that took the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub principal: Principal,
    /// When, in milliseconds since 1970. The state has no clock of its own.
    pub at_unix_ms: u64,
}

/// What a client may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// To read the state; part of every other.
    Read,
    /// To change it under its rules.
    Operate,
    /// To move write authority past evidence and fences, and to remove members that own ranges.
    Force,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Force => "force",
        })
    }
}

/// What a client was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Privileges {
    /// To read.
    pub read: bool,
    /// To operate.
    pub operate: bool,
    /// To force.
    pub force: bool,
}

impl Privileges {
    /// Whether `privilege` is among them.
    pub const fn has(self, privilege: Privilege) -> bool {
        match privilege {
            Privilege::Read => !self.is_empty(),
            Privilege::Operate => self.operate,
            Privilege::Force => self.force,
        }
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        !(self.read || self.operate || self.force)
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [(self.read, "read"), (self.operate, "operate"), (self.force, "force")];
        let names: Vec<_> = named.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join("+"))
    }
}

impl Command {
    /// The privilege that it takes.
    pub fn privilege(&self) -> Privilege {
        match self {
            Self::Membership(MembershipCommand::ForceRemove { .. })
            | Self::Ownership(OwnershipCommand::Force { .. }) => Privilege::Force,
            Self::Ownership(OwnershipCommand::RestoreArchive(restore)) if restore.forced.is_some() => Privilege::Force,
            Self::Ownership(_) | Self::Membership(_) => Privilege::Operate,
        }
    }

    /// Whether it is about `member` itself and no other's business.
    fn concerns_only(&self, member: &MemberId) -> bool {
        match self {
            Self::Membership(
                MembershipCommand::SetAddresses { member: of, .. }
                | MembershipCommand::SetFeatures { member: of, .. }
                | MembershipCommand::Replace { member: of, .. },
            ) => of.id == *member,
            Self::Membership(MembershipCommand::Joined(joining)) => joining.member.id == *member,
            Self::Membership(_) | Self::Ownership(_) => false,
        }
    }
}

impl Catalog {
    /// What every client with a grant was granted, in ascending order of names.
    pub fn grants(&self) -> impl Iterator<Item = (&ClientName, Privileges)> {
        self.grants.iter().map(|(client, privileges)| (client, *privileges))
    }

    /// Whether `principal` has `privilege`. Members read, whatever is granted.
    pub fn may(&self, principal: &Principal, privilege: Privilege) -> Result<(), Refusal> {
        let open = self.grants.len() == 0 && privilege != Privilege::Force;
        let granted = match principal {
            Principal::Member(_) => open || privilege == Privilege::Read,
            Principal::Client(client) => self.grants.get(client).map_or(open, |granted| granted.has(privilege)),
        };
        if granted {
            Ok(())
        } else {
            Err(Refusal::Access(AccessRefusal::MissingPrivilege { principal: principal.clone(), privilege }))
        }
    }

    /// Whether `principal` may ask for `command`.
    pub fn may_ask(&self, principal: &Principal, command: &Command) -> Result<(), Refusal> {
        match principal {
            // Whose life is over is let in by an operator alone.
            Principal::Member(member) if command.concerns_only(member) && !self.is_over(member) => Ok(()),
            _ => self.may(principal, command.privilege()),
        }
    }

    fn is_over(&self, member: &MemberId) -> bool {
        self.member(member).is_some_and(|member| matches!(member.join, Join::Fenced | Join::Expelled))
    }

    pub(crate) fn grant(&self, origin: Option<&Origin>, client: &ClientName, privileges: Privileges) -> Decision {
        let effect = Effect::Granted { client: client.clone(), privileges };
        if self.grants.get(client).copied().unwrap_or_default() == privileges {
            return Ok((effect, Vec::new()));
        }
        if self.grants.len() == 0 {
            // It closes the cluster, for its author too.
            let own = origin.is_none_or(|origin| origin.principal == Principal::Client(client.clone()));
            if !own || !privileges.operate {
                return Err(Refusal::Access(AccessRefusal::FirstGrant));
            }
        } else if !privileges.operate && !self.grants().any(|(other, has)| other != client && has.operate) {
            return Err(Refusal::Access(AccessRefusal::LastOperator { client: client.clone() }));
        }
        if self.grants.get(client).is_none() && self.grants.len() >= GRANT_COUNT_MAX && !privileges.is_empty() {
            return Err(Refusal::Access(AccessRefusal::TooManyGrants { count: GRANT_COUNT_MAX as u64 }));
        }
        Ok((effect, vec![Edit::Grant(client.clone(), privileges)]))
    }
}
