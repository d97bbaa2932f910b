//! Runs against a cluster of processes: by the library, and by the command line.

use crate::common::{Place, Site, text};
use async_trait::async_trait;
use cp_catalog::plan::{MemberObserved, RangeObserved};
use cp_catalog::{ClosedGate, DataPosition, RangeKey, RangeStanding};
use cp_seam::MemberId;
use cp_supervisor::daemon::Engine;
use cp_supervisor::executor::{CopyOrder, DataPlane, Fault, Goal, Settings, run};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

const LAST: DataPosition = DataPosition { term: 1, lsn: 10 };

/// Data that nobody writes to: who has a copy, and which gates were closed.
#[derive(Debug, Default)]
struct Still {
    copies: Mutex<BTreeSet<(RangeKey, MemberId)>>,
    closed: Mutex<Vec<(RangeKey, MemberId)>>,
}

#[async_trait]
impl DataPlane for Still {
    async fn members(&self) -> Result<BTreeMap<MemberId, MemberObserved>, Fault> {
        Ok(BTreeMap::new())
    }

    async fn ranges(
        &self,
        ranges: &[RangeKey],
        _lost: &BTreeSet<MemberId>,
    ) -> Result<BTreeMap<RangeKey, RangeObserved>, Fault> {
        let copies = self.copies.lock().unwrap();
        let of = |key: &RangeKey| {
            copies.iter().filter(|(of, _)| of == key).map(|(_, member)| (member.clone(), LAST)).collect()
        };
        let seen = |key: &RangeKey| {
            (key.clone(), RangeObserved { applied: of(key), watermark: Some(LAST), ..RangeObserved::default() })
        };
        Ok(ranges.iter().map(seen).collect())
    }

    async fn copy(&self, order: &CopyOrder) -> Result<DataPosition, Fault> {
        self.copies.lock().unwrap().insert((order.range.clone(), order.member.clone()));
        Ok(LAST)
    }

    async fn close(&self, range: &RangeKey, standing: &RangeStanding) -> Result<ClosedGate, Fault> {
        self.closed.lock().unwrap().push((range.clone(), standing.owner.clone()));
        Ok(ClosedGate { range: range.clone(), epoch: standing.epoch, last: LAST })
    }

    async fn orphans(&self) -> Result<Vec<(RangeKey, MemberId)>, Fault> {
        Ok(self.copies.lock().unwrap().iter().cloned().collect())
    }

    async fn delete(&self, range: &RangeKey, member: &MemberId, _: &RangeStanding) -> Result<(), Fault> {
        self.copies.lock().unwrap().remove(&(range.clone(), member.clone()));
        Ok(())
    }
}

fn ranges(site: &Site, at: &Place) -> Vec<(String, String, Vec<String>)> {
    let listed = site.json(at, &["range", "list"]);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: &Value| {
        let replicas = row["replicas"].as_array().unwrap().iter().map(word).collect();
        (word(&row["id"]), word(&row["owner"]), replicas)
    };
    listed["ranges"].as_array().unwrap().iter().map(row).collect()
}

fn write(site: &Site, ranges: &Value) -> String {
    let file = site.path().join("seen.json");
    std::fs::write(&file, json!({ "ranges": ranges }).to_string()).unwrap();
    text(&file)
}

