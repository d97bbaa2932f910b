//! Connections to nodes, one per address, made when first needed.

use super::ClientError;
use crate::api::service::ControlPlaneCaller;
use cp_net::tls::{ChannelSettings, Credentials, DialError, Expect, channel};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct Connections {
    credentials: Credentials,
    open: Mutex<BTreeMap<String, ControlPlaneCaller>>,
}

impl Connections {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, open: Mutex::new(BTreeMap::new()) }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ControlPlaneCaller>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to `address`, made if there is none.
    pub(super) async fn to(&self, address: &str) -> Result<ControlPlaneCaller, ClientError> {
        if let Some(caller) = self.open().get(address).cloned() {
            return Ok(caller);
        }
        let caller = dial(&self.credentials, address).await?;
        self.open().insert(address.to_owned(), caller.clone());
        Ok(caller)
    }

    /// Drops the connection to `address`; the next use makes a new one.
    pub(super) fn forget(&self, address: &str) {
        self.open().remove(address);
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
