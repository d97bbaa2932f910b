//! What is printed.

use crate::line::{Ending, Found, Hunt, Line};
use anstream::println;
use serde_json::{Value, json};
use std::time::Duration;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const OFF: &str = "\x1b[0m";

pub(crate) fn head() {
    println!("{DIM}{:>2}  {:<24} {:<10} {:<14} {:<7} {}{OFF}", "#", "bug", "engine", "planted in", "seeds", "found by");
}

pub(crate) fn line(line: &Line, hunt: &Hunt) {
    let (number, bug, engine, site) = (line.tooth.number, line.bug(), line.engine(), line.tooth.site);
    let of = line.tooth.seeds;
    let (seeds, how) = match &hunt.ending {
        Ending::Killed { by, seed } => (format!("{seed}/{of}"), format!("{GREEN}{by}{OFF}")),
        Ending::Survived => {
            let meant = line.tooth.killers.join(" or ");
            (format!("{of}/{of}"), format!("{RED}not by {meant}{OFF}, in {}", line.seen_in()))
        }
        Ending::Endless { seed } => (format!("{seed}/{of}"), format!("{RED}nobody: the run did not end{OFF}")),
        Ending::Unsound { by, what, seed } => {
            (format!("{seed}/{of}"), format!("{RED}fails without the bug too{OFF}: {by}: {what}"))
        }
    };
    println!("{number:>2}  {bug:<24} {engine:<10} {site:<14} {seeds:<7} {how}");
    for Found { by, what, seed } in &hunt.others {
        println!("{:62}{DIM}seed {seed}: {by} was first: {what}{OFF}", "");
    }
}

pub(crate) fn disabled(checker: &str, noticed: bool) {
    let by = if noticed { format!("{GREEN}self-test{OFF}") } else { format!("{RED}nobody{OFF}") };
    println!("23  {:<24} {:<10} {:<14} {:<7} {by}: {checker}", "checker-disabled", "", "monitor", "");
}

pub(crate) fn disabled_json(checker: &str, noticed: bool) -> Value {
    json!({
        "number": 23, "bug": "checker-disabled", "planted_in": "monitor", "checker": checker,
        "killers": ["self-test"], "killed": noticed, "found_by": noticed.then_some("self-test"),
    })
}

pub(crate) fn foot(killed: usize, lines: usize, took: Duration) {
    let colour = if killed == lines { GREEN } else { RED };
    println!("{colour}{killed} of {lines} found by the checker that is meant for them{OFF}, in {} s", took.as_secs());
}

pub(crate) fn json(line: &Line, hunt: &Hunt) -> Value {
    let (killed, seeds, by, what) = match &hunt.ending {
        Ending::Killed { by, seed } => (true, *seed, Some(by), ""),
        Ending::Survived => (false, line.tooth.seeds, None, "not found"),
        Ending::Endless { seed } => (false, *seed, None, "the run did not end"),
        Ending::Unsound { by, what, seed } => (false, *seed, Some(by), what.as_str()),
    };
    let first = |other: &Found| json!({ "seed": other.seed, "found_by": other.by, "what": other.what });
    json!({
        "number": line.tooth.number,
        "bug": line.bug(),
        "engine": line.engine(),
        "planted_in": line.tooth.site,
        "seen_in": line.seen_in(),
        "killers": line.tooth.killers,
        "seeds_max": line.tooth.seeds,
        "seeds": seeds,
        "killed": killed,
        "found_by": by,
        "what": what,
        "others_first": hunt.others.iter().map(first).collect::<Vec<_>>(),
    })
}
