//! A disk that rots while its node is down, and what a start would make of it.

use super::{World, scenario};
use crate::checks::{Broken, damage};
use crate::disk::{Faults, Survivors};
use crate::promise::Promise;
use crate::schedule::Rot;

impl World {
    /// Takes the node in `slot` down, damages its disk, and demands that the directory is
    /// refused or holds all that it held (CP-D4). Then the disk is as it was: what its
    /// peers owe to a member that has lost its disk, other faults show.
    pub(super) fn rot(&mut self, slot: usize, rot: Rot) -> Result<(), Broken> {
        if self.up(slot).is_err() {
            return Ok(());
        }
        self.kill(slot, Survivors::Nothing)?;
        let disk = self.disk(slot)?;
        disk.with_faults(|faults| *faults = Faults::default());
        let whole = disk.duplicate();
        let before = disk
            .inspect()
            .map_err(|error| Broken::new("restart", Promise::D4, format!("n{slot} does not open: {error}")))?;
        let file = self.rng.pick(&disk.files()).cloned().unwrap_or_default();
        match rot {
            Rot::Flipped(bits) => {
                disk.flip_bits_before_the_last_write(bits.into()).map_err(|error| scenario(error.to_string()))?;
            }
            Rot::Cut => {
                disk.truncate(&file).map_err(|error| scenario(error.to_string()))?;
            }
            Rot::Gone => {
                disk.lose(&file);
            }
        }
        let after = disk.inspect();
        let noticed = after.is_err();
        self.trace.node(slot, format_args!("has a disk that rots, {rot:?}, {file}: noticed {noticed}"));
        damage::told(&format!("n{slot}, {rot:?} {file},"), &before, after.as_ref().ok())?;
        disk.overwrite_with(&whole);
        Ok(())
    }
}
