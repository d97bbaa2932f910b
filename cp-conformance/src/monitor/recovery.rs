//! What a power loss would leave on one node's disk, recovered again and again.

use crate::checks::Broken;
use crate::disk::Disk;
use crate::life::Life;
use crate::promise::Promise;
use cp_seam::Incarnation;
use cp_store::{Inspection, Inspector, OpenError, Store};
use std::sync::Arc;

/// One recovery in so many is done in both ways, and so is each one around a restart.
const COMPARED_EVERY: u64 = 64;

/// The name under which a difference between the two ways is reported.
pub(super) const NAME: &str = "recovery compared";

/// Recovers the synced image of one disk. Of most changes it reads only what is
/// new; whether that gives what the store itself would find is compared now and then.
#[derive(Debug)]
pub(super) struct Recovery {
    slot: usize,
    incarnation: Incarnation,
    disk: Disk,
    inspector: Inspector,
    /// The synced disk as it was when it was last recovered.
    seen: Option<Disk>,
    image: Option<(u64, Arc<Inspection>)>,
    count: u64,
}

/// What came of a recovery.
#[derive(Debug)]
pub(super) enum Recovered {
    /// Nothing was synced since the last one, or what is there is another incarnation's.
    AsBefore,
    /// The disk holds this now; before, as far as it was seen, it held that.
    Now(Arc<Inspection>, Option<Arc<Inspection>>),
    /// It cannot be opened.
    Refused(OpenError),
}

impl Recovery {
    pub(super) fn of(slot: usize, incarnation: Incarnation, disk: Disk) -> Self {
        Self { slot, incarnation, disk, inspector: Inspector::default(), seen: None, image: None, count: 0 }
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What the last recovery that succeeded found.
    pub(super) fn image(&self) -> Option<&Arc<Inspection>> {
        self.image.as_ref().map(|(_, image)| image)
    }

    /// Recovers what is synced now; in both ways if `compared`.
    pub(super) fn recover(&mut self, compared: bool) -> Result<Recovered, Broken> {
        let version = self.disk.version();
        if !compared && self.image.as_ref().is_some_and(|(of, _)| *of == version) {
            return Ok(Recovered::AsBefore);
        }
        self.count += 1;
        let synced = self.disk.synced_only();
        let directory = synced.mount(Arc::new(Life::new(self.slot, 0)));
        let before = self.seen.replace(synced.clone());
        let changed_from = |name: &str| before.as_ref().map_or(Some(0), |before| synced.differs_from(before, name));
        let found = self.inspector.inspect(&*directory, changed_from);
        if found.is_err() || compared || self.count.is_multiple_of(COMPARED_EVERY) {
            let whole = Store::inspect(&*directory);
            let same = match (&found, &whole) {
                (Ok(found), Ok(whole)) => **found == *whole,
                (found, whole) => found.is_err() && whole.is_err(),
            };
            if !same {
                let slot = self.slot;
                let what = format!("n{slot}'s disk reads as {found:?} by what changed, and as {whole:?} as a whole");
                return Err(Broken::new(NAME, Promise::D4, what));
            }
        }
        match found {
            Ok(image) if image.identity.incarnation != self.incarnation => Ok(Recovered::AsBefore),
            Ok(image) => {
                let before = self.image.replace((version, Arc::clone(&image))).map(|(_, before)| before);
                Ok(Recovered::Now(image, before))
            }
            Err(error) => Ok(Recovered::Refused(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Latency;
    use cp_seam::{ClusterId, Generation, LogPosition, MemberId, StateDigest};
    use cp_store::{Configuration, Founding, Identity, Layout, SnapshotMeta, TermRuns};

    fn disk(engine: &str) -> Disk {
        let disk = Disk::new(1, engine, Latency::default());
        let identity = Identity {
            cluster: ClusterId([1; 16]),
            generation: Generation::default(),
            member: MemberId::new("n0").unwrap(),
            incarnation: Incarnation(1),
            engine: engine.to_owned(),
        };
        let meta = SnapshotMeta {
            position: LogPosition::GENESIS,
            configuration: Configuration::default(),
            configuration_at: LogPosition::GENESIS,
            terms: TermRuns::default(),
            digest: StateDigest::default(),
        };
        let (founding, layout) = (Founding { meta, chunks: Vec::new() }, Layout { segment_bytes: 0 });
        Store::create_with(&*disk.mount(Arc::new(Life::new(0, 0))), &identity, founding, layout).unwrap();
        disk
    }

    fn engine(recovered: Result<Recovered, Broken>) -> Option<String> {
        match recovered.unwrap() {
            Recovered::Now(image, _) => Some(image.identity.engine.clone()),
            Recovered::AsBefore | Recovered::Refused(_) => None,
        }
    }

    #[test]
    fn fires_when_a_change_is_not_noticed() {
        let disk_of_one = disk("one");
        let mut recovery = Recovery::of(0, Incarnation(1), disk_of_one.clone());
        assert_eq!(engine(recovery.recover(false)).as_deref(), Some("one"));
        assert_eq!(engine(recovery.recover(false)), None, "nothing was synced");
        disk_of_one.overwrite_with(&disk("two"));
        assert_eq!(engine(recovery.recover(false)).as_deref(), Some("two"));
        disk_of_one.overwrite_with(&disk("three"));
        recovery.seen = Some(disk_of_one.synced_only());
        assert_eq!(engine(recovery.recover(false)).as_deref(), Some("two"), "it believes that nothing changed");
        recovery.seen = Some(disk_of_one.synced_only());
        assert_eq!(recovery.recover(true).unwrap_err().checker, NAME);
    }
}
