//! What goes wrong in a storm, and when: plain data, drawn before the run begins.
//!
//! A schedule depends on the seed and the options alone, never on what the nodes
//! do. So two engines can be put through the same one, a reader can be shown it,
//! and a violation can be shrunk by leaving steps out: the steps that stay are the
//! same, to the draw. Each step has a seed of its own for the choices that only
//! the moment allows.

mod draw;
mod kept;
mod shrink;

pub use kept::Kept;
pub use shrink::{Shrunk, shrink};

use crate::backend::Sign;
use crate::disk::Survivors;
use crate::monitor::Moment;
use std::fmt;
use std::time::Duration;

/// A member's place, counted modulo the number of members that there are by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whom(pub u8);

impl Whom {
    /// The slot among `count`.
    pub fn among(self, count: usize) -> usize {
        usize::from(self.0) % count.max(1)
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// The two sides of a cut, neither empty: a lone member, and those who are with it, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// One who is certainly on the first side.
    pub lone: Whom,
    /// Bit by bit who else is.
    pub with: u8,
}

impl Sides {
    /// The sides of `count` members.
    pub fn of(self, count: usize) -> (Vec<usize>, Vec<usize>) {
        let lone = self.lone.among(count);
        let near = |slot: &usize| *slot == lone || self.with.checked_shr(bits(*slot)).unwrap_or(0) & 1 == 1;
        let (mut one, mut two): (Vec<usize>, Vec<usize>) = (0..count).partition(near);
        if two.is_empty()
            && let Some(at) = one.iter().position(|slot| *slot != lone)
        {
            two.push(one.remove(at));
        }
        (one, two)
    }
}

fn bits(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {:08b}", self.lone, self.with)
    }
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What is down is started, most of it.
    Revive,
    /// Ways are open, disks work and all is started, and stays so for a while.
    Calm(Duration),
    /// A process is killed, or its machine loses power.
    Kill(Whom),
    /// The whole room loses power.
    Blackout,
    /// Nothing passes between two sides.
    Cut(Sides),
    /// Nothing passes from the one side to the other.
    CutOneWay(Sides),
    /// Nothing passes between two members: a partial partition.
    CutPair(Whom, Whom),
    /// Nothing passes between two sides, and one member reaches both.
    Bridge(Sides),
    /// All ways are open again.
    Heal,
    /// The ways between two sides take frames and deliver none, for so long, then all at once.
    Clog {
        /// Which.
        sides: Sides,
        /// How long.
        time: Duration,
    },
    /// A node stands still, and wakes up with every timer late.
    Pause {
        /// Which.
        whom: Whom,
        /// How long.
        time: Duration,
    },
    /// The clock of all jumps forward.
    Jump(Duration),
    /// The network loses, doubles, delays and reorders.
    Rough,
    /// It no longer does.
    Smooth,
    /// A disk finishes nothing any more.
    Stall(Whom),
    /// It works again.
    Unstall(Whom),
    /// The next write to a disk fails.
    FailWrite(Whom),
    /// The next sync of a disk fails.
    FailSync {
        /// Whose.
        whom: Whom,
        /// What it should have written is marked clean, as Linux does.
        drop_dirty: bool,
    },
    /// A disk takes far longer than usual, now and then.
    Slow(Whom),
    /// The next read of a disk fails.
    FailRead(Whom),
    /// A disk rots while its node is down.
    Rot {
        /// Whose.
        whom: Whom,
        /// In what way.
        rot: Rot,
    },
    /// Power is lost at a sync.
    CutSync {
        /// Whose.
        whom: Whom,
        /// After so many.
        skip: u8,
        /// Before it has its effect, or after it and before its caller hears of it.
        moment: Moment,
    },
    /// Power is lost between two of a write's operations.
    CutWrite {
        /// Whose.
        whom: Whom,
        /// After so many operations more.
        after: u8,
    },
    /// Leadership is asked to move.
    Transfer {
        /// Who is asked.
        from: Whom,
        /// Who is to have it.
        to: Whom,
    },
    /// Power is lost right at a message.
    Aim {
        /// At which kind.
        sign: Sign,
        /// Before or after it leaves.
        moment: Moment,
        /// After so many.
        skip: u8,
        /// An aim at votes is idle until someone stands: the leader goes with it.
        at_leader: bool,
    },
    /// An operator changes the members, where the options allow it.
    Churn,
}

