//! A state being rebuilt from chunks.

use super::{Body, Chunk, SNAPSHOT_FORMAT};
use crate::audit::{AuditChain, AuditRecord};
use crate::catalog::{Catalog, Holdings};
use crate::codec::record::{self, RangeRecord};
use crate::codec::{DecodeError, malformed};
use crate::collection::Collection;
use crate::hash::ByName;
use crate::id::RangeId;
use crate::level::FEATURE_LEVEL;
use crate::member::Member;
use crate::range::{Authority, CollectionSpec};
use crate::recovery::Recovery;
use crate::session::{Session, SessionHeader};
use cp_seam::{MemberId, SnapshotError};
use prost::Message;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A state being rebuilt from chunks.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    catalog: Catalog,
    next_ordinal: u64,
    whole: bool,
    /// Inserted once its ranges are known.
    collection: Option<Collection>,
    /// The members, so that ranges share their names, and what they hold. Never iterated.
    names: HashMap<String, (MemberId, Holdings), ByName>,
    /// Inserted once its replies are known.
    session: Option<Session>,
}

fn damaged(what: impl Into<String>) -> SnapshotError {
    SnapshotError::Damaged { what: what.into() }
}

impl Builder {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let chunk = Chunk::decode(bytes).map_err(|_| damaged(format!("chunk {} is no message", self.next_ordinal)))?;
        match chunk.format {
            0 => return Err(damaged(format!("chunk {} has no format", self.next_ordinal))),
            1..=SNAPSHOT_FORMAT => {}
            found => return Err(SnapshotError::Newer { found, known: SNAPSHOT_FORMAT }),
        }
        if self.whole || chunk.ordinal != self.next_ordinal {
            return Err(damaged(format!("chunk {} came in place of chunk {}", chunk.ordinal, self.next_ordinal)));
        }
        self.next_ordinal += 1;
        self.whole = chunk.last;
        for record in chunk.records {
            let body = record.body.ok_or_else(|| damaged("a record is empty"))?;
            if let Body::Meta(meta) = &body
                && meta.feature_level > FEATURE_LEVEL
            {
                return Err(SnapshotError::Newer { found: meta.feature_level, known: FEATURE_LEVEL });
            }
            self.take(body).map_err(|error| damaged(format!("chunk {}: {error}", chunk.ordinal)))?;
        }
        Ok(())
    }

    /// The state, if it is whole. Its digest is computed from its records.
    pub(crate) fn finish(mut self) -> Result<Catalog, SnapshotError> {
        self.close_session();
        self.close_collection();
        if !self.whole {
            return Err(damaged("the last chunk is missing"));
        }
        if self.catalog.is_vacant() {
            return Err(damaged("it names no cluster"));
        }
        if !self.catalog.audit.is_whole() {
            return Err(damaged("its audit is no chain"));
        }
        let members: Vec<_> = self.catalog.members().map(|member| member.id.clone()).collect();
        for (id, held) in members.iter().filter_map(|id| self.names.get(id.as_str())) {
            if *held != Holdings::default() {
                self.catalog.edit_holdings(id, |holdings| holdings.add(held));
            }
        }
        Ok(self.catalog)
    }

    fn take(&mut self, body: Body) -> Result<(), DecodeError> {
        let catalog = &mut self.catalog;
        if catalog.is_vacant() != matches!(body, Body::Meta(_)) {
            return Err(malformed("the cluster's record"));
        }
        match body {
            Body::Meta(record) => {
                catalog.meta = record.try_into()?;
                catalog.sum.add(&record::hash_meta(&catalog.meta));
            }
            Body::Recovery(record) => {
                let recovery: Recovery = record.try_into()?;
                let latest = catalog.recoveries().last().map(|last| last.previous.number);
                once(latest.is_none_or(|latest| latest < recovery.previous.number))?;
                catalog.put_recovery(recovery);
            }
            Body::Grant(record) => {
                let (client, privileges) = record.decode_grant()?;
                once(catalog.grants.get(&client).is_none() && !privileges.is_empty())?;
                catalog.put_grant(client, privileges);
            }
            Body::AuditChain(record) => {
                let chain: AuditChain = record.try_into()?;
                once(catalog.audit.chain.count == 0 && chain.count > 0)?;
                catalog.edit_chain(|it| *it = chain);
            }
            Body::Audit(record) => {
                let record: AuditRecord = record.try_into()?;
                let kept = u64::try_from(catalog.audit.kept.len()).unwrap_or(u64::MAX);
                let next = catalog.audit.chain.forgotten.checked_add(kept).and_then(|last| last.checked_add(1));
                once(next == Some(record.sequence))?;
                catalog.keep_audit(record);
            }
            Body::Member(record) => {
                let member: Member = record.try_into()?;
                once(catalog.member(&member.id).is_none())?;
                self.names.insert(member.id.as_str().to_owned(), (member.id.clone(), Holdings::default()));
                catalog.put_member(member);
            }
            Body::Authority(record) => {
                let authority: Authority = record.try_into()?;
                once(catalog.authority(&authority.group).is_none())?;
                catalog.put_authority(authority);
            }
            Body::Collection(record) => {
                let spec: CollectionSpec = record.try_into()?;
                self.close_collection();
                once(self.catalog.collection(&spec.name).is_none())?;
                self.catalog.sum.add(&record::hash_collection(&spec));
                self.collection = Some(Collection::new(spec));
            }
            Body::Range(record) => self.take_range(record)?,
            Body::Retired(id) => {
                let there = self.collection.as_mut().ok_or(malformed("collection"))?;
                once(!there.is_retired(RangeId(id)))?;
                there.note_retired(RangeId(id));
                catalog.sum.add(&record::hash_retired(&there.spec.name, RangeId(id)));
            }
            Body::Client(record) => {
                self.close_session();
                let header: SessionHeader = record.try_into()?;
                once(!self.catalog.sessions.knows(&header.client))?;
                self.session = Some(Session { header, replies: VecDeque::new() });
            }
            Body::Reply(record) => {
                let session = self.session.as_mut().ok_or(malformed("client"))?;
                let reply = record.decode_reply()?;
                once(session.replies.back().is_none_or(|last| last.0 < reply.0))?;
                session.replies.push_back(reply);
            }
        }
        Ok(())
    }

    fn take_range(&mut self, record: RangeRecord) -> Result<(), DecodeError> {
        let there = self.collection.as_mut().ok_or(malformed("collection"))?;
        let mut range = record.into_range(|name| self.names.get(name).map(|(id, _)| id.clone()))?;
        once(there.has_room_for(&range))?;
        let catalog = &mut self.catalog;
        range.placement = catalog.placements.share(range.placement);
        there.share_keys(&mut range);
        catalog.sum.add(&record::hash_range(&there.spec.name, &range));
        catalog.range_count += 1;
        // Who is no member (yet) is counted in the state at once.
        let mut count = |member: &MemberId, one: Holdings| match self.names.get_mut(member.as_str()) {
            Some((_, held)) => held.add(&one),
            None => catalog.edit_holdings(member, |holdings| holdings.add(&one)),
        };
        count(&range.owner, Holdings { owned: 1, ..Holdings::default() });
        range.replicas.iter().for_each(|member| count(member, Holdings { replicas: 1, ..Holdings::default() }));
        range.archives.iter().for_each(|member| count(member, Holdings { archives: 1, ..Holdings::default() }));
        there.put(Arc::new(range));
        Ok(())
    }

    fn close_collection(&mut self) {
        if let Some(collection) = self.collection.take() {
            self.catalog.collections.insert(Arc::new(collection));
        }
    }

    fn close_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.catalog.sum.add(&record::hash_client(&session.header));
            for (sequence, verdict) in &session.replies {
                self.catalog.sum.add(&record::hash_reply(&session.header.client, *sequence, verdict));
            }
            self.catalog.sessions.insert(Arc::new(session));
        }
    }
}

