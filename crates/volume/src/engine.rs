//! The engine: reads, writes, trims and flushes of one attached volume.

use std::collections::VecDeque;

use crypto::{DataKey, Entropy, Id};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::errors::{BlockError, FormatError, OpenError, ReadError, WriteError};
use crate::format::MAC_BYTES;
use crate::format::footer::Trim;
use crate::format::superblock::{ANCHORS_MAX, Checkpoint, Superblock};
use crate::geometry::{Geometry, group_blocks_fitting};
use crate::map::{Map, Place};
use crate::pending::Pending;
use crate::seal::{BlockIdentity, Content, VolumeKeys};
use crate::segments::Segments;
use crate::{
    AttachNo, BLOCK_BYTES, ByteLen, Disk, DiskError, Epoch, Generation, Lba, Object, Params,
    SegmentNo, Sequence, Slot, SuperblockNo, SyncJob,
};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Which volume, under which of its data keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    pub volume: Id,
    pub epoch: Epoch,
}

/// A durable state of a volume. Kept where a thief of the disk cannot set it back, it tells an
/// older copy of the disk from the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Anchor {
    pub attach: AttachNo,
    pub sequence: Sequence,
    pub footer_mac: [u8; MAC_BYTES],
}

/// What is known of how new the disk must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// The volume was never anchored: it is being attached for the first time.
    NeverAnchored,
    /// The log must contain this group.
    Extends(Anchor),
    /// An operator restored an older disk and takes the loss.
    Accepted(RollbackAccepted),
}

/// Somebody has decided to go on with an older disk. Not a flag, so that it cannot be passed by
/// accident.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RollbackAccepted {
    _private: (),
}

impl RollbackAccepted {
    /// What was written since the anchor is given up for lost.
    #[must_use]
    pub fn losing_everything_since(_anchor: &Anchor) -> Self {
        Self { _private: () }
    }
}

/// The state of an attached volume in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Stats {
    /// Bytes that were ever written to the volume, and so sealed.
    pub bytes_sealed: u64,
    pub blocks_mapped: u64,
    pub blocks: u64,
    /// Segments that hold part of the log.
    pub segments: u32,
    /// Segments that are created ahead.
    pub spares: u32,
    pub segments_max: u32,
    /// The newest group.
    pub sequence: Sequence,
    pub durable: Sequence,
    /// Of the slots of all segments, how many hold blocks that count, in thousandths.
    pub live_permille: u32,
}

/// A group of the log, and its MAC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogHead {
    pub(crate) sequence: Sequence,
    pub(crate) mac: [u8; MAC_BYTES],
}

/// Where the next group goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteHead {
    pub(crate) segment: SegmentNo,
    pub(crate) next: Slot,
}

/// A sealed group that has not reached the disk yet. Writing it again writes the same bytes.
pub(crate) struct Frozen {
    pub(crate) segment: SegmentNo,
    pub(crate) first_slot: Slot,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// An attached volume. Dropping it wipes its keys; what was not flushed is lost.
pub struct Engine<D> {
    pub(crate) disk: D,
    pub(crate) keys: VolumeKeys,
    pub(crate) identity: Identity,
    pub(crate) geometry: Geometry,
    pub(crate) attach: AttachNo,
    pub(crate) map: Map,
    pub(crate) segments: Segments,
    /// Created, empty, and not part of the log yet.
    pub(crate) spares: VecDeque<SegmentNo>,
    /// The next number for a segment; `None` once they are used up.
    pub(crate) segment_next: Option<SegmentNo>,
    pub(crate) head: WriteHead,
    pub(crate) pending: Pending,
    pub(crate) frozen: Option<Frozen>,
    /// The buffer of the last group, for the next.
    pub(crate) buffer: Option<Zeroizing<Vec<u8>>>,
    /// The newest sealed group.
    pub(crate) tip: LogHead,
    /// The newest group that a sync has covered.
    pub(crate) durable: LogHead,
    pub(crate) generation_next: Generation,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) revision: u64,
    pub(crate) segments_since_checkpoint: u32,
    /// Anchors that were handed out and may be expected at the next attach.
    pub(crate) anchors: VecDeque<Anchor>,
    /// Counts writes and trims, so that a flush can say which it covers.
    pub(crate) accepted: u64,
    pub(crate) poisoned: Option<DiskError>,
}

