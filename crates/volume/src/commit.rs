//! How a group becomes durable: it is frozen, sealed under a fresh salt, written in one append,
//! and synced. A segment that is full gives way to the next.

use crypto::Entropy;

use crate::engine::{Frozen, LogHead, WriteHead};
use crate::errors::WriteError;
use crate::format::footer::{self, Entry, Head, Kind, Trim};
use crate::format::header::Header;
use crate::map::Place;
use crate::seal::{BlockIdentity, Content};
use crate::{
    BLOCK_BYTES, Disk, DiskError, Engine, Generation, Lba, Object, SegmentNo, Sequence, Slot,
};

/// The blocks of a group before they are sealed: what each slot holds, and their bytes.
pub(crate) struct Unsealed {
    pub(crate) kind: Kind,
    pub(crate) blocks: Vec<(Lba, Generation)>,
    pub(crate) trims: Vec<Trim>,
    pub(crate) bytes: zeroize::Zeroizing<Vec<u8>>,
}

impl<D: Disk> Engine<D> {
    /// Writes the pending group, without syncing it. May take segments from the reserve.
    pub(crate) fn commit(&mut self, entropy: &mut dyn Entropy) -> Result<(), WriteError> {
        self.check_writable()?;
        self.write_frozen()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        self.find_room(self.pending.blocks(), self.pending.trim_count())?;
        let mut blocks = Vec::with_capacity(self.pending.lbas.len());
        for lba in &self.pending.lbas {
            blocks.push((*lba, self.generation_next));
            self.generation_next.0 += 1;
        }
        let mut bytes = self.buffer.take().unwrap_or_default();
        std::mem::swap(&mut bytes, &mut self.pending.bytes);
        let trims = std::mem::take(&mut self.pending.trims);
        self.pending.clear();
        let group = Unsealed { kind: Kind::Writes, blocks, trims, bytes };
        let places = self.seal_group(group, entropy);
        self.adopt(&places);
        self.write_frozen()
    }

    /// Seals a group in place, to be written at the head. The caller has found room there.
    pub(crate) fn seal_group(
        &mut self,
        group: Unsealed,
        entropy: &mut dyn Entropy,
    ) -> Vec<(Lba, Place)> {
        assert!(self.frozen.is_none(), "a group is written before the next is sealed");
        let Unsealed { kind, blocks, trims, mut bytes } = group;
        let WriteHead { segment, next: first_slot } = self.head;
        // The content is final from here on. Were anything to change it later, two contents would
        // share keys; so a write that fails is repeated with these very bytes.
        let salt = entropy.salt();
        let key = self.keys.group(segment, salt);
        let mut entries = Vec::with_capacity(blocks.len());
        let mut places = Vec::with_capacity(blocks.len());
        for (((lba, generation), slot), block) in
            blocks.into_iter().zip(first_slot.0..).zip(bytes.chunks_exact_mut(BLOCK_BYTES))
        {
            let slot = Slot(slot);
            let content =
                if kind == Kind::Pages { Content::Page(lba.0) } else { Content::Block(lba) };
            let identity = BlockIdentity { content, generation, segment, slot };
            let tag = self.keys.seal_block(&key, &identity, block);
            entries.push(Entry { lba, generation, tag });
            places.push((lba, Place { generation, segment, slot, tag, salt }));
        }
        let head = Head {
            kind,
            epoch: self.identity.epoch,
            volume: self.identity.volume,
            segment,
            first_slot,
            blocks: u32::try_from(entries.len()).expect("at most GROUP_BLOCKS_MAX"),
            trims: u32::try_from(trims.len()).expect("at most TRIMS_PER_GROUP_MAX"),
            attach: self.attach,
            sequence: Sequence(self.tip.sequence.0 + 1),
            durable: self.durable.sequence,
            salt,
            previous_mac: self.tip.mac,
        };
        let content_bytes = bytes.len();
        bytes.resize(content_bytes + head.layout().bytes, 0);
        let mac = self.keys.seal_footer(&key, &head, &entries, &trims, &mut bytes[content_bytes..]);
        self.tip = LogHead { sequence: head.sequence, mac };
        self.head.next.0 += head.blocks + footer::slots(head.blocks, head.trims);
        assert!(self.head.next.0 <= self.geometry.slots, "a group does not leave its segment");
        self.frozen = Some(Frozen { segment, first_slot, bytes });
        places
    }

