//! A folder of superblocks and segments, each a file.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use volume::{Disk, DiskError, Object, SegmentNo, SyncJob};

/// Files that are kept open at once; the one that was used longest ago makes room for the next.
const FILES_OPEN_MAX: usize = 256;

/// A volume's folder, held by this process alone.
pub struct FolderDisk {
    folder: OwnedFd,
    files: Mutex<OpenFiles>,
}

#[derive(Default)]
struct OpenFiles {
    by_object: HashMap<Object, (Arc<OwnedFd>, u64)>,
    uses: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenFolderError {
    #[error("{path}: another process has this volume attached; detach it there first")]
    InUse { path: PathBuf },
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
}

impl FolderDisk {
    /// Opens an existing folder and locks it for as long as the disk lives.
    ///
    /// # Errors
    /// [`OpenFolderError::InUse`] where another process has it, else what went wrong.
    pub fn open(path: &Path) -> Result<Self, OpenFolderError> {
        let failed =
            |error: Errno| OpenFolderError::Io { path: path.to_owned(), error: error.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { folder, files: Mutex::default() }),
            Err(Errno::WOULDBLOCK) => Err(OpenFolderError::InUse { path: path.to_owned() }),
            Err(error) => Err(failed(error)),
        }
    }

    fn file(&self, object: Object) -> Result<Arc<OwnedFd>, DiskError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.uses += 1;
        let now = files.uses;
        if let Some((file, used)) = files.by_object.get_mut(&object) {
            *used = now;
            return Ok(file.clone());
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.folder, object.to_string(), flags, Mode::empty())
            .map_err(|error| failed(object, error))?;
        let file = Arc::new(file);
        files.keep(object, file.clone());
        Ok(file)
    }
}

impl OpenFiles {
    fn keep(&mut self, object: Object, file: Arc<OwnedFd>) {
        if self.by_object.len() >= FILES_OPEN_MAX {
            let oldest = self.by_object.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(object, _)| *object) {
                self.by_object.remove(&oldest);
            }
        }
        let used = self.uses;
        self.by_object.insert(object, (file, used));
    }
}

impl Disk for FolderDisk {
    fn read(&self, object: Object, offset: u64, bytes: &mut [u8]) -> Result<usize, DiskError> {
        let file = self.file(object)?;
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pread(&file, &mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(object, error)),
            }
        }
        Ok(done)
    }

    fn create(&mut self, object: Object, len: u64) -> Result<(), DiskError> {
        let name = object.to_string();
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.folder, &name, flags, mode)
            .map_err(|error| failed(object, error))?;
        if let Err(error) = take_space(&file, len) {
            // Best effort: what is left behind is an empty segment, which the next attach removes.
            let _ = rustix::fs::unlinkat(&self.folder, &name, AtFlags::empty());
            return Err(failed(object, error));
        }
        let files = self.files.get_mut().unwrap_or_else(PoisonError::into_inner);
        files.uses += 1;
        files.keep(object, Arc::new(file));
        Ok(())
    }

    fn write(&mut self, object: Object, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.file(object)?;
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&file, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err(failed(object, Errno::IO)),
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(object, error)),
            }
        }
        Ok(())
    }

    fn sync_job(&self, object: Object) -> Result<SyncJob, DiskError> {
        let file = self.file(object)?;
        // Never again after an error, not even one that says "interrupted": see the engine.
        Ok(Box::new(move || rustix::fs::fdatasync(&file).map_err(|error| failed(object, error))))
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        rustix::fs::fsync(&self.folder).map_err(folder_failed)
    }

    fn remove(&mut self, object: Object) -> Result<(), DiskError> {
        let files = self.files.get_mut().unwrap_or_else(PoisonError::into_inner);
        files.by_object.remove(&object);
        match rustix::fs::unlinkat(&self.folder, object.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(object, error)),
        }
    }

    fn segments(&self) -> Result<Vec<SegmentNo>, DiskError> {
        let mut segments = Vec::new();
        let folder = rustix::fs::Dir::read_from(&self.folder).map_err(folder_failed)?;
        for entry in folder {
            let entry = entry.map_err(folder_failed)?;
            // Anything else in the folder is not ours to judge.
            if let Some(number) = segment_number(entry.file_name().to_bytes()) {
                segments.push(number);
            }
        }
        Ok(segments)
    }
}

fn segment_number(name: &[u8]) -> Option<SegmentNo> {
    let digits = std::str::from_utf8(name.strip_prefix(b"segment-")?).ok()?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    let segment = SegmentNo(number);
    // One name for each number, or two files could claim to be one segment.
    (Object::Segment(segment).to_string().as_bytes() == name).then_some(segment)
}

/// Reserves the file's blocks, so that writing into it later cannot run out of space. Where the
/// file system knows no reservation, the file is only made that long.
fn take_space(file: impl AsFd, len: u64) -> Result<(), Errno> {
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP) => rustix::fs::ftruncate(&file, len),
        result => result,
    }
}

fn failed(object: Object, error: Errno) -> DiskError {
    match error {
        Errno::NOSPC | Errno::DQUOT => DiskError::Full { object },
        Errno::NOENT => DiskError::Missing { object },
        Errno::EXIST => DiskError::Exists { object },
        error => DiskError::Failed { object, detail: io::Error::from(error).to_string() },
    }
}

fn folder_failed(error: Errno) -> DiskError {
    DiskError::FolderFailed { detail: io::Error::from(error).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_segment_has_one_name() {
        assert_eq!(segment_number(b"segment-0000002a"), Some(SegmentNo(42)));
        for name in
            ["segment-2a", "segment-0000002A", "segment-+000002a", "segment-", "superblock-0"]
        {
            assert_eq!(segment_number(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_folder_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderDisk::open(folder.path()).unwrap();
        let refused = FolderDisk::open(folder.path());
        assert!(matches!(refused, Err(OpenFolderError::InUse { .. })));
        drop(held);
        assert!(FolderDisk::open(folder.path()).is_ok());
    }

    #[test]
    fn files_beyond_the_limit_are_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = FolderDisk::open(folder.path()).unwrap();
        let count = u32::try_from(FILES_OPEN_MAX).unwrap() + 3;
        for number in 0..count {
            let object = Object::Segment(SegmentNo(number));
            disk.create(object, 4096).unwrap();
            disk.write(object, 4, &number.to_be_bytes()).unwrap();
        }
        assert_eq!(disk.files.lock().unwrap().by_object.len(), FILES_OPEN_MAX);
        for number in 0..count {
            let mut bytes = [0; 4];
            assert_eq!(disk.read(Object::Segment(SegmentNo(number)), 4, &mut bytes), Ok(4));
            assert_eq!(bytes, number.to_be_bytes());
        }
        assert_eq!(disk.segments().unwrap().len(), count as usize);
        let object = Object::Segment(SegmentNo(0));
        assert_eq!(disk.create(object, 1), Err(DiskError::Exists { object }));
        disk.remove(object).unwrap();
        disk.remove(object).unwrap();
        assert_eq!(disk.read(object, 0, &mut [0]), Err(DiskError::Missing { object }));
    }
}
