//! How the load is evened out.

use super::draft::Draft;
use super::evacuate::Planning;
use super::report::Tally;
use super::sites::{Held, LOAD_MAX, Site, Sites};
use super::{Observed, Plan, Reason, Warning};
use crate::catalog::Catalog;
use crate::command::OwnershipCommand;
use crate::id::{FailureDomain, RangeKey};
use crate::range::{Range, Role};
use cp_seam::MemberId;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How much is under way at a time, unless the caller says otherwise.
pub const MOVES_MAX: usize = 16;
/// The most hotspots that are named; the hottest are.
const HOTSPOTS_MAX: usize = 16;

/// What to propose so that copies are as many as wanted and every member owns its share of
/// the load, at most `moves_max` new copies and moves being under way at a time: a copy is
/// as long as it is seen to be behind, or not to be there.
///
/// A member's share goes by its disk times its weight. One that is over it by more than
/// 10 % gives ranges to members that have less for their weight: by a handoff to one that
/// has a hot copy, else by beginning a move. The heavier of the two is lighter after each,
/// so that planning again, the steps done, comes to an end. A move never puts copies
/// together in a failure domain that were apart. Loads that were not seen count as the
/// mean of those that were; above [`LOAD_MAX`] they count as that.
///
/// Warns of ranges with more than twice the mean load, of copies in fewer failure domains
/// than they could be, and of ranges that nobody may take a copy of.
pub fn rebalance(catalog: &Catalog, observed: &Observed, moves_max: usize) -> Plan {
    let mut planning = Planning::new(catalog, observed, None);
    let mut sites = Sites::new(catalog, observed);
    let mean = mean_load(catalog, observed);
    let mut survey = Survey::default();
    for (name, collection) in catalog.collections.iter() {
        for range in collection.by_key() {
            let key = RangeKey::new(name.clone(), range.id);
            let load = load_of(observed, &key).unwrap_or(mean);
            survey.look(&planning, &key, range, load, mean);
            sites.count(key, range, load);
        }
    }
    let mut room = moves_max.saturating_sub(survey.in_flight);
    let mut capped = false;
    let mut repaired = BTreeSet::new();
    for (key, range) in &survey.short {
        if room == 0 {
            capped = true;
            break;
        }
        let (copies, wanted) = (planning.hot_copies(range), range.placement.replication_factor);
        let mut draft = Draft::new(catalog, key.clone(), range);
        match planning.enlist(&mut draft, Role::Replica, None, Reason::Repair { copies, wanted }) {
            Some(_) => {
                repaired.insert(key.clone());
                room = room.saturating_sub(1);
            }
            None => survey.helpless.note(key),
        }
    }
    sites.order();
    capped |= even_out(&mut planning, catalog, &mut sites, &repaired, room);
    for (member, _) in sites
        .by_member
        .iter()
        .filter(|(member, _)| observed.members.get(**member).is_none_or(|seen| seen.disk_bytes.is_none()))
    {
        planning.plan.warnings.push(Warning::DiskUnseen { member: (*member).clone() });
    }
    let warnings = &mut planning.plan.warnings;
    survey.hottest.into_iter().rev().for_each(|(load, key)| {
        warnings.push(Warning::Hotspot { range: key.0, load, mean });
    });
    survey.spread.warn(warnings, Warning::Spread);
    survey.helpless.warn(warnings, Warning::TooFewCopies);
    if capped {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        warnings.push(Warning::Capped { moves_max: wide(moves_max), in_flight: wide(survey.in_flight) });
    }
    planning.finish()
}

/// Gives ranges of the heavy to the light while there is room. Whether more would be done.
fn even_out<'a>(
    planning: &mut Planning<'a>,
    catalog: &'a Catalog,
    sites: &mut Sites<'a>,
    repaired: &BTreeSet<RangeKey>,
    mut room: usize,
) -> bool {
    let mut stuck: BTreeSet<&MemberId> = BTreeSet::new();
    loop {
        let Some(from) = sites.overloaded().into_iter().find(|member| !stuck.contains(member)) else { return false };
        if room == 0 {
            return true;
        }
        let Some((to, at)) = relief(catalog, sites, repaired, from) else {
            planning.plan.warnings.push(Warning::Stuck { member: from.clone() });
            stuck.insert(from);
            continue;
        };
        let Some(site) = sites.by_member.get_mut(from).filter(|site| at < site.held.len()) else { return false };
        let Held { load, key, range } = site.held.remove(at);
        sites.shift(load, from, to);
        let mut draft = Draft::new(catalog, key, range);
        let reason = Reason::Share { owner: from.clone(), load };
        let taken = if range.role(to) == Some(Role::Replica) {
            let observed = planning.observed;
            let (command, awaits) = draft.hand_off(observed, to).map_or_else(|e| (Err(e), None), |(c, a)| (Ok(c), a));
            planning.propose(&draft, command, awaits, reason)
        } else {
            planning.placed(&draft);
            let (range, fence, target) = (draft.key.clone(), draft.range.fence(), to.clone());
            planning.propose(&draft, Ok(OwnershipCommand::BeginMove { range, fence, target }), None, reason)
        };
        room = room.saturating_sub(usize::from(taken));
    }
}