    /// The map names these places from now on.
    pub(crate) fn adopt(&mut self, places: &[(Lba, Place)]) {
        for (lba, place) in places {
            self.segments.gain(*lba, place);
            if let Some(before) = self.map.set(*lba, *place) {
                self.segments.lose(&before);
            }
        }
    }

    pub(crate) fn write_frozen(&mut self) -> Result<(), WriteError> {
        if let Some(frozen) = &self.frozen {
            let offset = u64::from(frozen.first_slot.0) * BLOCK_BYTES as u64;
            self.disk.write(Object::Segment(frozen.segment), offset, &frozen.bytes)?;
            let mut bytes = self.frozen.take().expect("it was just written").bytes;
            bytes.clear();
            self.buffer = Some(bytes);
        }
        Ok(())
    }

    /// Syncs the head's segment if it holds groups that are not durable.
    pub(crate) fn sync_head(&mut self) -> Result<(), WriteError> {
        assert!(self.frozen.is_none(), "a group is written before it is synced");
        if self.durable != self.tip {
            self.sync_or_poison(Object::Segment(self.head.segment))?;
            self.durable = self.tip;
        }
        Ok(())
    }

    /// A sync that fails is never tried again: the kernel may have dropped the bytes and would
    /// report success.
    pub(crate) fn sync_or_poison(&mut self, object: Object) -> Result<(), WriteError> {
        self.disk.sync(object).map_err(|error| self.poison(error))
    }

    /// Moves the head on to a new segment if a group of this shape does not fit its segment.
    pub(crate) fn find_room(&mut self, blocks: u32, trims: u32) -> Result<(), WriteError> {
        let slots = blocks + footer::slots(blocks, trims);
        assert!(slots < self.geometry.slots, "a group fits a fresh segment");
        if self.head.next.0 + slots > self.geometry.slots {
            self.sync_head()?;
            let segment = self.spares.front().copied().map_or_else(|| self.create_spare(), Ok)?;
            self.begin_segment(segment)?;
            self.spares.pop_front();
        }
        Ok(())
    }

    /// Creates a segment and puts it with the spares.
    pub(crate) fn create_spare(&mut self) -> Result<SegmentNo, WriteError> {
        if self.occupied() >= self.geometry.segments_max {
            return Err(WriteError::Full);
        }
        let segment = self.number_segment()?;
        let len = u64::from(self.geometry.segment_bytes);
        self.disk.create(Object::Segment(segment), len)?;
        self.spares.push_back(segment);
        Ok(segment)
    }

    /// Segments on the disk, in use or spare.
    pub(crate) fn occupied(&self) -> u32 {
        self.segments.len() + u32::try_from(self.spares.len()).expect("a few spares")
    }

    pub(crate) fn number_segment(&mut self) -> Result<SegmentNo, WriteError> {
        let segment = self.segment_next.ok_or(WriteError::SegmentNumbersUsedUp)?;
        self.segment_next = segment.0.checked_add(1).map(SegmentNo);
        Ok(segment)
    }

    /// Writes the header of an existing, empty segment, durably, and goes on writing there.
    pub(crate) fn begin_segment(&mut self, segment: SegmentNo) -> Result<(), WriteError> {
        let header = Header {
            volume: self.identity.volume,
            epoch: self.identity.epoch,
            segment,
            attach: self.attach,
            predecessor: self.tip.sequence,
            predecessor_mac: self.tip.mac,
        };
        let mut bytes = header.encode();
        self.keys.mac_header(&mut bytes);
        self.disk.write(Object::Segment(segment), 0, &bytes[..])?;
        self.sync_or_poison(Object::Segment(segment))?;
        self.disk.sync_folder().map_err(|error: DiskError| self.poison(error))?;
        self.segments.add(segment);
        self.head = WriteHead { segment, next: Slot(1) };
        self.segments_since_checkpoint += 1;
        Ok(())
    }

    pub(crate) fn take_buffer(&mut self) -> zeroize::Zeroizing<Vec<u8>> {
        self.buffer.take().unwrap_or_else(crate::pending::new_buffer)
    }
}
