//! How the load lies: what each member has, and what its share would be.

use super::observed::Observed;
use crate::catalog::Catalog;
use crate::id::RangeKey;
use crate::member::Member;
use crate::range::Range;
use cp_seam::MemberId;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

/// What more than this a range is loaded with does not count.
pub const LOAD_MAX: u64 = 1 << 44;
/// Over its share by so many thousandths, a member gives something up.
const TOLERANCE_PER_MILLE: u128 = 100;
/// Weights are scaled to so many bits, so that no product overflows.
const WEIGHT_BITS: u32 = 32;

/// A range that a member owns and might give up.
#[derive(Debug)]
pub(super) struct Held<'a> {
    pub(super) load: u64,
    pub(super) key: RangeKey,
    pub(super) range: &'a Range,
}

/// A member among those that share the load.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) member: &'a Member,
    /// Its share is this part of all weights.
    weight: u64,
    /// Of the ranges that it owns once the moves in flight are through.
    load: u128,
    /// Those of them that are not moving, the largest first, then by name.
    pub(super) held: Vec<Held<'a>>,
}

/// The members that share the load, and how it lies.
#[derive(Debug)]
pub(super) struct Sites<'a> {
    pub(super) by_member: BTreeMap<&'a MemberId, Site<'a>>,
    total_load: u128,
    total_weight: u128,
}

impl<'a> Sites<'a> {
    /// The members that may own ranges, each weighing its disk times its weight; all disks
    /// count as equal if one is not known.
    pub(super) fn new(catalog: &'a Catalog, observed: &Observed) -> Self {
        let members: Vec<_> =
            catalog.members().filter(|m| m.eligibility().is_ok() && !observed.is_lost(&m.id)).collect();
        let known = members.iter().all(|member| disk(observed, &member.id).is_some());
        let weight = |member: &Member| {
            let disk = disk(observed, &member.id).filter(|_| known).unwrap_or(1);
            u128::from(disk).saturating_mul(u128::from(member.locality.weight))
        };
        let largest = members.iter().map(|member| weight(member)).max().unwrap_or_default();
        let shift = u128::BITS.saturating_sub(largest.leading_zeros()).saturating_sub(WEIGHT_BITS);
        let mut by_member = BTreeMap::new();
        for member in members {
            let exact = weight(member);
            // Who has any weight keeps some.
            let weight = u64::try_from(exact >> shift).unwrap_or(u64::MAX).max(u64::from(exact > 0));
            by_member.insert(&member.id, Site { member, weight, load: 0, held: Vec::new() });
        }
        let total_weight = by_member.values().map(|site| u128::from(site.weight)).sum();
        Self { by_member, total_load: 0, total_weight }
    }

    /// Counts a range for who owns it, or is about to.
    pub(super) fn count(&mut self, key: RangeKey, range: &'a Range, load: u64) {
        let owner = range.moving.as_deref().map_or(&range.owner, |moving| &moving.target);
        let Some(site) = self.by_member.get_mut(owner) else { return };
        let load = load.min(LOAD_MAX);
        site.load = site.load.saturating_add(u128::from(load));
        self.total_load = self.total_load.saturating_add(u128::from(load));
        if range.moving.is_none() && load > 0 {
            site.held.push(Held { load, key, range });
        }
    }

    pub(super) fn order(&mut self) {
        let by_size = |held: &Held<'_>| (Reverse(held.load), held.key.clone());
        self.by_member.values_mut().for_each(|site| site.held.sort_by_cached_key(by_size));
    }

    /// The members that are over their share by more than is tolerated, the heaviest first.
    pub(super) fn overloaded(&self) -> Vec<&'a MemberId> {
        let mut over: Vec<_> = self.by_member.values().filter(|site| self.is_over(site)).collect();
        over.sort_by(|a, b| b.heaviness(a).then_with(|| a.member.id.cmp(&b.member.id)));
        over.into_iter().map(|site| &site.member.id).collect()
    }

    fn is_over(&self, site: &Site<'_>) -> bool {
        let has = site.load.saturating_mul(self.total_weight).saturating_mul(1000);
        let may = self.total_load.saturating_mul(u128::from(site.weight));
        has > may.saturating_mul(TOLERANCE_PER_MILLE.saturating_add(1000))
    }

    /// The members that have less for their weight than `source` has, the lightest first.
    pub(super) fn lighter(&self, source: &Site<'_>) -> Vec<&Site<'a>> {
        let lighter = |site: &&Site<'_>| site.weight > 0 && site.heaviness(source) == Ordering::Less;
        let mut lighter: Vec<_> = self.by_member.values().filter(lighter).collect();
        lighter.sort_by(|a, b| a.heaviness(b).then_with(|| a.member.id.cmp(&b.member.id)));
        lighter
    }

    pub(super) fn shift(&mut self, load: u64, from: &MemberId, to: &MemberId) {
        if let Some(site) = self.by_member.get_mut(from) {
            site.load = site.load.saturating_sub(u128::from(load));
        }
        if let Some(site) = self.by_member.get_mut(to) {
            site.load = site.load.saturating_add(u128::from(load));
        }
    }
}

impl<'a> Site<'a> {
    /// Compares loads in relation to weights. Any load is too much for no weight.
    fn heaviness(&self, other: &Self) -> Ordering {
        let (own, others) = (u128::from(self.weight), u128::from(other.weight));
        self.load.saturating_mul(others).cmp(&other.load.saturating_mul(own))
    }

    /// Which of the ranges that `may` go to `to` is best given to it: the largest that
    /// leaves `to` no heavier than this, else the smallest that leaves it lighter than this
    /// is now. So the heavier of the two is lighter after, and planning ends.
    pub(super) fn choose(&self, to: &Site<'_>, may: impl Fn(&Held<'a>) -> bool) -> Option<usize> {
        let (own, others) = (u128::from(self.weight), u128::from(to.weight));
        let evens = |held: &Held<'_>| {
            let load = u128::from(held.load);
            to.load.saturating_add(load).saturating_mul(own) <= self.load.saturating_sub(load).saturating_mul(others)
        };
        let helps = |held: &Held<'_>| {
            let load = to.load.saturating_add(u128::from(held.load));
            load.saturating_mul(own) < self.load.saturating_mul(others)
        };
        let (first_even, first_help) =
            (self.held.partition_point(|h| !evens(h)), self.held.partition_point(|h| !helps(h)));
        let even = || self.held.iter().enumerate().skip(first_even).find(|(_, held)| may(held));
        let help = || {
            let between = self.held.iter().enumerate().take(first_even).skip(first_help);
            between.rev().find(|(_, held)| may(held))
        };
        even().or_else(help).map(|(at, _)| at)
    }
}

fn disk(observed: &Observed, member: &MemberId) -> Option<u64> {
    observed.members.get(member)?.disk_bytes
}
