//! What must hold of every state and of every step, checked from the records.
//!
//! For tests, the simulator and offline inspection: each check reads the whole
//! state. A violation is a bug here or damage elsewhere, never a refusal.

use crate::bounds::Bounds;
use crate::catalog::{Catalog, Holdings};
use crate::codec::record;
use crate::digest::DigestSum;
use crate::id::{CollectionName, Epoch, RangeKey};
use crate::member::{Join, Member};
use crate::range::{Authority, Range};
use cp_seam::{MemberId, MemberKind, StateDigest};
use std::collections::BTreeMap;
use std::fmt;

/// Something that must never be, in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gathers what is wrong.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation(what()));
        }
    }
}

impl Catalog {
    /// What is wrong with this state: overlapping ranges, members in two roles,
    /// owners and holders that may not be, epochs of another generation, and
    /// counts, quorum, hashes or digest that do not follow from the records.
    pub fn violations(&self) -> Vec<Violation> {
        let mut findings = Findings::default();
        let mut holdings: BTreeMap<MemberId, Holdings> = BTreeMap::new();
        findings.expect(self.holders.is_consistent(), || "the numbers of holders differ".to_owned());
        findings.expect(self.collections.is_consistent(), || "the indexes of collections differ".to_owned());
        for (name, collection) in self.collections.iter() {
            let (spec, mut before): (_, Option<&Range>) = (&collection.spec, None);
            let number = |range: &Range| self.holders.find(range.owner.as_str());
            findings.expect(collection.is_consistent(number), || format!("the indexes of {name} differ"));
            for range in self.ranges(&spec.name) {
                let key = RangeKey::new(spec.name.clone(), range.id);
                self.check_range(&mut findings, &key, range);
                findings.expect(range.bounds.check(spec.mode).is_ok(), || format!("{key} has {}", range.bounds));
                findings.expect(before.is_none_or(|b| b.bounds.upper() <= range.bounds.lower()), || {
                    format!("{key} overlaps the range before it")
                });
                before = Some(range);
                holdings.entry(range.owner.clone()).or_default().owned += 1;
                range.replicas.iter().for_each(|m| holdings.entry(m.clone()).or_default().replicas += 1);
                range.archives.iter().for_each(|m| holdings.entry(m.clone()).or_default().archives += 1);
            }
        }
        for authority in self.authorities() {
            self.check_holder(&mut findings, &authority.holder, || format!("group {}", authority.group));
            findings.expect(self.is_epoch_of_now(authority.epoch), || {
                format!("group {} has epoch {} of another generation", authority.group, authority.epoch)
            });
        }
        for member in self.members() {
            let counted = holdings.remove(&member.id).unwrap_or_default();
            findings.expect(self.holdings(&member.id) == counted, || format!("{} holds {counted:?}", member.id));
            findings.expect((1..self.meta.next_incarnation).contains(&member.incarnation.0), || {
                format!("{} has an incarnation that was never allotted", member.life())
            });
        }
        self.check_recoveries(&mut findings);
        findings.expect(self.audit.is_whole(), || "the audit is no chain".to_owned());
        let operated = self.grants().next().is_none() || self.grants().any(|(_, has)| has.operate);
        findings.expect(operated, || "nobody may operate".to_owned());
        findings.expect(self.derive_quorum() == *self.quorum, || "the quorum is not the members'".to_owned());
        let sum = self.recomputed_sum(|name, range| {
            findings.expect(false, || format!("{name}/{} is kept with another record's hash", range.id));
        });
        findings.expect(sum == self.sum, || "the digest is not the records'".to_owned());
        findings.0
    }

    /// The digest computed anew from the records alone. Reads the whole state.
    pub fn recompute_digest(&self) -> StateDigest {
        self.recomputed_sum(|_, _| ()).digest()
    }

