//! What a certificate says, read without trusting it.

use super::name::PeerName;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The facts of a certificate that this system goes by. Reading them verifies
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// Its subject's distinguished name.
    pub subject: String,
    /// Its issuer's distinguished name.
    pub issuer: String,
    /// Its DNS names, in order.
    pub dns_names: Vec<String>,
    /// From when it is valid.
    pub not_before: UnixTime,
    /// Until when it is valid.
    pub not_after: UnixTime,
    /// Whether it may be presented by the end that dials.
    pub client_auth: bool,
    /// Whether it may be presented by the end that listens.
    pub server_auth: bool,
    /// Whether it may sign others.
    pub is_ca: bool,
}

impl Certificate {
    /// Reads a certificate.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, BadCertificate> {
        let malformed = |error: &dyn std::fmt::Display| BadCertificate::Malformed { reason: error.to_string() };
        let (rest, x509) = X509Certificate::from_der(der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(BadCertificate::Malformed { reason: "bytes follow it".to_owned() });
        }
        let names = x509.subject_alternative_name().map_err(|error| malformed(&error))?;
        let dns_names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let usage = x509.extended_key_usage().map_err(|error| malformed(&error))?;
        // Without the extension a certificate is good for any use.
        let (client_auth, server_auth) = usage.map_or((true, true), |usage| {
            (usage.value.any || usage.value.client_auth, usage.value.any || usage.value.server_auth)
        });
        Ok(Self {
            subject: x509.subject().to_string(),
            issuer: x509.issuer().to_string(),
            dns_names: dns_names.collect(),
            not_before: unix(x509.validity().not_before.timestamp()),
            not_after: unix(x509.validity().not_after.timestamp()),
            client_auth,
            server_auth,
            is_ca: x509.is_ca(),
        })
    }

    /// The name it is for: its only DNS name, which must be of this system's form.
    pub fn peer_name(&self) -> Result<PeerName, BadCertificate> {
        let wrong = || BadCertificate::Names { found: self.dns_names.clone() };
        match self.dns_names.as_slice() {
            [only] => only.parse().map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// Whom a verified chain is for. `certificates` is what the TLS session
/// reports of its other end, leaf first.
pub fn peer_identity(certificates: &[CertificateDer<'_>]) -> Result<PeerName, BadCertificate> {
    Certificate::read(certificates.first().ok_or(BadCertificate::Missing)?)?.peer_name()
}

/// A certificate from which no identity can be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadCertificate {
    /// None was presented.
    #[error("no certificate was presented")]
    Missing,
    /// It cannot be read.
    #[error("the certificate cannot be read: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// It has not exactly one DNS name, or one of another form.
    #[error(
        "the certificate has the DNS names {found:?}; it must have exactly one, <member>.<cluster id>.cp.internal or <name>.client.<cluster id>.cp.internal"
    )]
    Names {
        /// The names it has.
        found: Vec<String>,
    },
}

fn unix(timestamp: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(timestamp).unwrap_or(0)))
}

/// A time as operators read it: `2026-11-23T04:40:20Z`.
pub fn utc(time: UnixTime) -> String {
    let seconds = time.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil date from a day number, counting years from March and eras of 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_read_as_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_408_820, "2026-11-23T04:40:20Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UnixTime::since_unix_epoch(Duration::from_secs(seconds))), text);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            prop_assert!(Certificate::read(&CertificateDer::from(bytes)).is_err());
        }
    }
}
