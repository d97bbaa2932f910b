use super::*;
use crate::options::Options;
use std::collections::BTreeSet;

fn only(steps: impl IntoIterator<Item = u32>) -> Kept {
    Kept::Only(steps.into_iter().collect())
}

#[test]
fn a_schedule_depends_on_seed_and_options_alone() {
    let options = Options::storm(3);
    assert_eq!(Schedule::draw(5, &options), Schedule::draw(5, &options));
    assert_ne!(Schedule::draw(5, &options), Schedule::draw(6, &options));
}

#[test]
fn every_kind_of_fault_is_drawn() {
    let options = Options { churn: true, ..Options::storm(3) };
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        for step in Schedule::draw(seed, &options).steps {
            seen.insert(
                format!("{:?}", step.fault).chars().take_while(char::is_ascii_alphanumeric).collect::<String>(),
            );
        }
    }
    let all = [
        "Revive",
        "Calm",
        "Kill",
        "Blackout",
        "Cut",
        "CutOneWay",
        "CutPair",
        "Bridge",
        "Heal",
        "Clog",
        "Pause",
        "Jump",
        "Rough",
        "Smooth",
        "Stall",
        "Unstall",
        "FailWrite",
        "FailSync",
        "Slow",
        "FailRead",
        "Rot",
        "CutSync",
        "CutWrite",
        "Transfer",
        "Aim",
        "Churn",
    ];
    assert_eq!(seen, all.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn no_side_of_a_cut_is_empty() {
    for count in 2..=7 {
        for lone in 0..7 {
            for with in [0, 0xff, 0x55] {
                let (one, two) = Sides { lone: Whom(lone), with }.of(count);
                assert!(!one.is_empty() && !two.is_empty(), "{count} {lone} {with}");
                assert_eq!(one.len() + two.len(), count);
                assert!(one.contains(&Whom(lone).among(count)));
            }
        }
    }
}

#[test]
fn kept_steps_read_as_they_are_written() {
    for (text, kept) in [
        ("all", Kept::All),
        ("none", only([])),
        ("3", only([3])),
        ("3,7-9", only([3, 7, 8, 9])),
        ("0-1,5", only([0, 1, 5])),
    ] {
        assert_eq!(text.parse::<Kept>(), Ok(kept.clone()));
        assert_eq!(kept.to_string(), text);
    }
    for bad in ["", "x", "3-", "9-7", "1,,2", "-1", "0-4294967295"] {
        assert!(bad.parse::<Kept>().is_err(), "{bad}");
    }
}

#[test]
fn only_what_is_needed_is_left() {
    let schedule = Schedule::draw(1, &Options::storm(3));
    assert!(schedule.steps.len() > 12);
    let needed = |kept: &Kept| [2, 7, 11].iter().all(|step| kept.has(*step));
    let shrunk = shrink(&schedule, 1_000, needed);
    assert_eq!(shrunk.kept, only([2, 7, 11]));
    assert!(shrunk.runs < 200, "{}", shrunk.runs);
    assert_eq!(shrink(&schedule, 1_000, |_| true).kept, only([]));
    assert_eq!(shrink(&schedule, 1_000, |_| false).kept, Kept::All);
    assert!(shrink(&schedule, 3, needed).runs <= 3);
    assert_eq!(schedule.lines(&only([2, 7])).len(), 2);
}
