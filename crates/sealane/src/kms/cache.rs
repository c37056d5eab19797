//! Keys ready for use: the record, what is decided by, and material that stays open.
//!
//! A use of a key then costs neither a transaction nor a look at the disk. An entry is what the
//! store held when it was loaded; a change of the store throws it out before the change is
//! acknowledged, so that nobody sees an old key after hearing of a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crypto::Id;
use keys::access::KeyAccess;
use keys::grant::GrantRecord;
use keys::policy::Policy;
use keys::{DomainRing, KeyRecord, KeyState, Material, MaterialError, OpenedMaterial};
use quick_cache::sync::Cache;

use super::credentials::{CREDENTIALS_CACHED_MAX, Credential};
use super::last_use::Uses;
use super::records::{ALIASES, GRANTS, KEYS};
use super::{Kms, KmsError, owner_name};
use crate::store::Reader;

/// Keys that are held ready. An entry is some 600 bytes, grants and old material not counted.
pub const KEYS_CACHED_MAX: usize = 1_000_000;
/// Aliases whose key is remembered.
pub const ALIASES_CACHED_MAX: usize = 100_000;
/// Session tokens that are held open.
const SESSIONS_CACHED_MAX: usize = 10_000;

/// A key and everything that its use takes.
pub struct KeyEntry {
    pub record: KeyRecord,
    pub arn: Arc<str>,
    /// `None`: the default policy.
    pub policy: Option<Policy>,
    pub grants: Vec<GrantRecord>,
    newest: OnceLock<Arc<OpenedMaterial>>,
    older: Mutex<BTreeMap<Id, Arc<OpenedMaterial>>>,
    pub(super) uses: Uses,
}

impl KeyEntry {
    pub(super) fn load(kms: &Kms, reader: &impl Reader, id: Id) -> Result<Self, KmsError> {
        let record = reader.get(&KEYS, &id.to_string())?.ok_or(KmsError::UnknownKey(id))?.value;
        Self::of(kms, reader, record)
    }

    pub(super) fn of(kms: &Kms, reader: &impl Reader, record: KeyRecord) -> Result<Self, KmsError> {
        let id = record.id;
        let policy = match &record.policy {
            None => None,
            Some(text) => Some(
                Policy::parse(text)
                    .map_err(|error| KmsError::PolicyUnreadable(id, Box::new(error)))?,
            ),
        };
        let table = kms.store.table_of(&GRANTS, &id.to_string());
        let grants = reader.scan(&table)?.into_iter().map(|(_, grant)| grant.value).collect();
        Ok(Self {
            arn: kms.arn(id).to_string().into(),
            record,
            policy,
            grants,
            newest: OnceLock::new(),
            older: Mutex::default(),
            uses: Uses::default(),
        })
    }

    /// What decides who may do what with the key.
    #[must_use]
    pub fn access(&self) -> KeyAccess<'_> {
        KeyAccess {
            record: &self.record,
            arn: &self.arn,
            policy: self.policy.as_ref(),
            grants: &self.grants,
        }
    }

    /// Opens `material`, which the permit gave, or finds it open.
    ///
    /// # Errors
    /// [`MaterialError`] if it cannot be had.
    pub fn opened(
        &self,
        material: &Material,
        ring: &DomainRing,
    ) -> Result<Arc<OpenedMaterial>, MaterialError> {
        let KeyState::Enabled(enabled) = &self.record.state else {
            // Without the state there is no permit, and without a permit no material.
            let (key, material) = (self.record.id, material.id);
            return Err(MaterialError::NotOfSpec { key, material, spec: self.record.spec });
        };
        let open = || enabled.open(&self.record, material, ring).map(Arc::new);
        if material.id == enabled.materials().newest().id {
            if let Some(opened) = self.newest.get() {
                return Ok(Arc::clone(opened));
            }
            return Ok(Arc::clone(self.newest.get_or_init({
                let opened = open()?;
                || opened
            })));
        }
        if let Some(opened) = self.lock_older().get(&material.id) {
            return Ok(Arc::clone(opened));
        }
        let opened = open()?;
        self.lock_older().insert(material.id, Arc::clone(&opened));
        Ok(opened)
    }

    fn lock_older(&self) -> std::sync::MutexGuard<'_, BTreeMap<Id, Arc<OpenedMaterial>>> {
        self.older.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is ready for use. Sharded, so that requests for different keys do not meet.
