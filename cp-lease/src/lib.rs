//! Leases: how the owner of a range knows by itself that it may still write, and
//! how the leader knows when another may.
//!
//! The control plane says who owns a range under which epoch (CP-S5), through its
//! log. A user write waits for none of that (CP-S4): the owner asks its own
//! [`RangeGate`], which holds a lease that the leader grants in memory and renews
//! every so often. When ownership moves, the new owner's gate opens once the old
//! owner's lease and a margin have passed, or once its gate was closed.
//!
//! | want | go to |
//! |---|---|
//! | admit or refuse a write | [`Holder::admit`], [`RangeGate::admit`], [`GateRefusal`] |
//! | give a range up | [`Holder::close`] |
//! | renew what a member owns | [`Grants::grant`] at the leader, [`Holder::renew`] at the member |
//! | know whether a new owner may write | [`Grants::may_take_effect`] |
//!
//! `cp_supervisor::leases` puts a clock, the client API and a disk around it. Pure: no clock, no I/O. The caller passes time in as [`Monotonic`], read from its
//! own clock, and keeps in [`Policy`] how far a clock may be off.
//!
//! # The write path of an embedder
//!
//! ```
//! use cp_catalog::{CatalogMachine, CollectionName, RangeId, RangeKey};
//! use cp_lease::{GateRefusal, Grants, Holder, Margin, Monotonic, Policy};
//! # use cp_catalog::*;
//! # use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, MemberId, MemberKind, Term};
//! use std::time::Duration;
//!
//! # fn founded() -> Result<CatalogMachine, Box<dyn std::error::Error>> {
//! #     let founding = vec![FoundingMember {
//! #         id: MemberId::new("a")?,
//! #         kind: MemberKind::Data,
//! #         addresses: Addresses { peer: "a:1".into(), client: "a:2".into(), http: String::new() },
//! #         locality: Locality { domain: None, weight: 1 },
//! #         features: Features::default(),
//! #     }];
//! #     let catalog = Catalog::genesis(ClusterId([7; 16]), Generation::default(), founding)?;
//! #     let mut catalog = catalog.with_longest_lease(LongestLease::new(Duration::from_secs(3))?);
//! #     let (collection, mode) = (CollectionName::new("books")?, Mode::Ordered);
//! #     let made = OwnershipCommand::CreateCollection { collection: collection.clone(), group: GroupName::new("g")?, mode };
//! #     let range = OwnershipCommand::CreateRange(NewRange {
//! #         range: RangeKey::new(collection, RangeId(1)),
//! #         mode,
//! #         bounds: Bounds::ALL,
//! #         owner: MemberId::new("a")?,
//! #         replicas: Copies::default(),
//! #         archives: Copies::default(),
//! #         placement: Placement::default(),
//! #     });
//! #     for (index, command) in (1..).zip([made, range]) {
//! #         assert!(catalog.apply(ControlPlaneLogIndex(index), &Request::new(None, command).to_entry()?).verdict.is_done());
//! #     }
//! #     Ok(CatalogMachine::new(catalog, ControlPlaneLogIndex(2)))
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The longest lease is the cluster's: 3 s here, fixed when it was founded. Clocks have rates
//! // that are wrong by at most 200 ppm.
//! let length = Duration::from_secs(3);
//! let policy = Policy::new(length, Margin::for_drift(length, 200))?;
//! let clock = |seconds: u64| Monotonic::from_nanos(seconds * 1_000_000_000);
//!
//! // At the leader, once it is elected and a read barrier has succeeded.
//! let leader: CatalogMachine = founded()?;
//! let (at, catalog) = leader.read_at(|at, catalog| (at, catalog.clone()));
//! let mut grants = Grants::begin(Term(1), at, catalog, policy, clock(100));
//!
//! // At the data member "a", which applies the same log.
//! let member: CatalogMachine = founded()?;
//! let (at, catalog) = member.read_at(|at, catalog| (at, catalog.clone()));
//! let life = catalog.member(&"a".parse()?).ok_or("not a member")?.life();
//! let mut holder = Holder::new(life.clone(), policy.margin(), at, &catalog, []);
//!
//! // Once per second or so the member asks, and remembers when it did. The leader makes a
//! // read barrier for all who ask, and answers. Both follow the catalog first.
//! let sent_at = clock(7);
//! grants.follow(at, catalog, &leader.changes_from(grants.next(), usize::MAX))?;
//! let led_at = clock(104);
//! let renewal = grants.grant(&life, led_at, clock(104))?;
//! holder.follow(&member.changes_from(holder.next(), usize::MAX))?;
//! holder.renew(&renewal, sent_at)?;
//!
//! // A write: where it gets its place in the range's log, and again before it is acknowledged.
//! let range = RangeKey::new(CollectionName::new("books")?, RangeId(1));
//! let routed = member.read(|catalog| catalog.locate(&range.collection, b"moby-dick").map(Range::standing));
//! let standing = routed.ok_or("no such range")?;
//! holder.admit(&range, standing.epoch, clock(9))?;
//!
//! // Without another renewal the member fences itself, and says so.
//! let refusal = holder.admit(&range, standing.epoch, clock(10));
//! assert_eq!(refusal, Err(GateRefusal::Expired { range, member: life.id, standing }));
//! # Ok(())
//! # }
//! ```

mod follow;
mod gate;
mod grants;
mod holder;
mod instant;
mod lease;
#[cfg(planted_bugs)]
mod planted;
mod wait;

pub use follow::FollowError;
pub use gate::{GateRefusal, NeverInEffect, RangeGate};
pub use grants::{GrantRefusal, Grants};
pub use holder::{Holder, RenewError};
pub use instant::{BadPolicy, Margin, Monotonic, Policy};
pub use lease::{Coverage, Lease, Renewal};
pub use wait::{Awaiting, Withheld};
