//! What a run amounted to, and what a broken promise looks like to a reader.

mod violation;

pub use violation::Violation;

use crate::checks::Broken;
use crate::disk::Effects;
use crate::monitor::Tally;
use crate::network::Traffic;
use crate::promise::Promise;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What happened in a run that kept every promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// The engine.
    pub backend: &'static str,
    /// The seed.
    pub seed: u64,
    /// How much time passed in it.
    pub simulated: Duration,
    /// What the monitor counted.
    pub tally: Tally,
    /// How often a node was started again.
    pub restarts: u64,
    /// How often a node was paused.
    pub pauses: u64,
    /// How often the clock jumped.
    pub jumps: u64,
    /// How often the last node that ran went down.
    pub blackouts: u64,
    /// How often a storm's operator gave a member's name to another life, on an empty disk.
    pub exchanged: u64,
    /// How often it removed a member by force.
    pub expelled: u64,
    /// By what happened meanwhile: the longest that steady callers went without an acknowledgement.
    pub waits: BTreeMap<&'static str, Duration>,
    /// What the network did.
    pub traffic: Traffic,
    /// What all disks together did.
    pub disks: Effects,
    /// The hash of the trace, and its number of lines.
    pub trace: ([u8; 32], u64),
}

/// The least that must have happened, or the run proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Least {
    /// Terms with a leader.
    pub elections: u64,
    /// Committed slots.
    pub commits: u64,
    /// Acknowledged proposals.
    pub acknowledged: u64,
    /// Changes of ranges.
    pub transitions: u64,
    /// Restarts.
    pub restarts: u64,
    /// Snapshots installed by running nodes.
    pub snapshot_installs: u64,
    /// Frames dropped at cuts.
    pub cut: u64,
    /// Frames held by clogged ways.
    pub clogged: u64,
    /// Frames held for paused nodes.
    pub held: u64,
    /// Pauses.
    pub pauses: u64,
    /// Jumps of the clock.
    pub jumps: u64,
    /// Times that all were down.
    pub blackouts: u64,
    /// Members exchanged in storms.
    pub exchanged: u64,
    /// Members removed by force in storms.
    pub expelled: u64,
    /// Connections refused.
    pub refused_connections: u64,
    /// Lives ended by an aim.
    pub aimed: u64,
    /// Operations that a disk failed.
    pub failed_operations: u64,
    /// Unsynced changes lost in crashes.
    pub lost_changes: u64,
    /// Times that I/O waited for a stall to end.
    pub stalls: u64,
    /// Pieces of I/O that took far longer than usual.
    pub slow_operations: u64,
    /// Lives ended at a sync.
    pub cut_syncs: u64,
    /// Changes that a crash cut in two.
    pub torn_changes: u64,
    /// Bits flipped.
    pub flipped_bits: u64,
    /// Writes lost by a disk that broke its word.
    pub lost_writes: u64,
    /// Writes that went elsewhere.
    pub misdirected_writes: u64,
    /// Files cut short.
    pub truncated_files: u64,
    /// Files that are gone.
    pub missing_files: u64,
    /// Frames lost by chance.
    pub lost_frames: u64,
    /// Frames delivered twice.
    pub duplicated: u64,
    /// Frames delayed past others.
    pub reordered: u64,
    /// Frames sent over a slow way.
    pub slowed_frames: u64,
    /// Writes that gates admitted.
    pub writes_admitted: u64,
    /// Writes that gates refused.
    pub writes_refused: u64,
    /// Gates that opened before keys that another member had written.
    pub takeovers: u64,
    /// Renewals granted.
    pub renewals: u64,
    /// Times that a leader granted nothing, because nobody confirmed that it led.
    pub unconfirmed: u64,
}

