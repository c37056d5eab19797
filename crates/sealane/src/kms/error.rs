use crypto::Id;
use keys::authorize::Refused;
use keys::encrypt::{DecryptError, EncryptError};
use keys::service_log::LogError;
use keys::{ContextError, MaterialError, RotateError, WrongState};
use miette::Diagnostic;

use crate::audit_trail::{RecordError, TrailError};
use crate::store::StoreError;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum KmsError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("there is no key {0}")]
    #[diagnostic(help("`sealane key list` shows the keys of the cell"))]
    UnknownKey(Id),
    #[error("it cannot be told which domain keys logs lie under")]
    DomainsInUse(#[source] std::io::Error),
    #[error("there is no tenant {0:?}")]
    #[diagnostic(help(
        "`sealane tenant create {0}` creates it, `sealane tenant list` shows those there are"
    ))]
    UnknownTenant(String),
    #[error("{0} was erased")]
    #[diagnostic(help("what was erased does not come back; use another name"))]
    Erased(String),
    #[error("there is no {0}")]
    #[diagnostic(help("`sealane user list` shows the users who have keys"))]
    UnknownUser(String),
    #[error("there is a tenant {0:?} already")]
    TenantExists(String),
    #[error("{name:?} cannot be the name of a {what}")]
    #[diagnostic(help(
        "use 1 to 63 lowercase letters, digits and hyphens, beginning and ending with a letter or digit"
    ))]
    BadName { what: &'static str, name: String },
    #[error("there is no volume {0:?}")]
    #[diagnostic(help("`sealane volume list` shows the volumes of the cell"))]
    UnknownVolume(String),
    #[error("tenant {tenant} has a volume {name:?} already")]
    VolumeExists { tenant: Id, name: String },
    #[error(
        "volume {volume} was attached again (attachment {found}): attachment {held} may no longer write"
    )]
    #[diagnostic(help("one of two processes serves this volume without need; stop it"))]
    Superseded { volume: Id, held: u64, found: u64 },
    #[error("the cell has no more numbers for identities: {max} are in use", max = u32::MAX)]
    UidsExhausted,
    #[error(transparent)]
    State(#[from] WrongState),
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error(transparent)]
    Rotate(#[from] RotateError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the cell is under dual control: this takes shares of several people")]
    #[diagnostic(help("name their files by --share-file, or run the command on a terminal"))]
    NeedsQuorum,
    #[error("the cell is under dual control: its seal has to be one that takes several people")]
    #[diagnostic(help(
        "keep to `--to shamir`, or switch it off first: `sealane dual-control off`"
    ))]
    SealForOne,
    #[error("there is an access key {0:?} already")]
    #[diagnostic(help("`sealane kms credential revoke {0}` revokes it"))]
    CredentialExists(String),
    #[error("there is no access key {0:?} that is not revoked")]
    #[diagnostic(help("`sealane kms credential list` shows those there are"))]
    UnknownCredential(String),
    #[error("{0:?} cannot be the name of a user")]
    #[diagnostic(help("use 1 to 64 letters, digits and characters of +=,.@_-"))]
    BadUserName(String),
    #[error("the policy of key {0} cannot be read: {1}")]
    PolicyUnreadable(Id, Box<keys::policy::error::PolicyError>),
    #[error(transparent)]
    Credential(#[from] keys::CredentialError),
    #[error("nothing can be recorded in the audit trail: {0}")]
    #[diagnostic(help(
        "the KMS does nothing that is not on record; after a full disk it goes on once there is room, after any other failure mend the disk and restart it"
    ))]
    Record(Box<RecordError>),
    #[error(transparent)]
    #[diagnostic(help(
        "nothing is done that is not on record: make room where the disk is full, mend it where it fails, and put back the files that belong together where one was changed; then try again"
    ))]
    Trail(Box<TrailError>),
    #[error("key {0} did not sign")]
    Sign(Id),
    #[error("the store says nothing about what cell it belongs to")]
    #[diagnostic(help("it was not made by `sealane init`; restore it from a backup"))]
    NoIdentity,
}

// Boxed: they are large, and every result of the KMS would be.
impl From<TrailError> for KmsError {
    fn from(error: TrailError) -> Self {
        Self::Trail(Box::new(error))
    }
}

impl From<RecordError> for KmsError {
    fn from(error: RecordError) -> Self {
        Self::Record(Box::new(error))
    }
}
