//! Answers questions from the state.

use super::messages::{
    AuditPage, Authorities, AuthorityMessage, Collections, GrantMessage, Grants, HoldingsMessage, Members, Query,
    RangeItem, Ranges, RangesQuery, ReadResult, Recoveries, RefusedCode,
};
use super::server::refused;
use cp_catalog::{
    AuditChain, Authority, Catalog, ClientName, CollectionName, Holdings, Privileges, RangeId, RangeKey, codec,
};

/// The most ranges in one reply.
const PAGE_MAX: usize = 4096;
/// The most records of the audit in one reply.
const AUDIT_PAGE_MAX: usize = 1024;

fn invalid(message: impl Into<String>) -> ReadResult {
    ReadResult::Refused(refused(RefusedCode::Invalid, message))
}

pub(super) fn answer(query: &Query, catalog: &Catalog) -> ReadResult {
    match query {
        // What leases there are is no part of the state: the desk answers that.
        Query::Awaiting(_) => invalid("the state says nothing of leases; ask the leader"),
        Query::Node(_) | Query::Members(_) => ReadResult::Members(Members {
            members: catalog.members().map(|member| codec::encode_member(member).into()).collect(),
            holdings: catalog.members().map(|member| holdings(catalog.holdings(&member.id))).collect(),
        }),
        Query::Collections(_) => ReadResult::Collections(Collections {
            collections: catalog.collections().map(|spec| codec::encode_collection(spec).into()).collect(),
        }),
        Query::Recoveries(_) => ReadResult::Recoveries(Recoveries {
            recoveries: catalog.recoveries().iter().map(|recovery| codec::encode_recovery(recovery).into()).collect(),
        }),
        Query::Grants(_) => ReadResult::Grants(Grants {
            grants: catalog.grants().map(|(client, granted)| grant(client, granted)).collect(),
        }),
        Query::Authorities(_) => {
            ReadResult::Authorities(Authorities { authorities: catalog.authorities().map(authority).collect() })
        }
        Query::Audit(query) => {
            let AuditChain { count, head, forgotten, floor } = catalog.audit_chain();
            let records = catalog.audit_above(query.after).take(AUDIT_PAGE_MAX);
            ReadResult::Audit(AuditPage {
                records: records.map(|record| codec::encode_audit(record).into()).collect(),
                count,
                head: head.to_vec(),
                forgotten,
                floor: floor.to_vec(),
            })
        }
        Query::Ranges(query) => page(query, catalog),
        Query::Lookup(query) => match CollectionName::new(&query.collection) {
            Err(bad) => invalid(bad.to_string()),
            Ok(name) if catalog.collection(&name).is_none() => {
                invalid(format!("collection {name} does not exist; list the collections"))
            }
            Ok(name) => ReadResult::Ranges(Ranges {
                ranges: catalog.locate(&name, &query.key).map(|range| item(&name, range)).into_iter().collect(),
                more: false,
            }),
        },
    }
}

fn authority(authority: &Authority) -> AuthorityMessage {
    let Authority { group, holder, epoch, version } = authority;
    AuthorityMessage { group: group.to_string(), holder: holder.to_string(), epoch: epoch.0, version: version.0 }
}

fn grant(client: &ClientName, granted: Privileges) -> GrantMessage {
    let Privileges { read, operate, force } = granted;
    GrantMessage { client: client.to_string(), read, operate, force }
}

fn holdings(Holdings { owned, replicas, archives }: Holdings) -> HoldingsMessage {
    HoldingsMessage { owned, replicas, archives }
}

fn item(collection: &CollectionName, range: &cp_catalog::Range) -> RangeItem {
    RangeItem { collection: collection.to_string(), range: codec::encode_range(range).into() }
}

fn page(query: &RangesQuery, catalog: &Catalog) -> ReadResult {
    let only = match query.collection.as_deref().map(CollectionName::new).transpose() {
        Ok(only) => only,
        Err(bad) => return invalid(bad.to_string()),
    };
    if let Some(name) = only.as_ref().filter(|name| catalog.collection(name).is_none()) {
        return invalid(format!("collection {name} does not exist; list the collections"));
    }
    if let Some(id) = query.only {
        let Some(name) = only else { return invalid("the collection is missing; name it with the range") };
        let range = catalog.range(&RangeKey::new(name.clone(), RangeId(id)));
        return ReadResult::Ranges(Ranges {
            ranges: range.map(|range| item(&name, range)).into_iter().collect(),
            more: false,
        });
    }
    let limit = usize::try_from(query.limit).ok().filter(|limit| (1..PAGE_MAX).contains(limit)).unwrap_or(PAGE_MAX);
    let after = match &query.after {
        None => None,
        Some(after) => {
            let gone = || invalid(format!("range {}/{} is gone; list the ranges anew", after.collection, after.id));
            let Ok(name) = CollectionName::new(&after.collection) else { return gone() };
            let other = only.as_ref().is_some_and(|only| *only != name);
            let key = RangeKey::new(name, RangeId(after.id));
            let Some(range) = catalog.range(&key).filter(|_| !other) else { return gone() };
            Some((key.collection, range))
        }
    };
    // A page begins where the last one ended: nothing before it is read again.
    let begun = after.iter().flat_map(|(name, last)| catalog.ranges_after(name, last).map(move |range| (name, range)));
    let one = only.as_ref().filter(|_| after.is_none()).and_then(|name| catalog.collection(name));
    let rest = only.is_none().then(|| catalog.collections_after(after.as_ref().map(|(name, _)| name)));
    let specs = one.into_iter().chain(rest.into_iter().flatten());
    let whole = specs.flat_map(|spec| catalog.ranges(&spec.name).map(|range| (&spec.name, range)));
    let mut left = begun.chain(whole).peekable();
    let ranges = left.by_ref().take(limit).map(|(name, range)| item(name, range)).collect();
    ReadResult::Ranges(Ranges { ranges, more: left.peek().is_some() })
}

