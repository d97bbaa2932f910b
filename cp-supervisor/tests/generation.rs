//! Clients that outlive a generation: what they began in a lost suffix is not taken for what came instead.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{Place, Site, text, until};
use cp_catalog::{CollectionName, GroupName, Mode, OwnershipCommand};
use cp_supervisor::client::{ClientError, Watched};
use cp_supervisor::daemon::Engine;

fn create(name: &str) -> OwnershipCommand {
    OwnershipCommand::CreateCollection {
        collection: CollectionName::new(name).unwrap(),
        group: GroupName::new("g").unwrap(),
        mode: Mode::Hash,
    }
}

/// CP-R2: the backup is of index 3 or so; the client has seen twenty more, that nobody has any longer.
#[test]
fn a_client_goes_on_in_the_next_generation() {
    let site = Site::new();
    let place = site.place(1);
    assert!(site.init(&place, Engine::COMPILED[0].name()).status.success());
    let mut node = site.serve(&place, &[]);
    site.run(&place, &["collection", "create", "kept", "--group", "g", "--mode", "hash"]);
    let file = text(&site.path().join("backup"));
    site.run(&place, &["snapshot", "save", &file]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let early = site.client(&[&place]);
        for n in 0..20 {
            early.submit(create(&format!("lost-{n}"))).await.unwrap();
        }
        // A session and a watch that begin where the restored log has not come to.
        let client = site.client(&[&place]);
        let last = client.submit(create("lost")).await.unwrap().position.index;
        let mut watch = client.watch(last);
        assert!(matches!(watch.next().await.unwrap(), Watched::Change(change) if change.position.index == last));
        let cursor = watch.cursor();

        node.kill();
        let restored = Place { data_dir: site.path().join("restored"), ..place.clone() };
        let dir = text(&restored.data_dir);
        let to =
            ["--data-dir", &dir, "--member", "n1", "--peer-address", &place.peer, "--client-address", &place.client];
        let cluster = "07".repeat(16);
        let signed = ["--operator", "ann", "--reason", "test", "--confirm", &cluster, "--after-generation", "0"];
        let made = site.run_as("n1", "", &[&["snapshot", "restore", &file][..], &to, &signed].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let _node = site.serve(&restored, &[]);
        until("it serves", || {
            let status = site.run_as("tester.client", &place.client, &["status", "-o", "json"]);
            String::from_utf8_lossy(&status.stdout).contains("\"health\":\"healthy\"")
        });

        // The connection broke: whether an attempt was sent cannot be told, and it is not asked for
        // under another id, which could do it twice (CP-P5).
        let done = match client.submit(create("anew")).await {
            Err(ClientError::Unknown { .. }) => client.submit(create("anew-2")).await.unwrap(),
            known => known.unwrap(),
        };
        assert!(done.verdict.is_done(), "{}", done.verdict);
        assert!(done.position.index < last, "{} is where the lost log was long past", done.position);
        // An open watch and one that goes on from a cursor are told, and do not wait for an index of old.
        let Watched::Compacted(compacted) = watch.next().await.unwrap() else { panic!("it went on") };
        assert!(matches!(client.watch(cursor).next().await.unwrap(), Watched::Compacted(_)));
        let mut from_there = client.watch(compacted);
        let next = client.submit(create("next")).await.unwrap();
        loop {
            let Watched::Change(change) = from_there.next().await.unwrap() else { panic!("compacted") };
            if change.position == next.position {
                break;
            }
        }
        assert_ne!(from_there.cursor().generation, cursor.generation);
    });
}
