//! Tenants, and numbers that stay with an identity.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crypto::{Id, SystemEntropy};
use keys::authorize::{self, Principal};
use keys::{KeySpec, NewKey, Owner};

use super::audit::Use;
use super::erasure::refuse_erased;
use super::records::{TENANTS, TenantRecord, UIDS};
use super::{Kms, KmsError, create_key, now};
use crate::store::Reader;

/// By id, as far as anybody asked: a tenant keeps its name for ever, and its record too.
#[derive(Default)]
pub(super) struct TenantNames(RwLock<BTreeMap<Id, Arc<str>>>);

impl Kms {
    /// A tenant with a KMS key of its own.
    ///
    /// # Errors
    /// [`KmsError`] if the name is taken or not a name, or `principal` may not.
    pub fn create_tenant(
        &self,
        principal: &Principal,
        name: &str,
    ) -> Result<TenantRecord, KmsError> {
        check_name("tenant", name)?;
        let mut made = Use::of(principal, "CreateTenant");
        self.changed(&mut made, |change, made| {
            authorize::may_create(principal)?;
            if let Some(found) = change.transaction.get(&TENANTS, name)? {
                // The name is in identities that somebody may still trust, so nobody else gets it.
                refuse_erased(&change.transaction, Some(found.value.id), None)?;
                return Err(KmsError::TenantExists(name.to_owned()));
            }
            let id = Id::random(&mut SystemEntropy::new());
            let description = format!("tenant {name}");
            let new = NewKey::of(Owner::Tenant(id), KeySpec::SymmetricDefault, description);
            let key = create_key(change, principal, new)?;
            made.key = Some(key.id);
            let tenant = TenantRecord { id, name: name.to_owned(), created: now(), key: key.id };
            change.transaction.put(&TENANTS, name, &tenant)?;
            Ok(tenant)
        })
    }

    /// All tenants, by name.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn tenants(&self) -> Result<Vec<TenantRecord>, KmsError> {
        let tenants = self.store.snapshot()?.scan(&TENANTS)?;
        Ok(tenants.into_iter().map(|(_, tenant)| tenant.value).collect())
    }

    /// # Errors
    /// [`KmsError::UnknownTenant`], or the store cannot be read.
    pub fn tenant(&self, name: &str) -> Result<TenantRecord, KmsError> {
        let found = self.store.snapshot()?.get(&TENANTS, name)?;
        Ok(found.ok_or_else(|| KmsError::UnknownTenant(name.to_owned()))?.value)
    }

    /// The first of all tenants, in the order in which they lie.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn first_tenants(&self, limit: usize) -> Result<Vec<TenantRecord>, KmsError> {
        let page = self.store.snapshot()?.page(&TENANTS, None, limit)?;
        Ok(page.records.into_iter().map(|(_, tenant)| tenant.value).collect())
    }

    /// The name of a tenant by its id. One that is not there goes by its id.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn tenant_name(&self, id: Id) -> Result<Arc<str>, KmsError> {
        let known = || self.tenant_names.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known().get(&id) {
            return Ok(Arc::clone(name));
        }
        if known().len() as u64 != self.store.count(&TENANTS) {
            let names = self.tenants()?.into_iter().map(|one| (one.id, one.name.into()));
            let names: BTreeMap<Id, Arc<str>> = names.collect();
            *self.tenant_names.0.write().unwrap_or_else(PoisonError::into_inner) = names;
        }
        let found = known().get(&id).map(Arc::clone);
        Ok(found.unwrap_or_else(|| id.to_string().into()))
    }

    /// The number of `identity`: 0 for the first that ever asked, never given to another. User ids
    /// of services are counted from it.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn uid_index(&self, identity: &str) -> Result<u32, KmsError> {
        if let Some(found) = self.store.snapshot()?.get(&UIDS, identity)? {
            return Ok(found.value);
        }
        self.store.transact(|transaction| {
            if let Some(found) = transaction.get(&UIDS, identity)? {
                return Ok(found.value);
            }
            let highest = transaction.scan(&UIDS)?.into_iter().map(|(_, index)| index.value).max();
            let index = match highest {
                None => 0,
                Some(highest) => highest.checked_add(1).ok_or(KmsError::UidsExhausted)?,
            };
            transaction.put(&UIDS, identity, &index)?;
            Ok(index)
        })
    }
}

/// Names of tenants and volumes stand in SPIFFE IDs and host names: what DNS allows in a label.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), KmsError> {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(byte) || *byte == b'-')
        && bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner);
    if good { Ok(()) } else { Err(KmsError::BadName { what, name: name.to_owned() }) }
}
