//! Every transition that moves a range to another owner, and whether the new one has to wait.

use crate::common::*;
use crate::grants::*;
use cp_catalog::*;
use cp_lease::Grants;

/// a owns range 1, b and c have copies, hot or archived; whoever is "fay" may force.
fn forcible(replicas: &[&str], archives: &[&str]) -> (CatalogMachine, Grants) {
    let machine = library_of(2, replicas, archives);
    let privileges = Privileges { read: true, operate: true, force: true };
    done(&machine, MembershipCommand::Grant { client: ClientName::new("fay").unwrap(), privileges });
    let mut grants = begun(&machine);
    renewed(&mut grants, &machine, "a", 1100);
    (machine, grants)
}

fn forced(machine: &CatalogMachine, command: OwnershipCommand) {
    let origin = Origin { principal: Principal::Client(ClientName::new("fay").unwrap()), at_unix_ms: 1 };
    let entry = Request::new(None, command).of(origin).to_entry().unwrap();
    apply(machine, &entry).into_result().unwrap();
}

fn force(machine: &CatalogMachine, to: &str) {
    forced(machine, OwnershipCommand::Force { range: rk(1), to: id(to), reason: "the rack burnt".to_owned() });
}

/// The archive of b takes over; if it lacks writes, by force.
fn restore(machine: &CatalogMachine, gap: bool) {
    let range = range(machine, &rk(1));
    let restored = if gap { DataPosition { term: 1, lsn: 0 } } else { LAST };
    let (checksum, recorded) = ([1; 32], [1; 32]);
    let proof = RestoreProof { checksum, recorded, bounds: range.bounds.clone(), restored, watermark: LAST };
    let forced = gap.then(|| "the rest is lost".to_owned());
    let restore = Restore { range: rk(1), fence: range.fence(), archive: id("b"), proof, forced };
    self::forced(machine, OwnershipCommand::RestoreArchive(restore));
}

/// A move of range 1 to b that has caught up.
fn moving(machine: &CatalogMachine) -> (RangeKey, Fence) {
    let fence = || range(machine, &rk(1)).fence();
    done(machine, OwnershipCommand::BeginMove { range: rk(1), fence: fence(), target: id("b") });
    for phase in [MovePhase::Copying, MovePhase::CatchingUp] {
        done(machine, OwnershipCommand::AdvanceMove { range: rk(1), fence: fence(), phase });
    }
    (rk(1), fence())
}

fn evidence(closed_gate: Option<ClosedGate>) -> Option<Evidence> {
    Some(Evidence { candidate: id("b"), applied: LAST, watermark: LAST, closed_gate })
}

/// What b has to wait for once it owns the range, at 1101.
fn then(machine: &CatalogMachine, grants: &mut Grants) -> Option<(String, u64)> {
    follow(grants, machine);
    assert_eq!(range(machine, &rk(1)).owner, id("b"));
    let waits = waits(grants, machine, &rk(1), 1101);
    assert_eq!(withheld(&renewed(grants, machine, "b", 1101)).is_empty(), waits.is_none());
    waits
}

#[test]
fn whoever_takes_over_without_a_closed_gate_waits_for_the_lease_and_with_one_for_nobody() {
    type Take = fn(&CatalogMachine, Option<ClosedGate>);
    let by_force: Take = |machine, _| force(machine, "b");
    let promoted: Take = |machine, gate| {
        let mut command = machine.read(|catalog| transfer(catalog, &rk(1), "b", None));
        if let OwnershipCommand::Promote(Transfer { evidence: Some(evidence), .. }) = &mut command {
            evidence.closed_gate = gate;
        }
        done(machine, command);
    };
    let resolved: Take = |machine, gate| {
        let (range, fence) = moving(machine);
        done(machine, OwnershipCommand::ResolveMove { range, fence, evidence: evidence(gate) });
    };
    let restored: Take = |machine, _| restore(machine, false);
    let with_a_gap: Take = |machine, _| restore(machine, true);
    let takes: [(&str, Take, [&[&str]; 2], bool); 5] = [
        ("promote", promoted, [&["b", "c"], &[]], true),
        ("force", by_force, [&["b", "c"], &[]], false),
        ("resolve a move", resolved, [&["c"], &[]], true),
        ("restore", restored, [&["c"], &["b"]], false),
        ("restore with a gap", with_a_gap, [&["c"], &["b"]], false),
    ];
    for (name, take, [replicas, archives], shows) in takes {
        let (machine, mut grants) = forcible(replicas, archives);
        take(&machine, None);
        assert_eq!(then(&machine, &mut grants), on("a", 49), "{name}");
        // A gate that is shown, where the command can show one.
        let (machine, mut grants) = forcible(replicas, archives);
        let closed = gate(&machine, &rk(1));
        take(&machine, Some(closed));
        assert_eq!(then(&machine, &mut grants), if shows { None } else { on("a", 49) }, "{name}");
        // The owner's own word, before and after.
        for before in [true, false] {
            let (machine, mut grants) = forcible(replicas, archives);
            let closed = gate(&machine, &rk(1));
            if before {
                assert!(self::closed(&mut grants, &machine, "a", &closed));
            }
            take(&machine, None);
            follow(&mut grants, &machine);
            assert_eq!(before, !self::closed(&mut grants, &machine, "a", &closed), "{name}");
            assert_eq!(then(&machine, &mut grants), None, "{name}");
        }
    }
}

#[test]
fn a_handoff_and_the_cutover_of_a_move_wait_for_nobody() {
    let (machine, mut grants) = forcible(&["b", "c"], &[]);
    hand_over(&machine, &rk(1), "b");
    assert_eq!(then(&machine, &mut grants), None);
    let (machine, mut grants) = forcible(&["c"], &[]);
    let (range, fence) = moving(&machine);
    let closed = gate(&machine, &rk(1));
    done(&machine, OwnershipCommand::CompleteMove { range, fence, evidence: evidence(Some(closed)) });
    assert_eq!(then(&machine, &mut grants), None);
}

#[test]
fn forcing_a_range_onto_its_owner_opens_a_closed_gate_again() {
    let (machine, mut grants) = forcible(&["b", "c"], &[]);
    let closed = gate(&machine, &rk(1));
    assert!(self::closed(&mut grants, &machine, "a", &closed));
    assert_eq!(withheld(&renewed(&mut grants, &machine, "a", 1101)), [rk(1)]);
    force(&machine, "a");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1102), None, "there was no other owner");
    assert_eq!(withheld(&renewed(&mut grants, &machine, "a", 1102)), []);
    // And it is still waited for who had it before.
    promote(&machine, &rk(1), "b");
    force(&machine, "b");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1103), on("a", 49));
}
