//! The directory of a cell: what lies where, how it comes to be, and who may open it.
//!
//! A cell exists from the moment its root seal does: `init` writes that last. All paths are relative
//! to the base they were given, since children run with DIR as their working directory under users
//! that cannot walk to it from the root.

mod error;
mod init;
mod lock;
mod reseal;
mod secret;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crypto::Id;
use keys::RootKey;
use keys::dual_control::Quorum;
use keys::root_seal::{RootSeal, Seal};
use serde::{Deserialize, Serialize};

use crate::audit_trail::TrailError;
use crate::kms::records::{TRAIL_HEAD, TRAIL_HEAD_NAME};
use crate::kms::{Kms, KmsError, TrailReader};
use crate::service_logs;
use crate::store::{AcceptedRollback, AnchorFile, RedbBackend, Store, StoreError};

pub use error::{CellDirError, help_with_share};
pub use init::{HandOut, InitOptions, SealOption, init};
pub use lock::DirLock;
pub use reseal::{Resealed, RootRotated, check_secret, reseal, rotate_root};
pub use secret::{Secret, UnlockWith, read_secret};
use secret::{read_key_file, unseal, with_unlock};

/// Longer than any root seal or settings file: read no more than this.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How long a killed process may take to let go of the store.
const DYING_MAX: Duration = Duration::from_secs(15);
const DYING_POLL: Duration = Duration::from_millis(10);

/// What lies where in DIR.
#[derive(Clone, Debug)]
pub struct CellDir(PathBuf);

impl CellDir {
    /// The layout under `base`, whether or not anything is there yet.
    #[must_use]
    pub fn at(base: impl Into<PathBuf>) -> Self {
        Self(base.into())
    }

    #[must_use]
    pub fn base(&self) -> &Path {
        &self.0
    }

    #[must_use]
    pub fn root_seal(&self) -> PathBuf {
        self.0.join("root.seal")
    }

    /// Where the key file lies unless `init` was told otherwise.
    #[must_use]
    pub fn root_key(&self) -> PathBuf {
        self.0.join("root.key")
    }

    /// Where key file and anchor are, if they are not in DIR.
    #[must_use]
    pub fn places(&self) -> PathBuf {
        self.0.join("places.json")
    }

    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store/cell.redb")
    }

    /// Where the anchor lies unless `init` was told otherwise.
    #[must_use]
    pub fn anchor(&self) -> PathBuf {
        self.0.join("anchor")
    }

    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.0.join("volumes")
    }

    /// By id: a volume's name may be given to another after it.
    #[must_use]
    pub fn volume(&self, id: Id) -> PathBuf {
        self.volumes().join(id.to_string())
    }

    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The audit trail.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit")
    }

    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// There while `init` has not finished.
    fn init_marker(&self) -> PathBuf {
        self.0.join("init.unfinished")
    }

    /// Whether a cell was ever made here.
    #[must_use]
    pub fn has_cell(&self) -> bool {
        self.root_seal().exists()
    }
}

/// What of a cell lies outside DIR, by absolute paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// `None`: `root.key` in DIR.
    pub key_file: Option<PathBuf>,
    /// `None`: `anchor` in DIR.
    pub anchor: Option<PathBuf>,
}

/// Takes the right to open DIR, where there is a cell.
///
/// # Errors
/// [`CellDirError`] if there is none, or it is in use.
pub fn lock(dir: &CellDir) -> Result<DirLock, CellDirError> {
    check_dir(dir)?;
    check_whole(dir)?;
    DirLock::take(dir)
}

/// Which cell this is, without opening it.
///
/// # Errors
/// As [`seal_of`].
pub fn cell_id(dir: &CellDir) -> Result<Id, CellDirError> {
    Ok(read_seal(dir)?.cell())
}

/// Opens the cell in `dir` on behalf of a supervisor that holds its lock.
///
/// # Errors
/// As [`open`].
pub fn open_for_supervisor(dir: &CellDir, secret: &Secret) -> Result<(Places, Kms), CellDirError> {
    open_with_anchor(dir, secret, None)
}

