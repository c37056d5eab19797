//! Units, limits, and what follows from a volume's size.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is addressed, sealed and written as one.
pub const BLOCK_BYTES: usize = 4096;
/// The index lives in memory, at 48 bytes per mapped block: 12 MiB for each GiB that is mapped.
/// Beyond this a volume would take more than 768 MiB of memory, so it is refused.
pub const VOLUME_BYTES_MAX: ByteLen = ByteLen(64 << 30);
/// Below this, headers and footers take more of a segment than the 10% that a volume may cost.
pub const SEGMENT_BYTES_MIN: u32 = 256 << 10;
/// Recovery reads a segment as a whole.
pub const SEGMENT_BYTES_MAX: u32 = 64 << 20;
pub const SEGMENT_BYTES_DEFAULT: u32 = 4 << 20;
/// So many that their entries and the footer's own fields fill two blocks.
pub const GROUP_BLOCKS_MAX: u32 = 248;
pub const TRIMS_PER_GROUP_MAX: u32 = 256;
/// What a small volume takes beyond 1.1 times its size, in segments: the reserve and the head.
pub(crate) const SEGMENTS_EXTRA: u32 = 12;
/// Segments of the reserve beside those that a checkpoint needs: one for the writes that were
/// already accepted, one for trims, one for what compaction moves, one for an attach.
pub(crate) const RESERVE_EXTRA: u32 = 4;
/// Entries of the map in one page.
pub(crate) const PAGE_ENTRIES: u32 = 85;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize,
            Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// The address of a block in the volume.
    Lba(u64)
);
number!(
    /// A length in bytes.
    ByteLen(u64)
);
number!(
    /// Counts the volume's data keys.
    Epoch(u32)
);
number!(
    /// Names a segment. Given out once, never again: a freed segment's number stays unused.
    SegmentNo(u32)
);
number!(
    /// The place of a 4 KiB unit in its segment; slot 0 is the segment's header.
    Slot(u32)
);
number!(
    /// Counts the block writes of a volume: each write's is higher than that of any earlier write
    /// of the same block. Zero is no write. Compaction keeps it.
    Generation(u64)
);
number!(
    /// Counts the commit groups of a volume, from 1.
    Sequence(u64)
);
number!(
    /// Counts the attaches of a volume; of two successors of one group the higher attach's counts.
    AttachNo(u64)
);

/// What a volume is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    pub volume: crypto::Id,
    pub epoch: Epoch,
    pub size: ByteLen,
    pub segment_bytes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParamsError {
    #[error("a volume of {size} bytes: give a multiple of {BLOCK_BYTES}, at least one block")]
    SizeNotInBlocks { size: ByteLen },
    #[error("a volume of {size} bytes: at most {VOLUME_BYTES_MAX} fit this version's index")]
    SizeAboveLimit { size: ByteLen },
    #[error(
        "segments of {segment_bytes} bytes: give a multiple of {BLOCK_BYTES} \
         from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"
    )]
    SegmentBytes { segment_bytes: u32 },
}

/// What follows from a volume's size: how many blocks, pages and segments, and what is held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    pub size: ByteLen,
    pub segment_bytes: u32,
    pub blocks: u64,
    /// Slots of a segment, its header's included.
    pub(crate) slots: u32,
    /// Segments that the volume may occupy at most, spares included.
    pub segments_max: u32,
    /// Segments that are created ahead and that only flushing, trimming and compacting may use.
    pub reserve: u32,
    /// Segments begun since the last checkpoint after which the next one is due.
    pub(crate) checkpoint_every: u32,
}

