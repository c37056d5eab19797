//! Snapshots of the records, and changes to them.

use std::sync::{Arc, MutexGuard};

use crypto::SystemEntropy;
use keys::record_seal::{self, RecordPlace};
use keys::{DomainKeyRecord, DomainRing, UnixSeconds};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::backend::{RawRead, RawWrite};
use super::counts::Counts;
use super::reader::{Reader, View};
use super::root_state::{RootState, Term};
use super::{
    Head, Health, Known, NAME_BYTES_MAX, ROOT_SLOT, Store, StoreError, Table, VALUE_BYTES_MAX,
    Version, seal_root, table_of,
};

/// What a record must be for a change to go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Absent,
    At(Version),
}

/// A view of the store that does not change.
pub struct Snapshot<'s> {
    pub(super) store: &'s Store,
    pub(super) ring: Arc<DomainRing>,
    pub(super) raw: Box<dyn RawRead>,
}

/// A set of changes that takes place as a whole, or (dropped) not at all.
#[must_use = "a transaction that is not committed changes nothing"]
pub struct Transaction<'s> {
    pub(super) store: &'s Store,
    pub(super) ring: Arc<DomainRing>,
    pub(super) raw: Box<dyn RawWrite>,
    pub(super) state: RootState,
    /// Records that were added and removed.
    pub(super) counts: Counts,
    pub(super) head: MutexGuard<'s, Head>,
    pub(super) changed: bool,
}

impl Reader for Snapshot<'_> {
    fn view(&self) -> View<'_> {
        View { store: self.store, ring: &self.ring, raw: &*self.raw }
    }
}

impl Reader for Transaction<'_> {
    fn view(&self) -> View<'_> {
        View { store: self.store, ring: &self.ring, raw: &*self.raw }
    }
}

