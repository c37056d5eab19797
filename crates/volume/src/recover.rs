//! Attaching a volume: which of its log counts, whether it is the newest, and how the cut is
//! recorded before anyone is served.

use std::collections::BTreeSet;
use std::collections::VecDeque;

use crypto::{DataKey, Entropy};

use crate::engine::{Anchor, Freshness, Identity, LogHead, WriteHead};
use crate::errors::{OpenError, WriteError, not_extended};
use crate::format::footer::Kind;
use crate::format::superblock::{ANCHORS_MAX, Superblock};
use crate::format::{DecodeError, page};
use crate::geometry::Geometry;
use crate::map::{Map, Place};
use crate::pending::Pending;
use crate::seal::{BlockIdentity, Content, VolumeKeys};
use crate::segments::Segments;
use crate::walk::{Group, Log, walk};
use crate::{
    AttachNo, BLOCK_BYTES, Disk, DiskError, Engine, Generation, Lba, Object, Params, SegmentNo,
    Sequence, Slot, SuperblockNo,
};

/// The superblock that counts, and those that must be written again from it.
struct Superblocks {
    newest: Superblock,
    bytes: Box<[u8; BLOCK_BYTES]>,
    stale: Vec<SuperblockNo>,
}

pub(crate) fn open<D: Disk>(
    identity: Identity,
    key: DataKey,
    disk: D,
    attach: AttachNo,
    freshness: Freshness,
    entropy: &mut dyn Entropy,
) -> Result<Engine<D>, OpenError> {
    let keys = VolumeKeys::new(identity.volume, identity.epoch, key);
    let superblocks = read_superblocks(&disk, &keys, identity)?;
    let superblock = &superblocks.newest;
    let params = Params {
        volume: superblock.volume,
        epoch: superblock.epoch,
        size: superblock.size,
        segment_bytes: superblock.segment_bytes,
    };
    let geometry = params.geometry()?;
    let existing: BTreeSet<SegmentNo> = disk.segments()?.into_iter().collect();
    let log = walk(&disk, &keys, identity, &geometry, &superblock.checkpoint, &existing)?;
    let newest = log.attach_newest.max(superblock.attach);
    if attach < newest {
        return Err(OpenError::AttachStale { given: attach, newest });
    }
    let mut anchors = VecDeque::from(superblock.anchors.clone());
    if let Freshness::Extends(anchor) = freshness {
        check_extends(&anchor, superblock, &log)?;
        if attach <= anchor.attach {
            return Err(OpenError::AttachStale { given: attach, newest: anchor.attach });
        }
        if !anchors.contains(&anchor) {
            if anchors.len() == ANCHORS_MAX {
                anchors.pop_front();
            }
            anchors.push_back(anchor);
        }
    }
    let replayed = replay(&disk, &keys, &geometry, superblock, &log)?;
    for (lba, place) in replayed.map.iter() {
        if !existing.contains(&place.segment) {
            return Err(OpenError::SegmentMissing { segment: place.segment, lba });
        }
    }
    let start = superblock.checkpoint.segment;
    let mut segments = Segments::default();
    for (lba, place) in replayed.map.iter() {
        segments.gain(lba, &place);
    }
    for group in &log.groups {
        segments.add(group.head.segment);
    }
    if existing.contains(&start) {
        segments.add(start);
    }
    let segment_next = existing.last().map_or(Some(0), |last| last.0.checked_add(1)).map(SegmentNo);
    let since_checkpoint = segments.iter().filter(|(number, _)| *number > start).count();
    let mut engine = Engine {
        disk,
        keys,
        identity,
        geometry,
        attach,
        map: replayed.map,
        segments,
        spares: VecDeque::new(),
        segment_next,
        head: WriteHead { segment: start, next: Slot(geometry.slots) },
        pending: Pending::new(),
        frozen: None,
        buffer: None,
        tip: log.tip,
        durable: log.tip,
        generation_next: replayed.generation_next,
        checkpoint: superblock.checkpoint,
        revision: superblock.revision,
        segments_since_checkpoint: u32::try_from(since_checkpoint).expect("segments are counted"),
        anchors,
        accepted: 0,
        poisoned: None,
    };
    engine.record_cut(&superblocks, &log, &existing)?;
    match engine.keep_reserve(entropy) {
        // The volume is whole and can be read and trimmed; writes will say that it is full.
        Ok(()) | Err(WriteError::Full) => Ok(engine),
        Err(error) => Err(Box::new(error).into()),
    }
}

