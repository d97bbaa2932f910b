//! At most once (CP-P5): what was decided on the recent requests of each client.
//!
//! Everything here is state: it is in the digest and in snapshots, and it
//! forgets by log index and count alone. A request takes effect only if its
//! client is known and its sequence above the client's low-water mark, or if its
//! client is unknown and provably new: it starts at or above the highest index
//! at which any forgotten client was last active.

use crate::access::Principal;
use crate::catalog::Meta;
use crate::codec::record;
use crate::cow::CowMap;
use crate::digest::DigestSum;
use crate::refusal::{Refusal, RequestRefusal};
use crate::request::{ClientId, RequestId};
use crate::verdict::Verdict;
use cp_seam::ControlPlaneLogIndex;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many clients are remembered; the least recently active goes first. Part of
/// the replicated behaviour, as the next three: a change needs a feature level.
pub const CLIENT_COUNT_MAX: usize = 4096;
/// How many requests of one client are remembered, and so how many it may have in
/// flight: a request that so many later ones overtake is expired.
pub const REPLY_COUNT_MAX: usize = 1024;
/// How many requests of all clients are remembered; the least recently active
/// client goes first.
pub const REPLY_TOTAL_MAX: usize = 65_536;
/// For how many log entries an idle client is remembered.
pub const CLIENT_IDLE_MAX_ENTRIES: u64 = 1 << 20;

/// Every client that is remembered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    clients: CowMap<ClientId, Arc<Session>>,
    /// Who was active when, the longest idle first.
    by_age: CowMap<(u64, ClientId), ()>,
    /// Of all clients together.
    reply_count: usize,
}

