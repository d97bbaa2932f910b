//! Who decides on the placement of a group, and who acts by it.

use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::command::{Command, OwnershipCommand};
use crate::edit::Edit;
use crate::id::{CollectionName, Epoch, Fence, GroupName, Version};
use crate::range::Authority;
use crate::refusal::{GroupRefusal, Refusal, RequestRefusal};
use crate::request::AuthorityClaim;
use crate::verdict::Effect;
use cp_seam::MemberId;

impl Catalog {
    pub(super) fn assign_authority(&self, group: &GroupName, holder: &MemberId) -> Decision {
        if let Some(was) = self.authority(group) {
            let (holder, fence) = (was.holder.clone(), was.fence());
            return Err(Refusal::Group(GroupRefusal::AuthorityExists { group: group.clone(), holder, fence }));
        }
        let epoch = Epoch::first(self.meta.generation.number);
        self.authority_at(group, holder, Fence { epoch, version: Version::FIRST })
    }

    pub(super) fn reassign_authority(&self, group: &GroupName, fence: Fence, holder: &MemberId) -> Decision {
        let was = self
            .authority(group)
            .ok_or_else(|| Refusal::Group(GroupRefusal::UnknownAuthority { group: group.clone() }))?;
        if was.fence() != fence {
            let (holder, fence) = (was.holder.clone(), was.fence());
            return Err(Refusal::Group(GroupRefusal::StaleAuthority { group: group.clone(), holder, fence }));
        }
        let version = was.version.next().ok_or(Refusal::Request(RequestRefusal::Exhausted))?;
        self.authority_at(group, holder, Fence { epoch: self.epoch_after(was.epoch)?, version })
    }

    fn authority_at(&self, group: &GroupName, holder: &MemberId, fence: Fence) -> Decision {
        let holder = self.eligible(holder)?.id.clone();
        let effect = Effect::AuthorityHeld { group: group.clone(), holder: holder.clone(), fence };
        let Fence { epoch, version } = fence;
        Ok((effect, vec![Edit::PutAuthority(Authority { group: group.clone(), holder, epoch, version })]))
    }

    /// Whether the authority of `claim` is the present one, and that of what `command` is about.
    pub(crate) fn check_claim(&self, claim: &AuthorityClaim, command: &Command) -> Result<(), Refusal> {
        let group = self.group_of(command).unwrap_or(&claim.group);
        let unknown = || Refusal::Group(GroupRefusal::UnknownAuthority { group: group.clone() });
        let authority = self.authority(group).ok_or_else(unknown)?;
        if *group == claim.group && authority.epoch == claim.epoch {
            return Ok(());
        }
        let (group, holder, fence) = (group.clone(), authority.holder.clone(), authority.fence());
        Err(Refusal::Group(GroupRefusal::StaleAuthority { group, holder, fence }))
    }

    /// The group that `command` is about; `None` if it is about none, or none that is known.
    fn group_of<'a>(&'a self, command: &'a Command) -> Option<&'a GroupName> {
        let Command::Ownership(command) = command else { return None };
        let of = |collection: &CollectionName| self.collection(collection).map(|spec| &spec.group);
        match command {
            OwnershipCommand::CreateCollection { group, .. }
            | OwnershipCommand::AssignAuthority { group, .. }
            | OwnershipCommand::ReassignAuthority { group, .. } => Some(group),
            about => of(&about.range()?.collection),
        }
    }
}
