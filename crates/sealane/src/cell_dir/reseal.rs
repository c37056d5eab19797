//! Another seal, or another root key, for a cell that does not run.
//!
//! Each change is a list of steps, of which each is atomic and durable, and after each of which the
//! secret that the cell then asks for opens it. Where that takes more than one file to agree, the
//! root seal holds the old and the new seal meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use crypto::{Id, SystemEntropy};
use keys::RootKey;
use keys::root_seal::{RootSeal, Seal, SealWith, Unlock};
use keys::seal_keyfile::KeyFileSecret;
use keys::seal_shamir::ShareSet;
use zeroize::Zeroizing;

use super::init::{write_json, write_key_file};
use super::secret::{key_file_of, with_unlock};
use super::{
    CellDir, CellDirError, DirLock, Places, SealOption, Secret, anchor_of, open_backend,
    open_for_supervisor, quorum, read_places, read_seal,
};
use crate::kms::{KmsError, Phase, SealChange};
use crate::store::{AnchorFile, Store, sync_dir_of};

/// What [`reseal`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resealed {
    pub root: Id,
    /// The key file that opens the cell now, if one does.
    pub key_file: Option<PathBuf>,
    /// The one that did: it still opens older copies of the root seal.
    pub old_key_file: Option<PathBuf>,
}

/// What [`rotate_root`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootRotated {
    pub old: Id,
    pub new: Id,
}

/// A write that happens as a whole or not at all.
type Step<'a> = Box<dyn FnOnce() -> Result<(), CellDirError> + 'a>;

/// Whether `secret` opens the cell's root seal, without opening the cell.
///
/// # Errors
/// [`CellDirError`] if it does not.
pub fn check_secret(dir: &CellDir, secret: &Secret) -> Result<(), CellDirError> {
    let seal = read_seal(dir)?;
    with_unlock(dir, &read_places(dir)?, secret, |unlock| seal.unseal(unlock)).map(drop)
}

/// Puts the root key, which stays what it is, under another seal. A crash leaves a cell that asks
/// for the old secret or for the new one, and opens with it.
///
/// `SealOption::KeyFile(None)` is where the cell's key file lies now, if it has one: the old one is
/// then kept beside it.
///
/// The audit trail says that it begins, and what came of it.
///
/// # Errors
/// [`CellDirError`]; the cell is then as it was, unless a disk failed on the way. Under dual control
/// also for a seal that one person opens.
pub fn reseal(
    dir: &CellDir,
    _lock: &DirLock,
    secret: &Secret,
    option: &SealOption<'_>,
) -> Result<Resealed, CellDirError> {
    let (seal, _) = settle(dir, &read_places(dir)?, secret)?;
    let quorum = quorum(dir, secret)?;
    let (from, to) = (seal.seal_kind().kind(), option.kind());
    let change = SealChange { operation: "ChangeSeal", from, to, quorum: quorum.as_ref() };
    let (_, kms) = open_for_supervisor(dir, secret)?;
    kms.record_seal_change(&change, Phase::Begun)?;
    let done = reseal_steps(dir, secret, option)
        .and_then(|(steps, done)| steps.into_iter().try_for_each(|step| step()).map(|()| done));
    kms.record_seal_change(&change, Phase::of(&done))?;
    kms.trail().close().map_err(KmsError::from)?;
    done
}

/// Puts another root key in the place of the cell's, under the same seal and secret. The audit trail
/// says that it begins, and what came of it.
///
/// # Errors
/// [`CellDirError`]; the cell opens with the same secret all the same.
pub fn rotate_root(
    dir: &CellDir,
    _lock: &DirLock,
    secret: &Secret,
) -> Result<RootRotated, CellDirError> {
    let (seal, _) = settle(dir, &read_places(dir)?, secret)?;
    let quorum = quorum(dir, secret)?;
    let kind = seal.seal_kind().kind();
    let quorum = quorum.as_ref();
    let change = SealChange { operation: "RotateRootKey", from: kind, to: kind, quorum };
    // Nobody else may have the store open while its root key changes.
    let record = |phase| {
        let (_, kms) = open_for_supervisor(dir, secret)?;
        kms.record_seal_change(&change, phase)?;
        kms.trail().close().map_err(|error| CellDirError::from(KmsError::from(error)))
    };
    record(Phase::Begun)?;
    let done = rotate_root_steps(dir, secret)
        .and_then(|(steps, done)| steps.into_iter().try_for_each(|step| step()).map(|()| done));
    record(Phase::of(&done))?;
    done
}

