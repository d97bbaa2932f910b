//! Edits of a range's copies and placement, which move no write authority.

use super::movement::room;
use super::{edited, written};
use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::command::CopyEdit;
use crate::id::{Fence, RangeKey};
use crate::range::{Placement, Range, Role};
use crate::refusal::{HolderRefusal, Refusal, StandingRefusal};
use cp_seam::MemberId;
use std::sync::Arc;

impl Catalog {
    pub(super) fn add_replica(&self, edit: &CopyEdit) -> Decision {
        let (_, range) = self.fenced(&edit.range, edit.fence)?;
        let member = self.newcomer(&edit.range, range, &edit.member)?;
        let replicas = room(&edit.range, range, Role::Replica, &range.replicas)?.with(&member);
        written(&edit.range, Range { replicas, ..edited(range)? })
    }

    pub(super) fn remove_replica(&self, edit: &CopyEdit) -> Decision {
        let (_, range) = self.fenced(&edit.range, edit.fence)?;
        in_role(&edit.range, range, &edit.member, Role::Replica)?;
        if let Some(moving) = range.moving.as_ref().filter(|moving| moving.target == edit.member) {
            let (target, current) = (moving.target.clone(), range.standing());
            return Err(Refusal::Standing(StandingRefusal::MoveInFlight {
                range: edit.range.clone(),
                target,
                current,
            }));
        }
        let replicas = range.replicas.without(&edit.member);
        written(&edit.range, Range { replicas, ..edited(range)? })
    }

    pub(super) fn add_archive(&self, edit: &CopyEdit) -> Decision {
        let (_, range) = self.fenced(&edit.range, edit.fence)?;
        let member = self.newcomer(&edit.range, range, &edit.member)?;
        let archives = room(&edit.range, range, Role::Archive, &range.archives)?.with(&member);
        written(&edit.range, Range { archives, ..edited(range)? })
    }

    pub(super) fn remove_archive(&self, edit: &CopyEdit) -> Decision {
        let (_, range) = self.fenced(&edit.range, edit.fence)?;
        in_role(&edit.range, range, &edit.member, Role::Archive)?;
        let archives = range.archives.without(&edit.member);
        written(&edit.range, Range { archives, ..edited(range)? })
    }

    pub(super) fn set_placement(&self, key: &RangeKey, fence: Fence, placement: &Placement) -> Decision {
        let (_, range) = self.fenced(key, fence)?;
        written(key, Range { placement: Arc::new(placement.clone()), ..edited(range)? })
    }
}

fn in_role(key: &RangeKey, range: &Range, member: &MemberId, role: Role) -> Result<(), Refusal> {
    if range.role(member) == Some(role) {
        return Ok(());
    }
    Err(Refusal::Holder(HolderRefusal::NotInRole {
        range: key.clone(),
        member: member.clone(),
        role,
        current: range.standing(),
    }))
}
