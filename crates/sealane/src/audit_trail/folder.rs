//! The folder of a trail: which segments there are, and the file that is being written.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use keys::audit_trail::{segment_first, segment_name};

use super::TrailError;

/// Where segments are written. A trait, so that tests can have a disk that fails.
pub(super) trait Medium: Send {
    /// A new and empty segment; it is there after a crash only once it was synced.
    fn create(&mut self, first: u64) -> io::Result<Box<dyn Appending>>;
    fn path(&self, first: u64) -> PathBuf;
}

/// The segment being written.
pub(super) trait Appending: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes durable what was appended. Not to be tried again after an error.
    fn sync(&mut self) -> io::Result<()>;
}

/// The folder, which this process alone writes for as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Locked.
    folder: File,
}

impl Folder {
    pub(super) fn lock(path: &Path) -> Result<Self, TrailError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(TrailError::io("make", path)(error)),
        }
        let folder = File::open(path).map_err(TrailError::io("open", path))?;
        match folder.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), folder }),
            Err(TryLockError::WouldBlock) => Err(TrailError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(TrailError::io("lock", path)(error)),
        }
    }

    /// The segment `first`, cut to `len` bytes, to be gone on with.
    pub(super) fn resume(&self, first: u64, len: u64) -> Result<Box<dyn Appending>, TrailError> {
        let path = segment_path(&self.path, first);
        let file = OpenOptions::new()
            .append(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(TrailError::io("open", &path))?;
        file.set_len(len).map_err(TrailError::io("cut the torn end off", &path))?;
        // Also makes durable what a process that was killed wrote and did not live to sync, before
        // anything is made to depend on it; and the file's name with it.
        file.sync_all().map_err(TrailError::io("sync", &path))?;
        self.folder.sync_all().map_err(TrailError::io("sync", &self.path))?;
        Ok(Box::new(SegmentFile { file, new_in: None }))
    }

    /// Removes a segment that was begun and got no record.
    pub(super) fn remove(&self, first: u64) -> Result<(), TrailError> {
        let path = segment_path(&self.path, first);
        std::fs::remove_file(&path).map_err(TrailError::io("remove", &path))?;
        self.folder.sync_all().map_err(TrailError::io("sync", &self.path))
    }
}

impl Medium for Folder {
    fn create(&mut self, first: u64) -> io::Result<Box<dyn Appending>> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.path(first))?;
        Ok(Box::new(SegmentFile { file, new_in: Some(self.folder.try_clone()?) }))
    }

    fn path(&self, first: u64) -> PathBuf {
        segment_path(&self.path, first)
    }
}

struct SegmentFile {
    file: File,
    /// The folder, until it was synced with the file's name in it.
    new_in: Option<File>,
}

impl Appending for SegmentFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if let Some(folder) = self.new_in.take() {
            folder.sync_all()?;
        }
        Ok(())
    }
}

pub(super) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(segment_name(first))
}

/// The first records of the segments in `folder`, in order. None if there is no such folder yet.
pub(super) fn segments(folder: &Path) -> Result<Vec<u64>, TrailError> {
    let failed = || TrailError::io("read", folder);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed())?,
    };
    let mut firsts = Vec::new();
    for entry in entries {
        // Anything else in the folder is not ours to judge.
        let name = entry.map_err(failed())?.file_name();
        firsts.extend(name.to_str().and_then(segment_first));
    }
    firsts.sort_unstable();
    Ok(firsts)
}
