use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::{CellDir, CellDirError};

/// Longer than any pid.
const PID_BYTES_MAX: u64 = 20;

/// The right to open DIR, held for as long as this lives. The kernel gives it back when a process
/// dies, so a stale lock does not exist.
#[derive(Debug)]
pub struct DirLock {
    _locked: File,
}

impl DirLock {
    pub(super) fn take(dir: &CellDir) -> Result<Self, CellDirError> {
        let path = dir.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::PermissionDenied if dir.has_cell() => {
                    CellDirError::NotYours { dir: dir.base().to_owned() }
                }
                _ => CellDirError::io("open", &path, error),
            })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(CellDirError::io("lock", &path, error)),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = file.take(PID_BYTES_MAX).read_to_string(&mut pid);
                let pid = match pid.trim() {
                    known if read.is_ok() && !known.is_empty() => known.to_owned(),
                    _ => "unknown".to_owned(),
                };
                return Err(CellDirError::AlreadyRunning { dir: dir.base().to_owned(), pid });
            }
        }
        let write_pid = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write_pid(&mut file).map_err(|error| CellDirError::io("write", &path, error))?;
        Ok(Self { _locked: file })
    }
}