/// A record comes once: the digest adds up what is read, and must speak for the state.
fn once(new: bool) -> Result<(), DecodeError> {
    if new { Ok(()) } else { Err(malformed("a record that comes once")) }
}

#[cfg(test)]
mod tests {
    use super::super::Record;
    use super::*;
    use crate::bounds::{Bound, Bounds, Mode};
    use crate::catalog::Meta;
    use crate::codec::record::{AuthorityRecord, CollectionRecord};
    use crate::id::{CollectionName, Epoch, GroupName, Version};
    use crate::range::{Copies, Range};

    fn meta() -> Body {
        Body::Meta((&Meta { cluster: Some(cp_seam::ClusterId([1; 16])), ..Meta::default() }).into())
    }

    fn collection(name: &str) -> Body {
        let (name, group) = (CollectionName::new(name).unwrap(), GroupName::new("g").unwrap());
        Body::Collection(CollectionRecord::from(&CollectionSpec { name, group, mode: Mode::Ordered }))
    }

    fn authority() -> Body {
        let (group, holder) = (GroupName::new("g").unwrap(), MemberId::new("a").unwrap());
        Body::Authority(AuthorityRecord::from(&Authority { group, holder, epoch: Epoch(1), version: Version(1) }))
    }

    fn range(id: u64, lower: &str, upper: &str) -> Body {
        let at = |text: &str| Bound::at(text.as_bytes()).unwrap();
        Body::Range(RangeRecord::from(&Range {
            id: RangeId(id),
            bounds: Bounds::new(at(lower), at(upper)).unwrap(),
            owner: MemberId::new("a").unwrap(),
            replicas: Copies::default(),
            archives: Copies::default(),
            epoch: Epoch(1),
            version: Version(1),
            placement: Arc::default(),
            moving: None,
        }))
    }

