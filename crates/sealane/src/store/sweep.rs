//! A look at every record, as a store is opened.
//!
//! One thread reads the whole map from its first entry to its last, so that nothing which it holds
//! is left out; others take the records in and look each up by its key. For where the inner pages
//! of a file were tampered with, a record may be there and yet not be found: as good as deleted,
//! though all sums are right.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle, available_parallelism, scope};

use super::backend::RawRead;
use super::{ROOT_SLOT, StoreError, table_of};

/// What is passed to another thread at a time. A map that is shorter stays with the thread that
/// reads it.
const BATCH_BYTES: usize = 256 * 1024;
/// Reading is the longest part, so more would only wait for it.
const WORKERS_MAX: usize = 3;

/// What is known of the records seen so far.
pub(super) trait Tally: Send {
    /// Takes one record in.
    ///
    /// # Errors
    /// [`StoreError`] if it is none that the cell wrote.
    fn take(&mut self, record: Record<'_>) -> Result<(), StoreError>;

    /// Takes in what another has taken in.
    fn merge(&mut self, other: Self);
}

/// A record as it lies.
#[derive(Clone, Copy)]
pub(super) struct Record<'r> {
    pub(super) table: &'r str,
    /// With the table's name at its front.
    pub(super) slot: &'r [u8],
    pub(super) sealed: &'r [u8],
}

/// Has every record in `raw` taken in, in no order, by a tally that `new` makes.
///
/// # Errors
/// [`StoreError`] if an entry is no record, cannot be found by its key, or is refused by the tally.
pub(super) fn sweep<T: Tally>(
    raw: &(dyn RawRead + Sync),
    path: &Path,
    new: impl Fn() -> T + Sync,
) -> Result<T, StoreError> {
    let sweep = Sweep { raw, path, new: &new };
    scope(|threads| sweep.run(threads))
}

struct Sweep<'s, T> {
    raw: &'s (dyn RawRead + Sync),
    path: &'s Path,
    new: &'s (dyn Fn() -> T + Sync),
}

type Worker<'t, T> = ScopedJoinHandle<'t, Result<T, StoreError>>;

impl<T: Tally> Sweep<'_, T> {
    fn run<'t>(&'t self, threads: &'t Scope<'t, '_>) -> Result<T, StoreError>
    where
        T: 't,
    {
        let (batches, queue) = sync_channel(1);
        let (mut queue, mut workers) = (Some(queue), Vec::new());
        let mut batch = Batch::default();
        let read = self.raw.scan(&[], &mut |slot, sealed| {
            batch.push(slot, sealed);
            if batch.bytes.len() >= BATCH_BYTES {
                workers
                    .extend(queue.take().into_iter().flat_map(|queue| self.begin(threads, queue)));
                // Where no worker is left, they tell below what ended them.
                let _ = batches.send(std::mem::take(&mut batch));
            }
            Ok(())
        });
        drop(batches);
        let mut whole = (self.new)();
        let mut done = read.and_then(|()| self.take_in(&batch, &mut whole));
        for worker in workers {
            let part = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            done = done.and_then(|()| part.map(|part| whole.merge(part)));
        }
        done.map(|()| whole)
    }

    fn begin<'t>(&'t self, threads: &'t Scope<'t, '_>, queue: Receiver<Batch>) -> Vec<Worker<'t, T>>
    where
        T: 't,
    {
        let queue = Arc::new(Mutex::new(queue));
        let others = available_parallelism().map_or(1, usize::from).saturating_sub(1);
        let begin = |_| {
            let queue = Arc::clone(&queue);
            threads.spawn(move || self.work(&queue))
        };
        (0..others.clamp(1, WORKERS_MAX)).map(begin).collect()
    }

    fn work(&self, queue: &Mutex<Receiver<Batch>>) -> Result<T, StoreError> {
        let mut part = (self.new)();
        loop {
            // Held while waiting: the others wait for the same.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = next else { return Ok(part) };
            self.take_in(&batch, &mut part)?;
        }
    }

    fn take_in(&self, batch: &Batch, part: &mut T) -> Result<(), StoreError> {
        if let Some(lost) = self.raw.first_lost(&mut batch.entries())? {
            return Err(self.unreachable(lost));
        }
        for (slot, sealed) in batch.entries().filter(|(slot, _)| *slot != ROOT_SLOT) {
            let table = table_of(slot).ok_or_else(|| {
                let detail = "it holds an entry that is no record".to_owned();
                StoreError::Corrupted { path: self.path.to_owned(), detail }
            })?;
            part.take(Record { table, slot, sealed })?;
        }
        Ok(())
    }

    fn unreachable(&self, slot: &[u8]) -> StoreError {
        let table = table_of(slot).unwrap_or_default();
        let name = keys::hex::encode(slot.get(table.len() + 1..).unwrap_or_default());
        StoreError::RecordHidden { path: self.path.to_owned(), table: table.to_owned(), name }
    }
}