/// The cell's anchor, for a process that may not walk to where it lies.
///
/// # Errors
/// [`CellDirError`] if it is not there or cannot be written.
pub fn open_anchor(dir: &CellDir) -> Result<File, CellDirError> {
    let path = anchor_of(dir, &read_places(dir)?);
    Ok(AnchorFile::open(&path)?)
}

/// As [`open_for_supervisor`], with an anchor that [`open_anchor`] opened.
///
/// # Errors
/// As [`open`].
pub fn open_with_anchor(
    dir: &CellDir,
    secret: &Secret,
    anchor: Option<File>,
) -> Result<(Places, Kms), CellDirError> {
    let seal = read_seal(dir)?;
    let places = read_places(dir)?;
    let roots = with_unlock(dir, &places, secret, |unlock| seal.unseal_each(unlock))?;
    open_store(dir, places, seal.cell(), roots, anchor)
}

fn open_store(
    dir: &CellDir,
    places: Places,
    cell: Id,
    roots: Vec<RootKey>,
    anchor: Option<File>,
) -> Result<(Places, Kms), CellDirError> {
    let path = anchor_of(dir, &places);
    let anchor = match anchor {
        Some(file) => AnchorFile::held(path, file),
        None => AnchorFile::new(path),
    };
    let backend = Box::new(open_backend(&dir.store())?);
    let store = Store::open_under_one_of(cell, backend, Box::new(anchor), roots)?;
    let kms = Kms::open(Arc::new(store), &dir.audit())?;
    service_logs::finish_erasures(dir, &kms)?;
    Ok((places, kms))
}

/// Takes the store and the audit trail in `dir` for the newest, although they are older than the
/// anchor or each other: an operator says so, and the trail records it. `None` where there was
/// nothing to accept.
///
/// # Errors
/// As [`open`], for anything else that is wrong.
pub fn accept_rollback(
    dir: &CellDir,
    _lock: &DirLock,
    secret: &Secret,
) -> Result<Option<AcceptedRollback>, CellDirError> {
    let places = read_places(dir)?;
    let path = anchor_of(dir, &places);
    let seal = read_seal(dir)?;
    let (cell, keeper) = (seal.cell(), AnchorFile::new(path));
    let accepted = {
        let backend = open_backend(&dir.store())?;
        let held = Store::root_key_of(&backend)?;
        let mut roots = with_unlock(dir, &places, secret, |unlock| seal.unseal_each(unlock))?;
        let at = roots.iter().position(|root| Some(root.id()) == held).unwrap_or(0);
        Store::accept_rollback(cell, &backend, &keeper, &roots.swap_remove(at))?
    };
    let of_trail = |error: &CellDirError| match error {
        CellDirError::Kms(KmsError::Trail(error)) => {
            matches!(**error, TrailError::Cut { .. } | TrailError::StoreBehind { .. })
        }
        _ => false,
    };
    let accepted = match (accepted, open_for_supervisor(dir, secret)) {
        (None, Ok(_)) => return Ok(None),
        (None, Err(error)) if !of_trail(&error) => return Err(error),
        (accepted, _) => accepted,
    };
    // The two no longer go together: the trail goes on from where it is, and says why.
    let roots = with_unlock(dir, &places, secret, |unlock| seal.unseal_each(unlock))?;
    let backend = Box::new(open_backend(&dir.store())?);
    let store = Store::open_under_one_of(cell, backend, Box::new(keeper), roots)?;
    store.transact(|transaction| transaction.delete(&TRAIL_HEAD, TRAIL_HEAD_NAME))?;
    let kms = Kms::open(Arc::new(store), &dir.audit())?;
    let at = kms.store().sequence();
    let records = accepted.map_or(0, |accepted| accepted.records);
    let accepted = accepted.unwrap_or(AcceptedRollback { anchor: at, store: at, records });
    kms.record_accepted(&accepted, quorum(dir, secret)?.as_ref())?;
    kms.trail().close().map_err(KmsError::from)?;
    Ok(Some(accepted))
}

