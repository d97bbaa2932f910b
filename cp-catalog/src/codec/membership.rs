//! Messages of the commands on members.

use super::audit::{GrantRecord, reason};
use super::value::{
    AddressesMessage, FeaturesMessage, LifeMessage, LocalityMessage, fixed, incarnation_numbers, incarnations, kind,
    kind_number, member_id, need,
};
use super::{DecodeError, VERSION};
use crate::command::{Admission, Joining, MembershipCommand};
use crate::id::TokenHash;
use cp_seam::ClusterId;
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Membership {
    #[prost(oneof = "MembershipBody", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 21, 22, 23")]
    body: Option<MembershipBody>,
}

#[derive(Clone, PartialEq, Oneof)]
enum MembershipBody {
    #[prost(message, tag = "1")]
    Admit(AdmitMessage),
    #[prost(message, tag = "2")]
    Joined(JoinedMessage),
    #[prost(message, tag = "3")]
    SetVoting(OfMember),
    #[prost(message, tag = "4")]
    Demote(OfMember),
    #[prost(message, tag = "5")]
    Drain(OfMember),
    #[prost(message, tag = "6")]
    Undrain(OfMember),
    #[prost(message, tag = "7")]
    Remove(OfMember),
    #[prost(message, tag = "8")]
    SetAddresses(OfMember),
    #[prost(message, tag = "9")]
    SetLocality(OfMember),
    #[prost(message, tag = "10")]
    SetFeatures(OfMember),
    #[prost(uint32, tag = "20")]
    RaiseFeatureLevel(u32),
    #[prost(message, tag = "21")]
    Replace(OfMember),
    #[prost(message, tag = "22")]
    Grant(GrantRecord),
    #[prost(message, tag = "23")]
    ForceRemove(ForceRemoveMessage),
}

#[derive(Clone, PartialEq, Message)]
struct AdmitMessage {
    #[prost(string, tag = "1")]
    member: String,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(bytes = "vec", tag = "3")]
    token_hash: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    locality: Option<LocalityMessage>,
    #[prost(bool, tag = "5")]
    standby: bool,
}

#[derive(Clone, PartialEq, Message)]
struct JoinedMessage {
    #[prost(bytes = "vec", tag = "1")]
    cluster: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    member: Option<LifeMessage>,
    #[prost(bytes = "vec", tag = "3")]
    token_hash: Vec<u8>,
    #[prost(uint32, tag = "4")]
    kind: u32,
    #[prost(message, optional, tag = "5")]
    addresses: Option<AddressesMessage>,
    #[prost(message, optional, tag = "6")]
    features: Option<FeaturesMessage>,
}

/// One message for all that change a member; each uses its own fields.
#[derive(Clone, PartialEq, Message)]
struct OfMember {
    #[prost(message, optional, tag = "1")]
    member: Option<LifeMessage>,
    #[prost(uint64, repeated, tag = "2")]
    reachable: Vec<u64>,
    #[prost(message, optional, tag = "3")]
    addresses: Option<AddressesMessage>,
    #[prost(message, optional, tag = "4")]
    locality: Option<LocalityMessage>,
    #[prost(message, optional, tag = "5")]
    features: Option<FeaturesMessage>,
    #[prost(bytes = "vec", tag = "6")]
    token_hash: Vec<u8>,
}

/// A message of its own: releases without feature level 2 skip the reason in any other.
#[derive(Clone, PartialEq, Message)]
struct ForceRemoveMessage {
    #[prost(message, optional, tag = "1")]
    member: Option<LifeMessage>,
    #[prost(uint64, repeated, tag = "2")]
    reachable: Vec<u64>,
    #[prost(string, tag = "7")]
    reason: String,
}