    /// What must not have happened between `before` and this later state:
    /// coverage lost, an epoch or a version that fell, an owner changed under
    /// one epoch, an edit without a version, an authority lost or changed under one epoch, another
    /// longest lease, a role given to a member that may not have it, a retired id or an incarnation
    /// used again.
    pub fn violations_since(&self, before: &Self) -> Vec<Violation> {
        let mut findings = Findings::default();
        let (was, is) = (before.longest_lease(), self.longest_lease());
        findings.expect(was == is, || format!("the longest lease was {was} and is {is}"));
        for spec in before.collections() {
            let name = &spec.name;
            findings.expect(self.collection(name) == Some(spec), || format!("collection {name} has changed"));
            let (was, is) = (covered(before, name), covered(self, name));
            findings.expect(was.iter().all(|part| is.iter().any(|whole| holds(whole, part))), || {
                format!("collection {name} covered {was:?} and covers {is:?}")
            });
        }
        for (key, was) in keyed(before) {
            match self.range(&key) {
                Some(is) => check_step(&mut findings, &key, was, is),
                None => findings.expect(self.is_retired(&key), || format!("{key} is gone without being retired")),
            }
        }
        for (key, is) in keyed(self) {
            findings.expect(!before.is_retired(&key), || format!("{key} was retired and is back"));
            let was = before.range(&key);
            for member in [&is.owner].into_iter().chain(&is.replicas).chain(&is.archives) {
                let newly = was.is_none_or(|was| was.role(member).is_none());
                let inherited =
                    was.is_none() && before.located_like(&key, is).is_some_and(|p| p.role(member).is_some());
                let may = self.member(member).is_some_and(|member| member.eligibility().is_ok());
                findings.expect(!newly || inherited || may, || format!("{key} was given to {member}, which may not"));
            }
        }
        for was in before.authorities() {
            match self.authority(&was.group) {
                Some(is) => check_authority(&mut findings, was, is),
                None => findings.expect(false, || format!("nobody has authority over group {} any more", was.group)),
            }
        }
        for member in self.members() {
            let was = before.member_of(member.incarnation);
            let fresh = was.is_none() && member.incarnation.0 >= before.meta.next_incarnation;
            findings.expect(fresh || was.is_some_and(|was| was.id == member.id), || {
                format!("{} has an incarnation that was used before", member.life())
            });
        }
        findings.expect(self.recoveries().starts_with(before.recoveries()), || "a recovery is forgotten".to_owned());
        let (was, is) = (before.audit_chain(), self.audit_chain());
        findings.expect(is.count > was.count || is == was, || "the audit fell or was changed".to_owned());
        let kept = |record: &&crate::audit::AuditRecord| record.sequence > is.forgotten;
        findings.expect(
            before
                .audit_above(0)
                .filter(kept)
                .all(|record| self.audit.kept.get(&record.sequence).is_some_and(|now| **now == *record)),
            || "a record of the audit was changed".to_owned(),
        );
        findings.0
    }

    fn check_range(&self, findings: &mut Findings, key: &RangeKey, range: &Range) {
        for member in [&range.owner].into_iter().chain(&range.replicas).chain(&range.archives) {
            self.check_holder(findings, member, || key.to_string());
            let roles = [range.owner == *member, range.replicas.contains(member), range.archives.contains(member)];
            findings.expect(roles.into_iter().filter(|has| *has).count() == 1, || {
                format!("{member} has two roles in {key}")
            });
        }
        if let Some(moving) = &range.moving {
            findings.expect(range.replicas.contains(&moving.target), || {
                format!("{key} moves to {}, which is no replica", moving.target)
            });
        }
        findings.expect(self.is_epoch_of_now(range.epoch), || {
            format!("{key} has epoch {} of another generation than {}", range.epoch, self.meta.generation.number)
        });
        findings.expect(range.version.0 > 0, || format!("{key} has version 0"));
        findings.expect(!self.is_retired(key), || format!("{key} is there and retired"));
    }

    fn check_holder(&self, findings: &mut Findings, member: &MemberId, what: impl Fn() -> String) {
        // Who was fenced or replaced keeps what it held, also while it is awaited anew. Who was
        // replaced keeps its addresses; who was fenced is admitted anew in the generation that
        // followed, with an incarnation above the survivor's.
        let anew = |m: &Member| self.recoveries().last().is_some_and(|r| m.incarnation > r.survivor.incarnation);
        let has_joined = |m: &Member| match m.join {
            Join::Joined | Join::Fenced | Join::Expelled => true,
            Join::Awaited(_) => !m.addresses.peer.is_empty() || anew(m),
        };
        let may = self.member(member).is_some_and(|m| m.kind == MemberKind::Data && has_joined(m));
        findings.expect(may, || format!("{} is with {member}, which is no data member", what()));
    }

    /// Whether this generation issued `epoch`: a recovery raises them all (CP-R2).
    fn is_epoch_of_now(&self, epoch: Epoch) -> bool {
        epoch.generation() == self.meta.generation.number && epoch >= Epoch::first(epoch.generation())
    }

