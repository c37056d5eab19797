//! The cell's own KMS as a library: keys, tenants and volumes over the store.
//!
//! It carries what the core `keys` decides: find the record, ask for a permit, act, record it.
//! Every use is in the audit log, durably, before the caller has its answer. The AWS face will stand
//! on [`Kms`] and only translate.

mod audit;
mod error;
pub mod records;
mod signer;
mod tenants;
mod volumes;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crypto::{DataKey, Id, SystemEntropy, WrappedDataKey};
use keys::authorize::{self, Principal};
use keys::service_log::{self, LogKey};
use keys::{EncryptionContext, GeneratedDataKey, KeyArn, KeyRecord, NewKey, UnixSeconds, encrypt};
use zeroize::Zeroizing;

pub use error::KmsError;
pub use signer::KmsSigner;
pub use volumes::{Attachment, NewVolume};

use crate::config;
use crate::ipc::messages::CellNames;
use crate::store::{Reader, Store, Transaction};
use audit::Use;
use records::{CELL, CELL_NAME, CellIdentity, KEYS};

/// The KMS. Cheap to clone; every method may block on the disk and takes a transaction of the
/// store, so call none while holding one.
#[derive(Clone, Debug)]
pub struct Kms {
    store: Arc<Store>,
    cell: CellIdentity,
}

/// How far lazy rewrapping has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rewrap {
    /// This many records were moved under the newest domain key; there may be more.
    Moved(usize),
    /// Nothing is left under older domain keys, and this many of those were forgotten.
    Done { retired: usize },
}

impl Kms {
    /// # Errors
    /// [`KmsError`] if the store cannot be read or does not say what cell it belongs to.
    pub fn open(store: Arc<Store>) -> Result<Self, KmsError> {
        let identity = store.snapshot()?.get(&CELL, CELL_NAME)?;
        let cell = identity.ok_or(KmsError::NoIdentity)?.value;
        Ok(Self { store, cell })
    }

    #[must_use]
    pub fn cell(&self) -> &CellIdentity {
        &self.cell
    }

