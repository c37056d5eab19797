//! What the KMS and its neighbours keep in the store.

use crypto::{Id, WrappedDataKey};
use keys::audit_trail::TrailHead;
use keys::grant::GrantRecord;
use keys::{ContextError, CredentialRecord, EncryptionContext, KeyRecord, UnixSeconds, hex};
use serde::{Deserialize, Serialize};

use crate::store::{PartitionedTable, Table};

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
/// By name [`TRAIL_HEAD_NAME`]: how far the audit trail had come with the last change.
pub const TRAIL_HEAD: Table<TrailHead> = Table::new("trail-head");
pub const TRAIL_HEAD_NAME: &str = "head";
/// By name [`AUDIT_KEY_NAME`]: the key that signs the trail's checkpoints.
pub const AUDIT_KEY: Table<Id> = Table::new("audit-key");
pub const AUDIT_KEY_NAME: &str = "key";

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

/// By key id: the keys of an owner, to list them.
pub const KEYS_OF: PartitionedTable<Listed> = PartitionedTable::new("key-of");
/// The aliases of an owner, by name with its `alias/`.
pub const ALIASES: PartitionedTable<AliasRecord> = PartitionedTable::new("alias");
/// The grants of a key, by grant id.
pub const GRANTS: PartitionedTable<GrantRecord> = PartitionedTable::new("grant");
/// The grants that a principal may retire, by grant id.
pub const RETIRABLE: PartitionedTable<RetirableGrant> = PartitionedTable::new("retirable");
/// By access key id.
pub const CREDENTIALS: Table<CredentialRecord> = Table::new("credential");
/// By key id: what is to happen to a key, and when.
pub const DUE: Table<DueRecord> = Table::new("due");
/// By key id.
pub const LAST_USES: Table<LastUse> = Table::new("last-use");

/// Nothing but that it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasRecord {
    pub key: Id,
    pub created: UnixSeconds,
    pub updated: UnixSeconds,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetirableGrant {
    pub key: Id,
}

/// What is to happen to a key, and when: the earliest of what its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DueRecord {
    pub at: UnixSeconds,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastUse {
    pub operation: String,
    /// Milliseconds since 1970.
    pub at: u64,
    pub event: Id,
    pub request: Id,
}
