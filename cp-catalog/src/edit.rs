//! The one place where records change, and what is derived from them with them.
//!
//! A decision is made against an unchanged state and yields edits; committing
//! them cannot fail, so a refused command has changed no record.

use crate::access::{ClientName, Privileges};
use crate::audit::{AUDIT_COUNT_MAX, AuditChain, AuditRecord};
use crate::catalog::Catalog;
use crate::codec::record;
use crate::collection::Collection;
use crate::hashed::HashedRange;
use crate::id::{CollectionName, RangeId};
use crate::member::{Join, Member, Voting};
use crate::range::{Authority, CollectionSpec, Range};
use crate::recovery::Recovery;
use cp_seam::{MemberId, Quorum, QuorumMember};
use std::sync::Arc;

/// A change of one record.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Adds a member under the next incarnation, which is thereby used.
    Admit(Box<Member>),
    /// What every member supports now.
    RaiseFeatureLevel(u32),
    PutMember(Box<Member>),
    DropMember(MemberId),
    PutAuthority(Authority),
    PutCollection(CollectionSpec),
    PutRange(CollectionName, Range),
    /// The range that goes, and the one that took it over, if that is to be noted.
    RetireRange(CollectionName, RangeId, Option<RangeId>),
    Grant(ClientName, Privileges),
}

impl Catalog {
    pub(crate) fn commit(&mut self, edits: Vec<Edit>) {
        for edit in edits {
            match edit {
                Edit::Admit(member) => {
                    self.edit_meta(|meta| meta.next_incarnation = member.incarnation.0.saturating_add(1));
                    self.put_member(*member);
                }
                Edit::RaiseFeatureLevel(to) => self.edit_meta(|meta| meta.feature_level = to),
                Edit::PutMember(member) => self.put_member(*member),
                Edit::DropMember(id) => self.drop_member(&id),
                Edit::PutAuthority(authority) => self.put_authority(authority),
                Edit::PutCollection(spec) => self.put_collection(spec),
                Edit::PutRange(collection, range) => self.put_range(&collection, range),
                Edit::RetireRange(collection, id, into) => self.retire_range(&collection, id, into),
                Edit::Grant(client, privileges) => self.put_grant(client, privileges),
            }
        }
    }

    pub(crate) fn edit_meta(&mut self, edit: impl FnOnce(&mut crate::catalog::Meta)) {
        self.sum.subtract(&record::hash_meta(&self.meta));
        edit(&mut self.meta);
        self.sum.add(&record::hash_meta(&self.meta));
    }

    pub(crate) fn put_grant(&mut self, client: ClientName, privileges: Privileges) {
        let was = match privileges.is_empty() {
            true => self.grants.remove(&client),
            false => {
                self.sum.add(&record::hash_grant(&client, privileges));
                self.grants.insert(client.clone(), privileges)
            }
        };
        if let Some(was) = was {
            self.sum.subtract(&record::hash_grant(&client, was));
        }
    }

    /// Adds the next record to the audit, and lets go of the oldest above the count.
    pub(crate) fn put_audit(&mut self, entry: AuditRecord) {
        self.edit_chain(|chain| (chain.count, chain.head) = (entry.sequence, entry.chained(&chain.head)));
        self.keep_audit(entry);
        while self.audit.kept.len() > AUDIT_COUNT_MAX {
            let Some(oldest) = self.audit.kept.iter().next().map(|(_, oldest)| Arc::clone(oldest)) else { break };
            self.audit.kept.remove(&oldest.sequence);
            self.sum.subtract(&record::hash_audit(&oldest));
            self.edit_chain(|chain| (chain.forgotten, chain.floor) = (oldest.sequence, oldest.chained(&chain.floor)));
        }
    }

    pub(crate) fn keep_audit(&mut self, entry: AuditRecord) {
        self.sum.add(&record::hash_audit(&entry));
        self.audit.kept.insert(entry.sequence, Arc::new(entry));
    }

    pub(crate) fn edit_chain(&mut self, edit: impl FnOnce(&mut AuditChain)) {
        let hashed = |chain: &AuditChain| (*chain != AuditChain::default()).then(|| record::hash_chain(chain));
        hashed(&self.audit.chain).iter().for_each(|was| self.sum.subtract(was));
        edit(&mut self.audit.chain);
        hashed(&self.audit.chain).iter().for_each(|is| self.sum.add(is));
    }

