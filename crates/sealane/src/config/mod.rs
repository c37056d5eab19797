//! The cell file: what one cell consists of, parsed once into values that need no second thought.
//!
//! [`Cell::load`] either yields a [`Cell`] in which every name resolves, every limit holds and
//! every default is filled in, or a [`CellFileError`] that shows each fault at its place.
//! [`Cell::instances`] then says what is to run, in start order. What a key means to somebody
//! who writes the file is in `docs/cell-file.md`.

mod check;
mod fault;
mod instance;
mod read;
mod read_service;
mod scalar;
mod section;
mod template;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use fault::CellFileError;
pub use instance::{Command, Instance, InstanceId, Placement};
pub use scalar::{parse_account, parse_host_port, parse_label, parse_region, parse_trust_domain};
pub use section::Refusal;
pub use template::Template;

use crate::plan::KMS;

/// A cell file larger than this is something else; reading it whole must stay cheap.
pub const CELL_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// After so many faults the rest are counted and not shown: the first ones explain them.
pub const FAULTS_SHOWN_MAX: usize = 20;
/// Tenants, services and volumes are labels of DNS names (RFC 1035, section 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;
/// DNS names as a whole (RFC 1035, section 2.3.4), and so trust domains (SPIFFE ID, section 2.1).
pub const DNS_NAME_BYTES_MAX: usize = 253;
/// Instances are what tenants times services come to; each is two processes and some sockets.
pub const INSTANCES_MAX: usize = 512;
/// Names that mean something already: Sealane's own identities, and a service's own machine.
pub const NAMES_RESERVED: [&str; 2] = ["sealane", "localhost"];

/// Shorter lives are renewed so often that a busy machine might miss one.
pub const SVID_TTL_MIN: Duration = Duration::from_secs(10);
/// A stolen SVID is good for this long at most.
pub const SVID_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
pub const SVID_TTL_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// Below this ext4 has more bookkeeping than room.
pub const VOLUME_BYTES_MIN: u64 = 16 << 20;
/// The block map is held in memory.
pub const VOLUME_BYTES_MAX: u64 = 64 << 30;
/// A volume is made of whole blocks.
pub const VOLUME_BLOCK_BYTES: u64 = 4096;

pub const MEMORY_BYTES_MIN: u64 = 4 << 20;
pub const MEMORY_BYTES_MAX: u64 = 1 << 40;
pub const MEMORY_BYTES_DEFAULT: u64 = 512 << 20;
pub const PROCESSES_MIN: u64 = 1;
pub const PROCESSES_MAX: u64 = 32_768;
pub const PROCESSES_DEFAULT: u64 = 512;
pub const OPEN_FILES_MIN: u64 = 16;
pub const OPEN_FILES_MAX: u64 = 1 << 20;
pub const OPEN_FILES_DEFAULT: u64 = 4096;

pub const READY_TIMEOUT_MIN: Duration = Duration::from_millis(100);
pub const READY_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);
pub const READY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
pub const BACKOFF_MIN: Duration = Duration::from_millis(10);
pub const BACKOFF_MAX: Duration = Duration::from_secs(10 * 60);
pub const BACKOFF_MIN_DEFAULT: Duration = Duration::from_millis(200);
pub const BACKOFF_MAX_DEFAULT: Duration = Duration::from_secs(10);
pub const STOP_TIMEOUT_MIN: Duration = Duration::from_millis(100);
pub const STOP_TIMEOUT_MAX: Duration = Duration::from_secs(10 * 60);
pub const STOP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

pub const ACCOUNT_DEFAULT: &str = "000000000000";
pub const REGION_DEFAULT: &str = "us-east-1";

/// A checked cell file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The file that this was read from, as it was named.
    pub file: PathBuf,
    /// The folder of that file, absolute: relative paths within it start here.
    pub base: PathBuf,
    pub name: String,
    pub trust_domain: String,
    /// Twelve digits; the account in the ARNs of KMS keys.
    pub account: String,
    pub region: String,
    pub svid_ttl: Duration,
    pub isolation: Isolation,
    /// In the order of the file.
    pub tenants: Vec<String>,
    /// In the order of the file.
    pub services: Vec<Arc<Service>>,
    pub ingress: Option<Ingress>,
    pub kms: Option<KmsListen>,
    /// Empty where the file has no `[egress]`.
    pub egress: Egress,
}

/// Where the cell serves AWS KMS's API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KmsListen {
    pub listen: SocketAddr,
    /// Names that its certificate is for; never empty.
    pub hosts: Vec<String>,
    pub audit: KmsAudit,
}

