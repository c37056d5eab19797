//! The store: sealed records in tables, changed in transactions, watched, and anchored against
//! rollback.
//!
//! The order of a commit is: the backend durable, then the anchor, then the caller hears of it. A
//! store one transaction ahead of its anchor is therefore a crash; anything else is somebody's
//! doing and refused. What the file reveals is listed in `docs/formats/store.md`.

mod accept;
mod anchor;
pub mod backend;
mod beside;
mod counts;
mod error;
mod loaded;
mod probation;
mod reader;
mod redb_backend;
mod root_rotation;
mod root_state;
mod sweep;
mod table;
mod transaction;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use crypto::kdf::Label;
use crypto::mac::{Mac, MacKey};
use crypto::{Id, SystemEntropy};
use keys::record_seal::{self, RecordPlace};
use keys::{DomainKeyRecord, DomainRing, IndexKeyRecord, IndexKeys, RootKey, UnixSeconds};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub use accept::AcceptedRollback;
pub use anchor::{Anchor, AnchorFile, AnchorKeeper, replace_file, sync_dir_of};
use backend::Backend;
use counts::Counts;
pub use error::StoreError;
use loaded::Loaded;
pub use reader::{Reader, View};
pub use redb_backend::RedbBackend;
use root_state::RootState;
pub use table::{Page, PageStart, PartitionedTable, Table, Version, Versioned};
pub use transaction::{Expected, Renewable, Renewal, RenewalStart, Snapshot, Transaction};

/// The longest name of a record.
pub const NAME_BYTES_MAX: usize = 1024;
/// The longest value of a record.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// No table's name begins with a zero byte, so no record can lie here.
const ROOT_SLOT: &[u8] = b"\0root";
const ROOT_TABLE: &str = "";
const ANCHOR_LABEL: Label = Label("sealane/store-anchor/1");

/// An open store. Shared by reference between threads; transactions take turns.
pub struct Store {
    id: Id,
    backend: Box<dyn Backend>,
    anchor: Box<dyn AnchorKeeper>,
    root: RootKey,
    anchor_key: MacKey,
    index: IndexKeys,
    /// Held for the length of a transaction.
    head: Mutex<Head>,
    known: RwLock<Known>,
    /// Of the newest committed state.
    counts: Mutex<Counts>,
    sequence: watch::Sender<u64>,
    on_recovery: OnceLock<OnRecovery>,
}

/// What readers need of the newest committed root, as far as this process knows.
struct Known {
    sequence: u64,
    ring: Arc<DomainRing>,
    /// As it lies.
    root: Vec<u8>,
}

impl Known {
    fn of(head: &Head, ring: Arc<DomainRing>) -> Self {
        Self { sequence: head.state.sequence, ring, root: head.sealed.clone() }
    }
}

type OnRecovery = Box<dyn Fn() + Send + Sync>;

/// The newest committed root, as far as this process knows.
struct Head {
    state: RootState,
    mac: Mac,
    /// As it lies: what others write lies otherwise.
    sealed: Vec<u8>,
    health: Health,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// The backend is durable at this sequence, the anchor is not: advance it before anything else.
    AnchorBehind,
    /// A commit failed, and only the medium knows how far it came.
    Unknown,
}

impl Store {
    /// Makes the store `id` in an empty backend, and its anchor.
    ///
    /// # Errors
    /// [`StoreError`] if either cannot be written.
    pub fn create(
        id: Id,
        backend: Box<dyn Backend>,
        anchor: Box<dyn AnchorKeeper>,
        root: RootKey,
        now: UnixSeconds,
    ) -> Result<Self, StoreError> {
        let entropy = &mut SystemEntropy::new();
        let (domain, _) = DomainKeyRecord::generate(&root, id, now, entropy);
        let index = IndexKeyRecord::generate(&root, id, entropy);
        let state = RootState::first(index, domain);
        backend.accept()?;
        let anchor_key = anchor_key(&root, id);
        let (_, mac) = write_root(id, &root, &anchor_key, &state, &*backend)?;
        anchor.advance(&Anchor { store: id, sequence: state.sequence, mac })?;
        Self::open(id, backend, anchor, root)
    }

