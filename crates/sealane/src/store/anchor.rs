//! What the store cannot roll back by itself: a small file that says how far the store has come.
//!
//! It belongs on another disk than the store. On the same disk it still catches a store that was put
//! back alone.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crypto::Id;
use crypto::mac::Mac;
use keys::hex;
use serde::{Deserialize, Serialize};

use super::StoreError;

const VERSION: u32 = 1;
/// Longer than any anchor: read no more than this.
const FILE_BYTES_MAX: u64 = 1024;

/// How far a store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub store: Id,
    pub sequence: u64,
    /// Over the whole authenticated root at that sequence.
    pub mac: Mac,
}

/// Where an anchor is kept. Advancing it must be durable and atomic.
pub trait AnchorKeeper: Send + Sync {
    /// # Errors
    /// [`StoreError`] if there is none or it cannot be read.
    fn read(&self) -> Result<Anchor, StoreError>;

    /// # Errors
    /// [`StoreError`] if it cannot be made durable; the anchor is then the old or the new one.
    fn advance(&self, anchor: &Anchor) -> Result<(), StoreError>;

    /// What to call it in an error.
    fn path(&self) -> &Path;
}

/// An anchor in a file.
#[derive(Clone, Debug)]
pub struct AnchorFile(PathBuf);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    version: u32,
    store: Id,
    sequence: u64,
    #[serde(with = "hex::bytes")]
    mac: [u8; Mac::LEN],
}

impl AnchorFile {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl AnchorKeeper for AnchorFile {
    fn read(&self) -> Result<Anchor, StoreError> {
        let path = &self.0;
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::AnchorMissing { path: path.clone() },
            _ => StoreError::io("read", path, error),
        })?;
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|error| StoreError::io("read", path, error))?;
        let damaged = |detail: String| StoreError::AnchorDamaged { path: path.clone(), detail };
        let line: Line =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if line.version != VERSION {
            return Err(damaged(format!(
                "it has version {}; this program knows version {VERSION}",
                line.version
            )));
        }
        Ok(Anchor { store: line.store, sequence: line.sequence, mac: Mac(line.mac) })
    }

    fn advance(&self, anchor: &Anchor) -> Result<(), StoreError> {
        let Anchor { store, sequence, mac } = *anchor;
        let line = Line { version: VERSION, store, sequence, mac: mac.0 };
        let mut text = serde_json::to_vec(&line).expect("an anchor has only strings and numbers");
        text.push(b'\n');
        replace_file(&self.0, &text).map_err(|error| StoreError::io("write", &self.0, error))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

/// Replaces a file of mode 0600 so that after a crash it is wholly the old or wholly the new one.
///
/// # Errors
/// Those of the file system.
pub fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_dir_of(path)
}

/// Makes the names in the directory of `path` durable.
///
/// # Errors
/// Those of the file system.
pub fn sync_dir_of(path: &Path) -> std::io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(dir)?.sync_all()
}
