//! Tenants and users that are erased: their keys are destroyed at once, and with them all that
//! lies under those.
//!
//! `docs/decisions/0008-erasure.md` says what is destroyed where, and what is out of reach.

use crypto::Id;
use keys::audit_trail::Parameter;
use keys::authorize::{self, Principal};
use keys::dual_control::Quorum;
use keys::{KeyRecord, Owner, UnixSeconds};
use serde::{Deserialize, Serialize};

use super::audit::Use;
use super::change::Change;
use super::credentials::check_user_name;
use super::listing::page_of;
use super::records::{CREDENTIALS, TENANTS, TenantRecord};
use super::{Kms, KmsError, now};
use crate::store::{Reader, Table};

/// By tenant id; of a user, that and a slash and the user's name.
pub const ERASED: Table<ErasedRecord> = Table::new("erased");
/// Keys of the tenant that are looked at together.
const PAGE_KEYS: usize = 1000;

/// A tombstone: what it names stays erased, after a restore too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasedRecord {
    pub tenant: Id,
    pub tenant_name: String,
    /// `None`: the whole tenant.
    pub user: Option<String>,
    pub at: UnixSeconds,
    pub by: Principal,
    /// How many were destroyed.
    pub keys: u64,
    /// How many were revoked.
    pub credentials: u64,
    /// When the store's file was written anew without them; `None`: that is still to be done.
    pub rewritten: Option<UnixSeconds>,
}

impl ErasedRecord {
    fn name(&self) -> String {
        name_of(self.tenant, self.user.as_deref())
    }

    /// As an operator calls it.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.user {
            None => format!("tenant {}", self.tenant_name),
            Some(user) => format!("user {}/{user}", self.tenant_name),
        }
    }

    fn covers(&self, key: &KeyRecord) -> bool {
        key.tenant() == Some(self.tenant) && (self.user.is_none() || key.user == self.user)
    }
}

fn name_of(tenant: Id, user: Option<&str>) -> String {
    user.map_or_else(|| tenant.to_string(), |user| format!("{tenant}/{user}"))
}

/// Refuses what is to belong to a tenant or a user that was erased.
pub(super) fn refuse_erased(
    reader: &impl Reader,
    tenant: Option<Id>,
    user: Option<&str>,
) -> Result<(), KmsError> {
    let Some(tenant) = tenant else { return Ok(()) };
    for name in [Some(name_of(tenant, None)), user.map(|user| name_of(tenant, Some(user)))] {
        if let Some(name) = name
            && let Some(found) = reader.get(&ERASED, &name)?
        {
            return Err(KmsError::Erased(found.value.what()));
        }
    }
    Ok(())
}

impl Kms {
    /// Destroys all keys of a tenant, and revokes its access keys, at once and for good. Erasing
    /// again destroys what an interrupted erasure or a restore has left.
    ///
    /// The tombstone says whether the store's file still holds remains of the keys.
    ///
    /// # Errors
    /// [`KmsError`] if there is no such tenant, `principal` may not, nobody else agrees though the
    /// cell is under dual control, or the store cannot be written.
    pub fn erase_tenant(
        &self,
        principal: &Principal,
        tenant: &str,
        quorum: Option<&Quorum>,
    ) -> Result<ErasedRecord, KmsError> {
        self.erase(&mut Use::agreed(principal, "EraseTenant", quorum), tenant, None)
    }

    /// As [`Kms::erase_tenant`], for one user of a tenant: the keys that were made for that user,
    /// and the tenant's access keys of that name.
    ///
    /// # Errors
    /// As [`Kms::erase_tenant`], and if the tenant never had such a user.
    pub fn erase_user(
        &self,
        principal: &Principal,
        tenant: &str,
        user: &str,
        quorum: Option<&Quorum>,
    ) -> Result<ErasedRecord, KmsError> {
        check_user_name(user)?;
        self.erase(&mut Use::agreed(principal, "EraseUser", quorum), tenant, Some(user))
    }

    fn erase(
        &self,
        made: &mut Use<'_>,
        tenant: &str,
        user: Option<&str>,
    ) -> Result<ErasedRecord, KmsError> {
        say(made, tenant, user);
        let erased = self.changed(made, |change, made| {
            authorize::may_create(made.principal)?;
            made.check_agreed(&change.transaction)?;
            let found = change.transaction.get(&TENANTS, tenant)?;
            let found = found.ok_or_else(|| KmsError::UnknownTenant(tenant.to_owned()))?.value;
            let new = ErasedRecord {
                tenant: found.id,
                tenant_name: found.name,
                user: user.map(str::to_owned),
                at: now(),
                by: made.principal.clone(),
                keys: 0,
                credentials: 0,
                rewritten: None,
            };
            let before = change.transaction.get(&ERASED, &new.name())?.map(|found| found.value);
            let known = before.is_some();
            let erased = erase_all(change, before.unwrap_or(new), now())?;
            if !known && user.is_some() && erased.keys + erased.credentials == 0 {
                return Err(KmsError::UnknownUser(erased.what()));
            }
            say_counts(made, &erased);
            Ok(erased)
        })?;
        self.finish_erasures()?;
        let found = self.store().snapshot()?.get(&ERASED, &erased.name())?;
        Ok(found.map_or(erased, |found| found.value))
    }

