//! The promises of the design, by id, and where each is proved.

use std::fmt;

macro_rules! promises {
    ($($name:ident $id:literal $what:literal $(, later in $issue:literal)?;)*) => {
        /// A promise that every engine keeps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Promise {
            $(#[doc = $what] $name,)*
        }

        impl Promise {
            /// Every promise, in the order of the design.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its id, as code, docs and cases cite it.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }

            /// What it says, in short.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }

            /// The issue that will prove it, if no case does yet.
            pub const fn later(self) -> Option<u32> {
                let issue: &[u32] = match self { $(Self::$name => &[$($issue)?]),* };
                match issue { [issue] => Some(*issue), _ => None }
            }
        }
    };
}

promises! {
    S1 "CP-S1" "At most one leader per term.";
    S2 "CP-S2" "A committed entry is never lost, changed or reordered.";
    S3 "CP-S3" "No member votes twice in a term, across restarts.";
    S4 "CP-S4" "The log carries membership changes and ownership transitions, nothing else.";
    S5 "CP-S5" "Ownership transitions are fenced; never two owners at one epoch.";
    D1 "CP-D1" "Term and vote are fsynced before a grant leaves the node.";
    D2 "CP-D2" "Entries are fsynced before they are acknowledged.";
    D3 "CP-D3" "The committed index is fsynced before an entry is reported committed.";
    D4 "CP-D4" "A failed write or fsync stops the node; lost state is detected.";
    P1 "CP-P1" "A refused proposal is never in the log.";
    P2 "CP-P2" "A leader out of touch with its quorum refuses within one election timeout.";
    P3 "CP-P3" "Unknown is never reported as committed or superseded, nor either as the other.";
    P4 "CP-P4" "A read reflects everything acknowledged before it began.";
    P5 "CP-P5" "A request id takes effect at most once.";
    M1 "CP-M1" "A membership change never lets two disjoint majorities act.";
    M2 "CP-M2" "Two data members and a witness survive the loss of any one.";
    M3 "CP-M3" "The vote of a removed, wiped or replaced incarnation never counts.";
    R1 "CP-R1" "Snapshots and compaction lose nothing; a member far behind catches up from one.";
    R2 "CP-R2" "Forced recovery is explicit and fences the past.";
    R3 "CP-R3" "Equal applied index, equal state digest; one that differs stops.";
    L1 "CP-L1" "With a majority able to talk and write, there is a leader and progress in bounded time.";
    L2 "CP-L2" "A leader whose disk stalls stops serving and is replaced.";
    E1 "CP-E1" "Swapping the engine changes none of this.";
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
