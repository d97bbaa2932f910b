//! Disks that change by themselves.

use super::{Disk, State};
use crate::sync::locked;
use std::io;

impl Disk {
    /// Loses a file; `false` if there is none of this name.
    pub fn lose(&self, name: &str) -> bool {
        let mut state = locked(&self.state);
        state.live.remove(name);
        let lost = state.synced.remove(name).is_some();
        state.syncs += 1;
        state.effects.failed_operations += u64::from(lost);
        state.effects.missing_files += u64::from(lost);
        state.broke_its_word |= lost;
        lost
    }

    /// Flips one bit of what is on the disk, where something is, and says where.
    pub fn flip_a_bit(&self) -> Option<String> {
        let mut state = locked(&self.state);
        let State { contents, rng, effects, syncs, synced, .. } = &mut *state;
        let pages: u64 = contents.values().map(|c| c.synced.filled_pages()).sum();
        let mut at = rng.below(pages);
        let mut flipped = None;
        for (inode, content) in contents.iter_mut() {
            let here = content.synced.filled_pages();
            if at < here {
                let offset = content.synced.flip_a_bit(at, rng);
                content.live.clone_from(&content.synced);
                let name = synced.iter().find(|(_, of)| *of == inode).map(|(name, _)| name.clone()).unwrap_or_default();
                flipped = Some(format!("{name} at {offset}"));
                break;
            }
            at -= here;
        }
        *syncs += 1;
        effects.flipped_bits += u64::from(flipped.is_some());
        flipped
    }

    /// Flips so many bits anywhere but in what each file was told to sync last: when all
    /// copies of that are damaged, it is what a torn write looks like, and nobody can tell.
    pub fn flip_bits_before_the_last_write(&self, count: usize) -> io::Result<Vec<String>> {
        let flipped = (0..count).filter_map(|_| self.flip_a_bit()).collect();
        let mut state = locked(&self.state);
        for content in state.contents.values_mut() {
            for mutation in &content.latest {
                mutation.apply(&mut content.synced)?;
            }
            content.live.clone_from(&content.synced);
        }
        Ok(flipped)
    }

    /// Cuts a file of a node that does not run short, at some byte of it.
    pub fn truncate(&self, name: &str) -> io::Result<u64> {
        let mut state = locked(&self.state);
        let State { contents, rng, effects, syncs, synced, broke_its_word, .. } = &mut *state;
        let content = synced.get(name).and_then(|inode| contents.get_mut(inode)).ok_or(io::ErrorKind::NotFound)?;
        let at = rng.below(content.synced.len());
        content.synced.set_len(at)?;
        content.live.clone_from(&content.synced);
        (effects.truncated_files, *syncs, *broke_its_word) = (effects.truncated_files + 1, *syncs + 1, true);
        Ok(at)
    }

    /// Whether the disk broke its word: what was synced is not what is there. No node
    /// can keep promises on such a disk; it can only notice.
    pub fn broke_its_word(&self) -> bool {
        locked(&self.state).broke_its_word
    }
}