    fn check_recoveries(&self, findings: &mut Findings) {
        let before: Vec<_> = self.recoveries().iter().map(|one| (one.previous.number, one.generation)).collect();
        let rise = before.iter().all(|(left, begun)| left < begun);
        findings.expect(rise && before.is_sorted_by(|(_, begun), (left, _)| begun == left), || {
            format!("recoveries led through generations {before:?}, which is no chain")
        });
        let reached = before.last().is_none_or(|(_, begun)| *begun == self.meta.generation.number);
        findings.expect(reached, || format!("generation {} has no record", self.meta.generation.number));
        let fenced = self.members().find(|member| member.join == Join::Fenced);
        findings.expect(fenced.is_none() || !before.is_empty(), || "a member is fenced by no recovery".to_owned());
    }

    fn is_retired(&self, key: &RangeKey) -> bool {
        self.collections.get(&key.collection).is_some_and(|collection| collection.is_retired(key.id))
    }

    /// The range that holds all keys of `range` here.
    fn located_like(&self, key: &RangeKey, range: &Range) -> Option<&Range> {
        self.ranges(&key.collection).find(|other| holds(&other.bounds, &range.bounds))
    }

    /// The digest's sum from the records alone. Tells of each range that is kept with another hash.
    fn recomputed_sum(&self, mut differs: impl FnMut(&CollectionName, &Range)) -> DigestSum {
        let mut sum = DigestSum::default();
        if !self.is_vacant() {
            sum.add(&record::hash_meta(&self.meta));
        }
        self.grants().for_each(|(client, has)| sum.add(&record::hash_grant(client, has)));
        if self.audit.chain.count > 0 {
            sum.add(&record::hash_chain(&self.audit.chain));
        }
        self.audit_above(0).for_each(|entry| sum.add(&record::hash_audit(entry)));
        self.recoveries().iter().for_each(|recovery| sum.add(&record::hash_recovery(recovery)));
        self.members().for_each(|member| sum.add(&record::hash_member(member)));
        self.authorities().for_each(|authority| sum.add(&record::hash_authority(authority)));
        for (name, collection) in self.collections.iter() {
            sum.add(&record::hash_collection(&collection.spec));
            for range in collection.by_id_above(None) {
                let hash = record::hash_range(name, range);
                sum.add(&hash);
                if hash != *range.hash() {
                    differs(name, range);
                }
            }
            collection.retired_above(None).for_each(|(id, into)| sum.add(&record::hash_retired(name, id, into)));
        }
        for session in self.sessions.iter_above(None) {
            sum.add(&record::hash_client(&session.header));
            for (sequence, verdict) in &session.replies {
                sum.add(&record::hash_reply(&session.header.client, *sequence, verdict));
            }
        }
        sum
    }
}

fn check_step(findings: &mut Findings, key: &RangeKey, was: &Range, is: &Range) {
    findings.expect(is.epoch >= was.epoch, || format!("{key} fell from epoch {} to {}", was.epoch, is.epoch));
    findings.expect(is.version >= was.version, || format!("{key} fell from version {} to {}", was.version, is.version));
    findings.expect(is == was || is.version > was.version, || format!("{key} was edited under version {}", is.version));
    findings.expect(is.owner == was.owner || is.epoch > was.epoch, || {
        format!("{key} went from {} to {} under epoch {}", was.owner, is.owner, is.epoch)
    });
}

fn check_authority(findings: &mut Findings, was: &Authority, is: &Authority) {
    findings.expect(is == was || (is.epoch > was.epoch && is.version > was.version), || {
        let (group, from, to) = (&was.group, was.fence(), is.fence());
        format!("group {group} went from {} at {from} to {} at {to}", was.holder, is.holder)
    });
}

fn keyed(catalog: &Catalog) -> impl Iterator<Item = (RangeKey, &Range)> {
    catalog
        .collections()
        .flat_map(|spec| catalog.ranges(&spec.name).map(|range| (RangeKey::new(spec.name.clone(), range.id), range)))
}

/// The keys that some range of the collection covers, as few bounds as possible.
fn covered(catalog: &Catalog, name: &CollectionName) -> Vec<Bounds> {
    let mut parts: Vec<Bounds> = Vec::new();
    for range in catalog.ranges(name) {
        match parts.last_mut() {
            Some(last) if last.upper() == range.bounds.lower() => {
                *last =
                    Bounds::new(last.lower().clone(), range.bounds.upper().clone()).unwrap_or_else(|_| last.clone());
            }
            _ => parts.push(range.bounds.clone()),
        }
    }
    parts
}

fn holds(whole: &Bounds, part: &Bounds) -> bool {
    whole.lower() <= part.lower() && part.upper() <= whole.upper()
}

#[cfg(test)]
mod tests;
