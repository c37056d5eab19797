//! What stands between a disk and the root key: a seal, of which each kind has a file of its own
//! ([`crate::seal_keyfile`], [`crate::seal_passphrase`], [`crate::seal_shamir`]).
//!
//! A further kind is a file like these, which implements [`SealKey`], and one more variant of each
//! enum here: what lies on disk, and what an operator presents.

use crypto::{DataKey, Entropy, Id, WrappedDataKey};
use serde::{Deserialize, Serialize};

use crate::RootKey;
use crate::seal_keyfile::{KeyFileSeal, KeyFileSecret};
use crate::seal_passphrase::PassphraseSeal;
use crate::seal_shamir::{ShamirSeal, ShareError, SharePolicyError, ShareSet};
use crate::share::Share;
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
    /// While the seal or the root key is being changed: what will be in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<NextSeal>,
}

/// See [`RootSeal::with_next`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextSeal {
    root: Id,
    seal: Seal,
}

/// How the root key is wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seal {
    KeyFile(KeyFileSeal),
    Passphrase(PassphraseSeal),
    Shamir(ShamirSeal),
}

/// What a seal asks for, named as on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealKind {
    KeyFile,
    Passphrase,
    Shamir,
}

impl SealKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyFile => "keyfile",
            Self::Passphrase => "passphrase",
            Self::Shamir => "shamir",
        }
    }
}

impl Seal {
    #[must_use]
    pub fn kind(&self) -> SealKind {
        match self {
            Self::KeyFile(_) => SealKind::KeyFile,
            Self::Passphrase(_) => SealKind::Passphrase,
            Self::Shamir(_) => SealKind::Shamir,
        }
    }
}

/// A kind of seal.
pub(crate) trait SealKey {
    /// What opens it.
    type Secret: ?Sized;

    /// The root key that it holds.
    ///
    /// # Errors
    /// [`UnsealError`] if `secret` is not its secret, or the seal was changed.
    fn unseal(&self, cell: Id, root: Id, secret: &Self::Secret) -> Result<DataKey, UnsealError>;

    /// A seal of the same kind, under the same secret, for another root key, which is handed back
    /// for use.
    ///
    /// # Errors
    /// As [`SealKey::unseal`], as far as it can be told without opening the seal.
    fn seal_again(
        &self,
        cell: Id,
        root: RootKey,
        secret: &Self::Secret,
        entropy: &mut dyn Entropy,
    ) -> Result<(Seal, DataKey), UnsealError>;
}

