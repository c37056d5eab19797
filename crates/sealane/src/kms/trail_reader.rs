//! The audit trail for those who read it: the lines themselves, some at a time, and what to check
//! them against.
//!
//! It needs the store and not a whole [`Kms`], which would refuse to open over a trail
//! that was tampered with: just then somebody wants to read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crypto::{Id, PublicKey};
use keys::audit_trail::TrailHead;
use serde::{Deserialize, Serialize};

use super::audit_key::public_key_of;
use super::records::{AUDIT_KEY, AUDIT_KEY_NAME, CELL, CELL_NAME, TRAIL_HEAD, TRAIL_HEAD_NAME};
use super::{Kms, KmsError};
use crate::audit_trail::{self, Lines, RingSource, TrailError};
use crate::store::{Reader, Store};

/// Bytes of lines in one answer. One line more may go over it.
const LINES_BYTES_MAX: usize = 2 << 20;
/// Places at which reading may go on without looking for them.
const CURSORS_MAX: usize = 8;

/// Reads a trail, whether it is being written or not.
pub struct TrailReader {
    dir: PathBuf,
    cell: Id,
    ring: RingSource,
    store: Arc<Store>,
    /// By the sequence of the line that comes next, the last used last.
    cursors: Vec<(u64, Lines)>,
}

/// What a trail is checked against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrailFacts {
    pub cell: Id,
    /// Signs the checkpoints. `None` where the cell was never opened with a trail.
    pub key: Option<PublicKey>,
    /// The head that the store carries: the trail contains it.
    pub stored: Option<TrailHead>,
}

/// Some lines, as they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrailLines {
    pub lines: Vec<String>,
    /// The sequence of the line after these.
    pub next: u64,
    /// Bytes at the end of the trail that are no whole frame.
    pub torn: u64,
    /// Why the line after these cannot be read.
    pub broken: Option<String>,
}

impl Kms {
    #[must_use]
    pub fn trail_reader(&self) -> TrailReader {
        TrailReader::over(Arc::clone(&self.store), self.cell.id, &self.trail.dir)
    }
}

impl TrailReader {
    /// Of the trail in `dir` that belongs to `store`.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read or does not say what cell it belongs to.
    pub fn open(store: Arc<Store>, dir: &Path) -> Result<Self, KmsError> {
        let identity = store.snapshot()?.get(&CELL, CELL_NAME)?;
        let cell = identity.ok_or(KmsError::NoIdentity)?.value.id;
        Ok(Self::over(store, cell, dir))
    }

    fn over(store: Arc<Store>, cell: Id, dir: &Path) -> Self {
        let of_ring = Arc::clone(&store);
        let ring: RingSource = Arc::new(move || of_ring.ring());
        Self { dir: dir.to_owned(), cell, ring, store, cursors: Vec::new() }
    }

    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn facts(&self) -> Result<TrailFacts, KmsError> {
        let snapshot = self.store.snapshot()?;
        let key = snapshot.get(&AUDIT_KEY, AUDIT_KEY_NAME)?;
        let key = key.map(|key| public_key_of(&snapshot, key.value)).transpose()?;
        let stored = snapshot.get(&TRAIL_HEAD, TRAIL_HEAD_NAME)?.map(|stored| stored.value);
        Ok(TrailFacts { cell: self.cell, key, stored })
    }

    /// The sequence of the line that will be written next.
    ///
    /// # Errors
    /// [`TrailError`] if the last segment cannot be read.
    pub fn end(&mut self) -> Result<u64, TrailError> {
        let mut lines = audit_trail::last_segment(&self.dir, self.cell, self.ring.clone())?;
        while lines.next_line()?.is_some() {}
        let end = lines.sequence();
        self.keep(lines);
        Ok(end)
    }

    /// The sequence of the first line that is not older than `millis` since 1970.
    ///
    /// # Errors
    /// [`TrailError`] if a segment cannot be read.
    pub fn find(&self, millis: u64) -> Result<u64, TrailError> {
        audit_trail::find_time(&self.dir, self.cell, &self.ring, millis)
    }

    /// Up to `limit` lines from `from` on, and never more than fit into an answer. Where one cannot
    /// be read, those before it are given out with the reason.
    pub fn read(&mut self, from: u64, limit: usize) -> TrailLines {
        let at = self.cursors.iter().position(|(next, _)| *next == from);
        let found = match at {
            Some(at) => Ok(self.cursors.remove(at).1),
            None => audit_trail::read_from(&self.dir, self.cell, self.ring.clone(), from),
        };
        let mut lines = match found {
            Ok(lines) => lines,
            Err(error) => {
                let broken = Some(error.to_string());
                return TrailLines { lines: Vec::new(), next: from, torn: 0, broken };
            }
        };
        let (mut read, mut bytes) = (Vec::new(), 0);
        let mut broken = None;
        while read.len() < limit && bytes < LINES_BYTES_MAX {
            match lines.next_line().map(|line| line.map(|line| std::str::from_utf8(line))) {
                Ok(Some(Ok(line))) => {
                    bytes += line.len();
                    read.push(line.to_owned());
                }
                Ok(None) => break,
                Ok(Some(Err(_))) => {
                    broken = Some("it is no text".to_owned());
                    break;
                }
                Err(error) => {
                    broken = Some(error.to_string());
                    break;
                }
            }
        }
        let (next, torn) = (from + read.len() as u64, lines.torn());
        if broken.is_none() {
            self.keep(lines);
        }
        TrailLines { lines: read, next, torn, broken }
    }

    fn keep(&mut self, lines: Lines) {
        if self.cursors.len() >= CURSORS_MAX {
            self.cursors.remove(0);
        }
        self.cursors.push((lines.sequence(), lines));
    }
}
