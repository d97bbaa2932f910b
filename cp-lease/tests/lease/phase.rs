//! What may happen to the members of a world, and what is done wrong on purpose.

use proptest::prelude::*;

/// What is done wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    GateWithoutMargin,
    GranterWithoutMargin,
    NewLeaderDoesNotWait,
    CountedFromTheReply,
    LeadershipUnconfirmed,
    PromotionDoesNotWait,
    HandoffWithoutClosing,
    ClosuresForgotten,
    AnswersOfAnEarlierProcess,
}

/// What happens at the beginning of a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    Nothing,
    Elect(usize),
    Promote {
        pick: usize,
        to: usize,
    },
    Handoff {
        pick: usize,
        to: usize,
    },
    /// A member closes a gate, for a handoff to come, and may tell everybody who may lead.
    Close {
        node: usize,
        pick: usize,
        tell: bool,
    },
    /// An owner closes a gate, for a handoff to come, and its process dies.
    CloseAndRestart {
        pick: usize,
    },
    Split {
        pick: usize,
        at: usize,
    },
    Merge {
        pick: usize,
    },
    Restart(usize),
}

/// Some ticks during which all stays as it is.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    pub(crate) action: Action,
    pub(crate) ticks: u64,
    /// How far each clock goes in a tick; 4 is right.
    pub(crate) rates: [u64; 3],
    /// How many ticks what each member sends and gets takes.
    pub(crate) delays: [u64; 3],
    /// Who does not apply the log.
    pub(crate) stalled: [bool; 3],
    /// Who does not ask.
    pub(crate) silent: [bool; 3],
    /// Whether the leader has no quorum.
    pub(crate) cut: bool,
}

fn action() -> impl Strategy<Value = Action> {
    let (node, pick) = (0..3usize, 0..4usize);
    prop_oneof![
        4 => Just(Action::Nothing),
        3 => node.clone().prop_map(Action::Elect),
        5 => (pick.clone(), node.clone()).prop_map(|(pick, to)| Action::Promote { pick, to }),
        3 => (pick.clone(), node.clone()).prop_map(|(pick, to)| Action::Handoff { pick, to }),
        2 => (node.clone(), pick.clone(), any::<bool>())
            .prop_map(|(node, pick, tell)| Action::Close { node, pick, tell }),
        2 => pick.clone().prop_map(|pick| Action::CloseAndRestart { pick }),
        2 => (pick.clone(), node.clone()).prop_map(|(pick, at)| Action::Split { pick, at }),
        2 => pick.prop_map(|pick| Action::Merge { pick }),
        1 => node.prop_map(Action::Restart),
    ]
}

fn each<T: std::fmt::Debug + Clone>(one: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = [T; 3]> {
    [one.clone(), one.clone(), one]
}

pub(crate) fn phase() -> impl Strategy<Value = Phase> {
    let rates = prop_oneof![Just(3u64), Just(4), Just(5)];
    let delays = prop_oneof![6 => Just(0u64), 1 => Just(1), 1 => Just(4), 1 => Just(15)];
    let rarely = prop::bool::weighted(0.15);
    (action(), 1..14u64, each(rates), each(delays), each(rarely), each(rarely), rarely).prop_map(
        |(action, ticks, rates, delays, stalled, silent, cut)| Phase {
            action,
            ticks,
            rates,
            delays,
            stalled,
            silent,
            cut,
        },
    )
}
