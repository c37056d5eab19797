//! Making a cell. A crash on the way leaves either no cell, which says so and can be started over,
//! or a whole one: the root seal is written last.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crypto::passphrase::Cost;
use crypto::{Id, SystemEntropy};
use keys::RootKey;
use keys::arn::{is_account, is_region};
use keys::root_seal::{RootSeal, SealKind, SealWith};
use keys::seal_keyfile::KeyFileSecret;
use keys::seal_shamir::{SharePolicy, ShareSet};
use keys::share::Share;

use super::{Cell, CellDir, CellDirError, DirLock, Places, read_key_file};
use crate::kms::Kms;
use crate::kms::records::{CELL, CELL_NAME, CellIdentity};
use crate::store::{AnchorFile, RedbBackend, Store, replace_file, sync_dir_of};

/// What a cell is made with.
pub struct InitOptions<'a> {
    /// `None`: the name in the first cell file that it runs by.
    pub name: Option<&'a str>,
    /// `None`: as above.
    pub trust_domain: Option<&'a str>,
    /// `None`: as above, and until then those of [`crate::config`].
    pub account: Option<&'a str>,
    pub region: Option<&'a str>,
    pub seal: SealOption<'a>,
    /// `None`: in DIR.
    pub anchor: Option<PathBuf>,
}

/// What will open the cell.
pub enum SealOption<'a> {
    /// A file, made unless it is there. `None`: `root.key` in DIR.
    KeyFile(Option<PathBuf>),
    Passphrase {
        passphrase: &'a [u8],
        cost: Cost,
    },
    /// Shares, which `hand_out` gives away before anything depends on them. If it fails, nothing
    /// was changed.
    Shares {
        policy: SharePolicy,
        hand_out: &'a HandOut<'a>,
    },
}

impl SealOption<'_> {
    #[must_use]
    pub fn kind(&self) -> SealKind {
        match self {
            Self::KeyFile(_) => SealKind::KeyFile,
            Self::Passphrase { .. } => SealKind::Passphrase,
            Self::Shares { .. } => SealKind::Shamir,
        }
    }
}

/// Takes the new shares of a cell to those who will hold them.
pub type HandOut<'a> = dyn Fn(Id, &[Share]) -> io::Result<()> + 'a;

/// Makes a cell in `dir` and opens it.
///
/// # Errors
/// [`CellDirError`]; unless there was a cell already, the same call can be made again.
pub fn init(dir: &CellDir, options: &InitOptions<'_>) -> Result<Cell, CellDirError> {
    check_options(options)?;
    let base = dir.base().to_owned();
    super::check_visible(dir)?;
    if dir.has_cell() {
        return Err(CellDirError::CellExists { dir: base });
    }
    make_dir(&base, 0o711)?;
    let lock = DirLock::take(dir)?;
    // Again under the lock: two calls may have raced.
    if dir.has_cell() {
        return Err(CellDirError::CellExists { dir: base });
    }
    start_over(dir, options)?;
    for (path, mode) in [
        (dir.base().join("store"), 0o700),
        (dir.run(), 0o711),
        (dir.volumes(), 0o711),
        (dir.logs(), 0o700),
        (dir.audit(), 0o700),
    ] {
        make_dir(&path, mode)?;
    }

    let (key_path, anchor_path) = outside(options)?;
    let entropy = &mut SystemEntropy::new();
    let (id, root) = (Id::random(entropy), RootKey::generate(entropy));
    let (key_file, shares);
    let (with, places) = match &options.seal {
        SealOption::Shares { policy, hand_out } => {
            shares = ShareSet::generate(id, *policy, entropy);
            hand_out(id, shares.shares()).map_err(|source| CellDirError::HandOut { source })?;
            (SealWith::Shamir(&shares), Places { key_file: None, anchor: anchor_path })
        }
        SealOption::Passphrase { passphrase, cost } => {
            let with = SealWith::Passphrase { passphrase, cost: *cost };
            (with, Places { key_file: None, anchor: anchor_path })
        }
        SealOption::KeyFile(_) => {
            key_file = make_key_file(&key_path.clone().unwrap_or_else(|| dir.root_key()))?;
            let places = Places { key_file: key_path, anchor: anchor_path };
            (SealWith::KeyFile(&key_file), places)
        }
    };
    let (seal, root) = RootSeal::seal(id, root, &with, entropy)
        .map_err(|error| CellDirError::of_unseal(dir, error))?;

    let anchor = places.anchor.clone().unwrap_or_else(|| dir.anchor());
    let backend = Box::new(RedbBackend::create_file(&dir.store())?);
    let now = crate::kms::now();
    let store = Store::create(id, backend, Box::new(AnchorFile::new(anchor)), root, now)?;
    let identity = CellIdentity {
        id,
        name: options.name.map(str::to_owned),
        trust_domain: options.trust_domain.map(str::to_owned),
        account: options.account.map(str::to_owned),
        region: options.region.map(str::to_owned),
        created: now,
    };
    store.transact(|transaction| transaction.put(&CELL, CELL_NAME, &identity))?;
    sync_dir_of(&dir.store()).map_err(|error| CellDirError::io("sync", &dir.store(), error))?;
    write_json(&dir.places(), &places)?;
    write_json(&dir.root_seal(), &seal)?;
    remove_marker(dir)?;
    let kms = Kms::open(Arc::new(store), &dir.audit())?;
    Ok(Cell { dir: dir.clone(), places, kms, lock })
}

