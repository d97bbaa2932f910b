//! Three processes: joining, losing the leader, leaving in order. On every engine compiled in.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{Place, Site, page, until};
use cp_catalog::{CollectionName, Command, Effect, GroupName, Mode, OwnershipCommand, Verdict};
use cp_seam::ControlPlaneLogIndex;
use cp_supervisor::client::{ClientError, Watched};
use cp_supervisor::daemon::Engine;
use std::collections::BTreeSet;
use std::time::Duration;

fn create(name: &str) -> OwnershipCommand {
    OwnershipCommand::CreateCollection {
        collection: CollectionName::new(name).unwrap(),
        group: GroupName::new("g").unwrap(),
        mode: Mode::Hash,
    }
}

fn leader(site: &Site, at: &Place) -> String {
    site.json(at, &["status"])["leader"].as_str().unwrap().to_owned()
}

/// The position of the leader among `places`.
fn leading(site: &Site, places: &[Place]) -> usize {
    let leader = leader(site, &places[0]);
    places.iter().position(|place| place.name == leader).unwrap()
}

#[test]
fn a_killed_leader_costs_no_acknowledged_request() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        let (places, mut nodes) = site.cluster(3, engine.name(), &[]);
        let lost = leading(&site, &places);
        let all: Vec<&Place> = places.iter().collect();
        let client = site.client(&all);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

        let acknowledged = runtime.block_on(async {
            let mut acknowledged = Vec::new();
            for number in 0..40 {
                if number == 20 {
                    nodes[lost].kill();
                }
                let decision = client.submit(create(&format!("c{number}"))).await.unwrap();
                assert!(matches!(decision.verdict, Verdict::Done(Effect::CollectionReady { .. })), "{decision:?}");
                acknowledged.push(decision.position);
            }
            acknowledged
        });
        nodes[lost] = site.serve(&places[lost], &[]);
        until("all members show one state", || {
            let status = site.json(&places[0], &["status"]);
            let nodes = status["nodes"].as_array().unwrap().clone();
            let states: BTreeSet<_> =
                nodes.iter().map(|n| (n["digest_at"].to_string(), n["digest"].to_string())).collect();
            status["health"] == "healthy" && states.len() == 1
        });

        // Every one is there, took effect once, and is where it was said to be.
        let last = acknowledged.iter().map(|position| position.index).max().unwrap();
        let (mut positions, mut effects) = (BTreeSet::new(), Vec::new());
        runtime.block_on(async {
            let mut watch = client.watch(ControlPlaneLogIndex(1));
            while positions.last().is_none_or(|reached: &cp_seam::LogPosition| reached.index < last) {
                let Watched::Change(change) = watch.next().await.unwrap() else { panic!("compacted") };
                positions.insert(change.position);
                if let Command::Ownership(OwnershipCommand::CreateCollection { collection, .. }) =
                    change.request.unwrap().command
                    && !change.repeated
                {
                    effects.push(collection.to_string());
                }
            }
        });
        assert!(acknowledged.iter().all(|position| positions.contains(position)));
        assert_eq!(effects, (0..40).map(|number| format!("c{number}")).collect::<Vec<_>>());
        assert_eq!(site.json(&places[0], &["collection", "list"])["collections"].as_array().unwrap().len(), 40);
    }
}

#[test]
fn a_leader_that_is_asked_to_stop_hands_over_first() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        // So long a timeout that an election by it could not go unnoticed below.
        let slow = ["--election-timeout-ms", "8000", "--heartbeat-ms", "100"];
        let (places, mut nodes) = site.cluster(3, engine.name(), &slow);
        let old = leading(&site, &places);
        let began = tokio::time::Instant::now();
        assert_eq!(nodes.remove(old).terminate(), Some(0));
        let rest: Vec<&Place> = places.iter().enumerate().filter(|(i, _)| *i != old).map(|(_, place)| place).collect();
        let status = site.json(rest[0], &["status"]);
        assert_eq!(status["health"], "degraded", "{status}");
        assert!(began.elapsed() < Duration::from_secs(4), "handing over took {:?}", began.elapsed());
    }
}

