//! Volumes' records, data keys and anchors.
//!
//! The anchor says how far a volume has come; attaching counts up, so that of two processes that
//! serve one volume the older can no longer advance it.

use crypto::{DataKey, Id, SystemEntropy};
use keys::authorize::{self, Principal};
use keys::{KeySpec, NewKey, Owner};

use super::audit::Use;
use super::erasure::refuse_erased;
use super::records::{Format, TENANTS, VOLUME_ANCHORS, VOLUMES, VolumeAnchor, VolumeRecord};
use super::tenants::check_name;
use super::{Kms, KmsError, create_key, find_key, generate_data_key};
use crate::store::{Expected, Reader, Transaction, Versioned};

/// What a new volume is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVolume {
    /// By name.
    pub tenant: String,
    pub name: String,
    pub service: String,
    pub size_bytes: u64,
    /// A user of the tenant. The volume then lies under a key of that user, made with it, and ends
    /// with the user.
    pub user: Option<String>,
}

/// The right to write to a volume, until somebody attaches it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub volume: Id,
    pub attach: u64,
    /// The volume engine's anchor as its last holder left it.
    pub anchor: Option<serde_json::Value>,
}

impl Kms {
    /// A volume with a data key of its own, under its tenant's key or one of its user.
    ///
    /// # Errors
    /// [`KmsError`] if there is one of that name, the tenant's key is disabled, or `principal` may
    /// not.
    pub fn create_volume(
        &self,
        principal: &Principal,
        new: NewVolume,
    ) -> Result<VolumeRecord, KmsError> {
        check_name("volume", &new.name)?;
        let mut made = Use::of(principal, "CreateVolume");
        self.changed(&mut made, |change, made| {
            let transaction = &change.transaction;
            authorize::may_create(principal)?;
            let tenant = transaction.get(&TENANTS, &new.tenant)?;
            let tenant = tenant.ok_or_else(|| KmsError::UnknownTenant(new.tenant.clone()))?.value;
            refuse_erased(transaction, Some(tenant.id), new.user.as_deref())?;
            let name = volume_name(tenant.id, &new.name);
            if transaction.get(&VOLUMES, &name)?.is_some() {
                return Err(KmsError::VolumeExists { tenant: tenant.id, name: new.name });
            }
            let key = match &new.user {
                None => find_key(transaction, tenant.key)?,
                Some(user) => {
                    let description = format!("volume {} of user {}/{user}", new.name, tenant.name);
                    let owner = Owner::Tenant(tenant.id);
                    let key = NewKey::of(owner, KeySpec::SymmetricDefault, description);
                    create_key(change, principal, NewKey { user: new.user.clone(), ..key })?
                }
            };
            let mut record = VolumeRecord {
                id: Id::random(&mut SystemEntropy::new()),
                cell: self.cell.id,
                tenant: tenant.id,
                user: new.user,
                name: new.name,
                service: new.service,
                size_bytes: new.size_bytes,
                epoch: 1,
                key: key.id,
                data_key: crypto::WrappedDataKey(Vec::new()),
                format: Format::NeverFormatted,
            };
            let context = record.context()?;
            let owner = owner(&record);
            record.data_key = generate_data_key(change.ring(), &owner, &key, &context)?.wrapped;
            let transaction = &mut change.transaction;
            (made.key, made.context) = (Some(key.id), context);
            transaction.put(&VOLUMES, &name, &record)?;
            let anchor = VolumeAnchor { attach: 0, anchor: None };
            transaction.put(&VOLUME_ANCHORS, &record.id.to_string(), &anchor)?;
            Ok(record)
        })
    }

