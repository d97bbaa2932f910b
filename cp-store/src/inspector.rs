//! Reading one image again and again, as a simulator does after every write.

use crate::backend::Directory;
use crate::error::OpenError;
use crate::file_set::{Home, on_disk};
use crate::open::inspect;
use crate::recover::{open_segments, replay_group};
use crate::state::{Change, State};
use crate::store::Inspection;
use crate::wal::End;
use crate::{base, identity, wal, wire};
use std::sync::Arc;

/// Answers as [`Store::inspect`](crate::Store::inspect) does, and reads only what
/// is new: while nothing but the end of the current write-ahead segment changes,
/// that is the frames that have come. Anything else is inspected from the start.
///
/// It relies on being told every change; an inspection from the start does not,
/// so whoever uses this should compare the two now and then.
#[derive(Debug, Default)]
pub struct Inspector {
    known: Option<Known>,
}

/// What the last inspection found.
#[derive(Debug)]
struct Known {
    base: wire::State,
    state: State,
    end: End,
    home: Home,
    image: Arc<Inspection>,
}

impl Inspector {
    /// What `dir` holds. `changed_from` says where a file may first differ from
    /// what it was at the last call; `None` if nowhere. Blocks.
    pub fn inspect(
        &mut self,
        dir: &dyn Directory,
        changed_from: impl Fn(&str) -> Option<u64>,
    ) -> Result<Arc<Inspection>, OpenError> {
        let resumed = match self.known.take() {
            Some(known) if known.still_holds(changed_from) => known.resume(dir)?,
            _ => None,
        };
        let known = match resumed {
            Some(known) => known,
            None => Known::from_the_start(dir)?,
        };
        let image = Arc::clone(&known.image);
        self.known = Some(known);
        Ok(image)
    }
}

impl Known {
    fn from_the_start(dir: &dyn Directory) -> Result<Self, OpenError> {
        let (image, recovered, home) = inspect(dir)?;
        Ok(Self { home, base: recovered.base, state: recovered.state, end: recovered.end, image: Arc::new(image) })
    }

    fn still_holds(&self, changed_from: impl Fn(&str) -> Option<u64>) -> bool {
        let identity_same = changed_from(identity::NAME).is_none();
        let changed_from = |name: &str| changed_from(&on_disk(self.home.set, name));
        let same = |name: &str| changed_from(name).is_none();
        let (current, other) = (wal::name(self.end.lap()), wal::name(self.end.lap() + 1));
        identity_same
            && same(base::NAME)
            && same(&self.state.snapshot.file)
            && same(other)
            && changed_from(current).is_none_or(|from| from >= self.end.offset())
    }

    /// Reads on; `None` if what it reads leads out of the segment.
    fn resume(self, dir: &dyn Directory) -> Result<Option<Self>, OpenError> {
        let Self { base, mut state, end, home, mut image } = self;
        let mut news = Vec::new();
        let segments = open_segments(dir, &home)?;
        let end = wal::replay(&segments, &image.identity, &base, Some(end), |end, payload| {
            replay_group(&mut state, end.last_seq(), payload, |_, change, _| news.push(change))
        })
        .map_err(|(name, fault)| fault.opening(name))?;
        if news.iter().any(|change| change.snapshot.is_some()) {
            return Ok(None);
        }
        if !news.is_empty() {
            let image = Arc::make_mut(&mut image);
            (image.vote, image.committed) = (state.vote, state.committed);
            news.into_iter().for_each(|change| append(image, change));
            image.log.retain(|record| record.position.index > state.purged.index);
        }
        Ok(Some(Self { base, state, end, home, image }))
    }
}

fn append(image: &mut Inspection, change: Change) {
    if let Some(from) = change.truncate_from {
        let kept = image.log.partition_point(|record| record.position.index < from);
        image.log.truncate(kept);
    }
    image.log.extend(change.append);
}
