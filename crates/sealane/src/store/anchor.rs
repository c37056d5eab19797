//! What the store cannot roll back by itself: a small file that says how far the store has come.
//!
//! It belongs on another disk than the store. On the same disk it still catches a store that was put
//! back alone.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crypto::Id;
use crypto::mac::Mac;
use keys::hex;
use serde::{Deserialize, Serialize};

use super::StoreError;

const VERSION: u32 = 1;
/// One sector of any disk, so that a torn write cannot reach into the other slot.
const SLOT_BYTES: usize = 4096;

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

/// An anchor in a file of two slots, written in turn and in place.
///
/// In place, since the process that advances it may be allowed to write to this one file and to
/// nothing beside it, and since a full disk must not keep an anchor behind. In turn, so that a write
/// which the power cut short spoils only the slot that was older anyway.
#[derive(Debug)]
pub struct AnchorFile {
    path: PathBuf,
    /// Opened by whoever may walk to it; `None`: by its path.
    held: Option<File>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    version: u32,
    store: Id,
    sequence: u64,
    #[serde(with = "hex::bytes")]
    mac: [u8; Mac::LEN],
}

/// What was found in a slot.
enum Slot {
    Whole(Anchor),
    OtherVersion(u32),
    Damaged,
}

impl AnchorFile {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), held: None }
    }

    /// An anchor that somebody else opened, for reading and writing; `path` is what errors call it.
    #[must_use]
    pub fn held(path: impl Into<PathBuf>, file: File) -> Self {
        Self { path: path.into(), held: Some(file) }
    }

    /// Opens the file at `path` for [`AnchorFile::held`].
    ///
    /// # Errors
    /// [`StoreError`] if there is none, or it cannot be written.
    pub fn open(path: &Path) -> Result<File, StoreError> {
        OpenOptions::new().read(true).write(true).open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::AnchorMissing { path: path.to_owned() },
            _ => StoreError::io("open", path, error),
        })
    }

    fn file(&self) -> Result<File, StoreError> {
        match &self.held {
            Some(file) => {
                file.try_clone().map_err(|error| StoreError::io("open", &self.path, error))
            }
            None => Self::open(&self.path),
        }
    }

    /// Both slots. By position: the offset is shared with whoever else holds the file.
    fn slots(&self, file: &File) -> Result<[Slot; 2], StoreError> {
        let failed = |error| StoreError::io("read", &self.path, error);
        let length = file.metadata().map_err(failed)?.len();
        if length != 2 * SLOT_BYTES as u64 {
            let detail = format!("it is {length} bytes long, not {}", 2 * SLOT_BYTES);
            return Err(StoreError::AnchorDamaged { path: self.path.clone(), detail });
        }
        let mut bytes = [0; 2 * SLOT_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let (first, second) = bytes.split_at(SLOT_BYTES);
        Ok([read_slot(first), read_slot(second)])
    }
}

/// One line of JSON, its SHA-256, and spaces up to the line feed.
fn slot(anchor: &Anchor) -> [u8; SLOT_BYTES] {
    let Anchor { store, sequence, mac } = *anchor;
    let line = Line { version: VERSION, store, sequence, mac: mac.0 };
    let json = serde_json::to_string(&line).expect("an anchor has only strings and numbers");
    let sum = hex::encode(&crypto::mac::sha256(json.as_bytes()));
    let text = format!("{json} {sum}");
    let mut bytes = [b' '; SLOT_BYTES];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes[SLOT_BYTES - 1] = b'\n';
    bytes
}

fn read_slot(bytes: &[u8]) -> Slot {
    let mut lines = serde_json::Deserializer::from_slice(bytes).into_iter::<Line>();
    let Some(Ok(line)) = lines.next() else { return Slot::Damaged };
    if line.version != VERSION {
        return Slot::OtherVersion(line.version);
    }
    let anchor = Anchor { store: line.store, sequence: line.sequence, mac: Mac(line.mac) };
    // Written again it must be the same to the last space: nothing in it may be changed unseen.
    if slot(&anchor) == bytes { Slot::Whole(anchor) } else { Slot::Damaged }
}

