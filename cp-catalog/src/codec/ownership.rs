//! Messages of the commands on collections, authorities and ranges.

use super::fencing::{EvidenceMessage, FenceMessage, RangeKeyMessage};
use super::restore::{ForceMessage, RestoreMessage};
use super::value::{
    BoundsMessage, PlacementMessage, collection_name, copies, copy_names, group_name, key, member_id, mode,
    mode_number, need, phase, phase_number,
};
use super::{DecodeError, VERSION};
use crate::command::{CopyEdit, Evidence, NewRange, OwnershipCommand, Transfer};
use crate::id::{Fence, RangeId, RangeKey};
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ownership {
    #[prost(oneof = "OwnershipBody", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20")]
    body: Option<OwnershipBody>,
}

#[derive(Clone, PartialEq, Oneof)]
enum OwnershipBody {
    #[prost(message, tag = "1")]
    CreateCollection(CollectionMessage),
    #[prost(message, tag = "2")]
    AssignAuthority(AuthorityMessage),
    #[prost(message, tag = "3")]
    ReassignAuthority(AuthorityMessage),
    #[prost(message, tag = "4")]
    CreateRange(NewRangeMessage),
    #[prost(message, tag = "5")]
    Handoff(TransferMessage),
    #[prost(message, tag = "6")]
    Promote(TransferMessage),
    #[prost(message, tag = "7")]
    BeginMove(OfRange),
    #[prost(message, tag = "8")]
    AdvanceMove(OfRange),
    #[prost(message, tag = "9")]
    CompleteMove(OfRange),
    #[prost(message, tag = "10")]
    ResolveMove(OfRange),
    #[prost(message, tag = "11")]
    AbortMove(OfRange),
    #[prost(message, tag = "12")]
    Split(OfRange),
    #[prost(message, tag = "13")]
    Merge(OfRange),
    #[prost(message, tag = "14")]
    AddReplica(OfRange),
    #[prost(message, tag = "15")]
    RemoveReplica(OfRange),
    #[prost(message, tag = "16")]
    AddArchive(OfRange),
    #[prost(message, tag = "17")]
    RemoveArchive(OfRange),
    #[prost(message, tag = "18")]
    SetPlacement(OfRange),
    #[prost(message, tag = "19")]
    Force(ForceMessage),
    #[prost(message, tag = "20")]
    RestoreArchive(RestoreMessage),
}

#[derive(Clone, PartialEq, Message)]
struct CollectionMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(uint32, tag = "3")]
    mode: u32,
}

