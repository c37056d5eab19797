use std::io;
use std::path::PathBuf;

use miette::Diagnostic;

/// What went wrong with the store, by who must act: the operator for all but the last group.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StoreError {
    #[error("there is no store at {}", path.display())]
    #[diagnostic(help(
        "restore the file from a backup of the store; the root seal alone cannot bring it back"
    ))]
    Missing { path: PathBuf },
    #[error("cannot {act} {}", path.display())]
    #[diagnostic(help(
        "check that the file exists, that its owner may write to it, and that the disk works"
    ))]
    Io {
        act: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the disk is full: {} cannot grow", path.display())]
    #[diagnostic(help(
        "free some space on that file system and try again; what was acknowledged before is safe"
    ))]
    DiskFull { path: PathBuf },
    #[error("the store {} is damaged: {detail}", path.display())]
    #[diagnostic(help(
        "the file was left as it was found; restore it and its anchor from a backup of the store"
    ))]
    Corrupted { path: PathBuf, detail: String },
    #[error("{} is in use by another process", path.display())]
    #[diagnostic(help("stop the other process first: `sealane down`"))]
    InUse { path: PathBuf },

    #[error("record {name} of table {table} in {} was changed: {reason}", path.display())]
    #[diagnostic(help(
        "somebody or something other than this cell wrote to the store; restore it from a backup"
    ))]
    RecordForged { path: PathBuf, table: String, name: String, reason: String },
    #[error("record {name} of table {table} in {} is there and cannot be found: the file's structure was changed", path.display())]
    #[diagnostic(help(
        "somebody or something other than this cell wrote to the store; restore it from a backup"
    ))]
    RecordHidden { path: PathBuf, table: String, name: String },
    #[error("record {name} of table {table} in {} is not its newest version: an old record was put back", path.display())]
    #[diagnostic(help(
        "somebody wrote to the store while it was closed; restore the whole store from a backup, or take it as it is on purpose: `sealane kms serve --accept-rollback`"
    ))]
    RecordReplayed { path: PathBuf, table: String, name: String },
    #[error("the records in {} are not those that the cell wrote: {expected} were expected, {found} are there", path.display())]
    #[diagnostic(help(
        "somebody removed, added or put back records; restore the whole store from a backup, or take it as it is on purpose: `sealane kms serve --accept-rollback`"
    ))]
    RecordsDiffer { path: PathBuf, expected: u64, found: u64 },

    #[error("the store was rolled back: it stands at transaction {store}, its anchor at {anchor}")]
    #[diagnostic(help("an old copy of {} was put back; put the newest copy back, or take this one on purpose: `sealane kms serve --accept-rollback`", path.display()))]
    RolledBack { path: PathBuf, store: u64, anchor: u64 },
    #[error(
        "the anchor is older than the store: it stands at transaction {anchor}, the store at {store}"
    )]
    #[diagnostic(help("an old copy of {} was put back; put the newest copy back, or take this one on purpose: `sealane kms serve --accept-rollback`", path.display()))]
    AnchorOld { path: PathBuf, store: u64, anchor: u64 },
    #[error(
        "the store is not the one its anchor saw: both stand near transaction {sequence}, with different content"
    )]
    #[diagnostic(help("two copies of one store were both written to; keep the one that belongs to the anchor {}", path.display()))]
    Forked { path: PathBuf, sequence: u64 },
    #[error("there is no anchor at {}", path.display())]
    #[diagnostic(help(
        "it tells a rolled-back store from the newest one: put it back there, or attach the disk that it is on"
    ))]
    AnchorMissing { path: PathBuf },
    #[error("{} is not an anchor: {detail}", path.display())]
    #[diagnostic(help("put the newest copy of the anchor back there"))]
    AnchorDamaged { path: PathBuf, detail: String },
    #[error("{} is the anchor of another store", path.display())]
    #[diagnostic(help("put the anchor that belongs to this store there"))]
    AnchorOfOtherStore { path: PathBuf },

    #[error("record {name} of table {table} was changed by somebody else meanwhile")]
    #[diagnostic(help("read it again and decide anew"))]
    Conflict { table: String, name: String },
    #[error("record {name} of table {table} cannot be read: {detail}")]
    #[diagnostic(help("it was written by another version of this program; use that version"))]
    Unreadable { table: String, name: String, detail: String },
    #[error("the name of a record is {0} bytes long; 1 to {max} are allowed", max = super::NAME_BYTES_MAX)]
    NameLength(usize),
    #[error("a record is {0} bytes long; at most {max} are allowed", max = super::VALUE_BYTES_MAX)]
    ValueLength(usize),
}

impl StoreError {
    pub(crate) fn io(act: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { act, path, source },
        }
    }
}
