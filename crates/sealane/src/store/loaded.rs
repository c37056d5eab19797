//! A store as it is found when it is opened: what its authenticated root says, and whether the
//! records and the anchor agree with it.

use std::path::Path;

use crypto::Id;
use crypto::mac::{Mac, MacKey};
use keys::record_seal::{self, OpenedRecord, RecordPlace};
use keys::{DomainRing, IndexKeys, RootKey};

use super::backend::{Backend, RawRead};
use super::counts::Counts;
use super::root_state::{RootState, Sums, Term};
use super::sweep::{Record, Tally, sweep};
use super::{Anchor, AnchorKeeper, Head, Health, ROOT_SLOT, StoreError};
use super::{root_place, split_content, table_of};

/// A store as found, before it is trusted.
pub(super) struct Loaded {
    pub(super) head: Head,
    pub(super) ring: DomainRing,
    pub(super) index: IndexKeys,
    /// Once the records were looked at.
    pub(super) counts: Counts,
}

impl Loaded {
    pub(super) fn read(
        store: Id,
        backend: &dyn Backend,
        root: &RootKey,
        anchor_key: &MacKey,
    ) -> Result<Self, StoreError> {
        let (raw, path) = (backend.read()?, backend.path());
        let mut loaded = Self::read_root(store, &*raw, path, root, anchor_key)?;
        loaded.counts = loaded.check_records(store, &*raw, path)?;
        Ok(loaded)
    }

    /// What the root record says, which is not compared with the records yet.
    pub(super) fn read_root(
        store: Id,
        raw: &dyn RawRead,
        path: &Path,
        root: &RootKey,
        anchor_key: &MacKey,
    ) -> Result<Self, StoreError> {
        let corrupted = |detail: String| StoreError::Corrupted { path: path.to_owned(), detail };
        let sealed = raw
            .get(ROOT_SLOT)?
            .ok_or_else(|| corrupted("it holds no authenticated root".to_owned()))?;
        let opened = record_seal::open_record(root, root_place(store), &sealed)
            .map_err(|error| corrupted(format!("its authenticated root: {error}")))?;
        let state: RootState = serde_json::from_slice(&opened.content)
            .map_err(|error| corrupted(format!("its authenticated root: {error}")))?;
        if opened.version != state.sequence || state.current_domain().is_none() {
            return Err(corrupted("its authenticated root contradicts itself".to_owned()));
        }
        let unwrap = |error| corrupted(format!("its keys: {error}"));
        let index = state.index.unwrap_keys(root, store).map_err(unwrap)?;
        let ring = DomainRing::unwrap_keys(root, store, &state.domains).map_err(unwrap)?;
        let mac = anchor_key.mac(&opened.content);
        let head = Head { state, mac, sealed, health: Health::Good };
        let counts = Counts::default();
        Ok(Self { head, ring, index, counts })
    }

    /// Compares all records with the authenticated root, and counts them.
    fn check_records(
        &self,
        store: Id,
        raw: &(dyn RawRead + Sync),
        path: &Path,
    ) -> Result<Counts, StoreError> {
        let seen = sweep(raw, path, || Seen::under(&self.index))?;
        let (expected, found) = (&self.head.state.sums, seen.sums);
        if found == *expected {
            return Ok(seen.counts);
        }
        self.name_culprit(store, raw, path, &found)?;
        let (expected, found) = (expected.records, found.records);
        Err(StoreError::RecordsDiffer { path: path.to_owned(), expected, found })
    }

    /// The records are not those that were written. Says which, if it is one of those that are
    /// there.
    fn name_culprit(
        &self,
        store: Id,
        raw: &dyn RawRead,
        path: &Path,
        found: &Sums,
    ) -> Result<(), StoreError> {
        raw.scan(&[], &mut |key, sealed| {
            let Some(table) = table_of(key) else { return Ok(()) };
            let (path, table_name) = (path.to_owned(), table.to_owned());
            let place = RecordPlace { store, table, slot: key };
            let opened = match record_seal::open_record(&self.ring, place, sealed) {
                Ok(opened) => opened,
                Err(error) => {
                    // Its name is sealed with it, so the slot must do.
                    let name = keys::hex::encode(&key[table.len() + 1..]);
                    let reason = error.to_string();
                    return Err(StoreError::RecordForged { path, table: table_name, name, reason });
                }
            };
            if self.head.state.sums.accuses(found, key) {
                let name = name_of(&opened);
                return Err(StoreError::RecordReplayed { path, table: table_name, name });
            }
            Ok(())
        })
    }

    pub(super) fn check_anchor(
        &self,
        store_id: Id,
        backend: &dyn Backend,
        keeper: &dyn AnchorKeeper,
    ) -> Result<(), StoreError> {
        let Anchor { store: anchored, sequence: anchor, mac } = keeper.read()?;
        let (state, store) = (&self.head.state, self.head.state.sequence);
        if anchored != store_id {
            return Err(StoreError::AnchorOfOtherStore { path: keeper.path().to_owned() });
        }
        let extends = match store.checked_sub(anchor) {
            None => {
                let path = backend.path().to_owned();
                return Err(StoreError::RolledBack { path, store, anchor });
            }
            Some(0) => mac == self.head.mac,
            // The crash came between the backend and the anchor.
            Some(1) => mac == Mac(state.previous),
            Some(_) => {
                let path = keeper.path().to_owned();
                return Err(StoreError::AnchorOld { path, store, anchor });
            }
        };
        if extends {
            Ok(())
        } else {
            Err(StoreError::Forked { path: keeper.path().to_owned(), sequence: store })
        }
    }
}

fn name_of(opened: &OpenedRecord) -> String {
    match split_content(&opened.content) {
        Some((name, _)) => name.to_owned(),
        None => "(unnamed)".to_owned(),
    }
}

/// The records seen so far.
struct Seen<'k> {
    index: &'k IndexKeys,
    sums: Sums,
    counts: Counts,
}

impl<'k> Seen<'k> {
    fn under(index: &'k IndexKeys) -> Self {
        Self { index, sums: Sums::default(), counts: Counts::default() }
    }
}

impl Tally for Seen<'_> {
    fn take(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        self.counts.add(record.table);
        self.sums.add(&Term::of(self.index, record.slot, record.sealed));
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.sums.merge(&other.sums);
        self.counts.merge(&other.counts);
    }
}