/// Which slot counts, if any: the one that is further.
fn newest(slots: &[Slot; 2]) -> Option<(usize, Anchor)> {
    let whole = slots.iter().enumerate().filter_map(|(index, slot)| match slot {
        Slot::Whole(anchor) => Some((index, *anchor)),
        Slot::OtherVersion(_) | Slot::Damaged => None,
    });
    whole.max_by_key(|(_, anchor)| anchor.sequence)
}

impl AnchorKeeper for AnchorFile {
    fn read(&self) -> Result<Anchor, StoreError> {
        let slots = self.slots(&self.file()?)?;
        let damaged =
            |detail: String| StoreError::AnchorDamaged { path: self.path.clone(), detail };
        for slot in &slots {
            if let Slot::OtherVersion(version) = slot {
                return Err(damaged(format!(
                    "it has version {version}; this program knows version {VERSION}"
                )));
            }
        }
        newest(&slots)
            .map(|(_, anchor)| anchor)
            .ok_or_else(|| damaged("neither of its two lines is whole".to_owned()))
    }

    fn advance(&self, anchor: &Anchor) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("write", &self.path, error);
        let file = match self.file() {
            Err(StoreError::AnchorMissing { .. }) => {
                // A new store's first: whole, or not there.
                let both = [slot(anchor), slot(anchor)].concat();
                return replace_file(&self.path, &both).map_err(failed);
            }
            file => file?,
        };
        let older = newest(&self.slots(&file)?).map_or(0, |(newest, _)| 1 - newest);
        file.write_all_at(&slot(anchor), (older * SLOT_BYTES) as u64)
            .and_then(|()| file.sync_data())
            .map_err(failed)
    }

    fn path(&self) -> &Path {
        &self.path
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

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(sequence: u64) -> Anchor {
        Anchor { store: Id::from_bytes([7; 16]), sequence, mac: Mac([3; Mac::LEN]) }
    }

    #[test]
    fn a_torn_write_leaves_the_anchor_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        let keeper = AnchorFile::new(&path);
        assert!(matches!(keeper.read(), Err(StoreError::AnchorMissing { .. })));
        for sequence in 1..6 {
            keeper.advance(&anchor(sequence)).unwrap();
            assert_eq!(keeper.read().unwrap(), anchor(sequence));
        }
        let before = fs::read(&path).unwrap();
        keeper.advance(&anchor(6)).unwrap();
        let after = fs::read(&path).unwrap();
        let changed: Vec<_> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
        assert!(changed.iter().all(|at| at / SLOT_BYTES == changed[0] / SLOT_BYTES));
        // Every prefix of the write that changes something.
        for cut in changed {
            let torn = [&after[..cut], &before[cut..]].concat();
            fs::write(&path, torn).unwrap();
            assert_eq!(keeper.read().unwrap(), anchor(5), "torn at byte {cut}");
            keeper.advance(&anchor(6)).unwrap();
            assert_eq!(keeper.read().unwrap(), anchor(6));
        }
    }

    #[test]
    fn v1_is_read_and_written_as_it_was() {
        let golden = include_str!("../../tests/golden/test-store-anchor-v1.txt");
        let mut bytes = [b' '; SLOT_BYTES];
        bytes[..golden.trim_end().len()].copy_from_slice(golden.trim_end().as_bytes());
        bytes[SLOT_BYTES - 1] = b'\n';
        assert_eq!(slot(&anchor(9)), bytes, "the format changed: old anchors must be read");
        assert!(matches!(read_slot(&bytes), Slot::Whole(read) if read == anchor(9)));
    }

    #[test]
    fn an_anchor_that_is_held_needs_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        AnchorFile::new(&path).advance(&anchor(1)).unwrap();
        let held = AnchorFile::held("gone", AnchorFile::open(&path).unwrap());
        held.advance(&anchor(2)).unwrap();
        assert_eq!(AnchorFile::new(&path).read().unwrap(), anchor(2));
    }
}
