//! Directories from which nobody can go on: what they hold can be kept all the same (CP-R2).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{CLUSTER, Site, code, text};
use cp_catalog::{Addresses, Catalog, Features, FoundingMember, Locality};
use cp_recovery::{Backup, fuzz};
use cp_seam::{Generation, Incarnation, LogPosition, MemberId, MemberKind};
use cp_store::{Configuration, DiskDirectory, Founding, Identity, Layout, SnapshotMeta, Store, TermRuns};
use cp_supervisor::daemon::Engine;
use std::path::{Path, PathBuf};
use std::process::Output;

const CONFIRM: &str = "07070707070707070707070707070707";
const SIGNED: [&str; 6] = ["--operator", "ann", "--reason", "both racks burnt", "--confirm", CONFIRM];

fn offline(site: &Site, arguments: &[&str]) -> Output {
    site.run_as("tester.client", "", arguments)
}

fn done(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How it failed, whatever it had to say before.
fn failed(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// The directory of `member`, with this state in it.
fn directory(site: &Site, member: &str, incarnation: u64, state: &Catalog) -> PathBuf {
    let path = site.path().join(format!("{member}-{incarnation}"));
    let genesis = state.to_genesis().unwrap();
    let identity = Identity {
        cluster: CLUSTER,
        generation: state.generation(),
        member: MemberId::new(member).unwrap(),
        incarnation: Incarnation(incarnation),
        engine: Engine::COMPILED[0].name().to_owned(),
    };
    let meta = SnapshotMeta {
        position: LogPosition::GENESIS,
        configuration: Configuration::from(genesis.quorum),
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns::default(),
        digest: genesis.digest,
    };
    let founding = Founding { meta, chunks: genesis.chunks };
    let dir = DiskDirectory::make(&path).unwrap();
    Store::create_with(&dir, &identity, founding, Layout { segment_bytes: 64 << 10 }).unwrap();
    path
}

fn two_and_a_witness() -> Catalog {
    let founder = |(name, kind): (&str, MemberKind)| FoundingMember {
        id: MemberId::new(name).unwrap(),
        kind,
        addresses: Addresses { peer: format!("{name}:1"), client: format!("{name}:2"), http: String::new() },
        locality: Locality::default(),
        features: Features::default(),
    };
    let founding = [("n1", MemberKind::Witness), ("n2", MemberKind::Data), ("n3", MemberKind::Data)].map(founder);
    Catalog::genesis(CLUSTER, Generation { number: 0, id: [1; 8] }, founding.into()).unwrap()
}

fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), std::fs::read(name).unwrap())).collect()
}

fn restore(site: &Site, file: &str, to: &Path) -> Output {
    let to = text(to);
    let place =
        ["--data-dir", &to, "--member", "n3", "--peer-address", "127.0.0.1:1", "--client-address", "127.0.0.1:2"];
    offline(
        site,
        &[&["snapshot", "restore", file, "--after-generation", "0", "-o", "json"][..], &place, &SIGNED].concat(),
    )
}