fn read_superblocks<D: Disk>(
    disk: &D,
    keys: &VolumeKeys,
    identity: Identity,
) -> Result<Superblocks, OpenError> {
    let mut valid: Vec<(SuperblockNo, Superblock, Box<[u8; BLOCK_BYTES]>)> = Vec::new();
    let mut refusal = None;
    for number in SuperblockNo::BOTH {
        let mut bytes = Box::new([0; BLOCK_BYTES]);
        match disk.read(Object::Superblock(number), 0, &mut bytes[..]) {
            Err(DiskError::Missing { .. }) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let decoded = Superblock::decode(&bytes);
        if keys.verify_superblock(&bytes).is_ok()
            && let Ok(superblock) = decoded
        {
            valid.push((number, superblock, bytes));
            continue;
        }
        let forged = OpenError::SuperblocksForged { volume: identity.volume };
        // Nothing vouches for these fields; they only help to explain a refusal.
        let why = match decoded {
            Err(DecodeError::Version(found)) => {
                OpenError::VersionUnknown { superblock: number, found }
            }
            Ok(found) if found.volume != identity.volume => {
                OpenError::OtherVolume { found: found.volume, expected: identity.volume }
            }
            Ok(found) if found.epoch != identity.epoch => {
                OpenError::KeyRetired { on_disk: found.epoch, given: identity.epoch }
            }
            _ => forged,
        };
        refusal.get_or_insert(why);
    }
    let Some(newest) = valid.iter().max_by_key(|(_, superblock, _)| superblock.revision) else {
        return Err(refusal.unwrap_or(OpenError::NotAVolume));
    };
    let (newest, bytes) = (newest.1.clone(), newest.2.clone());
    let good = |number| valid.iter().any(|(at, _, found)| *at == number && *found == bytes);
    let stale = SuperblockNo::BOTH.into_iter().filter(|number| !good(*number)).collect();
    Ok(Superblocks { newest, bytes, stale })
}

fn check_extends(anchor: &Anchor, superblock: &Superblock, log: &Log) -> Result<(), OpenError> {
    let is = |head: LogHead| head.sequence == anchor.sequence && head.mac == anchor.footer_mac;
    let checkpoint = &superblock.checkpoint;
    let before = LogHead { sequence: checkpoint.before, mac: checkpoint.before_mac };
    let remembered = superblock
        .anchors
        .iter()
        .map(|anchor| LogHead { sequence: anchor.sequence, mac: anchor.footer_mac });
    let walked = log.groups.iter().map(Group::log_head);
    if walked.chain([before]).chain(remembered).any(is) {
        Ok(())
    } else {
        Err(not_extended(log.tip.sequence, anchor))
    }
}

struct Replayed {
    map: Map,
    generation_next: Generation,
}

/// Rebuilds the map: the checkpoint's pages, then every group in order.
fn replay<D: Disk>(
    disk: &D,
    keys: &VolumeKeys,
    geometry: &Geometry,
    superblock: &Superblock,
    log: &Log,
) -> Result<Replayed, OpenError> {
    let checkpoint = &superblock.checkpoint;
    let page_groups = usize::try_from(checkpoint.groups).unwrap_or(usize::MAX);
    let (pages, groups) = log
        .groups
        .split_at_checked(page_groups)
        .ok_or(OpenError::LogForged { segment: checkpoint.segment, after: log.tip.sequence })?;
    let last_mac = pages.last().map_or(checkpoint.before_mac, |group| group.mac);
    if last_mac != checkpoint.last_mac || pages.iter().any(|group| group.head.kind != Kind::Pages) {
        return Err(OpenError::LogForged { segment: checkpoint.segment, after: checkpoint.before });
    }
    let mut replayed =
        Replayed { map: Map::new(geometry.blocks), generation_next: superblock.generation_next };
    for group in pages {
        install_pages(disk, keys, geometry, group, &mut replayed.map)?;
    }
    for group in groups {
        replayed.apply(group, geometry)?;
    }
    Ok(replayed)
}

fn install_pages<D: Disk>(
    disk: &D,
    keys: &VolumeKeys,
    geometry: &Geometry,
    group: &Group,
    map: &mut Map,
) -> Result<(), OpenError> {
    let segment = group.head.segment;
    let key = keys.group(segment, group.head.salt);
    let mut block = [0; BLOCK_BYTES];
    for (entry, slot) in group.entries.iter().zip(group.head.first_slot.0..) {
        let number = entry.lba.0;
        let forged = || OpenError::PageForged { page: number, segment };
        let offset = u64::from(slot) * BLOCK_BYTES as u64;
        if disk.read(Object::Segment(segment), offset, &mut block)? < BLOCK_BYTES {
            return Err(forged());
        }
        let identity = BlockIdentity {
            content: Content::Page(number),
            generation: entry.generation,
            segment,
            slot: Slot(slot),
        };
        keys.open_block(&key, &identity, &entry.tag, &mut block).map_err(|_| forged())?;
        let places = page::decode(&block).map_err(|_| forged())?;
        if places.iter().flatten().any(|place| !(1..geometry.slots).contains(&place.slot.0)) {
            return Err(forged());
        }
        map.install(number, places, geometry.blocks).ok_or_else(forged)?;
    }
    Ok(())
}

impl Replayed {
    fn apply(&mut self, group: &Group, geometry: &Geometry) -> Result<(), OpenError> {
        let head = &group.head;
        if head.kind == Kind::Pages {
            // Of a checkpoint whose superblocks were not written any more.
            return Ok(());
        }
        let forged = || OpenError::LogForged {
            segment: head.segment,
            after: Sequence(head.sequence.0.saturating_sub(1)),
        };
        for trim in &group.trims {
            let end = trim.lba.0.checked_add(trim.blocks).ok_or_else(forged)?;
            if end > geometry.blocks {
                return Err(forged());
            }
            let mut from = trim.lba;
            while let Some((lba, _)) = self.map.next_mapped(from).filter(|(at, _)| at.0 < end) {
                self.map.remove(lba);
                from = Lba(lba.0 + 1);
            }
        }
        for (entry, slot) in group.entries.iter().zip(head.first_slot.0..) {
            if entry.lba.0 >= geometry.blocks {
                return Err(forged());
            }
            let named = self.map.get(entry.lba).map(|place| place.generation);
            if head.kind == Kind::Moves && named != Some(entry.generation) {
                continue;
            }
            let next = Generation(entry.generation.0.checked_add(1).ok_or_else(forged)?);
            self.generation_next = self.generation_next.max(next);
            let place = Place {
                generation: entry.generation,
                segment: head.segment,
                slot: Slot(slot),
                tag: entry.tag,
                salt: head.salt,
            };
            self.map.set(entry.lba, place);
        }
        Ok(())
    }
}

impl<D: Disk> Engine<D> {
    /// Makes what was accepted durable, and writes down where it ends, in a segment of this
    /// attach: from then on nothing that turns up beyond the cut can count.
    fn record_cut(
        &mut self,
        superblocks: &Superblocks,
        log: &Log,
        existing: &BTreeSet<SegmentNo>,
    ) -> Result<(), OpenError> {
        // A killed process may have left its last superblock unsynced. It counts from here on, so it
        // must be durable before the other, older one is overwritten: else a power cut could take
        // both.
        for number in SuperblockNo::BOTH {
            if !superblocks.stale.contains(&number) {
                self.disk.sync(Object::Superblock(number))?;
            }
        }
        for number in &superblocks.stale {
            let object = Object::Superblock(*number);
            match self.disk.create(object, BLOCK_BYTES as u64) {
                Ok(()) | Err(DiskError::Exists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.disk.write(object, 0, &superblocks.bytes[..])?;
            self.disk.sync(object)?;
        }
        if let Some(segment) = log.last_segment {
            self.disk.sync(Object::Segment(segment))?;
        }
        self.disk.sync_folder()?;
        let mut to_remove: Vec<_> =
            existing.iter().copied().filter(|segment| !self.segments.contains(*segment)).collect();
        // A header, even without a group, may be what records an earlier cut: such a segment
        // stays until this attach's own header is durable. The others go first, since the disk
        // may be full.
        let removable_now = |segment: &SegmentNo| !log.with_header.contains(segment);
        for segment in to_remove.extract_if(.., |segment| removable_now(segment)) {
            self.disk.remove(Object::Segment(segment))?;
        }
        let head = self.number_segment().map_err(Box::new)?;
        let len = u64::from(self.geometry.segment_bytes);
        self.disk.create(Object::Segment(head), len)?;
        self.begin_segment(head).map_err(Box::new)?;
        for segment in to_remove {
            self.disk.remove(Object::Segment(segment))?;
        }
        self.disk.sync_folder()?;
        Ok(())
    }
}
