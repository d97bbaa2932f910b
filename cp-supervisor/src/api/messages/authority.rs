//! Who decides on the placement of which group.

use prost::Message;

/// All placement authorities.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AuthoritiesQuery {}

/// Placement authorities, in ascending order of groups.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Authorities {
    /// Each.
    #[prost(message, repeated, tag = "1")]
    pub authorities: Vec<AuthorityMessage>,
}

/// Who decides on the placement of one group.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthorityMessage {
    /// The group.
    #[prost(string, tag = "1")]
    pub group: String,
    /// The member that decides.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// The epoch of its authority.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// How often it was edited.
    #[prost(uint64, tag = "4")]
    pub version: u64,
}