/// What an operator presents to unlock the cell.
pub enum Unlock<'a> {
    KeyFile(&'a KeyFileSecret),
    Passphrase(&'a [u8]),
    Shamir(&'a [Share]),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnsealError {
    #[error("the root seal has version {0}; this program knows version {VERSION}")]
    Version(u32),
    #[error("the root seal belongs to cell {found}, not to cell {expected}")]
    OtherCell { found: Id, expected: Id },
    #[error("the cell is sealed by a key file, and something else was given")]
    NeedsKeyFile,
    #[error("the cell is sealed by a passphrase, and something else was given")]
    NeedsPassphrase,
    #[error("the cell is sealed by shares, and something else was given")]
    NeedsShares,
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    #[error("this is not the key file that the cell was sealed with")]
    WrongKeyFile,
    #[error("{given} shares were given, and {needed} are needed")]
    NotEnoughShares { given: usize, needed: u8 },
    #[error(transparent)]
    Share(ShareError),
    #[error("the root seal was changed: {0}")]
    SharesOutOfRange(SharePolicyError),
    #[error("the root seal was changed: it knows {found} shares of {count}")]
    ChecksMissing { found: usize, count: u8 },
    #[error("the root seal was changed: {0}")]
    Damaged(UnwrapKeyError),
    #[error("the root seal was changed: {0}")]
    CostOutOfRange(crypto::passphrase::CostOutOfRange),
}

/// Which seal a new cell gets.
pub enum SealWith<'a> {
    KeyFile(&'a KeyFileSecret),
    Passphrase {
        passphrase: &'a [u8],
        cost: crypto::passphrase::Cost,
    },
    /// Made beforehand, so that the shares can be handed out before anything depends on them.
    Shamir(&'a ShareSet),
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
            SealWith::Shamir(shares) => ShamirSeal::seal(cell, root, shares, entropy),
        };
        Ok((Self::whole(cell, id, seal), RootKey::from_parts(id, key)))
    }

    /// Seals another root key for the same cell, under the secret that this seal has.
    ///
    /// # Errors
    /// As [`RootSeal::unseal`], as far as it can be told without opening the seal.
    pub fn seal_again(
        &self,
        unlock: &Unlock<'_>,
        root: RootKey,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, RootKey), UnsealError> {
        let (cell, id) = (self.cell, root.id());
        let (seal, key) = match (&self.seal, unlock) {
            (Seal::KeyFile(seal), Unlock::KeyFile(secret)) => {
                seal.seal_again(cell, root, secret, entropy)
            }
            (Seal::Passphrase(seal), Unlock::Passphrase(passphrase)) => {
                seal.seal_again(cell, root, passphrase, entropy)
            }
            (Seal::Shamir(seal), Unlock::Shamir(shares)) => {
                seal.seal_again(cell, root, shares, entropy)
            }
            _ => Err(self.needs()),
        }?;
        Ok((Self::whole(cell, id, seal), RootKey::from_parts(id, key)))
    }

    fn whole(cell: Id, root: Id, seal: Seal) -> Self {
        Self { version: VERSION, cell, root, seal, next: None }
    }

    /// This seal and the one that replaces it, in one file: either opens the cell while other files
    /// follow.
    ///
    /// # Panics
    /// If `next` is of another cell.
    #[must_use]
    pub fn with_next(&self, next: &Self) -> Self {
        assert!(self.cell == next.cell, "a seal is replaced by one of the same cell");
        let next = NextSeal { root: next.root, seal: next.seal.clone() };
        Self { next: Some(next), ..self.clone() }
    }

    /// The seals in this file, each alone: one, or two while a change is unfinished.
    #[must_use]
    pub fn each(&self) -> Vec<Self> {
        let mut all = vec![Self { next: None, ..self.clone() }];
        if let Some(NextSeal { root, seal }) = &self.next {
            all.push(Self { root: *root, seal: seal.clone(), next: None, ..self.clone() });
        }
        all
    }

    /// Opens the seal, or while a change is unfinished the first of the two that `unlock` opens.
    ///
    /// # Errors
    /// [`UnsealError`] says whether the secret is of the wrong kind, wrong, or the seal damaged.
    pub fn unseal(&self, unlock: &Unlock<'_>) -> Result<RootKey, UnsealError> {
        Ok(self.unseal_each(unlock)?.swap_remove(0))
    }

    /// All root keys that `unlock` opens, at least one. There are two while the root key is being
    /// replaced, and which of them it is the store knows.
    ///
    /// # Errors
    /// As [`RootSeal::unseal`].
    pub fn unseal_each(&self, unlock: &Unlock<'_>) -> Result<Vec<RootKey>, UnsealError> {
        if self.version != VERSION {
            return Err(UnsealError::Version(self.version));
        }
        let first = self.open(self.root, &self.seal, unlock);
        let next = self.next.as_ref().map(|next| self.open(next.root, &next.seal, unlock));
        match (first, next) {
            (Ok(first), Some(Ok(next))) => Ok(vec![first, next]),
            (Ok(root), _) | (Err(_), Some(Ok(root))) => Ok(vec![root]),
            (Err(error), _) => Err(error),
        }
    }

    fn open(&self, root: Id, seal: &Seal, unlock: &Unlock<'_>) -> Result<RootKey, UnsealError> {
        let key = match (seal, unlock) {
            (Seal::KeyFile(seal), Unlock::KeyFile(secret)) => {
                seal.unseal(self.cell, root, secret)?
            }
            (Seal::Passphrase(seal), Unlock::Passphrase(passphrase)) => {
                seal.unseal(self.cell, root, passphrase)?
            }
            (Seal::Shamir(seal), Unlock::Shamir(shares)) => seal.unseal(self.cell, root, shares)?,
            _ => return Err(seal.needs()),
        };
        Ok(RootKey::from_parts(root, key))
    }

    pub(crate) fn needs(&self) -> UnsealError {
        self.seal.needs()
    }

    /// The id of the root key.
    #[must_use]
    pub fn root(&self) -> Id {
        self.root
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

impl Seal {
    fn needs(&self) -> UnsealError {
        match self {
            Self::KeyFile(_) => UnsealError::NeedsKeyFile,
            Self::Passphrase(_) => UnsealError::NeedsPassphrase,
            Self::Shamir(_) => UnsealError::NeedsShares,
        }
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
