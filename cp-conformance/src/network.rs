//! The simulated network: a seeded router between the nodes' transports.
//!
//! Frames are the bytes that `cp-net` would carry. A connection between two lives
//! is set up before its first frame, by the same handshake, and is lost when
//! either life ends or the way between them is cut. Frames to a paused node, and
//! those on a clogged way, wait and arrive in one burst, in the order they were sent.

mod messages;
mod port;
mod ways;

use crate::life::Life;
use crate::rng::Rng;
use crate::sync::locked;
use crate::trace::Trace;
use bytes::Bytes;
use cp_seam::{Incarnation, MemberId, PeerReceiver, PeerRefusal, PeerTransport};
use port::Port;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a refused connection is not tried again.
const REFUSED_FOR: Duration = Duration::from_millis(100);

/// What happens to frames that are not cut off. Chances are in a thousand.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// One way, at least, in microseconds.
    pub low_us: u64,
    /// One way, at most.
    pub high_us: u64,
    /// Lost without notice.
    pub loss: u32,
    /// Delivered twice.
    pub duplication: u32,
    /// Delivered up to ten times later, past others.
    pub reorder: u32,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { low_us: 100, high_us: 2_000, loss: 0, duplication: 0, reorder: 0 }
    }
}

impl Conditions {
    /// A bad day: everything happens, nothing for long.
    pub const ROUGH: Self = Self { low_us: 100, high_us: 12_000, loss: 30, duplication: 20, reorder: 30 };
}

/// What the network did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames handed to a receiver.
    pub delivered: u64,
    /// Frames lost by chance.
    pub lost: u64,
    /// Frames delivered twice.
    pub duplicated: u64,
    /// Frames delayed past others.
    pub reordered: u64,
    /// Frames dropped at a cut.
    pub cut: u64,
    /// Frames sent over a way that was made slow.
    pub slowed: u64,
    /// Frames held by a clogged way.
    pub clogged: u64,
    /// Frames held because their receiver was paused.
    pub held: u64,
    /// Connections refused by either end.
    pub refused: u64,
}

/// Sees every frame that leaves a living node, before the network has its way.
pub trait Wiretap: Debug + Send + Sync + 'static {
    /// `frame` is about to leave `from` for `to`. It does not if that life has ended afterwards.
    fn leaving(&self, from: &Life, to: Incarnation, frame: &Bytes);

    /// `frame` has left; it may arrive also if the life ends now.
    fn left(&self, from: &Life, to: Incarnation, frame: &Bytes);
}

/// The router. Clones share it.
#[derive(Debug, Clone)]
pub struct Network {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
    /// Tells the messages on clogged ways to try again.
    freed: Arc<Notify>,
    trace: Trace,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    /// For messages, so that frames fare alike with and without them.
    messages_rng: Rng,
    conditions: Conditions,
    cut: BTreeSet<(usize, usize)>,
    slow: BTreeMap<(usize, usize), Duration>,
    clogged: BTreeSet<(usize, usize)>,
    endpoints: BTreeMap<Incarnation, Endpoint>,
    links: BTreeMap<(Incarnation, Incarnation), Link>,
    flights: BTreeMap<(Instant, u64), Flight>,
    /// What would have arrived, and waits, by the order in which it was sent.
    stuck: BTreeMap<u64, Flight>,
    last_arrival: BTreeMap<(Incarnation, Incarnation), Instant>,
    flight: u64,
    traffic: Traffic,
    sent: BTreeMap<usize, u64>,
    refusals: Vec<(MemberId, PeerRefusal)>,
    wiretap: Option<Arc<dyn Wiretap>>,
}

#[derive(Debug)]
struct Endpoint {
    life: Arc<Life>,
    member: MemberId,
    receiver: Option<Arc<dyn PeerReceiver>>,
    served: BTreeSet<Incarnation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up { lives: (u64, u64) },
    RefusedUntil(Instant),
}

#[derive(Debug, Clone)]
struct Flight {
    from: Incarnation,
    to: Incarnation,
    lives: (u64, u64),
    frame: Bytes,
}

/// Who is at the two ends of a flight that may land.
#[derive(Debug)]
struct Landing {
    from: Arc<dyn PeerReceiver>,
    to: Arc<dyn PeerReceiver>,
    to_life: Arc<Life>,
    from_name: MemberId,
    to_name: MemberId,
    known: bool,
}

fn pair(a: Incarnation, b: Incarnation) -> (Incarnation, Incarnation) {
    (a.min(b), a.max(b))
}

