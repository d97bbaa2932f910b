//! Decisions about members; how they go is in a file of its own.

mod removal;

use crate::access::Origin;
use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::command::{Admission, Joining, MembershipCommand};
use crate::edit::Edit;
use crate::id::TokenHash;
use crate::level::supports;
use crate::member::{Addresses, Features, Join, Member, MemberLife, Service, Voting};
use crate::refusal::{MemberRefusal, Refusal, RequestRefusal};
use crate::verdict::Effect;
use cp_seam::Incarnation;
use std::collections::BTreeSet;

impl Catalog {
    pub(crate) fn decide_membership(&self, origin: Option<&Origin>, command: &MembershipCommand) -> Decision {
        match command {
            MembershipCommand::Admit(admission) => self.admit(admission),
            MembershipCommand::Joined(joining) => self.joined(joining),
            MembershipCommand::SetVoting { member } => self.set_voting(member),
            MembershipCommand::Demote { member, reachable } => self.demote(member, reachable),
            MembershipCommand::Drain { member } => self.set_service(member, Service::Draining),
            MembershipCommand::Undrain { member } => self.set_service(member, Service::Active),
            MembershipCommand::Remove { member, reachable } => self.remove(member, reachable),
            MembershipCommand::ForceRemove { member, reason, reachable } => {
                self.force_remove(origin, member, reason, reachable)
            }
            MembershipCommand::Replace { member, token_hash, reachable } => self.replace(member, token_hash, reachable),
            MembershipCommand::SetAddresses { member, addresses } => self.change(member, |member| {
                expect_joined(member)?;
                member.addresses = addresses.clone();
                Ok(())
            }),
            MembershipCommand::SetLocality { member, locality } => self.change(member, |member| {
                member.locality = locality.clone();
                Ok(())
            }),
            MembershipCommand::SetFeatures { member, features } => self.change(member, |member| {
                expect_joined(member)?;
                supports(&member.id, features, self.feature_level())?;
                member.features = features.clone();
                Ok(())
            }),
            MembershipCommand::RaiseFeatureLevel { to } => self.raise_feature_level(*to),
            MembershipCommand::Grant { client, privileges } => self.grant(origin, client, *privileges),
        }
    }

    /// The member of this name in this life.
    pub(crate) fn living(&self, life: &MemberLife) -> Result<&Member, Refusal> {
        let member = self
            .member(&life.id)
            .ok_or_else(|| Refusal::Member(MemberRefusal::NotAMember { member: life.id.clone() }))?;
        if member.incarnation == life.incarnation {
            return Ok(member);
        }
        Err(Refusal::Member(MemberRefusal::OtherIncarnation { member: life.id.clone(), current: member.incarnation }))
    }

    /// Changes one member's record; a record that is as wanted already stays.
    fn change(&self, life: &MemberLife, edit: impl FnOnce(&mut Member) -> Result<(), Refusal>) -> Decision {
        let was = self.living(life)?;
        let mut member = was.clone();
        edit(&mut member)?;
        let effect = Effect::MemberChanged { member: member.id.clone(), incarnation: member.incarnation };
        let edits = if member == *was { Vec::new() } else { vec![Edit::PutMember(Box::new(member))] };
        Ok((effect, edits))
    }

    fn admit(&self, admission: &Admission) -> Decision {
        let Admission { member: id, kind, token_hash, locality, standby } = admission;
        if let Some(member) = self.member(id) {
            if member.kind != *kind {
                return Err(Refusal::Member(MemberRefusal::KindMismatch { member: id.clone(), admitted: member.kind }));
            }
            not_expelled(member)?;
            if member.join != Join::Fenced {
                return Ok((Effect::AlreadyMember { member: id.clone(), incarnation: member.incarnation }, Vec::new()));
            }
        }
        let incarnation = Incarnation(self.meta.next_incarnation);
        if incarnation.0 == u64::MAX {
            return Err(Refusal::Request(RequestRefusal::Exhausted));
        }
        let member = Member {
            id: id.clone(),
            incarnation,
            kind: *kind,
            voting: if *standby { Voting::Standby } else { Voting::CatchingUp },
            service: Service::Active,
            join: Join::Awaited(*token_hash),
            addresses: Addresses::default(),
            locality: locality.clone(),
            features: Features::default(),
        };
        Ok((Effect::Admitted { member: id.clone(), incarnation }, vec![Edit::Admit(Box::new(member))]))
    }

