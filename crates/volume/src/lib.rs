//! A sealed virtual disk, kept as a log of segments that are written once.
//!
//! **Decides** where a block goes, under which key it is sealed, which prefix of a log counts after
//! a crash, what is fresh and what is an older copy, and when a segment may be given back.
//! **Deliberately does not know** what a file, a socket, a thread or a clock is: it is handed a
//! [`Disk`] and a source of randomness, and turns blocks into sealed blocks. Neither does it know
//! who may read the volume or where its key came from.
//!
//! **Start reading** in [`Engine`] (`engine.rs`), then `commit.rs` (how a flush becomes durable),
//! `recover.rs` (what counts after a crash) and `compact.rs` (how space comes back). `seal.rs` is
//! the only place where plaintext becomes ciphertext; `docs/formats/volume.md` has the byte tables.

#![forbid(unsafe_code)]

mod check;
mod checkpoint;
mod commit;
mod compact;
mod disk;
mod engine;
mod errors;
pub mod format;
mod geometry;
mod map;
mod pending;
mod recover;
mod seal;
mod segments;
mod walk;

pub use check::{BadBlock, CheckStep};
pub use disk::{Disk, DiskError, Object, SuperblockNo, SyncJob};
pub use engine::{Anchor, Engine, Flush, Freshness, Identity, RollbackAccepted, Stats};
pub use errors::{BlockError, FormatError, OpenError, ReadError, WriteError};
pub use geometry::{
    AttachNo, BLOCK_BYTES, ByteLen, Epoch, GROUP_BLOCKS_MAX, Generation, Geometry, Lba, Params,
    ParamsError, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SegmentNo, Sequence,
    Slot, TRIMS_PER_GROUP_MAX, VOLUME_BYTES_MAX,
};
