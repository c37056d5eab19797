//! A store in a directory of its own.

use std::path::PathBuf;

use crypto::{Id, SystemEntropy};
use keys::root_seal::{RootSeal, SealWith, Unlock};
use keys::seal_keyfile::KeyFileSecret;
use keys::{RootKey, UnixSeconds};
use sealane::kms::records::{CELL, CELL_NAME, CellIdentity};
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

/// A folder in memory where there is such a place: hundreds of syncs on a busy disk take minutes, and
/// what a sync is worth is tested on a disk that lies.
pub(crate) fn ram() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// Says in `store` what cell it belongs to.
pub(crate) fn identify(store: &Store) {
    let identity = CellIdentity {
        id: store.id(),
        name: Some("test".to_owned()),
        trust_domain: Some("test.example".to_owned()),
        account: Some("000000000000".to_owned()),
        region: Some("us-east-1".to_owned()),
        created: UnixSeconds(1),
    };
    store.transact(|transaction| transaction.put(&CELL, CELL_NAME, &identity)).unwrap();
}

pub(crate) struct TestStore {
    dir: TempDir,
    pub(crate) id: Id,
    pub(crate) root: Root,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let id = Id::random(&mut SystemEntropy::new());
        Self { dir: ram(), id, root: Root::new(id) }
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
