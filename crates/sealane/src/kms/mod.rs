//! The cell's own KMS as a library: keys, tenants and volumes over the store.
//!
//! It carries what the core `keys` decides: find the record, ask for a permit, act, record it.
//! Every use is in the audit log, durably, before the caller has its answer. The AWS face will stand
//! on [`Kms`] and only translate.

mod audit;
mod audit_key;
mod cache;
mod change;
mod credentials;
mod domains;
mod dual_control;
mod due;
mod erasure;
mod error;
mod last_use;
mod listing;
pub mod records;
mod seal_changes;
mod sessions;
mod signer;
mod tenants;
mod trail_reader;
mod volumes;
mod workloads;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use crypto::mac::MacKey;
use crypto::{DataKey, Id, SystemEntropy, WrappedDataKey};
use keys::audit_trail::UnixMillis;
use keys::authorize::{self, Principal};
use keys::service_log::{self, LogKey};
use keys::{
    EncryptionContext, GeneratedDataKey, KeyArn, KeyRecord, NewKey, Owner, UnixSeconds, encrypt,
};
use tokio::sync::watch;
use zeroize::Zeroizing;

pub use cache::{ALIASES_CACHED_MAX, KEYS_CACHED_MAX, KeyEntry};
pub use change::{Change, due};
pub use credentials::{Credential, is_user_name};
pub use domains::{DOMAIN_LIFETIME, Rewrap, Tokens};
pub use dual_control::DualControl;
pub use due::{Done, RunDue};
pub use erasure::{ERASED, ErasedRecord};
pub use error::KmsError;
pub use listing::{KeyPage, User};
pub use seal_changes::{Phase, SealChange};
pub use sessions::{SessionError, SessionToken};
pub use signer::KmsSigner;
pub use trail_reader::{TrailFacts, TrailLines, TrailReader};
pub use volumes::{Attachment, NewVolume};

use crate::audit_trail::{AuditTrail, Limits, TrailOptions};
use crate::config;
use crate::ipc::messages::CellNames;
use crate::store::{Reader, Store};
use audit::Use;
use audit_key::AuditSigner;
use cache::KeyCache;
use last_use::Unwritten;
use records::{CELL, CELL_NAME, CellIdentity, KEYS, TRAIL_HEAD, TRAIL_HEAD_NAME};
use tenants::TenantNames;

/// The KMS. Cheap to clone; methods that change something block on the disk and take a transaction
/// of the store, so call none while holding one.
#[derive(Clone)]
pub struct Kms {
    store: Arc<Store>,
    cell: CellIdentity,
    region: Arc<str>,
    account: Arc<str>,
    trail: Arc<Trail>,
    cache: Arc<KeyCache>,
    unwritten: Arc<Unwritten>,
    token_key: Arc<MacKey>,
    tenant_names: Arc<TenantNames>,
    changed: watch::Sender<u64>,
}

/// The audit trail as it is now.
struct Trail {
    current: ArcSwap<AuditTrail>,
    dir: Box<Path>,
    /// Whether a full disk still is all that can have ended it. Held by whoever opens it anew.
    may_go_on: Mutex<bool>,
}

/// Opens the audit trail that goes with `store`.
fn open_trail(
    store: &Arc<Store>,
    dir: &Path,
    cell: &CellIdentity,
    region: &Arc<str>,
    account: &Arc<str>,
) -> Result<AuditTrail, KmsError> {
    let signer = AuditSigner::open(store)?;
    let stored = store.snapshot()?.get(&TRAIL_HEAD, TRAIL_HEAD_NAME)?;
    let of_ring = Arc::clone(store);
    let (trail, opened) = AuditTrail::open(TrailOptions {
        dir: dir.to_owned(),
        cell: cell.id,
        region: Arc::clone(region),
        account: Arc::clone(account),
        ring: Arc::new(move || of_ring.ring()),
        signer: Box::new(signer),
        stored: stored.map(|stored| stored.value),
        clock: Arc::new(|| UnixMillis(now_millis())),
        limits: Limits::default(),
    })?;
    if opened.torn > 0 {
        let bytes = opened.torn;
        tracing::info!(bytes, "an unfinished write at the end of the audit trail was cut off");
    }
    Ok(trail)
}

