//! Who may take a new copy, the best first: spread over failure domains, then fewest
//! holdings in relation to weight, then lowest name.

use super::Observed;
use crate::catalog::Catalog;
use crate::id::FailureDomain;
use crate::member::Member;
use crate::range::Range;
use cp_seam::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// Holdings in relation to weight, in fixed point. Who has no weight comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Burden(u128);

/// Who is in no domain may fail with all others that are in none.
type Domain<'a> = Option<&'a FailureDomain>;

/// The members that may take copies, ordered within their domains, and the domains by
/// their best members: a choice looks at no more members than the range has copies.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    catalog: &'a Catalog,
    held: BTreeMap<&'a MemberId, u64>,
    domains: BTreeMap<Domain<'a>, BTreeSet<(Burden, &'a MemberId)>>,
    best: BTreeSet<(Burden, &'a MemberId, Domain<'a>)>,
}

impl<'a> Pool<'a> {
    /// Every eligible member that is not lost, except `leaving`.
    pub(super) fn new(catalog: &'a Catalog, observed: &Observed, leaving: Option<&MemberId>) -> Self {
        let (held, domains, best) = Default::default();
        let mut pool = Self { catalog, held, domains, best };
        for member in catalog.members() {
            if Some(&member.id) != leaving && member.eligibility().is_ok() && !observed.is_lost(&member.id) {
                let held = catalog.holdings(&member.id);
                pool.put(member, held.owned.saturating_add(held.replicas).saturating_add(held.archives));
            }
        }
        pool
    }

    pub(super) fn contains(&self, member: &MemberId) -> bool {
        self.held.contains_key(member)
    }

    /// Whether there are members of more domains than `count`.
    pub(super) fn has_domains_beyond(&self, count: usize) -> bool {
        self.domains.len() > count
    }

    /// Who is to take a copy of `range` once `leaving` has left it, and the copies that it
    /// would share its domain with.
    pub(super) fn choose(&self, range: &Range, leaving: Option<&MemberId>) -> Option<(&'a Member, usize)> {
        let mut copies: BTreeMap<Domain<'_>, usize> = BTreeMap::new();
        for copy in holders(range).filter(|copy| Some(*copy) != leaving) {
            let domain = self.catalog.member(copy).and_then(|member| member.locality.domain.as_ref());
            let count = copies.entry(domain).or_default();
            *count = count.saturating_add(1);
        }
        let fresh = self.best.iter().find(|(_, _, domain)| !copies.contains_key(domain));
        let shared = || {
            let free = copies.iter().filter_map(|(domain, count)| {
                let members = self.domains.get(domain)?;
                let (burden, id) = members.iter().find(|(_, id)| range.role(id).is_none())?;
                Some((*count, *burden, *id))
            });
            free.min().map(|(count, _, id)| (id, count))
        };
        let (id, count) = fresh.map(|(_, id, _)| (*id, 0)).or_else(shared)?;
        Some((self.catalog.member(id)?, count))
    }

    /// Counts one more copy for `member`.
    pub(super) fn charge(&mut self, member: &'a Member) {
        let Some(held) = self.held.get(&member.id).copied() else { return };
        let domain = member.locality.domain.as_ref();
        let members = self.domains.entry(domain).or_default();
        if let Some((burden, id)) = members.first() {
            self.best.remove(&(*burden, *id, domain));
        }
        members.remove(&(Burden::new(held, member.locality.weight), &member.id));
        self.put(member, held.saturating_add(1));
    }

    fn put(&mut self, member: &'a Member, held: u64) {
        let domain = member.locality.domain.as_ref();
        let members = self.domains.entry(domain).or_default();
        if let Some((burden, id)) = members.first() {
            self.best.remove(&(*burden, *id, domain));
        }
        members.insert((Burden::new(held, member.locality.weight), &member.id));
        self.best.extend(members.first().map(|(burden, id)| (*burden, *id, domain)));
        self.held.insert(&member.id, held);
    }
}

impl Burden {
    fn new(held: u64, weight: u32) -> Self {
        // The next copy counts too, so that of members that hold nothing the heavier comes first.
        let held = (u128::from(held).saturating_add(1)) << 32;
        Self(held.checked_div(u128::from(weight)).unwrap_or(u128::MAX))
    }
}

/// Everyone with a copy of `range`.
pub(super) fn holders(range: &Range) -> impl Iterator<Item = &MemberId> {
    [&range.owner].into_iter().chain(&range.replicas).chain(&range.archives)
}