/// When the event of a cryptographic call must be durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KmsAudit {
    Batched,
    Strict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// Network, mount and pid namespaces of its own for each instance.
    Namespaces,
    /// Instances run on the host as they are; ports are explicit and nothing stops a detour.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// One instance for each; never empty.
    pub tenants: Vec<String>,
    /// The program and its arguments; never empty.
    pub run: Vec<Template>,
    pub env: BTreeMap<String, Template>,
    /// Absolute.
    pub cwd: PathBuf,
    pub run_as: RunAs,
    /// What it listens on, the main one first. Empty for a service that only calls others.
    pub ports: Vec<u16>,
    pub listen: Listen,
    /// What it names of what it may reach, inside and outside the cell, in the order of the file.
    pub may_call: Vec<Target>,
    pub volume: Option<VolumeSpec>,
    pub limits: Limits,
    pub ready: Ready,
    pub restart: Restart,
    /// From the request to stop until it is killed.
    pub stop_timeout: Duration,
}

impl Service {
    /// The declared ports that it takes from us instead of choosing them itself: without isolation
    /// each instance can be given others.
    pub fn taken_ports(&self) -> impl Iterator<Item = u16> {
        let mentioned = |port: &u16| {
            let mut templates = self.run.iter().chain(self.env.values());
            templates.any(|template| template.mentions_port(*port))
        };
        self.ports.iter().copied().filter(mentioned)
    }

    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.ports.first().copied()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// A uid of its own, chosen by the launcher; without root, whoever started the cell.
    Auto,
    User(String),
    Uid(u32),
}

/// Where a service accepts connections inside its namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listen {
    Any,
    Loopback,
}

/// What a service may call. All kinds look the same to the service: a name and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// The instance of `service` that belongs to the caller's own tenant.
    Service { service: String, port: u16 },
    /// A third party behind the egress gateway; also in [`Egress::allow`].
    Egress { host: String, port: u16 },
    /// The cell's own KMS, where [`KmsListen`] says.
    Kms { port: u16 },
}

impl Target {
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Service { service, .. } => service,
            Self::Egress { host, .. } => host,
            Self::Kms { .. } => KMS,
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Service { port, .. } | Self::Egress { port, .. } | Self::Kms { port } => *port,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Unique within a tenant.
    pub name: String,
    /// A multiple of [`VOLUME_BLOCK_BYTES`].
    pub size_bytes: u64,
    /// The user of the tenant whose it is: it then lies under a key of that user.
    pub user: Option<String>,
    /// Absolute; where the service sees it. Without namespaces it is mounted in DIR instead.
    pub at: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub memory_bytes: u64,
    pub processes: u64,
    pub open_files: u64,
}

/// When an instance counts as ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// As soon as it runs: it has no port to ask.
    Running,
    /// Once `port` accepts a connection, which must happen within `timeout`.
    Tcp { port: u16, timeout: Duration },
}

/// The pause before a restart doubles from `backoff_min` up to `backoff_max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restart {
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    pub listen: SocketAddr,
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Lower case; unique among the routes.
    pub host: String,
    pub tenant: String,
    pub service: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Egress {
    /// Each is open to every service until some `may_call` names it, and then to those that do.
    pub allow: Vec<EgressName>,
    pub roots: EgressRoots,
    /// Addresses of names that no DNS server knows; the certificate must bear the name all the same.
    pub resolve: BTreeMap<EgressName, SocketAddr>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EgressName {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for EgressName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Who vouches for third parties.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum EgressRoots {
    /// The certificate authorities that the machine trusts.
    #[default]
    System,
    /// These PEM files and nothing else; absolute.
    Files(Vec<PathBuf>),
}

impl Cell {
    /// Reads and checks the cell file at `path`.
    ///
    /// # Errors
    /// [`CellFileError`] if it cannot be read, or with every fault in it.
    pub fn load(path: &Path) -> Result<Self, CellFileError> {
        let text = read::read_file(path)?;
        let base = std::path::absolute(path)
            .ok()
            .and_then(|file| file.parent().map(Path::to_path_buf))
            .unwrap_or_else(|| PathBuf::from("/"));
        Self::parse(path, &base, &text)
    }

    /// Checks `text` as the content of the cell file `file` in the folder `base`. Of the machine
    /// it asks only whether the folders and files exist that `text` names.
    ///
    /// # Errors
    /// [`CellFileError`] with every fault in it.
    pub fn parse(file: &Path, base: &Path, text: &str) -> Result<Self, CellFileError> {
        let mut faults = fault::Faults::default();
        let cell = read::read_cell(file, base, text, &mut faults);
        match cell {
            Some(cell) if faults.is_empty() => Ok(cell),
            _ => Err(faults.into_error(file, text)),
        }
    }

    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The SPIFFE ID of an instance.
    #[must_use]
    pub fn identity(&self, id: &InstanceId) -> String {
        format!("spiffe://{}/ns/{}/sa/{}", self.trust_domain, id.tenant, id.service)
    }
}