    /// Opens the store `id`, having checked every record in it.
    ///
    /// # Errors
    /// [`StoreError`] names the record or file that is not what the cell last wrote. Nothing has
    /// been written then.
    pub fn open(
        id: Id,
        backend: Box<dyn Backend>,
        anchor: Box<dyn AnchorKeeper>,
        root: RootKey,
    ) -> Result<Self, StoreError> {
        let anchor_key = anchor_key(&root, id);
        let loaded = Loaded::read(id, &*backend, &root, &anchor_key)?;
        loaded.check_anchor(id, &*backend, &*anchor)?;
        backend.accept()?;
        anchor.advance(&loaded.head.anchor(id))?;
        let Loaded { head, ring, index, counts } = loaded;
        Ok(Self {
            id,
            backend,
            anchor,
            root,
            anchor_key,
            index,
            sequence: watch::Sender::new(head.state.sequence),
            known: RwLock::new(Known::of(&head, Arc::new(ring))),
            head: Mutex::new(head),
            counts: Mutex::new(counts),
            on_recovery: OnceLock::new(),
        })
    }

    /// A view that does not change while it is held.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let raw = self.backend.read()?;
        if raw.get(ROOT_SLOT)?.as_ref() == Some(&known.root) {
            let ring = Arc::clone(&known.ring);
            return Ok(Snapshot { store: self, raw, ring });
        }
        drop(known);
        // A commit is under way, or another process has written.
        let path = self.backend.path();
        let loaded = Loaded::read_root(self.id, &*raw, path, &self.root, &self.anchor_key)?;
        let ring = Arc::new(loaded.ring);
        self.learn(Known::of(&loaded.head, Arc::clone(&ring)));
        Ok(Snapshot { store: self, raw, ring })
    }

    /// Waits for its turn. A thread that already holds a transaction would wait for ever.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written, or an earlier failure lasts.
    pub fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        match head.health {
            Health::Good => {}
            Health::AnchorBehind => {
                self.anchor.advance(&head.anchor(self.id))?;
                head.health = Health::Good;
                self.sequence.send_replace(head.state.sequence);
            }
            Health::Unknown => {
                self.backend.reopen()?;
                self.catch_up(&mut head)?;
            }
        }
        let mut raw = self.backend.write()?;
        while raw.get(ROOT_SLOT)?.as_ref() != Some(&head.sealed) {
            // Another process has written: its changes are not to be lost under ours.
            drop(raw);
            self.catch_up(&mut head)?;
            raw = self.backend.write()?;
        }
        let (state, counts) = (head.state.clone(), Counts::default());
        Ok(Transaction { store: self, ring: self.ring(), raw, state, counts, head, changed: false })
    }

    /// Runs `work` in a transaction of its own and commits what it changed.
    ///
    /// # Errors
    /// What `work` returns, in which case nothing was changed, or [`StoreError`].
    pub fn transact<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut transaction = self.begin()?;
        let done = work(&mut transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Announces the sequence of each transaction once it is acknowledged.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.sequence.subscribe()
    }

    /// The last acknowledged transaction.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        *self.sequence.borrow()
    }

    /// The domain keys that are held now.
    #[must_use]
    pub fn ring(&self) -> Arc<DomainRing> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).ring)
    }

    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Where the anchor lies: whoever reports on the cell says whether that is the store's own disk.
    #[must_use]
    pub fn anchor_path(&self) -> &std::path::Path {
        self.anchor.path()
    }

    /// The store is read anew, as on opening it: after a failed commit, or when somebody else has
    /// written to it.
    fn catch_up(&self, head: &mut MutexGuard<'_, Head>) -> Result<(), StoreError> {
        let loaded = Loaded::read(self.id, &*self.backend, &self.root, &self.anchor_key)?;
        loaded.check_anchor(self.id, &*self.backend, &*self.anchor)?;
        self.backend.accept()?;
        self.anchor.advance(&loaded.head.anchor(self.id))?;
        **head = loaded.head;
        // Whatever was known: after a failed commit it may never have been.
        *self.known.write().unwrap_or_else(PoisonError::into_inner) =
            Known::of(head, Arc::new(loaded.ring));
        *self.counts() = loaded.counts;
        self.sequence.send_replace(head.state.sequence);
        if let Some(tell) = self.on_recovery.get() {
            tell();
        }
        Ok(())
    }

    fn learn(&self, newer: Known) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if newer.sequence > known.sequence {
            *known = newer;
        }
    }

    /// Has `tell` called whenever the store was read anew, after a failed commit or since another
    /// process had written: what was read before may be no more. The first to ask for this is told.
    pub fn on_recovery(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_recovery.set(Box::new(tell));
    }

    /// Writes everything that the store holds to a new file, and destroys the old one: what was
    /// deleted is then nowhere on this disk any more, as far as a program can see to that. Other
    /// changes wait meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if there is no room for both, or the store cannot be written.
    pub fn rewrite(&self) -> Result<(), StoreError> {
        // Catches up with what an earlier failure left to be done.
        drop(self.begin()?);
        let _turn = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        self.backend.rewrite()
    }

    /// What authenticates the grant tokens of this cell.
    #[must_use]
    pub fn token_key(&self) -> MacKey {
        keys::grant::token::token_key(&self.root, self.id)
    }

    /// The table of one owner.
    #[must_use]
    pub fn table_of<T: Serialize + DeserializeOwned>(
        &self,
        table: &PartitionedTable<T>,
        owner: &str,
    ) -> Table<T> {
        table.of(&self.index, owner)
    }

    /// How many records `table` holds, without a look at them.
    #[must_use]
    pub fn count<T: Serialize + DeserializeOwned>(&self, table: &Table<T>) -> u64 {
        self.counts().of(table.name())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, table: &str, name: &str) -> Vec<u8> {
        slot(&self.index, table, name)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Head {
    fn anchor(&self, store: Id) -> Anchor {
        Anchor { store, sequence: self.state.sequence, mac: self.mac }
    }
}

fn anchor_key(root: &RootKey, store: Id) -> MacKey {
    root.mac_key(ANCHOR_LABEL, &[store.as_bytes()])
}

fn root_place(store: Id) -> RecordPlace<'static> {
    RecordPlace { store, table: ROOT_TABLE, slot: ROOT_SLOT }
}

