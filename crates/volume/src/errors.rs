//! What can go wrong, one family for each operation; every error names the object at fault.

use crypto::Id;

use crate::{
    Anchor, AttachNo, ByteLen, DiskError, Epoch, Lba, ParamsError, SegmentNo, Sequence,
    SuperblockNo,
};

/// A volume was not made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FormatError {
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// Making a volume here would destroy one.
    #[error("the folder already holds {what}: nothing was changed; choose an empty folder")]
    Occupied { what: crate::Object },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A volume was not opened. Nothing on the disk was changed, unless the disk itself failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the folder holds no volume: superblock-0 and superblock-1 are missing")]
    NotAVolume,
    /// Never a reason to make a new volume here: the old one may still be whole.
    #[error(
        "neither superblock of volume {volume} verifies: either this is not the volume's key, \
         or both were changed; restore one of them from a copy"
    )]
    SuperblocksForged { volume: Id },
    #[error("the superblocks belong to volume {found}, not to {expected}")]
    OtherVolume { found: Id, expected: Id },
    #[error(
        "the volume is sealed under the data key of epoch {on_disk}, the key given is of {given}"
    )]
    KeyRetired { on_disk: Epoch, given: Epoch },
    #[error("{superblock:?} superblock has format version {found}; this program reads version 1")]
    VersionUnknown { superblock: SuperblockNo, found: u16 },
    #[error("the superblock names impossible sizes: {0}")]
    Params(#[from] ParamsError),
    /// Bytes were changed after they were durable.
    #[error(
        "segment {segment} was changed after it was written: the log breaks off after group \
         {after} although later groups exist; restore the segment from a copy"
    )]
    LogForged { segment: SegmentNo, after: Sequence },
    #[error("page {page} of the map, in segment {segment}, was changed after it was written")]
    PageForged { page: u64, segment: SegmentNo },
    #[error("segment {segment} is missing; it holds block {lba}")]
    SegmentMissing { segment: SegmentNo, lba: Lba },
    /// The disk is a true but older state of the volume.
    #[error(
        "the disk was rolled back: its log ends at group {found}, but group {expected} was \
         anchored; restore the newer state, or accept the loss explicitly"
    )]
    RolledBack { found: Sequence, expected: Sequence },
    /// The disk has groups after the anchor's, but not the anchor's: another history.
    #[error(
        "the disk holds another history of the volume: its log ends at group {found} and does \
         not contain the anchored group {expected}"
    )]
    Forked { found: Sequence, expected: Sequence },
    #[error("attach {given} is not newer than attach {newest}, which has already been used")]
    AttachStale { given: AttachNo, newest: AttachNo },
    #[error("{0}: the volume was not opened")]
    Disk(#[from] DiskError),
    #[error("the volume could not make room for its reserve: {0}")]
    Write(#[from] Box<WriteError>),
}

/// One block cannot be given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockError {
    /// Bytes changed after they were written. Never answered with data.
    #[error("block {lba} in segment {segment} was changed after it was written")]
    Forged { lba: Lba, segment: SegmentNo },
    #[error("block {lba}: segment {segment} ends before it")]
    Truncated { lba: Lba, segment: SegmentNo },
    #[error("block {lba}: {error}")]
    Disk { lba: Lba, error: DiskError },
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("reading {len} bytes at {offset}: the volume has {size}")]
    OutOfRange { offset: u64, len: u64, size: ByteLen },
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// A write, trim or flush did not happen. What was flushed before is not touched by this.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{len} bytes at {offset}: the volume has {size}")]
    OutOfRange { offset: u64, len: u64, size: ByteLen },
    /// Reads go on and trims are taken; they make room.
    #[error("no space left for new blocks of the volume: trim, or make room where it is kept")]
    Full,
    #[error(transparent)]
    Disk(DiskError),
    /// The part of a block that is kept could not be read.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// What a failed sync has kept is unknown; trying again would only pretend to know.
    #[error("the volume takes no writes since a sync failed ({0}); attach it again")]
    Poisoned(DiskError),
    #[error("segment numbers are used up; copy the volume to a new one")]
    SegmentNumbersUsedUp,
}

impl From<DiskError> for WriteError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Full { .. } => Self::Full,
            error => Self::Disk(error),
        }
    }
}

/// Where an anchor was to be found.
pub(crate) fn not_extended(found: Sequence, expected: &Anchor) -> OpenError {
    let expected = expected.sequence;
    if expected > found {
        OpenError::RolledBack { found, expected }
    } else {
        OpenError::Forked { found, expected }
    }
}
