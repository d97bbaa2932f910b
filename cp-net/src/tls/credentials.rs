//! A node's or an operator's certificate, key and trusted authority.

use super::certificate::{BadCertificate, Certificate, utc};
use super::name::PeerName;
use super::unfit::CredentialsError;
use super::{TimeProvider, UnixTime, provider};
use cp_seam::{ClusterId, MemberId};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate, its key and the authority that both ends trust, checked
/// together. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    inner: Arc<Inner>,
}

struct Inner {
    name: PeerName,
    certificate: Certificate,
    files: Files,
    authorities: String,
    key: Arc<CertifiedKey>,
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
}

#[derive(Debug, Clone)]
struct Files {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Credentials {
    /// Reads the three PEM files and checks that another member would accept
    /// them now: readable, the key the certificate's, one proper name, both key
    /// usages, in its validity, signed by the authority.
    ///
    /// Blocks on the files.
    pub fn load(authority: &Path, certificate: &Path, key: &Path) -> Result<Self, CredentialsError> {
        Self::load_at(authority, certificate, key, Arc::new(rustls::time_provider::DefaultTimeProvider))
    }

    /// [`load`](Self::load) with a clock of the caller's, which also serves every
    /// later handshake.
    pub fn load_at(
        authority: &Path,
        certificate: &Path,
        key: &Path,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, CredentialsError> {
        let files = Files { authority: authority.into(), certificate: certificate.into(), key: key.into() };
        let provider = provider();
        let now = clock.current_time().ok_or(CredentialsError::Clock)?;
        let (roots, authorities) = read_authorities(&files.authority, now)?;
        let (chain, leaf) = read_chain(&files.certificate)?;
        let key = read_key(&files, &chain, &provider)?;
        let name = check_leaf(&files.certificate, &leaf, now)?;

        let roots = Arc::new(roots);
        let verifier = |reason: String| CredentialsError::Authority { file: files.authority.clone(), reason };
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| verifier(error.to_string()))?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| verifier(error.to_string()))?;
        let credentials = Self {
            inner: Arc::new(Inner {
                name,
                certificate: leaf,
                files,
                authorities,
                key: Arc::new(key),
                clients,
                servers,
                provider,
                clock,
            }),
        };
        credentials.check_chain(now)?;
        Ok(credentials)
    }

    /// Whose they are.
    pub fn name(&self) -> &PeerName {
        &self.inner.name
    }

    /// The facts of the certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.inner.certificate
    }

    /// Refuses, with both names, unless these are `member`'s in `cluster`.
    pub fn require_member(&self, member: &MemberId, cluster: ClusterId) -> Result<(), CredentialsError> {
        let expected = PeerName::member(member.clone(), cluster);
        if *self.name() == expected {
            return Ok(());
        }
        Err(CredentialsError::Name {
            file: self.inner.files.certificate.clone(),
            found: vec![self.name().to_string()],
            expected: expected.to_string(),
        })
    }

    /// Puts the certificate before the verifiers that its peers will use.
    fn check_chain(&self, now: UnixTime) -> Result<(), CredentialsError> {
        let inner = &self.inner;
        let file = || inner.files.certificate.clone();
        let Some((leaf, intermediates)) = inner.key.cert.split_first() else {
            return Err(CredentialsError::NoCertificate { file: file() });
        };
        let verified = server_name(&inner.name)
            .and_then(|name| inner.servers.verify_server_cert(leaf, intermediates, &name, &[], now).map(drop))
            .and_then(|()| inner.clients.verify_client_cert(leaf, intermediates, now).map(drop));
        verified.map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                CredentialsError::Unsigned {
                    file: file(),
                    issuer: inner.certificate.issuer.clone(),
                    authority: inner.files.authority.clone(),
                    found: inner.authorities.clone(),
                }
            }
            other => CredentialsError::Unusable { file: file(), reason: other.to_string() },
        })
    }

    pub(super) fn authorities(&self) -> &str {
        &self.inner.authorities
    }

    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        self.inner.key.clone()
    }

    pub(super) fn clients(&self) -> &Arc<dyn ClientCertVerifier> {
        &self.inner.clients
    }

    pub(super) fn servers(&self) -> &Arc<WebPkiServerVerifier> {
        &self.inner.servers
    }

    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        self.inner.provider.clone()
    }

    pub(super) fn clock(&self) -> Arc<dyn TimeProvider> {
        self.inner.clock.clone()
    }
}