/// A flush on its way: run its sync wherever suits, then hand it back to
/// [`Engine::finish_flush`].
#[must_use = "a flush that is not finished has made nothing durable"]
pub struct Flush {
    through: LogHead,
    accepted: u64,
    job: Option<SyncJob>,
    result: Result<(), DiskError>,
}

impl Flush {
    /// Runs the sync, without the engine: reads and writes may go on meanwhile.
    pub fn run(mut self) -> Self {
        if let Some(job) = self.job.take() {
            self.result = job();
        }
        self
    }
}

impl<D: Disk> Engine<D> {
    /// Makes a volume in an empty folder.
    ///
    /// # Errors
    /// [`FormatError::Occupied`] where the folder holds a segment or a superblock that verifies
    /// or names another volume. A superblock that was torn while the volume was being made is
    /// written again, since without a segment there is nothing to lose.
    pub fn format(params: &Params, key: DataKey, disk: &mut D) -> Result<(), FormatError> {
        params.geometry()?;
        let keys = VolumeKeys::new(params.volume, params.epoch, key);
        if let Some(segment) = disk.segments()?.into_iter().min() {
            return Err(FormatError::Occupied { what: Object::Segment(segment) });
        }
        let genesis = keys.genesis();
        let superblock = Superblock {
            volume: params.volume,
            epoch: params.epoch,
            segment_bytes: params.segment_bytes,
            size: params.size,
            revision: 1,
            generation_next: Generation(1),
            attach: AttachNo(0),
            checkpoint: Checkpoint {
                segment: SegmentNo(0),
                slot: Slot(1),
                before: Sequence(0),
                before_mac: genesis,
                groups: 0,
                last_mac: genesis,
            },
            anchors: Vec::new(),
        };
        let mut bytes = superblock.encode();
        keys.mac_superblock(&mut bytes);
        for number in SuperblockNo::BOTH {
            let object = Object::Superblock(number);
            let mut found = [0; BLOCK_BYTES];
            match disk.read(object, 0, &mut found) {
                Err(DiskError::Missing { .. }) => disk.create(object, BLOCK)?,
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    let foreign =
                        Superblock::decode(&found).is_ok_and(|found| found.volume != params.volume);
                    if foreign || keys.verify_superblock(&found).is_ok() {
                        return Err(FormatError::Occupied { what: object });
                    }
                }
            }
        }
        for number in SuperblockNo::BOTH {
            disk.write(Object::Superblock(number), 0, &bytes[..])?;
            disk.sync(Object::Superblock(number))?;
        }
        disk.sync_folder()?;
        Ok(())
    }

    /// Attaches the volume: finds what of its log counts, records where it ends, and only then
    /// can be read and written. `attach` must be higher than that of any earlier attach; keep
    /// [`Engine::anchor`] before the first write.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with which object. Nothing is ever formatted or repaired
    /// by guessing.
    pub fn open(
        identity: Identity,
        key: DataKey,
        disk: D,
        attach: AttachNo,
        freshness: Freshness,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, OpenError> {
        crate::recover::open(identity, key, disk, attach, freshness, entropy)
    }

    /// Reads `bytes.len()` bytes at `offset`. Blocks that were never written or were trimmed read
    /// as zeros.
    ///
    /// # Errors
    /// [`ReadError::Block`] names the first block that cannot be given; `bytes` is then of no use.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
        let len = bytes.len() as u64;
        if !self.in_range(offset, len) {
            return Err(ReadError::OutOfRange { offset, len, size: self.geometry.size });
        }
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (lba, skip) = (Lba(at / BLOCK), block_offset(at));
            let done = if skip == 0 && rest.len() >= BLOCK_BYTES {
                let whole = rest.len() - rest.len() % BLOCK_BYTES;
                self.read_run(lba, &mut rest[..whole])?
            } else {
                let mut block = Zeroizing::new([0; BLOCK_BYTES]);
                self.read_run(lba, &mut block[..])?;
                let take = rest.len().min(BLOCK_BYTES - skip);
                rest[..take].copy_from_slice(&block[skip..skip + take]);
                take
            };
            at += done as u64;
            rest = &mut rest[done..];
        }
        Ok(())
    }

    /// Takes a write. It is durable after the next flush; until then each of its blocks may be
    /// there after a crash or not.
    ///
    /// # Errors
    /// [`WriteError::Full`] where there is no room; blocks before it may have been taken.
    pub fn write(
        &mut self,
        offset: u64,
        bytes: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<(), WriteError> {
        self.check_writable()?;
        self.check_range(offset, bytes.len() as u64)?;
        self.accepted += 1;
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (lba, skip) = (Lba(at / BLOCK), block_offset(at));
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - skip));
            self.admit(lba, entropy)?;
            if piece.len() == BLOCK_BYTES {
                self.pending.put(lba).copy_from_slice(piece);
            } else {
                let mut block = Zeroizing::new([0; BLOCK_BYTES]);
                self.read_run(lba, &mut block[..])?;
                block[skip..skip + piece.len()].copy_from_slice(piece);
                self.pending.put(lba).copy_from_slice(&block[..]);
            }
            at += piece.len() as u64;
            rest = after;
        }
        Ok(())
    }

    /// Makes a range read as zeros and gives its whole blocks back. Recorded in the log as a
    /// write is, so that no one else can make zeros of a block.
    ///
    /// # Errors
    /// Never [`WriteError::Full`] for whole blocks: a full volume is emptied by trimming.
    pub fn trim(
        &mut self,
        offset: u64,
        len: u64,
        entropy: &mut dyn Entropy,
    ) -> Result<(), WriteError> {
        self.check_writable()?;
        self.check_range(offset, len)?;
        self.accepted += 1;
        let end = offset + len;
        let first = offset.div_ceil(BLOCK);
        let last = end / BLOCK;
        if first < last {
            self.trim_blocks(Lba(first), last - first, entropy)?;
        }
        let zeros = [0; BLOCK_BYTES];
        let head_end = end.min(first * BLOCK);
        if offset < head_end {
            self.write(offset, &zeros[..within_block(head_end - offset)], entropy)?;
        }
        let tail_start = (last * BLOCK).max(head_end);
        if first <= last && tail_start < end {
            self.write(tail_start, &zeros[..within_block(end - tail_start)], entropy)?;
        }
        Ok(())
    }

    fn trim_blocks(
        &mut self,
        first: Lba,
        blocks: u64,
        entropy: &mut dyn Entropy,
    ) -> Result<(), WriteError> {
        if self.pending.is_full_of_trims() {
            self.commit(entropy)?;
        }
        let range = first..Lba(first.0 + blocks);
        let discarded: Vec<_> =
            self.pending.lbas.iter().copied().filter(|lba| range.contains(lba)).collect();
        for lba in discarded {
            self.pending.discard(lba);
        }
        let mut from = first;
        let mut any = false;
        while let Some((lba, place)) = self.map.next_mapped(from).filter(|(at, _)| *at < range.end)
        {
            self.map.remove(lba);
            self.segments.lose(&place);
            any = true;
            from = Lba(lba.0 + 1);
            if from.0 >= self.geometry.blocks {
                break;
            }
        }
        // What was not mapped needs no record: it reads as zeros already.
        if any {
            self.pending.trims.push(Trim { lba: first, blocks });
        }
        Ok(())
    }

    /// Makes everything that was accepted durable.
    ///
    /// # Errors
    /// [`WriteError::Poisoned`] if the sync failed, now and for every later write.
    pub fn flush(&mut self, entropy: &mut dyn Entropy) -> Result<(), WriteError> {
        let flush = self.begin_flush(entropy)?.run();
        self.finish_flush(flush).map(drop)
    }

    /// Hands everything that was accepted to the disk; the sync is left to the caller.
    ///
    /// # Errors
    /// As [`Engine::flush`], but for the sync.
    pub fn begin_flush(&mut self, entropy: &mut dyn Entropy) -> Result<Flush, WriteError> {
        self.commit(entropy)?;
        let job = if self.durable == self.tip {
            None
        } else {
            Some(self.disk.sync_job(Object::Segment(self.head.segment))?)
        };
        Ok(Flush { through: self.tip, accepted: self.accepted, job, result: Ok(()) })
    }

    /// Takes note of a sync. Gives the count of accepted writes and trims that are durable now,
    /// see [`Engine::accepted`].
    ///
    /// # Errors
    /// [`WriteError::Poisoned`] if this sync or another one failed.
    pub fn finish_flush(&mut self, flush: Flush) -> Result<u64, WriteError> {
        assert!(flush.job.is_none(), "a flush is run before it is finished");
        if let Err(error) = flush.result {
            return Err(self.poison(error));
        }
        // The kernel reports a failed write-back to one of two concurrent syncs only.
        self.check_writable()?;
        if flush.through.sequence > self.durable.sequence {
            self.durable = flush.through;
        }
        // A segment that cannot be removed now costs room, not data: the flush has succeeded, and
        // the removal is tried again when room is needed.
        let _ = self.drop_dead();
        Ok(flush.accepted)
    }

    /// How many writes and trims were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// The newest durable state. The engine remembers what it has handed out, so that the next
    /// attach finds it even where its footer has been compacted away.
    pub fn anchor(&mut self) -> Anchor {
        let anchor = Anchor {
            attach: self.attach,
            sequence: self.durable.sequence,
            footer_mac: self.durable.mac,
        };
        if self.anchors.back() != Some(&anchor) {
            if self.anchors.len() == ANCHORS_MAX {
                self.anchors.pop_front();
            }
            self.anchors.push_back(anchor);
        }
        anchor
    }

    /// Whether nothing was ever written: only then may a file system be made on the volume.
    #[must_use]
    pub fn is_empty_log(&self) -> bool {
        self.generation_next == Generation(1) && self.pending.is_empty()
    }

    #[must_use]
    pub fn size(&self) -> ByteLen {
        self.geometry.size
    }

    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let slots = u64::from(self.segments.len()) * u64::from(self.geometry.slots);
        let live = (self.map.mapped() * 1000).checked_div(slots).unwrap_or(0);
        Stats {
            bytes_sealed: (self.generation_next.0 - 1) * BLOCK,
            blocks_mapped: self.map.mapped(),
            blocks: self.geometry.blocks,
            segments: self.segments.len(),
            spares: u32::try_from(self.spares.len()).expect("as many as the reserve"),
            segments_max: self.geometry.segments_max,
            sequence: self.tip.sequence,
            durable: self.durable.sequence,
            live_permille: u32::try_from(live).expect("at most 1000"),
        }
    }

    /// Why the engine takes no more writes, if so.
    #[must_use]
    pub fn poisoned(&self) -> Option<&DiskError> {
        self.poisoned.as_ref()
    }

    pub(crate) fn check_writable(&self) -> Result<(), WriteError> {
        self.poisoned.clone().map_or(Ok(()), |error| Err(WriteError::Poisoned(error)))
    }

    pub(crate) fn poison(&mut self, error: DiskError) -> WriteError {
        WriteError::Poisoned(self.poisoned.get_or_insert(error).clone())
    }

    fn in_range(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.geometry.size.0)
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<(), WriteError> {
        if self.in_range(offset, len) {
            Ok(())
        } else {
            Err(WriteError::OutOfRange { offset, len, size: self.geometry.size })
        }
    }

    /// Makes sure that the block may be put into the pending group.
    fn admit(&mut self, lba: Lba, entropy: &mut dyn Entropy) -> Result<(), WriteError> {
        self.keep_reserve(entropy)?;
        if !self.pending.holds(lba) {
            let trims = self.pending.trim_count();
            let room = self.geometry.slots - self.head.next.0;
            let fitting = match group_blocks_fitting(room, trims) {
                0 => group_blocks_fitting(self.geometry.slots - 1, trims),
                fitting => fitting,
            };
            if self.pending.blocks() >= fitting {
                self.commit(entropy)?;
                self.keep_reserve(entropy)?;
            }
        }
        Ok(())
    }

    /// Reads whole blocks from `lba` on into the front of `bytes`: as many as lie together.
    /// Gives how many bytes.
    pub(crate) fn read_run(&self, lba: Lba, bytes: &mut [u8]) -> Result<usize, BlockError> {
        if let Some(block) = self.pending.get(lba) {
            bytes[..BLOCK_BYTES].copy_from_slice(block);
            return Ok(BLOCK_BYTES);
        }
        let Some(first) = self.map.get(lba) else {
            bytes[..BLOCK_BYTES].fill(0);
            return Ok(BLOCK_BYTES);
        };
        let mut places = vec![first];
        for (next, slot) in
            (lba.0 + 1..).zip(first.slot.0 + 1..).take(bytes.len() / BLOCK_BYTES - 1)
        {
            match self.map.get(Lba(next)) {
                Some(place)
                    if place.segment == first.segment
                        && place.slot == Slot(slot)
                        && place.salt == first.salt
                        && !self.pending.holds(Lba(next)) =>
                {
                    places.push(place);
                }
                _ => break,
            }
        }
        let bytes = &mut bytes[..places.len() * BLOCK_BYTES];
        self.fetch(lba, &first, bytes)?;
        let group = self.keys.group(first.segment, first.salt);
        for ((lba, place), block) in
            (lba.0..).map(Lba).zip(&places).zip(bytes.chunks_exact_mut(BLOCK_BYTES))
        {
            let identity = BlockIdentity {
                content: Content::Block(lba),
                generation: place.generation,
                segment: place.segment,
                slot: place.slot,
            };
            self.keys
                .open_block(&group, &identity, &place.tag, block)
                .map_err(|_| BlockError::Forged { lba, segment: place.segment })?;
        }
        Ok(bytes.len())
    }

    /// Reads sealed bytes, from the disk or from the group that is still to be written there.
    fn fetch(&self, lba: Lba, place: &Place, bytes: &mut [u8]) -> Result<(), BlockError> {
        let segment = place.segment;
        if let Some(frozen) = &self.frozen
            && frozen.segment == segment
            && place.slot >= frozen.first_slot
        {
            let at = (place.slot.0 - frozen.first_slot.0) as usize * BLOCK_BYTES;
            bytes.copy_from_slice(&frozen.bytes[at..at + bytes.len()]);
            return Ok(());
        }
        let offset = u64::from(place.slot.0) * BLOCK;
        match self.disk.read(Object::Segment(segment), offset, bytes) {
            Ok(read) if read == bytes.len() => Ok(()),
            Ok(_) => Err(BlockError::Truncated { lba, segment }),
            Err(error) => Err(BlockError::Disk { lba, error }),
        }
    }
}

fn block_offset(at: u64) -> usize {
    within_block(at % BLOCK)
}

fn within_block(bytes: u64) -> usize {
    usize::try_from(bytes).expect("less than a block")
}