/// The proof that several people agree, where the secret is shares that open the cell.
///
/// # Errors
/// [`CellDirError`] if they do not open it.
pub fn quorum(dir: &CellDir, secret: &Secret) -> Result<Option<Quorum>, CellDirError> {
    let Secret::Shares(shares) = secret else { return Ok(None) };
    let proven = Quorum::prove(&read_seal(dir)?, shares);
    proven.map(Some).map_err(|error| CellDirError::of_unseal(dir, error))
}

/// The audit trail of the cell in `dir`, whose lock the caller holds, for reading. Nothing is
/// written to it, and it may be one that the cell refuses to go on with.
///
/// # Errors
/// As [`open`].
pub fn read_trail(dir: &CellDir, secret: &Secret) -> Result<TrailReader, CellDirError> {
    let seal = read_seal(dir)?;
    let places = read_places(dir)?;
    let roots = with_unlock(dir, &places, secret, |unlock| seal.unseal_each(unlock))?;
    let anchor = Box::new(AnchorFile::new(anchor_of(dir, &places)));
    let backend = Box::new(open_backend(&dir.store())?);
    let store = Store::open_under_one_of(seal.cell(), backend, anchor, roots)?;
    Ok(TrailReader::open(Arc::new(store), &dir.audit())?)
}

fn anchor_of(dir: &CellDir, places: &Places) -> PathBuf {
    places.anchor.clone().unwrap_or_else(|| dir.anchor())
}

/// Opens the store's file. Whoever opens DIR holds its lock, so who else has the file is a control
/// process that was killed and has not quite ended: the kernel may still be syncing for it.
fn open_backend(path: &Path) -> Result<RedbBackend, StoreError> {
    let deadline = Instant::now() + DYING_MAX;
    loop {
        match RedbBackend::open_file(path) {
            Err(StoreError::InUse { .. }) if Instant::now() < deadline => {
                std::thread::sleep(DYING_POLL);
            }
            opened => return opened,
        }
    }
}

/// What about where the cell's root key and anchor lie weakens a promise. `anchor_device` is that of
/// the anchor's file.
///
/// # Errors
/// [`CellDirError`] if the root seal cannot be read.
pub fn weaknesses(
    dir: &CellDir,
    places: &Places,
    anchor_device: Option<u64>,
) -> Result<Vec<String>, CellDirError> {
    use std::os::unix::fs::MetadataExt as _;
    let mut weaknesses = Vec::new();
    if matches!(seal_of(dir)?, Seal::KeyFile(_)) {
        let path = places.key_file.as_ref();
        let place = path.map_or_else(|| "DIR".into(), |path| path.display().to_string());
        weaknesses.push(format!(
            "the root key is sealed by a key file in {place}: whoever reads it and the disk can \
             open the cell"
        ));
    }
    let store = fs::metadata(dir.store()).ok().map(|metadata| metadata.dev());
    if anchor_device == store {
        weaknesses.push(
            "the store's anchor lies on the store's own disk: a disk that is set back as a whole \
             is not noticed (`sealane init --anchor PATH` puts it elsewhere)"
                .into(),
        );
    }
    Ok(weaknesses)
}

/// [`weaknesses`] as they are found by whoever can walk to all of it.
///
/// # Errors
/// As [`weaknesses`].
pub fn weaknesses_here(dir: &CellDir) -> Result<Vec<String>, CellDirError> {
    use std::os::unix::fs::MetadataExt as _;
    let places = read_places(dir)?;
    let anchor = anchor_of(dir, &places);
    weaknesses(dir, &places, fs::metadata(anchor).ok().map(|metadata| metadata.dev()))
}

fn read_places(dir: &CellDir) -> Result<Places, CellDirError> {
    match fs::exists(dir.places()) {
        Ok(false) => Ok(Places::default()),
        _ => read_json(&dir.places()),
    }
}