/// Exit code, stdout and stderr.
fn told(site: &Site, at: &Place, arguments: &[&str]) -> (i32, String, String) {
    let output = site.run_as("tester.client", &at.client, arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_member_has_nothing_left_and_is_removed() {
    let site = Site::new();
    let (places, _nodes) = site.cluster(3, Engine::COMPILED[0].name(), &[]);
    let at = &places[0];
    site.run(at, &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
    site.run(at, &["range", "create", "orders/1", "--owner", "n3", "--replicas", "n1", "--to", "m"]);
    site.run(
        at,
        &[
            "range",
            "create",
            "orders/2",
            "--owner",
            "n2",
            "--replicas",
            "n1",
            "--replication-factor",
            "1",
            "--from",
            "m",
            "--to",
            "x",
        ],
    );
    site.run(at, &["range", "create", "orders/3", "--owner", "n3", "--from", "x"]);
    assert!(site.refused(at, &["member", "remove", "n3"]).1.contains("not draining"));

    // By the library: n3's ranges go elsewhere, and n3 can be removed.
    let client = site.client(&[at]);
    let still = Still::default();
    for (number, names) in [(1, ["n3", "n1"]), (2, ["n2", "n1"]), (3, ["n3", "n3"])] {
        let key = cp_supervisor::executor::range_key(&format!("orders/{number}")).unwrap();
        still.copies.lock().unwrap().extend(names.map(|name| (key.clone(), MemberId::new(name).unwrap())));
    }
    let goal = Goal::Drain(MemberId::new("n3").unwrap());
    let report = run(&client, &still, &goal, Settings::default()).await.unwrap();
    assert!(report.finished, "{report}");
    assert_eq!(still.closed.lock().unwrap().len(), 2, "{report}");
    let left = |copies: &BTreeSet<(RangeKey, MemberId)>| copies.iter().any(|(_, member)| member.as_str() == "n3");
    assert!(!left(&still.copies.lock().unwrap()) && report.deleted.len() == 2, "{report}");
    let rows = ranges(&site, at);
    assert_eq!((rows[0].1.as_str(), rows[0].2.as_slice()), ("n1", ["n2".to_owned()].as_slice()), "{rows:?}");
    assert!(rows.iter().all(|(_, owner, replicas)| owner != "n3" && !replicas.contains(&"n3".to_owned())), "{rows:?}");
    site.run(at, &["member", "remove", "n3"]);

    // By the command line: what needs a closed gate waits for a file that shows it.
    let (exit, out, error) = told(&site, at, &["member", "drain", "n2", "--run"]);
    assert!(exit == 1 && error.contains("not all of it is done"), "{exit}: {error}");
    let refusal = "blocked: hand range orders/2 from n2 to n1: the copy of n1 cannot be brought up: no observations are given to show where it is; copy it, and export again";
    assert!(out.contains(refusal), "{out}");
    let seen = |gates: bool| {
        let range = |(id, owner, _): &(String, String, Vec<String>)| {
            let epoch = site.json(at, &["range", "list"])["ranges"]
                .as_array()
                .unwrap()
                .iter()
                .find(|row| row["id"] == id.as_str())
                .unwrap()["epoch"]
                .clone();
            let gate = (gates && owner == "n2").then(|| json!({ "epoch": epoch, "last": "1.10" }));
            json!({ "id": format!("orders/{id}"), "epoch": epoch, "watermark": "1.10", "applied": { "n1": "1.10", "n2": "1.10" }, "closed_gate": gate })
        };
        write(&site, &ranges(&site, at).iter().map(range).collect())
    };
    let (exit, out, _) = told(&site, at, &["member", "drain", "n2", "--run", "--observed", &seen(false)]);
    assert!(
        exit == 1 && out.contains("n2 does not close its gate of epoch 0:1:") && out.contains("export again"),
        "{exit}: {out}"
    );
    let (exit, out, error) = told(&site, at, &["member", "drain", "n2", "--run", "--observed", &seen(true)]);
    // n1 is all that is left: what wants two copies cannot lose one.
    assert!(exit == 1 && out.contains("done: hand range orders/2 from n2 to n1"), "{exit}: {out}{error}");
    assert!(out.contains("blocked: no replacement replica for range orders/1: add a data member, or lower"), "{out}");
    site.run(at, &["range", "copy", "drop", "orders/1", "n2"]);
    let (exit, out, error) =
        told(&site, at, &["member", "drain", "n2", "--run", "--observed", &seen(true), "-o", "json"]);
    let ran: Value = serde_json::from_str(&out).unwrap();
    assert!(exit == 0 && ran["kind"] == "plan_run" && ran["finished"] == true, "{out}{error}");
    site.run(at, &["member", "remove", "n2"]);
    assert_eq!(site.json(at, &["member", "list"])["members"].as_array().unwrap().len(), 1);
}

#[test]
fn what_a_lost_member_owned_is_failed_over_by_what_was_observed() {
    let site = Site::new();
    let (places, mut nodes) = site.cluster(3, Engine::COMPILED[0].name(), &[]);
    let at = &places[0];
    site.run(at, &["collection", "create", "orders", "--group", "shop", "--mode", "ordered"]);
    site.run(at, &["range", "create", "orders/1", "--owner", "n3", "--replicas", "n1,n2"]);
    nodes.remove(2).kill();
    let failover = |more: &[&str]| told(&site, at, &[&["range", "failover", "--lost", "n3"], more].concat());
    assert_eq!(failover(&[]).0, 2, "neither shown nor run");
    assert_eq!(site.refused(at, &["range", "failover", "--lost", "n9", "--dry-run"]).0, 3);
    let (exit, out, _) = failover(&["--run"]);
    assert!(
        exit == 1
            && out.contains(
                "blocked: no safe candidate for range orders/1, whose owner n3 is lost: no replica's position"
            ),
        "{exit}: {out}"
    );
    let seen = |epoch: &str, gate: Value| {
        let applied = json!({ "n1": "1.9", "n2": "1.10" });
        let range = json!({ "id": "orders/1", "epoch": epoch, "watermark": "1.10", "applied": applied });
        let mut ranges = json!([range]);
        ranges[0]["closed_gate"] = gate;
        write(&site, &ranges)
    };
    let file = seen("0:0", Value::Null);
    let (exit, out, _) = failover(&["--run", "--observed", &file]);
    assert!(exit == 1 && out.contains("what is said of range orders/1 is of epoch 0:0, it has 0:1"), "{exit}: {out}");
    assert_eq!(ranges(&site, at)[0].1, "n3", "what was acknowledged under another epoch is not all");
    let file = seen("0:1", Value::Null);
    let (exit, out, error) = failover(&["--dry-run", "--observed", &file]);
    assert!(
        exit == 0 && out.contains("promote n2 to own range orders/1 after n3: n3 is said to be lost"),
        "{exit}: {out}{error}"
    );
    assert_eq!(ranges(&site, at)[0].1, "n3", "nothing was proposed");
    let (exit, out, error) = failover(&["--run", "--observed", &file]);
    assert!(exit == 0 && out.contains("nothing is left to do"), "{exit}: {out}{error}");
    assert_eq!(ranges(&site, at)[0].1, "n2");
    // n2 answers: until its gate is shown to be closed, it may have more acknowledged than was seen.
    let alive = |file: &str| told(&site, at, &["range", "failover", "--lost", "n2", "--run", "--observed", file]);
    let (exit, _, error) = alive(&seen("0:2", json!({ "epoch": "0:1", "last": "1.10" })));
    assert!(exit == 3 && error.contains("n2 answers, and its gate of epoch 0:2 for range orders/1"), "{exit}: {error}");
    assert_eq!(ranges(&site, at)[0].1, "n2");
    let (exit, out, error) = alive(&seen("0:2", json!({ "epoch": "0:2", "last": "1.10" })));
    assert!(exit == 1 && out.contains("n1, is at 1.9 and lacks acknowledged writes"), "{exit}: {out}{error}");
    let (exit, error) = site.refused(at, &["range", "failover", "--lost", "n3", "--run", "--stale"]);
    assert!(exit == 3 && error.contains("--stale"), "{exit}: {error}");
}
