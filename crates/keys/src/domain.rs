use std::collections::BTreeMap;

use crypto::kdf::{self, Label};
use crypto::mac::MacKey;
use crypto::{DataKey, Entropy, Id, WrappedDataKey};
use serde::{Deserialize, Serialize};

use crate::UnixSeconds;
use crate::wrap::{self, Binding, Purpose, UnwrapKeyError};

/// The key that opens the cell. Wraps domain keys, and little else.
#[derive(Debug)]
pub struct RootKey {
    id: Id,
    key: DataKey,
}

/// Finds the key that something was sealed under.
pub trait KeyLookup {
    fn lookup(&self, id: &Id) -> Option<&DataKey>;
}

impl RootKey {
    /// Draws a new root key for a new cell.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self { id: Id::random(entropy), key: DataKey::generate(entropy) }
    }

    pub(crate) fn from_parts(id: Id, key: DataKey) -> Self {
        Self { id, key }
    }

    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    pub(crate) fn key(&self) -> &DataKey {
        &self.key
    }

    pub(crate) fn into_key(self) -> DataKey {
        self.key
    }

    /// A MAC key of the cell's own, for `label` and `context`.
    #[must_use]
    pub fn mac_key(&self, label: Label, context: &[&[u8]]) -> MacKey {
        kdf::mac_key(&self.key, label, context)
    }
}

impl KeyLookup for RootKey {
    fn lookup(&self, id: &Id) -> Option<&DataKey> {
        (*id == self.id).then_some(&self.key)
    }
}

/// A domain key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainKeyRecord {
    pub id: Id,
    pub created: UnixSeconds,
    #[serde(with = "crate::hex::wrapped")]
    pub wrapped: WrappedDataKey,
}

impl DomainKeyRecord {
    /// Draws a domain key for the store `owner` and wraps it under `root`.
    pub fn generate(
        root: &RootKey,
        owner: Id,
        created: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> (Self, DataKey) {
        let id = Id::random(entropy);
        let key = DataKey::generate(entropy);
        let (wrapped, key) = wrap::wrap_key(root.key(), binding(root, id, owner), key, entropy);
        (Self { id, created, wrapped }, key)
    }

    /// # Errors
    /// [`UnwrapKeyError`] if this is not a domain key of `owner` under `root`.
    pub fn unwrap_key(&self, root: &RootKey, owner: Id) -> Result<DataKey, UnwrapKeyError> {
        wrap::unwrap_key(root.key(), binding(root, self.id, owner), &self.wrapped)
    }

    /// The same key under another root key.
    ///
    /// # Errors
    /// As [`DomainKeyRecord::unwrap_key`].
    pub fn rewrap(
        &self,
        (from, to): (&RootKey, &RootKey),
        owner: Id,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, UnwrapKeyError> {
        let key = self.unwrap_key(from, owner)?;
        let (wrapped, _) = wrap::wrap_key(to.key(), binding(to, self.id, owner), key, entropy);
        Ok(Self { wrapped, ..self.clone() })
    }
}

fn binding(root: &RootKey, wrapped: Id, owner: Id) -> Binding {
    Binding { purpose: Purpose::Domain, wrapping: root.id, wrapped, owner }
}

/// The key of a store's index as it is stored. It outlives domain keys: the slots of all records
/// derive from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexKeyRecord {
    pub id: Id,
    #[serde(with = "crate::hex::wrapped")]
    pub wrapped: WrappedDataKey,
}

/// What a store's index is made with.
#[derive(Debug)]
pub struct IndexKeys {
    /// Turns the name of a record into the slot where it lies.
    pub slots: MacKey,
    /// Turns a record into a term of the authenticated root.
    pub terms: MacKey,
}

const SLOTS_LABEL: Label = Label("sealane/store-slots/1");
const TERMS_LABEL: Label = Label("sealane/store-terms/1");

impl IndexKeyRecord {
    pub fn generate(root: &RootKey, owner: Id, entropy: &mut dyn Entropy) -> Self {
        let id = Id::random(entropy);
        let key = DataKey::generate(entropy);
        let (wrapped, _) = wrap::wrap_key(root.key(), index_binding(root, id, owner), key, entropy);
        Self { id, wrapped }
    }

