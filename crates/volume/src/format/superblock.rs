//! The superblock: what a volume is, and where its log is to be read from.

use crypto::Id;

use super::{DecodeError, MAC_BYTES, Reader, VERSION, Writer};
use crate::{Anchor, AttachNo, BLOCK_BYTES, ByteLen, Epoch, Generation, SegmentNo, Sequence, Slot};

pub const MAGIC: [u8; 8] = *b"SLNVSUPR";
/// Anchors that a checkpoint remembers after their footers are gone.
pub const ANCHORS_MAX: usize = 64;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    pub volume: Id,
    pub epoch: Epoch,
    pub segment_bytes: u32,
    pub size: ByteLen,
    /// The higher revision of two superblocks counts.
    pub revision: u64,
    pub generation_next: Generation,
    pub attach: AttachNo,
    pub checkpoint: Checkpoint,
    /// At most [`ANCHORS_MAX`].
    pub anchors: Vec<Anchor>,
}

/// Where recovery begins: the map's pages fill `groups` groups from here on, then come the groups
/// that were written after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    pub segment: SegmentNo,
    pub slot: Slot,
    /// Of the last group before the checkpoint.
    pub before: Sequence,
    pub before_mac: [u8; MAC_BYTES],
    pub groups: u64,
    /// Of the checkpoint's last group; `before_mac` where it has none.
    pub last_mac: [u8; MAC_BYTES],
}

impl Superblock {
    /// Everything but the MAC, which fills the last 32 bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8; BLOCK_BYTES]> {
        let mut bytes = Box::new([0; BLOCK_BYTES]);
        let mut writer = Writer::new(&mut bytes[..]);
        writer.put(&MAGIC);
        writer.u16(VERSION);
        writer.put(&[0; 6]);
        writer.put(self.volume.as_bytes());
        writer.u32(self.epoch.0);
        writer.u32(self.segment_bytes);
        writer.u64(self.size.0);
        writer.u64(self.revision);
        writer.u64(self.generation_next.0);
        writer.u64(self.attach.0);
        writer.u32(self.checkpoint.segment.0);
        writer.u32(self.checkpoint.slot.0);
        writer.u64(self.checkpoint.before.0);
        writer.put(&self.checkpoint.before_mac);
        writer.u64(self.checkpoint.groups);
        writer.put(&self.checkpoint.last_mac);
        assert!(self.anchors.len() <= ANCHORS_MAX, "the engine keeps no more anchors");
        writer.u32(u32::try_from(self.anchors.len()).expect("at most 64"));
        for anchor in &self.anchors {
            writer.u64(anchor.attach.0);
            writer.u64(anchor.sequence.0);
            writer.put(&anchor.footer_mac);
        }
        bytes
    }

    /// # Errors
    /// [`DecodeError`] if these bytes are not a superblock of this version.
    pub fn decode(bytes: &[u8; BLOCK_BYTES]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(&bytes[..BLOCK_BYTES - MAC_BYTES]);
        reader.expect_start(&MAGIC)?;
        let _zero: [u8; 6] = reader.take()?;
        let mut superblock = Self {
            volume: Id::from_bytes(reader.take()?),
            epoch: Epoch(reader.u32()?),
            segment_bytes: reader.u32()?,
            size: ByteLen(reader.u64()?),
            revision: reader.u64()?,
            generation_next: Generation(reader.u64()?),
            attach: AttachNo(reader.u64()?),
            checkpoint: Checkpoint {
                segment: SegmentNo(reader.u32()?),
                slot: Slot(reader.u32()?),
                before: Sequence(reader.u64()?),
                before_mac: reader.take()?,
                groups: reader.u64()?,
                last_mac: reader.take()?,
            },
            anchors: Vec::new(),
        };
        let anchors = reader.u32()? as usize;
        if anchors > ANCHORS_MAX {
            return Err(DecodeError::Field("anchors"));
        }
        for _ in 0..anchors {
            superblock.anchors.push(Anchor {
                attach: AttachNo(reader.u64()?),
                sequence: Sequence(reader.u64()?),
                footer_mac: reader.take()?,
            });
        }
        Ok(superblock)
    }
}