pub(super) struct KeyCache {
    keys: Cache<Id, Arc<KeyEntry>>,
    aliases: Cache<String, Id>,
    credentials: Cache<String, Arc<Credential>>,
    /// By token.
    sessions: Cache<String, Arc<Credential>>,
    /// Counts changes, so that what was loaded while one took place is not kept.
    changes: RwLock<u64>,
}

impl KeyCache {
    pub(super) fn new() -> Self {
        Self {
            keys: Cache::new(KEYS_CACHED_MAX),
            aliases: Cache::new(ALIASES_CACHED_MAX),
            credentials: Cache::new(CREDENTIALS_CACHED_MAX),
            sessions: Cache::new(SESSIONS_CACHED_MAX),
            changes: RwLock::new(0),
        }
    }

    /// How many changes there have been: to be asked before something is loaded.
    fn changes(&self) -> u64 {
        *self.changes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was loaded, unless there was a change since there had been `before`.
    fn keep(&self, before: u64, insert: impl FnOnce()) {
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        if *changes == before {
            insert();
        }
    }

    /// A change of the store has taken place, and is not acknowledged yet. What `remove` takes out
    /// is not put back by who loaded it before.
    fn change(&self, remove: impl FnOnce()) {
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        *changes += 1;
        remove();
    }

    pub(super) fn forget(&self, key: Id) {
        self.change(|| drop(self.keys.remove(&key)));
    }

    pub(super) fn forget_alias(&self, place: &str) {
        self.change(|| drop(self.aliases.remove(place)));
    }

    pub(super) fn forget_credential(&self, access_key_id: &str) {
        self.change(|| drop(self.credentials.remove(access_key_id)));
    }

    /// The credential, or what `load` finds.
    pub(super) fn credential(
        &self,
        access_key_id: &str,
        load: impl FnOnce() -> Result<Option<Arc<Credential>>, KmsError>,
    ) -> Result<Option<Arc<Credential>>, KmsError> {
        if let Some(credential) = self.credentials.get(access_key_id) {
            return Ok(Some(credential));
        }
        let before = self.changes();
        let loaded = load()?;
        if let Some(credential) = &loaded {
            self.keep(before, || {
                self.credentials.insert(access_key_id.to_owned(), Arc::clone(credential));
            });
        }
        Ok(loaded)
    }

    pub(super) fn session(&self, token: &str) -> Option<Arc<Credential>> {
        self.sessions.get(token)
    }

    pub(super) fn hold_session(&self, token: &str, credential: Arc<Credential>) {
        self.sessions.insert(token.to_owned(), credential);
    }

    pub(super) fn forget_all(&self) {
        self.change(|| {
            self.keys.clear();
            self.aliases.clear();
            self.credentials.clear();
            self.sessions.clear();
        });
    }
}

impl Kms {
    /// The key, ready for use.
    ///
    /// # Errors
    /// [`KmsError::UnknownKey`], or the store cannot be read.
    pub fn entry(&self, id: Id) -> Result<Arc<KeyEntry>, KmsError> {
        if let Some(entry) = self.cache.keys.get(&id) {
            return Ok(entry);
        }
        let before = self.cache.changes();
        let entry = Arc::new(KeyEntry::load(self, &self.store.snapshot()?, id)?);
        self.cache.keep(before, || self.cache.keys.insert(id, Arc::clone(&entry)));
        Ok(entry)
    }

    /// The key that an alias of `owner` leads to. `name` begins with `alias/`.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn alias_target(&self, owner: keys::Owner, name: &str) -> Result<Option<Id>, KmsError> {
        let owner = owner_name(owner);
        let place = format!("{owner}/{name}");
        if let Some(key) = self.cache.aliases.get(&place) {
            return Ok(Some(key));
        }
        let before = self.cache.changes();
        let table = self.store.table_of(&ALIASES, &owner);
        let Some(found) = self.store.snapshot()?.get(&table, name)? else { return Ok(None) };
        let key = found.value.key;
        self.cache.keep(before, || self.cache.aliases.insert(place, key));
        Ok(Some(key))
    }
}
