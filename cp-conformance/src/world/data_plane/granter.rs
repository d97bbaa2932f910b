//! The leader's side of a process: it grants while its node leads.

use super::host::Host;
use super::{Ask, DataPlane, Word};
use cp_catalog::{Catalog, MemberLife};
use cp_lease::{Coverage, Grants, Monotonic, Renewal};
#[cfg(planted_bugs)]
use cp_seam::planted::{Bug, active};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneRole, Term};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// How many asks one read barrier serves.
const BATCH_MAX: usize = 64;

struct Granter {
    plane: DataPlane,
    host: Arc<Host>,
    /// The book of the term in which the node leads.
    book: Option<(Term, Grants)>,
}

/// Begins a book when the node comes to lead, and answers what is asked, in batches: one
/// read barrier each.
pub(super) async fn run(plane: DataPlane, host: Arc<Host>, mut asks: UnboundedReceiver<Ask>) {
    let (life, mut watch) = (Arc::clone(&host.life), host.node.watch());
    let mut granter = Granter { plane, host, book: None };
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = life.finished() => return,
            changed = watch.changed() => {
                let is_news = granter.leads().is_some_and(|term| granter.book.as_ref().is_none_or(|(of, _)| *of != term));
                if changed.is_err() {
                    return;
                }
                if !is_news {
                    continue;
                }
            }
            count = asks.recv_many(&mut batch, BATCH_MAX) => if count == 0 {
                return;
            },
        }
        granter.answers(std::mem::take(&mut batch)).await;
    }
}

impl Granter {
    fn leads(&self) -> Option<Term> {
        let node = &self.host.node;
        (node.role() == ControlPlaneRole::Leader).then(|| node.term())
    }

    async fn answers(&mut self, batch: Vec<Ask>) {
        let Some((term, led_at)) = self.confirmed().await else {
            // One that leads on, unconfirmed for a while, goes on with its book.
            self.book = self.book.take().filter(|(term, _)| self.leads() == Some(*term));
            return;
        };
        if !self.host.life.goes_on() {
            return;
        }
        self.follows(term);
        for ask in batch {
            match ask {
                Ask::Closed(range, gate) => {
                    if let Some((_, book)) = &mut self.book {
                        book.closed(&range, gate);
                    }
                }
                Ask::Renew { slot, life, number, member } => {
                    if let Some(renewal) = self.grants(&member, led_at) {
                        let plane = self.plane.clone();
                        let deliver =
                            move || plane.tell(slot, Word::Renewed { life, number, renewal: renewal.clone() });
                        self.plane.0.network.carry(self.host.slot(), slot, deliver);
                    }
                }
            }
        }
    }

    /// In which term the node led, and at which moment at least.
    async fn confirmed(&self) -> Option<(Term, Monotonic)> {
        let term = self.leads()?;
        let led_at = self.host.clock.now();
        #[cfg(planted_bugs)]
        if self.book.is_some() && active(Bug::GrantWithoutBarrier) {
            return Some((term, led_at));
        }
        let barrier = self.host.node.read_barrier().await;
        if let Err(why) = &barrier {
            self.plane.0.trace.node(self.host.slot(), format_args!("grants nothing: {why}"));
            self.plane.0.monitor.answers(false);
        }
        // Confirmed in a later term, it says nothing of this one.
        (barrier.is_ok() && self.leads() == Some(term)).then_some((term, led_at))
    }

    /// The book of `term` follows what the node has applied, or is begun.
    fn follows(&mut self, term: Term) {
        let state = &self.host.state;
        let (at, catalog): (ControlPlaneLogIndex, Catalog) = state.read_at(|at, catalog| (at, catalog.clone()));
        if let Some((of, book)) = &mut self.book
            && *of == term
            && book.follow(at, catalog.clone(), &state.changes_from(book.next(), usize::MAX)).is_ok()
        {
            return;
        }
        self.plane.0.trace.node(self.host.slot(), format_args!("begins to grant in {term}, as of {at}"));
        let now = self.host.clock.now();
        self.book = Some((term, Grants::begin(term, at, catalog, self.plane.0.policy, now)));
    }

    fn grants(&mut self, member: &MemberLife, led_at: Monotonic) -> Option<Renewal> {
        let (_, book) = self.book.as_mut()?;
        match book.grant(member, led_at, self.host.clock.now()) {
            Ok(renewal) => {
                self.plane.0.monitor.answers(true);
                let (of, withheld) = match &renewal.coverage {
                    Coverage::Owned { withheld } => ("all but", withheld.len()),
                    Coverage::InEffect { released } => ("what is in effect and", released.len()),
                };
                let line = format_args!("renews {}: {of} {withheld}, as of {}", member.id, renewal.as_of);
                self.plane.0.trace.note_again(self.host.slot(), &line);
                Some(renewal)
            }
            Err(refusal) => {
                self.plane.0.trace.note_again(self.host.slot(), &format_args!("renews nothing: {refusal}"));
                None
            }
        }
    }
}
