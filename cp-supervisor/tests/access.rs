//! Privileges bound to certificates, and the audit of what was tried, with real processes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{CLUSTER, Site, code};
use cp_net::tls::PeerName;
use cp_supervisor::daemon::Engine;

#[test]
fn who_lacks_a_privilege_is_told_and_every_attempt_is_on_record() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        site.issue(&PeerName::client("eve", CLUSTER).unwrap());
        let (places, mut nodes) = site.cluster(3, engine.name(), &["--snapshot-every", "8", "--retained", "2"]);
        let at = &places[0];
        let eve = |arguments: &[&str]| code(&site.run_as("eve.client", &at.client, arguments));

        // Nobody locks everybody out; the first grant closes what was open.
        let (exit, error) = site.refused(at, &["grant", "set", "eve", "--read"]);
        assert!(exit != 0 && error.contains("let yourself operate first"), "{error}");
        assert!(site.run(at, &["grant", "list"]).contains("nothing is granted"));
        site.run(at, &["grant", "set", "tester", "--operate"]);
        site.run(at, &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
        site.run(at, &["range", "create", "orders/1", "--owner", "n1", "--replicas", "n2"]);
        for lacking in [
            &["collection", "list", "--stale"][..],
            &["collection", "create", "x", "--group", "g", "--mode", "hash"],
            &["leader", "transfer"],
            &["watch", "--from", "1", "--count", "1"],
        ] {
            let (exit, error) = eve(lacking);
            assert!(exit != 0 && error.contains("client eve lacks the privilege to"), "{lacking:?}: {error}");
        }

        // Denied, failed, allowed: operating is not forcing.
        let force = ["range", "force", "orders/1", "--to", "n3", "--reason", "the rack burnt"];
        let (_, error) = site.refused(at, &force);
        assert!(error.contains("client tester lacks the privilege to force"), "{error}");
        site.run(at, &["grant", "set", "tester", "--operate", "--force"]);
        let (_, error) = site.refused(at, &["range", "force", "orders/1", "--to", "n3", "--reason", " "]);
        assert!(error.contains("no reason"), "{error}");
        let (_, error) = site.refused(at, &["range", "force", "orders/9", "--to", "n3", "--reason", "the rack burnt"]);
        assert!(error.contains("orders/9"), "{error}");
        site.run(at, &force);
        assert_eq!(site.json(at, &["range", "list"])["ranges"][0]["owner"], "n3");

        // Denials are on record, and cannot fill the log.
        let denials: Vec<_> = (0..12).map(|_| eve(&force).1).collect();
        assert!(denials.iter().all(|error| error.contains("lacks the privilege to force")), "{denials:?}");
        let limited = denials.iter().filter(|error| error.contains("too often")).count();
        assert!((3..=4).contains(&limited), "{limited} of {denials:?}");

        let audit = site.json(at, &["audit", "list"]);
        let records = audit["records"].as_array().unwrap();
        let forced = |disposition: &str, who: &str| {
            let who = format!("client {who}");
            let is = |r: &&serde_json::Value| {
                r["action"] == "force" && r["disposition"] == disposition && r["principal"] == who.as_str()
            };
            records.iter().filter(is).count()
        };
        assert_eq!((forced("allowed", "tester"), forced("failed", "tester"), forced("denied", "tester")), (1, 1, 2));
        assert_eq!(forced("denied", "eve"), 12 - limited);
        let allowed = records.iter().find(|r| r["action"] == "force" && r["disposition"] == "allowed").unwrap();
        assert_eq!((&allowed["target"], &allowed["reason"]), (&"orders/1 to n3".into(), &"the rack burnt".into()));
        assert!(allowed["at"].as_str().unwrap().starts_with("20"), "{allowed}");

        // It outlives every process, and snapshots.
        nodes.iter_mut().for_each(common::Process::kill);
        for (place, node) in places.iter().zip(&mut nodes) {
            *node = site.serve(place, &["--snapshot-every", "8", "--retained", "2"]);
        }
        let after = site.json(&places[1], &["audit", "list"]);
        assert_eq!((&after["head"], &after["records"]), (&audit["head"], &audit["records"]));
    }
}
