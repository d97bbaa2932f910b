//! A running node: store, engine, and the three ports.

use super::announce;
use super::disk::TimedDirectory;
use super::engine::{BadEngine, Engine};
use super::http::{self, Pages};
use super::metrics::Metrics;
use super::promote;
use super::settings::Settings;
use crate::api::{ControlPlaneServer, NodeApi};
use crate::client::Client;
use crate::leases::{Closures, InUse, Keeper, KeeperError, ProcessClock, Source, Terms};
use crate::session::{NoRandomness, random};
use crate::supervisor::Supervisor;
use cp_catalog::{Catalog, CatalogMachine};
use cp_driver::{Parts, StartError};
use cp_lease::{BadPolicy, Policy};
use cp_net::Transport;
use cp_net::tls::{Accepts, BindError, Closer, Credentials, CredentialsError, Listener};
use cp_seam::{BadMemberId, MemberId, ShutdownError};
use cp_store::{DiskDirectory, Expected, Failure, Identity, OpenError, Store, Writer};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A node that serves. Dropping it stops it without handing leadership over.
#[derive(Debug)]
pub struct Daemon {
    supervisor: Arc<Supervisor>,
    identity: Identity,
    engine: Engine,
    peer_address: SocketAddr,
    client_address: SocketAddr,
    http_address: SocketAddr,
    clients: Closer,
    credentials: Credentials,
    terms: Terms,
    leases: Policy,
    gates: tokio::sync::Mutex<InUse>,
    tasks: JoinSet<()>,
}

impl Daemon {
    /// Starts the node in the directory of `settings`, which must hold one: none is
    /// ever created here. Returns once all ports are open.
    pub async fn start(settings: &Settings) -> Result<Self, ServeError> {
        let metrics = Metrics::default();
        let store = open(settings, &metrics).await?;
        let identity = store.identity();
        let credentials = Credentials::load(&settings.ca, &settings.cert, &settings.key)?;
        credentials.require_member(&identity.member, identity.cluster)?;
        let engine = Engine::pick(settings.engine.as_deref(), &identity.engine, settings.swap_engine)?;
        if engine.name() != identity.engine {
            let store = store.clone();
            blocking(move || store.remember_engine(engine.name())).await?;
        }
        // Every port is taken before the node begins to vote.
        let transport = Transport::bind(settings.peer_listen, credentials.clone(), cp_net::Settings::default()).await?;
        let clients = Listener::bind(settings.client_listen, credentials.clone(), Accepts::MembersAndClients).await?;
        let pages_socket = TcpListener::bind(settings.http_listen)
            .await
            .map_err(|source| BindError::Address { address: settings.http_listen, source })?;
        let http_address = pages_socket.local_addr().map_err(ServeError::Io)?;
        let (peer_address, client_address, closer) = (transport.local_addr(), clients.local_addr(), clients.closer());

        let machine = CatalogMachine::vacant();
        let transport = Arc::new(transport);
        let tuning = cp_driver::Settings {
            election_timeout: settings.election_timeout,
            heartbeat: settings.heartbeat,
            snapshot_every: settings.snapshot_every,
            snapshot_bytes: settings.snapshot_bytes,
            retained: settings.retained,
            seed: u64::from_le_bytes(random()?),
            ..cp_driver::Settings::default()
        };
        let parts = Parts {
            store: store.clone(),
            state: Arc::new(machine.clone()),
            transport: Arc::clone(&transport) as Arc<dyn cp_seam::PeerTransport>,
            settings: tuning,
        };
        let consensus = engine.start(parts).await?;
        // The longest lease is the cluster's, so only what came off the disk can say whether these fit.
        let leases = match settings.leases.policy(machine.read(Catalog::longest_lease)) {
            Ok(leases) => leases,
            Err(bad) => {
                // Until it has stopped, nobody else may have the directory.
                if let Err(error) = consensus.shutdown().await {
                    tracing::warn!(%error, "the node did not stop in good order");
                }
                return Err(ServeError::Leases(bad));
            }
        };
        let supervisor = Supervisor::new(Arc::clone(&consensus), machine, settings.election_timeout);
        let supervisor = Arc::new(supervisor.with_leases(settings.leases, Arc::new(ProcessClock::default())));

        let mut tasks = JoinSet::new();
        tasks.spawn(metrics.clone().follow(consensus));
        if settings.auto_promote {
            tasks.spawn(promote::run(Arc::clone(&supervisor)));
        }
        let desk = Arc::clone(supervisor.leases());
        tasks.spawn(async move { desk.run().await });
        tasks.spawn(announce::run(Arc::clone(&supervisor), identity.clone(), credentials.clone()));
        let api = Arc::new(NodeApi::new(Arc::clone(&supervisor), store.clone(), engine.name()));
        tasks.spawn(serve_clients(api, clients));
        let pages = Pages {
            supervisor: Arc::clone(&supervisor),
            store,
            identity: identity.clone(),
            credentials: credentials.clone(),
            metrics,
            transport,
            data_dir: settings.data_dir.clone(),
        };
        tasks.spawn(serve_pages(pages_socket, pages));
        Ok(Self {
            supervisor,
            identity,
            engine,
            peer_address,
            client_address,
            http_address,
            clients: closer,
            credentials,
            terms: settings.leases,
            leases,
            gates: tokio::sync::Mutex::default(),
            tasks,
        })
    }

