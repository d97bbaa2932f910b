//! The committed log is the whole truth: applied in order to the genesis state, by
//! a machine that never crashed, restarted or took a snapshot, it gives the state
//! that every member has (CP-R1, CP-R3).

use super::Broken;
use crate::promise::Promise;
use cp_catalog::CatalogMachine;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, StateDigest};
use cp_store::Founding;
use std::collections::BTreeMap;

/// What was applied at each index, by whoever was first.
#[derive(Debug, Default)]
pub struct Replay {
    log: BTreeMap<ControlPlaneLogIndex, (LogPosition, Option<ControlPlaneEntry>)>,
}

impl Replay {
    /// The checker's name.
    pub const NAME: &str = "replay of the committed log";

    /// Somebody applied `entry`, or skipped a record that holds none, at `position`.
    pub fn applied(&mut self, position: LogPosition, entry: Option<&ControlPlaneEntry>) {
        self.log.entry(position.index).or_insert_with(|| (position, entry.cloned()));
    }

    /// Objects unless the log up to `index`, applied to `genesis`, has this digest.
    pub fn gives(&self, genesis: &Founding, index: ControlPlaneLogIndex, digest: StateDigest) -> Result<(), Broken> {
        let object = |what: String| Err(Broken::new(Self::NAME, Promise::R1, what));
        let machine = match plain(genesis) {
            Ok(machine) => machine,
            Err(why) => return object(format!("the genesis state cannot be restored: {why}")),
        };
        for (at, (position, entry)) in self.log.range(genesis.meta.position.index.next()..=index) {
            if *at != machine.applied().next() {
                return object(format!("after {} nobody was seen to apply anything before {at}", machine.applied()));
            }
            let applied = match entry {
                Some(entry) => machine.apply(*position, entry),
                None => machine.skip(*position),
            };
            if let Err(halt) = applied {
                return object(format!("replayed alone, {position} halts: {}", halt.reason));
            }
        }
        if (machine.applied(), machine.digest()) == (index, digest) {
            return Ok(());
        }
        let (at, now) = (machine.applied(), machine.digest());
        object(format!("replayed alone, the log gives digest {now} at {at}; the members have {digest} at {index}"))
    }
}

/// A machine in the state of `genesis`, which nothing has happened to.
pub(crate) fn plain(genesis: &Founding) -> Result<CatalogMachine, String> {
    let machine = CatalogMachine::vacant();
    let mut writer = machine.restore().map_err(|halt| halt.reason)?;
    for chunk in &genesis.chunks {
        writer.push(chunk.clone()).map_err(|error| error.to_string())?;
    }
    writer.finish(genesis.meta.position.index, genesis.meta.digest).map_err(|error| error.to_string())?;
    Ok(machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Workload;
    use cp_seam::Term;

    /// The genesis state of one member.
    fn genesis() -> Founding {
        use cp_catalog::{Addresses, Catalog, Features, FoundingMember, Locality};
        use cp_seam::{ClusterId, Generation, MemberId, MemberKind};
        use cp_store::{Configuration, SnapshotMeta, TermRuns};
        let member = FoundingMember {
            id: MemberId::new("n0").unwrap(),
            kind: MemberKind::Data,
            addresses: Addresses { peer: "n0:1".to_owned(), client: "n0:2".to_owned(), http: String::new() },
            locality: Locality::default(),
            features: Features::default(),
        };
        let generation = Generation { number: 0, id: [7; 8] };
        let genesis = Catalog::genesis(ClusterId([1; 16]), generation, vec![member]).unwrap().to_genesis().unwrap();
        let meta = SnapshotMeta {
            position: LogPosition::GENESIS,
            configuration: Configuration::from(genesis.quorum.clone()),
            configuration_at: LogPosition::GENESIS,
            terms: TermRuns::default(),
            digest: genesis.digest,
        };
        Founding { meta, chunks: genesis.chunks }
    }

    #[test]
    fn fires_on_another_state_and_on_a_hole() {
        let (genesis, index) = (genesis(), ControlPlaneLogIndex);
        let machine = plain(&genesis).unwrap();
        let (mut workload, mut replay, mut holed) = (Workload::new(1), Replay::default(), Replay::default());
        for at in 1..=3 {
            let entry = machine.read(|catalog| workload.next(Some(catalog))).unwrap();
            let position = LogPosition::new(Term(1), index(at));
            machine.apply(position, &entry).unwrap();
            replay.applied(position, Some(&entry));
            if at != 2 {
                holed.applied(position, Some(&entry));
            }
        }
        replay.gives(&genesis, index(3), machine.digest()).unwrap();
        for bad in [
            replay.gives(&genesis, index(2), machine.digest()),
            replay.gives(&genesis, index(3), StateDigest([9; 32])),
            replay.gives(&genesis, index(4), machine.digest()),
            holed.gives(&genesis, index(3), machine.digest()),
        ] {
            assert_eq!(bad.unwrap_err().checker, Replay::NAME);
        }
    }
}
