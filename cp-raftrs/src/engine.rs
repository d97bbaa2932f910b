//! The handle: what the driver calls, from any task. Everything but reading the
//! books goes to the loop, which may be waiting for the disk; the caller's own
//! deadline bounds how long it waits for the loop.

use crate::books::Books;
use crate::commands::{Command, Reply};
use crate::core::Core;
use crate::{ENGINE, wire};
use async_trait::async_trait;
use bytes::Bytes;
use cp_driver::{Engine, EngineError, Host, StartError};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, Incarnation, LogPosition};
use cp_store::{Configuration, Staged};
use raft::eraftpb::Message;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Messages that wait for the loop; more are dropped, which the protocol allows.
const INBOX_MAX: usize = 1024;
const COMMANDS_MAX: usize = 1024;

/// A running engine.
#[derive(Debug)]
pub(crate) struct RaftRs {
    me: Incarnation,
    inbox: mpsc::Sender<Message>,
    commands: mpsc::Sender<Command>,
    books: Arc<Books>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl RaftRs {
    pub(crate) fn start(host: Arc<Host>) -> Result<Arc<dyn Engine>, StartError> {
        let (inbox, arriving) = mpsc::channel(INBOX_MAX);
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let books = Arc::new(Books::default());
        let me = host.me();
        let core = Core::open(Arc::clone(&host), Arc::clone(&books)).map_err(|stop| StartError::Engine(stop.into()))?;
        // The engine has panics of its own; the node must not live on without it.
        let task = cp_driver::guarded(Arc::clone(&host), ENGINE, async move {
            if let Err(stop) = Box::pin(core.run(arriving, asked)).await {
                host.halt(&cp_driver::chain(&stop));
            }
        });
        let task = tokio::spawn(cp_driver::of_node(task));
        Ok(Arc::new(Self { me, inbox, commands, books, task: Mutex::new(Some(task)) }))
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command + Send) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(Reply(reply))).await.is_err() {
            return Err(EngineError::Refused("the engine has stopped".to_owned()));
        }
        answer.await.unwrap_or_else(|_| Err(EngineError::Unknown("the engine stopped meanwhile".to_owned())))
    }
}

#[async_trait]
impl Engine for RaftRs {
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
        self.books.read()
    }

    fn receive(&self, from: Incarnation, message: Bytes) {
        match wire::decode(from, self.me, message) {
            Ok(message) => {
                if self.inbox.try_send(message).is_err() {
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
        let ticket = self.ask(|reply| Command::Adopt(staged, compact_to, reply)).await?;
        Ok(ticket.await?)
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