    fn built(bodies: Vec<Body>) -> Result<Catalog, SnapshotError> {
        let records = bodies.into_iter().map(|body| Record { body: Some(body) }).collect();
        let chunk = Chunk { format: SNAPSHOT_FORMAT, ordinal: 0, last: true, records };
        let mut builder = Builder::default();
        builder.push(&chunk.encode_to_vec())?;
        builder.finish()
    }

    #[test]
    fn a_record_that_comes_twice_or_overlaps_is_damage() {
        let whole = || {
            let first =
                [meta(), authority(), collection("a"), range(2, "c", "f"), range(1, "f", "h"), Body::Retired(3)];
            first.into_iter().chain([collection("b"), range(1, "c", "f")]).collect::<Vec<_>>()
        };
        let catalog = built(whole()).unwrap();
        assert_eq!((catalog.range_count(), catalog.collections().count()), (3, 2));
        assert_eq!(catalog.holdings(&MemberId::new("a").unwrap()).owned, 3, "also of who is no member");
        for (what, more) in [
            ("the cluster twice", meta()),
            ("an authority twice", authority()),
            ("a collection twice", collection("a")),
            ("the open collection twice", collection("b")),
            ("a range's id twice", range(1, "x", "y")),
            ("a range that overlaps the last", range(9, "e", "g")),
            ("a range that overlaps the first", range(9, "a", "d")),
            ("a range within another", range(9, "d", "e")),
        ] {
            let bodies = whole().into_iter().chain([more]).collect();
            assert!(matches!(built(bodies), Err(SnapshotError::Damaged { .. })), "{what}");
        }
        let mut twice = whole();
        twice.insert(6, Body::Retired(3));
        assert!(matches!(built(twice), Err(SnapshotError::Damaged { .. })), "a retired id twice");
        assert!(built(vec![meta(), range(1, "a", "b")]).is_err(), "a range of no collection");
    }
}
