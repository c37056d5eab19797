//! The footer of a commit group: a head in the clear, a sealed body that lists what the group's
//! slots hold and what it trims, and a MAC over both.

use crypto::{Id, Salt};

use super::{DecodeError, MAC_BYTES, Reader, VERSION, Writer};
use crate::seal::Tag;
use crate::{
    AttachNo, BLOCK_BYTES, Epoch, GROUP_BLOCKS_MAX, Generation, Lba, SegmentNo, Sequence, Slot,
    TRIMS_PER_GROUP_MAX,
};

pub const MAGIC: [u8; 8] = *b"SLNVFOOT";
/// The head: what the body's key is derived from, and its additional data.
pub const HEAD_BYTES: usize = 120;
const ENTRY_BYTES: usize = 32;
const TRIM_BYTES: usize = 16;

/// What the blocks of a group are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// New contents. Its trims come first, then its blocks.
    Writes,
    /// Blocks that compaction has moved. Each counts only if the map still has its generation.
    Moves,
    /// Pages of the map.
    Pages,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub kind: Kind,
    pub epoch: Epoch,
    pub volume: Id,
    pub segment: SegmentNo,
    pub first_slot: Slot,
    pub blocks: u32,
    pub trims: u32,
    pub attach: AttachNo,
    pub sequence: Sequence,
    /// The last group that was durable when this one was sealed. Should it be gone later, then it
    /// was not the power that took it.
    pub durable: Sequence,
    pub salt: Salt,
    pub previous_mac: [u8; MAC_BYTES],
}

/// What one slot of the group holds. For a page, `lba` is its number and `generation` the sequence
/// of the group before its checkpoint, plus one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub lba: Lba,
    pub generation: Generation,
    pub tag: Tag,
}

/// Blocks that hold zeros from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    pub lba: Lba,
    pub blocks: u64,
}

fn body_bytes(blocks: u32, trims: u32) -> usize {
    blocks as usize * ENTRY_BYTES + trims as usize * TRIM_BYTES
}

/// How many slots the footer of such a group fills.
pub(crate) fn slots(blocks: u32, trims: u32) -> u32 {
    let bytes = HEAD_BYTES + Tag::LEN + body_bytes(blocks, trims) + MAC_BYTES;
    u32::try_from(bytes.div_ceil(BLOCK_BYTES)).expect("a footer is a few blocks long")
}

/// Where the parts of a footer of so many blocks and trims are.
pub(crate) struct Layout {
    pub(crate) bytes: usize,
    pub(crate) body: std::ops::Range<usize>,
}

impl Head {
    pub(crate) fn layout(&self) -> Layout {
        let bytes = slots(self.blocks, self.trims) as usize * BLOCK_BYTES;
        let body = HEAD_BYTES + Tag::LEN;
        Layout { bytes, body: body..body + body_bytes(self.blocks, self.trims) }
    }

    pub(crate) fn encode(&self, bytes: &mut [u8]) {
        let mut writer = Writer::new(&mut bytes[..HEAD_BYTES]);
        writer.put(&MAGIC);
        writer.u16(VERSION);
        writer.put(&[self.kind as u8 + 1, 0]);
        writer.u32(self.epoch.0);
        writer.put(self.volume.as_bytes());
        writer.u32(self.segment.0);
        writer.u32(self.first_slot.0);
        writer.u32(self.blocks);
        writer.u32(self.trims);
        writer.u64(self.attach.0);
        writer.u64(self.sequence.0);
        writer.u64(self.durable.0);
        writer.put(&self.salt.0);
        writer.put(&self.previous_mac);
    }

    /// # Errors
    /// [`DecodeError`] if these bytes do not begin with a footer's head of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.expect_start(&MAGIC)?;
        let kind = match reader.take()? {
            [1, 0] => Kind::Writes,
            [2, 0] => Kind::Moves,
            [3, 0] => Kind::Pages,
            _ => return Err(DecodeError::Field("kind")),
        };
        let head = Self {
            kind,
            epoch: Epoch(reader.u32()?),
            volume: Id::from_bytes(reader.take()?),
            segment: SegmentNo(reader.u32()?),
            first_slot: Slot(reader.u32()?),
            blocks: reader.u32()?,
            trims: reader.u32()?,
            attach: AttachNo(reader.u64()?),
            sequence: Sequence(reader.u64()?),
            durable: Sequence(reader.u64()?),
            salt: Salt(reader.take()?),
            previous_mac: reader.take()?,
        };
        if head.blocks > GROUP_BLOCKS_MAX {
            return Err(DecodeError::Field("blocks"));
        }
        if head.trims > TRIMS_PER_GROUP_MAX {
            return Err(DecodeError::Field("trims"));
        }
        Ok(head)
    }
}

pub(crate) fn encode_body(entries: &[Entry], trims: &[Trim], body: &mut [u8]) {
    let mut writer = Writer::new(body);
    for entry in entries {
        writer.u64(entry.lba.0);
        writer.u64(entry.generation.0);
        writer.put(&entry.tag.0);
    }
    for trim in trims {
        writer.u64(trim.lba.0);
        writer.u64(trim.blocks);
    }
}

/// # Errors
/// [`DecodeError`] if `body` is shorter than `blocks` and `trims` take.
pub fn decode_body(
    blocks: u32,
    trims: u32,
    body: &[u8],
) -> Result<(Vec<Entry>, Vec<Trim>), DecodeError> {
    let mut reader = Reader::new(body);
    let entries = (0..blocks)
        .map(|_| {
            Ok(Entry {
                lba: Lba(reader.u64()?),
                generation: Generation(reader.u64()?),
                tag: Tag(reader.take()?),
            })
        })
        .collect::<Result<_, DecodeError>>()?;
    let trims = (0..trims)
        .map(|_| Ok(Trim { lba: Lba(reader.u64()?), blocks: reader.u64()? }))
        .collect::<Result<_, DecodeError>>()?;
    Ok((entries, trims))
}