/// What became of a disk that was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rot {
    /// So many bits flipped.
    Flipped(u8),
    /// A file is cut short.
    Cut,
    /// A file is gone.
    Gone,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revive => f.write_str("start what is down"),
            Self::Calm(time) => write!(f, "calm for {} ms", time.as_millis()),
            Self::Kill(whom) => write!(f, "kill {whom}"),
            Self::Blackout => f.write_str("all lose power"),
            Self::Cut(sides) => write!(f, "cut off {sides}"),
            Self::CutOneWay(sides) => write!(f, "cut the way out of {sides}"),
            Self::CutPair(a, b) => write!(f, "cut {a} from {b}"),
            Self::Bridge(sides) => write!(f, "cut off {sides}, but for a bridge"),
            Self::Heal => f.write_str("heal the network"),
            Self::Clog { sides, time } => write!(f, "clog {sides} for {} ms", time.as_millis()),
            Self::Pause { whom, time } => write!(f, "pause {whom} for {} ms", time.as_millis()),
            Self::Jump(by) => write!(f, "the clock jumps by {} ms", by.as_millis()),
            Self::Rough => f.write_str("the network is rough"),
            Self::Smooth => f.write_str("the network is smooth"),
            Self::Stall(whom) => write!(f, "stall the disk of {whom}"),
            Self::Unstall(whom) => write!(f, "the disk of {whom} works again"),
            Self::FailWrite(whom) => write!(f, "fail a write of {whom}"),
            Self::FailSync { whom, drop_dirty } => write!(f, "fail a sync of {whom}, pages dropped: {drop_dirty}"),
            Self::Slow(whom) => write!(f, "the disk of {whom} is slow"),
            Self::FailRead(whom) => write!(f, "fail a read of {whom}"),
            Self::Rot { whom, rot } => write!(f, "the disk of {whom} rots: {rot:?}"),
            Self::CutSync { whom, skip, moment } => write!(f, "{whom} loses power {moment:?} sync number {skip}"),
            Self::CutWrite { whom, after } => write!(f, "{whom} loses power after {after} disk operations"),
            Self::Transfer { from, to } => write!(f, "ask {from} to hand over to {to}"),
            Self::Aim { sign, moment, skip, at_leader } => {
                write!(f, "power loss {moment:?} {sign:?} number {skip}")?;
                if *at_leader { f.write_str(", the leader killed") } else { Ok(()) }
            }
            Self::Churn => f.write_str("change the members"),
        }
    }
}

/// A fault and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How long after the step before it.
    pub after: Duration,
    /// What happens.
    pub fault: Fault,
    /// What a crash leaves of what was not synced.
    pub survivors: Survivors,
    /// Seeds what only the moment can decide.
    pub chance: u64,
}

/// All that goes wrong in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// In order.
    pub steps: Vec<Step>,
}

impl Schedule {
    /// The steps that `kept` keeps, each with its number and its time since the start.
    pub fn kept<'a>(&'a self, kept: &'a Kept) -> impl Iterator<Item = (u32, Duration, &'a Step)> + 'a {
        let mut at = Duration::ZERO;
        let all = self.steps.iter().zip(0_u32..).map(move |(step, number)| {
            at += step.after;
            (number, at, step)
        });
        all.filter(|(number, _, _)| kept.has(*number))
    }

    /// The kept steps, a line each, for a reader.
    pub fn lines(&self, kept: &Kept) -> Vec<String> {
        self.kept(kept)
            .map(|(number, at, step)| {
                format!("{number:>4}  at {:>6} ms  {} ({:?} survives)", at.as_millis(), step.fault, step.survivors)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