#[derive(Clone, PartialEq, Message)]
struct AuthorityMessage {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(string, tag = "2")]
    holder: String,
    #[prost(message, optional, tag = "3")]
    fence: Option<FenceMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct NewRangeMessage {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeKeyMessage>,
    #[prost(uint32, tag = "2")]
    mode: u32,
    #[prost(message, optional, tag = "3")]
    bounds: Option<BoundsMessage>,
    #[prost(string, tag = "4")]
    owner: String,
    #[prost(string, repeated, tag = "5")]
    replicas: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    archives: Vec<String>,
    #[prost(message, optional, tag = "7")]
    placement: Option<PlacementMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct TransferMessage {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeKeyMessage>,
    #[prost(string, tag = "2")]
    from: String,
    #[prost(message, optional, tag = "3")]
    fence: Option<FenceMessage>,
    #[prost(string, tag = "4")]
    to: String,
    #[prost(message, optional, tag = "5")]
    evidence: Option<EvidenceMessage>,
}

/// One message for all that change a range; each uses its own fields.
#[derive(Clone, PartialEq, Message)]
struct OfRange {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeKeyMessage>,
    #[prost(message, optional, tag = "2")]
    fence: Option<FenceMessage>,
    #[prost(string, tag = "3")]
    member: String,
    #[prost(uint32, tag = "4")]
    phase: u32,
    #[prost(message, optional, tag = "5")]
    evidence: Option<EvidenceMessage>,
    #[prost(bytes = "vec", tag = "6")]
    at: Vec<u8>,
    /// The new range of a split, the retired one of a merge.
    #[prost(uint64, optional, tag = "7")]
    other: Option<u64>,
    #[prost(message, optional, tag = "8")]
    other_fence: Option<FenceMessage>,
    #[prost(message, optional, tag = "9")]
    placement: Option<PlacementMessage>,
}

impl OfRange {
    fn new(range: &RangeKey, fence: Fence) -> Self {
        Self { range: Some(range.into()), fence: Some(fence.into()), ..Self::default() }
    }

    fn shown(range: &RangeKey, fence: Fence, evidence: Option<&Evidence>) -> Self {
        let evidence = evidence.map(|evidence| EvidenceMessage::about(range, evidence));
        Self { evidence, ..Self::new(range, fence) }
    }

    fn evidence(&mut self, range: &RangeKey) -> Result<Option<Evidence>, DecodeError> {
        self.evidence.take().map(|evidence| evidence.read(range)).transpose()
    }

    fn key(&mut self) -> Result<RangeKey, DecodeError> {
        need(self.range.take(), "range")?.try_into()
    }

    fn fence(&self) -> Result<Fence, DecodeError> {
        need(self.fence, "fence").map(Fence::from)
    }

    fn other_id(&self) -> Result<RangeId, DecodeError> {
        need(self.other, "other range").map(RangeId)
    }

    fn edit(mut self) -> Result<CopyEdit, DecodeError> {
        Ok(CopyEdit { range: self.key()?, fence: self.fence()?, member: member_id(&self.member, "member")? })
    }
}

impl From<&CopyEdit> for OfRange {
    fn from(edit: &CopyEdit) -> Self {
        Self { member: edit.member.as_str().to_owned(), ..Self::new(&edit.range, edit.fence) }
    }
}

impl From<&Transfer> for TransferMessage {
    fn from(Transfer { range, from, fence, to, evidence }: &Transfer) -> Self {
        Self {
            range: Some(range.into()),
            from: from.as_str().to_owned(),
            fence: Some((*fence).into()),
            to: to.as_str().to_owned(),
            evidence: evidence.as_ref().map(|evidence| EvidenceMessage::about(range, evidence)),
        }
    }
}

impl TryFrom<TransferMessage> for Transfer {
    type Error = DecodeError;

    fn try_from(message: TransferMessage) -> Result<Self, DecodeError> {
        let range = need(message.range, "range")?.try_into()?;
        let evidence = message.evidence.map(|evidence| evidence.read(&range)).transpose()?;
        Ok(Self {
            range,
            from: member_id(&message.from, "owner")?,
            fence: need(message.fence, "fence")?.into(),
            to: member_id(&message.to, "candidate")?,
            evidence,
        })
    }
}

impl From<&NewRange> for NewRangeMessage {
    fn from(new: &NewRange) -> Self {
        Self {
            range: Some((&new.range).into()),
            mode: mode_number(new.mode),
            bounds: Some((&new.bounds).into()),
            owner: new.owner.as_str().to_owned(),
            replicas: copy_names(&new.replicas),
            archives: copy_names(&new.archives),
            placement: Some((&new.placement).into()),
        }
    }
}

impl TryFrom<NewRangeMessage> for NewRange {
    type Error = DecodeError;

    fn try_from(message: NewRangeMessage) -> Result<Self, DecodeError> {
        Ok(Self {
            range: need(message.range, "range")?.try_into()?,
            mode: mode(message.mode)?,
            bounds: need(message.bounds, "bounds")?.try_into()?,
            owner: member_id(&message.owner, "owner")?,
            replicas: copies(&message.replicas, "replicas")?,
            archives: copies(&message.archives, "archives")?,
            placement: need(message.placement, "placement")?.try_into()?,
        })
    }
}

impl From<&OwnershipCommand> for Ownership {
    fn from(command: &OwnershipCommand) -> Self {
        use OwnershipBody as Body;
        use OwnershipCommand as Command;
        let name = |member: &cp_seam::MemberId| member.as_str().to_owned();
        let body = match command {
            Command::CreateCollection { collection, group, mode } => Body::CreateCollection(CollectionMessage {
                name: collection.as_str().to_owned(),
                group: group.as_str().to_owned(),
                mode: mode_number(*mode),
            }),
            Command::AssignAuthority { group, holder } => Body::AssignAuthority(AuthorityMessage {
                group: group.as_str().to_owned(),
                holder: name(holder),
                fence: None,
            }),
            Command::ReassignAuthority { group, fence, holder } => Body::ReassignAuthority(AuthorityMessage {
                group: group.as_str().to_owned(),
                holder: name(holder),
                fence: Some((*fence).into()),
            }),
            Command::CreateRange(new) => Body::CreateRange(new.into()),
            Command::Handoff(transfer) => Body::Handoff(transfer.into()),
            Command::Promote(transfer) => Body::Promote(transfer.into()),
            Command::BeginMove { range, fence, target } => {
                Body::BeginMove(OfRange { member: name(target), ..OfRange::new(range, *fence) })
            }
            Command::AdvanceMove { range, fence, phase } => {
                Body::AdvanceMove(OfRange { phase: phase_number(*phase), ..OfRange::new(range, *fence) })
            }
            Command::CompleteMove { range, fence, evidence } => {
                Body::CompleteMove(OfRange::shown(range, *fence, evidence.as_ref()))
            }
            Command::ResolveMove { range, fence, evidence } => {
                Body::ResolveMove(OfRange::shown(range, *fence, evidence.as_ref()))
            }
            Command::AbortMove { range, fence } => Body::AbortMove(OfRange::new(range, *fence)),
            Command::Split { range, fence, at, new_id } => Body::Split(OfRange {
                at: at.as_bytes().to_vec(),
                other: Some(new_id.0),
                ..OfRange::new(range, *fence)
            }),
            Command::Merge { survivor, fence, retired, retired_fence } => Body::Merge(OfRange {
                other: Some(retired.0),
                other_fence: Some((*retired_fence).into()),
                ..OfRange::new(survivor, *fence)
            }),
            Command::AddReplica(edit) => Body::AddReplica(edit.into()),
            Command::RemoveReplica(edit) => Body::RemoveReplica(edit.into()),
            Command::AddArchive(edit) => Body::AddArchive(edit.into()),
            Command::RemoveArchive(edit) => Body::RemoveArchive(edit.into()),
            Command::Force { range, to, reason } => Body::Force(ForceMessage::new(range, to, reason)),
            Command::RestoreArchive(restore) => Body::RestoreArchive(restore.into()),
            Command::SetPlacement { range, fence, placement } => {
                Body::SetPlacement(OfRange { placement: Some(placement.into()), ..OfRange::new(range, *fence) })
            }
        };
        Self { body: Some(body) }
    }
}

impl TryFrom<Ownership> for OwnershipCommand {
    type Error = DecodeError;

    fn try_from(message: Ownership) -> Result<Self, DecodeError> {
        use OwnershipBody as Body;
        Ok(match message.body.ok_or(DecodeError::Newer { found: VERSION })? {
            Body::CreateCollection(new) => Self::CreateCollection {
                collection: collection_name(&new.name)?,
                group: group_name(&new.group)?,
                mode: mode(new.mode)?,
            },
            Body::AssignAuthority(of) => {
                Self::AssignAuthority { group: group_name(&of.group)?, holder: member_id(&of.holder, "holder")? }
            }
            Body::ReassignAuthority(of) => Self::ReassignAuthority {
                group: group_name(&of.group)?,
                fence: need(of.fence, "fence")?.into(),
                holder: member_id(&of.holder, "holder")?,
            },
            Body::CreateRange(new) => Self::CreateRange(new.try_into()?),
            Body::Handoff(transfer) => Self::Handoff(transfer.try_into()?),
            Body::Promote(transfer) => Self::Promote(transfer.try_into()?),
            Body::BeginMove(of) => {
                let CopyEdit { range, fence, member: target } = of.edit()?;
                Self::BeginMove { range, fence, target }
            }
            Body::AdvanceMove(mut of) => {
                Self::AdvanceMove { range: of.key()?, fence: of.fence()?, phase: phase(of.phase)? }
            }
            Body::CompleteMove(mut of) => {
                let (range, fence) = (of.key()?, of.fence()?);
                Self::CompleteMove { evidence: of.evidence(&range)?, range, fence }
            }
            Body::ResolveMove(mut of) => {
                let (range, fence) = (of.key()?, of.fence()?);
                Self::ResolveMove { evidence: of.evidence(&range)?, range, fence }
            }
            Body::AbortMove(mut of) => Self::AbortMove { range: of.key()?, fence: of.fence()? },
            Body::Split(mut of) => {
                let at = key(&of.at, "split key")?;
                Self::Split { range: of.key()?, fence: of.fence()?, at, new_id: of.other_id()? }
            }
            Body::Merge(mut of) => Self::Merge {
                survivor: of.key()?,
                fence: of.fence()?,
                retired: of.other_id()?,
                retired_fence: need(of.other_fence, "fence of the retired range")?.into(),
            },
            Body::AddReplica(of) => Self::AddReplica(of.edit()?),
            Body::RemoveReplica(of) => Self::RemoveReplica(of.edit()?),
            Body::AddArchive(of) => Self::AddArchive(of.edit()?),
            Body::RemoveArchive(of) => Self::RemoveArchive(of.edit()?),
            Body::Force(force) => {
                let (range, to, reason) = force.decode_force()?;
                Self::Force { range, to, reason }
            }
            Body::RestoreArchive(restore) => Self::RestoreArchive(restore.try_into()?),
            Body::SetPlacement(mut of) => {
                let placement = need(of.placement.take(), "placement")?.try_into()?;
                Self::SetPlacement { range: of.key()?, fence: of.fence()?, placement }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::membership::Membership;
    use crate::command::MembershipCommand;

    #[test]
    fn an_empty_oneof_is_a_newer_command() {
        let newer = DecodeError::Newer { found: VERSION };
        assert_eq!(MembershipCommand::try_from(Membership::default()), Err(newer.clone()));
        assert_eq!(OwnershipCommand::try_from(Ownership::default()), Err(newer));
    }
}
