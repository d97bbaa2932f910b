//! A member that is gone for good, and what it had: removed by force, with real processes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{Site, until};
use cp_supervisor::daemon::Engine;

#[test]
fn a_member_that_is_gone_is_removed_with_all_that_it_had() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        let (places, mut nodes) = site.cluster(3, engine.name(), &[]);
        let at = &places[0];
        let force = ["member", "remove", "n3", "--force", "--reason", "its disk burnt"];
        site.run(at, &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
        for (range, from, owner, replicas) in
            [("orders/1", "a", "n3", None), ("orders/2", "b", "n3", Some("n2")), ("orders/3", "c", "n1", Some("n2,n3"))]
        {
            let to = char::from(from.as_bytes()[0] + 1).to_string();
            let mut create = vec!["range", "create", range, "--owner", owner, "--from", from, "--to", &to];
            create.extend(replicas.iter().flat_map(|replicas| ["--replicas", replicas]));
            site.run(at, &create);
        }
        site.run(at, &["range", "create", "orders/4", "--owner", "n1", "--archives", "n3", "--from", "x"]);
        site.run(at, &["authority", "assign", "shop", "--to", "n3"]);

        let (_, error) = site.refused(at, &force);
        assert!(error.contains("lacks the privilege to force"), "{error}");
        site.run(at, &["grant", "set", "tester", "--operate", "--force"]);
        let (_, error) = site.refused(at, &force);
        assert!(error.contains("n3 answers the leader"), "{error}");
        let before = site.json(at, &["range", "list"])["ranges"].clone();

        nodes[2].kill();
        until("the leader takes n3 for lost", || {
            let status = site.json(at, &["status"]);
            status["health"] == "degraded" && status["leader"] != "n3"
        });
        let plan = site.run(at, &[&force[..], &["--dry-run"]].concat());
        for part in [
            "promote n2 to own range orders/2 after n3: n3 is said to be lost; first n2 shows a position",
            "drop n3 as replica of range orders/3",
            "drop n3 as archive replica of range orders/4",
            "placement authority of group shop",
            "blocked: range orders/1 is unrecoverable without loss: no other hot replica",
            "(nothing was proposed;",
        ] {
            assert!(plan.contains(part), "{part} is missing in\n{plan}");
        }
        assert_eq!(site.json(at, &["range", "list"])["ranges"], before);

        // What answered a moment ago is no evidence of a loss, and refusals are counted.
        until("n3 has been silent for long", || {
            let member = site.json(at, &["member", "list"])["members"][2].clone();
            member["last_ack_ms"].as_str().is_none_or(|ms| ms.parse::<u64>().unwrap() > 3000)
        });
        let (code, error) = site.refused(at, &[&force[..], &["--stale"]].concat());
        assert!(code == 3 && error.contains("--stale"), "{error}");
        // Not all of it can be done yet: that is no success.
        let output = site.run_as("tester.client", &at.client, &force);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("n3#3 is expelled and not gone"), "{error}");
        let left = String::from_utf8(output.stdout).unwrap();
        assert!(left.starts_with("n3#3 is expelled; released in 3 steps"), "{left}");
        assert!(
            left.contains("orders/1 is unrecoverable") && left.contains("promote n2 to own range orders/2"),
            "{left}"
        );
        let members = site.json(at, &["member", "list"])["members"].clone();
        assert_eq!((&members[2]["expelled"], &members[2]["voting"]), (&true.into(), &false.into()));
        let (_, error) = site.refused(at, &["member", "undrain", "n3"]);
        assert!(error.contains("n3 is being removed by force"), "{error}");

        let shown = ["--applied", "1.5", "--watermark", "1.5"];
        site.run(at, &[&["range", "promote", "orders/2", "--to", "n2"][..], &shown].concat());
        site.run(at, &["range", "force", "orders/1", "--to", "n1", "--reason", "its disk burnt"]);
        let gone = site.json(at, &force);
        assert_eq!((&gone["kind"], &gone["removed"]), (&"member_expelled".into(), &true.into()), "{gone}");
        assert_eq!(gone["settled"], true, "{gone}");
        assert_eq!(site.json(at, &["member", "list"])["members"].as_array().unwrap().len(), 2);
        let ranges = site.json(at, &["range", "list"])["ranges"].to_string();
        assert!(!ranges.contains("n3"), "{ranges}");
        assert_ne!(site.json(at, &["authority", "list"])["authorities"][0]["holder"], "n3");
        until("the rest is whole", || site.json(at, &["status"])["health"] == "healthy");
        let audit = site.json(at, &["audit", "list"])["records"].clone();
        let forced = audit.as_array().unwrap().iter().filter(|r| r["action"] == "force-remove");
        let forced: Vec<_> = forced.map(|r| r["disposition"].as_str().unwrap().to_owned()).collect();
        assert!(forced.starts_with(&["denied".to_owned(), "failed".to_owned()]), "{forced:?}");
        assert!(forced.contains(&"allowed".to_owned()), "{forced:?}");
    }
}
