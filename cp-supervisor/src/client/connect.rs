//! Connections to nodes, one per address, made when first needed.

use super::ClientError;
use super::proposals::Proposals;
use crate::api::service::ControlPlaneCaller;
use cp_net::tls::{ChannelSettings, Credentials, DialError, Expect, channel};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A connection to one node.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) caller: ControlPlaneCaller,
    pub(super) proposals: Arc<Proposals>,
}

#[derive(Debug)]
pub(super) struct Connections {
    credentials: Credentials,
    open: Mutex<BTreeMap<String, Connection>>,
}

impl Connections {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, open: Mutex::new(BTreeMap::new()) }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to `address`, made if there is none.
    pub(super) async fn to(&self, address: &str) -> Result<Connection, ClientError> {
        if let Some(connection) = self.open().get(address).cloned() {
            return Ok(connection);
        }
        let caller = dial(&self.credentials, address).await?;
        let connection = Connection { caller, proposals: Arc::default() };
        // Others may have dialled meanwhile; all go on with one.
        Ok(self.open().entry(address.to_owned()).or_insert(connection).clone())
    }

    /// Drops this connection to `address`, unless another has taken its place; the next use makes
    /// a new one. Whoever is using it goes on.
    pub(super) fn forget(&self, address: &str, connection: &Connection) {
        let mut open = self.open();
        if open.get(address).is_some_and(|there| Arc::ptr_eq(&there.proposals, &connection.proposals)) {
            open.remove(address);
        }
    }
}

#[cfg(test)]
impl Connections {
    /// Has a connection to `address`, over which nobody can be reached.
    pub(super) fn pretend(&self, address: &str) {
        let channel = tonic::transport::Endpoint::from_static("http://nobody.invalid").connect_lazy();
        let connection = Connection { caller: ControlPlaneCaller::new(channel), proposals: Arc::default() };
        self.open().insert(address.to_owned(), connection);
    }
}

/// Connects to whichever member is at `address`.
async fn dial(credentials: &Credentials, address: &str) -> Result<ControlPlaneCaller, ClientError> {
    match channel(credentials, address, Expect::AnyMember, &ChannelSettings::default()).await {
        Ok(channel) => Ok(ControlPlaneCaller::new(channel)),
        Err(error @ (DialError::Rejected { .. } | DialError::Refused { .. })) => {
            Err(ClientError::Identity { reason: error.to_string() })
        }
        Err(error) => Err(ClientError::Unreachable { reason: error.to_string() }),
    }
}
