//! Blocks and trims that were accepted and are not in a group yet.

use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::format::footer::Trim;
use crate::{BLOCK_BYTES, GROUP_BLOCKS_MAX, Lba, TRIMS_PER_GROUP_MAX};

/// The content of the next group: plaintext, in the order of its slots, sealed in place later.
/// Trims come before blocks, so a block written after its trim stays and one trimmed after its
/// write is taken out again.
pub(crate) struct Pending {
    /// Wiped when dropped; empty, or with a capacity that covers the largest group with its footer,
    /// so that no reallocation leaves a copy behind.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) lbas: Vec<Lba>,
    pub(crate) trims: Vec<Trim>,
    slots: HashMap<Lba, usize>,
}

impl Pending {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Zeroizing::default(),
            lbas: Vec::new(),
            trims: Vec::new(),
            slots: HashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lbas.is_empty() && self.trims.is_empty()
    }

    pub(crate) fn blocks(&self) -> u32 {
        u32::try_from(self.lbas.len()).expect("at most one group")
    }

    pub(crate) fn trim_count(&self) -> u32 {
        u32::try_from(self.trims.len()).expect("at most one group")
    }

    pub(crate) fn get(&self, lba: Lba) -> Option<&[u8]> {
        let slot = *self.slots.get(&lba)?;
        Some(&self.bytes[slot * BLOCK_BYTES..][..BLOCK_BYTES])
    }

    /// Where the block's new content goes. The caller has made room.
    pub(crate) fn put(&mut self, lba: Lba) -> &mut [u8] {
        if self.bytes.capacity() == 0 {
            self.bytes = new_buffer();
        }
        let slot = *self.slots.entry(lba).or_insert_with(|| {
            assert!(self.lbas.len() < GROUP_BLOCKS_MAX as usize, "the caller commits a full group");
            self.lbas.push(lba);
            self.bytes.resize(self.lbas.len() * BLOCK_BYTES, 0);
            self.lbas.len() - 1
        });
        &mut self.bytes[slot * BLOCK_BYTES..][..BLOCK_BYTES]
    }

    pub(crate) fn holds(&self, lba: Lba) -> bool {
        self.slots.contains_key(&lba)
    }

    /// Takes a block out: the last one fills its place.
    pub(crate) fn discard(&mut self, lba: Lba) {
        let Some(slot) = self.slots.remove(&lba) else { return };
        let last = self.lbas.len() - 1;
        if slot != last {
            self.bytes.copy_within(last * BLOCK_BYTES.., slot * BLOCK_BYTES);
            self.slots.insert(self.lbas[last], slot);
        }
        self.lbas.swap_remove(slot);
        self.bytes.truncate(last * BLOCK_BYTES);
    }

    pub(crate) fn is_full_of_trims(&self) -> bool {
        self.trims.len() >= TRIMS_PER_GROUP_MAX as usize
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lbas.clear();
        self.trims.clear();
        self.slots.clear();
    }
}

pub(crate) fn new_buffer() -> Zeroizing<Vec<u8>> {
    let footer = crate::format::footer::slots(GROUP_BLOCKS_MAX, TRIMS_PER_GROUP_MAX);
    Zeroizing::new(Vec::with_capacity((GROUP_BLOCKS_MAX + footer) as usize * BLOCK_BYTES))
}
