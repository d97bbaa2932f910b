//! Takes a request to the leader, wherever that is, within a deadline.

use super::ClientError;
use super::connect::{Connection, Connections};
use crate::api::messages::{Redirect, Refused, RefusedCode};
use cp_net::tls::dial_reason;
use futures::future::BoxFuture;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

/// The longest that one node is waited for before another is tried.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// The longest that a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// The pause after a fruitless attempt, doubled up to the most: soon after the call began that is
/// short, since a new leader stands within an election timeout and is to be found at once.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX_SOON: Duration = Duration::from_millis(40);
const PAUSE_MAX: Duration = Duration::from_millis(250);
const SOON: Duration = Duration::from_secs(2);

/// How one attempt at one node went.
pub(super) enum Attempt<T> {
    /// It has answered.
    Done(T),
    /// It does not lead; nothing was done.
    Elsewhere(Redirect),
    /// It never left this end; try again.
    Unsent(String),
    /// The connection failed, and nothing can have been done; try again.
    Broken(String),
    /// Nothing was done; try again.
    Later(String),
    /// It may have been done; try again under the same id.
    Perhaps(String),
    /// Trying again is of no use.
    Fail(ClientError),
}

impl<T> Attempt<T> {
    /// What a refusal means for the next attempt.
    pub(super) fn refused(refused: Refused) -> Self {
        match refused.code() {
            RefusedCode::NoQuorum | RefusedCode::DiskStalled | RefusedCode::Busy | RefusedCode::Stopped => {
                Self::Later(refused.message)
            }
            RefusedCode::Invalid
            | RefusedCode::NotTaken
            | RefusedCode::Compacted
            | RefusedCode::Denied
            | RefusedCode::RateLimited
            | RefusedCode::NotAMember
            | RefusedCode::Unspecified => Self::Fail(ClientError::Refused { reason: refused.message }),
        }
    }

    /// What a failed call means; `safe` if it can have had no effect. A call that
    /// found its connection gone and got no new one was never sent.
    pub(super) fn status(status: &Status, safe: bool) -> Self {
        if let Some(reason) = dial_reason(status) {
            return Self::Unsent(reason.to_string());
        }
        let reason = explain(status);
        match status.code() {
            tonic::Code::InvalidArgument | tonic::Code::Unimplemented | tonic::Code::PermissionDenied => {
                Self::Fail(ClientError::Server { reason })
            }
            _ if safe => Self::Broken(reason),
            _ => Self::Perhaps(reason),
        }
    }

    /// What it means that a call never left this end.
    pub(super) fn unsent(status: &Status) -> Self {
        match dial_reason(status) {
            Some(reason) => Self::Unsent(reason.to_string()),
            None => Self::Broken(explain(status)),
        }
    }
}

/// What a failed call says, with the causes that a transport error keeps to itself.
pub(super) fn explain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(source) = cause {
        let said = source.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
    }
    text
}

/// The nodes to ask, the one that answered last first.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) connections: Connections,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<String>,
    preferred: String,
}

impl Route {
    pub(super) fn new(connections: Connections, endpoints: Vec<String>) -> Self {
        let preferred = endpoints.first().cloned().unwrap_or_default();
        Self { connections, known: Mutex::new(Known { addresses: endpoints, preferred }) }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every node known, the preferred one first.
    pub(super) fn addresses(&self) -> Vec<String> {
        let known = self.known();
        let rest = known.addresses.iter().filter(|a| **a != known.preferred);
        std::iter::once(&known.preferred).chain(rest).cloned().collect()
    }

    /// Adds nodes that the cluster has named.
    pub(super) fn learn(&self, addresses: impl IntoIterator<Item = String>) {
        let mut known = self.known();
        for address in addresses {
            if !address.is_empty() && !known.addresses.contains(&address) {
                known.addresses.push(address);
            }
        }
    }

    fn prefer(&self, address: &str) {
        let mut known = self.known();
        if known.preferred != address {
            known.preferred = address.to_owned();
        }
    }

    fn after(&self, address: &str) -> String {
        let known = self.known();
        let at = known.addresses.iter().position(|a| a == address).map_or(0, |at| at + 1);
        let next = known.addresses.get(at).or_else(|| known.addresses.first());
        next.cloned().unwrap_or_else(|| address.to_owned())
    }

    /// Attempts until one node has answered, redirects followed, for at most `within`.
    pub(super) async fn call<'a, T: Send>(
        &'a self,
        within: Duration,
        attempt: impl Fn(Connection, Duration) -> BoxFuture<'a, Attempt<T>> + Send,
    ) -> Result<T, ClientError> {
        self.call_within(within, ATTEMPT_MAX, attempt).await
    }

