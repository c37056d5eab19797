//! What the processes of a cell say to each other.

use std::fmt;

use crypto::Id;
use keys::audit_trail::TrailHead;
use serde::{Deserialize, Serialize};

use super::{FRAME_BYTES_MAX, SecretBytes};
use crate::cli::model::{KeyInfo, ServiceState, UserInfo, VolumeState};
use crate::plan::Plan;

/// What a process of the cell was started for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Control,
    /// The proxy of one service of one tenant.
    Proxy {
        tenant: String,
        service: String,
    },
    /// The engine of one volume of one tenant.
    Volume {
        tenant: String,
        volume: String,
    },
    Ingress,
    Egress,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("control"),
            Self::Proxy { tenant, service } => write!(f, "proxy {tenant}/{service}"),
            Self::Volume { tenant, volume } => write!(f, "volume {tenant}/{volume}"),
            Self::Ingress => f.write_str("ingress"),
            Self::Egress => f.write_str("egress"),
        }
    }
}

/// Every reply to a request is of the kind that its comment names, or [`Reply::Refused`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Am I known? → `Done`.
    Hello,
    /// Become a stream of events → `Done`, then [`Event`]s.
    Watch,

    // Of proxies and gateways.
    /// → `Mesh`.
    MeshConfig,
    /// DER `SubjectPublicKeyInfo` of a key that only the caller holds → `Certificate`.
    IssueSvid {
        public_key: Vec<u8>,
    },
    /// The ingress's certificate for all its hosts → `Certificate`.
    IssueServing {
        public_key: Vec<u8>,
    },
    /// A key for a new file of the caller's own service log → `LogKey`; [`Refusal::Erased`] if its
    /// tenant was erased.
    LogKey,
    /// What the caller's connections are and were → `Done`.
    ReportConnections(Vec<ConnectionFact>),

    // Of volumes.
    /// → `VolumeGrant`.
    OpenVolume,
    /// The volume's durable head has moved → `Done`.
    AdvanceAnchor {
        anchor: serde_json::Value,
    },
    /// → `Done`.
    ReportVolume(VolumeFact),

    // Of the supervisor.
    /// → `Json` of what an operator should hear about it, as lines.
    Configure {
        plan: Box<Plan>,
        host: HostFacts,
        names: CellNames,
    },
    /// → `Done`.
    Launched {
        pid: i32,
        role: Role,
    },
    /// → `Done`. Said before the process is reaped.
    Exited {
        pid: i32,
    },
    /// → `VolumePrepared`.
    PrepareVolume {
        tenant: String,
        volume: String,
    },
    /// A file system was made → `Done`.
    VolumeFormatted {
        tenant: String,
        volume: String,
        file_system: String,
    },
    /// Which of these tenants were erased → `Json` of their names.
    ErasedAmong {
        tenants: Vec<String>,
    },
    /// The cell as the supervisor sees it → `Done`.
    ReportCell(CellFacts),

    // Of operators.
    Admin(AdminRequest),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminRequest {
    /// → `Json` of [`crate::cli::model::Status`].
    Status,
    /// → `Json` of the signed report.
    Report,
    TenantCreate {
        name: String,
    },
    TenantList,
    /// → `Json` of [`crate::cli::model::ErasureInfo`].
    TenantErase {
        name: String,
    },
    UserErase {
        tenant: String,
        user: String,
    },
    /// → `Json` of several.
    Erasures,
    /// Users of one tenant or of all, from behind `start` on → `Json` of [`UserPage`].
    UserList {
        tenant: Option<String>,
        start: Option<String>,
    },
    /// Keys of one tenant, or of one user of it, or of all, from `start` on; looks at `limit` keys
    /// at most, and at no more than [`KEYS_PAGE_MAX`] → `Json` of [`KeyPage`].
    KeyList {
        tenant: Option<String>,
        user: Option<String>,
        start: Option<String>,
        limit: u32,
    },
    KeyCreate {
        tenant: String,
        user: Option<String>,
    },
    /// By id, ARN, or the name of a tenant that has one key.
    KeyDisable {
        key: String,
    },
    KeyEnable {
        key: String,
    },
    KeyRotate {
        key: String,
    },
    /// A new domain key → `Json` of [`crate::cli::model::DomainInfo`].
    DomainRotate,
    /// Without a tenant, of the account → `Credential`.
    CredentialCreate {
        name: String,
        tenant: Option<String>,
    },
    /// Temporary ones for the bearer of an access key → `Credential`.
    CredentialSession {
        name: String,
        tenant: Option<String>,
        seconds: u64,
    },
    CredentialList,
    /// By name, or by access key id.
    CredentialRevoke {
        name: String,
        tenant: Option<String>,
    },
    VolumeList,
    /// Have a running volume verify every block → `Json` of the last check known, as it was before.
    VolumeCheck {
        tenant: String,
        volume: String,
    },
    /// → `Json` of a volume's last check, or null.
    LastCheck {
        tenant: String,
        volume: String,
    },
    /// → `Json` of the PEM of the key that signs reports.
    ReportKey,
    SvidList,
    PolicyExplain {
        from: String,
        to: String,
    },
    CaBundle,
    /// The key of an existing log file of a service → `LogKey`.
    LogKey {
        tenant: String,
        service: String,
        header: Vec<u8>,
    },
    /// What the audit trail is checked against → `Json` of [`AuditFacts`].
    AuditFacts,
    /// → `Json` of the sequence of the record that will be written next.
    AuditEnd,
    /// → `Json` of the sequence of the first record that is not older.
    AuditFind {
        unix_millis: u64,
    },
    /// Some records from `from` on, at most `limit` → `Json` of [`crate::kms::TrailLines`].
    AuditRead {
        from: u64,
        limit: u32,
    },
    /// → `Json` of [`crate::cli::model::DualControlInfo`].
    DualControl,
    /// → as [`AdminRequest::DualControl`].
    DualControlSwitch {
        on: bool,
    },
    /// Another request, to which those agree who hold these shares of the root key, a line each.
    Agreed {
        shares: Vec<SecretBytes>,
        request: Box<AdminRequest>,
    },
    /// Whether the process holds the cell's keys → `Json` of [`SealFacts`].
    SealState,
    /// → `Json` of [`SealFacts`].
    SealUnlock {
        secret: UnlockSecret,
    },
    /// → `Json` of [`SealFacts`].
    SealLock,
    /// Stop the cell.
    Down,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Done,
    Mesh(Box<MeshConfig>),
    Certificate(Certificate),
    LogKey(LogKey),
    Credential(CredentialGrant),
    VolumeGrant(VolumeGrant),
    VolumePrepared(VolumePrepared),
    Json(serde_json::Value),
    Refused(Refusal),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A tenant's KMS key was disabled or enabled: its volumes must go or may come.
    KeysChanged { disabled_volumes: Vec<(String, String)> },
    /// A tenant was erased: what its services said is to go.
    TenantErased { tenant: String },
    /// An operator asked for a volume to be checked.
    CheckVolume { tenant: String, volume: String },
    /// An operator asked the cell to stop.
    Stop,
}