    /// The same key under another root key.
    ///
    /// # Errors
    /// As [`IndexKeyRecord::unwrap_keys`].
    pub fn rewrap(
        &self,
        (from, to): (&RootKey, &RootKey),
        owner: Id,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, UnwrapKeyError> {
        let key = self.unwrap_key(from, owner)?;
        let binding = index_binding(to, self.id, owner);
        let (wrapped, _) = wrap::wrap_key(to.key(), binding, key, entropy);
        Ok(Self { id: self.id, wrapped })
    }

    fn unwrap_key(&self, root: &RootKey, owner: Id) -> Result<DataKey, UnwrapKeyError> {
        wrap::unwrap_key(root.key(), index_binding(root, self.id, owner), &self.wrapped)
    }

    /// # Errors
    /// [`UnwrapKeyError`] if this is not the index key of `owner` under `root`.
    pub fn unwrap_keys(&self, root: &RootKey, owner: Id) -> Result<IndexKeys, UnwrapKeyError> {
        let key = self.unwrap_key(root, owner)?;
        let mac_key = |label| kdf::mac_key(&key, label, &[owner.as_bytes()]);
        Ok(IndexKeys { slots: mac_key(SLOTS_LABEL), terms: mac_key(TERMS_LABEL) })
    }
}

fn index_binding(root: &RootKey, wrapped: Id, owner: Id) -> Binding {
    Binding { purpose: Purpose::StoreIndex, ..binding(root, wrapped, owner) }
}

/// The domain keys that are still needed. New things go under the newest; the others only open,
/// until lazy rewrapping has emptied them.
#[derive(Debug)]
pub struct DomainRing {
    current: Id,
    keys: BTreeMap<Id, DataKey>,
}

impl DomainRing {
    /// `records` in the order in which they were made.
    ///
    /// # Errors
    /// [`UnwrapKeyError`] if one of them does not unwrap.
    ///
    /// # Panics
    /// If `records` is empty: a store is made with a first domain key.
    pub fn unwrap_keys(
        root: &RootKey,
        owner: Id,
        records: &[DomainKeyRecord],
    ) -> Result<Self, UnwrapKeyError> {
        let current = records.last().expect("a store has at least one domain key").id;
        let keys = records
            .iter()
            .map(|record| Ok((record.id, record.unwrap_key(root, owner)?)))
            .collect::<Result<_, UnwrapKeyError>>()?;
        Ok(Self { current, keys })
    }

    #[must_use]
    pub fn current(&self) -> Id {
        self.current
    }

    pub(crate) fn current_key(&self) -> (Id, &DataKey) {
        (self.current, &self.keys[&self.current])
    }
}

impl KeyLookup for DomainRing {
    fn lookup(&self, id: &Id) -> Option<&DataKey> {
        self.keys.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::{Counting, id};

    #[test]
    fn domain_keys_open_only_under_their_root_and_store() {
        let entropy = &mut Counting::default();
        let (root, other) = (RootKey::generate(entropy), RootKey::generate(entropy));
        let (old, _) = DomainKeyRecord::generate(&root, id(1), UnixSeconds(1), entropy);
        let (new, _) = DomainKeyRecord::generate(&root, id(1), UnixSeconds(2), entropy);
        let ring = DomainRing::unwrap_keys(&root, id(1), &[old.clone(), new.clone()]).unwrap();
        assert_eq!(ring.current(), new.id);
        assert!(ring.lookup(&old.id).is_some());
        assert!(ring.lookup(&id(7)).is_none());
        assert!(DomainRing::unwrap_keys(&other, id(1), std::slice::from_ref(&old)).is_err());
        assert!(DomainRing::unwrap_keys(&root, id(2), &[old]).is_err());
    }

    #[test]
    fn keys_move_from_one_root_to_another() {
        let entropy = &mut Counting::default();
        let (old, new) = (RootKey::generate(entropy), RootKey::generate(entropy));
        let (domain, _) = DomainKeyRecord::generate(&old, id(1), UnixSeconds(1), entropy);
        let index = IndexKeyRecord::generate(&old, id(1), entropy);
        let moved = domain.rewrap((&old, &new), id(1), entropy).unwrap();
        let key = |record: &DomainKeyRecord, root| {
            record.unwrap_key(root, id(1)).map(DataKey::release_to_caller)
        };
        assert_eq!((moved.id, moved.created), (domain.id, domain.created));
        assert_eq!(key(&moved, &new).unwrap()[..], key(&domain, &old).unwrap()[..]);
        assert!(key(&moved, &old).is_err(), "the old root key is of no use any more");
        let slot = |record: &IndexKeyRecord, root| {
            record.unwrap_keys(root, id(1)).map(|keys| keys.slots.mac(b"name"))
        };
        let moved = index.rewrap((&old, &new), id(1), entropy).unwrap();
        assert_eq!(slot(&moved, &new).unwrap(), slot(&index, &old).unwrap());
        assert!(slot(&moved, &old).is_err());
        assert!(index.rewrap((&new, &old), id(1), entropy).is_err());
    }
}
