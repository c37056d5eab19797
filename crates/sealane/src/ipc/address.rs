use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// A name for a socket that fits into an address, which holds 107 bytes and a deep DIR does not: by
/// way of a descriptor of its folder, which must be kept while the name is used.
pub struct ShortAddress {
    pub path: PathBuf,
    _folder: OwnedFd,
}

impl ShortAddress {
    /// # Errors
    /// If the folder of `socket` cannot be opened.
    pub fn of(socket: &Path) -> io::Result<Self> {
        let parent = socket.parent().filter(|parent| !parent.as_os_str().is_empty());
        let name = socket.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::open(parent.unwrap_or_else(|| Path::new(".")), flags, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: folder })
    }
}
