//! The root key that a store lies under: which it is, and another in its place.
//!
//! Everything that the root key holds is in one record, so replacing it is one transaction like any
//! other: its root record names the MAC of the one before, under the old key, and so a crash before
//! the anchor follows is told from somebody else's doing as after any commit.

use std::sync::{Mutex, OnceLock, PoisonError};

use crypto::{Id, SystemEntropy};
use keys::{RootKey, record_seal};
use tokio::sync::watch;

use super::backend::Backend;
use super::{AnchorKeeper, Head, Health, ROOT_SLOT, Store, StoreError, anchor_key, write_root};

impl Store {
    /// The root key that the root record in `backend` says it is sealed under: a hint, which
    /// opening the store authenticates.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn root_key_of(backend: &dyn Backend) -> Result<Option<Id>, StoreError> {
        let sealed = backend.read()?.get(ROOT_SLOT)?;
        Ok(sealed.and_then(|sealed| record_seal::key_of_record(&sealed)))
    }

    /// As [`Store::open`], with whichever of `roots` the store lies under: there are two while one
    /// replaces the other.
    ///
    /// # Errors
    /// As [`Store::open`].
    ///
    /// # Panics
    /// If `roots` is empty.
    pub fn open_under_one_of(
        id: Id,
        backend: Box<dyn Backend>,
        anchor: Box<dyn AnchorKeeper>,
        mut roots: Vec<RootKey>,
    ) -> Result<Self, StoreError> {
        let at = if roots.len() > 1 {
            let held = Self::root_key_of(&*backend)?;
            roots.iter().position(|root| Some(root.id()) == held)
        } else {
            None
        };
        // Where it is none of them, opening fails and says so.
        let root = roots.swap_remove(at.unwrap_or(0));
        Self::open(id, backend, anchor, root)
    }

    /// Puts the store under `root`. Its records stay as they are: domain keys and the index key are
    /// wrapped anew, and the old root key opens no later state of the store.
    ///
    /// The store is gone if this fails, since only the medium then knows how far it came; whoever
    /// opens it again holds both root keys.
    ///
    /// # Errors
    /// [`StoreError`] if the store or its anchor cannot be written.
    pub fn rotate_root(self, root: RootKey) -> Result<Self, StoreError> {
        // Catches up with what an earlier failure left to be done.
        drop(self.begin()?);
        let (id, old) = (self.id, &self.root);
        let head = self.head.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut state = head.state;
        let entropy = &mut SystemEntropy::new();
        let corrupted = |error| StoreError::Corrupted {
            path: self.backend.path().to_owned(),
            detail: format!("its keys: {error}"),
        };
        state.index = state.index.rewrap((old, &root), id, entropy).map_err(corrupted)?;
        for domain in &mut state.domains {
            *domain = domain.rewrap((old, &root), id, entropy).map_err(corrupted)?;
        }
        state.sequence += 1;
        state.previous = head.mac.0;
        let anchor_key = anchor_key(&root, id);
        let (sealed, mac) = write_root(id, &root, &anchor_key, &state, &*self.backend)?;
        let head = Head { state, mac, sealed, health: Health::Good };
        self.anchor.advance(&head.anchor(id))?;
        let sequence = watch::Sender::new(head.state.sequence);
        let (head, on_recovery) = (Mutex::new(head), OnceLock::new());
        Ok(Self { root, anchor_key, head, sequence, on_recovery, ..self })
    }
}
