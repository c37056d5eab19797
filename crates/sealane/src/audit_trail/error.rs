use std::io;
use std::path::{Path, PathBuf};

use keys::audit_trail::FirstBroken;
use keys::service_log::LogError;

/// Why a trail was not opened, or not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    #[error("{path}: another process writes this audit trail")]
    InUse { path: PathBuf },
    #[error("cannot {act} {path}: {error}")]
    Io { act: &'static str, path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Sealed { path: PathBuf, error: LogError },
    #[error("{path}: the audit trail was tampered with: {error}")]
    Broken { path: PathBuf, error: FirstBroken },
    /// Its end was cut off, as a segment is finished before the next is begun.
    #[error("{path}: this segment of the audit trail has lost its end, though another follows it")]
    Unfinished { path: PathBuf },
    #[error(
        "{path}: this segment of the audit trail is missing: it should begin with record {first}"
    )]
    SegmentMissing { path: PathBuf, first: u64 },
    #[error(
        "the audit trail was cut: it ends after {found} records, the store says that there are \
         {stored} at least; put back the trail, or the store that belongs to it"
    )]
    Cut { found: u64, stored: u64 },
    #[error(
        "the store was rolled back: the audit trail has a change (record {intent}) that the store, \
         which knows {stored} records, has not; put back the newer store"
    )]
    StoreBehind { intent: u64, stored: u64 },
    #[error(transparent)]
    Poisoned(#[from] Poison),
    #[error("cannot start the threads of the audit trail: {0}")]
    Threads(io::Error),
    #[error("cannot write the audit trail to where it is wanted: {0}")]
    Export(io::Error),
}

impl TrailError {
    pub(super) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { act, path, error }
    }
}

/// Why an event is not on record. Whoever asked for the call must be refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Poisoned(#[from] Poison),
    #[error("the audit trail was closed")]
    Closed,
    #[error("{max} changes are waiting for their outcome to be recorded; no more are begun")]
    TooManyIntents { max: usize },
}

/// What broke the trail. It takes nothing more until it is opened again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// The disk took no more bytes. What it took before it still has, so that the trail can be
    /// opened again while the cell runs.
    #[error("no space is left for the audit trail in {path}; make room")]
    DiskFull { path: PathBuf },
    /// Nobody knows what the disk holds: after a failed sync, a second one that succeeds would prove
    /// nothing.
    #[error(
        "the audit trail failed to {act} {path}: {detail}; mend the disk, then start the cell again"
    )]
    DiskFailed { act: &'static str, path: PathBuf, detail: String },
}

impl Poison {
    pub(super) fn of(act: &'static str, path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
                if act == "write" =>
            {
                Self::DiskFull { path }
            }
            _ => Self::DiskFailed { act, path, detail: error.to_string() },
        }
    }
}