/// An open cell. Nobody else opens DIR while this lives.
#[derive(Debug)]
pub struct Cell {
    pub dir: CellDir,
    pub places: Places,
    pub kms: Kms,
    pub lock: DirLock,
}

/// Which secret a cell asks for, without opening it.
///
/// # Errors
/// [`CellDirError`] if there is no cell or its root seal cannot be read.
pub fn seal_of(dir: &CellDir) -> Result<Seal, CellDirError> {
    Ok(read_seal(dir)?.seal_kind().clone())
}

/// How a cell is sealed, and since when its root seal has been as it is: what the file system says
/// of it, for people.
///
/// # Errors
/// As [`seal_of`].
pub fn root_seal_of(dir: &CellDir) -> Result<(RootSeal, SystemTime), CellDirError> {
    check_dir(dir)?;
    let seal = read_seal(dir)?;
    let path = dir.root_seal();
    let since = fs::metadata(&path).and_then(|metadata| metadata.modified());
    Ok((seal, since.map_err(|error| CellDirError::io("look at", &path, error))?))
}

/// Where the cell's key file is looked for, if a key file seals it.
///
/// # Errors
/// [`CellDirError`] if the places cannot be read.
pub fn key_file(dir: &CellDir) -> Result<PathBuf, CellDirError> {
    Ok(secret::key_file_of(dir, &read_places(dir)?))
}

/// Opens the cell in `dir`.
///
/// # Errors
/// [`CellDirError`] says what is missing, wrong or in use, and what to do about it.
pub fn open(dir: &CellDir, unlock: &UnlockWith<'_>) -> Result<Cell, CellDirError> {
    check_dir(dir)?;
    check_whole(dir)?;
    let lock = DirLock::take(dir)?;
    open_locked(dir, unlock, lock)
}

fn open_locked(
    dir: &CellDir,
    unlock: &UnlockWith<'_>,
    lock: DirLock,
) -> Result<Cell, CellDirError> {
    check_whole(dir)?;
    init::remove_marker(dir)?;
    let seal = read_seal(dir)?;
    let places = read_places(dir)?;
    let roots = unseal(dir, &places, &seal, unlock)?;
    let (places, kms) = open_store(dir, places, seal.cell(), roots, None)?;
    Ok(Cell { dir: dir.clone(), places, kms, lock })
}

/// What cannot be looked at is not called missing.
fn check_dir(dir: &CellDir) -> Result<(), CellDirError> {
    let base = dir.base();
    match fs::metadata(base) {
        Ok(metadata) if metadata.is_dir() => check_visible(dir),
        Ok(_) => Err(CellDirError::io("open", base, std::io::ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(CellDirError::NoCell { dir: base.to_owned() })
        }
        Err(error) => Err(CellDirError::io("open", base, error)),
    }
}

/// Whoever may not walk into DIR is told so, and not that there is no cell.
fn check_visible(dir: &CellDir) -> Result<(), CellDirError> {
    match fs::metadata(dir.root_seal()) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(CellDirError::NotYours { dir: dir.base().to_owned() })
        }
        _ => Ok(()),
    }
}

/// No cell, a half-made one, or one whose root seal was lost.
fn check_whole(dir: &CellDir) -> Result<(), CellDirError> {
    let base = dir.base().to_owned();
    if dir.has_cell() {
        Ok(())
    } else if dir.init_marker().exists() {
        Err(CellDirError::InitUnfinished { dir: base })
    } else if dir.store().exists() {
        Err(CellDirError::RootSealLost { path: dir.root_seal() })
    } else {
        Err(CellDirError::NoCell { dir: base })
    }
}

fn read_seal(dir: &CellDir) -> Result<RootSeal, CellDirError> {
    check_whole(dir)?;
    read_json(&dir.root_seal()).map_err(|error| match error {
        CellDirError::Io { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            CellDirError::NotYours { dir: dir.base().to_owned() }
        }
        error => error,
    })
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, CellDirError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| CellDirError::io("read", path, error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CellDirError::Damaged { path: path.to_owned(), detail: error.to_string() })
}
