use crypto::Id;
use keys::audit::BrokenChain;
use keys::authorize::Refused;
use keys::encrypt::{DecryptError, EncryptError};
use keys::service_log::LogError;
use keys::{ContextError, MaterialError, RotateError, WrongState};
use miette::Diagnostic;

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
    #[error("there is no tenant {0:?}")]
    #[diagnostic(help(
        "`sealane tenant create {0}` creates it, `sealane tenant list` shows those there are"
    ))]
    UnknownTenant(String),
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
    #[error("the audit log is broken: {0}")]
    #[diagnostic(help(
        "what stands before that entry is whole; restore the store from a backup to see what followed"
    ))]
    Audit(#[from] BrokenChain),
    #[error("key {0} did not sign")]
    Sign(Id),
    #[error("the store says nothing about what cell it belongs to")]
    #[diagnostic(help("it was not made by `sealane init`; restore it from a backup"))]
    NoIdentity,
}