pub(super) fn remove_marker(dir: &CellDir) -> Result<(), CellDirError> {
    remove(&dir.init_marker())
}

/// Clears away what an earlier, unfinished call left: nothing was ever stored under its root key,
/// which that call did not live to seal. Without that call's marker nothing is removed.
fn start_over(dir: &CellDir, options: &InitOptions<'_>) -> Result<(), CellDirError> {
    let marker = dir.init_marker();
    // The marker remembers which anchor that call was making: any other may be another cell's only
    // protection.
    let anchor = outside(options)?.1.unwrap_or_default();
    let begun = match fs::read(&marker) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(CellDirError::io("read", &marker, error)),
    };
    let same_anchor = begun.as_deref() == Some(anchor.as_os_str().as_bytes());
    if !anchor.as_os_str().is_empty() && anchor.exists() && !same_anchor {
        let value = anchor.display().to_string();
        let expected = "there is a file already, which may belong to another cell";
        return Err(CellDirError::BadOption { what: "anchor", value, expected });
    }
    if begun.is_none() {
        if dir.store().exists() {
            return Err(CellDirError::RootSealLost { path: dir.root_seal() });
        }
        check_empty(dir)?;
    }
    replace_file(&marker, anchor.as_os_str().as_bytes())
        .map_err(|error| CellDirError::io("write", &marker, error))?;
    for leftover in [dir.store(), dir.anchor(), dir.places()] {
        remove(&leftover)?;
    }
    let audit = dir.audit();
    if audit.exists() {
        fs::remove_dir_all(&audit).map_err(|error| CellDirError::io("remove", &audit, error))?;
    }
    Ok(())
}

/// Key file and anchor, where they are not in DIR. Absolute: later calls come from elsewhere.
fn outside(options: &InitOptions<'_>) -> Result<(Option<PathBuf>, Option<PathBuf>), CellDirError> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|error| CellDirError::io("find", path, error))
    };
    let key_file = match &options.seal {
        SealOption::KeyFile(Some(path)) => Some(absolute(path)?),
        SealOption::KeyFile(None) | SealOption::Passphrase { .. } | SealOption::Shares { .. } => {
            None
        }
    };
    Ok((key_file, options.anchor.as_ref().map(absolute).transpose()?))
}

/// Only a lock and a key file may be there: everything else is somebody's.
fn check_empty(dir: &CellDir) -> Result<(), CellDirError> {
    let base = dir.base();
    let ours = [dir.lock(), dir.root_key(), dir.base().join("init.unfinished.new")];
    for entry in fs::read_dir(base).map_err(|error| CellDirError::io("list", base, error))? {
        let entry = entry.map_err(|error| CellDirError::io("list", base, error))?;
        if !ours.contains(&entry.path()) && !ours.contains(&base.join(entry.file_name())) {
            return Err(CellDirError::DirNotEmpty { dir: base.to_owned() });
        }
    }
    Ok(())
}

fn make_dir(path: &Path, mode: u32) -> Result<(), CellDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        // Whatever the umask was, or an earlier call left.
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .and_then(|()| sync_dir_of(path))
        .map_err(|error| CellDirError::io("create", path, error))
}

/// Reads the key file at `path`, or makes one.
fn make_key_file(path: &Path) -> Result<KeyFileSecret, CellDirError> {
    if path.exists() {
        return read_key_file(path);
    }
    let (secret, text) = KeyFileSecret::generate(&mut SystemEntropy::new());
    write_key_file(path, &text).map_err(|error| CellDirError::io("create", path, error))?;
    Ok(secret)
}

/// Makes or replaces a key file. Under another name first, or a crash would leave a file that is no
/// key file.
pub(super) fn write_key_file(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    // Whatever mode an earlier call left it with.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_dir_of(path)
}

pub(super) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), CellDirError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| {
        let (path, detail) = (path.to_owned(), error.to_string());
        CellDirError::Damaged { path, detail }
    })?;
    json.push(b'\n');
    replace_file(path, &json).map_err(|error| CellDirError::io("write", path, error))
}

fn remove(path: &Path) -> Result<(), CellDirError> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir_of(path).map_err(|error| CellDirError::io("sync", path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CellDirError::io("remove", path, error)),
    }
}

fn check_options(options: &InitOptions<'_>) -> Result<(), CellDirError> {
    let label = |text: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        (1..=63).contains(&text.len())
            && text.bytes().all(|byte| inner(byte) || byte == b'-')
            && text.bytes().next().is_some_and(inner)
            && text.bytes().next_back().is_some_and(inner)
    };
    let check = |good: bool, what, value: &str, expected| {
        if good {
            return Ok(());
        }
        Err(CellDirError::BadOption { what, value: value.to_owned(), expected })
    };
    let InitOptions { name, trust_domain, account, region, seal, .. } = options;
    if let Some(name) = name {
        check(label(name), "name", name, "use 1 to 63 lowercase letters, digits and hyphens")?;
    }
    if let Some(domain) = trust_domain {
        check(
            domain.len() <= 255 && domain.split('.').all(label),
            "trust domain",
            domain,
            "use lowercase letters, digits, hyphens and dots, like a DNS name",
        )?;
    }
    if let Some(account) = account {
        check(is_account(account), "account", account, "use twelve digits")?;
    }
    if let Some(region) = region {
        check(is_region(region), "region", region, "use lowercase letters, digits and hyphens")?;
    }
    match seal {
        SealOption::Passphrase { passphrase: [], .. } => Err(CellDirError::EmptyPassphrase),
        _ => Ok(()),
    }
}
