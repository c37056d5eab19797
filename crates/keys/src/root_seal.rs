//! What stands between a disk and the root key: a seal, of which each kind has a file of its own
//! ([`crate::seal_keyfile`], [`crate::seal_passphrase`]).

use crypto::{DataKey, Entropy, Id, WrappedDataKey};
use serde::{Deserialize, Serialize};

use crate::RootKey;
use crate::seal_keyfile::{KeyFileSeal, KeyFileSecret};
use crate::seal_passphrase::PassphraseSeal;
use crate::wrap::{self, Binding, Purpose, UnwrapKeyError};

const VERSION: u32 = 1;

/// The root key as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootSeal {
    version: u32,
    cell: Id,
    root: Id,
    seal: Seal,
}

/// How the root key is wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seal {
    KeyFile(KeyFileSeal),
    Passphrase(PassphraseSeal),
}

/// What an operator presents to unlock the cell.
pub enum Unlock<'a> {
    KeyFile(&'a KeyFileSecret),
    Passphrase(&'a [u8]),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnsealError {
    #[error("the root seal has version {0}; this program knows version {VERSION}")]
    Version(u32),
    #[error("the root seal belongs to cell {found}, not to cell {expected}")]
    OtherCell { found: Id, expected: Id },
    #[error("the cell is sealed by a key file, and a passphrase was given")]
    NeedsKeyFile,
    #[error("the cell is sealed by a passphrase, and a key file was given")]
    NeedsPassphrase,
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    #[error("this is not the key file that the cell was sealed with")]
    WrongKeyFile,
    #[error("the root seal was changed: {0}")]
    Damaged(UnwrapKeyError),
    #[error("the root seal was changed: {0}")]
    CostOutOfRange(crypto::passphrase::CostOutOfRange),
}

/// Which seal a new cell gets.
pub enum SealWith<'a> {
    KeyFile(&'a KeyFileSecret),
    Passphrase { passphrase: &'a [u8], cost: crypto::passphrase::Cost },
}

impl RootSeal {
    /// Seals `root` for `cell`, and hands it back for use.
    ///
    /// # Errors
    /// [`UnsealError::CostOutOfRange`] if the passphrase's cost is outside its limits.
    pub fn seal(
        cell: Id,
        root: RootKey,
        with: &SealWith<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, RootKey), UnsealError> {
        let id = root.id();
        let (seal, key) = match with {
            SealWith::KeyFile(secret) => KeyFileSeal::seal(cell, root, secret, entropy),
            SealWith::Passphrase { passphrase, cost } => {
                PassphraseSeal::seal(cell, root, passphrase, *cost, entropy)?
            }
        };
        Ok((Self { version: VERSION, cell, root: id, seal }, RootKey::from_parts(id, key)))
    }

    /// # Errors
    /// [`UnsealError`] says whether the secret is of the wrong kind, wrong, or the seal damaged.
    pub fn unseal(&self, unlock: &Unlock<'_>) -> Result<RootKey, UnsealError> {
        if self.version != VERSION {
            return Err(UnsealError::Version(self.version));
        }
        let key = match (&self.seal, unlock) {
            (Seal::KeyFile(seal), Unlock::KeyFile(secret)) => {
                seal.unseal(self.cell, self.root, secret)?
            }
            (Seal::Passphrase(seal), Unlock::Passphrase(passphrase)) => {
                seal.unseal(self.cell, self.root, passphrase)?
            }
            (Seal::KeyFile(_), Unlock::Passphrase(_)) => return Err(UnsealError::NeedsKeyFile),
            (Seal::Passphrase(_), Unlock::KeyFile(_)) => return Err(UnsealError::NeedsPassphrase),
        };
        Ok(RootKey::from_parts(self.root, key))
    }

    #[must_use]
    pub fn cell(&self) -> Id {
        self.cell
    }

    #[must_use]
    pub fn seal_kind(&self) -> &Seal {
        &self.seal
    }
}

/// What a root key is bound to under a seal's key. That key has no record of its own, so the cell
/// stands in for its id.
fn binding(cell: Id, root: Id) -> Binding {
    Binding { purpose: Purpose::Root, wrapping: cell, wrapped: root, owner: cell }
}

pub(crate) fn wrap_root(
    seal_key: &DataKey,
    cell: Id,
    root: RootKey,
    entropy: &mut dyn Entropy,
) -> (WrappedDataKey, DataKey) {
    let binding = binding(cell, root.id());
    wrap::wrap_key(seal_key, binding, root.into_key(), entropy)
}

pub(crate) fn unwrap_root(
    seal_key: &DataKey,
    cell: Id,
    root: Id,
    wrapped: &WrappedDataKey,
) -> Result<DataKey, UnwrapKeyError> {
    wrap::unwrap_key(seal_key, binding(cell, root), wrapped)
}