impl Report {
    /// Everything that was counted, by name: what ran, and how often each fault had an effect.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let (t, n, d) = (&self.tally, &self.traffic, &self.disks);
        vec![
            ("elections", t.elections),
            ("grants", t.grants),
            ("audited claims", t.claims),
            ("recovered disks", t.inspections),
            ("commits", t.commits),
            ("acknowledged proposals", t.acknowledged),
            ("refused proposals", t.refused),
            ("unknown outcomes", t.unknown),
            ("reads", t.reads),
            ("changes of ranges", t.transitions),
            ("restarts", self.restarts),
            ("snapshot installs", t.snapshot_installs),
            ("frames delivered", n.delivered),
            ("frames lost", n.lost),
            ("frames doubled", n.duplicated),
            ("frames reordered", n.reordered),
            ("frames cut", n.cut),
            ("frames slowed", n.slowed),
            ("frames clogged", n.clogged),
            ("frames held for paused nodes", n.held),
            ("pauses", self.pauses),
            ("jumps of the clock", self.jumps),
            ("times that all were down", self.blackouts),
            ("members exchanged", self.exchanged),
            ("members removed by force", self.expelled),
            ("connections refused", n.refused),
            ("aimed crashes", t.aimed),
            ("failed disk operations", d.failed_operations),
            ("lost disk changes", d.lost_changes),
            ("torn disk changes", d.torn_changes),
            ("disk stalls", d.stalls),
            ("slow disk operations", d.slowed),
            ("lives ended at a sync", d.cut_syncs),
            ("lost writes", d.lost_writes),
            ("misdirected writes", d.misdirected_writes),
            ("truncated files", d.truncated_files),
            ("missing files", d.missing_files),
            ("flipped bits", d.flipped_bits),
            ("writes admitted by gates", t.writes_admitted),
            ("writes refused by gates", t.writes_refused),
            ("takeovers by gates", t.takeovers),
            ("renewals of leases", t.renewals),
            ("renewals without a quorum", t.unconfirmed),
        ]
    }

    /// Objects if less happened than `least`, or if nothing was audited at all.
    pub fn reaches(&self, least: &Least) -> Result<(), Broken> {
        let demands = [
            ("elections", least.elections.max(1)),
            ("grants", 1),
            ("audited claims", 1),
            ("recovered disks", 1),
            ("commits", least.commits.max(1)),
            ("acknowledged proposals", least.acknowledged),
            ("changes of ranges", least.transitions),
            ("restarts", least.restarts),
            ("snapshot installs", least.snapshot_installs),
            ("frames cut", least.cut),
            ("frames clogged", least.clogged),
            ("frames held for paused nodes", least.held),
            ("pauses", least.pauses),
            ("jumps of the clock", least.jumps),
            ("times that all were down", least.blackouts),
            ("members exchanged", least.exchanged),
            ("members removed by force", least.expelled),
            ("connections refused", least.refused_connections),
            ("aimed crashes", least.aimed),
            ("failed disk operations", least.failed_operations),
            ("lost disk changes", least.lost_changes),
            ("disk stalls", least.stalls),
            ("slow disk operations", least.slow_operations),
            ("lives ended at a sync", least.cut_syncs),
            ("torn disk changes", least.torn_changes),
            ("flipped bits", least.flipped_bits),
            ("lost writes", least.lost_writes),
            ("misdirected writes", least.misdirected_writes),
            ("truncated files", least.truncated_files),
            ("missing files", least.missing_files),
            ("frames lost", least.lost_frames),
            ("frames doubled", least.duplicated),
            ("frames reordered", least.reordered),
            ("frames slowed", least.slowed_frames),
            ("writes admitted by gates", least.writes_admitted),
            ("writes refused by gates", least.writes_refused),
            ("takeovers by gates", least.takeovers),
            ("renewals of leases", least.renewals),
            ("renewals without a quorum", least.unconfirmed),
        ];
        let counts = self.counts();
        for (what, least) in demands {
            let seen = counts.iter().find(|(name, _)| *name == what).map_or(0, |(_, seen)| *seen);
            if seen < least {
                let what =
                    format!("{seen} {what} in the whole run, at least {least} are needed for it to prove anything");
                return Err(Broken::new("not vacuous", Promise::E1, what));
            }
        }
        Ok(())
    }
}

