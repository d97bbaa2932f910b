//! The verifiers: rustls's own, then the name, and a sentence kept for the log.
//!
//! A verifier serves one handshake. It leaves the sentence in its [`Verdict`],
//! because rustls keeps only a code and the certificate is gone by then.

use super::ALPN;
use super::certificate::{BadCertificate, Certificate};
use super::credentials::{Credentials, server_name};
use super::dial::Expect;
use super::explain;
use super::listen::Accepts;
use super::name::PeerName;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, OnceLock};

/// Why the presented certificate was refused, once it was.
pub(super) type Verdict = Arc<OnceLock<String>>;

/// Each name error ends the handshake with the alert `access_denied`, which no
/// other reason uses, so that the other end can tell.
fn refuse(verdict: &Verdict, sentence: String) -> Error {
    verdict.get_or_init(|| sentence);
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

fn name_of(certificate: &CertificateDer<'_>) -> Result<PeerName, BadCertificate> {
    Certificate::read(certificate)?.peer_name()
}

fn is_about_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
}

/// The end that dials.
pub(super) fn client_config(own: &Credentials, expect: &Expect) -> Result<(ClientConfig, Verdict), Error> {
    let verdict = Verdict::default();
    let verifier = ServerVerifier { own: own.clone(), expect: expect.clone(), verdict: verdict.clone() };
    let mut config = ClientConfig::builder_with_details(own.provider(), own.clock())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = expect.exact().is_some();
    Ok((config, verdict))
}

/// The end that listens.
pub(super) fn server_config(own: &Credentials, accepts: Accepts) -> Result<(ServerConfig, Verdict), Error> {
    let verdict = Verdict::default();
    let verifier = ClientVerifier { own: own.clone(), accepts, verdict: verdict.clone() };
    let mut config = ServerConfig::builder_with_details(own.provider(), own.clock())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own.key())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, verdict))
}

#[derive(Debug)]
struct ServerVerifier {
    own: Credentials,
    expect: Expect,
    verdict: Verdict,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = name_of(end_entity);
        // The chain first: a name means nothing before somebody vouches for it.
        let verifiable = match &found {
            Ok(name) => server_name(name)?,
            Err(_) => asked.to_owned(),
        };
        let verified =
            self.own.servers().verify_server_cert(end_entity, intermediates, &verifiable, ocsp_response, now);
        if let Err(error) = &verified
            && !is_about_name(error)
        {
            self.verdict.get_or_init(|| explain::rejected(error, end_entity, &self.own));
            return verified;
        }
        let found = found.map_err(|error| refuse(&self.verdict, format!("wrong name: {error}")))?;
        if let Err(sentence) = self.expect.check(&found, &self.own) {
            return Err(refuse(&self.verdict, sentence));
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.servers().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.servers().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.servers().supported_verify_schemes()
    }
}

#[derive(Debug)]
struct ClientVerifier {
    own: Credentials,
    accepts: Accepts,
    verdict: Verdict,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.own.clients().root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.own.clients().verify_client_cert(end_entity, intermediates, now);
        if let Err(error) = &verified {
            self.verdict.get_or_init(|| explain::rejected(error, end_entity, &self.own));
            return verified;
        }
        let found = name_of(end_entity).map_err(|error| refuse(&self.verdict, format!("wrong name: {error}")))?;
        if let Err(sentence) = self.accepts.check(&found, &self.own) {
            return Err(refuse(&self.verdict, sentence));
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.clients().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.clients().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.clients().supported_verify_schemes()
    }
}