impl std::fmt::Debug for Kms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kms").field("cell", &self.cell.id).finish_non_exhaustive()
    }
}

impl Kms {
    /// Opens the KMS of `store`, with its audit trail in the folder `trail`.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read, does not say what cell it belongs to, or does not
    /// go with the trail.
    pub fn open(store: Arc<Store>, trail: &Path) -> Result<Self, KmsError> {
        let identity = store.snapshot()?.get(&CELL, CELL_NAME)?;
        let cell = identity.ok_or(KmsError::NoIdentity)?.value;
        let or = |value: &Option<String>, default: &str| value.as_deref().unwrap_or(default).into();
        let region: Arc<str> = or(&cell.region, config::REGION_DEFAULT);
        let account: Arc<str> = or(&cell.account, config::ACCOUNT_DEFAULT);
        let current = open_trail(&store, trail, &cell, &region, &account)?;
        let (current, may_go_on) = (ArcSwap::from_pointee(current), Mutex::new(true));
        let trail = Arc::new(Trail { current, dir: trail.into(), may_go_on });
        let token_key = Arc::new(store.token_key());
        let (cache, unwritten) = (Arc::new(KeyCache::new()), Arc::default());
        let of_store = Arc::clone(&cache);
        store.on_recovery(move || KeyCache::forget_all(&of_store));
        let (tenant_names, changed) = (Arc::default(), watch::Sender::new(0));
        let kms = Self {
            store,
            cell,
            region,
            account,
            trail,
            cache,
            unwritten,
            token_key,
            tenant_names,
            changed,
        };
        kms.finish_erasures()?;
        Ok(kms)
    }

    /// The account in ARNs.
    #[must_use]
    pub fn account(&self) -> &Arc<str> {
        &self.account
    }

    /// The region in ARNs, and in the scope of signatures.
    #[must_use]
    pub fn region(&self) -> &Arc<str> {
        &self.region
    }

    /// What grant tokens are authenticated with.
    #[must_use]
    pub fn token_key(&self) -> &MacKey {
        &self.token_key
    }

