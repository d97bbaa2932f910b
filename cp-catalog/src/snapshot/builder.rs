//! A state being rebuilt from chunks.

use super::{Body, Chunk, SNAPSHOT_FORMAT};
use crate::catalog::Catalog;
use crate::codec::{DecodeError, malformed, record};
use crate::id::{CollectionName, RangeId};
use crate::level::FEATURE_LEVEL;
use crate::member::Member;
use crate::range::{Authority, CollectionSpec, Copies, Placement, Range};
use crate::recovery::Recovery;
use crate::session::{Session, SessionHeader};
use cp_seam::{MemberId, SnapshotError};
use prost::Message;
use std::collections::VecDeque;
use std::sync::Arc;

/// A state being rebuilt from chunks.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    catalog: Catalog,
    next_ordinal: u64,
    whole: bool,
    collection: Option<CollectionName>,
    /// Inserted once its replies are known.
    session: Option<Session>,
    /// Ranges tend to share their placement with the one before.
    placement: Option<Arc<Placement>>,
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
        if !self.whole {
            return Err(damaged("the last chunk is missing"));
        }
        if self.catalog.is_vacant() {
            return Err(damaged("it names no cluster"));
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
            Body::Member(record) => {
                let member: Member = record.try_into()?;
                once(catalog.member(&member.id).is_none())?;
                catalog.put_member(member);
            }
            Body::Authority(record) => {
                let authority: Authority = record.try_into()?;
                once(catalog.authority(&authority.group).is_none())?;
                catalog.put_authority(authority);
            }
            Body::Collection(record) => {
                let spec: CollectionSpec = record.try_into()?;
                once(catalog.collection(&spec.name).is_none())?;
                self.collection = Some(spec.name.clone());
                catalog.put_collection(spec);
            }
            Body::Range(record) => {
                let name = self.collection.as_ref().ok_or(malformed("collection"))?;
                let range = share(catalog, &mut self.placement, record.try_into()?);
                let there = catalog.collections.get(name).ok_or(malformed("collection"))?;
                once(there.get(range.id).is_none() && there.overlapping(&range.bounds).is_none())?;
                catalog.put_range(name, range);
            }
            Body::Retired(id) => {
                let name = self.collection.as_ref().ok_or(malformed("collection"))?;
                once(!catalog.collections.get(name).is_some_and(|there| there.is_retired(RangeId(id))))?;
                catalog.note_retired(name, RangeId(id));
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

/// `range` with its names and placement shared with the rest of the state.
fn share(catalog: &Catalog, placement: &mut Option<Arc<Placement>>, mut range: Range) -> Range {
    let copies = |copies: &Copies| copies.iter().map(|id| shared_name(catalog, id)).collect();
    range.owner = shared_name(catalog, &range.owner);
    range.replicas = copies(&range.replicas);
    range.archives = copies(&range.archives);
    match placement {
        Some(shared) if **shared == *range.placement => range.placement = shared.clone(),
        _ => *placement = Some(range.placement.clone()),
    }
    range
}

fn shared_name(catalog: &Catalog, id: &MemberId) -> MemberId {
    catalog.member(id).map_or_else(|| id.clone(), |member| member.id.clone())
}
