//! The rules of members.

use super::{Allowed, Answer, By, MemberModel, Model, Presence, Vote};
use std::collections::BTreeSet;

/// A member that has come with its token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coming<'a> {
    pub(crate) right_cluster: bool,
    pub(crate) name: &'a str,
    pub(crate) incarnation: u64,
    pub(crate) token: u8,
    pub(crate) witness: bool,
    pub(crate) address: &'a str,
    pub(crate) level: u32,
}

impl Model {
    pub(crate) fn admit(&mut self, name: &str, witness: bool, token: u8, standby: bool) -> Answer {
        if let Some(m) = self.members.get(name) {
            return match m.presence {
                _ if m.witness != witness => Err("KindMismatch"),
                Presence::Expelled => Err("Expelled"),
                Presence::Awaited(_) | Presence::Joined => Ok("AlreadyMember"),
            };
        }
        let member = MemberModel {
            incarnation: self.next_incarnation,
            witness,
            vote: if standby { Vote::Standby } else { Vote::CatchingUp },
            draining: false,
            presence: Presence::Awaited(token),
            address: String::new(),
            domain: None,
            weight: 0,
            level: 0,
        };
        self.next_incarnation += 1;
        self.members.insert(name.to_owned(), member);
        Ok("Admitted")
    }

    fn living(&mut self, name: &str, incarnation: u64) -> Result<&mut MemberModel, &'static str> {
        let member = self.members.get_mut(name).ok_or("NotAMember")?;
        if member.incarnation == incarnation { Ok(member) } else { Err("OtherIncarnation") }
    }

    /// Living, and there.
    fn there(&mut self, name: &str, incarnation: u64) -> Result<&mut MemberModel, &'static str> {
        let member = self.living(name, incarnation)?;
        match member.presence {
            Presence::Joined => Ok(member),
            Presence::Awaited(_) => Err("NotJoined"),
            Presence::Expelled => Err("Expelled"),
        }
    }

    pub(crate) fn joined(&mut self, coming: Coming<'_>) -> Answer {
        let level = self.level;
        if !coming.right_cluster {
            return Err("WrongCluster");
        }
        let member = self.living(coming.name, coming.incarnation)?;
        match member.presence {
            Presence::Expelled => return Err("Expelled"),
            Presence::Joined if level < 2 => return Err("TokenSpent"),
            Presence::Joined if member.witness == coming.witness => return Ok("AlreadyMember"),
            Presence::Awaited(token) if token != coming.token => return Err("WrongToken"),
            Presence::Joined | Presence::Awaited(_) if member.witness != coming.witness => return Err("KindMismatch"),
            Presence::Joined | Presence::Awaited(_) => {}
        }
        if coming.level < level {
            return Err("UnsupportedLevel");
        }
        member.presence = Presence::Joined;
        member.address = coming.address.to_owned();
        member.level = coming.level;
        Ok("MemberChanged")
    }

    pub(crate) fn set_voting(&mut self, name: &str, incarnation: u64) -> Answer {
        let member = self.there(name, incarnation)?;
        if member.draining {
            return Err("Draining");
        }
        member.vote = Vote::Voting;
        Ok("MemberChanged")
    }

    pub(crate) fn drain(&mut self, name: &str, incarnation: u64) -> Answer {
        self.living(name, incarnation)?.draining = true;
        Ok("MemberChanged")
    }

    pub(crate) fn undrain(&mut self, name: &str, incarnation: u64) -> Answer {
        let member = self.living(name, incarnation)?;
        if member.presence == Presence::Expelled {
            return Err("Expelled");
        }
        member.draining = false;
        Ok("MemberChanged")
    }

    /// The voters that would remain must have a data member and a quorum within reach.
    fn spare(&self, name: &str, reachable: &BTreeSet<u64>) -> Allowed {
        if self.members[name].vote != Vote::Voting {
            return Ok(());
        }
        let votes = |m: &MemberModel| m.vote == Vote::Voting && m.presence == Presence::Joined;
        let rest: Vec<_> = self.members.iter().filter(|(n, m)| *n != name && votes(m)).map(|(_, m)| m).collect();
        if rest.iter().all(|m| m.witness) {
            return Err("LastVoter");
        }
        let reached = rest.iter().filter(|m| reachable.contains(&m.incarnation)).count();
        if reached * 2 > rest.len() { Ok(()) } else { Err("WouldLoseQuorum") }
    }

    pub(crate) fn demote(&mut self, name: &str, incarnation: u64, reachable: &BTreeSet<u64>) -> Answer {
        self.living(name, incarnation)?;
        self.spare(name, reachable)?;
        self.living(name, incarnation)?.vote = Vote::Standby;
        Ok("MemberChanged")
    }

    fn decides(&self, name: &str) -> bool {
        self.holders.values().any(|(holder, _)| holder == name)
    }

    pub(crate) fn remove(&mut self, name: &str, incarnation: u64, reachable: &BTreeSet<u64>) -> Answer {
        if !self.living(name, incarnation)?.draining {
            return Err("NotDraining");
        }
        match self.holdings(name) {
            [0, 0, 0] => {}
            [0, ..] => return Err("StillHolds"),
            _ => return Err("StillOwns"),
        }
        if self.decides(name) {
            return Err("HoldsAuthority");
        }
        self.spare(name, reachable)?;
        self.members.remove(name);
        Ok("Removed")
    }

    pub(crate) fn force_remove(
        &mut self,
        by: &By,
        name: &str,
        incarnation: u64,
        reason: &str,
        reachable: &BTreeSet<u64>,
    ) -> Answer {
        self.signed(by, reason)?;
        if self.living(name, incarnation)?.presence != Presence::Expelled {
            if reachable.contains(&incarnation) {
                return Err("StillReachable");
            }
            self.spare(name, reachable)?;
        }
        if self.holdings(name) == [0, 0, 0] && !self.decides(name) {
            self.members.remove(name);
            return Ok("Removed");
        }
        let member = self.living(name, incarnation)?;
        member.presence = Presence::Expelled;
        member.vote = Vote::Standby;
        member.draining = true;
        member.address.clear();
        Ok("Expelled")
    }

    pub(crate) fn replace(&mut self, name: &str, incarnation: u64, token: u8, reachable: &BTreeSet<u64>) -> Answer {
        if self.living(name, incarnation)?.presence == Presence::Expelled {
            return Err("Expelled");
        }
        self.spare(name, reachable)?;
        let next = self.next_incarnation;
        self.next_incarnation += 1;
        let member = self.living(name, incarnation)?;
        member.incarnation = next;
        member.presence = Presence::Awaited(token);
        member.level = 0;
        if member.vote == Vote::Voting {
            member.vote = Vote::CatchingUp;
        }
        Ok("Admitted")
    }

    pub(crate) fn set_address(&mut self, name: &str, incarnation: u64, address: &str) -> Answer {
        self.there(name, incarnation)?.address = address.to_owned();
        Ok("MemberChanged")
    }

    pub(crate) fn set_locality(&mut self, name: &str, incarnation: u64, domain: &str, weight: u32) -> Answer {
        let member = self.living(name, incarnation)?;
        member.domain = Some(domain.to_owned());
        member.weight = weight;
        Ok("MemberChanged")
    }

    pub(crate) fn set_level(&mut self, name: &str, incarnation: u64, level: u32) -> Answer {
        let needed = self.level;
        let member = self.there(name, incarnation)?;
        if level < needed {
            return Err("UnsupportedLevel");
        }
        member.level = level;
        Ok("MemberChanged")
    }
}
