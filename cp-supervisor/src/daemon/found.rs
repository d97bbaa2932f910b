//! Making a node's directory: as the first of a cluster, or from what a cluster gives a joiner.

use super::engine::{BadEngine, Engine};
use crate::client::{Client, ClientError};
use crate::session::{NoRandomness, random};
use crate::token::Token;
use cp_catalog::{Addresses, BadGenesis, Catalog, FEATURE_LEVEL, Features, FoundingMember, Locality, LongestLease};
use cp_seam::{ClusterId, Generation, Incarnation, LogPosition, MemberId, MemberKind};
use cp_store::{CreateError, DiskDirectory, Founding, Identity, OpenError, SnapshotMeta, Store, TermRuns};
use std::path::Path;

/// The first member of a new cluster.
#[derive(Debug, Clone)]
pub struct First {
    /// Its name.
    pub member: MemberId,
    /// The cluster; a random one if left out.
    pub cluster: Option<ClusterId>,
    /// Where it will be reached.
    pub addresses: Addresses,
    /// Where it stands.
    pub locality: Locality,
    /// The longest lease that any leader of the cluster will ever grant.
    pub longest_lease: LongestLease,
    /// The engine, if asked for.
    pub engine: Option<String>,
}

/// Makes `data_dir` the directory of a new cluster's first and only voter.
/// Refused if any node lives there already (CP-M3).
pub fn init(data_dir: &Path, first: First) -> Result<Identity, FoundError> {
    refuse_existing(data_dir)?;
    let engine = Engine::founding(first.engine.as_deref())?;
    let cluster = first.cluster.map_or_else(|| random().map(ClusterId), Ok)?;
    let generation = Generation { number: 0, id: random()? };
    let member = FoundingMember {
        id: first.member.clone(),
        kind: MemberKind::Data,
        addresses: first.addresses,
        locality: first.locality,
        features: Features { level: FEATURE_LEVEL, ..Features::default() },
    };
    let catalog = Catalog::genesis(cluster, generation, vec![member])?;
    let genesis = catalog.with_longest_lease(first.longest_lease).to_genesis()?;
    let identity = Identity {
        cluster,
        generation,
        member: first.member,
        incarnation: Incarnation(1),
        engine: engine.name().to_owned(),
    };
    let meta = SnapshotMeta {
        position: LogPosition::GENESIS,
        configuration: genesis.quorum.into(),
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns::default(),
        digest: genesis.digest,
    };
    create(data_dir, &identity, Founding { meta, chunks: genesis.chunks })?;
    Ok(identity)
}

/// Joins the cluster that `client` reaches with `token`, as `member`, and makes
/// `data_dir` its directory. An unusable directory is refused before the token is spent.
pub async fn join(
    data_dir: &Path,
    client: &Client,
    member: &MemberId,
    token: &Token,
    addresses: &Addresses,
) -> Result<Identity, FoundError> {
    refuse_existing(data_dir)?;
    addresses.check().map_err(|bad| FoundError::Address { why: bad.to_string() })?;
    DiskDirectory::make(data_dir)
        .map_err(|source| FoundError::Directory { dir: data_dir.display().to_string(), source })?;
    let (identity, founding) = client.join(member, token, addresses).await?;
    Engine::pick(Some(&identity.engine), &identity.engine, false)?;
    create(data_dir, &identity, founding)?;
    Ok(identity)
}

fn refuse_existing(data_dir: &Path) -> Result<(), FoundError> {
    match Store::inspect(&DiskDirectory::new(data_dir)) {
        Err(OpenError::Absent { .. }) => Ok(()),
        Ok(found) => {
            Err(CreateError::Exists { directory: data_dir.display().to_string(), member: found.identity.member }.into())
        }
        Err(OpenError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FoundError::Damaged(error)),
    }
}

fn create(data_dir: &Path, identity: &Identity, founding: Founding) -> Result<(), FoundError> {
    let dir = DiskDirectory::make(data_dir)
        .map_err(|source| FoundError::Directory { dir: data_dir.display().to_string(), source })?;
    Ok(Store::create(&dir, identity, founding)?)
}

/// The directory was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoundError {
    /// A node lives there, or the disk failed.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// Something is there that cannot be read.
    #[error("the directory is in use or not empty")]
    Damaged(#[source] OpenError),
    /// It cannot be made.
    #[error("{dir} cannot be made")]
    Directory {
        /// Which.
        dir: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The cluster did not let it in.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No engine for it.
    #[error(transparent)]
    Engine(#[from] BadEngine),
    /// An address cannot be used.
    #[error("{why}; give it as host:port")]
    Address {
        /// Which and why.
        why: String,
    },
    /// The founding state cannot be.
    #[error(transparent)]
    Genesis(#[from] BadGenesis),
    /// The founding state does not encode.
    #[error(transparent)]
    Halt(#[from] cp_seam::Halt),
    /// No random ids.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}
