//! A plain model of the rules: strings, numbers and linear searches.
//!
//! Written from the rules and not from the code. It answers each command with the
//! name of the effect or of the refusal, and changes itself or does not. Keys are
//! numbers: in an ordered collection single bytes, where 0 is min and 256 is max; in
//! a hashed one slots, where 0 is min and 16384 is max.

pub(crate) mod members;
mod moves;
pub(crate) mod ranges;

use std::collections::{BTreeMap, BTreeSet};

/// The effect's name, or the refusal's.
pub(crate) type Answer = Result<&'static str, &'static str>;
/// What must hold before.
pub(crate) type Allowed = Result<(), &'static str>;
/// Epoch and version.
pub(crate) type Stamp = (u64, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vote {
    CatchingUp,
    Standby,
    Voting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Its token is to be this one.
    Awaited(u8),
    Joined,
    Expelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberModel {
    pub(crate) incarnation: u64,
    pub(crate) witness: bool,
    pub(crate) vote: Vote,
    pub(crate) draining: bool,
    pub(crate) presence: Presence,
    pub(crate) address: String,
    pub(crate) domain: Option<String>,
    pub(crate) weight: u32,
    pub(crate) level: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeModel {
    pub(crate) id: u64,
    pub(crate) lower: u32,
    pub(crate) upper: u32,
    pub(crate) owner: String,
    pub(crate) replicas: BTreeSet<String>,
    pub(crate) archives: BTreeSet<String>,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    /// How many copies it wants, and on which disks.
    pub(crate) wants: (u32, String),
    /// Target and phase: 1 begun, 2 copying, 3 catching up.
    pub(crate) moving: Option<(String, u32)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CollectionModel {
    pub(crate) group: String,
    pub(crate) hash: bool,
    pub(crate) ranges: Vec<RangeModel>,
    pub(crate) retired: BTreeSet<u64>,
}

/// What a transfer of write authority is backed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backing {
    Nothing,
    NoGate,
    OtherCandidate,
    OtherGate,
    GateOfAnother,
    Short,
    /// Covers the watermark, but not what passed the gate after it.
    ShortOfGate,
    Whole,
}

/// What is shown of an archive that was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) checksum: bool,
    pub(crate) bounds: bool,
    pub(crate) whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) read: bool,
    pub(crate) operate: bool,
    pub(crate) force: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// An embedder that vouches for itself.
    Nobody,
    Client(&'static str),
    Member(&'static str),
}

/// By whom and by which authority a command is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) asker: Asker,
    /// The group, and the epoch of its authority.
    pub(crate) claim: Option<(String, u64)>,
}

/// What is to be known of a command before it is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// Whether it came with feature level 2.
    pub(crate) later: bool,
    /// Whether it takes the privilege to force.
    pub(crate) forced: bool,
    /// The member that may ask for it on its own behalf.
    pub(crate) own: Option<String>,
    /// The group that it is about.
    pub(crate) group: Option<String>,
    /// The name under which it is on record.
    pub(crate) recorded: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) level: u32,
    pub(crate) members: BTreeMap<String, MemberModel>,
    pub(crate) next_incarnation: u64,
    pub(crate) collections: BTreeMap<String, CollectionModel>,
    /// By group: who decides, and the number of the authority.
    pub(crate) holders: BTreeMap<String, (String, u64)>,
    pub(crate) grants: BTreeMap<String, Granted>,
    /// What was asked for with authority, and what came of it.
    pub(crate) audit: Vec<(&'static str, &'static str)>,
}

impl Model {
    /// Judges a command, does it if it is allowed, and puts it on record if it is to be.
    pub(crate) fn ask(&mut self, by: &By, about: &About, act: impl FnOnce(&mut Self) -> Answer) -> Answer {
        if about.later && self.level < 2 {
            return Err("UnknownCommand");
        }
        let (before, knows_askers) = (self.clone(), self.level >= 2);
        let answer = self.may(by, about).and_then(|()| act(self));
        assert!(answer.is_ok() || *self == before, "the model changed for what it refused");
        let event = answer.is_err() || about.forced || *self != before;
        if let Some(action) = about.recorded.filter(|_| knows_askers && event) {
            let disposition = match answer {
                Ok(_) => "allowed",
                Err("MissingPrivilege" | "NoOperator" | "BlankReason") => "denied",
                Err(_) => "failed",
            };
            self.audit.push((action, disposition));
        }
        answer
    }