impl Report {
    /// Both runs taken together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (a, b) = (&self.tally, &other.tally);
        let tally = Tally {
            elections: a.elections + b.elections,
            grants: a.grants + b.grants,
            commits: a.commits + b.commits,
            acknowledged: a.acknowledged + b.acknowledged,
            refused: a.refused + b.refused,
            unknown: a.unknown + b.unknown,
            reads: a.reads + b.reads,
            transitions: a.transitions + b.transitions,
            append_acks: a.append_acks + b.append_acks,
            snapshot_installs: a.snapshot_installs + b.snapshot_installs,
            aimed: a.aimed + b.aimed,
            claims: a.claims + b.claims,
            inspections: a.inspections + b.inspections,
            writes_admitted: a.writes_admitted + b.writes_admitted,
            writes_refused: a.writes_refused + b.writes_refused,
            takeovers: a.takeovers + b.takeovers,
            renewals: a.renewals + b.renewals,
            unconfirmed: a.unconfirmed + b.unconfirmed,
        };
        let (a, b) = (&self.traffic, &other.traffic);
        let traffic = Traffic {
            delivered: a.delivered + b.delivered,
            lost: a.lost + b.lost,
            duplicated: a.duplicated + b.duplicated,
            reordered: a.reordered + b.reordered,
            cut: a.cut + b.cut,
            slowed: a.slowed + b.slowed,
            clogged: a.clogged + b.clogged,
            held: a.held + b.held,
            refused: a.refused + b.refused,
        };
        Self {
            scenario: self.scenario.clone(),
            backend: self.backend,
            seed: self.seed,
            simulated: self.simulated + other.simulated,
            tally,
            restarts: self.restarts + other.restarts,
            pauses: self.pauses + other.pauses,
            jumps: self.jumps + other.jumps,
            blackouts: self.blackouts + other.blackouts,
            exchanged: self.exchanged + other.exchanged,
            expelled: self.expelled + other.expelled,
            waits: longest(&self.waits, &other.waits),
            traffic,
            disks: self.disks.and(&other.disks),
            trace: other.trace,
        }
    }
}

fn longest(
    a: &BTreeMap<&'static str, Duration>,
    b: &BTreeMap<&'static str, Duration>,
) -> BTreeMap<&'static str, Duration> {
    let mut all = a.clone();
    for (what, wait) in b {
        let known = all.entry(what).or_default();
        *known = (*known).max(*wait);
    }
    all
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scenario,
            backend,
            seed,
            simulated,
            tally: t,
            restarts,
            pauses,
            jumps,
            exchanged,
            expelled,
            waits,
            traffic,
            disks,
            ..
        } = self;
        write!(
            f,
            "{scenario} on {backend}, seed {seed}: {:.1} s simulated, {} elections, {} commits, {} acknowledged, \
             {} refused, {} unknown, {restarts} restarts, {} snapshots installed, {} claims audited on {} recovered \
             disks, {pauses} pauses, {jumps} jumps, {} frames ({} lost, {} duplicated, {} reordered, {} cut, {} slowed, \
             {} clogged, {} held), {} aimed crashes, {} failed disk operations, {} changes lost, \
             {} torn, {} stalls, {} slow operations, {} cut syncs",
            simulated.as_secs_f64(),
            t.elections,
            t.commits,
            t.acknowledged,
            t.refused,
            t.unknown,
            t.snapshot_installs,
            t.claims,
            t.inspections,
            traffic.delivered,
            traffic.lost,
            traffic.duplicated,
            traffic.reordered,
            traffic.cut,
            traffic.slowed,
            traffic.clogged,
            traffic.held,
            t.aimed,
            disks.failed_operations,
            disks.lost_changes,
            disks.torn_changes,
            disks.stalls,
            disks.slowed,
            disks.cut_syncs
        )?;
        if t.renewals > 0 {
            write!(
                f,
                ", {} writes admitted and {} refused by gates, {} takeovers, {} renewals, {} unconfirmed",
                t.writes_admitted, t.writes_refused, t.takeovers, t.renewals, t.unconfirmed
            )?;
        }
        if exchanged + expelled > 0 {
            write!(f, ", {exchanged} members exchanged, {expelled} removed by force")?;
        }
        waits.iter().try_for_each(|(what, wait)| write!(f, ", {what}: waited {} ms", wait.as_millis()))
    }
}