    /// Counts changes of keys, aliases and grants: whoever shows or follows them looks again.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
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
            self.region = settled.region.as_deref().unwrap_or(config::REGION_DEFAULT).into();
            self.account = settled.account.as_deref().unwrap_or(config::ACCOUNT_DEFAULT).into();
            self.cell = settled;
            // Cached keys know their ARN.
            self.cache.forget_all();
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
        KeyArn { region: self.region.to_string(), account: self.account.to_string(), key }
    }

    /// # Errors
    /// [`KmsError`] if `principal` may not create keys or the store cannot be written.
    pub fn create_key(&self, principal: &Principal, new: NewKey) -> Result<KeyRecord, KmsError> {
        let mut made = Use::of(principal, "CreateKey");
        self.changed(&mut made, |change, made| {
            let record = create_key(change, principal, new)?;
            made.key = Some(record.id);
            Ok(record)
        })
    }

    /// # Errors
    /// [`KmsError::UnknownKey`], or the store cannot be read.
    pub fn describe_key(&self, id: Id) -> Result<KeyRecord, KmsError> {
        find_key(&self.store.snapshot()?, id)
    }

    /// Whether a key is there and enabled.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn is_usable(&self, id: Id) -> Result<bool, KmsError> {
        match self.describe_key(id) {
            Ok(key) => Ok(key.enabled().is_ok()),
            // Erased, which no enabling brings back.
            Err(KmsError::UnknownKey(_)) => Ok(false),
            Err(error) => Err(error),
        }
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
        self.change_key(principal, "RotateKeyOnDemand", id, |permit, ring| {
            let kind = keys::RotationKind::OnDemand;
            Ok(permit.rotate(kind, ring, now(), &mut SystemEntropy::new())?)
        })
    }

    fn change_key(
        &self,
        principal: &Principal,
        operation: &'static str,
        id: Id,
        change_it: impl FnOnce(
            authorize::MayAdminister<'_>,
            &keys::DomainRing,
        ) -> Result<KeyRecord, KmsError>,
    ) -> Result<KeyRecord, KmsError> {
        let mut made = Use { key: Some(id), ..Use::of(principal, operation) };
        self.changed(&mut made, |change, _| {
            let key = change.key(id)?.record;
            let changed = change_it(authorize::may_administer(principal, &key)?, change.ring())?;
            change.put_key(&changed)?;
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
        self.use_key(principal, "Encrypt", id, context, |key| {
            let permit = authorize::may_wrap(principal, &key.record, context)?;
            let opened = key.opened(permit.newest(), &self.store.ring())?;
            let entropy = &mut SystemEntropy::new();
            Ok(encrypt::encrypt_with(&permit, &opened, plaintext, context, entropy)?)
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
        self.use_key(principal, "Decrypt", id, context, |key| {
            let permit = authorize::may_open(principal, &key.record, context)?;
            Ok(encrypt::decrypt(&permit, &self.store.ring(), blob, context)?)
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
        self.use_key(principal, "GenerateDataKey", id, context, |key| {
            generate_data_key(&self.store.ring(), principal, &key.record, context)
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
        self.use_key(principal, "Decrypt", id, context, |key| {
            let permit = authorize::may_open(principal, &key.record, context)?;
            Ok(encrypt::unwrap_data_key(&permit, &self.store.ring(), wrapped, context)?)
        })
    }

    fn use_key<T>(
        &self,
        principal: &Principal,
        operation: &'static str,
        id: Id,
        context: &EncryptionContext,
        act: impl FnOnce(&KeyEntry) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let made = Use { key: Some(id), context: context.clone(), ..Use::of(principal, operation) };
        self.used(&made, || act(&*self.entry(id)?))
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
    change: &mut Change<'_>,
    principal: &Principal,
    new: NewKey,
) -> Result<KeyRecord, KmsError> {
    let permit = authorize::may_create(principal)?;
    if let Some(user) = &new.user {
        credentials::check_user_name(user)?;
    }
    let entropy = &mut SystemEntropy::new();
    let record = permit.create_key(new, change.ring(), now(), entropy);
    change.add_key(&record)?;
    Ok(record)
}

fn generate_data_key(
    ring: &keys::DomainRing,
    principal: &Principal,
    key: &KeyRecord,
    context: &EncryptionContext,
) -> Result<GeneratedDataKey, KmsError> {
    let permit = authorize::may_wrap(principal, key, context)?;
    let entropy = &mut SystemEntropy::new();
    Ok(encrypt::generate_data_key(&permit, ring, context, entropy)?)
}

/// An owner in the names of records, and in the account of a caller where it is not at home.
#[must_use]
pub fn owner_name(owner: Owner) -> String {
    match owner {
        Owner::Cell => "cell".to_owned(),
        Owner::Account => "account".to_owned(),
        Owner::Tenant(id) => id.to_string(),
    }
}

/// AWS names material by 64 hex digits, which say nothing about it.
#[must_use]
pub fn material_name(key: Id, material: Id) -> String {
    let label = b"sealane/material-name/1";
    let hash = crypto::mac::sha256(&[&label[..], key.as_bytes(), material.as_bytes()].concat());
    keys::hex::encode(&hash)
}

/// The time for records. A clock before 1970 reads as 1970: records order by sequence, not by time.
pub fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(since.as_secs())
}

fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
