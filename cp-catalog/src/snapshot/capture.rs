//! A captured state, read in chunks.

use super::{Body, Chunk, MergedRecord, Record, SNAPSHOT_FORMAT};
use crate::access::ClientName;
use crate::catalog::Catalog;
use crate::codec::audit::GrantRecord;
use crate::codec::range::{delimited_len, message, write_range};
use crate::codec::record::ReplyRecord;
use crate::id::{CollectionName, GroupName, RangeId};
use crate::range::Range;
use crate::request::ClientId;
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Halt, MemberId, SnapshotReader, StateDigest};
use prost::Message;
use std::fmt;

/// A chunk is closed above this; no step of a stage writes as much as the rest of its limit.
pub(crate) const CHUNK_SOFT_MAX_BYTES: usize = 512 << 10;

/// Where a capture goes on: after the key that each stage names.
#[derive(Debug, Clone)]
enum Stage {
    Meta,
    Recoveries(usize),
    Grants(Option<ClientName>),
    AuditChain,
    Audit(Option<u64>),
    Members(Option<MemberId>),
    Authorities(Option<GroupName>),
    Collections(Option<CollectionName>),
    Ranges(CollectionName, Option<RangeId>),
    Retired(CollectionName, Option<RangeId>),
    Clients(Option<ClientId>),
    Done,
}

/// A captured state, read in chunks.
pub(crate) struct Capture {
    catalog: Catalog,
    index: ControlPlaneLogIndex,
    stage: Stage,
    ordinal: u64,
    chunk_bytes: usize,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("index", &self.index).field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// The encoded records of a chunk, until it is full.
struct Page {
    records: Vec<u8>,
    /// One range, before it is known how long it is.
    range: Vec<u8>,
    size: usize,
    full_at: usize,
}

/// The fields that [`Page::push_range`] writes.
const CHUNK_RECORDS: u32 = 4;
const RECORD_RANGE: u32 = 5;

impl Page {
    fn push(&mut self, body: Body) {
        let record = Record { body: Some(body) };
        let len = record.encoded_len();
        self.size += len + 4;
        message(CHUNK_RECORDS, len, &mut self.records);
        record.encode_raw(&mut self.records);
    }

    /// As `push` of the range's message, which is not made.
    fn push_range(&mut self, range: &Range) {
        self.range.clear();
        write_range(range, &mut self.range);
        let len = delimited_len(RECORD_RANGE, self.range.len());
        self.size += len + 4;
        message(CHUNK_RECORDS, len, &mut self.records);
        message(RECORD_RANGE, self.range.len(), &mut self.records);
        self.records.extend_from_slice(&self.range);
    }

    fn is_full(&self) -> bool {
        self.size >= self.full_at
    }

    /// Writes `items` until the page is full; the key of the last one written, if it is.
    fn fill<T, K>(&mut self, items: impl Iterator<Item = T>, write: impl Fn(&mut Self, T) -> K) -> Option<K> {
        for item in items {
            let key = write(self, item);
            if self.is_full() {
                return Some(key);
            }
        }
        None
    }
}

impl Capture {
    pub(crate) fn new(catalog: Catalog, index: ControlPlaneLogIndex, chunk_bytes: usize) -> Self {
        Self { catalog, index, stage: Stage::Meta, ordinal: 0, chunk_bytes }
    }

