//! Taking a store as it is, when an operator says that it was put back on purpose.
//!
//! What is accepted is that records or the whole store are older than they should be. Every record
//! must still be one that this cell wrote, where it wrote it.

use crypto::Id;
use keys::RootKey;

use super::backend::Backend;
use super::root_state::{Sums, Term};
use super::{AnchorKeeper, Loaded, ROOT_SLOT, Store, StoreError, anchor_key, record_place};
use super::{table_of, write_root};
use keys::record_seal;

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
        let loaded = Loaded::read_root(id, backend, root, &anchor_key)?;
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
        let mac = write_root(id, root, &anchor_key, &state, backend)?;
        anchor.advance(&super::Anchor { store: id, sequence: state.sequence, mac })?;
        Ok(Some(accepted))
    }
}

/// The sums over all records, each of which this cell wrote.
fn authentic_sums(id: Id, backend: &dyn Backend, loaded: &Loaded) -> Result<Sums, StoreError> {
    let mut found = Sums::default();
    let path = backend.path();
    backend.read()?.scan(&[], &mut |key, sealed| {
        if key == ROOT_SLOT {
            return Ok(());
        }
        let Some(table) = table_of(key) else {
            let detail = "it holds an entry that is no record".to_owned();
            return Err(StoreError::Corrupted { path: path.to_owned(), detail });
        };
        let place = record_place(id, table, key);
        if let Err(error) = record_seal::open_record(&loaded.ring, place, sealed) {
            return Err(StoreError::RecordForged {
                path: path.to_owned(),
                table: table.to_owned(),
                name: keys::hex::encode(&key[table.len() + 1..]),
                reason: error.to_string(),
            });
        }
        found.add(&Term::of(&loaded.index, key, sealed));
        Ok(())
    })?;
    Ok(found)
}