/// The new seal's secret, made but not in use yet.
enum NewSecret<'a> {
    KeyFile { secret: KeyFileSecret, text: Zeroizing<String> },
    Passphrase { passphrase: &'a [u8], cost: crypto::passphrase::Cost },
    Shares(ShareSet),
}

impl<'a> NewSecret<'a> {
    fn make(cell: Id, option: &SealOption<'a>) -> Result<Self, CellDirError> {
        let entropy = &mut SystemEntropy::new();
        Ok(match option {
            SealOption::KeyFile(_) => {
                let (secret, text) = KeyFileSecret::generate(entropy);
                Self::KeyFile { secret, text }
            }
            SealOption::Passphrase { passphrase: [], .. } => {
                return Err(CellDirError::EmptyPassphrase);
            }
            SealOption::Passphrase { passphrase, cost } => {
                Self::Passphrase { passphrase, cost: *cost }
            }
            SealOption::Shares { policy, hand_out } => {
                let set = ShareSet::generate(cell, *policy, entropy);
                hand_out(cell, set.shares()).map_err(|source| CellDirError::HandOut { source })?;
                Self::Shares(set)
            }
        })
    }

    fn seal(&self, dir: &CellDir, cell: Id, root: RootKey) -> Result<RootSeal, CellDirError> {
        let (with, unlock) = match self {
            Self::KeyFile { secret, .. } => (SealWith::KeyFile(secret), Unlock::KeyFile(secret)),
            Self::Passphrase { passphrase, cost } => {
                let with = SealWith::Passphrase { passphrase, cost: *cost };
                (with, Unlock::Passphrase(passphrase))
            }
            Self::Shares(set) => (SealWith::Shamir(set), Unlock::Shamir(set.shares())),
        };
        let failed = |error| CellDirError::of_unseal(dir, error);
        let entropy = &mut SystemEntropy::new();
        let (seal, root) = RootSeal::seal(cell, root, &with, entropy).map_err(failed)?;
        // The old seal goes only when the new one is known to open.
        let opened = seal.unseal(&unlock).map_err(failed)?;
        assert!(opened.id() == root.id(), "a seal opens to the key that went in");
        Ok(seal)
    }
}

fn reseal_steps<'a>(
    dir: &'a CellDir,
    secret: &'a Secret,
    option: &SealOption<'_>,
) -> Result<(Vec<Step<'a>>, Resealed), CellDirError> {
    let places = read_places(dir)?;
    let (seal, withdrawn) = settle(dir, &places, secret)?;
    let root = with_unlock(dir, &places, secret, |unlock| seal.unseal(unlock))?;
    let (cell, root_id) = (seal.cell(), root.id());
    let now = matches!(seal.seal_kind(), Seal::KeyFile(_)).then(|| key_file_of(dir, &places));
    let new_file = NewFile::of(dir, option, now.as_deref(), &withdrawn)?;
    let new_secret = NewSecret::make(cell, option)?;
    let new_seal = new_secret.seal(dir, cell, root)?;

    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut resealed =
        Resealed { root: root_id, key_file: None, old_key_file: now.filter(|path| path.exists()) };
    let write_seal =
        |seal: RootSeal| -> Step<'a> { Box::new(move || write_json(&dir.root_seal(), &seal)) };
    let write_places = |key_file: Option<PathBuf>| -> Step<'a> {
        let places = Places { key_file, anchor: places.anchor.clone() };
        Box::new(move || write_json(&dir.places(), &places))
    };
    match (new_secret, new_file) {
        (NewSecret::KeyFile { text, .. }, Some(file)) => {
            let NewFile { path, recorded, old } = file;
            let next = with_ending(&path, ".next");
            let from = next.clone();
            steps.push(Box::new(move || {
                write_key_file(&next, &text)
                    .map_err(|error| CellDirError::io("create", &next, error))
            }));
            steps.push(write_seal(seal.with_next(&new_seal)));
            if let (Some(old), Secret::KeyFile(text)) = (&old, secret) {
                let old = old.clone();
                resealed.old_key_file = Some(old.clone());
                steps.push(Box::new(move || {
                    write_key_file(&old, text)
                        .map_err(|error| CellDirError::io("create", &old, error))
                }));
            }
            let to = path.clone();
            steps.push(Box::new(move || {
                fs::rename(&from, &to)
                    .and_then(|()| sync_dir_of(&to))
                    .map_err(|error| CellDirError::io("create", &to, error))
            }));
            if recorded != places.key_file {
                steps.push(write_places(recorded));
            }
            steps.push(write_seal(new_seal));
            resealed.key_file = Some(path);
        }
        _ => {
            steps.push(write_seal(new_seal));
            // Of no use any more. After the seal, which until then asks for that file.
            if places.key_file.is_some() {
                steps.push(write_places(None));
            }
        }
    }
    Ok((steps, resealed))
}

