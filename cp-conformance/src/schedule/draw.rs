//! The drawing of a schedule.

use super::{Fault, Rot, Schedule, Sides, Step, Whom};
use crate::backend::Sign;
use crate::disk::Survivors;
use crate::monitor::Moment;
use crate::options::Options;
use crate::rng::Rng;
use std::time::Duration;

const SURVIVORS: [Survivors; 6] = [
    Survivors::Nothing,
    Survivors::Everything,
    Survivors::Prefix,
    Survivors::Subset,
    Survivors::Torn { unit_bytes: 512 },
    Survivors::Torn { unit_bytes: 16 },
];
const SIGNS: [Sign; 4] = [Sign::Grant, Sign::Candidacy, Sign::Leads, Sign::AppendAck];

type Draw = fn(&mut Rng) -> Fault;

/// A kind of fault, how often it comes, and its drawing.
struct Kind {
    weight: u64,
    /// It ends faults rather than making them: never left out of a run.
    mends: bool,
    draw: Draw,
}

const fn makes(weight: u64, draw: Draw) -> Kind {
    Kind { weight, mends: false, draw }
}

const fn mends(weight: u64, draw: Draw) -> Kind {
    Kind { weight, mends: true, draw }
}

const KINDS: &[Kind] = &[
    mends(240, |_| Fault::Revive),
    mends(60, |rng| Fault::Calm(Duration::from_millis(rng.between(500, 4_000)))),
    mends(100, |_| Fault::Heal),
    mends(40, |_| Fault::Smooth),
    mends(40, |rng| Fault::Unstall(whom(rng))),
    makes(70, |rng| Fault::Kill(whom(rng))),
    makes(20, |_| Fault::Blackout),
    makes(70, |rng| Fault::Cut(sides(rng))),
    makes(50, |rng| Fault::CutOneWay(sides(rng))),
    makes(25, |rng| Fault::CutPair(whom(rng), whom(rng))),
    makes(25, |rng| Fault::Bridge(sides(rng))),
    makes(35, |rng| Fault::Clog { sides: sides(rng), time: a_while(rng) }),
    makes(45, |rng| Fault::Pause { whom: whom(rng), time: a_while(rng) }),
    makes(15, |rng| Fault::Jump(Duration::from_millis(rng.between(10, 2_000)))),
    makes(20, |rng| Fault::Slow(whom(rng))),
    makes(15, |rng| Fault::FailRead(whom(rng))),
    makes(40, |rng| Fault::CutSync { whom: whom(rng), skip: byte(rng, 4), moment: moment(rng, 500) }),
    makes(25, |rng| Fault::Rot { whom: whom(rng), rot: rot(rng) }),
    makes(30, |_| Fault::Rough),
    makes(50, |rng| Fault::Stall(whom(rng))),
    makes(30, |rng| Fault::FailWrite(whom(rng))),
    makes(40, |rng| Fault::FailSync { whom: whom(rng), drop_dirty: rng.per_mille(500) }),
    makes(50, |rng| Fault::CutWrite { whom: whom(rng), after: byte(rng, 12) }),
    makes(30, |rng| Fault::Transfer { from: whom(rng), to: whom(rng) }),
    makes(110, aim),
];

fn byte(rng: &mut Rng, bound: u64) -> u8 {
    u8::try_from(rng.below(bound)).unwrap_or(u8::MAX)
}

/// From a hiccup to well beyond an election.
fn a_while(rng: &mut Rng) -> Duration {
    let longest_ms = rng.pick(&[100, 600, 2_000]).copied().unwrap_or(600);
    Duration::from_millis(rng.between(20, longest_ms))
}

fn moment(rng: &mut Rng, after: u32) -> Moment {
    if rng.per_mille(after) { Moment::After } else { Moment::Before }
}

fn rot(rng: &mut Rng) -> Rot {
    match rng.below(4) {
        0 => Rot::Cut,
        1 => Rot::Gone,
        _ => Rot::Flipped(byte(rng, 40).saturating_add(1)),
    }
}

/// Divisible by every number of members there can be, so that the choice is even.
fn whom(rng: &mut Rng) -> Whom {
    Whom(byte(rng, 210))
}

fn sides(rng: &mut Rng) -> Sides {
    let with = (0..8).fold(0, |bits, _| bits << 1 | u8::from(rng.per_mille(300)));
    Sides { lone: whom(rng), with }
}

fn aim(rng: &mut Rng) -> Fault {
    let sign = rng.pick(&SIGNS).copied().unwrap_or(Sign::Grant);
    let moment = moment(rng, 700);
    let at_leader = matches!(sign, Sign::Grant | Sign::Candidacy) && rng.per_mille(600);
    Fault::Aim { sign, moment, skip: byte(rng, 3), at_leader }
}

impl Schedule {
    /// The schedule of `seed` under `options`.
    ///
    /// In a swarm each run leaves some kinds of fault out and has more of others, so
    /// that faults which hide each other come alone too (Groce et al., Swarm Testing, ISSTA 2012).
    pub fn draw(seed: u64, options: &Options) -> Self {
        let mut rng = Rng::new(seed, "schedule");
        let longest_ms = rng
            .pick(if options.swarm { &[150, 500, 1_200, 2_500] } else { &[150, 300, 500, 500] })
            .copied()
            .unwrap_or(500);
        let mut weights: Vec<(u64, Draw)> = Vec::with_capacity(KINDS.len() + 1);
        for kind in KINDS {
            let times = match rng.below(10) {
                _ if !options.swarm => 1,
                0..3 if !kind.mends => 0,
                0..8 => 1,
                _ => 3,
            };
            weights.push((kind.weight * times, kind.draw));
        }
        if options.churn {
            weights.push((220, |_| Fault::Churn));
        }
        if options.leases.is_some() {
            // Longer than a lease, so that whoever wakes up has none any more.
            weights.push((120, |rng| Fault::Pause {
                whom: whom(rng),
                time: Duration::from_millis(rng.between(400, 4_000)),
            }));
        }
        let sum: u64 = weights.iter().map(|(weight, _)| weight).sum();
        let (mut steps, mut spent) = (Vec::new(), Duration::ZERO);
        while spent < options.storm {
            let after = Duration::from_millis(rng.between(20, longest_ms));
            let mut at = rng.below(sum);
            let drawn = weights.iter().find(|(weight, _)| match at.checked_sub(*weight) {
                Some(rest) => {
                    at = rest;
                    false
                }
                None => true,
            });
            let fault = drawn.map_or(Fault::Revive, |(_, draw)| draw(&mut rng));
            let survivors = rng.pick(&SURVIVORS).copied().unwrap_or(Survivors::Nothing);
            spent += after;
            if let Fault::Calm(time) = fault {
                spent += time;
            }
            steps.push(Step { after, fault, survivors, chance: rng.bits() });
        }
        Self { steps }
    }
}