#[test]
fn without_a_quorum_nothing_pretends_to_work() {
    let site = Site::new();
    let (places, mut nodes) = site.cluster(3, Engine::COMPILED[0].name(), &[]);
    nodes[1].kill();
    nodes[2].kill();
    let left = &places[0];
    let (exit, error) =
        site.refused(left, &["collection", "create", "x", "--group", "g", "--mode", "hash", "--timeout-ms", "1500"]);
    assert!(exit == 6 && error.contains("no node served"), "{exit}: {error}");
    let output = site.run_as("tester.client", &left.client, &["status", "-o", "json"]);
    assert_eq!(output.status.code(), Some(6));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&status["health"], &status["can_lose"]), (&"no_quorum".into(), &0.into()));
    let (ready, why) = page(left, "/readyz");
    assert!(ready == 503 && why.contains("[-]read failed"), "{why}");
    assert_eq!(page(left, "/livez").0, 200, "a lost quorum is no reason to restart a node");
    // One comes back, and with it everything.
    nodes[1] = site.serve(&places[1], &[]);
    site.run(left, &["collection", "create", "x", "--group", "g", "--mode", "hash"]);
}

#[test]
fn a_demoted_member_stays_so_and_a_drained_one_can_leave() {
    let site = Site::new();
    let (places, mut nodes) = site.cluster(3, Engine::COMPILED[0].name(), &[]);
    let at = &places[0];
    let demoted = site.json(at, &["member", "demote", "n3"]);
    assert_eq!(demoted["settled"], true, "{demoted}");
    // Nobody but the replicated state remembers it, and a leader that promotes whom it may.
    for (place, node) in places.iter().zip(&mut nodes) {
        node.kill();
        *node = site.serve(place, &[]);
    }
    let fourth = site.place(4);
    let token = site.admit(at, &fourth);
    assert!(site.join(&fourth, &token, at).status.success());
    let _fourth = site.serve(&fourth, &[]);
    let standing = |name: &str| {
        let listed = site.json(at, &["member", "list"]);
        let found = listed["members"].as_array().unwrap().iter().find(|m| m["id"] == name).cloned().unwrap();
        (found["voting"] == true, found["standby"] == true)
    };
    until("n4 votes", || standing("n4") == (true, false));
    assert_eq!(standing("n3"), (false, true), "a demoted member was promoted again");

    let (exit, error) = site.refused(at, &["member", "remove", "n3"]);
    assert!(exit == 1 && error.contains("not draining"), "{error}");
    site.run(at, &["member", "drain", "n3"]);
    let removed = site.json(at, &["member", "remove", "n3"]);
    assert_eq!(removed["effect"], "n3#3 removed");
    assert_eq!(removed["settled"], true, "{removed}");
    assert_eq!(site.json(at, &["member", "list"])["members"].as_array().unwrap().len(), 3);

    // One that is admitted on hold waits until it is asked for.
    let held = site.place(3);
    std::fs::remove_dir_all(&held.data_dir).unwrap();
    let token = site.json(at, &["member", "add", "n3", "--hold"])["token"].as_str().unwrap().to_owned();
    nodes[2].kill();
    assert!(site.join(&held, &token, at).status.success());
    nodes[2] = site.serve(&held, &[]);
    assert_eq!(standing("n3"), (false, true));
    site.run(at, &["member", "promote", "n3"]);
    assert_eq!(standing("n3"), (true, false));
}

#[test]
fn a_removal_that_would_lose_the_quorum_is_refused() {
    let site = Site::new();
    let (places, mut nodes) = site.cluster(3, Engine::COMPILED[0].name(), &[]);
    let at = &places[0];
    site.run(at, &["leader", "transfer", "--to", "n1"]);
    site.run(at, &["member", "drain", "n2"]);
    nodes[2].kill();
    until("the leader misses n3", || {
        let listed = site.json(at, &["member", "list"]);
        listed["members"][2]["last_ack_ms"].as_str().is_some_and(|ms| ms.parse::<u64>().unwrap() > 600)
    });
    let (exit, error) = site.refused(at, &["member", "remove", "n2"]);
    assert!(exit == 1 && error.contains("1 of 2 voters are reachable"), "{exit}: {error}");
    nodes[2] = site.serve(&places[2], &[]);
    until("it can be removed", || {
        site.run_as("tester.client", &at.client, &["member", "remove", "n2"]).status.success()
    });
}

