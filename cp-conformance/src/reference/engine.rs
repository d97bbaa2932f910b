//! The handle: what the driver calls, from any task. All of it goes to the loop.

use super::commands::{Command, Reply};
use super::core::{Core, Input, Role};
use super::ready::{Loop, Stop};
use super::storage::Log;
use super::timing::Timeouts;
use super::{ENGINE, wire};
use async_trait::async_trait;
use bytes::Bytes;
use cp_driver::{Engine, EngineError, Host, StartError};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, Incarnation, LastVoteStore, LogPosition};
use cp_store::{Configuration, Staged};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Inputs that wait for the loop. Messages beyond are dropped, which the protocol allows.
const INBOX_MAX: usize = 1024;

/// How far each member is by the leader's account; written by the loop, read by anyone.
#[derive(Debug, Default)]
pub(super) struct Books(std::sync::Mutex<Vec<(Incarnation, ControlPlaneLogIndex)>>);

impl Books {
    pub(super) fn write(&self, core: &Core) {
        let mut matched = Vec::new();
        if let Role::Leader(reign) = &core.role {
            matched.extend(reign.peers.iter().map(|(who, peer)| (*who, peer.matched)));
            matched.push((core.me, core.log.last().index));
        }
        *crate::sync::locked(&self.0) = matched;
    }
}

/// A running engine.
#[derive(Debug)]
pub(super) struct Reference {
    me: Incarnation,
    inbox: mpsc::Sender<Input>,
    books: Arc<Books>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Reference {
    pub(super) fn start(host: Arc<Host>) -> Result<Arc<dyn Engine>, StartError> {
        let (inbox, arriving) = mpsc::channel(INBOX_MAX);
        let (me, books, store) = (host.me(), Arc::<Books>::default(), host.store());
        let vote = LastVoteStore::load(store).map_err(|error| StartError::Engine(Stop::from(error).into()))?;
        let timeouts = Timeouts::new(host.settings(), store.boot());
        let core = Core::new(me, vote, Log::open(store)?, timeouts, host.settings().append_bytes_max);
        let running = Loop::new(Arc::clone(&host), core, Arc::clone(&books));
        let task = cp_driver::guarded(Arc::clone(&host), ENGINE, async move {
            if let Err(stop) = Box::pin(running.run(arriving)).await {
                host.halt(&cp_driver::chain(&stop));
            }
        });
        let task = tokio::spawn(cp_driver::of_node(task));
        Ok(Arc::new(Self { me, inbox, books, task: Mutex::new(Some(task)) }))
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command + Send) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        if self.inbox.send(Input::Command(command(Reply(reply)))).await.is_err() {
            return Err(EngineError::Refused("the engine has stopped".to_owned()));
        }
        answer.await.unwrap_or_else(|_| Err(EngineError::Unknown("the engine stopped meanwhile".to_owned())))
    }
}

#[async_trait]
impl Engine for Reference {
    async fn append(&self, entry: ControlPlaneEntry) -> Result<LogPosition, EngineError> {
        self.ask(|reply| Command::Append(entry, reply)).await
    }

    async fn reconfigure(&self, next: Configuration) -> Result<LogPosition, EngineError> {
        self.ask(|reply| Command::Reconfigure(next, reply)).await
    }

    async fn read_index(&self) -> Result<ControlPlaneLogIndex, EngineError> {
        self.ask(Command::ReadIndex).await
    }

    async fn transfer(&self, to: Incarnation) -> Result<(), EngineError> {
        self.ask(|reply| Command::Transfer(to, reply)).await
    }

    fn matched(&self) -> Vec<(Incarnation, ControlPlaneLogIndex)> {
        crate::sync::locked(&self.books.0).clone()
    }

    fn receive(&self, from: Incarnation, message: Bytes) {
        match wire::decode(from, self.me, message) {
            Ok(message) => {
                if self.inbox.try_send(Input::Message(from, message)).is_err() {
                    tracing::debug!(%from, "the inbox is full or closed; a message was dropped");
                }
            }
            Err(error) => tracing::warn!(%from, %error, "a message was dropped"),
        }
    }

    async fn install(&self, from: Incarnation, header: Bytes, staged: Staged) -> Result<(), EngineError> {
        self.ask(|reply| Command::Install(from, header, staged, reply)).await
    }

    async fn adopt(&self, staged: Staged, compact_to: ControlPlaneLogIndex) -> Result<(), EngineError> {
        self.ask(|reply| Command::Adopt(staged, compact_to, reply)).await
    }

    async fn stop(&self) {
        // The lock is held while waiting, so that later calls wait too.
        let mut task = self.task.lock().await;
        if let Some(running) = task.take() {
            running.abort();
            if let Err(error) = running.await
                && !error.is_cancelled()
            {
                tracing::warn!(%error, "the engine's task failed");
            }
        }
    }
}
