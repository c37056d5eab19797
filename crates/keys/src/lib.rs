//! What a KMS decides: key records and their states, who may use a key for what, how keys and
//! records are sealed, and the chain that makes an audit log tamper-evident.
//!
//! **Decides** every byte format below the root key (root seal, wrapped key, ciphertext blob, store
//! record, service log) and every permit that must exist before a key is used. **Deliberately does
//! not know** where records are kept, what a file or a clock is, or how a caller proved who it is.
//! **Start reading** in [`authorize`], then the three doors where plaintext becomes ciphertext:
//! [`wrap`], [`encrypt`] and [`record_seal`].

#![forbid(unsafe_code)]

pub mod arn;
pub mod audit;
pub mod authorize;
mod context;
mod domain;
pub mod encrypt;
#[cfg(test)]
mod golden;
pub mod hex;
mod key_record;
mod material;
pub mod record_seal;
pub mod root_seal;
pub mod seal_keyfile;
pub mod seal_passphrase;
pub mod seal_shamir;
pub mod service_log;
pub mod share;
#[cfg(test)]
mod test_kit;
pub mod wrap;

pub use arn::KeyArn;
pub use context::{ContextError, EncryptionContext};
pub use domain::{DomainKeyRecord, DomainRing, IndexKeyRecord, IndexKeys, KeyLookup, RootKey};
pub use key_record::{
    DisabledKey, EnabledKey, GeneratedDataKey, KeyRecord, KeySpec, KeyState, KeyUsage, Material,
    Materials, NewKey, PublicKeyDer, RotateError, UnixSeconds, WrongState,
};
pub use material::{MaterialError, signing_key};
