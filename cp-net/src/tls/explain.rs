//! TLS failures in sentences: which certificate, what is wrong, what to do.
//!
//! A sentence holds nothing that changes from one try to the next (no port, no
//! current time), so that a retry's refusal can be recognised as the same.

use super::certificate::{Certificate, utc};
use super::credentials::Credentials;
use rustls::{AlertDescription, CertificateError, Error};
use rustls_pki_types::CertificateDer;
use std::io;

/// Why this end does not accept a certificate that was presented to it.
pub(super) fn rejected(error: &Error, presented: &CertificateDer<'_>, own: &Credentials) -> String {
    let facts = Certificate::read(presented);
    let whose = match &facts {
        Ok(facts) => format!("the certificate of {}", facts.dns_names.join(", ")),
        Err(_) => "the certificate".to_owned(),
    };
    let issuer = facts.as_ref().map_or("unknown", |facts| facts.issuer.as_str());
    let trusted = own.authorities();
    let kind = match facts.as_ref().map(Certificate::peer_name) {
        Ok(Ok(name)) if name.cluster() != own.name().cluster() => "other cluster, wrong CA",
        _ => "wrong CA",
    };
    let Error::InvalidCertificate(reason) = error else {
        return format!("{whose} cannot be verified: {error}");
    };
    match reason {
        CertificateError::UnknownIssuer => format!(
            "{kind}: {whose} was issued by {issuer:?}, this end trusts {trusted:?}; issue all certificates of a cluster from one CA"
        ),
        CertificateError::BadSignature => format!(
            "{kind}: {whose} names its issuer {issuer:?}, but was signed with another key than that of {trusted:?}; the CA was made anew: issue it again"
        ),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("expired: {whose} was valid until {}; issue a new one", utc(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("not yet valid: {whose} is valid from {}; check the clocks of both machines", utc(*not_before))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("wrong key usage: {whose} lacks clientAuth or serverAuth; issue it with both")
        }
        other => format!("{whose} cannot be verified: {other}"),
    }
}

/// What an alert says that the other end sent about this end's certificate.
pub(super) fn alerted(alert: AlertDescription, own: &Credentials) -> String {
    let name = own.name();
    match alert {
        AlertDescription::UnknownCA => format!(
            "wrong CA: it does not trust {:?}, the issuer of this end's certificate {name}; issue all certificates of a cluster from one CA",
            own.certificate().issuer
        ),
        AlertDescription::DecryptError => format!(
            "wrong CA: it trusts another key than the one that signed this end's certificate {name}, under the same name {:?}; the CA was made anew: issue it again",
            own.certificate().issuer
        ),
        AlertDescription::CertificateExpired => format!(
            "expired or not yet valid: this end's certificate {name} is valid from {} to {}; issue a new one, or check the clocks of both machines",
            utc(own.certificate().not_before),
            utc(own.certificate().not_after)
        ),
        AlertDescription::UnsupportedCertificate => {
            format!("wrong key usage: this end's certificate {name} lacks clientAuth or serverAuth; issue it with both")
        }
        AlertDescription::AccessDenied => format!(
            "wrong name: this end's certificate is for {name}, which is not whom it expects here; compare the address book, and whether the cluster is the same"
        ),
        AlertDescription::CertificateRequired => {
            "missing certificate: it requires one and this end sent none; give a certificate and its key".to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            "it speaks another protocol; check that the address is the right port".to_owned()
        }
        AlertDescription::ProtocolVersion => "it has no TLS version in common with this end (TLS 1.3)".to_owned(),
        other => format!("it sent the TLS alert {other:?} about this end's certificate {name}"),
    }
}

/// The rustls error within an error of the stream.
pub(super) fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
}

/// What a handshake failed of, if not of a certificate.
pub(super) fn broken(error: &io::Error) -> String {
    match tls_error(error) {
        Some(Error::InvalidMessage(_)) => {
            "it sent something other than TLS; check that the address is the right port".to_owned()
        }
        Some(Error::NoCertificatesPresented) => {
            "missing certificate: it presented none; give the other end a certificate of this cluster".to_owned()
        }
        Some(Error::PeerIncompatible(_)) => "it has no TLS version or cipher in common with this end".to_owned(),
        Some(other) => format!("the TLS handshake failed: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection during the handshake".to_owned()
        }
        None => format!("the connection failed: {error}"),
    }
}
