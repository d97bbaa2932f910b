//! A state being rebuilt from chunks.

use super::loading::{Loading, once};
use super::{Body, Chunk, MergedRecord, Record, SNAPSHOT_FORMAT};
use crate::audit::{AuditChain, AuditRecord};
use crate::catalog::Catalog;
use crate::codec::canonical::{Known, Wire, read_range};
use crate::codec::range::read_placement;
use crate::codec::record::{self, RangeRecord};
use crate::codec::{DecodeError, malformed};
use crate::hashed::HashedRange;
use crate::holders::Holders;
use crate::id::RangeId;
use crate::level::FEATURE_LEVEL;
use crate::member::Member;
use crate::range::{Authority, CollectionSpec, Placement};
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
    /// Inserted once its ranges are known.
    collection: Option<Loading>,
    seen: Seen,
    /// Inserted once its replies are known.
    session: Option<Session>,
    /// How many ranges were read in the bytes that this release writes.
    #[cfg(test)]
    read_in_place: usize,
}

/// What ranges refer to again and again.
#[derive(Debug, Default)]
struct Seen {
    /// The last placements, by their one encoding.
    placements: Vec<(Vec<u8>, Arc<Placement>)>,
    /// The numbers of the members that the last range names.
    holders: Vec<u32>,
}

/// How many placements are known by their bytes.
const PLACEMENTS_MAX: usize = 16;

impl Known for (&mut Seen, &Holders) {
    fn member(&mut self, name: &[u8]) -> Option<MemberId> {
        let (id, number) = self.1.entry(std::str::from_utf8(name).ok()?)?;
        self.0.holders.push(number);
        Some(id.clone())
    }

    fn placement(&mut self, bytes: &[u8]) -> Option<Arc<Placement>> {
        let known = &mut self.0.placements;
        if let Some((_, placement)) = known.iter().find(|(other, _)| other == bytes) {
            return Some(placement.clone());
        }
        let placement = Arc::new(read_placement(bytes)?);
        if known.len() >= PLACEMENTS_MAX {
            known.remove(0);
        }
        known.push((bytes.to_vec(), placement.clone()));
        Some(placement)
    }
}

fn damaged(what: impl Into<String>) -> SnapshotError {
    SnapshotError::Damaged { what: what.into() }
}

/// A chunk as this release writes it: what stands before its records, and where they begin.
fn header(bytes: &[u8]) -> Option<(Chunk, Wire<'_>)> {
    let mut wire = Wire::new(bytes);
    let (format, ordinal) = (u32::try_from(wire.number(1)?).ok()?, wire.number(2)?);
    let last = wire.number(3)?;
    let records = wire;
    while !wire.is_empty() {
        wire.field(CHUNK_RECORDS)?;
    }
    (last <= 1).then_some((Chunk { format, ordinal, last: last == 1, records: Vec::new() }, records))
}

const CHUNK_RECORDS: u8 = 4;
const RECORD_RANGE: u8 = 5;

