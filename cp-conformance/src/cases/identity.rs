//! Who somebody is: names that come back, and disks of before.

use crate::backend::Backend;
use crate::disk::Survivors;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{Attempt, ensure};
use cp_seam::{MemberKind, PeerRefusal};

/// A member is removed, and its node runs on; another node is admitted under its name.
/// It is another incarnation: the old one is heard by nobody, counts for nothing, and
/// gets no further (CP-M3, CP-M1).
///
/// A reused node id let an old node answer for the new one (openraft#2002).
pub fn a_name_that_returns_is_another_incarnation(backend: &'static dyn Backend) -> Verdict {
    let options = Options::nodes(4);
    Scenario::new("identity::a_name_that_returns_is_another_incarnation").options(options).run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let old = world.others(&[leader]).first().copied().unwrap_or_default();
        world.remove(old).await?;
        let name = world.member(old)?;
        let new = world.join(name.as_str(), MemberKind::Data).await?;
        let (before, after) = (world.incarnation(old)?, world.incarnation(new)?);
        ensure(before != after, Promise::M3, || format!("both are {after}"))?;
        let last = world.writes(2).await?;
        world.applied(&[new], last, world.election_timeout() * 6).await?;
        world.promote(new).await?;
        let last = world.writes(3).await?;
        world.pass(world.election_timeout() * 3).await;
        let reached = world.status(old)?.applied;
        ensure(reached < last.index, Promise::M3, || format!("the old one was told up to {reached}"))?;
        let leader = world.settled_leader_among(&world.others(&[old])).await?;
        let rest = world.others(&[leader, old]);
        for slot in rest.iter().take(2) {
            world.kill(*slot, Survivors::Nothing)?;
        }
        // Two of four, and the old one.
        let lonely = world.attempt(leader, world.election_timeout() * 2).await?;
        ensure(!matches!(lonely, Attempt::Committed(_)), Promise::M3, || "the old one counted".to_owned())
    })
}

/// A member comes back on the disk that it had some boots ago. Whoever has talked to it
/// since refuses it, it counts for nothing, and admitted anew it is a member again
/// (CP-D4, CP-M3).
///
/// openraft notices a follower that went backwards by a debug assertion only, and
/// raft-rs panics over it (qdrant#1235).
pub fn a_disk_that_is_set_back_is_refused(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 3, refused_connections: 1, ..Least::default() };
    Scenario::new("identity::a_disk_that_is_set_back_is_refused").least(least).run(backend, async |world| {
        world.writes(5).await?;
        let leader = world.settled_leader().await?;
        let others = world.others(&[leader]);
        let (back, other) = (others.first().copied().unwrap_or_default(), others.last().copied().unwrap_or_default());
        world.kill(back, Survivors::Nothing)?;
        let older = world.disk(back)?.duplicate();
        for _ in 0..2 {
            world.start(back).await?;
            let last = world.writes(3).await?;
            world.applied(&[back], last, world.election_timeout() * 4).await?;
            world.kill(back, Survivors::Nothing)?;
        }
        world.set_back(back, &older)?;
        world.start(back).await?;
        world.pass(world.election_timeout() * 2).await;
        let name = world.member(back)?;
        let noticed = |(member, why): &(_, PeerRefusal)| {
            *member == name && matches!(why, PeerRefusal::Amnesia { .. } | PeerRefusal::PutBack { .. })
        };
        let refused = world.network().refusals().iter().filter(|refusal| noticed(refusal)).count();
        ensure(refused > 0, Promise::M3, || format!("{name} was set back and nobody noticed"))?;
        world.network().cut(&[other], &world.others(&[other]));
        let alone = world.attempt(leader, world.election_timeout() * 2).await?;
        ensure(!matches!(alone, Attempt::Committed(_)), Promise::M3, || "a disk of before counted".to_owned())?;
        world.network().heal();
        world.settled_leader_among(&[leader, other]).await?;
        world.replace(back).await?;
        world.promote(back).await?;
        let last = world.writes(1).await?;
        world.applied(&[back], last, world.election_timeout() * 6).await
    })
}
