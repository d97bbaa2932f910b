//! One node: what the commands do, what they refuse, and how they say so.

#![allow(clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{CLUSTER, Site, code, page, text};
use cp_net::tls::PeerName;
use cp_supervisor::daemon::Engine;

fn engine() -> &'static str {
    Engine::COMPILED[0].name()
}

#[test]
fn a_node_is_founded_once_and_serve_founds_nothing() {
    let site = Site::new();
    let place = site.place(1);
    let serve = ["serve", "--data-dir", &text(&place.data_dir)];
    let (exit, error) = code(&site.run_as("n1", "", &serve));
    assert_eq!(exit, 1);
    assert!(error.contains("holds no control-plane node") && error.contains("cluster init"), "{error}");
    assert!(!place.data_dir.exists(), "serve made a directory");

    assert!(site.init(&place, engine()).status.success());
    let (exit, error) = code(&site.init(&place, engine()));
    assert_eq!(exit, 1);
    assert!(error.contains("already holds member n1"), "{error}");

    // Another member's certificate does not start it.
    site.place(2);
    let (exit, error) = code(&site.run_as("n2", "", &serve));
    assert_eq!(exit, 3);
    assert!(error.contains("n2.") && error.contains("n1."), "{error}");

    let other = Engine::COMPILED.get(1).map_or("paxos", |engine| engine.name());
    let (exit, error) = code(&site.run_as("n1", "", &[&serve[..], &["--engine", other]].concat()));
    assert_eq!(exit, 3);
    assert!(error.contains("--swap-engine") || error.contains("not compiled in"), "{error}");
}

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let site = Site::new();
    let place = site.place(1);
    assert!(site.init(&place, engine()).status.success());
    let node = site.serve(&place, &[]);
    let file = site.path().join("cluster.toml");
    std::fs::write(
        &file,
        "[[member]]\nid = \"n1\"\nkind = \"king\"\npeer = \"h:1\"\nclient = \"h:2\"\nfailure_domain = \"a\"\n",
    )
    .unwrap();
    let before = site.json(&place, &["collection", "list"])["collections"].clone();

    let cases: &[(i32, &[&str], &str)] = &[
        (2, &["member", "fly"], "unrecognized subcommand"),
        (2, &["range", "create", "c/1"], "--owner"),
        (2, &["range", "promote", "c/1", "--to", "n1", "--applied", "3"], "term.lsn"),
        (3, &["member", "add", "No_Name"], "a-z"),
        (3, &["member", "drain", "n9"], "n9 is not a member"),
        (3, &["collection", "create", "a b", "--group", "g", "--mode", "hash"], "COLLECTION"),
        (3, &["range", "create", "c", "--owner", "n1"], "collection/id"),
        (3, &["range", "create", "c/1", "--owner", "n1"], "collection c does not exist"),
        (3, &["range", "list", "c"], "collection c does not exist"),
        (3, &["apply", "-f", &text(&file)], "cluster.toml:3"),
        (3, &["apply", "-f", "none.toml"], "none.toml cannot be read"),
        (3, &["config", "check", "--data-dir", "d", "--heartbeat-ms", "900"], "heartbeat_ms"),
        (3, &["leader", "transfer"], "no other voter"),
        (3, &["leader", "transfer", "--to", "n9"], "n9 cannot take over"),
        (3, &["status", "--endpoints", "nowhere"], "--endpoints"),
        (4, &["member", "list", "--endpoints", "127.0.0.1:1", "--timeout-ms", "300"], "127.0.0.1:1"),
        (1, &["member", "remove", "n1"], "not draining"),
    ];
    for (exit, arguments, reason) in cases {
        let (found, error) = site.refused(&place, arguments);
        assert!(found == *exit && error.contains(reason), "{arguments:?}: {found}: {error}");
    }
    assert_eq!(site.json(&place, &["collection", "list"])["collections"], before);
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn collections_and_ranges_from_the_command_line() {
    let site = Site::new();
    let place = site.place(1);
    assert!(site.init(&place, engine()).status.success());
    let _node = site.serve(&place, &[]);
    site.run(&place, &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
    site.run(&place, &["range", "create", "orders/1", "--owner", "n1"]);
    site.run(&place, &["range", "split", "orders/1", "--at", "m"]);
    let found = site.json(&place, &["range", "lookup", "orders", "pear"]);
    assert_eq!((&found["ranges"][0]["id"], &found["ranges"][0]["lower"]), (&"2".into(), &"6d".into()));
    assert_eq!((&found["version"], &found["kind"], &found["stale"]), (&1.into(), &"ranges".into(), &false.into()));

    let (exit, error) = site.refused(&place, &["range", "promote", "orders/1", "--to", "n1"]);
    assert_eq!(exit, 1);
    assert!(error.contains("owns range orders/1 already") && error.contains("epoch 0:1 version 2"), "{error}");

    site.run(&place, &["range", "merge", "orders/1", "2"]);
    let listed = site.run(&place, &["range", "list"]);
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert_eq!(lines[1], ["orders/1", "min", "max", "n1", "-", "-", "0:2", "3", "-"]);

    let watched = site.run(&place, &["watch", "--from", "1", "--count", "4", "-o", "json"]);
    let commands: Vec<String> = watched
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["command"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(commands, ["create_collection", "create_range", "split", "promote"]);

    let stale = site.run(&place, &["range", "list", "--stale"]);
    assert!(stale.contains("(stale: one node's view at index "), "{stale}");
}

#[test]
fn plans_are_printed_and_change_nothing() {
    let site = Site::new();
    let place = site.place(1);
    assert!(site.init(&place, engine()).status.success());
    let _node = site.serve(&place, &[]);
    site.run(&place, &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
    site.run(&place, &["range", "create", "orders/1", "--owner", "n1"]);
    let before = site.json(&place, &["member", "list"])["applied"].clone();

    let plan = site.run(&place, &["member", "drain", "n1", "--dry-run"]);
    for part in [
        "blocked: no safe handoff target for range orders/1: no other hot replica is on a live, active data member",
        "blocked: no replacement replica for range orders/1",
        "warning: n1 is not draining",
        "(nothing was proposed; the cluster does not know how far the copies are",
    ] {
        assert!(plan.contains(part), "{part} is missing in\n{plan}");
    }
    let explained = site.json(&place, &["member", "drain", "n1", "--explain"]);
    assert_eq!((&explained["kind"], explained["blockers"].as_array().unwrap().len()), (&"plan".into(), 2));
    assert_eq!(site.refused(&place, &["member", "drain", "n9", "--dry-run"]).0, 3);

    let even = site.run(&place, &["rebalance", "--dry-run"]);
    assert!(even.starts_with("nothing is to be done\n"), "{even}");
    let (exit, error) = site.refused(&place, &["rebalance"]);
    assert!(exit == 2 && error.contains("--dry-run"), "{exit}: {error}");
    assert_eq!(site.json(&place, &["member", "list"])["applied"], before);
    assert_eq!(site.json(&place, &["member", "list"])["members"][0]["service"], "active");
}

#[test]
fn authorities_placements_and_copies_from_the_command_line() {
    let site = Site::new();
    let place = site.place(1);
    assert!(site.init(&place, engine()).status.success());
    let _node = site.serve(&place, &[]);
    site.run(&place, &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
    site.run(&place, &["range", "create", "orders/1", "--owner", "n1"]);

    let (exit, error) = site.refused(&place, &["authority", "reassign", "shop", "--to", "n1"]);
    assert!(exit == 3 && error.contains("authority assign"), "{exit}: {error}");
    let said = site.run(&place, &["authority", "assign", "shop", "--to", "n1"]);
    assert_eq!(said, "group shop is under n1 at epoch 0:1 version 1\n");
    let (exit, error) = site.refused(&place, &["authority", "assign", "shop", "--to", "n1"]);
    assert!(exit == 1 && error.contains("reassign it under that fence"), "{exit}: {error}");
    site.run(&place, &["authority", "reassign", "shop", "--to", "n1"]);
    let listed = site.json(&place, &["authority", "list"]);
    assert_eq!(listed["kind"], "authorities");
    let held = &listed["authorities"][0];
    assert_eq!((&held["group"], &held["holder"], &held["epoch"]), (&"shop".into(), &"n1".into(), &"0:2".into()));

    let (exit, error) = site.refused(&place, &["range", "placement", "orders/1"]);
    assert!(exit == 3 && error.contains("--replication-factor"), "{exit}: {error}");
    let wanted = ["range", "placement", "orders/1", "--replication-factor", "3", "--attribute", "disk=ssd"];
    let done = site.json(&place, &wanted);
    assert_eq!(
        (&done["kind"], done["effect"].as_str().unwrap().contains("version 2")),
        (&"range_changed".into(), true)
    );
    site.run(&place, &["range", "placement", "orders/1", "--no-attributes"]);
    assert_eq!(site.json(&place, &["range", "list"])["ranges"][0]["replication_factor"], 3, "what is not given stays");

    let (exit, error) = site.refused(&place, &["range", "copy", "add", "orders/1", "n1", "--archive"]);
    assert!(exit == 1 && error.contains("n1 is owner of range orders/1 already (owner n1"), "{exit}: {error}");
    site.run(&place, &["member", "locality", "n1", "--failure-domain", "rack-2", "--weight", "7"]);
    let member = site.json(&place, &["member", "list"])["members"][0].clone();
    assert_eq!((&member["failure_domain"], &member["weight"]), (&"rack-2".into(), &7.into()));
}

#[test]
fn health_and_metrics_say_what_is() {
    let site = Site::new();
    let place = site.place(1);
    assert!(site.init(&place, engine()).status.success());
    let _node = site.serve(&place, &[]);
    common::until("it is ready", || page(&place, "/readyz").0 == 200);
    assert_eq!(page(&place, "/livez"), (200, "ok\n".to_owned()));
    let (_, ready) = page(&place, "/readyz?verbose");
    assert!(["[+]running ok", "[+]disk ok", "[+]voter ok", "[+]read ok"].iter().all(|c| ready.contains(c)), "{ready}");
    let (_, metrics) = page(&place, "/metrics");
    for name in [
        "cp_has_leader 1",
        "cp_is_leader 1",
        "cp_leader_changes_seen_total 1",
        "cp_proposals_committed_total ",
        "cp_proposals_applied_total ",
        "cp_proposals_failed_total 0",
        "cp_proposals_pending 0",
        "cp_store_commit_duration_seconds_count ",
        "cp_store_bytes ",
        "cp_store_absorbing_seconds 0",
        "cp_members 1",
    ] {
        assert!(metrics.contains(&format!("\n{name}")), "{name} is missing in\n{metrics}");
    }
}

#[test]
fn a_joiner_needs_its_own_certificate_and_an_unspent_token() {
    let site = Site::new();
    let (first, second, third) = (site.place(1), site.place(2), site.place(3));
    assert!(site.init(&first, engine()).status.success());
    let _node = site.serve(&first, &[]);
    let token = site.admit(&first, &second);
    let added = site.json(&first, &["member", "add", "n2"]);
    assert!(added["token"].is_null(), "{added}");

    // Another member, with the token of n2.
    let (exit, error) = code(&site.join(&third, &token, &first));
    assert!(exit == 3 && error.contains("n3 is not a member"), "{exit}: {error}");
    let wrong = format!("{}-{}", token.split('-').next().unwrap(), "0".repeat(32));
    let (exit, error) = code(&site.join(&second, &wrong, &first));
    assert!(exit == 3 && error.contains("not the one issued for n2"), "{exit}: {error}");
    let (exit, error) = code(&site.join(&second, "x", &first));
    assert!(exit == 3 && error.contains("no join token"), "{exit}: {error}");
    assert!(!second.data_dir.join("identity").exists());

    assert!(site.join(&second, &token, &first).status.success());
    let (exit, error) = code(&site.join(&second, &token, &first));
    assert!(exit == 1 && error.contains("already holds member n2"), "{exit}: {error}");
    std::fs::remove_dir_all(&second.data_dir).unwrap();
    let (exit, error) = code(&site.join(&second, &token, &first));
    assert!(exit == 3 && error.contains("n2 has joined already, as #2"), "{exit}: {error}");
    // A client's certificate joins nothing.
    let mut as_client = second.clone();
    as_client.name = "tester.client".to_owned();
    let (_, error) = code(&site.join(&as_client, &token, &first));
    assert!(error.contains("client's certificate"), "{error}");
}

#[test]
fn a_client_of_another_cluster_is_turned_away_with_the_reason() {
    let (site, other) = (Site::new(), Site::new());
    let place = site.place(1);
    assert!(site.init(&place, engine()).status.success());
    let _node = site.serve(&place, &[]);
    other.issue(&PeerName::client("stranger", CLUSTER).unwrap());
    let (exit, error) = code(&other.run_as("stranger.client", &place.client, &["member", "list"]));
    assert!(exit == 4 && error.contains("wrong CA"), "{exit}: {error}");
}

/// The example that only watches, beside a cluster that changes.
#[test]
fn the_watcher_follows_what_changes() {
    let site = Site::new();
    let (places, _nodes) = site.cluster(1, Engine::COMPILED[0].name(), &[]);
    let at = &places[0];
    site.run(at, &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
    site.run(at, &["range", "create", "orders/1", "--owner", "n1"]);
    let [ca, cert, key] = site.files("tester.client").map(|file| common::text(&file));
    let watcher = std::path::Path::new(common::BINARY).with_file_name("examples").join("watcher");
    let child = std::process::Command::new(watcher)
        .args([&at.client, &ca, &cert, &key, "1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Until it has read the state, changes may be part of that.
    let mut cuts = ('a'..='z').map(|key| key.to_string());
    let mut child = child;
    common::until("it has seen a change", || {
        let range = site.json(at, &["range", "list"])["ranges"].as_array().unwrap().last().unwrap().clone();
        let name = format!("orders/{}", range["id"].as_str().unwrap_or_default());
        site.run(at, &["range", "split", &name, "--at", &cuts.next().unwrap()]);
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("ranges\n") && said.contains("owner n1 at epoch"), "{said}");
}
