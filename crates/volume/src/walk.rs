//! Following the log from its checkpoint to its end, and telling an end from a break.
//!
//! The end of a log is a group that is missing. If the power took it, nothing that was written
//! after it became durable can exist; if such a thing does exist, somebody changed the disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::LogHead;
use crate::errors::OpenError;
use crate::format::footer::{self, Entry, Head, Trim};
use crate::format::header::Header;
use crate::format::superblock::Checkpoint;
use crate::geometry::Geometry;
use crate::seal::{BlockIdentity, Content, VolumeKeys};
use crate::{
    AttachNo, BLOCK_BYTES, Disk, DiskError, GROUP_BLOCKS_MAX, Identity, Object, SegmentNo,
    Sequence, Slot,
};

/// A group whose footer verified.
pub(crate) struct Group {
    pub(crate) head: Head,
    pub(crate) entries: Vec<Entry>,
    pub(crate) trims: Vec<Trim>,
    pub(crate) mac: [u8; 32],
}

impl Group {
    pub(crate) fn log_head(&self) -> LogHead {
        LogHead { sequence: self.head.sequence, mac: self.mac }
    }
}

/// The part of a log that counts.
pub(crate) struct Log {
    pub(crate) groups: Vec<Group>,
    pub(crate) tip: LogHead,
    /// Where the walk ended.
    pub(crate) last_segment: Option<SegmentNo>,
    /// The highest attach that anything on the disk speaks of.
    pub(crate) attach_newest: AttachNo,
    /// Segments, from the checkpoint's on, whose header verifies.
    pub(crate) with_header: BTreeSet<SegmentNo>,
}

/// A footer whose MAC verified; its body is still sealed.
struct Footer {
    head: Head,
    mac: [u8; 32],
    bytes: Vec<u8>,
}

struct Walker<'a, D> {
    disk: &'a D,
    keys: &'a VolumeKeys,
    identity: Identity,
    slots: u32,
    headers: BTreeMap<SegmentNo, Option<Header>>,
    /// The bytes of the segment that is being read.
    loaded: Option<(SegmentNo, Vec<u8>)>,
}

/// `segments` are all that exist, of which those before the checkpoint's are not looked at.
pub(crate) fn walk<D: Disk>(
    disk: &D,
    keys: &VolumeKeys,
    identity: Identity,
    geometry: &Geometry,
    checkpoint: &Checkpoint,
    segments: &BTreeSet<SegmentNo>,
) -> Result<Log, OpenError> {
    let mut walker = Walker {
        disk,
        keys,
        identity,
        slots: geometry.slots,
        headers: BTreeMap::new(),
        loaded: None,
    };
    for segment in segments.range(checkpoint.segment..) {
        let header = walker.read_header(*segment)?;
        walker.headers.insert(*segment, header);
    }
    walker.follow(checkpoint)
}

