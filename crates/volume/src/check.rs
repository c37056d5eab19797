//! Reading every block to see whether it is still what was sealed.

use zeroize::Zeroizing;

use crate::{BLOCK_BYTES, BlockError, Disk, Engine, Lba};

/// A block that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadBlock {
    pub lba: Lba,
    pub error: BlockError,
}

/// What one step of a check has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckStep {
    /// Where the next step begins; `None` at the end.
    pub next: Option<Lba>,
    /// Mapped blocks that were read and verified, or found bad, in this step.
    pub checked: u64,
    pub bad: Vec<BadBlock>,
}

impl<D: Disk> Engine<D> {
    /// Verifies up to `blocks_max` mapped blocks from `from` on. In steps, so that a caller can
    /// let other requests in between; [`crate::Stats::blocks_mapped`] says how many there are.
    #[must_use]
    pub fn check_step(&self, from: Lba, blocks_max: u64) -> CheckStep {
        let mut step = CheckStep { next: None, checked: 0, bad: Vec::new() };
        let mut at = from;
        let mut block = Zeroizing::new([0; BLOCK_BYTES]);
        while at.0 < self.geometry.blocks {
            let Some((lba, _)) = self.map.next_mapped(at) else { return step };
            if step.checked == blocks_max {
                step.next = Some(lba);
                return step;
            }
            step.checked += 1;
            if let Err(error) = self.read_run(lba, &mut block[..]) {
                step.bad.push(BadBlock { lba, error });
            }
            at = Lba(lba.0 + 1);
        }
        step
    }

    /// Verifies every mapped block; `progress` hears of each step as (checked so far, of).
    pub fn check(&self, progress: &mut dyn FnMut(u64, u64)) -> Vec<BadBlock> {
        const STEP_BLOCKS: u64 = 1024;
        let total = self.stats().blocks_mapped;
        let mut bad = Vec::new();
        let mut checked = 0;
        let mut next = Some(Lba(0));
        while let Some(from) = next {
            let mut step = self.check_step(from, STEP_BLOCKS);
            checked += step.checked;
            bad.append(&mut step.bad);
            next = step.next;
            progress(checked, total);
        }
        bad
    }
}