    /// Privilege first, then the authority. What is forced has an order of its own.
    fn may(&self, by: &By, about: &About) -> Allowed {
        if self.level < 2 || about.forced {
            return Ok(());
        }
        let open = self.grants.is_empty();
        let granted = match by.asker {
            Asker::Nobody => true,
            Asker::Client(client) => self.grants.get(client).map_or(open, |granted| granted.operate),
            Asker::Member(member) => {
                let over = self.members.get(member).is_some_and(|m| m.presence == Presence::Expelled);
                open || (about.own.as_deref() == Some(member) && !over)
            }
        };
        if !granted {
            return Err("MissingPrivilege");
        }
        let Some((claimed, epoch)) = &by.claim else { return Ok(()) };
        let group = about.group.as_ref().unwrap_or(claimed);
        match self.holders.get(group) {
            None => Err("UnknownAuthority"),
            Some((_, now)) if group == claimed && now == epoch => Ok(()),
            Some(_) => Err("StaleAuthority"),
        }
    }

    /// Whether somebody who may force asks.
    fn may_force(&self, by: &By) -> Allowed {
        match by.asker {
            Asker::Nobody => Err("NoOperator"),
            Asker::Client(client) if self.grants.get(client).is_some_and(|granted| granted.force) => Ok(()),
            Asker::Client(_) | Asker::Member(_) => Err("MissingPrivilege"),
        }
    }

    fn signed(&self, by: &By, reason: &str) -> Allowed {
        self.may_force(by)?;
        if reason.trim().is_empty() { Err("BlankReason") } else { Ok(()) }
    }

    pub(crate) fn grant(&mut self, by: &By, client: &str, wanted: Granted) -> Answer {
        let none = Granted { read: false, operate: false, force: false };
        if self.grants.get(client).copied().unwrap_or(none) == wanted {
            return Ok("Granted");
        }
        if self.grants.is_empty() {
            let own = matches!(by.asker, Asker::Nobody) || by.asker == Asker::Client(leak(client));
            if !own || !wanted.operate {
                return Err("FirstGrant");
            }
        } else if !wanted.operate && !self.grants.iter().any(|(name, granted)| name != client && granted.operate) {
            return Err("LastOperator");
        }
        if wanted == none {
            self.grants.remove(client);
        } else {
            self.grants.insert(client.to_owned(), wanted);
        }
        Ok("Granted")
    }

    pub(crate) fn raise_level(&mut self, to: u32) -> Answer {
        if to < self.level {
            return Err("LevelPassed");
        }
        if self.members.values().any(|m| m.presence == Presence::Joined && m.level < to) {
            return Err("UnsupportedLevel");
        }
        self.level = to;
        Ok("FeatureLevelAt")
    }

    /// Whether the member may own or hold a range.
    pub(crate) fn may_hold(&self, name: &str) -> Allowed {
        match self.members.get(name) {
            None => Err("NotAMember"),
            Some(m) if m.witness || m.draining || m.presence != Presence::Joined => Err("Ineligible"),
            Some(_) => Ok(()),
        }
    }

    /// In how many ranges the member is the owner, a replica, an archive.
    pub(crate) fn holdings(&self, name: &str) -> [u64; 3] {
        let ranges = || self.collections.values().flat_map(|collection| &collection.ranges);
        let count = |has: &dyn Fn(&RangeModel) -> bool| ranges().filter(|range| has(range)).count() as u64;
        [count(&|r| r.owner == name), count(&|r| r.replicas.contains(name)), count(&|r| r.archives.contains(name))]
    }
}

/// The names of clients; a static one spares a borrow.
pub(crate) const CLIENTS: [&str; 3] = ["fay", "ann", "eve"];

fn leak(client: &str) -> &'static str {
    CLIENTS.into_iter().find(|known| *known == client).unwrap()
}