fn record_place<'a>(store: Id, table: &'a str, slot: &'a [u8]) -> RecordPlace<'a> {
    RecordPlace { store, table, slot }
}

/// Seals `state` for the backend; the MAC is what the anchor will say of it.
fn seal_root(store: Id, root: &RootKey, anchor_key: &MacKey, state: &RootState) -> (Vec<u8>, Mac) {
    let json = serde_json::to_vec(state).expect("a root has only strings and numbers");
    let mac = anchor_key.mac(&json);
    let entropy = &mut SystemEntropy::new();
    let place = root_place(store);
    (record_seal::seal_root_record(root, place, state.sequence, &json, entropy), mac)
}

fn write_root(
    store: Id,
    root: &RootKey,
    anchor_key: &MacKey,
    state: &RootState,
    backend: &dyn Backend,
) -> Result<(Vec<u8>, Mac), StoreError> {
    let (sealed, mac) = seal_root(store, root, anchor_key, state);
    let mut raw = backend.write()?;
    raw.put(ROOT_SLOT, &sealed)?;
    raw.commit()?;
    Ok((sealed, mac))
}

/// Table, zero byte, MAC of the name. Tables' names are not secret; records' names may be.
fn slot(index: &IndexKeys, table: &str, name: &str) -> Vec<u8> {
    let mut slot = table.as_bytes().to_vec();
    slot.push(0);
    let mac = index.slots.mac(&[&slot[..], name.as_bytes()].concat());
    slot.extend(mac.0);
    slot
}

/// The table's name at the front of a slot, or `None` if this is no slot.
fn table_of(slot: &[u8]) -> Option<&str> {
    let (table, mac) = slot.split_at_checked(slot.len().checked_sub(Mac::LEN + 1)?)?;
    if mac[0] != 0 || table.is_empty() {
        return None;
    }
    std::str::from_utf8(table).ok()
}

/// Name and value of an opened record.
fn split_content(content: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = content.split_first_chunk::<2>()?;
    let (name, value) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((std::str::from_utf8(name).ok()?, value))
}