/// Who is best given something by `from`, and which of its ranges.
fn relief<'a>(
    catalog: &'a Catalog,
    sites: &Sites<'a>,
    repaired: &BTreeSet<RangeKey>,
    from: &MemberId,
) -> Option<(&'a MemberId, usize)> {
    let source = sites.by_member.get(from)?;
    sites.lighter(source).into_iter().find_map(|to| {
        let may = |held: &Held<'a>| !repaired.contains(&held.key) && suits(catalog, held, source, to);
        source.choose(to, may).map(|at| (&to.member.id, at))
    })
}

/// Whether the range may go to `to`: there is a hot copy, which the cutover brings up, or
/// none, and no more other copies in its failure domain than in the source's.
fn suits(catalog: &Catalog, held: &Held<'_>, source: &Site<'_>, to: &Site<'_>) -> bool {
    let range = held.range;
    match range.role(&to.member.id) {
        Some(Role::Owner | Role::Archive) => return false,
        Some(Role::Replica) => return true,
        None => {}
    }
    let others = |site: &Site<'_>| {
        let domain = site.member.locality.domain.as_ref();
        let copies = range.replicas.iter().chain(&range.archives);
        copies.filter(|copy| domain_of(catalog, copy) == domain).count()
    };
    others(to) <= others(source)
}

fn domain_of<'a>(catalog: &'a Catalog, member: &MemberId) -> Option<&'a FailureDomain> {
    catalog.member(member).and_then(|member| member.locality.domain.as_ref())
}

fn load_of(observed: &Observed, key: &RangeKey) -> Option<u64> {
    observed.ranges.get(key)?.load.map(|load| load.min(LOAD_MAX))
}

/// Of the loads that were seen, of ranges that exist; 1 if there are none.
fn mean_load(catalog: &Catalog, observed: &Observed) -> u64 {
    let seen = observed.ranges.keys().filter(|key| catalog.range(key).is_some());
    let (mut sum, mut count) = (0_u128, 0_u128);
    for load in seen.filter_map(|key| load_of(observed, key)) {
        sum = sum.saturating_add(u128::from(load));
        count = count.saturating_add(1);
    }
    sum.checked_div(count).and_then(|mean| u64::try_from(mean).ok()).unwrap_or(1)
}

/// What one look at every range shows.
#[derive(Debug, Default)]
struct Survey<'a> {
    in_flight: usize,
    short: Vec<(RangeKey, &'a Range)>,
    hottest: BTreeSet<(u64, Reverse<RangeKey>)>,
    spread: Tally,
    helpless: Tally,
}

impl<'a> Survey<'a> {
    fn look(&mut self, planning: &Planning<'_>, key: &RangeKey, range: &'a Range, load: u64, mean: u64) {
        let (catalog, observed) = (planning.catalog, planning.observed);
        let target = range.moving.as_deref().map(|moving| &moving.target);
        let copying = observed.copying(catalog, key, range).into_iter().filter(|member| Some(*member) != target);
        self.in_flight = self.in_flight.saturating_add(copying.count()).saturating_add(usize::from(target.is_some()));
        // Of an owner that is gone nobody can copy.
        if planning.hot_copies(range) < range.placement.replication_factor && !planning.is_gone(&range.owner) {
            self.short.push((key.clone(), range));
        }
        if load > mean.saturating_mul(2) {
            self.hottest.insert((load, Reverse(key.clone())));
            if self.hottest.len() > HOTSPOTS_MAX {
                self.hottest.pop_first();
            }
        }
        let domains: BTreeSet<_> =
            [&range.owner].into_iter().chain(&range.replicas).map(|copy| domain_of(catalog, copy)).collect();
        if domains.len() <= range.replicas.len() && planning.pool.has_domains_beyond(domains.len()) {
            self.spread.note(key);
        }
    }
}
