//! The step into a new generation, and what the state remembers of it (CP-R2).
//!
//! A forced recovery goes on from what one survivor has, a restore from what a
//! backup holds. Either way nobody can know what was issued beyond that, so all
//! of it is fenced: every epoch rises into the new generation, every member but
//! one is fenced, and that one goes on under a new incarnation.

use crate::bounds::BadValue;
use crate::catalog::Catalog;
use crate::edit::Edit;
use crate::id::{Epoch, Version};
use crate::member::{Addresses, Features, Join, Locality, Member, MemberLife, Service, Voting};
use cp_seam::{ControlPlaneLogIndex, Generation, Incarnation, LogPosition, MemberId, MemberKind};
use std::fmt;

/// Why a cluster went on in a new generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its quorum was lost for good, and one survivor went on alone.
    Forced,
    /// It was restored from a backup.
    Restored,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forced => "forced recovery",
            Self::Restored => "restore",
        })
    }
}

/// What the state remembers of a forced recovery or a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Which of the two.
    pub cause: Cause,
    /// The generation that ended, as far as the state knew.
    pub previous: Generation,
    /// The number of the generation that began: above that, and above every one that the
    /// operator knew to have served.
    pub generation: u16,
    /// Who did it, as the operator said.
    pub operator: String,
    /// Why, as the operator said.
    pub reason: String,
    /// When, in milliseconds since 1970, as the caller said.
    pub at_unix_ms: u64,
    /// The member that went on, and its new life.
    pub survivor: MemberLife,
    /// Its life before; `None` if it was no member.
    pub former: Option<Incarnation>,
    /// The last position whose effect is in the state.
    pub position: LogPosition,
    /// Up to where that was known to be committed.
    pub committed: ControlPlaneLogIndex,
    /// The voters that were fenced.
    pub lost_voters: Vec<MemberLife>,
    /// How many members were fenced in all.
    pub fenced: u64,
}

impl Recovery {
    /// The longest name of an operator, in bytes.
    pub const OPERATOR_LEN_MAX_BYTES: usize = 128;
    /// The longest reason, in bytes.
    pub const REASON_LEN_MAX_BYTES: usize = 1024;

    /// Whether its texts have a length that this release records.
    pub(crate) fn check_lengths(&self) -> Result<(), BadValue> {
        bounded("operator", &self.operator, Self::OPERATOR_LEN_MAX_BYTES)?;
        bounded("reason", &self.reason, Self::REASON_LEN_MAX_BYTES)
    }
}

/// What is asked of a step into a new generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// Why.
    pub cause: Cause,
    /// The random id of the new generation, so that two made by mistake can be told apart.
    pub generation_id: [u8; 8],
    /// The highest generation number that ever served, if it is not this state's: of a
    /// backup, or of a survivor that was left behind, somebody may have gone on before.
    pub after_generation: u16,
    /// Who goes on.
    pub survivor: MemberId,
    /// Where it will be reached; as before if left out.
    pub addresses: Option<Addresses>,
    /// Who asks.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since 1970. The state has no clock of its own.
    pub at_unix_ms: u64,
    /// The last position that the state includes.
    pub position: LogPosition,
    /// Up to where that is known to be committed.
    pub committed: ControlPlaneLogIndex,
}

/// A state that cannot go on in a new generation. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRecovery {
    /// There is no state.
    #[error("there is no state to go on from; recover from a member that holds one")]
    Vacant,
    /// Operator, reason or an address is missing, too long or no plain text.
    #[error("the request cannot be recorded")]
    Value(#[from] BadValue),
    /// The survivor is none of this cluster's.
    #[error("{member} is not a joined member of this state; recover from another survivor, or give its addresses")]
    NotAMember {
        /// Who.
        member: MemberId,
    },
    /// The survivor was removed by force, and its life is over for good (CP-M3).
    #[error(
        "{member} was removed by force, and no other life begins under its name before everything that it owned and held is released; recover from another survivor, or restore under another name"
    )]
    Expelled {
        /// Who.
        member: MemberId,
    },
    /// A counter has no next value.
    #[error("{what} is used up; this cluster cannot be recovered, found a new one")]
    Exhausted {
        /// Which.
        what: &'static str,
    },
}

/// How many of the lower bits of an incarnation count within a generation.
const INCARNATION_BITS: u32 = 32;

fn bounded(field: &'static str, text: &str, max: usize) -> Result<(), BadValue> {
    match text.len() {
        0 => Err(BadValue::Missing { field }),
        length if length > max => Err(BadValue::Long { field, length, max }),
        _ => Ok(()),
    }
}

/// The audit is printed on terminals: a text in it shows, and shows as what it is.
fn plain(field: &'static str, text: &str, max: usize) -> Result<(), BadValue> {
    bounded(field, text, max)?;
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(BadValue::Control { field, character }),
        None if text.trim().is_empty() => Err(BadValue::Missing { field }),
        None => Ok(()),
    }
}

