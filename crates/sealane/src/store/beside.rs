//! A file that takes the place of the store's own, which is then destroyed.
//!
//! The store's file is never overwritten in place: a page that is no longer used keeps its bytes
//! until another needs the room, and so keeps what was deleted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{StoreError, sync_dir_of};

pub(super) static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

pub(super) struct FileBeside {
    store: PathBuf,
    path: PathBuf,
}

/// The file that was the store's. It keeps a name until it is destroyed, so that an attempt that is
/// cut short is made again.
#[must_use = "what lies in it is still there"]
pub(super) struct Retired {
    path: PathBuf,
    file: File,
}

impl FileBeside {
    pub(super) fn of(store: &Path) -> Self {
        let mut path = store.as_os_str().to_owned();
        path.push(".new");
        Self { store: store.to_owned(), path: path.into() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Destroys what an attempt that was cut short has left: an unfinished copy, or the file that
    /// was the store's.
    pub(super) fn discard(&self) -> Result<(), StoreError> {
        let found =
            match OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                found => found.map_err(|error| StoreError::io("open", &self.path, error))?,
            };
        // Which of the two is the store's must be durable first.
        self.settle()?;
        Retired { path: self.path.clone(), file: found }.destroy()
    }

    /// An empty file that belongs to whom the store belongs: a command of root's must not lock the
    /// control process out, which has a uid of its own.
    pub(super) fn create(&self) -> Result<File, StoreError> {
        self.discard()?;
        let make = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            let file =
                options.read(true).write(true).create_new(true).mode(0o600).open(&self.path)?;
            let (owner, made) = (fs::metadata(&self.store)?, file.metadata()?);
            if (owner.uid(), owner.gid()) != (made.uid(), made.gid()) {
                std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            }
            Ok(file)
        };
        make().map_err(|error| StoreError::io("create", &self.path, error))
    }

    /// Exchanges the names of the file and the store's. After an error the store has its old file.
    pub(super) fn install(&self) -> Result<Retired, StoreError> {
        let swap = || -> io::Result<File> {
            let old = OpenOptions::new().write(true).open(&self.store)?;
            File::open(&self.path)?.sync_all()?;
            renameat_with(CWD, &self.path, CWD, &self.store, RenameFlags::EXCHANGE)?;
            Ok(old)
        };
        let file = swap().map_err(|error| StoreError::io("replace", &self.store, error))?;
        Ok(Retired { path: self.path.clone(), file })
    }

    /// Makes the new names durable: a crash must not bring the old file back.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        sync_dir_of(&self.store).map_err(|error| StoreError::io("sync", &self.store, error))
    }
}

impl Retired {
    /// Overwrites all of it, and takes its name away. A file system that writes elsewhere, a
    /// snapshot and the spare blocks of an SSD are out of reach from here.
    pub(super) fn destroy(mut self) -> Result<(), StoreError> {
        self.overwrite().map_err(|error| StoreError::io("overwrite", &self.path, error))?;
        fs::remove_file(&self.path).map_err(|error| StoreError::io("remove", &self.path, error))
    }

    fn overwrite(&mut self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if metadata.nlink() > 1 {
            // A backup by hard links, for one. It is not ours to destroy.
            let path = self.path.display();
            tracing::warn!(%path, "the store's old file has another name, and was left as it is");
            return Ok(());
        }
        let mut left = metadata.len();
        while left > 0 {
            let some = left.min(ZEROS.len() as u64);
            self.file.write_all(&ZEROS[..usize::try_from(some).unwrap_or(ZEROS.len())])?;
            left -= some;
        }
        self.file.sync_all()
    }
}