impl Transaction<'_> {
    /// Writes a record, whatever was there.
    ///
    /// # Errors
    /// [`StoreError`] if the name or value is too long, or the store cannot be written.
    pub fn put<T: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<T>,
        name: &str,
        value: &T,
    ) -> Result<(), StoreError> {
        let json = Zeroizing::new(serde_json::to_vec(value).map_err(|error| {
            let (table, name) = (table.name().to_owned(), name.to_owned());
            StoreError::Unreadable { table, name, detail: error.to_string() }
        })?);
        if json.len() > VALUE_BYTES_MAX {
            return Err(StoreError::ValueLength(json.len()));
        }
        self.put_bytes(table.name(), name, &json)
    }

    /// Writes a record if it is still what the caller saw.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if it is not, else as [`Transaction::put`].
    pub fn compare_and_set<T: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<T>,
        name: &str,
        expected: Expected,
        value: &T,
    ) -> Result<(), StoreError> {
        let found =
            self.get(table, name)?.map_or(Expected::Absent, |found| Expected::At(found.version));
        if found != expected {
            let (table, name) = (table.name().to_owned(), name.to_owned());
            return Err(StoreError::Conflict { table, name });
        }
        self.put(table, name, value)
    }

    /// Removes a record, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    pub fn delete<T: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<T>,
        name: &str,
    ) -> Result<(), StoreError> {
        let slot = self.store.slot(table.name(), name);
        if let Some(old) = self.raw.get(&slot)? {
            self.state.sums.remove(&Term::of(&self.store.index, &slot, &old));
            self.counts.remove(table.name());
            self.raw.delete(&slot)?;
            self.changed = true;
        }
        Ok(())
    }

    /// Adds a domain key: whatever is written from now on lies under it.
    ///
    /// # Errors
    /// [`StoreError::Corrupted`] if the domain keys of the store do not unwrap.
    pub fn rotate_domain(&mut self, now: UnixSeconds) -> Result<(), StoreError> {
        let entropy = &mut SystemEntropy::new();
        let (record, _) = DomainKeyRecord::generate(&self.store.root, self.store.id, now, entropy);
        self.state.domains.push(record);
        self.load_ring()
    }

    /// The next `limit` records of the whole store, with what lazy rewrapping must know of them.
    /// Those of the tables in `always` are shown whatever they lie under, since they hold something
    /// that is wrapped apart.
    ///
    /// # Errors
    /// [`StoreError`] if one of them is not what was written.
    pub fn renewable(
        &self,
        start: Option<&RenewalStart>,
        limit: usize,
        always: &[&str],
    ) -> Result<Renewable, StoreError> {
        let current = self.ring.current();
        // What came before the start lies under an older key again, where it was replaced since.
        let start = start.filter(|start| start.domain == current);
        let after = start.map_or(&[][..], |start| &start.slot);
        let entries = self.raw.page(&[], after, limit)?;
        let mut records = Vec::new();
        for (slot, sealed) in entries.iter().filter(|(slot, _)| slot != ROOT_SLOT) {
            let table = table_of(slot).unwrap_or_default();
            let stale = record_seal::key_of_record(sealed) != Some(current);
            if stale || always.contains(&table) {
                let opened = self.view().open(table, slot, sealed)?;
                let name = opened.parts(table)?.0.to_owned();
                records.push(Renewal { table: table.to_owned(), name, stale });
            }
        }
        let whole = entries.len() == limit;
        let next = entries
            .into_iter()
            .last()
            .filter(|_| whole)
            .map(|(slot, _)| RenewalStart { slot, domain: current });
        Ok(Renewable { records, next })
    }

    /// Seals a record anew, under the current domain key.
    ///
    /// # Errors
    /// [`StoreError`] if it is not what was written.
    pub fn reseal(&mut self, table: &str, name: &str) -> Result<(), StoreError> {
        let slot = self.store.slot(table, name);
        let Some(sealed) = self.raw.get(&slot)? else { return Ok(()) };
        let opened = self.view().open(table, &slot, &sealed)?;
        let (name, value) = opened.parts(table)?;
        self.put_bytes(table, name, value)
    }

    /// The domain keys in the order in which they were made, and when that was.
    #[must_use]
    pub fn domains(&self) -> Vec<(crypto::Id, UnixSeconds)> {
        self.state.domains.iter().map(|domain| (domain.id, domain.created)).collect()
    }

    /// Forgets older domain keys under which no record lies, but those in `needed`. Returns how
    /// many it forgot.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn retire_domains(&mut self, needed: &[crypto::Id]) -> Result<usize, StoreError> {
        let mut used = needed.to_vec();
        used.push(self.ring.current());
        self.raw.scan(&[], &mut |key, sealed| {
            match record_seal::key_of_record(sealed) {
                Some(id) if key != ROOT_SLOT && !used.contains(&id) => used.push(id),
                _ => {}
            }
            Ok(())
        })?;
        let before = self.state.domains.len();
        self.state.domains.retain(|domain| used.contains(&domain.id));
        self.load_ring()?;
        Ok(before - self.state.domains.len())
    }

    fn load_ring(&mut self) -> Result<(), StoreError> {
        let (root, owner) = (&self.store.root, self.store.id);
        let ring = DomainRing::unwrap_keys(root, owner, &self.state.domains).map_err(|error| {
            let path = self.store.backend.path().to_owned();
            StoreError::Corrupted { path, detail: format!("its keys: {error}") }
        })?;
        self.ring = Arc::new(ring);
        self.changed = true;
        Ok(())
    }

    /// The domain keys as this transaction leaves them.
    #[must_use]
    pub fn ring(&self) -> &DomainRing {
        &self.ring
    }

    /// Makes the changes durable, then advances the anchor. Without changes nothing happens.
    ///
    /// After [`StoreError`] the changes may or may not have taken place, as after a crash: the next
    /// transaction finds out.
    ///
    /// # Errors
    /// [`StoreError`] if the store or its anchor cannot be written.
    pub fn commit(mut self) -> Result<(), StoreError> {
        if !self.changed {
            return Ok(());
        }
        self.state.sequence += 1;
        self.state.previous = self.head.mac.0;
        let store = self.store;
        let (sealed, mac) = seal_root(store.id, &store.root, &store.anchor_key, &self.state);
        self.head.health = Health::Unknown;
        self.raw.put(ROOT_SLOT, &sealed)?;
        // A snapshot that begins between the two looks for its keys itself.
        self.raw.commit()?;
        *self.head = Head { state: self.state, mac, sealed, health: Health::AnchorBehind };
        store.learn(Known::of(&self.head, self.ring));
        store.counts().merge(&self.counts);
        store.anchor.advance(&self.head.anchor(store.id))?;
        self.head.health = Health::Good;
        store.sequence.send_replace(self.head.state.sequence);
        Ok(())
    }

    fn put_bytes(&mut self, table: &str, name: &str, value: &[u8]) -> Result<(), StoreError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(StoreError::NameLength(name.len()));
        }
        let slot = self.store.slot(table, name);
        let mut content = Zeroizing::new(Vec::with_capacity(2 + name.len() + value.len()));
        content.extend(u16::try_from(name.len()).expect("names are short").to_be_bytes());
        content.extend(name.as_bytes());
        content.extend(value);
        let place = RecordPlace { store: self.store.id, table, slot: &slot };
        let version = self.state.sequence + 1;
        let entropy = &mut SystemEntropy::new();
        let sealed = record_seal::seal_record(&self.ring, place, version, &content, entropy);
        if let Some(old) = self.raw.get(&slot)? {
            self.state.sums.remove(&Term::of(&self.store.index, &slot, &old));
        } else {
            self.counts.add(table);
        }
        self.state.sums.add(&Term::of(&self.store.index, &slot, &sealed));
        self.changed = true;
        self.raw.put(&slot, &sealed)
    }
}

/// A record that may have to be moved under the current domain key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renewal {
    pub table: String,
    pub name: String,
    /// Whether it is sealed under an older one.
    pub stale: bool,
}

/// Some of them, and where the next begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renewable {
    pub records: Vec<Renewal>,
    pub next: Option<RenewalStart>,
}

/// A place among all records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenewalStart {
    slot: Vec<u8>,
    /// What everything before was moved under.
    domain: crypto::Id,
}