#[test]
fn what_a_removed_member_holds_is_kept_and_restored() {
    let site = Site::new();
    let dir = directory(&site, "n3", 9, &two_and_a_witness());
    let before = content(&dir);
    let at = text(&dir);
    let described = done(&offline(&site, &["recover", "collect", "--data-dir", &at, "-o", "json"]));
    assert_eq!((&described["joined"], &described["kind_of_member"]), (&false.into(), &"data".into()));
    let (exit, error) = code(&offline(&site, &[&["recover", "apply", "--data-dir", &at][..], &SIGNED].concat()));
    assert!(exit == 3 && error.contains("recover backup"), "{error}");
    let (exit, error) = code(&offline(&site, &["recover", "plan", "--from", &at]));
    assert!(exit == 3 && error.contains("recover backup"), "{error}");
    let (exit, error) = code(&offline(&site, &["recover", "backup", "--data-dir", &at, &format!("{at}/b")]));
    assert!(exit == 3 && error.contains("the node's alone"), "{error}");
    let file = text(&site.path().join("kept.backup"));
    let kept = done(&offline(&site, &["recover", "backup", "--data-dir", &at, &file, "-o", "json"]));
    assert_eq!((&kept["member"], &kept["members"], &kept["violations"]), (&"n3".into(), &"3".into(), &"0".into()));
    assert_eq!(done(&offline(&site, &["snapshot", "status", &file, "-o", "json"])), kept);
    let (exit, error) = code(&offline(&site, &["recover", "backup", "--data-dir", &at, &file]));
    assert!(exit == 3 && error.contains("never overwritten"), "{error}");
    assert_eq!(content(&dir), before, "no byte and no file of it is changed, a lock included");
    let anew = site.path().join("anew");
    assert_eq!(done(&restore(&site, &file, &anew))["generation"], 1);
}

#[test]
fn a_state_that_breaks_an_invariant_is_kept_and_nobody_goes_on_from_it() {
    let site = Site::new();
    let Backup { chunks, .. } = fuzz::broken();
    let dir = directory(&site, "n1", (1 << 32) + 1, &Catalog::from_chunks(&chunks).unwrap());
    let (before, at) = (content(&dir), text(&dir));
    let file = text(&site.path().join("kept.backup"));
    let saved = offline(&site, &["recover", "backup", "--data-dir", &at, &file, "-o", "json"]);
    let (exit, error) = failed(&saved);
    assert!(exit == 1 && error.contains("breaks 1 of its invariants") && !error.contains("damaged"), "{error}");
    let printed: serde_json::Value = serde_json::from_slice(&saved.stdout).unwrap();
    assert_eq!(printed["violations"], "1");
    let (exit, error) = failed(&offline(&site, &["snapshot", "status", &file]));
    assert!(exit == 1 && error.contains("breaks 1 of its invariants"), "{error}");
    let apply = ["recover", "apply", "--data-dir", &at, "--again"];
    let (exit, error) = code(&offline(&site, &[&apply[..], &SIGNED].concat()));
    assert!(exit == 3 && error.contains("breaks 1 of its invariants") && error.contains("another survivor"), "{error}");
    assert_eq!(content(&dir), before);
    let anew = site.path().join("anew");
    let (exit, error) = code(&restore(&site, &file, &anew));
    assert!(exit == 3 && error.contains("restore an earlier one"), "{error}");
    assert!(!anew.exists());
}

/// The witness has the first name, and a data member has as much as it.
#[test]
fn a_plan_names_a_data_member() {
    let site = Site::new();
    let state = two_and_a_witness();
    let [witness, data] = [("n1", 1), ("n2", 2)].map(|(name, life)| text(&directory(&site, name, life, &state)));
    let plan = done(&offline(&site, &["recover", "plan", "--from", &witness, "--from", &data, "-o", "json"]));
    assert!(plan["survivor"].as_str().unwrap().starts_with("n2"), "{plan}");
    // What was collected says it too, and is read with care.
    let collected = offline(&site, &["recover", "collect", "--data-dir", &witness, "-o", "json"]);
    let file = site.path().join("n1.json");
    std::fs::write(&file, &collected.stdout).unwrap();
    let plan = done(&offline(&site, &["recover", "plan", "--from", &data, "--from", &text(&file), "-o", "json"]));
    assert!(plan["survivor"].as_str().unwrap().starts_with("n2"), "{plan}");
    let mut document = done(&collected);
    let digest = document["digest"].as_str().unwrap();
    document["digest"] = digest[1..].into();
    std::fs::write(&file, document.to_string()).unwrap();
    let (exit, error) = code(&offline(&site, &["recover", "plan", "--from", &text(&file)]));
    assert!(exit == 3 && error.contains("is not 64 hexadecimal digits"), "{error}");
}