#[cfg(test)]
mod tests {
    use super::super::messages::RangeName;
    use super::*;
    use cp_catalog::{Bound, Bounds, Copies, FoundingMember, GroupName, Mode, NewRange, OwnershipCommand, Request};
    use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, MemberId, MemberKind};

    fn name(collection: &str) -> CollectionName {
        CollectionName::new(collection).unwrap()
    }

    /// Collections a, b and d with some ranges each, whose ids fall as their keys rise, and c without any.
    fn catalog() -> Catalog {
        let owner = MemberId::new("data-1").unwrap();
        let founder = FoundingMember {
            id: owner.clone(),
            kind: MemberKind::Data,
            addresses: cp_catalog::Addresses { peer: "10.0.0.1:1".to_owned(), ..Default::default() },
            locality: Default::default(),
            features: Default::default(),
        };
        let mut catalog = Catalog::genesis(ClusterId([1; 16]), Generation::default(), vec![founder]).unwrap();
        let mut index = 0;
        let mut apply = |command: OwnershipCommand| {
            index += 1;
            let entry = Request::new(None, command).to_entry().unwrap();
            assert!(catalog.apply(ControlPlaneLogIndex(index), &entry).verdict.is_done());
        };
        for (collection, ranges) in [("a", 3u8), ("b", 1), ("c", 0), ("d", 4)] {
            let (collection, group) = (name(collection), GroupName::new("shop").unwrap());
            apply(OwnershipCommand::CreateCollection { collection: collection.clone(), group, mode: Mode::Ordered });
            for at in 0..ranges {
                let [lower, upper] = [at, at + 1].map(|at| Bound::at(&[b'a' + at]).unwrap());
                apply(OwnershipCommand::CreateRange(NewRange {
                    range: RangeKey::new(collection.clone(), RangeId(u64::from(9 - at))),
                    mode: Mode::Ordered,
                    bounds: Bounds::new(lower, upper).unwrap(),
                    owner: owner.clone(),
                    replicas: Copies::default(),
                    archives: Copies::default(),
                    placement: Default::default(),
                }));
            }
        }
        catalog
    }

    fn ask(catalog: &Catalog, collection: Option<&str>, after: Option<(&str, u64)>, limit: u32) -> Option<Ranges> {
        let after = after.map(|(collection, id)| RangeName { collection: collection.to_owned(), id });
        let query = RangesQuery { collection: collection.map(str::to_owned), after, limit, ..RangesQuery::default() };
        match answer(&Query::Ranges(query), catalog) {
            ReadResult::Ranges(ranges) => Some(ranges),
            _ => None,
        }
    }

    fn keys(ranges: &Ranges) -> Vec<(String, u64)> {
        let id = |item: &RangeItem| codec::decode_range(&item.range).unwrap().id.0;
        ranges.ranges.iter().map(|item| (item.collection.clone(), id(item))).collect()
    }

    #[test]
    fn pages_of_any_length_give_every_range_once_in_order() {
        let catalog = catalog();
        for only in [None, Some("a"), Some("b"), Some("c"), Some("d")] {
            let whole = keys(&ask(&catalog, only, None, 0).unwrap());
            assert_eq!(
                whole.len(),
                match only {
                    None => 8,
                    Some("a") => 3,
                    Some("b") => 1,
                    Some("c") => 0,
                    _ => 4,
                }
            );
            for limit in 1..10 {
                let (mut all, mut more) = (Vec::new(), true);
                while more {
                    let after: Option<(String, u64)> = all.last().cloned();
                    let after = after.as_ref().map(|(collection, id)| (collection.as_str(), *id));
                    let page = ask(&catalog, only, after, limit).unwrap();
                    all.extend(keys(&page));
                    more = page.more;
                    assert!(all.len() <= whole.len());
                }
                assert_eq!(all, whole, "{only:?} in pages of {limit}");
            }
        }
    }

    #[test]
    fn a_range_that_is_gone_begins_no_page() {
        let catalog = catalog();
        for (only, after) in
            [(None, ("a", 1)), (None, ("no", 9)), (None, ("", 9)), (Some("b"), ("a", 9)), (Some("a"), ("b", 9))]
        {
            assert!(ask(&catalog, only, Some(after), 0).is_none(), "{only:?} {after:?}");
        }
        assert!(ask(&catalog, Some("no"), None, 0).is_none());
    }
}