    /// All volumes, by tenant and name.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn volumes(&self) -> Result<Vec<VolumeRecord>, KmsError> {
        let volumes = self.store.snapshot()?.scan(&VOLUMES)?;
        Ok(volumes.into_iter().map(|(_, volume)| volume.value).collect())
    }

    /// # Errors
    /// [`KmsError::UnknownVolume`], or the store cannot be read.
    pub fn volume(&self, tenant: Id, name: &str) -> Result<VolumeRecord, KmsError> {
        let found = self.store.snapshot()?.get(&VOLUMES, &volume_name(tenant, name))?;
        Ok(found.ok_or_else(|| KmsError::UnknownVolume(name.to_owned()))?.value)
    }

    /// Whether the volume's key is enabled, and that of its tenant, which stops all that is the
    /// tenant's.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn is_volume_usable(&self, volume: &VolumeRecord) -> Result<bool, KmsError> {
        let usable = self.is_usable(volume.key)?;
        if !usable || volume.user.is_none() {
            return Ok(usable);
        }
        let tenant = self.tenant(&self.tenant_name(volume.tenant)?)?;
        self.is_usable(tenant.key)
    }

    /// The volume's data key, for the process that serves it.
    ///
    /// # Errors
    /// [`KmsError`] if the tenant's key is disabled.
    pub fn unwrap_volume_key(&self, volume: &VolumeRecord) -> Result<DataKey, KmsError> {
        self.unwrap_data_key(&owner(volume), &volume.data_key, &volume.context()?)
    }

    /// Records that a file system was made, once it was.
    ///
    /// # Errors
    /// [`KmsError`] if there is no such volume or the store cannot be written.
    pub fn record_format(&self, tenant: Id, name: &str, fs: &str) -> Result<(), KmsError> {
        self.store.transact(|transaction| {
            let name = volume_name(tenant, name);
            let found = transaction.get(&VOLUMES, &name)?;
            let mut volume = found.ok_or_else(|| KmsError::UnknownVolume(name.clone()))?.value;
            volume.format = Format::Formatted { fs: fs.to_owned() };
            Ok(transaction.put(&VOLUMES, &name, &volume)?)
        })
    }

    /// Takes the right to write to a volume from whoever held it. To be called before the first
    /// write of a process.
    ///
    /// # Errors
    /// [`KmsError`] if there is no such volume or the store cannot be written.
    pub fn attach_volume(&self, volume: Id) -> Result<Attachment, KmsError> {
        self.store.transact(|transaction| {
            let Versioned { version, value } = find_anchor(transaction, volume)?;
            let next = VolumeAnchor { attach: value.attach + 1, anchor: value.anchor };
            let name = volume.to_string();
            transaction.compare_and_set(&VOLUME_ANCHORS, &name, Expected::At(version), &next)?;
            Ok(Attachment { volume, attach: next.attach, anchor: next.anchor })
        })
    }

    /// How far a volume has come, and who may write to it.
    ///
    /// # Errors
    /// [`KmsError`] if there is no such volume or the store cannot be read.
    pub fn volume_anchor(&self, volume: Id) -> Result<VolumeAnchor, KmsError> {
        let name = volume.to_string();
        let found = self.store.snapshot()?.get(&VOLUME_ANCHORS, &name)?;
        Ok(found.ok_or(KmsError::UnknownVolume(name))?.value)
    }

    /// Advances a volume's anchor; durable on return.
    ///
    /// # Errors
    /// [`KmsError::Superseded`] if the volume was attached again meanwhile.
    pub fn advance_volume_anchor(
        &self,
        volume: Id,
        attach: u64,
        anchor: serde_json::Value,
    ) -> Result<(), KmsError> {
        self.store.transact(|transaction| {
            let Versioned { version, value } = find_anchor(transaction, volume)?;
            if value.attach != attach {
                return Err(KmsError::Superseded { volume, held: attach, found: value.attach });
            }
            let next = VolumeAnchor { attach, anchor: Some(anchor) };
            let name = volume.to_string();
            Ok(transaction.compare_and_set(&VOLUME_ANCHORS, &name, Expected::At(version), &next)?)
        })
    }
}

fn find_anchor(
    transaction: &Transaction<'_>,
    volume: Id,
) -> Result<Versioned<VolumeAnchor>, KmsError> {
    let name = volume.to_string();
    transaction.get(&VOLUME_ANCHORS, &name)?.ok_or(KmsError::UnknownVolume(name))
}

fn volume_name(tenant: Id, name: &str) -> String {
    format!("{tenant}/{name}")
}

/// Who uses a volume's data key.
fn owner(volume: &VolumeRecord) -> Principal {
    Principal::Volume { tenant: volume.tenant, volume: volume.id }
}
