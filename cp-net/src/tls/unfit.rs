//! Why credentials are not taken: the file, the fault, the remedy.

use std::io;
use std::path::PathBuf;

/// Credentials that no peer would accept. Nothing was started with them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file does not exist.
    #[error("{} does not exist; make it with `cert init-ca` or `cert issue`, or correct the path", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file holds broken PEM.
    #[error("{} is not well-formed PEM: {reason}", file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate; it must have a PEM section CERTIFICATE", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A file holds no key.
    #[error("{} holds no private key; it must have a PEM section PRIVATE KEY", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The key is another certificate's.
    #[error("the key in {} is not the key of the certificate in {}; give the pair that was issued together", file.display(), certificate.display())]
    KeyMismatch {
        /// The key's file.
        file: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A certificate is past its validity.
    #[error("the certificate in {} expired at {since} (it is {now}); issue a new one", file.display())]
    Expired {
        /// The file.
        file: PathBuf,
        /// When it expired.
        since: String,
        /// The time now.
        now: String,
    },
    /// A certificate is not valid yet.
    #[error("the certificate in {} is valid only from {from} (it is {now}); check this machine's clock", file.display())]
    NotYetValid {
        /// The file.
        file: PathBuf,
        /// From when it is valid.
        from: String,
        /// The time now.
        now: String,
    },
    /// A certificate is for somebody else, or for nobody.
    #[error("the certificate in {} is for {found:?}, but must be for {expected}; issue one for that name", file.display())]
    Name {
        /// The file.
        file: PathBuf,
        /// The DNS names it has.
        found: Vec<String>,
        /// What it should be.
        expected: String,
    },
    /// The certificate was signed by somebody else.
    #[error("the certificate in {} was issued by {issuer:?}, which did not sign it with a key of {} ({found:?}); issue it again with that authority, or give the authority that did", file.display(), authority.display())]
    Unsigned {
        /// The file.
        file: PathBuf,
        /// Who issued it, by its own account.
        issuer: String,
        /// The authority's file.
        authority: PathBuf,
        /// The subjects in that file.
        found: String,
    },
    /// The certificate may not be used at both ends.
    #[error("the certificate in {} lacks the extended key usage {missing}; members both dial and listen: issue it with clientAuth and serverAuth", file.display())]
    KeyUsage {
        /// The file.
        file: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// The authority's file is no authority's.
    #[error("{} cannot serve as the certificate authority: {reason}", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate or key that rustls does not take.
    #[error("{} cannot be used: {reason}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The clock gave no time.
    #[error("the clock gave no time; certificates cannot be checked without one")]
    Clock,
}