    /// Everything that was erased.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn erasures(&self) -> Result<Vec<ErasedRecord>, KmsError> {
        let all = self.store().snapshot()?.scan(&ERASED)?;
        Ok(all.into_iter().map(|(_, erased)| erased.value).collect())
    }

    /// The tenant of that name, unless it was erased.
    ///
    /// # Errors
    /// [`KmsError::UnknownTenant`] or [`KmsError::Erased`], or the store cannot be read.
    pub fn tenant_in_force(&self, name: &str) -> Result<TenantRecord, KmsError> {
        let tenant = self.tenant(name)?;
        refuse_erased(&self.store().snapshot()?, Some(tenant.id), None)?;
        Ok(tenant)
    }

    /// Which of `names` are those of tenants that were erased.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn erased_among(&self, names: &[String]) -> Result<Vec<String>, KmsError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.store().snapshot()?;
        let mut among = Vec::new();
        for (_, erased) in snapshot.scan(&ERASED)? {
            let ErasedRecord { tenant, tenant_name: name, user: None, .. } = erased.value else {
                continue;
            };
            // A restored store may know a tombstone and not the tenant, and another by its name.
            let other = snapshot.get(&TENANTS, &name)?.is_some_and(|now| now.value.id != tenant);
            if names.contains(&name) && !other {
                among.push(name);
            }
        }
        Ok(among)
    }

    /// Erases once more what was erased after the backup that this store was restored from.
    ///
    /// # Errors
    /// [`KmsError`] if `principal` may not or the store cannot be written; asking again goes on.
    pub fn replay_erasures(
        &self,
        principal: &Principal,
        erasures: &[ErasedRecord],
    ) -> Result<(), KmsError> {
        for erased in erasures {
            let operation = if erased.user.is_none() { "EraseTenant" } else { "EraseUser" };
            let mut made = Use::of(principal, operation);
            say(&mut made, &erased.tenant_name, erased.user.as_deref());
            made.said.push(("replayed", Parameter::Flag(true)));
            self.changed(&mut made, |change, made| {
                authorize::may_create(made.principal)?;
                let before = change.transaction.get(&ERASED, &erased.name())?;
                let before = before.map_or_else(
                    || ErasedRecord { keys: 0, credentials: 0, ..erased.clone() },
                    |before| before.value,
                );
                let replayed = erase_all(change, before, now())?;
                say_counts(made, &replayed);
                Ok(())
            })?;
        }
        self.finish_erasures()
    }

    /// Writes the store's file anew where it may still hold remains of destroyed keys. The
    /// erasures have taken place whether or not this succeeds; it is tried again on opening.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read or written.
    pub(super) fn finish_erasures(&self) -> Result<(), KmsError> {
        let erased = self.store().snapshot()?.scan(&ERASED)?;
        let open: Vec<_> =
            erased.into_iter().filter(|(_, erased)| erased.value.rewritten.is_none()).collect();
        if open.is_empty() {
            return Ok(());
        }
        // Uses that wait to be noted hold material that was opened.
        self.write_last_uses()?;
        if let Err(error) = self.store().rewrite() {
            tracing::warn!(%error, "the store's file may still hold remains of destroyed keys");
            return Ok(());
        }
        self.store().transact(|transaction| {
            for (name, erased) in open {
                // One that was erased again meanwhile has left remains in the new file.
                let now_there = transaction.get(&ERASED, &name)?;
                if now_there.is_some_and(|there| there.version == erased.version) {
                    let done = ErasedRecord { rewritten: Some(now()), ..erased.value };
                    transaction.put(&ERASED, &name, &done)?;
                }
            }
            Ok(())
        })
    }
}

fn say(made: &mut Use<'_>, tenant: &str, user: Option<&str>) {
    made.said.push(("tenant", Parameter::Text(tenant.to_owned().into())));
    made.said.extend(user.map(|user| ("user", Parameter::Text(user.to_owned().into()))));
}

fn say_counts(made: &mut Use<'_>, erased: &ErasedRecord) {
    made.said.push(("keysDestroyed", Parameter::Number(erased.keys)));
    made.said.push(("accessKeysRevoked", Parameter::Number(erased.credentials)));
}

/// Destroys what `erased` covers and writes it down.
fn erase_all(
    change: &mut Change<'_>,
    mut erased: ErasedRecord,
    now: UnixSeconds,
) -> Result<ErasedRecord, KmsError> {
    let (store, owner) = (change.kms.store().clone(), Owner::Tenant(erased.tenant));
    let mut start = None;
    loop {
        // A place in the listing stays good while keys are taken out of it.
        let page = page_of(&store, &change.transaction, Some(owner), start.as_ref(), PAGE_KEYS)?;
        for key in page.keys {
            if erased.covers(&key) {
                change.erase_key(&key)?;
                erased.keys += 1;
            }
        }
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    let mut revoked = 0;
    for (id, found) in change.transaction.scan(&CREDENTIALS)? {
        let mut record = found.value;
        let named = erased.user.as_ref().is_none_or(|user| *user == record.name);
        if record.tenant == Some(erased.tenant) && named && record.revoked.is_none() {
            record.revoke(now);
            change.transaction.put(&CREDENTIALS, &id, &record)?;
            change.credentials.push(id);
            revoked += 1;
        }
    }
    erased.credentials += revoked;
    erased.rewritten = None;
    change.transaction.put(&ERASED, &erased.name(), &erased)?;
    Ok(erased)
}
