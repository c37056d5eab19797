//! Reading records, the same in a snapshot and in a transaction.

use keys::DomainRing;
use keys::record_seal::{self, OpenedRecord, RecordPlace};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::backend::{Entry, RawRead};
use super::{Page, PageStart, Store, StoreError, Table, Version, Versioned, split_content};

/// What records are read from: the map with the sealed ones, and the keys they lie under.
#[derive(Clone, Copy)]
pub struct View<'v> {
    pub(super) store: &'v Store,
    pub(super) ring: &'v DomainRing,
    pub(super) raw: &'v dyn RawRead,
}

/// Whatever records can be read from.
pub trait Reader {
    /// The records as this reader sees them.
    fn view(&self) -> View<'_>;

    /// # Errors
    /// [`StoreError`] if the record is not what was written, or not of the table's type.
    fn get<T: Serialize + DeserializeOwned>(
        &self,
        table: &Table<T>,
        name: &str,
    ) -> Result<Option<Versioned<T>>, StoreError> {
        let view = self.view();
        let slot = view.store.slot(table.name(), name);
        let Some(sealed) = view.raw.get(&slot)? else { return Ok(None) };
        Ok(Some(view.open(table.name(), &slot, &sealed)?.parse(table)?.1))
    }

    /// All records of a table, by name.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn scan<T: Serialize + DeserializeOwned>(
        &self,
        table: &Table<T>,
    ) -> Result<Vec<(String, Versioned<T>)>, StoreError> {
        let view = self.view();
        let mut records = Vec::new();
        view.raw.scan(&prefix_of(table), &mut |slot, sealed| {
            records.push(view.open(table.name(), slot, sealed)?.parse(table)?);
            Ok(())
        })?;
        records.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(records)
    }

    /// Up to `limit` records of a table from `start` on. Costs as much as they do, however many the
    /// table holds.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn page<T: Serialize + DeserializeOwned>(
        &self,
        table: &Table<T>,
        start: Option<&PageStart>,
        limit: usize,
    ) -> Result<Page<T>, StoreError> {
        let view = self.view();
        let prefix = prefix_of(table);
        let after = [&prefix[..], start.map_or(&[], |start| &start.0[..])].concat();
        // One more than asked for, to learn whether there is more.
        let mut entries = view.raw.page(&prefix, &after, limit.saturating_add(1))?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).and_then(|(slot, _)| slot.last_chunk());
        let next = next.map(|mac| PageStart(*mac));
        let parse = |(slot, sealed): &Entry| view.open(table.name(), slot, sealed)?.parse(table);
        let records = entries.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Page { records, next })
    }
}

/// What all slots of a table begin with.
fn prefix_of<T: Serialize + DeserializeOwned>(table: &Table<T>) -> Vec<u8> {
    [table.name().as_bytes(), &[0]].concat()
}

/// A record whose seal held.
pub(super) struct Record(OpenedRecord);

impl View<'_> {
    pub(super) fn open(
        self,
        table: &str,
        slot: &[u8],
        sealed: &[u8],
    ) -> Result<Record, StoreError> {
        let place = RecordPlace { store: self.store.id, table, slot };
        record_seal::open_record(self.ring, place, sealed).map(Record).map_err(|error| {
            StoreError::RecordForged {
                path: self.store.backend.path().to_owned(),
                table: table.to_owned(),
                name: keys::hex::encode(slot.get(table.len() + 1..).unwrap_or_default()),
                reason: error.to_string(),
            }
        })
    }
}

impl Record {
    /// Name and value.
    pub(super) fn parts(&self, table: &str) -> Result<(&str, &[u8]), StoreError> {
        split_content(&self.0.content).ok_or_else(|| StoreError::Unreadable {
            table: table.to_owned(),
            name: "(unnamed)".to_owned(),
            detail: "it has no name".to_owned(),
        })
    }

    fn parse<T: Serialize + DeserializeOwned>(
        &self,
        table: &Table<T>,
    ) -> Result<(String, Versioned<T>), StoreError> {
        let (name, value) = self.parts(table.name())?;
        let value = serde_json::from_slice(value).map_err(|error| StoreError::Unreadable {
            table: table.name().to_owned(),
            name: name.to_owned(),
            detail: error.to_string(),
        })?;
        Ok((name.to_owned(), Versioned { version: Version(self.0.version), value }))
    }
}