impl Params {
    /// # Errors
    /// [`ParamsError`] names the value that is outside its limits.
    pub fn geometry(&self) -> Result<Geometry, ParamsError> {
        let block = BLOCK_BYTES as u64;
        let size = self.size;
        if size.0 == 0 || !size.0.is_multiple_of(block) {
            return Err(ParamsError::SizeNotInBlocks { size });
        }
        if size > VOLUME_BYTES_MAX {
            return Err(ParamsError::SizeAboveLimit { size });
        }
        let segment_bytes = self.segment_bytes;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes)
            || !u64::from(segment_bytes).is_multiple_of(block)
        {
            return Err(ParamsError::SegmentBytes { segment_bytes });
        }
        let blocks = size.0 / block;
        let slots = u32::try_from(u64::from(segment_bytes) / block).expect("at most 64 MiB");
        let pages = blocks.div_ceil(u64::from(PAGE_ENTRIES));
        let narrow = |segments: u64| u32::try_from(segments).expect("64 GiB in 256 KiB pieces");
        // A checkpoint's groups are dense; one more segment because it may begin anywhere in one.
        let checkpoint_segments = narrow(pages.div_ceil(u64::from(dense_blocks(slots))));
        let segments_max =
            narrow((size.0 + size.0.div_ceil(10)).div_ceil(u64::from(segment_bytes)))
                + SEGMENTS_EXTRA;
        Ok(Geometry {
            size,
            segment_bytes,
            blocks,
            slots,
            segments_max,
            reserve: checkpoint_segments + RESERVE_EXTRA,
            checkpoint_every: (segments_max / 8).max(4),
        })
    }
}

/// Blocks that a segment of `slots` slots holds when its groups are as large as can be.
pub(crate) fn dense_blocks(slots: u32) -> u32 {
    let mut room = slots - 1;
    let mut blocks = 0;
    loop {
        let group = group_blocks_fitting(room, 0);
        if group == 0 {
            return blocks;
        }
        blocks += group;
        room -= group + crate::format::footer::slots(group, 0);
    }
}

/// The largest group, in blocks, that fits `room` slots with its footer.
pub(crate) fn group_blocks_fitting(room: u32, trims: u32) -> u32 {
    let mut blocks = room.min(GROUP_BLOCKS_MAX);
    while blocks > 0 && blocks + crate::format::footer::slots(blocks, trims) > room {
        blocks -= 1;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(size: u64, segment_bytes: u32) -> Params {
        let volume = crypto::Id::from_bytes([1; 16]);
        Params { volume, epoch: Epoch(1), size: ByteLen(size), segment_bytes }
    }

    #[test]
    fn sizes_are_refused_at_their_limits_by_name() {
        let segment = SEGMENT_BYTES_DEFAULT;
        assert!(params(VOLUME_BYTES_MAX.0, segment).geometry().is_ok());
        let size = ByteLen(VOLUME_BYTES_MAX.0 + 4096);
        assert_eq!(params(size.0, segment).geometry(), Err(ParamsError::SizeAboveLimit { size }));
        for size in [0, 4095, 4097] {
            let error = ParamsError::SizeNotInBlocks { size: ByteLen(size) };
            assert_eq!(params(size, segment).geometry(), Err(error));
        }
        for segment_bytes in [0, SEGMENT_BYTES_MIN - 4096, SEGMENT_BYTES_MAX + 4096, 300_000] {
            let error = ParamsError::SegmentBytes { segment_bytes };
            assert_eq!(params(1 << 20, segment_bytes).geometry(), Err(error));
        }
    }

    /// Without slack for garbage compaction could not go on.
    #[test]
    fn a_full_volume_leaves_room_to_compact() {
        for segment_bytes in [SEGMENT_BYTES_MIN, 1 << 20, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX]
        {
            for size in [4096, 1 << 20, 100 << 20, 1 << 30, VOLUME_BYTES_MAX.0] {
                let geometry = params(size, segment_bytes).geometry().unwrap();
                let dense = u64::from(dense_blocks(geometry.slots));
                let live = geometry.blocks.div_ceil(dense);
                let checkpoint = u64::from(geometry.reserve - RESERVE_EXTRA) + 1;
                let taken = live + 2 * checkpoint + u64::from(geometry.reserve);
                assert!(
                    taken < u64::from(geometry.segments_max),
                    "{size} in {segment_bytes}: {taken} of {}",
                    geometry.segments_max
                );
            }
        }
    }
}
