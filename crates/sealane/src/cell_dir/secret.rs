//! What opens a cell: where it comes from, and how it is carried from one process to another.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keys::RootKey;
use keys::root_seal::{RootSeal, Seal, Unlock, UnsealError};
use keys::seal_keyfile::KeyFileSecret;
use zeroize::Zeroizing;

use super::{CellDir, CellDirError, FILE_BYTES_MAX, Places, read_places};

/// How a cell is to be unlocked.
pub enum UnlockWith<'a> {
    /// By the key file that `init` made or was given, or by the one at this path.
    KeyFile(Option<&'a Path>),
    Passphrase(&'a [u8]),
}

/// What opens a cell, on its way from the supervisor, which can read it, to the control process,
/// which needs it.
pub enum Secret {
    /// The text of the key file.
    KeyFile(Zeroizing<String>),
    Passphrase(Zeroizing<Vec<u8>>),
}

impl Secret {
    const KEY_FILE: u8 = b'k';
    const PASSPHRASE: u8 = b'p';

    /// Puts the secret into a file that exists in memory only, sealed against change: it outlives
    /// one control process, for the next, and no reboot.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn into_memory_file(self) -> std::io::Result<OwnedFd> {
        use rustix::fs::{MemfdFlags, SealFlags};
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create("sealane-unlock", flags)?);
        let (kind, bytes) = match &self {
            Self::KeyFile(text) => (Self::KEY_FILE, text.as_bytes()),
            Self::Passphrase(bytes) => (Self::PASSPHRASE, &bytes[..]),
        };
        file.write_all(&[kind])?;
        file.write_all(bytes)?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok(file.into())
    }

    /// Reads what [`Secret::into_memory_file`] wrote. The offset is shared with whoever else holds
    /// the file, so it is not used.
    ///
    /// # Errors
    /// What the kernel says, or `InvalidData`.
    pub fn from_memory_file(file: &OwnedFd) -> std::io::Result<Self> {
        use std::os::unix::fs::FileExt;
        let file = File::from(file.try_clone()?);
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
        if length == 0 || length as u64 > FILE_BYTES_MAX {
            return Err(invalid());
        }
        let mut bytes = Zeroizing::new(vec![0; length]);
        file.read_exact_at(&mut bytes, 0)?;
        match bytes[0] {
            Self::PASSPHRASE => Ok(Self::Passphrase(Zeroizing::new(bytes[1..].to_vec()))),
            Self::KEY_FILE => {
                let text = std::str::from_utf8(&bytes[1..]).map_err(|_| invalid())?;
                Ok(Self::KeyFile(Zeroizing::new(text.to_owned())))
            }
            _ => Err(invalid()),
        }
    }
}

/// The text of the cell's key file, checked as far as that goes without the cell.
///
/// # Errors
/// [`CellDirError`] says what is wrong with the file.
pub fn read_secret(dir: &CellDir, path: Option<&Path>) -> Result<Secret, CellDirError> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => read_places(dir)?.key_file.unwrap_or_else(|| dir.root_key()),
    };
    let text = read_key_text(&path)?;
    KeyFileSecret::parse(&text).map_err(|_| CellDirError::NotAKeyFile { path })?;
    Ok(Secret::KeyFile(text))
}

pub(super) fn unseal(
    dir: &CellDir,
    places: &Places,
    seal: &RootSeal,
    unlock: &UnlockWith<'_>,
) -> Result<RootKey, CellDirError> {
    let opened = match unlock {
        UnlockWith::Passphrase(passphrase) => seal.unseal(&Unlock::Passphrase(passphrase)),
        UnlockWith::KeyFile(_) if matches!(seal.seal_kind(), Seal::Passphrase(_)) => {
            Err(UnsealError::NeedsPassphrase)
        }
        UnlockWith::KeyFile(path) => {
            let recorded = || places.key_file.clone().unwrap_or_else(|| dir.root_key());
            let path = path.map_or_else(recorded, Path::to_owned);
            let secret = read_key_file(&path)?;
            return seal.unseal(&Unlock::KeyFile(&secret)).map_err(|error| match error {
                UnsealError::WrongKeyFile => CellDirError::WrongKeyFile { path },
                error => CellDirError::of_unseal(dir, error),
            });
        }
    };
    opened.map_err(|error| CellDirError::of_unseal(dir, error))
}

/// A key file that others may read protects nothing, so it is refused.
pub(super) fn read_key_file(path: &Path) -> Result<KeyFileSecret, CellDirError> {
    let text = read_key_text(path)?;
    KeyFileSecret::parse(&text).map_err(|_| CellDirError::NotAKeyFile { path: path.to_owned() })
}

fn read_key_text(path: &Path) -> Result<Zeroizing<String>, CellDirError> {
    let path_owned = || path.to_owned();
    let file = File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => CellDirError::KeyFileMissing { path: path_owned() },
        _ => CellDirError::KeyFileUnreadable { path: path_owned(), source },
    })?;
    let metadata = file
        .metadata()
        .map_err(|source| CellDirError::KeyFileUnreadable { path: path_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CellDirError::KeyFileOpen { path: path_owned(), mode });
    }
    let mut text = Zeroizing::new(String::with_capacity(KeyFileSecret::FILE_BYTES_MAX));
    file.take(KeyFileSecret::FILE_BYTES_MAX as u64).read_to_string(&mut text).map_err(
        |source| match source.kind() {
            std::io::ErrorKind::InvalidData => CellDirError::NotAKeyFile { path: path_owned() },
            _ => CellDirError::KeyFileUnreadable { path: path_owned(), source },
        },
    )?;
    Ok(text)
}