    pub(crate) fn put_recovery(&mut self, recovery: Recovery) {
        self.sum.add(&record::hash_recovery(&recovery));
        Arc::make_mut(&mut self.recoveries).push(recovery);
    }

    pub(crate) fn put_member(&mut self, member: Member) {
        self.sum.add(&record::hash_member(&member));
        if let Some(was) = self.members.insert(member.id.clone(), Arc::new(member)) {
            self.sum.subtract(&record::hash_member(&was));
        }
        self.quorum = Arc::new(self.derive_quorum());
    }

    fn drop_member(&mut self, id: &MemberId) {
        if let Some(was) = self.members.remove(id) {
            self.sum.subtract(&record::hash_member(&was));
        }
        self.holders.forget(id);
        self.quorum = Arc::new(self.derive_quorum());
    }

    pub(crate) fn put_authority(&mut self, authority: Authority) {
        self.sum.add(&record::hash_authority(&authority));
        if let Some(was) = self.authorities.insert(authority.group.clone(), Arc::new(authority)) {
            self.sum.subtract(&record::hash_authority(&was));
        }
    }

    pub(crate) fn put_collection(&mut self, spec: CollectionSpec) {
        if self.collections.get(&spec.name).is_none() {
            self.sum.add(&record::hash_collection(&spec));
            self.collections.insert(Arc::new(Collection::new(spec)));
        }
    }

    pub(crate) fn put_range(&mut self, name: &CollectionName, mut range: Range) {
        let Some(collection) = self.collections.get_mut(name) else { return };
        range.placement = self.placements.share(range.placement);
        collection.share_keys(&mut range);
        let range = HashedRange::new(name, range);
        let owner = self.holders.number(&range.owner);
        let was = Arc::make_mut(collection).put(range.clone(), owner);
        self.sum.add(range.hash());
        if let Some(was) = &was {
            self.sum.subtract(was.hash());
        } else {
            self.range_count += 1;
        }
        self.shift_holdings(was.as_deref(), Some(&range));
    }

    fn retire_range(&mut self, name: &CollectionName, id: RangeId, into: Option<RangeId>) {
        let Some(collection) = self.collections.get_mut(name) else { return };
        if let Some(was) = Arc::make_mut(collection).retire(id, into) {
            self.sum.subtract(was.hash());
            self.sum.add(&record::hash_retired(name, id, into));
            self.range_count -= 1;
            self.shift_holdings(Some(&was), None);
        }
    }

    /// Keeps the counts of roles, for a range that was `was` and is `is`.
    fn shift_holdings(&mut self, was: Option<&Range>, is: Option<&Range>) {
        self.leave_roles(was, is, |count| *count = count.saturating_sub(1));
        self.leave_roles(is, was, |count| *count += 1);
    }

    /// Shifts the count of each role that a member has in `range` and not in `other`.
    fn leave_roles(&mut self, range: Option<&Range>, other: Option<&Range>, shift: impl Fn(&mut u64)) {
        let Some(range) = range else { return };
        if other.is_none_or(|other| other.owner != range.owner) {
            self.holders.edit(&range.owner, |holdings| shift(&mut holdings.owned));
        }
        for member in range.replicas.iter().filter(|m| other.is_none_or(|other| !other.replicas.contains(m))) {
            self.holders.edit(member, |holdings| shift(&mut holdings.replicas));
        }
        for member in range.archives.iter().filter(|m| other.is_none_or(|other| !other.archives.contains(m))) {
            self.holders.edit(member, |holdings| shift(&mut holdings.archives));
        }
    }

    pub(crate) fn derive_quorum(&self) -> Quorum {
        let of = |votes| {
            let wanted =
                self.members().filter(move |m| (m.voting == Voting::Voting) == votes && m.join == Join::Joined);
            let mut members: Vec<_> = wanted
                .map(|m| QuorumMember {
                    incarnation: m.incarnation,
                    id: m.id.clone(),
                    kind: m.kind,
                    address: m.addresses.peer.clone(),
                })
                .collect();
            members.sort_by_key(|m| m.incarnation);
            members
        };
        Quorum { voters: of(true), learners: of(false) }
    }
}
