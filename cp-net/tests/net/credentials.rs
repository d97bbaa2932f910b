//! Credentials that no peer would accept are refused when they are loaded, with
//! the file, the fault and the remedy.

use crate::support::{CLUSTER, DAY, NOW, OTHER_CLUSTER, Pki, load, member, settings};
use cp_net::issue::{IssueError, IssueSettings, ca_cluster, init_ca, issue};
use cp_net::tls::{CredentialsError, PeerName};
use cp_seam::MemberId;
use std::os::unix::fs::PermissionsExt;

fn n1(pki: &Pki) -> Result<cp_net::tls::Credentials, CredentialsError> {
    load(&pki.path("ca.pem"), &pki.path("n1.pem"), &pki.path("n1.key"), NOW)
}

#[test]
fn good_ones_load_and_say_whose_they_are() {
    let pki = Pki::new(CLUSTER);
    let credentials = pki.member("n1");
    assert_eq!(*credentials.name(), member("n1", CLUSTER));
    assert!(credentials.certificate().client_auth && credentials.certificate().server_auth);
    credentials.require_member(&MemberId::new("n1").unwrap(), CLUSTER).unwrap();
    let error = credentials.require_member(&MemberId::new("n2").unwrap(), CLUSTER).unwrap_err().to_string();
    assert!(error.contains("n1.c1c1") && error.contains("n2.c1c1"), "{error}");
    assert!(!format!("{credentials:?}").contains("PRIVATE"));
}

#[test]
fn files_that_are_missing_or_hold_something_else() {
    let pki = Pki::new(CLUSTER);
    pki.member("n1");
    for file in ["ca.pem", "n1.pem", "n1.key"] {
        let good = std::fs::read(pki.path(file)).unwrap();
        std::fs::remove_file(pki.path(file)).unwrap();
        let error = n1(&pki).unwrap_err();
        assert!(matches!(&error, CredentialsError::Missing { file: f } if f.ends_with(file)), "{error}");

        std::fs::write(pki.path(file), "not PEM at all\n").unwrap();
        let error = n1(&pki).unwrap_err();
        let nothing = matches!(error, CredentialsError::NoCertificate { .. } | CredentialsError::NoKey { .. });
        assert!(nothing && error.to_string().contains(file), "{error}");

        let cut = &good[..good.len() / 2];
        std::fs::write(pki.path(file), cut).unwrap();
        let error = n1(&pki).unwrap_err();
        assert!(matches!(error, CredentialsError::NotPem { .. }) && error.to_string().contains(file), "{error}");

        let label = if file == "n1.key" { "PRIVATE KEY" } else { "CERTIFICATE" };
        std::fs::write(pki.path(file), format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")).unwrap();
        let error = n1(&pki).unwrap_err();
        assert!(matches!(error, CredentialsError::Unusable { .. }) && error.to_string().contains(file), "{error}");
        std::fs::write(pki.path(file), good).unwrap();
    }
    n1(&pki).unwrap();
}

#[test]
fn a_key_of_another_certificate() {
    let pki = Pki::new(CLUSTER);
    pki.member("n1");
    pki.member("n2");
    let error = load(&pki.path("ca.pem"), &pki.path("n1.pem"), &pki.path("n2.key"), NOW).unwrap_err();
    assert!(matches!(error, CredentialsError::KeyMismatch { .. }), "{error}");
}

#[test]
fn out_of_their_validity() {
    let pki = Pki::new(CLUSTER);
    let name = member("n1", CLUSTER);
    let error = pki.issue_at(&name, NOW - 40 * DAY, NOW).unwrap_err();
    assert!(matches!(error, CredentialsError::Expired { .. }), "{error}");
    assert!(error.to_string().contains("2026-11-13T04:40:20Z (it is 2026-11-23T04:40:20Z)"), "{error}");
    let error = pki.issue_at(&name, NOW + DAY, NOW).unwrap_err();
    assert!(matches!(error, CredentialsError::NotYetValid { .. }), "{error}");
    assert!(error.to_string().contains("2026-11-24T04:35:20Z"), "{error}");
    // The authority's own validity counts too.
    pki.issue(&name);
    let error = load(&pki.path("ca.pem"), &pki.path("n1.pem"), &pki.path("n1.key"), NOW + 4000 * DAY).unwrap_err();
    assert!(error.to_string().contains("ca.pem") && matches!(error, CredentialsError::Expired { .. }), "{error}");
}

#[test]
fn another_authority() {
    let (ours, theirs, anew) = (Pki::new(CLUSTER), Pki::new(OTHER_CLUSTER), Pki::new(CLUSTER));
    ours.member("n1");
    for other in [&theirs, &anew] {
        let error = load(&other.path("ca.pem"), &ours.path("n1.pem"), &ours.path("n1.key"), NOW).unwrap_err();
        assert!(matches!(error, CredentialsError::Unsigned { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("CA c1c1") && error.contains("ca.pem"), "{error}");
    }
    // A member's certificate is no authority.
    let error = load(&ours.path("n1.pem"), &ours.path("n1.pem"), &ours.path("n1.key"), NOW).unwrap_err();
    assert!(matches!(error, CredentialsError::Authority { .. }), "{error}");
}

/// Signs what `issue` never would, with the authority's key.
fn sign_odd(pki: &Pki, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Result<(), CredentialsError> {
    let ca_key = rcgen::KeyPair::from_pem(&std::fs::read_to_string(pki.path("ca.key")).unwrap()).unwrap();
    let mut ca = rcgen::CertificateParams::new(vec![]).unwrap();
    ca.distinguished_name = rcgen::DistinguishedName::new();
    ca.distinguished_name.push(rcgen::DnType::CommonName, format!("control plane CA {}", pki.cluster));
    let mut params = rcgen::CertificateParams::new(vec![member("n1", CLUSTER).to_string()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &rcgen::Issuer::new(ca, ca_key)).unwrap();
    std::fs::write(pki.path("n1.pem"), certificate.pem()).unwrap();
    std::fs::write(pki.path("n1.key"), key.serialize_pem()).unwrap();
    n1(pki).map(drop)
}

#[test]
fn names_and_usages_that_no_member_has() {
    use rcgen::{ExtendedKeyUsagePurpose as Usage, SanType};
    let pki = Pki::new(CLUSTER);
    sign_odd(&pki, |_| {}).unwrap();
    for (names, found) in [
        (vec![], "[]"),
        (vec!["localhost".to_owned()], "localhost"),
        (vec![member("n1", CLUSTER).to_string(), member("n2", CLUSTER).to_string()], "n2.c1c1"),
        (vec![format!("*.{CLUSTER}.cp.internal")], "*.c1c1"),
    ] {
        let error = sign_odd(&pki, |params| {
            params.subject_alt_names =
                names.into_iter().map(|name| SanType::DnsName(name.try_into().unwrap())).collect();
        });
        let error = error.unwrap_err();
        assert!(matches!(error, CredentialsError::Name { .. }) && error.to_string().contains(found), "{error}");
    }
    for (usages, missing) in [(vec![Usage::ServerAuth], "clientAuth"), (vec![Usage::ClientAuth], "serverAuth")] {
        let error = sign_odd(&pki, |params| params.extended_key_usages = usages).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, CredentialsError::KeyUsage { .. }) && text.contains(missing), "{text}");
    }
}

/// The authority's own constraint, not only our checks.
#[test]
fn an_authority_signs_no_other_clusters_names() {
    let pki = Pki::new(CLUSTER);
    let name = member("n1", OTHER_CLUSTER);
    let error = issue(pki.dir.path(), &name, &settings(NOW)).unwrap_err();
    assert!(matches!(error, IssueError::OtherCluster { .. }), "{error}");
    let error = sign_odd(&pki, |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name.to_string().try_into().unwrap())];
    });
    let error = error.unwrap_err();
    assert!(matches!(error, CredentialsError::Unusable { .. }), "{error}");
}