/// Keys and values one after the other, and where each ends.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

impl Batch {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let end_of_key = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((end_of_key, self.bytes.len()));
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut at = 0;
        self.ends.iter().map(move |&(end_of_key, end)| {
            let entry = (&self.bytes[at..end_of_key], &self.bytes[end_of_key..end]);
            at = end;
            entry
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::backend::{Entries, Entry, Visit};
    use super::*;

    /// Entries in their order, of which a search does not find one.
    struct Tree {
        entries: BTreeMap<Vec<u8>, Vec<u8>>,
        hidden: Option<Vec<u8>>,
    }

    impl Tree {
        fn of(records: u32) -> Self {
            let slot = |number: u32| {
                [b"table\0", &crypto::mac::sha256(&number.to_be_bytes())[..]].concat()
            };
            let entries = (0..records).map(|number| (slot(number), vec![7; 300]));
            Self { entries: entries.collect(), hidden: None }
        }
    }

    impl RawRead for Tree {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            let hidden = self.hidden.as_deref() == Some(key);
            Ok(self.entries.get(key).filter(|_| !hidden).cloned())
        }

        fn scan(&self, _: &[u8], each: &mut Visit<'_>) -> Result<(), StoreError> {
            self.entries.iter().try_for_each(|(key, value)| each(key, value))
        }

        fn first_lost<'e>(
            &self,
            entries: &mut Entries<'e>,
        ) -> Result<Option<&'e [u8]>, StoreError> {
            Ok(entries.map(|(key, _)| key).find(|key| self.get(key).unwrap().is_none()))
        }

        fn page(&self, _: &[u8], _: &[u8], _: usize) -> Result<Vec<Entry>, StoreError> {
            unreachable!("a sweep reads everything")
        }
    }

    #[derive(Default)]
    struct Slots {
        seen: Vec<Vec<u8>>,
        refused: Option<Vec<u8>>,
    }

    impl Tally for Slots {
        fn take(&mut self, record: Record<'_>) -> Result<(), StoreError> {
            if self.refused.as_deref() == Some(record.slot) {
                return Err(StoreError::NameLength(77));
            }
            assert_eq!(record.table, "table");
            self.seen.push(record.slot.to_vec());
            Ok(())
        }

        fn merge(&mut self, other: Self) {
            self.seen.extend(other.seen);
        }
    }

    /// Fewer than fill a batch, and many batches.
    const SIZES: [u32; 3] = [0, 300, 20_000];

    #[test]
    fn each_record_is_taken_in_once() {
        for records in SIZES {
            let tree = Tree::of(records);
            let mut seen = sweep(&tree, Path::new("test"), Slots::default).unwrap().seen;
            seen.sort();
            assert!(seen.iter().eq(tree.entries.keys()), "of {records}");
        }
    }

    #[test]
    fn a_record_that_is_there_and_cannot_be_found_is_named() {
        for records in &SIZES[1..] {
            let mut tree = Tree::of(*records);
            let hidden = tree.entries.keys().nth(tree.entries.len() / 3).unwrap().clone();
            tree.hidden = Some(hidden.clone());
            match sweep(&tree, Path::new("test"), Slots::default).map(|_| ()) {
                Err(StoreError::RecordHidden { table, name, .. }) => {
                    assert_eq!(table, "table");
                    assert_eq!(name, keys::hex::encode(&hidden[b"table\0".len()..]));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_one_record_is_refused_for_is_told() {
        for records in &SIZES[1..] {
            let tree = Tree::of(*records);
            let refused = tree.entries.keys().nth(tree.entries.len() / 3).cloned();
            let new = || Slots { seen: Vec::new(), refused: refused.clone() };
            let refused = sweep(&tree, Path::new("test"), new).map(|_| ());
            assert!(matches!(refused, Err(StoreError::NameLength(77))), "{refused:?}");
        }
    }

    #[test]
    fn an_entry_that_is_no_record_is_refused() {
        let mut tree = Tree::of(10);
        tree.entries.insert(b"nothing".to_vec(), Vec::new());
        let refused = sweep(&tree, Path::new("test"), Slots::default).map(|_| ());
        assert!(matches!(refused, Err(StoreError::Corrupted { .. })), "{refused:?}");
    }
}
