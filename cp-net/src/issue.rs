//! A certificate authority for clusters that have none of their own.
//!
//! One directory holds the authority (`ca.pem`, `ca.key`) and what it issued
//! (`<member>.pem`, `<member>.key`, `<name>.client.pem`, ...). The authority is
//! one cluster's: its subject carries the cluster id and it signs no other
//! cluster's names. Keys are readable by their owner alone, files appear whole
//! or not at all, and none is overwritten unless told so.

use crate::tls::{Certificate, PeerName, UnixTime, utc};
use cp_seam::ClusterId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The authority's certificate within its directory; members need a copy of it.
pub const CA_CERTIFICATE: &str = "ca.pem";
/// The authority's key within its directory; it stays where it is.
pub const CA_KEY: &str = "ca.key";

/// What an authority's subject begins with.
const CA_SUBJECT: &str = "control plane CA ";
/// Certificates are valid from a little before their issue: clocks differ.
const BACKDATED: Duration = Duration::from_secs(300);

/// Since when and how long a certificate is valid, and whether it may replace one.
#[derive(Debug, Clone)]
pub struct IssueSettings {
    /// The time now.
    pub now: UnixTime,
    /// How many days the certificate is valid.
    pub days: u32,
    /// Whether to replace files that exist.
    pub overwrite: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
    /// Until when it is valid.
    pub not_after: UnixTime,
}

/// Makes an authority for `cluster` in `dir`, which is made if it is missing.
pub fn init_ca(dir: &Path, cluster: ClusterId, settings: &IssueSettings) -> Result<Issued, IssueError> {
    let key = KeyPair::generate().map_err(signing)?;
    let (params, not_after) = authority(cluster, settings)?;
    let certificate = params.self_signed(&key).map_err(signing)?;
    fs::create_dir_all(dir).map_err(|source| IssueError::File { file: dir.into(), source })?;
    write_pair(&dir.join(CA_CERTIFICATE), certificate.pem(), &dir.join(CA_KEY), key, not_after, settings)
}

/// Which cluster the authority in `dir` is for.
pub fn ca_cluster(dir: &Path) -> Result<ClusterId, IssueError> {
    let file = dir.join(CA_CERTIFICATE);
    let foreign = |reason: String| IssueError::Foreign { file: file.clone(), reason };
    let text = read(&file)?;
    let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| foreign(error.to_string()))?;
    let facts = Certificate::read(&der).map_err(|error| foreign(error.to_string()))?;
    let subject = facts.subject.strip_prefix("CN=").and_then(|name| name.strip_prefix(CA_SUBJECT));
    subject
        .and_then(|cluster| cluster.parse().ok())
        .ok_or_else(|| foreign(format!("its subject is {:?}", facts.subject)))
}

/// Issues a certificate for `name` with the authority in `dir`, good for both
/// dialling and listening, into the same directory.
pub fn issue(dir: &Path, name: &PeerName, settings: &IssueSettings) -> Result<Issued, IssueError> {
    let cluster = ca_cluster(dir)?;
    if name.cluster() != cluster {
        return Err(IssueError::OtherCluster { name: name.to_string(), cluster });
    }
    let file = dir.join(CA_KEY);
    let ca_key = KeyPair::from_pem(&read(&file)?)
        .map_err(|error| IssueError::Foreign { file: file.clone(), reason: error.to_string() })?;
    // Only the subject and the key identifier of these go into what is signed.
    let (ca, _) = authority(cluster, settings)?;
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate().map_err(signing)?;
    let mut params = CertificateParams::new(vec![name.to_string()]).map_err(signing)?;
    params.distinguished_name = common_name(name.label());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let not_after = validity(&mut params, settings)?;
    let certificate = params.signed_by(&key, &issuer).map_err(signing)?;

    let stem = match name {
        PeerName::Member { member, .. } => member.to_string(),
        PeerName::Client { name, .. } => format!("{name}.client"),
    };
    let (certificate_file, key_file) = (dir.join(format!("{stem}.pem")), dir.join(format!("{stem}.key")));
    write_pair(&certificate_file, certificate.pem(), &key_file, key, not_after, settings)
}

