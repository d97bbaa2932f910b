//! A member whose state was changed behind its back stops, is rebuilt by one command, and is alike again.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{Place, Site, page, text, until};
use cp_catalog::{CatalogMachine, CollectionName, GroupName, Mode, OwnershipCommand, Request};
use cp_seam::{ControlPlaneStateMachine, LogPosition};
use cp_store::{Batch, DiskDirectory, Expected, RecordBody, Store, Writer};
use cp_supervisor::daemon::Engine;
use std::sync::Arc;

fn create(name: &str) -> OwnershipCommand {
    OwnershipCommand::CreateCollection {
        collection: CollectionName::new(name).unwrap(),
        group: GroupName::new("g").unwrap(),
        mode: Mode::Hash,
    }
}

/// Puts a snapshot into a stopped node's directory that is whole in itself and of a state
/// that nobody else has; answers where it is.
fn corrupt(place: &Place) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = Arc::new(DiskDirectory::new(&place.data_dir));
        let store = Store::open(directory, &Expected { cluster: None, member: None }, Writer::Thread).unwrap();
        let machine = CatalogMachine::vacant();
        let body = store.open_snapshot().unwrap();
        let mut writer = machine.restore().unwrap();
        for ordinal in 0..body.chunk_count() {
            writer.push(body.chunk(ordinal).unwrap()).unwrap();
        }
        writer.finish(body.meta().position.index, body.meta().digest).unwrap();
        let committed = store.durable().borrow().committed;
        let last = committed.prev();
        let records = store.read(machine.applied().next()..committed, usize::MAX).unwrap();
        for record in records {
            match &record.body {
                RecordBody::Entry(entry) => machine.apply(record.position, entry).unwrap(),
                RecordBody::Blank | RecordBody::Configuration(_) => machine.skip(record.position).unwrap(),
            }
        }
        assert_eq!(machine.applied(), last);
        // In place of what is committed behind it.
        let rogue = Request::new(None, create("rogue")).to_entry().unwrap();
        let term = store.term_at(committed).unwrap();
        machine.apply(LogPosition::new(term, committed), &rogue).unwrap();
        let founding = cp_driver::founding(&store, &machine).unwrap();
        let mut stage = store.stage();
        for chunk in founding.chunks {
            stage.push(chunk).await.unwrap();
        }
        let staged = stage.seal(founding.meta).await.unwrap();
        let batch = Batch { snapshot: Some(staged), compact_to: Some(committed), ..Batch::default() };
        store.submit(batch).unwrap().await.unwrap();
        store.close().await.unwrap();
        committed.0
    })
}

#[test]
fn a_diverged_member_stops_and_is_rebuilt_by_one_command() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        let (places, mut nodes) = site.cluster(3, engine.name(), &[]);
        site.run(&places[0], &["collection", "create", "orders", "--group", "g", "--mode", "hash"]);
        site.run(&places[0], &["leader", "transfer", "--to", "n1"]);
        nodes.remove(2).terminate();
        let index = corrupt(&places[2]);

        let node = site.serve(&places[2], &[]);
        until("it stops", || page(&places[2], "/metrics").1.contains("cp_stopped 1"));
        let log = std::fs::read_to_string(site.path().join("n3.log")).unwrap();
        assert!(log.contains(&format!("its state at index {index} differs from that of a majority")), "{log}");
        // Where it was, and that it must not be believed, can be seen at the node itself.
        assert!(page(&places[2], "/metrics").1.contains(&format!("cp_diverged_index {index}")));
        assert_eq!(page(&places[2], "/livez").0, 200, "a restart would hide it and mend nothing");
        assert_eq!(page(&places[2], "/readyz").0, 503);
        let (exit, error) = site.refused(&places[2], &["collection", "list", "--stale", "--timeout-ms", "500"]);
        assert!(exit != 0 && error.contains("stopped"), "{exit}: {error}");
        let status = site.json(&places[0], &["status"]);
        let named = format!("the state of n3 differs from a majority's at index {index}");
        assert!(status["reasons"].to_string().contains(&named), "{status}");
        let (_, metrics) = page(&places[0], "/metrics");
        assert!(metrics.contains(&format!("cp_peer_diverged_index{{peer=\"n3\"}} {index}")), "{metrics}");

        // Nor is it forgotten with the leader that saw it.
        assert_ne!(node.terminate(), Some(0));
        site.run(&places[0], &["leader", "transfer", "--to", "n2"]);
        until("the next leader names it", || {
            site.json(&places[0], &["status"])["reasons"].to_string().contains(&named)
        });

        let data_dir = text(&places[2].data_dir);
        let rebuild = ["rebuild", "--data-dir", &data_dir, "--via", &places[0].client, "-o", "json"];
        let output = site.run_as("n3", "", &rebuild);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rebuilt: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(rebuilt["incarnation"], "4");
        let kept = std::path::PathBuf::from(rebuilt["kept_at"].as_str().unwrap());
        assert!(kept.join("identity").exists(), "{rebuilt}");

        let _node = site.serve(&places[2], &[]);
        until("it is alike and votes again", || {
            let status = site.json(&places[0], &["status"]);
            let nodes = status["nodes"].as_array().unwrap();
            let digests: std::collections::BTreeSet<_> = nodes.iter().map(|n| n["digest"].to_string()).collect();
            status["health"] == "healthy" && digests.len() == 1 && nodes.iter().all(|n| n["voting"] == true)
        });
        // A node that runs is not rebuilt.
        let (exit, error) = common::code(&site.run_as("n3", "", &rebuild));
        assert!(exit != 0 && error.contains("in use"), "{exit}: {error}");
    }
}
