//! Where sealed records lie: an ordered map of bytes with transactions. redb is the one
//! implementation so far; etcd fits the same shape, a commit then being one compare-and-set over
//! all that was read.

use super::StoreError;

/// A transactional map. What it holds is already sealed: it sees no plaintext and is not trusted.
pub trait Backend: Send + Sync {
    /// A view that does not change.
    ///
    /// # Errors
    /// [`StoreError`] if the map cannot be read.
    fn read(&self) -> Result<Box<dyn RawRead + Sync>, StoreError>;

    /// The only writer, until it is dropped or committed.
    ///
    /// # Errors
    /// [`StoreError`] if the map cannot be written.
    fn write(&self) -> Result<Box<dyn RawWrite>, StoreError>;

    /// What was found has been verified: opening it may leave traces from now on.
    ///
    /// # Errors
    /// [`StoreError`] if the traces cannot be written.
    fn accept(&self) -> Result<(), StoreError>;

    /// Starts over after a failed commit, of which only the medium knows how far it came.
    ///
    /// # Errors
    /// [`StoreError`] if the medium still fails.
    fn reopen(&self) -> Result<(), StoreError>;

    /// Moves what the map holds to another place, and destroys what lies in the old one: there it
    /// may still hold what was deleted. The caller writes nothing meanwhile; others may read.
    ///
    /// # Errors
    /// [`StoreError`] if there is no room, or somebody goes on reading. The map is then as it was,
    /// or has moved; which of both is no matter to the caller.
    fn rewrite(&self) -> Result<(), StoreError>;

    /// What to call it in an error.
    fn path(&self) -> &std::path::Path;
}

pub trait RawRead {
    /// # Errors
    /// [`StoreError`] if the map cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows each entry whose key begins with `prefix`, in the order of the keys.
    ///
    /// # Errors
    /// [`StoreError`] if the map cannot be read, or what `each` returns.
    fn scan(&self, prefix: &[u8], each: &mut Visit<'_>) -> Result<(), StoreError>;

    /// The first key among `entries` that is not found, or not with the value given beside it.
    ///
    /// # Errors
    /// [`StoreError`] if the map cannot be read.
    fn first_lost<'e>(&self, entries: &mut Entries<'e>) -> Result<Option<&'e [u8]>, StoreError>;

    /// Up to `limit` entries whose key begins with `prefix` and is above `after`, in the order of
    /// the keys.
    ///
    /// # Errors
    /// [`StoreError`] if the map cannot be read.
    fn page(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError>;
}

/// Gives keys and their values.
pub type Entries<'e> = dyn Iterator<Item = (&'e [u8], &'e [u8])> + 'e;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Takes a key and its value.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'v;

pub trait RawWrite: RawRead {
    /// # Errors
    /// [`StoreError`] if the map cannot be written.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// # Errors
    /// [`StoreError`] if the map cannot be written.
    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError>;

    /// Returns once all changes are durable. After an error nobody knows whether they are.
    ///
    /// # Errors
    /// [`StoreError`] if the map cannot be written.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
