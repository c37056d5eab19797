//! What the engine asks of whatever keeps its bytes.

use std::fmt;

use crate::SegmentNo;

/// Which of the two superblocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SuperblockNo {
    First,
    Second,
}

impl SuperblockNo {
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];
}

/// Something with bytes of its own on the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Object {
    Superblock(SuperblockNo),
    Segment(SegmentNo),
}

/// The name of the object's file.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock(SuperblockNo::First) => f.write_str("superblock-0"),
            Self::Superblock(SuperblockNo::Second) => f.write_str("superblock-1"),
            Self::Segment(segment) => write!(f, "segment-{:08x}", segment.0),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DiskError {
    /// There is no room: make some, or trim.
    #[error("{object}: no space left where the volume is kept")]
    Full { object: Object },
    #[error("{object}: missing")]
    Missing { object: Object },
    #[error("{object}: exists already")]
    Exists { object: Object },
    #[error("{object}: input/output error: {detail}")]
    Failed { object: Object, detail: String },
    /// About the folder as a whole.
    #[error("the volume's folder: input/output error: {detail}")]
    FolderFailed { detail: String },
}

/// A sync that runs wherever the caller likes, without the engine: see `Engine::begin_flush`.
pub type SyncJob = Box<dyn FnOnce() -> Result<(), DiskError> + Send>;

/// A folder of superblocks and segments.
///
/// Written bytes may be read back at once, but survive a crash only after [`Disk::sync`]; created
/// and removed names only after [`Disk::sync_folder`]. Until then a crash may keep any part of
/// them, in any order. A sync that failed says nothing about what it should have kept.
pub trait Disk {
    /// Reads up to `bytes.len()` bytes; fewer only at the end of the object.
    ///
    /// # Errors
    /// [`DiskError::Missing`] where there is no such object, else what went wrong.
    fn read(&self, object: Object, offset: u64, bytes: &mut [u8]) -> Result<usize, DiskError>;

    /// Creates an object of `len` zero bytes whose space is taken already, so that writing into
    /// it later does not run out of space.
    ///
    /// # Errors
    /// [`DiskError::Exists`], [`DiskError::Full`] (and nothing is left behind) or a failure.
    fn create(&mut self, object: Object, len: u64) -> Result<(), DiskError>;

    /// Writes all of `bytes`, or fails having written any part of them.
    ///
    /// # Errors
    /// What went wrong; the same bytes may be written again.
    fn write(&mut self, object: Object, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Makes everything that was written to `object` durable, once the job is run.
    ///
    /// # Errors
    /// [`DiskError::Missing`] where there is no such object.
    fn sync_job(&self, object: Object) -> Result<SyncJob, DiskError>;

    /// # Errors
    /// As [`Disk::sync_job`]; also if the job fails.
    fn sync(&self, object: Object) -> Result<(), DiskError> {
        self.sync_job(object)?()
    }

    /// Makes what was created and removed durable.
    ///
    /// # Errors
    /// What went wrong.
    fn sync_folder(&self) -> Result<(), DiskError>;

    /// Removes an object; one that is not there counts as removed.
    ///
    /// # Errors
    /// What went wrong.
    fn remove(&mut self, object: Object) -> Result<(), DiskError>;

    /// Every segment that exists, in any order.
    ///
    /// # Errors
    /// What went wrong.
    fn segments(&self) -> Result<Vec<SegmentNo>, DiskError>;
}