/// What is remembered of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) header: SessionHeader,
    /// In ascending order of sequence, all above the low-water mark.
    pub(crate) replies: VecDeque<(u64, Verdict)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionHeader {
    pub(crate) client: ClientId,
    /// Whose it is, once one of its requests named somebody: nobody else goes on with it.
    pub(crate) principal: Option<Principal>,
    pub(crate) since: u64,
    /// Requests up to this sequence are forgotten.
    pub(crate) low_water: u64,
    /// The index of its last request.
    pub(crate) active: u64,
}

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Apply it.
    Fresh,
    /// It was decided before.
    Repeat(Verdict),
    /// It must not be applied.
    Barred(Refusal),
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn iter_above(&self, client: Option<ClientId>) -> impl Iterator<Item = &Arc<Session>> {
        self.clients.iter_above(client.as_ref()).map(|(_, session)| session)
    }

    /// Whether a request at `index` is to be applied.
    pub(crate) fn admit(
        &self,
        meta: &Meta,
        index: ControlPlaneLogIndex,
        id: &RequestId,
        principal: Option<&Principal>,
    ) -> Admission {
        let Some(session) = self.clients.get(&id.client) else {
            return if id.since >= index {
                Admission::Barred(Refusal::Request(RequestRefusal::ClientFromFuture { since: id.since }))
            } else if id.since.0 < meta.clients_since || id.sequence == 0 {
                Admission::Barred(Refusal::Request(RequestRefusal::Expired { low_water: 0 }))
            } else {
                Admission::Fresh
            };
        };
        let SessionHeader { since, low_water, .. } = session.header;
        let others = session.header.principal.as_ref().is_some_and(|owner| Some(owner) != principal);
        if since != id.since.0 || others {
            return Admission::Barred(Refusal::Request(RequestRefusal::ClientIdTaken));
        }
        if id.sequence <= low_water {
            return Admission::Barred(Refusal::Request(RequestRefusal::Expired { low_water }));
        }
        // Nearly always the case, and a search would wait for memory.
        if session.replies.back().is_none_or(|(last, _)| *last < id.sequence) {
            return Admission::Fresh;
        }
        match session.replies.binary_search_by_key(&id.sequence, |(sequence, _)| *sequence) {
            Ok(at) => {
                session.replies.get(at).map_or(Admission::Fresh, |(_, verdict)| Admission::Repeat(verdict.clone()))
            }
            Err(_) => Admission::Fresh,
        }
    }

    /// Remembers the verdict on a fresh request.
    pub(crate) fn record(
        &mut self,
        sum: &mut DigestSum,
        index: ControlPlaneLogIndex,
        id: &RequestId,
        principal: Option<&Principal>,
        verdict: &Verdict,
    ) {
        let mut session = match self.clients.get(&id.client) {
            Some(session) => {
                sum.subtract(&record::hash_client(&session.header));
                self.by_age.remove(&(session.header.active, id.client));
                session.clone()
            }
            None => Arc::new(Session {
                header: SessionHeader {
                    client: id.client,
                    principal: None,
                    since: id.since.0,
                    low_water: 0,
                    active: index.0,
                },
                replies: VecDeque::new(),
            }),
        };
        // Out of the map, so that the edit below copies only what a capture shares.
        if let Some(was) = self.clients.remove(&id.client) {
            self.reply_count -= was.replies.len();
        }
        let edited = Arc::make_mut(&mut session);
        edited.header.active = index.0;
        if edited.header.principal.is_none() {
            edited.header.principal = principal.cloned();
        }
        let follows = edited.replies.back().is_none_or(|(last, _)| *last < id.sequence);
        let among = || edited.replies.partition_point(|(sequence, _)| *sequence < id.sequence);
        let at = if follows { edited.replies.len() } else { among() };
        edited.replies.insert(at, (id.sequence, verdict.clone()));
        sum.add(&record::hash_reply(&id.client, id.sequence, verdict));
        while edited.replies.len() > REPLY_COUNT_MAX {
            if let Some((sequence, verdict)) = edited.replies.pop_front() {
                edited.header.low_water = sequence;
                sum.subtract(&record::hash_reply(&id.client, sequence, &verdict));
            }
        }
        sum.add(&record::hash_client(&edited.header));
        self.insert(session);
    }

    /// Forgets clients that have been idle too long at `index`, and the longest
    /// idle ones above the counts. Returns the highest index at which one of them was active.
    pub(crate) fn forget(&mut self, sum: &mut DigestSum, index: ControlPlaneLogIndex) -> Option<u64> {
        let mut last = None;
        while let Some((active, client)) = self.longest_idle() {
            let idle = index.0.saturating_sub(active);
            let crowded = self.clients.len() > CLIENT_COUNT_MAX || self.reply_count > REPLY_TOTAL_MAX;
            if idle <= CLIENT_IDLE_MAX_ENTRIES && !crowded {
                break;
            }
            self.by_age.remove(&(active, client));
            if let Some(session) = self.clients.remove(&client) {
                self.reply_count -= session.replies.len();
                sum.subtract(&record::hash_client(&session.header));
                for (sequence, verdict) in &session.replies {
                    sum.subtract(&record::hash_reply(&client, *sequence, verdict));
                }
            }
            last = Some(active);
        }
        last
    }

    fn longest_idle(&self) -> Option<(u64, ClientId)> {
        self.by_age.iter().next().map(|(key, ())| *key)
    }

    pub(crate) fn knows(&self, client: &ClientId) -> bool {
        self.clients.get(client).is_some()
    }

    pub(crate) fn insert(&mut self, session: Arc<Session>) {
        self.reply_count += session.replies.len();
        self.by_age.insert((session.header.active, session.header.client), ());
        self.clients.insert(session.header.client, session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Effect;

    #[test]
    fn a_forgotten_client_takes_its_replies_out_of_the_count() {
        let (mut sessions, mut sum) = (Sessions::default(), DigestSum::default());
        let collection = crate::id::CollectionName::new("books").unwrap();
        let verdict = Verdict::Done(Effect::CollectionReady { collection });
        let index = ControlPlaneLogIndex;
        for (client, count) in [(1, 2), (2, 3)] {
            for sequence in 1..=count {
                let id = RequestId { client: ClientId([client; 16]), since: index(0), sequence };
                sessions.record(&mut sum, index(u64::from(client)), &id, None, &verdict);
            }
        }
        assert_eq!((sessions.clients.len(), sessions.reply_count), (2, 5));
        assert_eq!(sessions.forget(&mut sum, index(CLIENT_IDLE_MAX_ENTRIES + 1)), None);
        assert_eq!(sessions.forget(&mut sum, index(CLIENT_IDLE_MAX_ENTRIES + 2)), Some(1));
        assert_eq!((sessions.clients.len(), sessions.reply_count), (1, 3));
        assert_eq!(sessions.forget(&mut sum, index(CLIENT_IDLE_MAX_ENTRIES + 3)), Some(2));
        assert_eq!((sessions.clients.len(), sessions.reply_count, sum), (0, 0, DigestSum::default()));
    }
}
