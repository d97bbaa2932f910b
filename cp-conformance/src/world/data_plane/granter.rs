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
    book: Option<Grants>,
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
                let is_news = granter.leads().is_some_and(|term| !granter.has_book_of(term));
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
            self.book = self.book.take().filter(|book| self.leads() == Some(book.term()));
            return;
        };
        if !self.host.life.goes_on() {
            return;
        }
        self.follows(term);
        for ask in batch {
            match ask {
                Ask::Closed(member, gate) => {
                    if let Some(book) = &mut self.book {
                        book.closed(&member, &gate);
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

    fn has_book_of(&self, term: Term) -> bool {
        self.book.as_ref().is_some_and(|book| book.term() == term)
    }

    /// In which term the node led, and at which moment at least.
    async fn confirmed(&self) -> Option<(Term, Monotonic)> {
        let (believed, led_at) = (self.leads()?, self.host.clock.now());
        #[cfg(planted_bugs)]
        if self.has_book_of(believed) && active(Bug::GrantWithoutBarrier) {
            return Some((believed, led_at));
        }
        match self.host.node.read_barrier().await {
            Ok(point) => Some((point.term, led_at)),
            Err(why) => {
                let line = format_args!("believes to lead in {believed} and grants nothing: {why}");
                self.plane.0.trace.node(self.host.slot(), line);
                self.plane.0.monitor.answers(false);
                None
            }
        }
    }

    /// The book of `term` follows what the node has applied, or is begun.
    fn follows(&mut self, term: Term) {
        let state = &self.host.state;
        let (at, catalog): (ControlPlaneLogIndex, Catalog) = state.read_at(|at, catalog| (at, catalog.clone()));
        if let Some(book) = &mut self.book
            && book.term() == term
            && book.follow(at, catalog.clone(), &state.changes_from(book.next(), usize::MAX)).is_ok()
        {
            return;
        }
        self.plane.0.trace.node(self.host.slot(), format_args!("begins to grant in {term}, as of {at}"));
        let now = self.host.clock.now();
        self.book = Some(Grants::begin(term, at, catalog, self.host.policy, now));
    }

    fn grants(&mut self, member: &MemberLife, led_at: Monotonic) -> Option<Renewal> {
        let book = self.book.as_mut()?;
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
