//! What opens a cell: where it comes from, and how it is carried from one process to another.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keys::RootKey;
use keys::root_seal::{RootSeal, Seal, Unlock, UnsealError};
use keys::seal_keyfile::KeyFileSecret;
use keys::share::Share;
use zeroize::Zeroizing;

use super::{CellDir, CellDirError, FILE_BYTES_MAX, Places, read_places};

/// How a cell is to be unlocked.
pub enum UnlockWith<'a> {
    /// By the key file that `init` made or was given, or by the one at this path.
    KeyFile(Option<&'a Path>),
    Passphrase(&'a [u8]),
    Shares(&'a [Share]),
}

/// What opens a cell, on its way from the supervisor, which can read it, to the control process,
/// which needs it.
pub enum Secret {
    /// The text of the key file.
    KeyFile(Zeroizing<String>),
    Passphrase(Zeroizing<Vec<u8>>),
    /// As many as it takes, of the cell's present set.
    Shares(Vec<Share>),
}

impl Secret {
    const KEY_FILE: u8 = b'k';
    const PASSPHRASE: u8 = b'p';
    const SHARES: u8 = b's';

    /// Puts the secret into a file that exists in memory only, sealed against change: it outlives
    /// one control process, for the next, and no reboot.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn into_memory_file(self) -> std::io::Result<OwnedFd> {
        use rustix::fs::{MemfdFlags, SealFlags};
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create("sealane-unlock", flags)?);
        match &self {
            Self::KeyFile(text) => {
                file.write_all(&[Self::KEY_FILE])?;
                file.write_all(text.as_bytes())?;
            }
            Self::Passphrase(bytes) => {
                file.write_all(&[Self::PASSPHRASE])?;
                file.write_all(bytes)?;
            }
            Self::Shares(shares) => {
                file.write_all(&[Self::SHARES])?;
                for share in shares {
                    file.write_all(share.to_text().as_bytes())?;
                    file.write_all(b"\n")?;
                }
            }
        }
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
        let text = || std::str::from_utf8(&bytes[1..]).map_err(|_| invalid());
        match bytes[0] {
            Self::PASSPHRASE => Ok(Self::Passphrase(Zeroizing::new(bytes[1..].to_vec()))),
            Self::KEY_FILE => Ok(Self::KeyFile(Zeroizing::new(text()?.to_owned()))),
            Self::SHARES => {
                let shares = text()?.lines().map(|line| Share::parse(line).map_err(|_| invalid()));
                Ok(Self::Shares(shares.collect::<Result<_, _>>()?))
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
        None => key_file_of(dir, &read_places(dir)?),
    };
    let text = read_key_text(&path)?;
    KeyFileSecret::parse(&text).map_err(|_| CellDirError::NotAKeyFile { path })?;
    Ok(Secret::KeyFile(text))
}

/// Where the cell's key file lies, if it has one.
pub(super) fn key_file_of(dir: &CellDir, places: &Places) -> PathBuf {
    places.key_file.clone().unwrap_or_else(|| dir.root_key())
}

/// Hands `secret` to `work` in the notation of the core, and puts into words what that refuses.
pub(super) fn with_unlock<T>(
    dir: &CellDir,
    places: &Places,
    secret: &Secret,
    work: impl FnOnce(&Unlock<'_>) -> Result<T, UnsealError>,
) -> Result<T, CellDirError> {
    let done = match secret {
        Secret::Passphrase(passphrase) => work(&Unlock::Passphrase(passphrase)),
        Secret::Shares(shares) => work(&Unlock::Shamir(shares)),
        Secret::KeyFile(text) => {
            let path = key_file_of(dir, places);
            let secret = KeyFileSecret::parse(text)
                .map_err(|_| CellDirError::NotAKeyFile { path: path.clone() })?;
            return work(&Unlock::KeyFile(&secret)).map_err(|error| match error {
                UnsealError::WrongKeyFile => CellDirError::WrongKeyFile { path },
                error => CellDirError::of_unseal(dir, error),
            });
        }
    };
    done.map_err(|error| CellDirError::of_unseal(dir, error))
}

/// The root keys that the secret opens: see [`RootSeal::unseal_each`].
pub(super) fn unseal(
    dir: &CellDir,
    places: &Places,
    seal: &RootSeal,
    unlock: &UnlockWith<'_>,
) -> Result<Vec<RootKey>, CellDirError> {
    let opened = match unlock {
        UnlockWith::Passphrase(passphrase) => seal.unseal_each(&Unlock::Passphrase(passphrase)),
        UnlockWith::Shares(shares) => seal.unseal_each(&Unlock::Shamir(shares)),
        UnlockWith::KeyFile(path) => {
            // What the cell does not ask for need not be there.
            match seal.seal_kind() {
                Seal::KeyFile(_) => {}
                Seal::Passphrase(_) => {
                    return Err(CellDirError::of_unseal(dir, UnsealError::NeedsPassphrase));
                }
                Seal::Shamir(_) => {
                    return Err(CellDirError::of_unseal(dir, UnsealError::NeedsShares));
                }
            }
            let path = path.map_or_else(|| key_file_of(dir, places), Path::to_owned);
            let secret = read_key_file(&path)?;
            return seal.unseal_each(&Unlock::KeyFile(&secret)).map_err(|error| match error {
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

#[cfg(test)]
mod tests {
    use crypto::{Id, SystemEntropy};
    use keys::seal_shamir::{SharePolicy, ShareSet};

    use super::*;

    #[test]
    fn a_secret_survives_its_memory_file_and_other_bytes_are_refused() {
        let entropy = &mut SystemEntropy::new();
        let cell = Id::random(entropy);
        let set = ShareSet::generate(cell, SharePolicy::new(2, 3).unwrap(), entropy);
        let lines: Vec<_> = set.shares().iter().map(Share::to_text).collect();
        let shares = || lines.iter().map(|line| Share::parse(line).ok().unwrap()).collect();
        let carried = |secret: Secret| {
            let file = secret.into_memory_file().unwrap();
            assert!(File::from(file.try_clone().unwrap()).write_all(b"x").is_err(), "it is sealed");
            Secret::from_memory_file(&file).unwrap()
        };
        let Secret::Shares(read) = carried(Secret::Shares(shares())) else { panic!("shares") };
        assert!(read.iter().map(Share::to_text).eq(lines.iter().cloned()));
        let text = Zeroizing::new("test".to_owned());
        assert!(matches!(carried(Secret::KeyFile(text)), Secret::KeyFile(text) if *text == "test"));
        let bytes = Zeroizing::new(vec![0, 0xff]);
        let read = carried(Secret::Passphrase(bytes));
        assert!(matches!(read, Secret::Passphrase(bytes) if *bytes == [0, 0xff]));
        for wrong in [&b""[..], b"x", b"k\xff", b"shello\n"] {
            let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
            File::from(file.try_clone().unwrap()).write_all(wrong).unwrap();
            assert!(Secret::from_memory_file(&file).is_err(), "{wrong:?}");
        }
    }
}
