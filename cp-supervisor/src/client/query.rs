//! Questions about the state. Linearizable, unless the client is told that stale answers will do.

use super::{Answer, Client, ClientError, newer};
use crate::api::messages::{
    AuthoritiesQuery, AuthorityMessage, CollectionsQuery, HoldingsMessage, LookupQuery, MembersQuery, Query, RangeName,
    RangesQuery, ReadResult, RecoveriesQuery,
};
use bytes::Bytes;
use cp_catalog::{
    Authority, CollectionName, CollectionSpec, Epoch, GroupName, Holdings, Member, Range, RangeKey, Recovery, Version,
    codec,
};
use cp_seam::MemberId;
use std::collections::BTreeMap;

impl Client {
    /// Every member, in ascending order of names.
    pub async fn members(&self) -> Result<Answer<Vec<Member>>, ClientError> {
        let answer = self.ask(Query::Members(MembersQuery {}), self.stale).await?;
        self.learn_members(&answer.value);
        let ReadResult::Members(members) = &answer.value else { return Err(newer()) };
        let members = decode(&members.members, codec::decode_member)?;
        Ok(answer.with(members))
    }

    /// What every member owns and holds.
    pub async fn holdings(&self) -> Result<Answer<BTreeMap<MemberId, Holdings>>, ClientError> {
        let answer = self.ask(Query::Members(MembersQuery {}), self.stale).await?;
        let ReadResult::Members(members) = &answer.value else { return Err(newer()) };
        let known = decode(&members.members, codec::decode_member)?.into_iter();
        let held = |HoldingsMessage { owned, replicas, archives }| Holdings { owned, replicas, archives };
        let holdings = known.zip(&members.holdings).map(|(member, message)| (member.id, held(*message))).collect();
        Ok(answer.with(holdings))
    }

    /// Every collection, in ascending order of names.
    pub async fn collections(&self) -> Result<Answer<Vec<CollectionSpec>>, ClientError> {
        let answer = self.ask(Query::Collections(CollectionsQuery {}), self.stale).await?;
        let ReadResult::Collections(collections) = &answer.value else { return Err(newer()) };
        let collections = decode(&collections.collections, codec::decode_collection)?;
        Ok(answer.with(collections))
    }

    /// Who decides on the placement of which group, in ascending order of groups.
    pub async fn authorities(&self) -> Result<Answer<Vec<Authority>>, ClientError> {
        let answer = self.ask(Query::Authorities(AuthoritiesQuery {}), self.stale).await?;
        let ReadResult::Authorities(authorities) = &answer.value else { return Err(newer()) };
        let authorities = authorities.authorities.iter().map(authority).collect::<Result<_, _>>()?;
        Ok(answer.with(authorities))
    }

    /// The forced recoveries and restores that led here, the oldest first (CP-R2).
    pub async fn recoveries(&self) -> Result<Answer<Vec<Recovery>>, ClientError> {
        let answer = self.ask(Query::Recoveries(RecoveriesQuery {}), self.stale).await?;
        let ReadResult::Recoveries(recoveries) = &answer.value else { return Err(newer()) };
        let recoveries = decode(&recoveries.recoveries, codec::decode_recovery)?;
        Ok(answer.with(recoveries))
    }

    /// The ranges of one collection or of all, by collection and key. Asked for in
    /// pages: each is as fresh as the answer says, and `applied` is that of the first.
    pub async fn ranges(
        &self,
        collection: Option<&CollectionName>,
    ) -> Result<Answer<Vec<(RangeKey, Range)>>, ClientError> {
        let mut all: Option<Answer<Vec<(RangeKey, Range)>>> = None;
        loop {
            let after = all
                .as_ref()
                .and_then(|all| all.value.last())
                .map(|(key, _)| RangeName { collection: key.collection.to_string(), id: key.id.0 });
            let query =
                RangesQuery { collection: collection.map(ToString::to_string), after, ..RangesQuery::default() };
            let answer = self.ask(Query::Ranges(query), self.stale).await?;
            let (page, more) = page(&answer.value)?;
            match &mut all {
                Some(all) => all.value.extend(page),
                None => all = Some(answer.with(page)),
            }
            match all.take() {
                Some(done) if !more => return Ok(done),
                rest => all = rest,
            }
        }
    }

    /// The range that holds `key`, if one does.
    pub async fn lookup(
        &self,
        collection: &CollectionName,
        key: &[u8],
    ) -> Result<Answer<Option<(RangeKey, Range)>>, ClientError> {
        let query = LookupQuery { collection: collection.to_string(), key: Bytes::copy_from_slice(key) };
        let answer = self.ask(Query::Lookup(query), self.stale).await?;
        let found = page(&answer.value)?.0.pop();
        Ok(answer.with(found))
    }

    /// The range of this name, if it exists.
    pub async fn range(&self, key: &RangeKey) -> Result<Answer<Option<Range>>, ClientError> {
        let query = RangesQuery {
            collection: Some(key.collection.to_string()),
            only: Some(key.id.0),
            ..RangesQuery::default()
        };
        let answer = self.ask(Query::Ranges(query), self.stale).await?;
        let found = page(&answer.value)?.0.pop().map(|(_, range)| range);
        Ok(answer.with(found))
    }
}

fn authority(message: &AuthorityMessage) -> Result<Authority, ClientError> {
    let bad = |reason: String| ClientError::Server { reason };
    Ok(Authority {
        group: GroupName::new(&message.group).map_err(|error| bad(error.to_string()))?,
        holder: MemberId::new(&message.holder).map_err(|error| bad(error.to_string()))?,
        epoch: Epoch(message.epoch),
        version: Version(message.version),
    })
}

fn page(result: &ReadResult) -> Result<(Vec<(RangeKey, Range)>, bool), ClientError> {
    let ReadResult::Ranges(ranges) = result else { return Err(newer()) };
    let mut page = Vec::new();
    for item in &ranges.ranges {
        let bad = |reason: String| ClientError::Server { reason };
        let collection = CollectionName::new(&item.collection).map_err(|error| bad(error.to_string()))?;
        let range = codec::decode_range(&item.range).map_err(|error| bad(cp_driver::chain(&error)))?;
        page.push((RangeKey::new(collection, range.id), range));
    }
    Ok((page, ranges.more))
}

fn decode<T>(
    records: &[Bytes],
    decode: impl Fn(&[u8]) -> Result<T, codec::DecodeError>,
) -> Result<Vec<T>, ClientError> {
    let decoded: Result<Vec<_>, _> = records.iter().map(|bytes| decode(bytes)).collect();
    decoded.map_err(|error| ClientError::Server { reason: cp_driver::chain(&error) })
}
