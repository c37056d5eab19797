//! Taking a store as it is, when an operator says that it was put back on purpose.
//!
//! What is accepted is that records or the whole store are older than they should be. Every record
//! must still be one that this cell wrote, where it wrote it.

use std::path::Path;

use crypto::Id;
use keys::{RootKey, record_seal};

use super::backend::Backend;
use super::root_state::{Sums, Term};
use super::sweep::{Record, Tally, sweep};
use super::{AnchorKeeper, Loaded, Store, StoreError, anchor_key, record_place, write_root};

/// What was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcceptedRollback {
    /// The last transaction that the anchor knew.
    pub anchor: u64,
    /// The one at which the store stood.
    pub store: u64,
    pub records: u64,
}

impl Store {
    /// Takes the store in `backend` for the newest, whatever its anchor and its root say of it.
    /// `None` where there is nothing to accept.
    ///
    /// # Errors
    /// [`StoreError`] if a record is not authentic, the anchor belongs to another store, or either
    /// cannot be written.
    pub fn accept_rollback(
        id: Id,
        backend: &dyn Backend,
        anchor: &dyn AnchorKeeper,
        root: &RootKey,
    ) -> Result<Option<AcceptedRollback>, StoreError> {
        let anchor_key = anchor_key(root, id);
        let loaded = Loaded::read_root(id, &*backend.read()?, backend.path(), root, &anchor_key)?;
        let found = authentic_sums(id, backend, &loaded)?;
        let known = anchor.read()?;
        if known.store != id {
            return Err(StoreError::AnchorOfOtherStore { path: anchor.path().to_owned() });
        }
        let whole = found == loaded.head.state.sums;
        if whole && loaded.check_anchor(id, backend, anchor).is_ok() {
            return Ok(None);
        }
        let accepted = AcceptedRollback {
            anchor: known.sequence,
            store: loaded.head.state.sequence,
            records: found.records,
        };
        let mut state = loaded.head.state;
        state.sequence = state.sequence.max(known.sequence) + 1;
        state.previous = known.mac.0;
        state.sums = found;
        backend.accept()?;
        // One ahead of its anchor, as after a crash between the two: opening it goes on from there.
        let (_, mac) = write_root(id, root, &anchor_key, &state, backend)?;
        anchor.advance(&super::Anchor { store: id, sequence: state.sequence, mac })?;
        Ok(Some(accepted))
    }
}

/// The sums over all records, each of which this cell wrote.
fn authentic_sums(id: Id, backend: &dyn Backend, loaded: &Loaded) -> Result<Sums, StoreError> {
    let (raw, path) = (backend.read()?, backend.path());
    let new = || Authentic { store: id, path, loaded, sums: Sums::default() };
    Ok(sweep(&*raw, path, new)?.sums)
}

struct Authentic<'l> {
    store: Id,
    path: &'l Path,
    loaded: &'l Loaded,
    sums: Sums,
}

impl Tally for Authentic<'_> {
    fn take(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        let Record { table, slot, sealed } = record;
        let place = record_place(self.store, table, slot);
        if let Err(error) = record_seal::open_record(&self.loaded.ring, place, sealed) {
            return Err(StoreError::RecordForged {
                path: self.path.to_owned(),
                table: table.to_owned(),
                name: keys::hex::encode(&slot[table.len() + 1..]),
                reason: error.to_string(),
            });
        }
        self.sums.add(&Term::of(&self.loaded.index, slot, sealed));
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.sums.merge(&other.sums);
    }
}
