//! The cell at a glance.

use std::collections::{BTreeMap, BTreeSet};

use keys::{KeyRecord, Owner};

use super::Control;
use crate::cli::model::{
    CertificateStatus, ConnectionStatus, KeyState, KeyStatus, ServiceStatus, Status, VolumeState,
    VolumeStatus,
};
use crate::ipc::messages::Refusal;
use crate::kms::KmsError;
use crate::kms::records::VolumeRecord;
use crate::time_text;

/// Keys that are shown at a glance. There may be a million.
const STATUS_KEYS_MAX: usize = 100;

impl Control {
    pub(super) fn status(&self) -> Result<Status, Refusal> {
        Ok(Status {
            ready: self.cell.ready,
            services: self.services(),
            volumes: self.volume_statuses()?,
            keys: self.key_statuses()?,
            keys_total: self.kms.keys_count(),
            certificates: self.certificate_statuses(),
            connections: self.connection_statuses(),
            warnings: self.warnings(),
        })
    }

    fn services(&self) -> Vec<ServiceStatus> {
        let identity = |tenant: &str, name: &str| {
            self.plan.as_ref().map(|plan| plan.identity(tenant, name)).unwrap_or_default()
        };
        let status = |fact: &crate::ipc::messages::ServiceFact| ServiceStatus {
            identity: identity(&fact.tenant, &fact.name),
            name: fact.name.clone(),
            tenant: fact.tenant.clone(),
            state: fact.state,
            pid: fact.pid.and_then(|pid| u32::try_from(pid).ok()),
            restarts: fact.restarts,
            reason: fact.reason.clone(),
        };
        self.cell.services.iter().map(status).collect()
    }

    pub(super) fn volume_statuses(&self) -> Result<Vec<VolumeStatus>, Refusal> {
        let infos = self.volume_infos()?;
        let status = |info: crate::cli::model::VolumeInfo| {
            let fact = self.volume_fact(&info.tenant, &info.name);
            VolumeStatus {
                reason: fact.and_then(|fact| fact.reason.clone()),
                name: info.name,
                tenant: info.tenant,
                state: info.state,
                bytes_sealed: info.bytes_sealed,
            }
        };
        Ok(infos.into_iter().map(status).collect())
    }

    fn volume_fact(
        &self,
        tenant: &str,
        name: &str,
    ) -> Option<&crate::ipc::messages::VolumeStateFact> {
        self.cell.volumes.iter().find(|fact| fact.tenant == tenant && fact.name == name)
    }

    /// While no cell runs, a volume is detached, or its key is disabled.
    pub(super) fn volume_state(
        &self,
        tenant: &str,
        record: &VolumeRecord,
    ) -> Result<VolumeState, Refusal> {
        if let Some(fact) = self.volume_fact(tenant, &record.name) {
            return Ok(fact.state);
        }
        let enabled = self.kms.is_volume_usable(record)?;
        Ok(if enabled { VolumeState::Detached } else { VolumeState::KeyDisabled })
    }

    /// The cell's own keys, those that stand above tenants, and what else there is room for.
    fn key_statuses(&self) -> Result<Vec<KeyStatus>, Refusal> {
        let mut keys = self.kms.keys_page(Some(Owner::Cell), None, STATUS_KEYS_MAX)?.keys;
        let tenants = self.kms.first_tenants(STATUS_KEYS_MAX - keys.len())?;
        for tenant in &tenants {
            match self.kms.describe_key(tenant.key) {
                Ok(key) => keys.push(key),
                // Erased, or ended.
                Err(KmsError::UnknownKey(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let owners = tenants.iter().map(|tenant| Owner::Tenant(tenant.id));
        for owner in owners.chain([Owner::Account]) {
            let room = STATUS_KEYS_MAX - keys.len();
            if room == 0 {
                break;
            }
            // One of the tenant's is there already.
            let further = self.kms.keys_page(Some(owner), None, room + 1)?.keys.into_iter();
            let shown: BTreeSet<_> = keys.iter().map(|key| key.id).collect();
            keys.extend(further.filter(|key| !shown.contains(&key.id)).take(room));
        }
        let status = |key: &KeyRecord| {
            let tenant = self.tenant_name(key.tenant())?;
            Ok(KeyStatus { id: key.id.to_string(), tenant, state: key_state(key) })
        };
        keys.iter().map(status).collect()
    }

    pub(super) fn certificate_statuses(&self) -> Vec<CertificateStatus> {
        let status = |fact: &super::IssuedFact| CertificateStatus {
            identity: fact.identity.clone(),
            serial: fact.serial.clone(),
            not_after: time_text::rfc3339(fact.not_after),
        };
        self.certificates.values().map(status).collect()
    }

    /// Each pair once. Both ends report what they saw; the one that saw more is the one to believe,
    /// since the other may have been started later.
    fn connection_statuses(&self) -> Vec<ConnectionStatus> {
        let mut pairs: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        for facts in self.connections.values() {
            let mut seen: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
            for fact in facts {
                let pair = (&*fact.from, &*fact.to, &*fact.protection.cipher);
                *seen.entry(pair).or_default() += fact.bytes;
            }
            for (pair, bytes) in seen {
                let most = pairs.entry(pair).or_default();
                *most = bytes.max(*most);
            }
        }
        let status = |((from, to, cipher), bytes): ((&str, &str, &str), u64)| ConnectionStatus {
            from: from.to_owned(),
            to: to.to_owned(),
            cipher: cipher.to_owned(),
            bytes,
        };
        pairs.into_iter().map(status).collect()
    }

    /// What weakens a promise, worst first.
    pub(super) fn warnings(&self) -> Vec<String> {
        let all = self.host.warnings.iter().chain(&self.key_warnings).chain(&self.cell.warnings);
        let mut warnings: Vec<String> = Vec::new();
        for warning in all {
            if !warnings.contains(warning) {
                warnings.push(warning.clone());
            }
        }
        warnings
    }
}

pub(super) fn key_state(key: &KeyRecord) -> KeyState {
    match key.state {
        keys::KeyState::Enabled(_) => KeyState::Enabled,
        keys::KeyState::Disabled(_) => KeyState::Disabled,
        keys::KeyState::PendingImport(_) => KeyState::PendingImport,
        keys::KeyState::PendingDeletion(_) => KeyState::PendingDeletion,
    }
}
