//! What a volume's process is told, and when it is told nothing.

use super::{Control, failed};
use crate::ipc::SecretBytes;
use crate::ipc::messages::{Refusal, Reply, VolumeGrant, VolumePrepared};
use crate::kms::records::{Format, VolumeRecord};
use crate::kms::{KmsError, NewVolume};
use keys::authorize::Principal;

impl Control {
    /// The record of a volume that the plan names; it is made at the first call.
    pub(super) fn prepare_volume(&self, tenant: &str, volume: &str) -> Result<Reply, Refusal> {
        let id = self.kms.tenant(tenant)?.id;
        let (service, planned) = self.planned(tenant, volume)?;
        let bytes = planned.bytes;
        let record = match self.kms.volume(id, volume) {
            Ok(record) => record,
            Err(KmsError::UnknownVolume(_)) => self.kms.create_volume(
                &Principal::Admin,
                NewVolume {
                    tenant: tenant.to_owned(),
                    name: volume.to_owned(),
                    service,
                    size_bytes: bytes,
                    user: planned.user.clone(),
                },
            )?,
            Err(error) => return Err(error.into()),
        };
        if record.size_bytes != bytes {
            return Err(Refusal::Failed {
                message: format!(
                    "volume {tenant}/{volume} has {} bytes, the cell file says {bytes}",
                    record.size_bytes
                ),
                help: Some("a volume keeps the size that it was made with: correct `size`".into()),
            });
        }
        if record.user != planned.user {
            let of = |user: &Option<String>| match user {
                None => "the tenant itself".to_owned(),
                Some(user) => format!("user {user}"),
            };
            let (is, wanted) = (of(&record.user), of(&planned.user));
            return Err(Refusal::Failed {
                message: format!(
                    "volume {tenant}/{volume} belongs to {is}, the cell file says {wanted}"
                ),
                help: Some("a volume keeps the owner that it was made for: correct `user`".into()),
            });
        }
        let key_enabled = self.kms.is_volume_usable(&record)?;
        Ok(Reply::VolumePrepared(VolumePrepared {
            id: record.id,
            key_enabled,
            file_system: match record.format {
                Format::NeverFormatted => None,
                Format::Formatted { fs } => Some(fs),
            },
            directory: directory(record.id),
        }))
    }

    fn planned(
        &self,
        tenant: &str,
        volume: &str,
    ) -> Result<(String, crate::plan::Volume), Refusal> {
        let named = |instance: &&crate::plan::Instance| {
            instance.tenant == tenant && instance.volume.as_ref().is_some_and(|v| v.name == volume)
        };
        let found = self.plan()?.instances.iter().find(named);
        found.and_then(|i| Some((i.service.clone(), i.volume.clone()?))).ok_or_else(|| {
            Refusal::NotFound {
                what: format!("the cell file names no volume {tenant}/{volume}"),
                help: "add it to a service".into(),
            }
        })
    }

    pub(super) fn volume_record(
        &self,
        tenant: &str,
        volume: &str,
    ) -> Result<VolumeRecord, Refusal> {
        let id = self.kms.tenant(tenant)?.id;
        Ok(self.kms.volume(id, volume)?)
    }

    pub(super) fn open_volume(&mut self, tenant: &str, volume: &str) -> Result<Reply, Refusal> {
        self.grant(tenant, volume).map(Reply::VolumeGrant)
    }

    /// What `volume check` needs while no cell runs: an attach like any other, since whoever opens a
    /// volume writes down where its log ends.
    ///
    /// # Errors
    /// [`Refusal`] if there is no such volume or its key is disabled.
    pub fn grant_for_check(&mut self, tenant: &str, volume: &str) -> Result<VolumeGrant, Refusal> {
        self.grant(tenant, volume)
    }

    fn grant(&self, tenant: &str, volume: &str) -> Result<VolumeGrant, Refusal> {
        let record = self.volume_record(tenant, volume)?;
        let key = self.kms.unwrap_volume_key(&record)?;
        let attachment = self.kms.attach_volume(record.id)?;
        grant(&record, key, attachment.attach, attachment.anchor)
    }

    /// The head of a volume has moved: from now on only a disk that extends it is accepted.
    ///
    /// # Errors
    /// [`Refusal`] if there is no such volume, or a newer attach.
    pub fn advance_anchor(
        &mut self,
        tenant: &str,
        volume: &str,
        anchor: serde_json::Value,
    ) -> Result<Reply, Refusal> {
        let record = self.volume_record(tenant, volume)?;
        // A restarted control does not know who holds the attach, so the anchor's own number counts.
        let attach = anchor.get("attach").and_then(serde_json::Value::as_u64).unwrap_or_default();
        self.kms.advance_volume_anchor(record.id, attach, anchor)?;
        Ok(Reply::Done)
    }
}

fn grant(
    record: &VolumeRecord,
    key: crypto::DataKey,
    attach: u64,
    anchor: Option<serde_json::Value>,
) -> Result<VolumeGrant, Refusal> {
    Ok(VolumeGrant {
        volume: record.id,
        epoch: u32::try_from(record.epoch).map_err(|error| failed(&error))?,
        bytes: record.size_bytes,
        key: SecretBytes::new(&key.release_to_caller()[..]),
        anchor,
        attach,
        directory: directory(record.id),
    })
}

/// Where a volume's segments are, relative to DIR.
pub(super) fn directory(volume: crypto::Id) -> String {
    format!("volumes/{volume}")
}