impl Network {
    /// A quiet network, drawing its chance from `seed`.
    pub fn new(seed: u64, trace: Trace) -> Self {
        let state = State {
            rng: Rng::new(seed, "network"),
            messages_rng: Rng::new(seed, "messages"),
            conditions: Conditions::default(),
            cut: BTreeSet::new(),
            slow: BTreeMap::new(),
            clogged: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            links: BTreeMap::new(),
            flights: BTreeMap::new(),
            stuck: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            flight: 0,
            traffic: Traffic::default(),
            sent: BTreeMap::new(),
            refusals: Vec::new(),
            wiretap: None,
        };
        let (wake, freed) = (Arc::default(), Arc::default());
        Self { state: Arc::new(Mutex::new(state)), wake, freed, trace }
    }

    /// Shows every frame that leaves a node to `wiretap`.
    pub fn tap(&self, wiretap: Arc<dyn Wiretap>) {
        locked(&self.state).wiretap = Some(wiretap);
    }

    /// The transport of one life of a member, replacing that of its last.
    pub fn endpoint(&self, member: MemberId, incarnation: Incarnation, life: Arc<Life>) -> Arc<dyn PeerTransport> {
        let endpoint = Endpoint { life: Arc::clone(&life), member, receiver: None, served: BTreeSet::new() };
        let replaced = locked(&self.state).endpoints.insert(incarnation, endpoint);
        drop(replaced);
        Arc::new(Port { network: self.clone(), me: incarnation, life })
    }

    /// Lets go of everybody. Nodes hold the network and are held by it; left so, the
    /// nodes and disks of a run would stay for ever.
    pub(crate) fn take_down(&self) {
        let gone = {
            let mut state = locked(&self.state);
            state.flights.clear();
            state.stuck.clear();
            (std::mem::take(&mut state.endpoints), state.wiretap.take())
        };
        drop(gone);
    }

    /// What happened so far.
    pub fn traffic(&self) -> Traffic {
        locked(&self.state).traffic
    }

    /// How many frames left the node in `slot` so far.
    pub fn sent_by(&self, slot: usize) -> u64 {
        locked(&self.state).sent.get(&slot).copied().unwrap_or_default()
    }

    /// Every connection that was refused: who was, and why.
    pub fn refusals(&self) -> Vec<(MemberId, PeerRefusal)> {
        locked(&self.state).refusals.clone()
    }

    /// Delivers frames for ever. To be spawned once.
    pub async fn run(self) {
        loop {
            let woken = self.wake.notified();
            let next = locked(&self.state).flights.first_key_value().map(|((at, _), _)| *at);
            match next {
                Some(at) if at <= Instant::now() => {
                    let flight = locked(&self.state).flights.pop_first();
                    if let Some(((_, number), flight)) = flight {
                        self.deliver(number, &flight);
                    }
                }
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(at) => {}
                        () = woken => {}
                    }
                }
                None => woken.await,
            }
        }
    }

    fn deliver(&self, number: u64, flight: &Flight) {
        if locked(&self.state).sticks(number, flight) {
            return;
        }
        let Some(landing) = locked(&self.state).landing(flight) else { return };
        let welcome = || self.handshake(flight, &landing) && locked(&self.state).serves(flight.to, flight.from);
        if !landing.known && !welcome() {
            return;
        }
        locked(&self.state).traffic.delivered += 1;
        landing.to_life.freezer().enter(|| landing.to.receive(flight.from, flight.frame.clone()));
    }

    /// A node connects to the address where another life of its peer is now: both ends
    /// judge each other, though neither serves the other. Answers whether both agree.
    pub fn dial(&self, from: Incarnation, to: Incarnation) -> bool {
        let landing = locked(&self.state).meeting(from, to);
        let flight = Flight { from, to, lives: (0, 0), frame: Bytes::new() };
        landing.is_some_and(|landing| self.handshake(&flight, &landing))
    }

    /// Both ends hear the other's hello, and either may refuse. As behind TLS, a
    /// name other than the proven one is never believed.
    fn handshake(&self, flight: &Flight, landing: &Landing) -> bool {
        let (ours, theirs) = (landing.from.hello(), landing.to.hello());
        let refusal = if ours.member != landing.from_name || theirs.member != landing.to_name {
            Some((ours.member.clone(), PeerRefusal::NotAMember { member: ours.member, incarnation: ours.incarnation }))
        } else if let Err(refusal) = landing.to.admit(&ours) {
            Some((ours.member, refusal))
        } else if let Err(refusal) = landing.from.admit(&theirs) {
            Some((theirs.member, refusal))
        } else {
            None
        };
        let mut state = locked(&self.state);
        let key = pair(flight.from, flight.to);
        let link = match &refusal {
            None => Link::Up { lives: state.lives(key) },
            Some(_) => Link::RefusedUntil(Instant::now() + REFUSED_FOR),
        };
        state.links.insert(key, link);
        let Some((who, why)) = refusal else { return true };
        state.traffic.refused += 1;
        self.trace.note(&"net", &format_args!("refuses {who}: {why}"));
        state.refusals.push((who, why));
        false
    }
}