/// Where a new key file comes to lie.
struct NewFile {
    path: PathBuf,
    /// How that is written down: not at all, if it is the usual place.
    recorded: Option<PathBuf>,
    /// Where the old one is kept, if the new one takes its place.
    old: Option<PathBuf>,
}

impl NewFile {
    fn of(
        dir: &CellDir,
        option: &SealOption<'_>,
        now: Option<&Path>,
        withdrawn: &[RootSeal],
    ) -> Result<Option<Self>, CellDirError> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| CellDirError::io("find", path, error))
        };
        let usual = absolute(&dir.root_key())?;
        let now = now.map(absolute).transpose()?;
        let path = match option {
            SealOption::KeyFile(Some(path)) => absolute(path)?,
            SealOption::KeyFile(None) => now.clone().unwrap_or_else(|| usual.clone()),
            SealOption::Passphrase { .. } | SealOption::Shares { .. } => return Ok(None),
        };
        let old = (now.as_ref() == Some(&path)).then(|| with_ending(&path, ".old"));
        match &old {
            Some(old) if old.exists() => {
                return Err(CellDirError::OldKeyFileThere { path: old.clone() });
            }
            None if path.exists() && !opens_one_of(&path, withdrawn) => {
                return Err(CellDirError::KeyFileThere { path });
            }
            _ => {}
        }
        let recorded = (path != usual).then(|| path.clone());
        Ok(Some(Self { path, recorded, old }))
    }
}

/// Whether the file is what an earlier call made and did not live to use.
fn opens_one_of(path: &Path, seals: &[RootSeal]) -> bool {
    super::read_key_file(path)
        .is_ok_and(|file| seals.iter().any(|seal| seal.unseal(&Unlock::KeyFile(&file)).is_ok()))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// The one seal that counts, and those that no longer do. Where an earlier change was cut short, it
/// is finished or withdrawn first: whichever `secret`, and the store, belong to.
fn settle(
    dir: &CellDir,
    places: &Places,
    secret: &Secret,
) -> Result<(RootSeal, Vec<RootSeal>), CellDirError> {
    let seal = read_seal(dir)?;
    let mut each = seal.each();
    if each.len() == 1 {
        return Ok((seal, Vec::new()));
    }
    let held = Store::root_key_of(&open_backend(&dir.store())?)?;
    let counts = |seal: &RootSeal| {
        Some(seal.root()) == held
            && with_unlock(dir, places, secret, |unlock| seal.unseal(unlock)).is_ok()
    };
    let Some(at) = each.iter().position(counts) else {
        // Says why not.
        with_unlock(dir, places, secret, |unlock| seal.unseal(unlock))?;
        let detail = "the store lies under another root key".to_owned();
        return Err(CellDirError::Damaged { path: dir.root_seal(), detail });
    };
    let settled = each.swap_remove(at);
    write_json(&dir.root_seal(), &settled)?;
    Ok((settled, each))
}

fn rotate_root_steps<'a>(
    dir: &'a CellDir,
    secret: &Secret,
) -> Result<(Vec<Step<'a>>, RootRotated), CellDirError> {
    let places = read_places(dir)?;
    let (seal, _) = settle(dir, &places, secret)?;
    let entropy = &mut SystemEntropy::new();
    let (cell, root) =
        (seal.cell(), with_unlock(dir, &places, secret, |unlock| seal.unseal(unlock))?);
    let old = root.id();
    let anchor = Box::new(AnchorFile::new(anchor_of(dir, &places)));
    let store = Store::open(cell, Box::new(open_backend(&dir.store())?), anchor, root)?;
    let (new_seal, root) = with_unlock(dir, &places, secret, |unlock| {
        let (new_seal, root) = seal.seal_again(unlock, RootKey::generate(entropy), entropy)?;
        let opened = new_seal.unseal(unlock)?;
        assert!(opened.id() == root.id(), "a seal opens to the key that went in");
        Ok((new_seal, root))
    })?;
    let rotated = RootRotated { old, new: root.id() };
    let both = seal.with_next(&new_seal);
    let steps: Vec<Step<'a>> = vec![
        Box::new(move || write_json(&dir.root_seal(), &both)),
        Box::new(move || store.rotate_root(root).map(drop).map_err(CellDirError::from)),
        Box::new(move || write_json(&dir.root_seal(), &new_seal)),
    ];
    Ok((steps, rotated))
}

#[cfg(test)]
mod tests;