    /// As [`call`](Self::call), waiting for no node longer than `attempt_max`.
    pub(super) async fn call_within<'a, T: Send>(
        &'a self,
        within: Duration,
        attempt_max: Duration,
        attempt: impl Fn(Connection, Duration) -> BoxFuture<'a, Attempt<T>> + Send,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + within;
        let mut target = self.known().preferred.clone();
        let mut pause = Pause::begin();
        let mut connected = false;
        let mut perhaps = None;
        let mut why = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(gave_up(perhaps, connected, why, within));
            }
            let connection = match timeout(left.min(CONNECT_MAX).min(attempt_max), self.connections.to(&target)).await {
                Ok(Ok(connection)) => connection,
                // Once an attempt may have been taken, only the others can say (CP-P3).
                Ok(Err(error)) if error.is_final() && perhaps.is_none() => return Err(error),
                Ok(Err(error)) => {
                    why = error.reason();
                    target = self.pause(&mut pause, &target, left).await;
                    continue;
                }
                Err(_) => {
                    why = format!("{target} did not answer in time");
                    target = self.pause(&mut pause, &target, left).await;
                    continue;
                }
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = left.min(attempt_max);
            let outcome = timeout(patience, attempt(connection.clone(), patience)).await;
            connected |= !matches!(outcome, Ok(Attempt::Unsent(_)));
            match outcome {
                Ok(Attempt::Done(answer)) => {
                    self.prefer(&target);
                    return Ok(answer);
                }
                // An earlier attempt may have been taken, by a node that allowed it (CP-P3).
                Ok(Attempt::Fail(error)) if perhaps.is_some() => {
                    return Err(ClientError::Unknown { reason: error.reason() });
                }
                Ok(Attempt::Fail(error)) => return Err(error),
                Ok(Attempt::Elsewhere(redirect)) => {
                    why = match &redirect.leader {
                        Some(leader) => format!("{target} does not lead and names {leader}"),
                        None => format!("{target} knows no leader"),
                    };
                    self.learn(redirect.address.clone());
                    match redirect.address {
                        Some(address) if address != target => {
                            sleep(PAUSE_MIN.min(left)).await;
                            target = address;
                        }
                        _ => target = self.pause(&mut pause, &target, left).await,
                    }
                }
                Ok(Attempt::Unsent(reason) | Attempt::Later(reason)) => {
                    why = reason;
                    target = self.pause(&mut pause, &target, left).await;
                }
                Ok(Attempt::Broken(reason)) => {
                    self.connections.forget(&target, &connection);
                    why = reason;
                    target = self.pause(&mut pause, &target, left).await;
                }
                Ok(Attempt::Perhaps(reason)) => {
                    self.connections.forget(&target, &connection);
                    why.clone_from(&reason);
                    perhaps = Some(reason);
                    target = self.pause(&mut pause, &target, left).await;
                }
                Err(_) => {
                    self.connections.forget(&target, &connection);
                    let reason = format!("{target} did not answer within {} ms", patience.as_millis());
                    why.clone_from(&reason);
                    perhaps = Some(reason);
                    target = self.pause(&mut pause, &target, left).await;
                }
            }
        }
    }

    /// Waits a little longer than the last time, and names the node to try next.
    async fn pause(&self, pause: &mut Pause, target: &str, left: Duration) -> String {
        sleep(pause.next().min(left)).await;
        self.after(target)
    }
}

/// The pauses of one call.
struct Pause {
    begun: Instant,
    next: Duration,
}