fn authority(cluster: ClusterId, settings: &IssueSettings) -> Result<(CertificateParams, UnixTime), IssueError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(signing)?;
    params.distinguished_name = common_name(&format!("{CA_SUBJECT}{cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(format!("{cluster}.cp.internal"))],
        excluded_subtrees: Vec::new(),
    });
    let not_after = validity(&mut params, settings)?;
    Ok((params, not_after))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn validity(params: &mut CertificateParams, settings: &IssueSettings) -> Result<UnixTime, IssueError> {
    /// The last second of the year 9999, where certificates end.
    const LAST: u64 = 253_402_300_799;
    let now = settings.now.as_secs();
    let end = now + u64::from(settings.days) * 86_400;
    if settings.days == 0 || end > LAST {
        return Err(IssueError::Days { days: settings.days });
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now).saturating_sub(BACKDATED);
    params.not_after = epoch + Duration::from_secs(end);
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(end)))
}

fn read(file: &Path) -> Result<String, IssueError> {
    fs::read_to_string(file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => IssueError::NoAuthority { file: file.into() },
        _ => IssueError::File { file: file.into(), source },
    })
}

fn write_pair(
    certificate_file: &Path,
    certificate: String,
    key_file: &Path,
    key: KeyPair,
    not_after: UnixTime,
    settings: &IssueSettings,
) -> Result<Issued, IssueError> {
    if let Some(file) = [key_file, certificate_file].into_iter().find(|file| !settings.overwrite && file.exists()) {
        return Err(IssueError::Exists { file: file.into() });
    }
    // The key first: a certificate without its key is worth nothing.
    write(key_file, key.serialize_pem().as_bytes(), 0o600, settings.overwrite)?;
    write(certificate_file, certificate.as_bytes(), 0o644, settings.overwrite)?;
    Ok(Issued { certificate: certificate_file.into(), key: key_file.into(), not_after })
}

/// Writes a file whole or not at all; without `overwrite`, never over another.
fn write(file: &Path, bytes: &[u8], mode: u32, overwrite: bool) -> Result<(), IssueError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => IssueError::Exists { file: file.into() },
        _ => IssueError::File { file: file.into(), source },
    };
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut handle = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(failed)?;
    handle.write_all(bytes).and_then(|()| handle.sync_all()).map_err(failed)?;
    if overwrite {
        fs::rename(&temporary, file).map_err(failed)?;
    } else {
        // A link, unlike a rename, fails where the name is taken.
        let linked = fs::hard_link(&temporary, file);
        fs::remove_file(&temporary).map_err(failed)?;
        linked.map_err(failed)?;
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn signing(error: rcgen::Error) -> IssueError {
    IssueError::Signing { reason: error.to_string() }
}

/// A certificate that was not issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A file is there already.
    #[error("{} exists; it was not touched: say that it may be overwritten, or choose another directory", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// There is no authority in the directory.
    #[error("{} does not exist; make the authority first with `cert init-ca`", file.display())]
    NoAuthority {
        /// The missing file.
        file: PathBuf,
    },
    /// The authority is not one that `init_ca` made.
    #[error("{} was not made by `cert init-ca` ({reason}); issue with the tool that made it", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The name is another cluster's.
    #[error("{name} is not a name of cluster {cluster}, which this authority is for; use that cluster's authority")]
    OtherCluster {
        /// The name.
        name: String,
        /// The authority's cluster.
        cluster: ClusterId,
    },
    /// The validity is no time, or ends after the year 9999.
    #[error(
        "a validity of {days} days cannot be written into a certificate; give 1 or more, ending before the year 10000"
    )]
    Days {
        /// The days.
        days: u32,
    },
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate could not be signed.
    #[error("the certificate could not be made: {reason}")]
    Signing {
        /// Why.
        reason: String,
    },
}

/// Says where the files are and until when they hold.
impl std::fmt::Display for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} and {}, valid until {}", self.certificate.display(), self.key.display(), utc(self.not_after))
    }
}
