//! The bytes of format version 1, as `docs/formats/volume.md` lists them. All numbers are
//! big-endian. Nothing here knows a key: a decoded value is only as true as the MAC that
//! `seal.rs` has checked over its bytes.

pub mod footer;
pub mod header;
pub mod page;
pub mod superblock;

/// Written into every object, bound into every sealed block.
pub const VERSION: u16 = 1;
/// Every MAC'd object ends in its MAC.
pub(crate) const MAC_BYTES: usize = 32;

/// Why bytes are not what they should be. Which field, so that a damaged disk can be explained.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("too short")]
    Short,
    #[error("not the magic of this kind of object")]
    Magic,
    #[error("format version {0}")]
    Version(u16),
    #[error("{0} is outside its limits")]
    Field(&'static str),
}

/// Puts fields into a buffer of fixed length, one after the other.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn put(&mut self, field: &[u8]) {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.put(&number.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.put(&number.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.put(&number.to_be_bytes());
    }
}

/// Takes fields off bytes that anyone may have written.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take().map(u64::from_be_bytes)
    }

    /// The magic, then the version, as every object begins.
    pub(crate) fn expect_start(&mut self, magic: &[u8; 8]) -> Result<(), DecodeError> {
        if &self.take()? != magic {
            return Err(DecodeError::Magic);
        }
        match self.u16()? {
            VERSION => Ok(()),
            other => Err(DecodeError::Version(other)),
        }
    }
}