impl State {
    fn lives(&self, (a, b): (Incarnation, Incarnation)) -> (u64, u64) {
        let number = |i| self.endpoints.get(&i).map_or(0, |e| e.life.number());
        (number(a), number(b))
    }

    fn slots_of(&self, (from, to): (Incarnation, Incarnation)) -> Option<(usize, usize)> {
        let slot = |i: Incarnation| self.endpoints.get(&i).map(|e| e.life.slot());
        Some((slot(from)?, slot(to)?))
    }

    fn serves(&self, who: Incarnation, whom: Incarnation) -> bool {
        self.endpoints.get(&who).is_some_and(|e| e.served.contains(&whom))
    }

    fn is_cut(&self, from: Incarnation, to: Incarnation) -> bool {
        self.slots_of((from, to)).is_none_or(|slots| self.cut.contains(&slots))
    }

    /// Whether `flight` has to wait where it is.
    fn sticks(&mut self, number: u64, flight: &Flight) -> bool {
        let paused = |who| self.endpoints.get(&who).is_some_and(|e| e.life.freezer().is_frozen());
        let connected = self.links.contains_key(&pair(flight.from, flight.to));
        // Both ends take part when a connection is made.
        if paused(flight.to) || (!connected && paused(flight.from)) {
            self.traffic.held += 1;
        } else if self.slots_of((flight.from, flight.to)).is_some_and(|way| self.clogged.contains(&way)) {
            self.traffic.clogged += 1;
        } else {
            return false;
        }
        self.stuck.insert(number, flight.clone());
        true
    }

    fn landing(&mut self, flight: &Flight) -> Option<Landing> {
        if self.is_cut(flight.from, flight.to) {
            self.traffic.cut += 1;
            return None;
        }
        let (from, to) = (self.endpoints.get(&flight.from)?, self.endpoints.get(&flight.to)?);
        let same = (from.life.number(), to.life.number()) == flight.lives;
        if !to.life.goes_on() || !same || !from.served.contains(&flight.to) {
            return None;
        }
        let key = pair(flight.from, flight.to);
        let known = match self.links.get(&key) {
            // A stranger comes as far as the handshake, which is how its peer hears of it.
            Some(Link::Up { .. }) if !to.served.contains(&flight.from) => false,
            Some(Link::Up { lives }) => *lives == self.lives(key),
            Some(Link::RefusedUntil(until)) if Instant::now() < *until => return None,
            Some(Link::RefusedUntil(_)) | None => false,
        };
        // What was on its way when its sender died may arrive; no connection is made for it.
        if !known && !from.life.goes_on() {
            return None;
        }
        self.meeting(flight.from, flight.to).map(|landing| Landing { known, ..landing })
    }

    fn meeting(&self, from: Incarnation, to: Incarnation) -> Option<Landing> {
        let (from, to) = (self.endpoints.get(&from)?, self.endpoints.get(&to)?);
        Some(Landing {
            from: from.receiver.clone()?,
            to: to.receiver.clone()?,
            to_life: Arc::clone(&to.life),
            from_name: from.member.clone(),
            to_name: to.member.clone(),
            known: false,
        })
    }

    /// Draws what becomes of a frame that was sent now.
    fn launch(&mut self, flight: Flight) {
        if self.is_cut(flight.from, flight.to) {
            self.traffic.cut += 1;
            return;
        }
        let Conditions { low_us, high_us, loss, duplication, reorder } = self.conditions;
        if self.rng.per_mille(loss) {
            self.traffic.lost += 1;
            return;
        }
        let way = (flight.from, flight.to);
        let mut arrival = Instant::now() + Duration::from_micros(self.rng.between(low_us, high_us));
        if let Some(by) = self.slots_of(way).and_then(|slots| self.slow.get(&slots).copied()) {
            self.traffic.slowed += 1;
            arrival += by;
        }
        if self.rng.per_mille(reorder) {
            self.traffic.reordered += 1;
            arrival += Duration::from_micros(self.rng.between(high_us, high_us.saturating_mul(10)));
        } else {
            arrival = self.last_arrival.get(&way).map_or(arrival, |last| arrival.max(*last));
            self.last_arrival.insert(way, arrival);
        }
        if self.rng.per_mille(duplication) {
            self.traffic.duplicated += 1;
            let again = arrival + Duration::from_micros(self.rng.between(low_us, high_us.saturating_mul(10)));
            self.flight += 1;
            self.flights.insert((again, self.flight), flight.clone());
        }
        self.flight += 1;
        self.flights.insert((arrival, self.flight), flight);
    }
}

#[cfg(test)]
mod tests;