    /// Writes one stage as far as the page allows, and says where to go on.
    fn step(&self, page: &mut Page) -> Stage {
        let catalog = &self.catalog;
        match &self.stage {
            Stage::Meta => {
                page.push(Body::Meta((&catalog.meta).into()));
                Stage::Recoveries(0)
            }
            Stage::Recoveries(done) => {
                let rest = catalog.recoveries().iter().enumerate().skip(*done);
                let full = page.fill(rest, |page, (at, recovery)| {
                    page.push(Body::Recovery(recovery.into()));
                    at + 1
                });
                full.map_or(Stage::Grants(None), Stage::Recoveries)
            }
            Stage::Grants(after) => {
                let grants = catalog.grants.iter_above(after.as_ref());
                let full = page.fill(grants, |page, (client, privileges)| {
                    page.push(Body::Grant(GrantRecord::new(client, *privileges)));
                    client.clone()
                });
                full.map_or(Stage::AuditChain, |last| Stage::Grants(Some(last)))
            }
            Stage::AuditChain => {
                if catalog.audit.chain.count > 0 {
                    page.push(Body::AuditChain((&catalog.audit.chain).into()));
                }
                Stage::Audit(None)
            }
            Stage::Audit(after) => {
                let full = page.fill(catalog.audit.kept.iter_above(after.as_ref()), |page, (sequence, record)| {
                    page.push(Body::Audit((&**record).into()));
                    *sequence
                });
                full.map_or(Stage::Members(None), |last| Stage::Audit(Some(last)))
            }
            Stage::Members(after) => {
                let members = catalog.members.iter_above(after.as_ref());
                let full = page.fill(members, |page, (id, member)| {
                    page.push(Body::Member((&**member).into()));
                    id.clone()
                });
                full.map_or(Stage::Authorities(None), |last| Stage::Members(Some(last)))
            }
            Stage::Authorities(after) => {
                let authorities = catalog.authorities.iter_above(after.as_ref());
                let full = page.fill(authorities, |page, (group, authority)| {
                    page.push(Body::Authority((&**authority).into()));
                    group.clone()
                });
                full.map_or(Stage::Collections(None), |last| Stage::Authorities(Some(last)))
            }
            Stage::Collections(after) => match catalog.collections.iter_above(after.as_ref()).next() {
                None => Stage::Clients(None),
                Some((name, collection)) => {
                    page.push(Body::Collection((&collection.spec).into()));
                    Stage::Ranges(name.clone(), None)
                }
            },
            Stage::Ranges(name, after) => {
                let ranges = catalog.collections.get(name).into_iter().flat_map(|c| c.by_id_above(*after));
                let full = page.fill(ranges, |page, range| {
                    page.push_range(range);
                    range.id
                });
                let name = name.clone();
                full.map_or(Stage::Retired(name.clone(), None), |last| Stage::Ranges(name, Some(last)))
            }
            Stage::Retired(name, after) => {
                let retired = catalog.collections.get(name).into_iter().flat_map(|c| c.retired_above(*after));
                let full = page.fill(retired, |page, (id, into)| {
                    page.push(match into {
                        None => Body::Retired(id.0),
                        Some(into) => Body::Merged(MergedRecord { id: id.0, into: into.0 }),
                    });
                    id
                });
                let name = name.clone();
                full.map_or(Stage::Collections(Some(name.clone())), |last| Stage::Retired(name, Some(last)))
            }
            Stage::Clients(after) => {
                let full = page.fill(catalog.sessions.iter_above(*after), |page, session| {
                    page.push(Body::Client((&session.header).into()));
                    for (sequence, verdict) in &session.replies {
                        page.push(Body::Reply(ReplyRecord::new(*sequence, verdict)));
                    }
                    session.header.client
                });
                full.map_or(Stage::Done, |last| Stage::Clients(Some(last)))
            }
            Stage::Done => Stage::Done,
        }
    }
}

impl SnapshotReader for Capture {
    fn index(&self) -> ControlPlaneLogIndex {
        self.index
    }

    fn digest(&self) -> StateDigest {
        self.catalog.digest()
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, Halt> {
        if matches!(self.stage, Stage::Done) {
            return Ok(None);
        }
        let records = Vec::with_capacity(self.chunk_bytes);
        let mut page = Page { records, range: Vec::new(), size: 0, full_at: self.chunk_bytes };
        while !page.is_full() && !matches!(self.stage, Stage::Done) {
            self.stage = self.step(&mut page);
        }
        let last = matches!(self.stage, Stage::Done);
        // Records are the last field, so that they can follow what is encoded before them.
        let chunk = Chunk { format: SNAPSHOT_FORMAT, ordinal: self.ordinal, last, records: Vec::new() };
        self.ordinal += 1;
        let mut bytes = chunk.encode_to_vec();
        bytes.append(&mut page.records);
        if bytes.len() > <dyn SnapshotReader>::CHUNK_MAX_BYTES {
            return Err(Halt { reason: format!("a snapshot chunk of {} bytes is over the limit", bytes.len()) });
        }
        Ok(Some(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Bounds;
    use crate::codec::record::RangeRecord;
    use crate::id::{Epoch, Version};
    use crate::range::Copies;

    #[test]
    fn a_page_holds_the_bytes_of_its_messages() {
        let range = Range {
            id: RangeId(300),
            bounds: Bounds::ALL,
            owner: MemberId::new("a").unwrap(),
            replicas: ["b", "c"].map(|name| MemberId::new(name).unwrap()).into_iter().collect::<Copies>(),
            archives: Copies::default(),
            epoch: Epoch(1),
            version: Version(2),
            placement: Default::default(),
            moving: None,
        };
        let bodies = [Body::Retired(7), Body::Range(RangeRecord::from(&range)), Body::Retired(8)];
        let mut page = Page { records: Vec::new(), range: vec![1], size: 0, full_at: 1 };
        page.push(Body::Retired(7));
        page.push_range(&range);
        page.push(Body::Retired(8));
        let records = bodies.map(|body| Record { body: Some(body) }).to_vec();
        assert_eq!(page.size, records.iter().map(|record| record.encoded_len() + 4).sum::<usize>());
        let chunk = Chunk { format: 0, ordinal: 0, last: false, records };
        assert_eq!(page.records, chunk.encode_to_vec());
    }
}
