//! The header of a segment: whose it is, and which group its first group follows.

use crypto::Id;

use super::{DecodeError, MAC_BYTES, Reader, VERSION, Writer};
use crate::{AttachNo, BLOCK_BYTES, Epoch, SegmentNo, Sequence};

pub const MAGIC: [u8; 8] = *b"SLNVSEGM";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub volume: Id,
    pub epoch: Epoch,
    pub segment: SegmentNo,
    pub attach: AttachNo,
    /// The group that the segment's first group follows. In an attach's first segment this is the
    /// cut: whatever else claims to follow that group is not part of the log.
    pub predecessor: Sequence,
    pub predecessor_mac: [u8; MAC_BYTES],
}

impl Header {
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
        writer.u32(self.segment.0);
        writer.u64(self.attach.0);
        writer.u64(self.predecessor.0);
        writer.put(&self.predecessor_mac);
        bytes
    }

    /// # Errors
    /// [`DecodeError`] if these bytes are not a header of this version.
    pub fn decode(bytes: &[u8; BLOCK_BYTES]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(&bytes[..]);
        reader.expect_start(&MAGIC)?;
        let _zero: [u8; 6] = reader.take()?;
        Ok(Self {
            volume: Id::from_bytes(reader.take()?),
            epoch: Epoch(reader.u32()?),
            segment: SegmentNo(reader.u32()?),
            attach: AttachNo(reader.u64()?),
            predecessor: Sequence(reader.u64()?),
            predecessor_mac: reader.take()?,
        })
    }
}