impl Pause {
    fn begin() -> Self {
        Self { begun: Instant::now(), next: PAUSE_MIN }
    }

    /// Up to a quarter less each time, or those who lost the same leader would ask in step.
    fn next(&mut self) -> Duration {
        let most = if self.begun.elapsed() < SOON { PAUSE_MAX_SOON } else { PAUSE_MAX };
        let pause = self.next.min(most);
        self.next = (pause * 2).min(most);
        let chance = RandomState::new().build_hasher().finish() % 256;
        pause.mul_f64(1.0 - chance as f64 / 1024.0)
    }
}

fn gave_up(perhaps: Option<String>, connected: bool, why: String, within: Duration) -> ClientError {
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    match perhaps {
        Some(reason) => ClientError::Unknown { reason },
        None if connected => ClientError::NotServed { reason: why, within_ms },
        None => ClientError::Unreachable { reason: why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_net::issue::{IssueSettings, init_ca, issue};
    use cp_net::tls::{Credentials, PeerName, UnixTime};
    use cp_seam::ClusterId;
    use futures::FutureExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Two nodes that cannot be dialled, and have been.
    fn route() -> Route {
        let dir = tempfile::tempdir().unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(jiff::Timestamp::now().as_second() as u64));
        let settings = IssueSettings { now, days: 1, overwrite: false };
        let cluster = ClusterId([7; 16]);
        let ca = init_ca(dir.path(), cluster, &settings).unwrap();
        let own = issue(dir.path(), &PeerName::client("ann", cluster).unwrap(), &settings).unwrap();
        let credentials = Credentials::load(&ca.certificate, &own.certificate, &own.key).unwrap();
        let nodes = ["127.0.0.1:1", "127.0.0.1:2"];
        let route = Route::new(Connections::new(credentials), nodes.map(str::to_owned).into());
        nodes.iter().for_each(|node| route.connections.pretend(node));
        route
    }

    /// What becomes of a call whose attempts go like these, the last again and again.
    async fn call(attempts: &[fn() -> Attempt<()>]) -> Result<(), ClientError> {
        let at = AtomicUsize::new(0);
        let attempt = |_, _| {
            let next = attempts.get(at.fetch_add(1, Ordering::Relaxed)).or(attempts.last()).unwrap()();
            std::future::ready(next).boxed()
        };
        route().call(Duration::from_millis(200), attempt).await
    }

    /// CP-P3: the first node may have taken it, whatever another says of itself.
    #[tokio::test]
    async fn after_an_attempt_that_may_have_been_taken_an_error_of_another_node_is_not_the_last_word() {
        let perhaps = || Attempt::Perhaps("cut".to_owned());
        let server = || Attempt::Fail(ClientError::Server { reason: "no".to_owned() });
        let refused = || Attempt::Fail(ClientError::Refused { reason: "no".to_owned() });
        let identity = || Attempt::Fail(ClientError::Identity { reason: "no".to_owned() });
        for fail in [server, refused, identity] {
            assert!(matches!(call(&[perhaps, fail]).await, Err(ClientError::Unknown { .. })));
        }
        assert!(matches!(call(&[server]).await, Err(ClientError::Server { .. })), "nothing was taken");
        assert!(matches!(call(&[refused]).await, Err(ClientError::Refused { .. })));
        // Neither can be connected to by then, which does not make it undone.
        assert!(matches!(call(&[perhaps]).await, Err(ClientError::Unknown { .. })));
        assert!(matches!(call(&[perhaps, || Attempt::Done(())]).await, Ok(())));
    }

    /// Only the connection that failed is forgotten, not the one that has taken its place.
    #[tokio::test]
    async fn a_connection_is_forgotten_once() {
        let route = route();
        let first = route.connections.to("127.0.0.1:1").await.unwrap();
        route.connections.pretend("127.0.0.1:1");
        route.connections.forget("127.0.0.1:1", &first);
        let second = route.connections.to("127.0.0.1:1").await.unwrap();
        route.connections.forget("127.0.0.1:1", &second);
        assert!(route.connections.to("127.0.0.1:1").await.is_err(), "it has to be dialled");
    }
}
