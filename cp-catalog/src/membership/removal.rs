//! How members go: removed once they have nothing, or by force whatever they have.
//!
//! Either way the voters that remain keep a quorum.

use crate::access::Origin;
use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::edit::Edit;
use crate::member::{Addresses, Join, Member, MemberLife, Service, Voting};
use crate::range::Role;
use crate::refusal::{MemberRefusal, Refusal};
use crate::verdict::Effect;
use cp_seam::{Incarnation, MemberId, MemberKind, quorum_threshold};
use std::collections::BTreeSet;

impl Catalog {
    pub(super) fn remove(&self, life: &MemberLife, reachable: &BTreeSet<Incarnation>) -> Decision {
        let member = self.living(life)?;
        if member.service != Service::Draining {
            return Err(Refusal::Member(MemberRefusal::NotDraining { member: life.id.clone() }));
        }
        let held = self.holdings(&life.id);
        for (role, count) in [(Role::Owner, held.owned), (Role::Replica, held.replicas), (Role::Archive, held.archives)]
        {
            if let Some(refusal) = self.still(&life.id, role, count) {
                return Err(refusal);
            }
        }
        if let Some(authority) = self.authorities().find(|authority| authority.holder == life.id) {
            return Err(Refusal::Member(MemberRefusal::HoldsAuthority {
                member: life.id.clone(),
                group: authority.group.clone(),
                fence: Some(authority.fence()),
            }));
        }
        self.can_spare(member, reachable)?;
        let effect = Effect::Removed { member: life.id.clone(), incarnation: member.incarnation };
        Ok((effect, vec![Edit::DropMember(life.id.clone())]))
    }

    /// Refused in this order: privilege, reason, not a member, reachable, quorum. What it costs
    /// does not depend on how much the member has: that is released range by range, by the
    /// transitions that there are for it.
    pub(super) fn force_remove(
        &self,
        origin: Option<&Origin>,
        life: &MemberLife,
        reason: &str,
        reachable: &BTreeSet<Incarnation>,
    ) -> Decision {
        self.signed(origin, reason)?;
        let was = self.living(life)?;
        let (id, incarnation) = (was.id.clone(), was.incarnation);
        if was.join != Join::Expelled {
            if reachable.contains(&incarnation) {
                return Err(Refusal::Member(MemberRefusal::StillReachable { member: id }));
            }
            self.can_spare(was, reachable)?;
        }
        let held = self.holdings(&id);
        let has_authority = self.authorities().any(|authority| authority.holder == id);
        if held == Default::default() && !has_authority {
            return Ok((Effect::Removed { member: id.clone(), incarnation }, vec![Edit::DropMember(id)]));
        }
        let expelled = Member {
            voting: Voting::Standby,
            service: Service::Draining,
            join: Join::Expelled,
            addresses: Addresses::default(),
            ..was.clone()
        };
        let (owned, held) = (held.owned, held.replicas.saturating_add(held.archives));
        let edits = if expelled == *was { Vec::new() } else { vec![Edit::PutMember(Box::new(expelled))] };
        Ok((Effect::Expelled { member: id, incarnation, owned, held }, edits))
    }

    fn still(&self, member: &MemberId, role: Role, count: u64) -> Option<Refusal> {
        if count == 0 {
            return None;
        }
        let (first, ..) = self.held_by(member).find(|(_, held, _)| *held == role)?;
        let member = member.clone();
        Some(match role {
            Role::Owner => Refusal::Member(MemberRefusal::StillOwns { member, count, first }),
            Role::Replica | Role::Archive => Refusal::Member(MemberRefusal::StillHolds { member, role, count, first }),
        })
    }

    /// Whether the quorum can do without the vote of `member`, if it has one.
    pub(super) fn can_spare(&self, member: &Member, reachable: &BTreeSet<Incarnation>) -> Result<(), Refusal> {
        if member.voting != Voting::Voting {
            return Ok(());
        }
        let rest: Vec<_> = self.quorum.voters.iter().filter(|m| m.incarnation != member.incarnation).collect();
        if !rest.iter().any(|voter| voter.kind == MemberKind::Data) {
            return Err(Refusal::Member(MemberRefusal::LastVoter { member: member.id.clone() }));
        }
        let reached = rest.iter().filter(|voter| reachable.contains(&voter.incarnation)).count();
        if reached < quorum_threshold(rest.len()) {
            let (voters, reachable) = (rest.len() as u64, reached as u64);
            return Err(Refusal::Member(MemberRefusal::WouldLoseQuorum {
                member: member.id.clone(),
                voters,
                reachable,
            }));
        }
        Ok(())
    }
}
