//! What commands answer with. As JSON these are relied upon by scripts: fields are added, never
//! renamed. Times are RFC 3339 in UTC.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Every service is ready and every volume attached.
    pub ready: bool,
    pub services: Vec<ServiceStatus>,
    pub volumes: Vec<VolumeStatus>,
    /// The first of them; `key list` shows all.
    pub keys: Vec<KeyStatus>,
    /// How many there are in all.
    #[serde(default)]
    pub keys_total: u64,
    pub certificates: Vec<CertificateStatus>,
    pub connections: Vec<ConnectionStatus>,
    /// What weakens a promise, worst first.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub name: String,
    pub tenant: String,
    pub identity: String,
    pub state: ServiceState,
    /// `None` while it does not run.
    pub pid: Option<u32>,
    pub restarts: u64,
    /// Why it is in this state, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// For what it needs: a volume, or a service that it calls.
    Waiting,
    /// It runs and does not answer yet.
    Starting,
    Ready,
    /// It ended, and is started again after a pause.
    BackingOff,
    Stopping,
    Stopped,
    /// It cannot be started until somebody acts.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeStatus {
    pub name: String,
    pub tenant: String,
    pub state: VolumeState,
    pub bytes_sealed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeState {
    Detached,
    Attaching,
    Attached,
    Detaching,
    /// The tenant's key is disabled: nothing is read or written until it is enabled.
    KeyDisabled,
    /// What was read is not what was written, or the disk failed.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    pub id: String,
    /// `None` for keys of the cell itself.
    pub tenant: Option<String>,
    pub state: KeyState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    Enabled,
    Disabled,
    PendingImport,
    PendingDeletion,
}

/// An access key, without its secret, which is shown once and never again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialInfo {
    pub access_key_id: String,
    pub name: String,
    /// `None`: of the account.
    pub tenant: Option<String>,
    pub created: String,
    pub revoked: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    pub identity: String,
    pub serial: String,
    pub not_after: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    pub from: String,
    pub to: String,
    pub cipher: String,
    /// In both directions.
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantInfo {
    pub name: String,
    /// As policies call it (`sealane:tenant`, `kms:CallerAccount`).
    #[serde(default)]
    pub id: String,
    pub key: Option<String>,
    /// Since when it is erased.
    #[serde(default)]
    pub erased: Option<String>,
}

/// Somebody of a tenant who has a key or an access key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInfo {
    pub tenant: String,
    pub name: String,
    pub keys: u64,
    pub access_keys: u64,
}

/// Whether what one person cannot take back takes two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DualControlInfo {
    pub on: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The numbers of the shares by which it was switched on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<u8>,
}

/// What was erased for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureInfo {
    pub tenant: String,
    pub tenant_id: String,
    /// `None`: the whole tenant.
    pub user: Option<String>,
    pub at: String,
    pub by: String,
    pub keys_destroyed: u64,
    pub access_keys_revoked: u64,
    /// When the store's file was written anew without the keys; `None`: it may hold remains of them.
    pub store_rewritten: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    pub id: String,
    pub arn: String,
    pub tenant: Option<String>,
    /// Somebody of the tenant, whose key alone it is.
    #[serde(default)]
    pub user: Option<String>,
    pub state: KeyState,
    /// What it is for: `tenant`, `ca`, `report` and the like.
    pub usage: String,
    /// How many times material was added after the first.
    pub rotations: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeInfo {
    pub name: String,
    pub tenant: String,
    pub id: String,
    pub key: String,
    pub epoch: u64,
    pub size_bytes: u64,
    pub bytes_sealed: u64,
    pub state: VolumeState,
    pub last_check: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SvidInfo {
    pub identity: String,
    pub serial: String,
    pub not_before: String,
    pub not_after: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub from: String,
    pub to: String,
    pub allowed: bool,
    /// A sentence; on a refusal it says what to change.
    pub reason: String,
    /// The line of the cell file that allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    pub volume: String,
    pub tenant: String,
    pub ok: bool,
    pub blocks: u64,
    pub bytes: u64,
    pub faults: Vec<String>,
}

/// What came of a new domain key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DomainInfo {
    /// Its id.
    pub domain: String,
    /// Records that lay under an older one.
    pub moved: usize,
    /// Whether those were all.
    pub all: bool,
}
