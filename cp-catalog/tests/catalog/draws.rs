//! Steps of a history: drawn as small numbers, made into commands for the state at hand.

mod members;
mod moves;
pub(crate) mod ranges;

use crate::common::*;
use crate::model::{Answer, Asker, By, CLIENTS, Model};
use cp_catalog::*;
use cp_seam::MemberId;

pub(crate) const NAMES: [&str; 8] = ["a", "b", "c", "d", "w", "e", "f", "z"];
pub(crate) const COLLECTIONS: [&str; 4] = ["books", "slots", "x", "y"];
pub(crate) const GROUPS: [&str; 2] = ["shelf", "desk"];

/// A step, drawn before the state is known: small numbers that choose among what there is.
pub(crate) type Draw = [u8; 12];

/// What is asked for, and the model's answer to it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) by: By,
    pub(crate) command: Command,
    pub(crate) answer: Answer,
}

impl Step {
    /// The request, under `id`.
    pub(crate) fn request(&self, id: RequestId, at_unix_ms: u64) -> Request {
        let request = Request::new(Some(id), self.command.clone());
        let request = match self.by.asker {
            Asker::Nobody => request,
            Asker::Client(client) => request.of(client_origin(client, at_unix_ms)),
            Asker::Member(member) => {
                request.of(Origin { principal: Principal::Member(MemberId::new(member).unwrap()), at_unix_ms })
            }
        };
        match &self.by.claim {
            None => request,
            Some((name, epoch)) => request.under(AuthorityClaim { group: group(name), epoch: Epoch(*epoch) }),
        }
    }

    /// Whoever asks has requests of its own.
    pub(crate) fn client(&self) -> ClientId {
        let place = |names: &[&str], name: &str| names.iter().position(|known| *known == name).unwrap() as u8;
        ClientId(
            [match self.by.asker {
                Asker::Nobody => 1,
                Asker::Client(client) => 10 + place(&CLIENTS, client),
                Asker::Member(member) => 20 + place(&NAMES, member),
            }; 16],
        )
    }
}

fn pick<T: Clone>(of: &[T], draw: u8) -> T {
    of[usize::from(draw) % of.len()].clone()
}

/// Mostly an operator who may do everything; a member is the one that `about` picks.
fn pick_asker(draw: u8, about: u8) -> Asker {
    match draw % 32 {
        0..=21 => Asker::Client("fay"),
        22 | 23 => Asker::Nobody,
        24..=26 => Asker::Client("ann"),
        27 => Asker::Client("eve"),
        _ => Asker::Member(pick(&NAMES, about)),
    }
}

/// Mostly none, and mostly one that holds.
fn pick_claim(model: &Model, draw: u8) -> Option<(String, u64)> {
    let group = if draw.is_multiple_of(32) { "desk" } else { "shelf" };
    let number = model.holders.get(group).map(|(_, number)| *number);
    let claims = draw.is_multiple_of(if number.is_some() { 4 } else { 64 });
    claims.then(|| (group.to_owned(), number.unwrap_or(1) + u64::from(draw.is_multiple_of(12))))
}

/// The command that `draw` makes of the present state, and the model's answer to it.
pub(crate) fn interpret(model: &mut Model, draw: Draw) -> Step {
    let [family, what, a, b, c, d, e, f, asker, claim, ..] = draw;
    let by = By { asker: pick_asker(asker, a), claim: pick_claim(model, claim) };
    let (command, answer) = match (family % 3, what % 23) {
        (0, _) => members::step(model, &by, [what, a, b, c, d, e, f]),
        (_, 0 | 11..=18) => ranges::step(model, &by, [what, a, b, c, d, e, f]),
        _ => moves::step(model, &by, [what, a, b, c, d, e, f]),
    };
    Step { by, command, answer }
}
