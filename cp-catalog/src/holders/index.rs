//! Numbers by name: a table that is searched from where a name's hash points.

use super::Names;
use crate::hash::NameHasher;
use cp_seam::MemberId;
use std::hash::Hasher;

/// The number of each name that has one. The names themselves are kept by whoever asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// A power of two of them, at least half of them free; or none at all.
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The upper half of the name's hash: others' names are hardly ever read.
    tag: u32,
    number: u32,
}

const FREE: Slot = Slot { tag: 0, number: u32::MAX };

impl Index {
    /// Of all the names that there are.
    pub(super) fn of(names: &Names) -> Self {
        let mut index = Self::default();
        index.fill(names);
        index
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn find<'a>(&self, name: &str, names: &'a Names) -> Option<(&'a MemberId, u32)> {
        let hash = hash(name);
        // It ends at a free slot at the latest, and there is one.
        self.places(hash)
            .map_while(|at| self.slots.get(at).filter(|slot| slot.number != FREE.number))
            .filter(|slot| slot.tag == tag(hash))
            .find_map(|slot| {
                let own = names.get(slot.number as usize)?.as_ref()?;
                (own.as_str() == name).then_some((own, slot.number))
            })
    }

    /// Takes in the name of `number`, which is not in yet.
    pub(super) fn insert(&mut self, number: u32, names: &Names) {
        if (self.len + 1) * 2 > self.slots.len() {
            self.fill(names);
        } else if let Some(Some(name)) = names.get(number as usize) {
            self.put(name, number);
        }
    }

    /// Makes room for all names and as many again, and takes them in.
    fn fill(&mut self, names: &Names) {
        (self.slots, self.len) = (vec![FREE; (names.len() + 1).next_power_of_two() * 2], 0);
        let named = (0..).zip(names).filter_map(|(number, name)| Some((name.as_ref()?, number)));
        named.for_each(|(name, number)| self.put(name, number));
    }

    fn put(&mut self, name: &MemberId, number: u32) {
        let hash = hash(name.as_str());
        let free = |at: &usize| self.slots.get(*at).is_some_and(|slot| slot.number == FREE.number);
        if let Some(at) = self.places(hash).find(free)
            && let Some(slot) = self.slots.get_mut(at)
        {
            *slot = Slot { tag: tag(hash), number };
            self.len += 1;
        }
    }

    /// Every slot, from the one that `hash` points to.
    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.slots.len();
        let (begin, last) = (hash as usize, count.wrapping_sub(1));
        (0..count).map(move |step| begin.wrapping_add(step) & last)
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = NameHasher::default();
    hasher.write(name.as_bytes());
    hasher.finish()
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}
