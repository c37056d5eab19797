//! When each key was last used. Noted beside the cached key, and written now and then: a crash
//! loses the last minute of it, which the audit trail still has.

use std::sync::{Arc, Mutex, PoisonError};

use crypto::Id;
use keys::audit_trail::Event;

use super::records::{LAST_USES, LastUse};
use super::{KeyEntry, Kms, KmsError};
use crate::store::Reader;

/// Of one key.
#[derive(Default)]
pub(super) struct Uses(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    last: Option<Used>,
    /// Whether the key waits to be written already.
    waits: bool,
}

/// As [`LastUse`], without an allocation.
#[derive(Clone, Copy)]
struct Used {
    operation: &'static str,
    at: u64,
    event: Id,
    request: Id,
}

impl Used {
    fn record(self) -> LastUse {
        let Self { operation, at, event, request } = self;
        LastUse { operation: operation.to_owned(), at, event, request }
    }
}

/// Keys whose last use is not written yet.
#[derive(Default)]
pub(super) struct Unwritten(Mutex<Vec<Arc<KeyEntry>>>);

impl Kms {
    /// Notes that `keys` were used by `event`.
    pub fn note_use<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Arc<KeyEntry>>,
        operation: &'static str,
        event: &Event,
    ) {
        for key in keys {
            // Somebody else is noting a use of this moment; one of the two will do.
            let Ok(mut noted) = key.uses.0.try_lock() else { continue };
            noted.last = Some(Used {
                operation,
                at: event.time.0,
                event: event.id,
                request: event.request.unwrap_or(event.id),
            });
            // The lock that all share is taken once for each key and time of writing.
            if !std::mem::replace(&mut noted.waits, true) {
                lock(&self.unwritten).push(Arc::clone(key));
            }
        }
    }

    /// When `key` was last used, if it ever was.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn last_use(&self, key: Id) -> Result<Option<LastUse>, KmsError> {
        let waiting: Vec<_> =
            lock(&self.unwritten).iter().filter(|one| one.record.id == key).cloned().collect();
        let last = |entry: &Arc<KeyEntry>| {
            entry.uses.0.lock().unwrap_or_else(PoisonError::into_inner).last
        };
        if let Some(newest) = waiting.iter().filter_map(last).max_by_key(|last| last.at) {
            return Ok(Some(newest.record()));
        }
        let found = self.store.snapshot()?.get(&LAST_USES, &key.to_string())?;
        Ok(found.map(|found| found.value))
    }

    /// Writes what was noted since the last time.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be written; what was noted is then lost.
    pub fn write_last_uses(&self) -> Result<(), KmsError> {
        let waiting = std::mem::take(&mut *lock(&self.unwritten));
        if waiting.is_empty() {
            return Ok(());
        }
        self.store.transact(|transaction| {
            for key in &waiting {
                let mut noted = key.uses.0.lock().unwrap_or_else(PoisonError::into_inner);
                noted.waits = false;
                // A key that is gone by now has no last use to keep.
                let name = key.record.id.to_string();
                let there = transaction.get(&super::records::KEYS, &name)?.is_some();
                if let (Some(last), true) = (noted.last, there) {
                    transaction.put(&LAST_USES, &name, &last.record())?;
                }
            }
            Ok(())
        })
    }
}

fn lock(unwritten: &Unwritten) -> std::sync::MutexGuard<'_, Vec<Arc<KeyEntry>>> {
    unwritten.0.lock().unwrap_or_else(PoisonError::into_inner)
}
