//! Steps about members, grants and the feature level.

use super::{NAMES, pick};
use crate::access::grant;
use crate::common::*;
use crate::model::members::Coming;
use crate::model::{About, Answer, By, CLIENTS, Granted, Model, Presence};
use cp_catalog::*;
use cp_seam::{ClusterId, Incarnation, MemberKind};
use std::collections::BTreeSet;

const ADMITTED: u8 = 9;
const REPLACED: u8 = 7;

fn hash(token: u8) -> TokenHash {
    TokenHash([token; 32])
}

pub(super) fn step(model: &mut Model, by: &By, [what, a, b, c, d, e, f]: [u8; 7]) -> (Command, Answer) {
    // What goes is mostly what drains.
    let idle = |name: &&str| model.members.get(*name).is_some_and(|m| m.draining);
    let idle = NAMES.into_iter().find(idle).filter(|_| what % 17 == 9 && e % 4 != 0);
    let name = idle.unwrap_or(pick(&NAMES, a));
    let number = model.members.get(name).map_or(1, |m| m.incarnation).saturating_sub(u64::from(b % 8 == 0)).max(1);
    let member = MemberLife { id: id(name), incarnation: Incarnation(number) };
    // Mostly everyone; now and then only those whose bit is set.
    let all = 1..model.next_incarnation;
    let mut reachable: BTreeSet<u64> = all.filter(|n| c % 4 != 0 || d >> (n % 8) & 1 == 1).collect();
    let witness = if c % 8 == 0 { name != "w" } else { name == "w" };
    let kind = if witness { MemberKind::Witness } else { MemberKind::Data };
    let plain = About::default();
    let recorded = |action| About { recorded: Some(action), ..About::default() };
    let own = About { own: Some(name.to_owned()), ..About::default() };
    let reached = |reachable: &BTreeSet<u64>| reachable.iter().map(|n| Incarnation(*n)).collect();
    let (command, answer) = match what % 17 {
        0 | 1 => {
            let (locality, standby) = (Locality::default(), d % 5 == 0);
            let admission = Admission { member: id(name), kind, token_hash: hash(ADMITTED), locality, standby };
            let answer = model.ask(by, &recorded("admit"), |m| m.admit(name, witness, ADMITTED, standby));
            (MembershipCommand::Admit(admission), answer)
        }
        2 | 3 => {
            let right = match model.members.get(name).map(|m| m.presence) {
                Some(Presence::Awaited(token)) => token,
                _ => ADMITTED,
            };
            let token = if d % 6 == 0 { 8 } else { right };
            let (cluster, level) = (if d % 16 == 1 { ClusterId([8; 16]) } else { CLUSTER }, 2 - u32::from(f % 8 == 0));
            let addresses = addresses(&format!("{name}{e}"));
            let address = addresses.peer.clone();
            let features = Features { level, ..Features::default() };
            let coming = Coming {
                right_cluster: cluster == CLUSTER,
                name,
                incarnation: number,
                token,
                witness,
                address: &address,
                level,
            };
            let answer = model.ask(by, &own, |m| m.joined(coming));
            let joining = Joining { cluster, member, token_hash: hash(token), kind, addresses, features };
            (MembershipCommand::Joined(joining), answer)
        }
        4 => (MembershipCommand::SetVoting { member }, model.ask(by, &plain, |m| m.set_voting(name, number))),
        5 => {
            let answer = model.ask(by, &recorded("demote"), |m| m.demote(name, number, &reachable));
            (MembershipCommand::Demote { member, reachable: reached(&reachable) }, answer)
        }
        6 => {
            let answer = model.ask(by, &recorded("drain"), |m| m.drain(name, number));
            (MembershipCommand::Drain { member }, answer)
        }
        7 | 8 => {
            let answer = model.ask(by, &recorded("undrain"), |m| m.undrain(name, number));
            (MembershipCommand::Undrain { member }, answer)
        }
        9 => {
            let answer = model.ask(by, &recorded("remove"), |m| m.remove(name, number, &reachable));
            (MembershipCommand::Remove { member, reachable: reached(&reachable) }, answer)
        }
        10 => {
            let about = About { own: Some(name.to_owned()), ..recorded("replace") };
            let answer = model.ask(by, &about, |m| m.replace(name, number, REPLACED, &reachable));
            let reachable = reached(&reachable);
            (MembershipCommand::Replace { member, token_hash: hash(REPLACED), reachable }, answer)
        }
        11 => {
            let addresses = addresses(&format!("{name}{d}"));
            let answer = model.ask(by, &own, |m| m.set_address(name, number, &addresses.peer));
            (MembershipCommand::SetAddresses { member, addresses }, answer)
        }
        12 => {
            let (domain, weight) = (pick(&["north", "south"], d), u32::from(e));
            let answer = model.ask(by, &plain, |m| m.set_locality(name, number, domain, weight));
            let locality = Locality { domain: Some(FailureDomain::new(domain).unwrap()), weight };
            (MembershipCommand::SetLocality { member, locality }, answer)
        }
        13 => {
            let level = pick(&[2, 2, 3, 1], d);
            let answer = model.ask(by, &own, |m| m.set_level(name, number, level));
            (MembershipCommand::SetFeatures { member, features: Features { level, ..Features::default() } }, answer)
        }
        14 => {
            let to = pick(&[2, 2, 1], d);
            let answer = model.ask(by, &recorded("raise-feature-level"), |m| m.raise_level(to));
            (MembershipCommand::RaiseFeatureLevel { to }, answer)
        }
        15 => {
            let who = pick(&CLIENTS, a);
            let granted = Granted { read: b % 2 == 0, operate: c % 4 != 0, force: d % 4 != 0 && c % 8 != 0 };
            let about = About { later: true, ..recorded("grant") };
            let answer = model.ask(by, &about, |m| m.grant(by, who, granted));
            let Granted { read, operate, force } = granted;
            (grant(who, Privileges { read, operate, force }), answer)
        }
        _ => {
            if d % 8 != 0 {
                reachable.remove(&number);
            }
            let reason = pick(&["it burnt", "it burnt", "it burnt", " \u{a0}", ""], e);
            let about = About { later: true, forced: true, ..recorded("force-remove") };
            let answer = model.ask(by, &about, |m| m.force_remove(by, name, number, reason, &reachable));
            let (reason, reachable) = (reason.to_owned(), reached(&reachable));
            (MembershipCommand::ForceRemove { member, reason, reachable }, answer)
        }
    };
    (command.into(), answer)
}
