//! The nouns and primitives that every core shares: secret keys, their derivation, the one-time
//! AEAD, signatures and randomness.
//!
//! **Decides** how a key is derived from its parent and how bytes are sealed under a key that is
//! used exactly once. **Deliberately does not know** what is sealed, who may ask for it or where it
//! is stored. **Start reading** in [`aead`]: everything Sealane keeps at rest passes through it.

#![forbid(unsafe_code)]

#[cfg(all(feature = "plaintext-for-tests", not(debug_assertions)))]
compile_error!(
    "`plaintext-for-tests` switches sealing off; it exists for tests only and never in a release"
);

pub mod aead;
mod der;
mod entropy;
pub mod hmac_key;
mod id;
pub mod import;
pub mod kdf;
mod key;
pub mod key_pair;
pub mod key_spec;
pub mod mac;
pub mod passphrase;
mod sign;

pub use entropy::{Entropy, SystemEntropy};
pub use id::{Id, ParseIdError};
pub use kdf::Salt;
pub use key::{DataKey, WrappedDataKey};
pub use key_pair::{KeyPair, PublicKeyDer};
pub use key_spec::{EncryptionAlgorithm, KeyPairSpec, SigningAlgorithm};
pub use sign::{PublicKey, SignError, Signer, SigningKey, VerifyError};