/// Why control did not do what it was asked. Kinds differ where the caller acts differently.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The caller's pid is not (yet) one that the supervisor started, or not for this request.
    NotYours {
        asked: String,
    },
    /// The KMS key behind the request is disabled.
    KeyDisabled {
        key: String,
    },
    NotFound {
        what: String,
        help: String,
    },
    /// It would belong to a tenant or a user that was erased.
    Erased {
        what: String,
    },
    /// The cell file names another trust domain than the cell has.
    OtherTrustDomain {
        cell: String,
        file: String,
    },
    /// Anything else, as an operator should read it.
    Failed {
        message: String,
        help: Option<String>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYours { asked } => write!(f, "not permitted: {asked}"),
            Self::KeyDisabled { key } => {
                write!(f, "the KMS key {key} is disabled (`sealane key enable {key}` enables it)")
            }
            Self::OtherTrustDomain { cell, file } => {
                write!(f, "the cell in DIR has the trust domain {cell}, the cell file says {file}")
            }
            Self::NotFound { what, help } => write!(f, "{what} ({help})"),
            Self::Erased { what } => write!(f, "{what} was erased"),
            Self::Failed { message, help: Some(help) } => write!(f, "{message} ({help})"),
            Self::Failed { message, help: None } => f.write_str(message),
        }
    }
}