    /// Gives the cell what its first cell file calls it, except for what it was told before.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn settle(&mut self, names: &CellNames, trust_domain: &str) -> Result<(), KmsError> {
        let mut settled = self.cell.clone();
        for (place, value) in [
            (&mut settled.name, names.name.as_str()),
            (&mut settled.trust_domain, trust_domain),
            (&mut settled.account, &names.account),
            (&mut settled.region, &names.region),
        ] {
            place.get_or_insert_with(|| value.to_owned());
        }
        if settled != self.cell {
            self.store.transact(|transaction| transaction.put(&CELL, CELL_NAME, &settled))?;
            self.cell = settled;
        }
        Ok(())
    }

    /// For the records of other roles, and to watch.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    #[must_use]
    pub fn arn(&self, key: Id) -> KeyArn {
        let CellIdentity { region, account, .. } = &self.cell;
        let or = |value: &Option<String>, default: &str| value.as_deref().unwrap_or(default).into();
        let region = or(region, config::REGION_DEFAULT);
        KeyArn { region, account: or(account, config::ACCOUNT_DEFAULT), key }
    }

    /// # Errors
    /// [`KmsError`] if `principal` may not create keys or the store cannot be written.
    pub fn create_key(&self, principal: &Principal, new: NewKey) -> Result<KeyRecord, KmsError> {
        let mut made = Use::of(principal, "CreateKey");
        self.recorded(&mut made, |transaction, made| {
            let record = create_key(transaction, principal, new)?;
            made.key = Some(record.id);
            Ok(record)
        })
    }

    /// All keys, by id.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn keys(&self) -> Result<Vec<KeyRecord>, KmsError> {
        let keys = self.store.snapshot()?.scan(&KEYS)?;
        Ok(keys.into_iter().map(|(_, key)| key.value).collect())
    }

    /// # Errors
    /// [`KmsError::UnknownKey`], or the store cannot be read.
    pub fn describe_key(&self, id: Id) -> Result<KeyRecord, KmsError> {
        find_key(&self.store.snapshot()?, id)
    }

    /// # Errors
    /// [`KmsError`] if `principal` may not or the store cannot be written.
    pub fn enable_key(&self, principal: &Principal, id: Id) -> Result<KeyRecord, KmsError> {
        self.change_key(principal, "EnableKey", id, |permit, _| Ok(permit.enable()?))
    }

    /// From the return of this call on the key is refused for every use.
    ///
    /// # Errors
    /// As [`Kms::enable_key`].
    pub fn disable_key(&self, principal: &Principal, id: Id) -> Result<KeyRecord, KmsError> {
        self.change_key(principal, "DisableKey", id, |permit, _| Ok(permit.disable()?))
    }

    /// # Errors
    /// As [`Kms::enable_key`], and if the key cannot be rotated.
    pub fn rotate_key(&self, principal: &Principal, id: Id) -> Result<KeyRecord, KmsError> {
        self.change_key(principal, "RotateKeyOnDemand", id, |permit, transaction| {
            let kind = keys::RotationKind::OnDemand;
            Ok(permit.rotate(kind, transaction.ring(), now(), &mut SystemEntropy::new())?)
        })
    }

    fn change_key(
        &self,
        principal: &Principal,
        operation: &'static str,
        id: Id,
        change: impl FnOnce(
            authorize::MayAdminister<'_>,
            &Transaction<'_>,
        ) -> Result<KeyRecord, KmsError>,
    ) -> Result<KeyRecord, KmsError> {
        let mut made = Use { key: Some(id), ..Use::of(principal, operation) };
        self.recorded(&mut made, |transaction, _| {
            let key = find_key(transaction, id)?;
            let changed = change(authorize::may_administer(principal, &key)?, transaction)?;
            transaction.put(&KEYS, &id.to_string(), &changed)?;
            Ok(changed)
        })
    }

    /// # Errors
    /// [`KmsError`] if `principal` may not, the plaintext is too long or the store fails.
    pub fn encrypt(
        &self,
        principal: &Principal,
        id: Id,
        plaintext: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, KmsError> {
        self.use_key(principal, "Encrypt", id, context, |key, transaction| {
            let permit = authorize::may_wrap(principal, key, context)?;
            let entropy = &mut SystemEntropy::new();
            Ok(encrypt::encrypt(&permit, transaction.ring(), plaintext, context, entropy)?)
        })
    }

    /// # Errors
    /// [`KmsError`] if `principal` may not, or this is not what was encrypted with this context.
    pub fn decrypt(
        &self,
        principal: &Principal,
        blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let id = encrypt::key_of_blob(blob)?;
        self.use_key(principal, "Decrypt", id, context, |key, transaction| {
            let permit = authorize::may_open(principal, key, context)?;
            Ok(encrypt::decrypt(&permit, transaction.ring(), blob, context)?)
        })
    }

    /// # Errors
    /// As [`Kms::encrypt`].
    pub fn generate_data_key(
        &self,
        principal: &Principal,
        id: Id,
        context: &EncryptionContext,
    ) -> Result<GeneratedDataKey, KmsError> {
        self.use_key(principal, "GenerateDataKey", id, context, |key, transaction| {
            generate_data_key(transaction, principal, key, context)
        })
    }

    /// # Errors
    /// As [`Kms::decrypt`].
    pub fn unwrap_data_key(
        &self,
        principal: &Principal,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let id = encrypt::key_of_blob(&wrapped.0)?;
        self.use_key(principal, "Decrypt", id, context, |key, transaction| {
            let permit = authorize::may_open(principal, key, context)?;
            Ok(encrypt::unwrap_data_key(&permit, transaction.ring(), wrapped, context)?)
        })
    }

    fn use_key<T>(
        &self,
        principal: &Principal,
        operation: &'static str,
        id: Id,
        context: &EncryptionContext,
        act: impl FnOnce(&KeyRecord, &Transaction<'_>) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let context = context.clone();
        let mut made = Use { key: Some(id), context, ..Use::of(principal, operation) };
        self.recorded(&mut made, |transaction, _| act(&find_key(transaction, id)?, transaction))
    }

    /// Draws a new domain key; [`Kms::rewrap`] then moves everything under it, a little at a time.
    ///
    /// # Errors
    /// [`KmsError`] if `principal` may not or the store cannot be written.
    pub fn rotate_domain(&self, principal: &Principal) -> Result<(), KmsError> {
        self.recorded(&mut Use::of(principal, "RotateDomainKey"), |transaction, _| {
            authorize::may_create(principal)?;
            Ok(transaction.rotate_domain(now())?)
        })
    }

    /// Moves up to `limit` keys or records under the newest domain key. Domain keys in `needed`
    /// (those that service logs were sealed under) are kept.
    ///
    /// # Errors
    /// [`KmsError`] if the store fails or a record is not what was written.
    pub fn rewrap(&self, limit: usize, needed: &[Id]) -> Result<Rewrap, KmsError> {
        self.store.transact(|transaction| {
            let keys = transaction.scan(&KEYS)?;
            let stale =
                keys.into_iter().filter(|(_, key)| key.value.needs_rewrap(transaction.ring()));
            let stale: Vec<_> = stale.take(limit).collect();
            for (name, key) in &stale {
                let entropy = &mut SystemEntropy::new();
                let moved = key.value.clone().rewrap(transaction.ring(), entropy)?;
                transaction.put(&KEYS, name, &moved)?;
            }
            let moved = stale.len() + transaction.reseal_records(limit - stale.len())?;
            if moved > 0 || limit == 0 {
                return Ok(Rewrap::Moved(moved));
            }
            Ok(Rewrap::Done { retired: transaction.retire_domains(needed)? })
        })
    }

    /// A key for one new log file of `stream`, for the process that writes it.
    #[must_use]
    pub fn create_log(&self, stream: &str) -> LogKey {
        LogKey::generate(&self.store.ring(), stream, &mut SystemEntropy::new())
    }

    /// The key of an existing log file of `stream`.
    ///
    /// # Errors
    /// [`KmsError::Log`] if `header` is not that of a log of this cell.
    pub fn open_log(
        &self,
        stream: &str,
        header: &[u8; service_log::HEADER_LEN],
    ) -> Result<LogKey, KmsError> {
        Ok(LogKey::of_header(&*self.store.ring(), stream, header)?)
    }
}

fn find_key(reader: &impl Reader, id: Id) -> Result<KeyRecord, KmsError> {
    let found = reader.get(&KEYS, &id.to_string())?;
    Ok(found.ok_or(KmsError::UnknownKey(id))?.value)
}

fn create_key(
    transaction: &mut Transaction<'_>,
    principal: &Principal,
    new: NewKey,
) -> Result<KeyRecord, KmsError> {
    let permit = authorize::may_create(principal)?;
    let entropy = &mut SystemEntropy::new();
    let record = permit.create_key(new, transaction.ring(), now(), entropy);
    transaction.put(&KEYS, &record.id.to_string(), &record)?;
    Ok(record)
}

fn generate_data_key(
    transaction: &Transaction<'_>,
    principal: &Principal,
    key: &KeyRecord,
    context: &EncryptionContext,
) -> Result<GeneratedDataKey, KmsError> {
    let permit = authorize::may_wrap(principal, key, context)?;
    let entropy = &mut SystemEntropy::new();
    Ok(encrypt::generate_data_key(&permit, transaction.ring(), context, entropy)?)
}

/// The time for records. A clock before 1970 reads as 1970: records order by sequence, not by time.
pub(crate) fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(since.as_secs())
}