impl Builder {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let no_message = |ordinal| damaged(format!("chunk {ordinal} is no message"));
        let (chunk, mut wire) = match header(bytes) {
            Some(found) => found,
            None => (Chunk::decode(bytes).map_err(|_| no_message(self.next_ordinal))?, Wire::new(&[])),
        };
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
        while let Some(bytes) = wire.field(CHUNK_RECORDS) {
            if !self.take_written_range(bytes) {
                let record = Record::decode(bytes).map_err(|_| no_message(chunk.ordinal))?;
                self.take_record(record, chunk.ordinal)?;
            }
        }
        chunk.records.into_iter().try_for_each(|record| self.take_record(record, chunk.ordinal))
    }

    /// The state, if it is whole. Its digest is computed from its records.
    pub(crate) fn finish(mut self) -> Result<Catalog, SnapshotError> {
        self.close_session();
        self.close_collection().map_err(|error| damaged(error.to_string()))?;
        if !self.whole {
            return Err(damaged("the last chunk is missing"));
        }
        if self.catalog.is_vacant() {
            return Err(damaged("it names no cluster"));
        }
        if !self.catalog.audit.is_whole() {
            return Err(damaged("its audit is no chain"));
        }
        Ok(self.catalog)
    }

    fn take_record(&mut self, record: Record, ordinal: u64) -> Result<(), SnapshotError> {
        let body = record.body.ok_or_else(|| damaged("a record is empty"))?;
        if let Body::Meta(meta) = &body
            && meta.feature_level > FEATURE_LEVEL
        {
            return Err(SnapshotError::Newer { found: meta.feature_level, known: FEATURE_LEVEL });
        }
        self.take(body).map_err(|error| damaged(format!("chunk {ordinal}: {error}")))
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
                catalog.holders.number(&member.id);
                catalog.put_member(member);
            }
            Body::Authority(record) => {
                let authority: Authority = record.try_into()?;
                once(catalog.authority(&authority.group).is_none())?;
                catalog.put_authority(authority);
            }
            Body::Collection(record) => {
                let spec: CollectionSpec = record.try_into()?;
                self.close_collection()?;
                once(self.catalog.collection(&spec.name).is_none())?;
                self.catalog.sum.add(&record::hash_collection(&spec));
                self.collection = Some(Loading::new(spec));
            }
            Body::Range(record) => self.take_range(record)?,
            Body::Retired(id) => self.take_retired(id, None)?,
            Body::Merged(MergedRecord { id, into }) => self.take_retired(id, Some(RangeId(into)))?,
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

    /// Takes a range in the bytes that this release writes for it; whether they are such.
    fn take_written_range(&mut self, record: &[u8]) -> bool {
        let mut wire = Wire::new(record);
        let (Some(bytes), Some(there)) = (wire.field(RECORD_RANGE), &mut self.collection) else { return false };
        let (catalog, seen) = (&mut self.catalog, &mut self.seen);
        seen.holders.clear();
        let Some(range) = read_range(bytes, &mut (&mut *seen, &catalog.holders)) else { return false };
        let Some((owner, others)) = seen.holders.split_first().filter(|_| wire.is_empty()) else { return false };
        let range = HashedRange::written(&there.collection.spec.name, range, bytes);
        catalog.sum.add(range.hash());
        catalog.holders.edit_by(*owner, |held| held.owned += 1);
        let (replicas, others) = others.split_at_checked(range.replicas.len()).unwrap_or_default();
        replicas.iter().for_each(|number| catalog.holders.edit_by(*number, |held| held.replicas += 1));
        let archives = others.iter().take(range.archives.len());
        archives.for_each(|number| catalog.holders.edit_by(*number, |held| held.archives += 1));
        catalog.range_count += 1;
        there.push(range, *owner);
        #[cfg(test)]
        {
            self.read_in_place += 1;
        }
        true
    }

    fn take_retired(&mut self, id: u64, into: Option<RangeId>) -> Result<(), DecodeError> {
        let there = &mut self.collection.as_mut().ok_or(malformed("collection"))?.collection;
        let id = RangeId(id);
        once(!there.is_retired(id))?;
        there.note_retired(id, into);
        self.catalog.sum.add(&record::hash_retired(&there.spec.name, id, into));
        Ok(())
    }

    fn take_range(&mut self, record: RangeRecord) -> Result<(), DecodeError> {
        let there = self.collection.as_mut().ok_or(malformed("collection"))?;
        let catalog = &mut self.catalog;
        let mut range = record.into_range(|name| catalog.holders.entry(name).map(|(id, _)| id.clone()))?;
        range.placement = catalog.placements.share(range.placement);
        let range = HashedRange::new(&there.collection.spec.name, range);
        catalog.sum.add(range.hash());
        catalog.range_count += 1;
        let owner = catalog.holders.number(&range.owner);
        catalog.holders.edit_by(owner, |held| held.owned += 1);
        range.replicas.iter().for_each(|member| catalog.holders.edit(member, |held| held.replicas += 1));
        range.archives.iter().for_each(|member| catalog.holders.edit(member, |held| held.archives += 1));
        there.push(range, owner);
        Ok(())
    }

    fn close_collection(&mut self) -> Result<(), DecodeError> {
        if let Some(loading) = self.collection.take() {
            self.catalog.collections.insert(Arc::new(loading.finish()?));
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

#[cfg(test)]
mod tests;
