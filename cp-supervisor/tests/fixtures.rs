//! Directories of every format that was released, as a node left them when it was killed:
//! opened by this release, under each engine (CP-E1, CP-R1, CP-R3).
//!
//! `fixtures/<format>/<engine>.tar.gz` is a directory, `.json` what `recover collect` said
//! of it then. A new format gets a new folder by `cargo test -p cp-supervisor
//! --all-features --test fixtures -- --ignored`; the old ones are never made again.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{Place, Site, text};
use cp_supervisor::daemon::Engine;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The format that this release writes.
const NOW: &str = "1";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn tar(arguments: &[&str]) {
    assert!(Command::new("tar").args(arguments).status().unwrap().success(), "tar {arguments:?}");
}

/// What the directory holds, by the word of the offline reader.
fn collected(site: &Site, place: &Place) -> serde_json::Value {
    let output =
        site.run_as(&place.name, "", &["recover", "collect", "--data-dir", &text(&place.data_dir), "-o", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    all.as_object_mut().unwrap().remove("data_dir");
    all
}

#[test]
#[ignore = "makes the fixtures of a new format"]
fn a_fixture_of_this_format_is_made() {
    for engine in Engine::COMPILED {
        let (site, to) = (Site::new(), folder().join(NOW));
        std::fs::create_dir_all(&to).unwrap();
        let archive = to.join(format!("{}.tar.gz", engine.name()));
        assert!(!archive.exists(), "{} is there; a format is written down once", archive.display());
        let (places, mut nodes) = site.cluster(1, engine.name(), &["--snapshot-every", "8", "--retained", "2"]);
        for number in 0..20 {
            let name = format!("c{number}");
            site.run(&places[0], &["collection", "create", &name, "--group", "g", "--mode", "hash"]);
        }
        nodes[0].kill();
        std::fs::write(to.join(format!("{}.json", engine.name())), format!("{:#}\n", collected(&site, &places[0])))
            .unwrap();
        tar(&["--create", "--gzip", "--sparse", "--file", &text(&archive), "--directory", &text(site.path()), "n1"]);
    }
}

/// Read as it was written, and carried on by each engine.
#[test]
fn directories_of_every_format_are_opened() {
    let mut opened = 0;
    for format in std::fs::read_dir(folder()).unwrap() {
        for file in std::fs::read_dir(format.unwrap().path()).unwrap() {
            let described = file.unwrap().path();
            if described.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let then: serde_json::Value = serde_json::from_slice(&std::fs::read(&described).unwrap()).unwrap();
            let archive = described.with_extension("tar.gz");
            for engine in Engine::COMPILED {
                let site = Site::new();
                let place = site.place(1);
                tar(&["--extract", "--file", &text(&archive), "--directory", &text(site.path())]);
                let now = collected(&site, &place);
                // A later release may say more of it, and nothing else.
                for (what, said) in then.as_object().unwrap() {
                    assert_eq!(&now[what], said, "{what} of {}", archive.display());
                }
                let _node = site.serve(&place, &["--engine", engine.name(), "--swap-engine"]);
                site.run(&place, &["collection", "create", "another", "--group", "g", "--mode", "hash"]);
                let collections = site.json(&place, &["collection", "list"])["collections"].as_array().unwrap().len();
                assert_eq!(collections, 21, "{} under {}", archive.display(), engine.name());
                opened += 1;
            }
        }
    }
    assert!(opened >= Engine::COMPILED.len(), "there is no fixture");
}
