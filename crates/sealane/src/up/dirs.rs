//! Folders under DIR that belong to one child each.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;

use crate::cell_dir::CellDir;

/// Hands the store and what control reads in DIR over to control's `uid`, and makes the folders that
/// are shared. DIR itself and the key file stay the supervisor's.
///
/// # Errors
/// What the file system says.
pub(super) fn prepare(dir: &CellDir, uid: Option<u32>) -> io::Result<()> {
    for (path, mode) in [(dir.run(), 0o711), (dir.volumes(), 0o711), (dir.logs(), 0o711)] {
        std::fs::DirBuilder::new().recursive(true).mode(mode).create(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    }
    std::fs::set_permissions(dir.base(), std::fs::Permissions::from_mode(0o711))?;
    let store = dir.store();
    if let Some(folder) = store.parent() {
        private_dir(folder, uid)?;
    }
    private_dir(&dir.audit(), uid)?;
    if let Some(uid) = uid {
        for path in [dir.root_seal(), dir.places()] {
            if path.exists() {
                chown(path, Some(uid), Some(uid))?;
            }
        }
    }
    Ok(())
}

/// Makes `path` a folder that only `uid` can look into, and hands it and its files over: the uid of
/// a role changes when a cell is copied to a machine where it runs with or without root.
///
/// # Errors
/// What the file system says.
pub(super) fn private_dir(path: &Path, uid: Option<u32>) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    if let Some(uid) = uid {
        chown(path, Some(uid), Some(uid))?;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            std::os::unix::fs::lchown(entry.path(), Some(uid), Some(uid))?;
        }
    }
    Ok(())
}