impl<D: Disk> Walker<'_, D> {
    fn follow(&mut self, checkpoint: &Checkpoint) -> Result<Log, OpenError> {
        let before = LogHead { sequence: checkpoint.before, mac: checkpoint.before_mac };
        let mut tip = before;
        let mut durable = Sequence(checkpoint.before.0 + checkpoint.groups);
        let mut groups: Vec<Group> = Vec::new();
        let start = self.headers.get(&checkpoint.segment).copied().flatten();
        let mut attach = start.map_or(AttachNo(0), |header| header.attach);
        let mut at = start.map(|_| (checkpoint.segment, checkpoint.slot));
        let mut visited: BTreeSet<_> = at.iter().map(|(segment, _)| *segment).collect();
        loop {
            // A later segment that names this group as its predecessor comes before whatever
            // follows in the same segment: its attach has cut the log here.
            if let Some(next) = self.successor(&tip, attach, at.map(|(segment, _)| segment)) {
                attach = next.attach;
                durable = durable.max(next.predecessor);
                at = Some((next.segment, Slot(1)));
                visited.insert(next.segment);
                continue;
            }
            let Some((segment, slot)) = at else { break };
            let Some((group, after)) = self.find_group(segment, slot, &tip, attach)? else { break };
            durable = durable.max(group.head.durable);
            tip = group.log_head();
            at = Some((segment, after));
            groups.push(group);
        }
        // Of what no later footer vouches for, a crash may have kept the footer and lost blocks.
        if let Some(torn) = self.first_torn(&groups, durable)? {
            groups.truncate(torn);
            tip = groups.last().map_or(before, Group::log_head);
        }
        let last = at.map(|(segment, _)| segment);
        if durable > tip.sequence {
            let segment = last.unwrap_or(checkpoint.segment);
            return Err(OpenError::LogForged { segment, after: tip.sequence });
        }
        let attach_newest = self.refuse_a_break(&tip, attach, &visited, at)?;
        let with_header =
            self.headers.iter().filter(|(_, header)| header.is_some()).map(|(at, _)| *at).collect();
        Ok(Log { groups, tip, last_segment: last, attach_newest, with_header })
    }

    fn successor(
        &self,
        tip: &LogHead,
        attach: AttachNo,
        after: Option<SegmentNo>,
    ) -> Option<Header> {
        self.headers
            .values()
            .flatten()
            .filter(|header| {
                header.predecessor == tip.sequence
                    && header.predecessor_mac == tip.mac
                    && header.attach >= attach
                    && after.is_none_or(|after| header.segment > after)
            })
            .max_by_key(|header| (header.attach, header.segment))
            .copied()
    }

    /// The group that begins at `slot` and follows `tip`, and the slot after it.
    fn find_group(
        &mut self,
        segment: SegmentNo,
        slot: Slot,
        tip: &LogHead,
        attach: AttachNo,
    ) -> Result<Option<(Group, Slot)>, OpenError> {
        for blocks in 0..=GROUP_BLOCKS_MAX {
            let at = Slot(slot.0.saturating_add(blocks));
            let Some(mut footer) = self.footer_at(segment, at)? else { continue };
            let head = footer.head;
            let follows = head.blocks == blocks
                && head.first_slot == slot
                && head.attach == attach
                && head.sequence.0 == tip.sequence.0 + 1
                && head.previous_mac == tip.mac;
            if follows && let Ok((entries, trims)) = self.keys.open_footer(&head, &mut footer.bytes)
            {
                let after = Slot(at.0 + footer::slots(head.blocks, head.trims));
                return Ok(Some((Group { head, entries, trims, mac: footer.mac }, after)));
            }
        }
        Ok(None)
    }

    /// A footer of this volume that begins at `at`, if its MAC verifies.
    fn footer_at(&mut self, segment: SegmentNo, at: Slot) -> Result<Option<Footer>, OpenError> {
        let (identity, keys) = (self.identity, self.keys);
        let bytes = self.load(segment)?;
        let Some(bytes) = bytes.get(at.0 as usize * BLOCK_BYTES..) else { return Ok(None) };
        let Ok(head) = Head::decode(bytes) else { return Ok(None) };
        if head.volume != identity.volume
            || head.epoch != identity.epoch
            || head.segment != segment
            || head.first_slot.0.checked_add(head.blocks) != Some(at.0)
        {
            return Ok(None);
        }
        let Some(bytes) = bytes.get(..head.layout().bytes) else { return Ok(None) };
        Ok(keys.verify_footer(bytes).ok().map(|mac| Footer { head, mac, bytes: bytes.to_vec() }))
    }

    /// The first of the groups after `durable` that lacks a block.
    fn first_torn(
        &mut self,
        groups: &[Group],
        durable: Sequence,
    ) -> Result<Option<usize>, OpenError> {
        for (index, group) in groups.iter().enumerate() {
            if group.head.sequence > durable && !self.is_whole(group)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn is_whole(&mut self, group: &Group) -> Result<bool, OpenError> {
        let head = &group.head;
        let keys = self.keys;
        let key = keys.group(head.segment, head.salt);
        let bytes = self.load(head.segment)?;
        for (entry, slot) in group.entries.iter().zip(head.first_slot.0..) {
            let content = match head.kind {
                footer::Kind::Pages => Content::Page(entry.lba.0),
                footer::Kind::Writes | footer::Kind::Moves => Content::Block(entry.lba),
            };
            let identity = BlockIdentity {
                content,
                generation: entry.generation,
                segment: head.segment,
                slot: Slot(slot),
            };
            let at = slot as usize * BLOCK_BYTES;
            let Some(sealed) = bytes.get(at..at + BLOCK_BYTES) else { return Ok(false) };
            let mut block = zeroize::Zeroizing::new([0; BLOCK_BYTES]);
            block.copy_from_slice(sealed);
            if keys.open_block(&key, &identity, &entry.tag, &mut block[..]).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks for anything that can only exist if the log once went on, durably, after `tip`.
    /// Gives the highest attach seen.
    ///
    /// What an earlier attach than `tip`'s wrote beyond the cut is no such thing: nobody relied on
    /// it. Neither are groups that were not durable when the power went.
    fn refuse_a_break(
        &mut self,
        tip: &LogHead,
        attach: AttachNo,
        visited: &BTreeSet<SegmentNo>,
        end: Option<(SegmentNo, Slot)>,
    ) -> Result<AttachNo, OpenError> {
        let mut attach_newest = attach;
        let headers: Vec<_> =
            self.headers.iter().map(|(segment, header)| (*segment, *header)).collect();
        for (segment, header) in headers {
            let forged = OpenError::LogForged { segment, after: tip.sequence };
            let from = match end {
                Some((last, slot)) if last == segment => slot,
                _ if visited.contains(&segment) => continue,
                _ => Slot(1),
            };
            if let Some(header) = header {
                attach_newest = attach_newest.max(header.attach);
                if header.attach >= attach && header.predecessor > tip.sequence {
                    return Err(forged);
                }
            }
            for slot in from.0..self.slots {
                let Some(Footer { head, .. }) = self.footer_at(segment, Slot(slot))? else {
                    continue;
                };
                attach_newest = attach_newest.max(head.attach);
                // A header is durable before the first group of its segment is written.
                let orphan = header.is_none();
                if head.attach >= attach && (orphan || head.durable > tip.sequence) {
                    return Err(forged);
                }
            }
        }
        Ok(attach_newest)
    }

    fn read_header(&self, segment: SegmentNo) -> Result<Option<Header>, OpenError> {
        let mut bytes = [0; BLOCK_BYTES];
        let read = self.disk.read(Object::Segment(segment), 0, &mut bytes)?;
        if read < BLOCK_BYTES || self.keys.verify_header(&bytes).is_err() {
            return Ok(None);
        }
        let header = Header::decode(&bytes).ok();
        Ok(header.filter(|header| {
            header.segment == segment
                && header.volume == self.identity.volume
                && header.epoch == self.identity.epoch
        }))
    }

    fn load(&mut self, segment: SegmentNo) -> Result<&[u8], DiskError> {
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != segment) {
            let mut bytes = vec![0; self.slots as usize * BLOCK_BYTES];
            let read = self.disk.read(Object::Segment(segment), 0, &mut bytes)?;
            bytes.truncate(read);
            self.loaded = Some((segment, bytes));
        }
        Ok(self.loaded.as_ref().map_or(&[], |(_, bytes)| bytes))
    }
}
