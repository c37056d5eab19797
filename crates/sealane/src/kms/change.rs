//! A change of the KMS's records: everything that belongs to a key moves with it, and nobody goes on
//! with what was.

use crypto::Id;
use keys::{DomainRing, KeyRecord, KeyState, Owner, UnixSeconds};

use super::cache::KeyEntry;
use super::erasure::refuse_erased;
use super::records::{ALIASES, AliasRecord, DUE, DueRecord, GRANTS, KEYS, KEYS_OF};
use super::records::{LAST_USES, Listed, RETIRABLE, RetirableGrant};
use super::{Kms, KmsError, owner_name};
use crate::store::{Reader, Transaction};
use keys::grant::GrantRecord;

/// A transaction, and what is no longer as it was cached.
pub struct Change<'s> {
    pub(super) kms: &'s Kms,
    pub transaction: Transaction<'s>,
    keys: Vec<Id>,
    aliases: Vec<String>,
    /// By access key id.
    pub(super) credentials: Vec<String>,
}

impl Kms {
    /// Begins a change. Waits for its turn.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn begin(&self) -> Result<Change<'_>, KmsError> {
        let transaction = self.store.begin()?;
        let (keys, aliases, credentials) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Change { kms: self, transaction, keys, aliases, credentials })
    }
}

impl Change<'_> {
    #[must_use]
    pub fn ring(&self) -> &DomainRing {
        self.transaction.ring()
    }

    /// The key as it is now, not as it was cached.
    ///
    /// # Errors
    /// [`KmsError::UnknownKey`], or the store cannot be read.
    pub fn key(&self, id: Id) -> Result<KeyEntry, KmsError> {
        KeyEntry::load(self.kms, &self.transaction, id)
    }

    /// A key that is not written yet, as it will be.
    ///
    /// # Errors
    /// [`KmsError`] if its policy cannot be read.
    pub fn entry_of(&self, record: KeyRecord) -> Result<KeyEntry, KmsError> {
        KeyEntry::of(self.kms, &self.transaction, record)
    }

    /// Writes a new key, and lists it as its owner's.
    ///
    /// # Errors
    /// [`KmsError`] if the owner was erased or the store cannot be written.
    pub fn add_key(&mut self, record: &KeyRecord) -> Result<(), KmsError> {
        refuse_erased(&self.transaction, record.tenant(), record.user.as_deref())?;
        let owner = owner_name(record.owner());
        let listed = self.kms.store.table_of(&KEYS_OF, &owner);
        self.transaction.put(&listed, &record.id.to_string(), &Listed {})?;
        self.put_key(record)
    }

    /// Writes a key, and when something is to happen to it.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn put_key(&mut self, record: &KeyRecord) -> Result<(), KmsError> {
        let name = record.id.to_string();
        self.keys.push(record.id);
        self.transaction.put(&KEYS, &name, record)?;
        let before = self.transaction.get(&DUE, &name)?.map(|due| due.value);
        match due(record) {
            at if at == before.map(|due| due.at) => {}
            Some(at) => self.transaction.put(&DUE, &name, &DueRecord { at })?,
            None => self.transaction.delete(&DUE, &name)?,
        }
        Ok(())
    }

    /// Removes a key with everything that is its own.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn erase_key(&mut self, record: &KeyRecord) -> Result<(), KmsError> {
        let name = record.id.to_string();
        let owner = record.owner();
        for alias in &record.aliases {
            self.remove_alias(owner, alias)?;
        }
        for (id, grant) in self.grants(record.id)? {
            self.remove_grant(record.id, &id, &grant)?;
        }
        let listed = self.kms.store.table_of(&KEYS_OF, &owner_name(owner));
        self.transaction.delete(&listed, &name)?;
        self.transaction.delete(&KEYS, &name)?;
        self.transaction.delete(&DUE, &name)?;
        self.transaction.delete(&LAST_USES, &name)?;
        self.withdraw_deletion(record.id)?;
        self.keys.push(record.id);
        Ok(())
    }

    /// The alias `name` (with its `alias/`) of `owner`.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn alias(&self, owner: Owner, name: &str) -> Result<Option<AliasRecord>, KmsError> {
        let table = self.kms.store.table_of(&ALIASES, &owner_name(owner));
        Ok(self.transaction.get(&table, name)?.map(|found| found.value))
    }

    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn put_alias(
        &mut self,
        owner: Owner,
        name: &str,
        record: &AliasRecord,
    ) -> Result<(), KmsError> {
        let owner = owner_name(owner);
        let table = self.kms.store.table_of(&ALIASES, &owner);
        self.aliases.push(format!("{owner}/{name}"));
        Ok(self.transaction.put(&table, name, record)?)
    }

    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn remove_alias(&mut self, owner: Owner, name: &str) -> Result<(), KmsError> {
        let owner = owner_name(owner);
        let table = self.kms.store.table_of(&ALIASES, &owner);
        self.aliases.push(format!("{owner}/{name}"));
        Ok(self.transaction.delete(&table, name)?)
    }

    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn grants(&self, key: Id) -> Result<Vec<(String, GrantRecord)>, KmsError> {
        let table = self.kms.store.table_of(&GRANTS, &key.to_string());
        let grants = self.transaction.scan(&table)?;
        Ok(grants.into_iter().map(|(id, grant)| (id, grant.value)).collect())
    }

    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn put_grant(&mut self, key: Id, grant: &GrantRecord) -> Result<(), KmsError> {
        let id = grant.id.to_string();
        let table = self.kms.store.table_of(&GRANTS, &key.to_string());
        self.transaction.put(&table, &id, grant)?;
        if let Some(principal) = &grant.retiring {
            let table = self.kms.store.table_of(&RETIRABLE, &principal.to_string());
            self.transaction.put(&table, &id, &RetirableGrant { key })?;
        }
        self.keys.push(key);
        Ok(())
    }

    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn remove_grant(&mut self, key: Id, id: &str, grant: &GrantRecord) -> Result<(), KmsError> {
        let table = self.kms.store.table_of(&GRANTS, &key.to_string());
        self.transaction.delete(&table, id)?;
        if let Some(principal) = &grant.retiring {
            let table = self.kms.store.table_of(&RETIRABLE, &principal.to_string());
            self.transaction.delete(&table, id)?;
        }
        self.keys.push(key);
        Ok(())
    }

    /// Makes the change durable. Whatever comes of it, nothing that it touched stays cached.
    ///
    /// # Errors
    /// [`KmsError`]: the change may or may not have taken place.
    pub fn commit(self) -> Result<(), KmsError> {
        let committed = self.transaction.commit();
        for key in self.keys {
            self.kms.cache.forget(key);
        }
        for alias in &self.aliases {
            self.kms.cache.forget_alias(alias);
        }
        for credential in &self.credentials {
            self.kms.cache.forget_credential(credential);
        }
        self.kms.changed.send_modify(|count| *count += 1);
        Ok(committed?)
    }
}

/// When something is to happen to a key by itself: it ends, rotates, or loses material.
#[must_use]
pub fn due(record: &KeyRecord) -> Option<UnixSeconds> {
    if let KeyState::PendingDeletion(doomed) = &record.state {
        return Some(doomed.erase_at);
    }
    let materials = record.materials().iter().chain(&record.next_material);
    let expiries = materials.filter(|material| material.is_held()).filter_map(|m| m.expires());
    let rotation = match record.state {
        KeyState::Enabled(_) => record.rotation.map(|rotation| rotation.next),
        _ => None,
    };
    expiries.chain(rotation).min()
}
