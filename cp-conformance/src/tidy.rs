//! The suite about itself: every promise has a case, every case says what it shows.

use crate::cases::ALL;
use crate::promise::Promise;
use std::collections::{BTreeMap, BTreeSet};

/// The doc comment and the body of each case, from the source.
fn sources() -> BTreeMap<String, (String, String)> {
    let modules = [
        ("commitment", include_str!("cases/commitment.rs")),
        ("determinism", include_str!("cases/determinism.rs")),
        ("disk", include_str!("cases/disk.rs")),
        ("divergence", include_str!("cases/divergence.rs")),
        ("election", include_str!("cases/election.rs")),
        ("leadership", include_str!("cases/leadership.rs")),
        ("leases", include_str!("cases/leases.rs")),
        ("load", include_str!("cases/load.rs")),
        ("membership", include_str!("cases/membership.rs")),
        ("partition", include_str!("cases/partition.rs")),
        ("damage", include_str!("cases/damage.rs")),
        ("install", include_str!("cases/install.rs")),
        ("pause", include_str!("cases/pause.rs")),
        ("planted", include_str!("cases/planted.rs")),
        ("propose", include_str!("cases/propose.rs")),
        ("replication", include_str!("cases/replication.rs")),
        ("reconfiguration", include_str!("cases/reconfiguration.rs")),
        ("recovery", include_str!("cases/recovery.rs")),
        ("identity", include_str!("cases/identity.rs")),
        ("restart", include_str!("cases/restart.rs")),
        ("resume", include_str!("cases/resume.rs")),
        ("snapshot", include_str!("cases/snapshot.rs")),
        ("storm", include_str!("cases/storm.rs")),
    ];
    let mut all = BTreeMap::new();
    for (module, source) in modules {
        let (mut doc, mut name): (String, Option<String>) = (String::new(), None);
        for line in source.lines() {
            if let Some(text) = line.strip_prefix("///") {
                if name.take().is_some() {
                    doc.clear();
                }
                doc.push_str(text);
            } else if let Some(rest) = line.strip_prefix("pub fn ") {
                let case = format!("{module}::{}", rest.split('(').next().unwrap_or_default());
                all.insert(case.clone(), (std::mem::take(&mut doc), String::new()));
                name = Some(case);
            } else if !line.starts_with("//") && name.is_none() {
                doc.clear();
            }
            if let Some((_, body)) = name.as_ref().and_then(|name| all.get_mut(name)) {
                body.push_str(line);
            }
        }
    }
    all
}

fn cited(doc: &str) -> BTreeSet<&str> {
    doc.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter(|word| word.starts_with("CP-")).collect()
}

#[test]
fn every_case_cites_promises_and_bears_its_own_name() {
    let (sources, known) = (sources(), Promise::ALL.iter().map(|p| p.id()).collect::<BTreeSet<_>>());
    for case in ALL {
        let (doc, body) = sources.get(case.name).unwrap_or_else(|| panic!("{} is not in its module", case.name));
        let cited = cited(doc);
        assert!(!cited.is_empty(), "{} cites no promise", case.name);
        assert!(cited.is_subset(&known), "{} cites {cited:?}", case.name);
        let named = body.contains(&format!("\"{}\"", case.name)) || case.name.starts_with("determinism");
        assert!(named, "{} runs under another name, so its reproducing command is wrong", case.name);
    }
    assert_eq!(ALL.iter().map(|case| case.name).collect::<BTreeSet<_>>().len(), ALL.len());
}

#[test]
fn every_promise_has_a_case_or_an_issue() {
    let sources = sources();
    let proved: BTreeSet<&str> =
        ALL.iter().filter_map(|case| sources.get(case.name)).flat_map(|(doc, _)| cited(doc)).collect();
    for promise in Promise::ALL {
        match promise.later() {
            None => assert!(proved.contains(promise.id()), "no case shows {promise}: {}", promise.what()),
            Some(issue) => assert!(!proved.contains(promise.id()), "{promise} has a case: strike `later in {issue}`"),
        }
    }
}