/// What a proxy or gateway needs to know to do its work. Holds no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MeshConfig {
    /// The receiver's own SPIFFE ID.
    pub identity: String,
    /// DER certificates of the trust bundle.
    pub bundle: Vec<Vec<u8>>,
    /// The part of the cell's plan that concerns the receiver.
    pub plan: Plan,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    pub serial: String,
    /// Unix seconds.
    pub not_after: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct LogKey {
    /// What the log file begins with.
    pub header: Vec<u8>,
    pub key: SecretBytes,
    /// What the log is of.
    pub stream: String,
}

/// What the lines of an audit trail are checked against.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditFacts {
    pub cell: Id,
    /// Of the key that signs checkpoints.
    pub key_pem: Option<String>,
    /// The head that the store carries.
    pub stored: Option<TrailHead>,
}

/// Keys that are shown in one answer. Descriptions make it long, and it has to fit into a frame.
pub const KEYS_PAGE_MAX: u32 = 250;
/// A description has this many letters at most, each of which JSON writes in up to six bytes; all
/// else of a key is little.
const KEY_JSON_BYTES_MAX: u32 = 6 * 8192 + 4096;
const _: () = assert!(KEYS_PAGE_MAX * KEY_JSON_BYTES_MAX < FRAME_BYTES_MAX);
/// Users that are shown in one answer.
pub const USERS_PAGE_MAX: usize = 10_000;

/// Some keys, in an order that tells nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyPage {
    pub keys: Vec<KeyInfo>,
    /// What the next page starts from, if there is more.
    pub next: Option<String>,
}

/// Some users, by tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserPage {
    pub users: Vec<UserInfo>,
    /// What the next page starts from, if there may be more.
    pub next: Option<String>,
}

/// What opens a locked cell, or a part of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnlockSecret {
    /// The text of the key file.
    KeyFile(SecretBytes),
    Passphrase(SecretBytes),
    /// One line.
    Share(SecretBytes),
}

/// Whether a process holds the cell's keys, and how much of what unlocks it was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealFacts {
    pub locked: bool,
    pub given: u8,
    pub needed: u8,
}

/// An access key, shown this once.
#[derive(Debug, Serialize, Deserialize)]
pub struct CredentialGrant {
    pub access_key_id: String,
    pub secret: SecretBytes,
    /// Of temporary ones, with the second since 1970 at which they end.
    pub session: Option<(String, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct VolumeGrant {
    pub volume: Id,
    pub epoch: u32,
    pub bytes: u64,
    pub key: SecretBytes,
    /// The head that the disk must extend; `None` before the first attach.
    pub anchor: Option<serde_json::Value>,
    /// The number of this attach.
    pub attach: u64,
    /// Where the segments are, relative to DIR.
    pub directory: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolumePrepared {
    pub id: Id,
    pub key_enabled: bool,
    /// The file system that was made on it, if one ever was.
    pub file_system: Option<String>,
    pub directory: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolumeFact {
    pub bytes_sealed: u64,
    pub blocks_mapped: u64,
    pub last_check: Option<CheckFact>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckFact {
    /// Counts the checks of one run, so that a new result is told from the last.
    pub number: u64,
    pub at: u64,
    pub blocks: u64,
    pub bad: Vec<String>,
}

/// One connection, as the proxy that reports it sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConnectionFact {
    pub from: String,
    pub to: String,
    pub target: String,
    pub protection: Protection,
    pub bytes: u64,
    /// How many connections this line sums up, and how many of them are open.
    pub count: u64,
    pub open: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Protection {
    pub tls_version: String,
    pub cipher: String,
    pub key_exchange: String,
}

/// What the cell file calls the cell, beside its trust domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CellNames {
    pub name: String,
    pub account: String,
    pub region: String,
}

/// What the supervisor found out about the machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostFacts {
    pub root: bool,
    /// What weakens a promise on this machine, as people should read it.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CellFacts {
    pub ready: bool,
    pub services: Vec<ServiceFact>,
    pub volumes: Vec<VolumeStateFact>,
    pub warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceFact {
    pub name: String,
    pub tenant: String,
    pub state: ServiceState,
    pub reason: Option<String>,
    pub pid: Option<i32>,
    pub restarts: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VolumeStateFact {
    pub name: String,
    pub tenant: String,
    pub state: VolumeState,
    pub reason: Option<String>,
}
