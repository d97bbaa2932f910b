//! What a run did, what it left to others, what stands in its way.

use cp_catalog::plan::{Blocker, Step, Warning};
use cp_catalog::{DataPosition, Effect, Epoch, RangeKey, RangeStanding, Refusal};
use cp_seam::MemberId;
use std::fmt;

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The steps that took effect, in the order of their rounds.
    pub done: Vec<Done>,
    /// The steps that were left out because others had changed their range. What they were
    /// for was planned again.
    pub skipped: Vec<Skipped>,
    /// What stands in the way at the end.
    pub blocked: Vec<Blocked>,
    /// The copies that were deleted, nobody having a role for them.
    pub deleted: Vec<(RangeKey, MemberId)>,
    /// What an operator should know, by the last plan.
    pub warnings: Vec<Warning>,
    /// Whether the goal is reached and nothing is left. If it is not and nothing stands in
    /// the way, others kept changing what the run worked on: run it again.
    pub finished: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.done.iter().try_for_each(|done| writeln!(f, "done: {done}"))?;
        self.deleted
            .iter()
            .try_for_each(|(range, member)| writeln!(f, "deleted: what {member} kept of range {range}"))?;
        self.skipped.iter().try_for_each(|skipped| writeln!(f, "skipped: {skipped}"))?;
        self.blocked.iter().try_for_each(|blocked| writeln!(f, "blocked: {blocked}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))?;
        f.write_str(match (self.finished, self.blocked.is_empty()) {
            (true, _) => "nothing is left to do\n",
            (false, true) => "others kept changing what this works on; run it again\n",
            (false, false) => "not all is done; mend what is in the way and run it again\n",
        })
    }
}

/// A step that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Which.
    pub step: Step,
    /// What it did.
    pub effect: Effect,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step.action(), self.effect)
    }
}

/// A step whose range was not where the plan had left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which.
    pub step: Box<Step>,
    /// Where the range is; `None` if it is gone, or the step is about none.
    pub now: Option<RangeStanding>,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: it was changed meanwhile", self.step.action())?;
        self.now.as_ref().map_or(Ok(()), |now| write!(f, " and has {now}"))
    }
}

/// What stands in the way, the range that it is about, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// No step could be planned.
    Unplanned(Blocker),
    /// The only copy that could take the range over lacks writes.
    Behind {
        /// Which range.
        range: RangeKey,
        /// Whose copy.
        member: MemberId,
        /// Why it could not be brought up.
        why: Obstacle,
    },
    /// A step was not done.
    Step {
        /// Which.
        step: Box<Step>,
        /// Why.
        why: Obstacle,
        /// Whether the owner has closed its gate for it, so that nobody may write the range.
        shut: bool,
    },
    /// Steps are left that the plan has not taken up.
    Left(Warning),
    /// A copy that nobody has a role for was not deleted.
    Delete {
        /// Of which range.
        range: RangeKey,
        /// Whose.
        member: MemberId,
        /// Why.
        reason: String,
    },
    /// Which copies nobody has a role for is not known.
    Orphans {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unplanned(blocker) => fmt::Display::fmt(blocker, f),
            Self::Behind { range, why, .. } => write!(f, "no safe handoff target for range {range}: {why}"),
            Self::Step { step, why, shut } => {
                write!(f, "{}: {why}", step.action())?;
                let note = "; nobody may write to it until a run or a handoff gives it to another owner, or force renews this one";
                f.write_str(if *shut { note } else { "" })
            }
            Self::Left(warning) => fmt::Display::fmt(warning, f),
            Self::Delete { range, member, reason } => {
                write!(
                    f,
                    "what {member} keeps of range {range} is not deleted: {reason}; run this again, or delete it there"
                )
            }
            Self::Orphans { reason } => {
                write!(
                    f,
                    "the data plane does not say which copies are left over: {reason}; run this again once it does"
                )
            }
        }
    }
}

/// Why a step was not done, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The state refuses it, and says what would do.
    Refused(Box<Refusal>),
    /// The range could not be read.
    Unread {
        /// Why.
        reason: String,
    },
    /// The range is gone.
    Gone,
    /// Whether it took effect is not known.
    Undecided {
        /// Why.
        reason: String,
    },
    /// A copy could not be brought up.
    Copy {
        /// Whose.
        member: MemberId,
        /// What it must hold, if that is known.
        until: Option<DataPosition>,
        /// Why.
        reason: String,
    },
    /// A copy is said to be up, and is short of what it must hold.
    Short {
        /// Whose.
        member: MemberId,
        /// Where it is.
        applied: DataPosition,
        /// Where it must be.
        needed: DataPosition,
    },
    /// Nobody has said what the range's owner had acknowledged when it was lost.
    Unseen {
        /// Who would take over.
        candidate: MemberId,
    },
    /// The owner did not close its gate.
    Close {
        /// Who.
        owner: MemberId,
        /// Under which epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
    /// The gate that was closed is another range's.
    OtherRange {
        /// Whose.
        owner: MemberId,
        /// Which range's.
        found: RangeKey,
    },
    /// The gate that was closed is of another epoch than the owner's.
    OtherGate {
        /// Whose.
        owner: MemberId,
        /// The owner's epoch.
        expected: Epoch,
        /// The gate's.
        found: Epoch,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => fmt::Display::fmt(refusal, f),
            Self::Unread { reason } => write!(f, "the range cannot be read: {reason}; run this again"),
            Self::Gone => f.write_str("it does not exist any more; run this again"),
            Self::Undecided { reason } => {
                write!(f, "whether it took effect is unknown: {reason}; run this again, it goes by what the state has")
            }
            Self::Copy { member, until, reason } => {
                write!(f, "the copy of {member} cannot be brought up")?;
                until.map_or(Ok(()), |until| write!(f, " to {until}"))?;
                write!(f, ": {reason}; mend that and run this again")
            }
            Self::Short { member, applied, needed } => {
                write!(f, "the copy of {member} is at {applied}, short of {needed}; let it catch up and run this again")
            }
            Self::Unseen { candidate } => {
                write!(
                    f,
                    "what {candidate} must hold was not observed; observe the range's watermark, and run this again"
                )
            }
            Self::Close { owner, epoch, reason } => write!(
                f,
                "{owner} does not close its gate of epoch {epoch}: {reason}; mend that and run this again, or fail over if {owner} is lost"
            ),
            Self::OtherRange { owner, found } => {
                write!(
                    f,
                    "{owner} answered with its closed gate of range {found}; have the data plane name the gate that it closes, and run this again"
                )
            }
            Self::OtherGate { owner, expected, found } => write!(
                f,
                "{owner} closed a gate of epoch {found}, not {expected}; let it follow the catalog and run this again"
            ),
        }
    }
}
