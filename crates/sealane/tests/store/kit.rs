//! A store in a directory of its own.

use std::path::PathBuf;

use crypto::{Id, SystemEntropy};
use keys::root_seal::{RootSeal, SealWith, Unlock};
use keys::seal_keyfile::KeyFileSecret;
use keys::{RootKey, UnixSeconds};
use sealane::store::{AnchorFile, RedbBackend, Store, StoreError, Table};
use tempfile::TempDir;

pub(crate) const NUMBERS: Table<u64> = Table::new("number");

/// A root key that can be had again and again, which a `RootKey` itself cannot.
pub(crate) struct Root {
    secret: KeyFileSecret,
    seal: RootSeal,
}

impl Root {
    pub(crate) fn new(cell: Id) -> Self {
        let entropy = &mut SystemEntropy::new();
        let (secret, _) = KeyFileSecret::generate(entropy);
        let with = SealWith::KeyFile(&secret);
        let (seal, _) = RootSeal::seal(cell, RootKey::generate(entropy), &with, entropy).unwrap();
        Self { secret, seal }
    }

    /// Another root key for the same store.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.seal.cell())
    }

    pub(crate) fn key(&self) -> RootKey {
        self.seal.unseal(&Unlock::KeyFile(&self.secret)).unwrap()
    }
}

pub(crate) struct TestStore {
    dir: TempDir,
    pub(crate) id: Id,
    pub(crate) root: Root,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let id = Id::random(&mut SystemEntropy::new());
        // In memory where there is such a place: hundreds of syncs on a busy disk take minutes, and
        // what a sync is worth is tested on a disk that lies.
        let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        Self { dir, id, root: Root::new(id) }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("cell.redb")
    }

    pub(crate) fn anchor(&self) -> PathBuf {
        self.dir.path().join("anchor")
    }

    /// The folder of the audit trail.
    pub(crate) fn trail(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    pub(crate) fn create(&self) -> Store {
        let backend = Box::new(RedbBackend::create_file(&self.file()).unwrap());
        let anchor = Box::new(AnchorFile::new(self.anchor()));
        Store::create(self.id, backend, anchor, self.root.key(), UnixSeconds(1)).unwrap()
    }

    pub(crate) fn open(&self) -> Result<Store, StoreError> {
        self.open_under(vec![self.root.key()])
    }

    pub(crate) fn open_under(&self, roots: Vec<RootKey>) -> Result<Store, StoreError> {
        let backend = Box::new(RedbBackend::open_file(&self.file())?);
        let anchor = Box::new(AnchorFile::new(self.anchor()));
        Store::open_under_one_of(self.id, backend, anchor, roots)
    }
}
