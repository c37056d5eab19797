//! A checkpoint writes the whole map into the log, so that the segments before it are needed only
//! for the blocks that the map names, and can be given back one by one.

use crypto::Entropy;

use crate::commit::Unsealed;
use crate::errors::WriteError;
use crate::format::footer::Kind;
use crate::format::page;
use crate::format::superblock::{Checkpoint, Superblock};
use crate::geometry::group_blocks_fitting;
use crate::{BLOCK_BYTES, Disk, Engine, Generation, Lba, Object, SuperblockNo};

impl<D: Disk> Engine<D> {
    /// Writes a checkpoint and gives back what it made dispensable.
    pub(crate) fn write_checkpoint(&mut self, entropy: &mut dyn Entropy) -> Result<(), WriteError> {
        self.commit(entropy)?;
        self.sync_head()?;
        let before = self.tip;
        let start = self.head;
        let segments_before = self.segments_since_checkpoint;
        let generation = Generation(before.sequence.0 + 1);
        let numbers: Vec<u64> = self.map.pages().map(|(number, _)| number).collect();
        let mut rest = &numbers[..];
        let mut groups = 0;
        while !rest.is_empty() {
            let room = self.geometry.slots - self.head.next.0;
            let fitting = match group_blocks_fitting(room, 0) {
                0 => group_blocks_fitting(self.geometry.slots - 1, 0),
                fitting => fitting,
            };
            let (now, later) = rest.split_at(rest.len().min(fitting as usize));
            rest = later;
            self.find_room(u32::try_from(now.len()).expect("at most a group"), 0)?;
            let mut bytes = self.take_buffer();
            bytes.resize(now.len() * BLOCK_BYTES, 0);
            for (number, block) in now.iter().zip(bytes.chunks_exact_mut(BLOCK_BYTES)) {
                page::encode(self.map.page(*number), block);
            }
            let blocks = now.iter().map(|number| (Lba(*number), generation)).collect();
            let group = Unsealed { kind: Kind::Pages, blocks, trims: Vec::new(), bytes };
            self.seal_group(group, entropy);
            self.write_frozen()?;
            groups += 1;
        }
        self.sync_head()?;
        let checkpoint = Checkpoint {
            segment: start.segment,
            slot: start.next,
            before: before.sequence,
            before_mac: before.mac,
            groups,
            last_mac: self.tip.mac,
        };
        self.write_superblocks(&checkpoint)?;
        // Only now may segments go that the checkpoint before this one needs.
        self.checkpoint = checkpoint;
        self.segments_since_checkpoint -= segments_before;
        self.segments.look_for_dead();
        self.drop_dead()
    }

    /// Writes both superblocks, one after the other, so that each can stand for the other.
    pub(crate) fn write_superblocks(&mut self, checkpoint: &Checkpoint) -> Result<(), WriteError> {
        self.revision += 1;
        let superblock = Superblock {
            volume: self.identity.volume,
            epoch: self.identity.epoch,
            segment_bytes: self.geometry.segment_bytes,
            size: self.geometry.size,
            revision: self.revision,
            generation_next: self.generation_next,
            attach: self.attach,
            checkpoint: *checkpoint,
            anchors: self.anchors.iter().copied().collect(),
        };
        let mut bytes = superblock.encode();
        self.keys.mac_superblock(&mut bytes);
        for number in SuperblockNo::BOTH {
            self.disk.write(Object::Superblock(number), 0, &bytes[..])?;
            self.sync_or_poison(Object::Superblock(number))?;
        }
        Ok(())
    }
}
