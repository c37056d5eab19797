//! What a KMS decides: key records and their states, who may use a key for what, how keys and
//! records are sealed, and the chain that makes an audit trail tamper-evident.
//!
//! **Decides** every byte format below the root key (root seal, wrapped key, ciphertext blob, store
//! record, service log) and every permit that must exist before a key is used. **Deliberately does
//! not know** where records are kept, what a file or a clock is, or how a caller proved who it is.
//! **Start reading** in [`authorize`] and [`access`], then the three doors where plaintext becomes
//! ciphertext: [`wrap`], [`encrypt`] and [`record_seal`].

#![forbid(unsafe_code)]

pub mod access;
pub mod arn;
pub mod asymmetric;
pub mod audit_trail;
pub mod authorize;
mod context;
mod credential;
mod domain;
pub mod dual_control;
pub mod encrypt;
#[cfg(test)]
mod golden;
pub mod grant;
pub mod hex;
pub mod import_token;
mod key_record;
mod material;
pub mod policy;
pub mod record_seal;
pub mod root_seal;
pub mod seal_keyfile;
pub mod seal_passphrase;
pub mod seal_shamir;
pub mod service_log;
pub mod session_token;
pub mod share;
pub mod sigv4;
#[cfg(test)]
mod test_kit;
mod use_material;
pub mod wrap;

pub use arn::KeyArn;
pub use context::{ContextError, EncryptionContext};
pub use credential::{CredentialError, CredentialRecord, NewCredential};
pub use domain::{DomainKeyRecord, DomainRing, IndexKeyRecord, IndexKeys, KeyLookup, RootKey};
pub use key_record::{
    DisabledKey, DoomedKey, EmptyKey, EnabledKey, GeneratedDataKey, ImportError, Imported,
    KeyRecord, KeySpec, KeyState, KeyUsage, Material, Materials, NewKey, Origin, Owner,
    PublicKeyDer, RotateError, RotationKind, RotationSchedule, UnixSeconds, WhichMaterial,
    WrongState,
};
pub use material::{MaterialError, NewImport, NotMaterial, OpenedMaterial};
