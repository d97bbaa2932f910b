//! Answers questions from the state.

use super::messages::{
    AuditPage, Collections, GrantMessage, Grants, HoldingsMessage, Members, Query, RangeItem, Ranges, RangesQuery,
    ReadResult, Recoveries, RefusedCode,
};
use super::server::refused;
use cp_catalog::{AuditChain, Catalog, ClientName, CollectionName, Holdings, Privileges, RangeId, RangeKey, codec};

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
    let wanted = |name: &CollectionName| {
        only.as_ref().is_none_or(|only| only == name)
            && query.after.as_ref().is_none_or(|after| name.as_str() >= after.collection.as_str())
    };
    let mut left = catalog
        .collections()
        .filter(|spec| wanted(&spec.name))
        .flat_map(|spec| catalog.ranges(&spec.name).map(|range| (&spec.name, range)))
        .peekable();
    if let Some(after) = &query.after {
        let before = |name: &CollectionName, id| name.as_str() == after.collection && id != after.id;
        while left.next_if(|(name, range)| before(name, range.id.0)).is_some() {}
        if left.next_if(|(name, range)| name.as_str() == after.collection && range.id.0 == after.id).is_none() {
            return invalid(format!("range {}/{} is gone; list the ranges anew", after.collection, after.id));
        }
    }
    let ranges = left.by_ref().take(limit).map(|(name, range)| item(name, range)).collect();
    ReadResult::Ranges(Ranges { ranges, more: left.next().is_some() })
}