impl From<&MembershipCommand> for Membership {
    fn from(command: &MembershipCommand) -> Self {
        use MembershipBody as Body;
        use MembershipCommand as Command;
        let of = |member| OfMember { member: Some(LifeMessage::from(member)), ..OfMember::default() };
        let body = match command {
            Command::Admit(Admission { member, kind, token_hash, locality, standby }) => Body::Admit(AdmitMessage {
                member: member.as_str().to_owned(),
                kind: kind_number(*kind),
                token_hash: token_hash.0.to_vec(),
                locality: Some(locality.into()),
                standby: *standby,
            }),
            Command::Joined(Joining { cluster, member, token_hash, kind, addresses, features }) => {
                Body::Joined(JoinedMessage {
                    cluster: cluster.0.to_vec(),
                    member: Some(member.into()),
                    token_hash: token_hash.0.to_vec(),
                    kind: kind_number(*kind),
                    addresses: Some(addresses.into()),
                    features: Some(features.into()),
                })
            }
            Command::SetVoting { member } => Body::SetVoting(of(member)),
            Command::Demote { member, reachable } => {
                Body::Demote(OfMember { reachable: incarnation_numbers(reachable), ..of(member) })
            }
            Command::Drain { member } => Body::Drain(of(member)),
            Command::Undrain { member } => Body::Undrain(of(member)),
            Command::Remove { member, reachable } => {
                Body::Remove(OfMember { reachable: incarnation_numbers(reachable), ..of(member) })
            }
            Command::Replace { member, token_hash, reachable } => Body::Replace(OfMember {
                reachable: incarnation_numbers(reachable),
                token_hash: token_hash.0.to_vec(),
                ..of(member)
            }),
            Command::ForceRemove { member, reason, reachable } => Body::ForceRemove(ForceRemoveMessage {
                member: Some(member.into()),
                reachable: incarnation_numbers(reachable),
                reason: reason.clone(),
            }),
            Command::SetAddresses { member, addresses } => {
                Body::SetAddresses(OfMember { addresses: Some(addresses.into()), ..of(member) })
            }
            Command::SetLocality { member, locality } => {
                Body::SetLocality(OfMember { locality: Some(locality.into()), ..of(member) })
            }
            Command::RaiseFeatureLevel { to } => Body::RaiseFeatureLevel(*to),
            Command::Grant { client, privileges } => Body::Grant(GrantRecord::new(client, *privileges)),
            Command::SetFeatures { member, features } => {
                Body::SetFeatures(OfMember { features: Some(features.into()), ..of(member) })
            }
        };
        Self { body: Some(body) }
    }
}

impl TryFrom<Membership> for MembershipCommand {
    type Error = DecodeError;

    fn try_from(message: Membership) -> Result<Self, DecodeError> {
        use MembershipBody as Body;
        let life = |message: Option<LifeMessage>| need(message, "member")?.try_into();
        Ok(match message.body.ok_or(DecodeError::Newer { found: VERSION })? {
            Body::Admit(admit) => Self::Admit(Admission {
                member: member_id(&admit.member, "member")?,
                kind: kind(admit.kind)?,
                token_hash: TokenHash(fixed(&admit.token_hash, "token hash")?),
                locality: need(admit.locality, "locality")?.try_into()?,
                standby: admit.standby,
            }),
            Body::Joined(joined) => Self::Joined(Joining {
                cluster: ClusterId(fixed(&joined.cluster, "cluster id")?),
                member: life(joined.member)?,
                token_hash: TokenHash(fixed(&joined.token_hash, "token hash")?),
                kind: kind(joined.kind)?,
                addresses: need(joined.addresses, "addresses")?.try_into()?,
                features: need(joined.features, "features")?.try_into()?,
            }),
            Body::SetVoting(of) => Self::SetVoting { member: life(of.member)? },
            Body::Demote(of) => Self::Demote { member: life(of.member)?, reachable: incarnations(&of.reachable)? },
            Body::Drain(of) => Self::Drain { member: life(of.member)? },
            Body::Undrain(of) => Self::Undrain { member: life(of.member)? },
            Body::Remove(of) => Self::Remove { member: life(of.member)?, reachable: incarnations(&of.reachable)? },
            Body::ForceRemove(of) => Self::ForceRemove {
                member: life(of.member)?,
                reason: reason(of.reason)?,
                reachable: incarnations(&of.reachable)?,
            },
            Body::Replace(of) => Self::Replace {
                token_hash: TokenHash(fixed(&of.token_hash, "token hash")?),
                reachable: incarnations(&of.reachable)?,
                member: life(of.member)?,
            },
            Body::SetAddresses(of) => {
                Self::SetAddresses { member: life(of.member)?, addresses: need(of.addresses, "addresses")?.try_into()? }
            }
            Body::SetLocality(of) => {
                Self::SetLocality { member: life(of.member)?, locality: need(of.locality, "locality")?.try_into()? }
            }
            Body::RaiseFeatureLevel(to) => Self::RaiseFeatureLevel { to },
            Body::Grant(grant) => {
                let (client, privileges) = grant.decode_grant()?;
                Self::Grant { client, privileges }
            }
            Body::SetFeatures(of) => {
                Self::SetFeatures { member: life(of.member)?, features: need(of.features, "features")?.try_into()? }
            }
        })
    }
}