    /// A keeper of this member's leases, for the write path of a store in this process, with
    /// what it has closed kept in `closures`. Run it beside the node. One per node: there is no
    /// other while this one or a clone of its gates is there.
    pub async fn keeper(&self, closures: Arc<dyn Closures>) -> Result<Keeper, KeeperError> {
        let mut gates = self.gates.lock().await;
        if gates.is_so() {
            return Err(KeeperError::InUse { member: self.identity.member.clone() });
        }
        let catalog = self.supervisor.read_stale().catalog;
        let endpoints = catalog.members().map(|member| member.addresses.client.clone());
        let endpoints = endpoints.filter(|address| !address.is_empty()).collect();
        let client = Client::new(endpoints, self.credentials.clone(), self.leases.length());
        let (source, clock) = (Source::node(&self.supervisor), Arc::new(ProcessClock::default()));
        let keeper = Keeper::begin(&self.identity.member, source, client, self.terms, clock, closures).await?;
        *gates = keeper.gates().in_use();
        Ok(keeper)
    }

    /// The node's supervisor.
    pub fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// Whose node it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What drives it.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Where peers connect.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// Where clients connect.
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// Where health and metrics are served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Waits until the node stops by itself, and says why. Health is still served then.
    pub async fn stopped(&self) -> String {
        let mut watch = self.supervisor.consensus().watch();
        loop {
            if let Some(reason) = watch.current().stopped {
                return reason;
            }
            if watch.changed_beyond_indexes().await.is_err() {
                return "the node was shut down".to_owned();
            }
        }
    }

    /// Stops it: leadership is handed over first, what the store has begun is finished.
    pub async fn shutdown(mut self) -> Result<(), ShutdownError> {
        let done = self.supervisor.consensus().shutdown().await;
        self.clients.close();
        self.tasks.shutdown().await;
        done
    }
}

async fn open(settings: &Settings, metrics: &Metrics) -> Result<Store, ServeError> {
    let member = settings.member.as_deref().map(MemberId::new).transpose()?;
    let expected = Expected { cluster: None, member };
    let dir = Arc::new(TimedDirectory::new(DiskDirectory::new(&settings.data_dir), metrics.clone()));
    blocking(move || Store::open(dir, &expected, Writer::Thread)).await
}

/// Runs what blocks on the disk away from the runtime's own threads.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ServeError>
where
    T: Send + 'static,
    E: Into<ServeError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) => Err(ServeError::Io(std::io::Error::other(error))),
    }
}

async fn serve_clients(api: Arc<NodeApi>, listener: Listener) {
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(10)))
        .add_service(ControlPlaneServer::new(api))
        .serve_with_incoming(listener.incoming());
    if let Err(error) = Box::pin(server).await {
        tracing::error!(error = cp_driver::chain(&error), "the client port stopped");
    }
}

async fn serve_pages(socket: TcpListener, pages: Pages) {
    if let Err(error) = axum::serve(socket, http::router(pages)).await {
        tracing::error!(%error, "the HTTP port stopped");
    }
}

/// The node was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The certificate.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The engine's name.
    #[error(transparent)]
    Engine(#[from] BadEngine),
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The engine.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store.
    #[error(transparent)]
    Store(#[from] Failure),
    /// The leases that it would grant.
    #[error("lease_ms and clock_drift_ppm of this node do not fit its cluster")]
    Leases(#[source] BadPolicy),
    /// The member's name.
    #[error("member: {0}")]
    Member(#[from] BadMemberId),
    /// No seed.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The operating system.
    #[error("the operating system refused")]
    Io(#[source] std::io::Error),
}