#[test]
fn issuing_overwrites_nothing_and_keeps_keys_private() {
    let pki = Pki::new(CLUSTER);
    assert_eq!(ca_cluster(pki.dir.path()).unwrap(), CLUSTER);
    let name = PeerName::client("alice", CLUSTER).unwrap();
    let files = issue(pki.dir.path(), &name, &settings(NOW)).unwrap();
    assert!(files.to_string().contains("alice.client.pem"));
    for key in [pki.path("ca.key"), files.key.clone()] {
        assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = std::fs::read(&files.key).unwrap();
    assert!(matches!(issue(pki.dir.path(), &name, &settings(NOW)), Err(IssueError::Exists { .. })));
    // A certificate left without its key is not overwritten either, nor the reverse.
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(matches!(issue(pki.dir.path(), &name, &settings(NOW)), Err(IssueError::Exists { .. })));
    assert!(matches!(init_ca(pki.dir.path(), CLUSTER, &settings(NOW)), Err(IssueError::Exists { .. })));
    assert_eq!(std::fs::read(&files.key).unwrap(), before);
    let overwrite = IssueSettings { overwrite: true, ..settings(NOW) };
    issue(pki.dir.path(), &name, &overwrite).unwrap();
    assert_ne!(std::fs::read(&files.key).unwrap(), before);
    assert_eq!(std::fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = std::fs::read_dir(pki.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn issuing_without_an_authority_or_a_sensible_time() {
    let dir = tempfile::tempdir().unwrap();
    let name = member("n1", CLUSTER);
    assert!(matches!(issue(dir.path(), &name, &settings(NOW)), Err(IssueError::NoAuthority { .. })));
    for days in [0, u32::MAX] {
        let settings = IssueSettings { days, ..settings(NOW) };
        assert!(matches!(init_ca(dir.path(), CLUSTER, &settings), Err(IssueError::Days { .. })));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