    fn joined(&self, joining: &Joining) -> Decision {
        if let Some(cluster) = self.cluster().filter(|cluster| *cluster != joining.cluster) {
            return Err(Refusal::Member(MemberRefusal::WrongCluster { cluster }));
        }
        let was = self.living(&joining.member)?;
        // Told below feature level 2 as a spent token.
        if was.join == Join::Joined && self.feature_level() >= 2 {
            if was.kind != joining.kind {
                let (member, admitted) = (was.id.clone(), was.kind);
                return Err(Refusal::Member(MemberRefusal::KindMismatch { member, admitted }));
            }
            let effect = Effect::AlreadyMember { member: was.id.clone(), incarnation: was.incarnation };
            return Ok((effect, Vec::new()));
        }
        self.change(&joining.member, |member| {
            not_expelled(member)?;
            match member.join {
                Join::Joined | Join::Fenced | Join::Expelled => {
                    return Err(Refusal::Member(MemberRefusal::TokenSpent { member: member.id.clone() }));
                }
                Join::Awaited(hash) if hash != joining.token_hash => {
                    return Err(Refusal::Member(MemberRefusal::WrongToken { member: member.id.clone() }));
                }
                Join::Awaited(_) if member.kind != joining.kind => {
                    return Err(Refusal::Member(MemberRefusal::KindMismatch {
                        member: member.id.clone(),
                        admitted: member.kind,
                    }));
                }
                Join::Awaited(_) => supports(&member.id, &joining.features, self.feature_level())?,
            }
            member.join = Join::Joined;
            member.addresses = joining.addresses.clone();
            member.features = joining.features.clone();
            Ok(())
        })
    }

    fn set_service(&self, life: &MemberLife, service: Service) -> Decision {
        self.change(life, |member| {
            if service == Service::Active {
                not_expelled(member)?;
            }
            member.service = service;
            Ok(())
        })
    }

    fn set_voting(&self, life: &MemberLife) -> Decision {
        self.change(life, |member| {
            expect_joined(member)?;
            if member.service == Service::Draining {
                return Err(Refusal::Member(MemberRefusal::Draining { member: member.id.clone() }));
            }
            member.voting = Voting::Voting;
            Ok(())
        })
    }

    fn demote(&self, life: &MemberLife, reachable: &BTreeSet<Incarnation>) -> Decision {
        self.change(life, |member| {
            self.can_spare(member, reachable)?;
            member.voting = Voting::Standby;
            Ok(())
        })
    }

    fn replace(&self, life: &MemberLife, hash: &TokenHash, reachable: &BTreeSet<Incarnation>) -> Decision {
        let was = self.living(life)?;
        not_expelled(was)?;
        self.can_spare(was, reachable)?;
        let incarnation = Incarnation(self.meta.next_incarnation);
        if incarnation.0 == u64::MAX {
            return Err(Refusal::Request(RequestRefusal::Exhausted));
        }
        let voting = if was.voting == Voting::Standby { Voting::Standby } else { Voting::CatchingUp };
        let (join, features) = (Join::Awaited(*hash), Features::default());
        let next = Member { incarnation, voting, join, features, ..was.clone() };
        Ok((Effect::Admitted { member: life.id.clone(), incarnation }, vec![Edit::Admit(Box::new(next))]))
    }
}

fn expect_joined(member: &Member) -> Result<(), Refusal> {
    match member.join {
        Join::Joined => Ok(()),
        Join::Awaited(_) | Join::Fenced => Err(Refusal::Member(MemberRefusal::NotJoined { member: member.id.clone() })),
        Join::Expelled => not_expelled(member),
    }
}

fn not_expelled(member: &Member) -> Result<(), Refusal> {
    if member.join != Join::Expelled {
        return Ok(());
    }
    let (member, incarnation) = (member.id.clone(), member.incarnation);
    Err(Refusal::Member(MemberRefusal::Expelled { member, incarnation }))
}
