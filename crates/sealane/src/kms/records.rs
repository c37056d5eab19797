//! What the KMS and its neighbours keep in the store.

use crypto::{Id, WrappedDataKey};
use keys::audit::{AuditChain, AuditEntry};
use keys::{ContextError, EncryptionContext, KeyRecord, UnixSeconds, hex};
use serde::{Deserialize, Serialize};

use crate::store::Table;

/// By name [`CELL_NAME`]: the one record that says what cell this is.
pub const CELL: Table<CellIdentity> = Table::new("cell");
pub const CELL_NAME: &str = "identity";
/// By tenant name.
pub const TENANTS: Table<TenantRecord> = Table::new("tenant");
/// By key id.
pub const KEYS: Table<KeyRecord> = Table::new("key");
/// By tenant id, a slash and the volume's name.
pub const VOLUMES: Table<VolumeRecord> = Table::new("volume");
/// By volume id.
pub const VOLUME_ANCHORS: Table<VolumeAnchor> = Table::new("volume-anchor");
/// By whatever name the certificate authority gives: its certificates are no secrets, but that an
/// old one cannot be put back unnoticed is the store's doing.
pub const CERTIFICATES: Table<Opaque> = Table::new("certificate");
/// By identity: a small number that stays the same for as long as the cell lives.
pub const UIDS: Table<u32> = Table::new("uid");
/// By sequence number, in 20 digits.
pub const AUDIT: Table<AuditEntry> = Table::new("audit");
/// By name [`AUDIT_HEAD_NAME`].
pub const AUDIT_HEAD: Table<AuditChain> = Table::new("audit-head");
pub const AUDIT_HEAD_NAME: &str = "head";

/// What cell this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellIdentity {
    pub id: Id,
    // `None`: the first cell file will say. What is set once stays: identities and ARNs hold it.
    pub name: Option<String>,
    pub trust_domain: Option<String>,
    pub account: Option<String>,
    pub region: Option<String>,
    pub created: UnixSeconds,
}

/// A customer of the cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRecord {
    pub id: Id,
    pub name: String,
    pub created: UnixSeconds,
    /// The KMS key that stands above everything of this tenant.
    pub key: Id,
}

/// A virtual disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeRecord {
    pub id: Id,
    /// The cell, since the encryption context names it.
    pub cell: Id,
    pub tenant: Id,
    pub user: Option<String>,
    pub name: String,
    pub service: String,
    pub size_bytes: u64,
    /// Counts the volume's data keys.
    pub epoch: u64,
    /// The KMS key that wraps the data key.
    pub key: Id,
    #[serde(with = "hex::wrapped")]
    pub data_key: WrappedDataKey,
    pub format: Format,
}

/// Whether a file system was ever made on a volume: it is made only on one that never had any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    NeverFormatted,
    Formatted { fs: String },
}

impl VolumeRecord {
    /// What the volume's data key is bound to: ids that never change, and the epoch.
    ///
    /// # Errors
    /// [`ContextError`] if the name of the user is too long.
    pub fn context(&self) -> Result<EncryptionContext, ContextError> {
        EncryptionContext::of([
            ("cell", self.cell.to_string()),
            ("tenant", self.tenant.to_string()),
            ("user", self.user.clone().unwrap_or_default()),
            ("volume", self.id.to_string()),
            ("epoch", self.epoch.to_string()),
        ])
    }
}

/// How far a volume has come, and who may write to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeAnchor {
    /// Counts attachments: only the holder of the newest may advance the anchor.
    pub attach: u64,
    /// The volume engine's own anchor; `None` until its first flush.
    pub anchor: Option<serde_json::Value>,
}

/// Bytes whose meaning belongs to another role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Opaque(#[serde(with = "hex::bytes")] pub Vec<u8>);