const fn exhausted(what: &'static str) -> BadRecovery {
    BadRecovery::Exhausted { what }
}

impl Catalog {
    /// The state that follows this one in a new generation.
    ///
    /// `survivor` is its only voter, under a new incarnation. Every other member
    /// is fenced: it stays recorded, with what it owns and holds, and must be
    /// admitted and join anew. The epoch of every range and authority is the first
    /// of the new generation, its version one higher (CP-S5, CP-R2). A record of it
    /// is part of the state (CP-R3). What clients asked before is still known (CP-P5).
    ///
    /// Errors: the request or the state makes no successor.
    pub fn succeed(&self, asked: &Successor) -> Result<Self, BadRecovery> {
        plain("operator", &asked.operator, Recovery::OPERATOR_LEN_MAX_BYTES)?;
        plain("reason", &asked.reason, Recovery::REASON_LEN_MAX_BYTES)?;
        asked.addresses.as_ref().map_or(Ok(()), Addresses::check)?;
        if self.is_vacant() {
            return Err(BadRecovery::Vacant);
        }
        let previous = self.generation();
        let number = previous.number.max(asked.after_generation).checked_add(1);
        let number = number.ok_or(exhausted("the generation number"))?;
        #[cfg(planted_bugs)]
        let number = crate::planted::successor_of(previous.number, number);
        let survivor = self.survivor(asked, number)?;
        let life = survivor.life();
        let mut next = self.clone();
        next.edit_meta(|meta| meta.generation = Generation { number, id: asked.generation_id });
        let others = || self.members().filter(|member| member.id != asked.survivor);
        others().for_each(|member| next.put_member(fenced(member)));
        next.commit(vec![Edit::Admit(Box::new(survivor))]);
        next.raise_epochs(self)?;
        let was_voting = others().filter(|m| m.voting == Voting::Voting && m.join == Join::Joined);
        next.put_recovery(Recovery {
            cause: asked.cause,
            previous,
            generation: number,
            operator: asked.operator.clone(),
            reason: asked.reason.clone(),
            at_unix_ms: asked.at_unix_ms,
            survivor: life,
            former: self.member(&asked.survivor).map(|member| member.incarnation),
            position: asked.position,
            committed: asked.committed,
            lost_voters: was_voting.map(Member::life).collect(),
            fenced: others().count() as u64,
        });
        Ok(next)
    }

    /// The only voter of the next generation. What was lost may have allotted incarnations
    /// that this state has not: those of a generation begin with its number.
    fn survivor(&self, asked: &Successor, number: u16) -> Result<Member, BadRecovery> {
        let first = (u64::from(number) << INCARNATION_BITS) + 1;
        let incarnation = Incarnation(self.meta.next_incarnation.max(first));
        if incarnation.0 == u64::MAX {
            return Err(exhausted("the incarnation number"));
        }
        let was = self.member(&asked.survivor);
        if was.is_some_and(|member| member.join == Join::Expelled) {
            return Err(BadRecovery::Expelled { member: asked.survivor.clone() });
        }
        let known = was.filter(|member| member.join == Join::Joined).map(|member| member.addresses.clone());
        let addresses = asked.addresses.clone().or(known);
        let addresses = addresses.ok_or_else(|| BadRecovery::NotAMember { member: asked.survivor.clone() })?;
        Ok(Member {
            id: asked.survivor.clone(),
            incarnation,
            kind: was.map_or(MemberKind::Data, |member| member.kind),
            voting: Voting::Voting,
            service: was.map_or(Service::Active, |member| member.service),
            join: Join::Joined,
            addresses,
            locality: was.map_or_else(Locality::default, |member| member.locality.clone()),
            features: was.map_or_else(Features::default, |member| member.features.clone()),
        })
    }

    fn raise_epochs(&mut self, before: &Self) -> Result<(), BadRecovery> {
        let generation = self.meta.generation.number;
        let raised = |epoch: Epoch| epoch.next(generation).ok_or(exhausted("an epoch"));
        #[cfg(planted_bugs)]
        let raised = |epoch: Epoch| crate::planted::raised(epoch, raised);
        let edited = |version: Version| version.next().ok_or(exhausted("a version"));
        for authority in before.authorities() {
            let (epoch, version) = (raised(authority.epoch)?, edited(authority.version)?);
            self.put_authority(crate::range::Authority { epoch, version, ..authority.clone() });
        }
        for spec in before.collections() {
            for range in before.ranges(&spec.name) {
                let (epoch, version) = (raised(range.epoch)?, edited(range.version)?);
                self.put_range(&spec.name, crate::range::Range { epoch, version, ..range.clone() });
            }
        }
        Ok(())
    }
}

/// What is left of a member whose life is over. One that is being removed by force stays so.
fn fenced(member: &Member) -> Member {
    if member.join == Join::Expelled {
        return member.clone();
    }
    let voting = if member.voting == Voting::Standby { Voting::Standby } else { Voting::CatchingUp };
    Member { voting, join: Join::Fenced, addresses: Addresses::default(), ..member.clone() }
}
