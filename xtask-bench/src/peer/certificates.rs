//! Certificates as etcd wants them: by address.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::path::Path;

/// The files within the directory.
pub(crate) const CA: &str = "ca.pem";
pub(crate) const CERTIFICATE: &str = "node.pem";
pub(crate) const KEY: &str = "node.key";

/// An authority and one certificate for whoever is on loopback, written into `dir`.
pub(crate) fn write(dir: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "bench");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    std::fs::write(dir.join(CA), params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);

    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "node");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    std::fs::write(dir.join(CERTIFICATE), params.signed_by(&key, &issuer)?.pem())?;
    std::fs::write(dir.join(KEY), key.serialize_pem())?;
    Ok(())
}
