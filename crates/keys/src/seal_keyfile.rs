//! The root key under a secret in a file: for machines that must start by themselves, and for
//! demonstrations. Whoever reads the file opens the cell; keep it on another disk.

use crypto::kdf::{self, Label};
use crypto::{DataKey, Entropy, Id, Salt, WrappedDataKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::root_seal::{self, Seal, SealKey, UnsealError};
use crate::{RootKey, hex};

const SEAL_LABEL: Label = Label("sealane/seal-keyfile/1");
const CHECK_LABEL: Label = Label("sealane/seal-keyfile-check/1");
const PREFIX: &str = "sealane-key-1:";

/// The secret in a key file: one line, `sealane-key-1:` and 64 hex digits.
#[derive(Debug)]
pub struct KeyFileSecret(DataKey);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a key file: expected one line, `{PREFIX}` followed by 64 hex digits")]
pub struct ParseKeyFileError;

impl KeyFileSecret {
    /// Longer than any key file: read no more than this.
    pub const FILE_BYTES_MAX: usize = 256;

    /// A new secret and the text of its file.
    pub fn generate(entropy: &mut dyn Entropy) -> (Self, Zeroizing<String>) {
        let bytes = DataKey::generate(entropy).release_to_caller();
        let digits = Zeroizing::new(hex::encode(&bytes[..]));
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + digits.len() + 1));
        text.push_str(PREFIX);
        text.push_str(&digits);
        text.push('\n');
        (Self(DataKey::from_caller(&bytes[..]).expect("32 bytes in")), text)
    }

    /// # Errors
    /// [`ParseKeyFileError`] if `text` is anything but a key file.
    pub fn parse(text: &str) -> Result<Self, ParseKeyFileError> {
        let digits = text.trim_end().strip_prefix(PREFIX).ok_or(ParseKeyFileError)?;
        let bytes = Zeroizing::new(hex::decode(digits).ok_or(ParseKeyFileError)?);
        DataKey::from_caller(&bytes).map(Self).ok_or(ParseKeyFileError)
    }

    /// Tells a wrong key file from a damaged seal. A MAC under the secret, so it reveals nothing.
    fn check(&self, cell: Id) -> [u8; 8] {
        let mac = kdf::mac_key(&self.0, CHECK_LABEL, &[]).mac(cell.as_bytes());
        mac.0[..8].try_into().expect("a MAC is longer")
    }
}

/// The record of this seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFileSeal {
    #[serde(with = "hex::bytes")]
    check: [u8; 8],
    #[serde(with = "hex::bytes")]
    salt: [u8; Salt::LEN],
    #[serde(with = "hex::wrapped")]
    wrapped: WrappedDataKey,
}

impl KeyFileSeal {
    pub(crate) fn seal(
        cell: Id,
        root: RootKey,
        secret: &KeyFileSecret,
        entropy: &mut dyn Entropy,
    ) -> (Seal, DataKey) {
        let salt = entropy.salt();
        let (wrapped, key) =
            root_seal::wrap_root(&seal_key(secret, cell, &salt), cell, root, entropy);
        (Seal::KeyFile(Self { check: secret.check(cell), salt: salt.0, wrapped }), key)
    }
}

impl SealKey for KeyFileSeal {
    type Secret = KeyFileSecret;

    fn unseal(&self, cell: Id, root: Id, secret: &KeyFileSecret) -> Result<DataKey, UnsealError> {
        if secret.check(cell) != self.check {
            return Err(UnsealError::WrongKeyFile);
        }
        let seal_key = seal_key(secret, cell, &Salt(self.salt));
        root_seal::unwrap_root(&seal_key, cell, root, &self.wrapped).map_err(UnsealError::Damaged)
    }

    fn seal_again(
        &self,
        cell: Id,
        root: RootKey,
        secret: &KeyFileSecret,
        entropy: &mut dyn Entropy,
    ) -> Result<(Seal, DataKey), UnsealError> {
        Ok(Self::seal(cell, root, secret, entropy))
    }
}

fn seal_key(secret: &KeyFileSecret, cell: Id, salt: &Salt) -> DataKey {
    kdf::child_key(&secret.0, SEAL_LABEL, &[cell.as_bytes()], salt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root_seal::{RootSeal, SealWith, Unlock};
    use crate::test_kit::{Counting, id};

    #[test]
    fn only_its_own_key_file_opens_a_seal() {
        let entropy = &mut Counting::default();
        let (secret, text) = KeyFileSecret::generate(entropy);
        let (other, _) = KeyFileSecret::generate(entropy);
        let root = RootKey::generate(entropy);
        let (seal, root) =
            RootSeal::seal(id(1), root, &SealWith::KeyFile(&secret), entropy).unwrap();
        let read = KeyFileSecret::parse(&text).unwrap();
        assert_eq!(seal.unseal(&Unlock::KeyFile(&read)).unwrap().id(), root.id());
        assert_eq!(seal.unseal(&Unlock::KeyFile(&other)).unwrap_err(), UnsealError::WrongKeyFile);
        assert_eq!(seal.unseal(&Unlock::Passphrase(b"x")).unwrap_err(), UnsealError::NeedsKeyFile);
    }

    #[test]
    fn other_text_is_not_a_key_file() {
        let (_, text) = KeyFileSecret::generate(&mut Counting::default());
        let line = text.trim_end();
        assert!(KeyFileSecret::parse(line).is_ok(), "the line end may be missing");
        for other in ["", "hunter2", &line[1..], &line[..line.len() - 2], &format!("{line}00")] {
            assert_eq!(KeyFileSecret::parse(other).unwrap_err(), ParseKeyFileError);
        }
    }
}
