//! A quorum is lost for good, and the cluster goes on from one survivor (CP-R2). On every engine.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{Place, Process, Site, code, text, until};
use cp_supervisor::daemon::Engine;
use std::path::Path;
use std::process::Output;

const CONFIRM: &str = "07070707070707070707070707070707";

fn offline(site: &Site, arguments: &[&str]) -> Output {
    site.run_as("tester.client", "", arguments)
}

fn done(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn apply(site: &Site, dir: &Path, more: &[&str]) -> Output {
    let dir = text(dir);
    let signed = ["--operator", "ann", "--reason", "both racks burnt", "-o", "json"];
    offline(site, &[&["recover", "apply", "--data-dir", &dir][..], &signed, more].concat())
}

/// What `place` has printed on stderr.
fn log(site: &Site, place: &Place) -> String {
    std::fs::read_to_string(site.path().join(format!("{}.log", place.name))).unwrap()
}

fn kill(nodes: &mut [Process]) {
    nodes.iter_mut().for_each(Process::kill);
}

/// Three members, a range of `n1` with a replica on `n2`, and its fence.
fn cluster(site: &Site, engine: &str) -> (Vec<Place>, Vec<Process>, serde_json::Value) {
    let (places, nodes) = site.cluster(3, engine, &[]);
    let at = &places[0];
    site.run(at, &["collection", "create", "books", "--group", "shelf", "--mode", "ordered"]);
    site.run(at, &["range", "create", "books/1", "--owner", "n1", "--replicas", "n2"]);
    let range = site.json(at, &["range", "list"])["ranges"][0].clone();
    (places, nodes, range)
}

#[test]
fn a_cluster_goes_on_from_one_survivor() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        let (places, mut nodes, before) = cluster(&site, engine.name());
        let [first, second, third] = &places[..] else { unreachable!() };

        // While the node runs, its directory is left alone.
        let (exit, error) = code(&apply(&site, &first.data_dir, &["--confirm", CONFIRM]));
        assert!(exit == 1 && error.contains("in use by another process"), "{error}");
        kill(&mut nodes);

        let collect = |place: &Place| {
            let output = offline(&site, &["recover", "collect", "--data-dir", &text(&place.data_dir), "-o", "json"]);
            done(&output);
            let file = site.path().join(format!("{}.json", place.name));
            std::fs::write(&file, output.stdout).unwrap();
            text(&file)
        };
        let [a, b] = [collect(first), collect(second)];
        let majority = done(&offline(&site, &["recover", "plan", "--from", &a, "--from", &b, "-o", "json"]));
        assert_eq!(majority["quorum_survives"], true);
        let plan = done(&offline(&site, &["recover", "plan", "--from", &a, "-o", "json"]));
        assert_eq!((&plan["lost"].as_array().unwrap().len(), &plan["generation"]), (&2, &1.into()));
        assert!(plan["apply"].as_str().unwrap().ends_with(&format!("--confirm {CONFIRM}")), "{plan}");

        // Bad input changes nothing.
        let (exit, error) = code(&apply(&site, &first.data_dir, &[]));
        assert!(exit == 3 && error.contains("--confirm"), "{error}");
        let (exit, error) = code(&apply(&site, &first.data_dir, &["--confirm", &"08".repeat(16)]));
        assert!(exit == 3 && error.contains(CONFIRM), "{error}");
        assert_eq!(collect(first), a);

        let applied = done(&apply(&site, &first.data_dir, &["--confirm", CONFIRM]));
        let backup = applied["backup"].as_str().unwrap();
        assert!(Path::new(backup).is_file(), "{applied}");
        let (exit, error) = code(&apply(&site, &first.data_dir, &["--confirm", CONFIRM]));
        assert!(exit == 3 && error.contains("--again"), "{error}");
        // Its document is of a later generation than the one collected before.
        let now = collect(first);
        let (exit, error) = code(&offline(&site, &["recover", "plan", "--from", &now, "--from", &b]));
        assert!(exit == 3 && error.contains("generation"), "{error}");

        let _first = site.serve(first, &[]);
        let range = site.json(first, &["range", "list"])["ranges"][0].clone();
        assert_eq!((&range["owner"], &range["epoch"]), (&before["owner"], &"1:1".into()), "{range}");
        let audit = site.json(first, &["recover", "list"])["recoveries"][0].clone();
        assert_eq!((&audit["operator"], &audit["reason"]), (&"ann".into(), &"both racks burnt".into()));
        assert_eq!(audit["lost_voters"].as_array().unwrap().len(), 2);

        // An old member's directory is refused at both ends, and says why.
        let mut old = site.serve(second, &[]);
        until("both ends name the generation", || {
            let refused = |place: &Place| log(&site, place).contains("generation");
            refused(first) && refused(second)
        });
        let listed = site.json(first, &["member", "list"]);
        let fenced = listed["members"].as_array().unwrap().iter().filter(|m| m["fenced"] == true).count();
        assert_eq!(fenced, 2, "{listed}");
        old.kill();

        // Wiped and admitted anew, they are members again.
        let mut others = Vec::new();
        for place in [second, third] {
            std::fs::remove_dir_all(&place.data_dir).unwrap();
            let token = site.admit(first, place);
            let joined = site.join(place, &token, first);
            assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
            others.push(site.serve(place, &[]));
        }
        until("all three vote and have one state", || {
            let status = site.json(first, &["status"]);
            let nodes = status["nodes"].as_array().unwrap();
            status["health"] == "healthy" && nodes.len() == 3 && nodes.iter().all(|n| n["voting"] == true)
        });
        site.run(first, &["collection", "create", "more", "--group", "shelf", "--mode", "hash"]);
        assert_eq!(site.json(third, &["recover", "list", "--stale"])["recoveries"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn two_survivors_recovered_by_mistake_refuse_each_other() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        let (places, mut nodes, _) = cluster(&site, engine.name());
        kill(&mut nodes);
        for place in &places[..2] {
            done(&apply(&site, &place.data_dir, &["--confirm", CONFIRM]));
        }
        let _nodes: Vec<_> = places[..2].iter().map(|place| site.serve(place, &[])).collect();
        // Each leads a cluster of its own; neither hears of the other.
        for place in &places[..2] {
            let status = site.json(place, &["status"]);
            assert_eq!(status["leader"], place.name.as_str(), "{status}");
        }
        // Brought together, they refuse: the number is the same and the random id is not.
        // The first expects a new life of the second where the other cluster's survivor is.
        let token = site.admit(&places[0], &places[1]);
        let new_life = Place { data_dir: site.path().join("anew"), ..places[1].clone() };
        let joined = site.join(&new_life, &token, &places[0]);
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        until("both ends name the generation", || {
            places[..2].iter().all(|place| log(&site, place).contains("generation"))
        });
        let plan = offline(&site, &["recover", "plan", "--from", &text(&places[0].data_dir)]);
        assert_eq!(code(&plan).0, 1, "a running node's directory is not read");
    }
}

#[test]
fn a_backup_is_saved_online_and_restored_into_a_new_generation() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        let (places, mut nodes, before) = cluster(&site, engine.name());
        let at = &places[0];
        let file = text(&site.path().join("cluster.backup"));
        let saved = site.json(at, &["snapshot", "save", &file]);
        assert_eq!((&saved["ranges"], &saved["generation"]), (&"1".into(), &0.into()), "{saved}");
        let (exit, error) = site.refused(at, &["snapshot", "save", &file]);
        assert!(exit == 3 && error.contains("never overwritten"), "{error}");
        let stale = text(&site.path().join("stale.backup"));
        site.run(at, &["snapshot", "save", &stale, "--stale"]);
        let status = done(&offline(&site, &["snapshot", "status", &file, "-o", "json"]));
        assert_eq!(status, saved);
        // What comes after the backup is not in it.
        site.run(at, &["collection", "create", "later", "--group", "shelf", "--mode", "hash"]);
        kill(&mut nodes);

        // Damage is noticed, and nothing is made of it.
        let bytes = std::fs::read(&file).unwrap();
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 1;
        let bad = text(&site.path().join("damaged.backup"));
        std::fs::write(&bad, damaged).unwrap();
        let (exit, error) = code(&offline(&site, &["snapshot", "status", &bad]));
        assert!(exit == 3 && error.contains("damaged"), "{error}");

        let restored = Place { data_dir: site.path().join("restored"), ..places[0].clone() };
        let restore = |file: &str, confirm: &str| {
            let dir = text(&restored.data_dir);
            let to = ["--data-dir", &dir, "--member", "n1", "--peer-address", &restored.peer];
            let more = ["--client-address", &restored.client, "--http-address", &restored.http];
            let signed = ["--operator", "ann", "--reason", "a bad night", "--confirm", confirm, "-o", "json"];
            let more = [&more[..], &["--after-generation", "0"]].concat();
            offline(&site, &[&["snapshot", "restore", file][..], &to, &more, &signed].concat())
        };
        assert_eq!(code(&restore(&bad, CONFIRM)).0, 3);
        assert_eq!(code(&restore(&file, &"08".repeat(16))).0, 3);
        assert!(!restored.data_dir.exists());
        let made = done(&restore(&file, CONFIRM));
        assert_eq!((&made["generation"], &made["cause"]), (&1.into(), &"restore".into()), "{made}");
        assert!(code(&restore(&file, CONFIRM)).1.contains("already holds member n1"));

        let _restored = site.serve(&restored, &[]);
        let range = site.json(&restored, &["range", "list"])["ranges"][0].clone();
        assert_eq!((&range["owner"], &range["epoch"]), (&before["owner"], &"1:1".into()), "{range}");
        assert_eq!(site.json(&restored, &["collection", "list"])["collections"].as_array().unwrap().len(), 1);
        let audit = site.json(&restored, &["recover", "list"])["recoveries"][0].clone();
        assert_eq!((&audit["cause"], &audit["reason"]), (&"restored".into(), &"a bad night".into()));
        site.run(&restored, &["collection", "create", "anew", "--group", "shelf", "--mode", "hash"]);
    }
}