#[test]
fn what_was_never_sent_is_not_unknown() {
    let site = Site::new();
    let (places, mut nodes) = site.cluster(1, Engine::COMPILED[0].name(), &[]);
    let client = site.client(&[&places[0]]).within(Duration::from_millis(800));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        client.submit(create("a")).await.unwrap();
        nodes[0].kill();
        // The read learns that the connection is gone; what comes after it finds none.
        client.members().await.unwrap_err();
        let error = client.submit(create("b")).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    });
}

#[test]
fn an_id_takes_effect_once_and_not_knowing_is_no_failure() {
    let site = Site::new();
    let (places, mut nodes) = site.cluster(3, Engine::COMPILED[0].name(), &[]);
    let all: Vec<&Place> = places.iter().collect();
    let client = site.client(&all);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let id = client.next_id().await.unwrap();
        let first = client.submit_as(id, create("once")).await.unwrap();
        let again = client.submit_as(id, create("once")).await.unwrap();
        assert_eq!(first.verdict, again.verdict);
        assert!(again.position > first.position, "the retry is in the log, and did nothing");
        let mut watch = client.watch(again.position.index);
        let Watched::Change(change) = watch.next().await.unwrap() else { panic!("compacted") };
        assert!(change.repeated);

        // The leader takes it and cannot commit it: nobody may call that a failure.
        let leader = client.leader().await.unwrap().member;
        for (place, node) in places.iter().zip(&mut nodes) {
            if place.name != leader {
                node.kill();
            }
        }
        let hurried = site.client(&all).within(Duration::from_millis(400));
        let id = client.next_id().await.unwrap();
        let unknown = hurried.submit_as(id, create("perhaps")).await.unwrap_err();
        assert!(matches!(unknown, ClientError::Unknown { .. }), "{unknown:?}");
        for (place, node) in places.iter().zip(&mut nodes) {
            if place.name != leader {
                *node = site.serve(place, &[]);
            }
        }
        let known = client.submit_as(id, create("perhaps")).await.unwrap();
        assert!(known.verdict.is_done());
        let collections = client.collections().await.unwrap().value;
        assert_eq!(collections.iter().map(|c| c.name.to_string()).collect::<Vec<_>>(), ["once", "perhaps"]);
    });
}

/// CP-E1, with the daemon: killed under one engine, carried on by the other.
#[cfg(all(feature = "openraft", feature = "raftrs"))]
#[test]
fn a_killed_cluster_goes_on_with_the_other_engine() {
    for (old, new) in [("openraft", "raftrs"), ("raftrs", "openraft")] {
        let site = Site::new();
        let (places, mut nodes) = site.cluster(3, old, &[]);
        for name in ["a", "b", "c"] {
            site.run(&places[0], &["collection", "create", name, "--group", "g", "--mode", "hash"]);
        }
        nodes.iter_mut().for_each(common::Process::kill);
        for (place, node) in places.iter().zip(&mut nodes) {
            *node = site.serve(place, &["--engine", new, "--swap-engine"]);
        }
        until("it serves again", || {
            let status = site.run_as("tester.client", &places[0].client, &["status", "-o", "json"]);
            String::from_utf8_lossy(&status.stdout).contains("\"health\":\"healthy\"")
        });
        assert_eq!(site.json(&places[0], &["status"])["engine"], new);
        site.run(&places[0], &["collection", "create", "d", "--group", "g", "--mode", "hash"]);
        let listed = site.json(&places[2], &["collection", "list"]);
        assert_eq!(listed["collections"].as_array().unwrap().len(), 4);
        // The directory remembers the engine that ran last.
        nodes[2].kill();
        nodes[2] = site.serve(&places[2], &[]);
    }
}