/// Without the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.inner.name.to_string())
            .field("files", &self.inner.files)
            .finish_non_exhaustive()
    }
}

/// A peer's name as rustls verifies it.
pub(super) fn server_name(name: &PeerName) -> Result<ServerName<'static>, rustls::Error> {
    ServerName::try_from(name.to_string()).map_err(|error| rustls::Error::General(error.to_string()))
}

fn read_pem(file: &Path) -> Result<Vec<u8>, CredentialsError> {
    std::fs::read(file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CredentialsError::Missing { file: file.into() },
        _ => CredentialsError::Unreadable { file: file.into(), source },
    })
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let text = read_pem(file)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| CredentialsError::NotPem { file: file.into(), reason: error.to_string() })?;
    if certificates.is_empty() {
        return Err(CredentialsError::NoCertificate { file: file.into() });
    }
    Ok(certificates)
}

fn read_authorities(file: &Path, now: UnixTime) -> Result<(RootCertStore, String), CredentialsError> {
    let mut roots = RootCertStore::empty();
    let (mut subjects, mut outdated) = (Vec::new(), None);
    for der in read_certificates(file)? {
        let facts = read_facts(file, &der)?;
        if !facts.is_ca {
            return Err(CredentialsError::Authority {
                file: file.into(),
                reason: format!("{:?} is not a certificate authority's certificate", facts.subject),
            });
        }
        if let Err(error) = check_validity(file, &facts, now) {
            outdated = Some(error);
            continue;
        }
        roots.add(der).map_err(|error| CredentialsError::Authority { file: file.into(), reason: error.to_string() })?;
        subjects.push(facts.subject);
    }
    match outdated {
        Some(error) if roots.is_empty() => Err(error),
        _ => Ok((roots, subjects.join(", "))),
    }
}

fn read_chain(file: &Path) -> Result<(Vec<CertificateDer<'static>>, Certificate), CredentialsError> {
    let chain = read_certificates(file)?;
    let leaf = chain.first().ok_or_else(|| CredentialsError::NoCertificate { file: file.into() })?;
    let facts = read_facts(file, leaf)?;
    Ok((chain, facts))
}

fn read_facts(file: &Path, der: &CertificateDer<'_>) -> Result<Certificate, CredentialsError> {
    Certificate::read(der).map_err(|error| CredentialsError::Unusable { file: file.into(), reason: error.to_string() })
}

fn read_key(
    files: &Files,
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CredentialsError> {
    let file = || files.key.clone();
    let key = PrivateKeyDer::from_pem_slice(&read_pem(&files.key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => CredentialsError::NoKey { file: file() },
        other => CredentialsError::NotPem { file: file(), reason: other.to_string() },
    })?;
    CertifiedKey::from_der(chain.to_vec(), key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            CredentialsError::KeyMismatch { file: file(), certificate: files.certificate.clone() }
        }
        other => CredentialsError::Unusable { file: file(), reason: other.to_string() },
    })
}

fn check_leaf(file: &Path, leaf: &Certificate, now: UnixTime) -> Result<PeerName, CredentialsError> {
    let name = leaf.peer_name().map_err(|error| match error {
        BadCertificate::Names { found } => CredentialsError::Name {
            file: file.into(),
            found,
            expected: "<member>.<cluster id>.cp.internal or <name>.client.<cluster id>.cp.internal".to_owned(),
        },
        other => CredentialsError::Unusable { file: file.into(), reason: other.to_string() },
    })?;
    check_validity(file, leaf, now)?;
    let missing = match (leaf.client_auth, leaf.server_auth) {
        (true, true) => return Ok(name),
        (false, true) => "clientAuth",
        (true, false) => "serverAuth",
        (false, false) => "clientAuth and serverAuth",
    };
    Err(CredentialsError::KeyUsage { file: file.into(), missing })
}

fn check_validity(file: &Path, facts: &Certificate, now: UnixTime) -> Result<(), CredentialsError> {
    if now > facts.not_after {
        return Err(CredentialsError::Expired { file: file.into(), since: utc(facts.not_after), now: utc(now) });
    }
    if now < facts.not_before {
        return Err(CredentialsError::NotYetValid { file: file.into(), from: utc(facts.not_before), now: utc(now) });
    }
    Ok(())
}
