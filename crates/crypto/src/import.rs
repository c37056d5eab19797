//! Key material that a caller brings, wrapped under an RSA key made for that one import.
//!
//! `RSAES_PKCS1_V1_5` is absent: its padding answers guesses (Bleichenbacher, 1998), and AWS has
//! withdrawn it.

use std::fmt;

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use zeroize::Zeroizing;

use crate::key_pair::{KeyPair, NotAKey, PublicKeyDer};
use crate::key_spec::{EncryptionAlgorithm, KeyPairSpec};

/// The longest wrapped material, as AWS limits it.
pub const WRAPPED_BYTES_MAX: usize = 6144;

/// AWS's `WrappingKeySpec`, without SM2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WrappingKeySpec {
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

/// How the material is wrapped under the RSA key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WrappingAlgorithm {
    RsaesOaepSha1,
    RsaesOaepSha256,
    /// A fresh AES-256 key under OAEP, then the material under that key by RFC 5649.
    RsaAesKeyWrapSha1,
    RsaAesKeyWrapSha256,
}

/// The key pair of one import.
pub struct ImportKeyPair(KeyPair);

/// Deliberately one error: which layer failed would help whoever guesses.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the key material was not wrapped under this key and with this algorithm")]
pub struct UnwrapMaterialError;

impl WrappingKeySpec {
    pub const ALL: [Self; 3] = [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    #[must_use]
    pub const fn name(self) -> &'static str {
        self.key_pair_spec().name()
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|spec| spec.name() == name)
    }

    const fn key_pair_spec(self) -> KeyPairSpec {
        match self {
            Self::Rsa2048 => KeyPairSpec::Rsa2048,
            Self::Rsa3072 => KeyPairSpec::Rsa3072,
            Self::Rsa4096 => KeyPairSpec::Rsa4096,
        }
    }
}

impl WrappingAlgorithm {
    pub const ALL: [Self; 4] = [
        Self::RsaesOaepSha1,
        Self::RsaesOaepSha256,
        Self::RsaAesKeyWrapSha1,
        Self::RsaAesKeyWrapSha256,
    ];

    /// AWS's `AlgorithmSpec`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaesOaepSha1 => "RSAES_OAEP_SHA_1",
            Self::RsaesOaepSha256 => "RSAES_OAEP_SHA_256",
            Self::RsaAesKeyWrapSha1 => "RSA_AES_KEY_WRAP_SHA_1",
            Self::RsaAesKeyWrapSha256 => "RSA_AES_KEY_WRAP_SHA_256",
        }
    }

    /// `None` for `RSAES_PKCS1_V1_5` and `SM2PKE`, too: AWS knows these names and we refuse them.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    const fn oaep(self) -> EncryptionAlgorithm {
        match self {
            Self::RsaesOaepSha1 | Self::RsaAesKeyWrapSha1 => EncryptionAlgorithm::RsaesOaepSha1,
            Self::RsaesOaepSha256 | Self::RsaAesKeyWrapSha256 => {
                EncryptionAlgorithm::RsaesOaepSha256
            }
        }
    }

    const fn is_hybrid(self) -> bool {
        matches!(self, Self::RsaAesKeyWrapSha1 | Self::RsaAesKeyWrapSha256)
    }
}

impl ImportKeyPair {
    #[must_use]
    pub fn generate(spec: WrappingKeySpec) -> Self {
        Self(KeyPair::generate(spec.key_pair_spec()))
    }

    /// # Errors
    /// [`NotAKey`] if `pkcs8` is not an RSA key of exactly this length.
    pub fn from_pkcs8(spec: WrappingKeySpec, pkcs8: &[u8]) -> Result<Self, NotAKey> {
        KeyPair::from_pkcs8(spec.key_pair_spec(), pkcs8).map(Self)
    }

    /// The private key in PKCS #8, to be wrapped until the material comes.
    #[must_use]
    pub fn release_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.0.release_pkcs8()
    }

    #[must_use]
    pub fn public_key(&self) -> PublicKeyDer {
        self.0.public_key()
    }

    /// The material that was wrapped; whether it is a key, and of which kind, is not asked here.
    ///
    /// # Errors
    /// [`UnwrapMaterialError`] for any fault.
    pub fn unwrap_material(
        &self,
        algorithm: WrappingAlgorithm,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, UnwrapMaterialError> {
        if wrapped.len() > WRAPPED_BYTES_MAX {
            return Err(UnwrapMaterialError);
        }
        let modulus = self.0.spec().modulus_bytes().ok_or(UnwrapMaterialError)?;
        let (head, rest) = wrapped.split_at_checked(modulus).ok_or(UnwrapMaterialError)?;
        if rest.is_empty() == algorithm.is_hybrid() {
            return Err(UnwrapMaterialError);
        }
        let opened = self.0.decrypt(algorithm.oaep(), head).map_err(|_| UnwrapMaterialError)?;
        if algorithm.is_hybrid() { unwrap_under(&opened, rest) } else { Ok(opened) }
    }
}

/// AES key wrap with padding (RFC 5649).
fn unwrap_under(
    wrapping: &[u8],
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, UnwrapMaterialError> {
    let wrapping = AesKek::new(&AES_256, wrapping).map_err(|_| UnwrapMaterialError)?;
    let mut material = Zeroizing::new(vec![0; wrapped.len()]);
    let length = wrapping
        .unwrap_with_padding(wrapped, &mut material)
        .map_err(|_| UnwrapMaterialError)?
        .len();
    material.truncate(length);
    Ok(material)
}

impl fmt::Debug for ImportKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Import{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_pair::encrypt;
    use WrappingAlgorithm::{RsaAesKeyWrapSha1, RsaAesKeyWrapSha256, RsaesOaepSha256};

    /// What the caller of an import does on their own machine.
    fn wrap_for_import(key: &ImportKeyPair, algorithm: WrappingAlgorithm, bytes: &[u8]) -> Vec<u8> {
        wrap_under(key, algorithm, &[7; 32], bytes)
    }

    fn wrap_under(
        key: &ImportKeyPair,
        algorithm: WrappingAlgorithm,
        wrapping: &[u8],
        bytes: &[u8],
    ) -> Vec<u8> {
        let oaep = |bytes| {
            encrypt(key.0.spec(), &key.public_key(), algorithm.oaep(), bytes).expect("short")
        };
        if !algorithm.is_hybrid() {
            return oaep(bytes);
        }
        let mut output = vec![0; bytes.len() + 15];
        let kek = match wrapping.len() {
            16 => AesKek::new(&aws_lc_rs::key_wrap::AES_128, wrapping),
            _ => AesKek::new(&AES_256, &wrapping[..32]),
        };
        let wrapped = kek.unwrap().wrap_with_padding(bytes, &mut output).unwrap();
        [oaep(wrapping), wrapped.to_vec()].concat()
    }

    #[test]
    fn names_are_those_of_aws() {
        for algorithm in WrappingAlgorithm::ALL {
            assert_eq!(WrappingAlgorithm::from_name(algorithm.name()), Some(algorithm));
        }
        for spec in WrappingKeySpec::ALL {
            assert_eq!(WrappingKeySpec::from_name(spec.name()), Some(spec));
        }
        assert_eq!(WrappingAlgorithm::from_name("RSAES_PKCS1_V1_5"), None);
        assert_eq!(WrappingAlgorithm::from_name("SM2PKE"), None);
        assert_eq!(WrappingKeySpec::from_name("SM2"), None);
    }

    #[test]
    fn what_was_wrapped_is_unwrapped() {
        for spec in WrappingKeySpec::ALL {
            let key = ImportKeyPair::generate(spec);
            let key = ImportKeyPair::from_pkcs8(spec, &key.release_pkcs8()).unwrap();
            for algorithm in WrappingAlgorithm::ALL {
                for length in [1, 7, 8, 32, 64, 190, 1217, 2376] {
                    if length > 190 && !algorithm.is_hybrid() {
                        continue;
                    }
                    let material = vec![9; length];
                    let wrapped = wrap_for_import(&key, algorithm, &material);
                    let unwrapped = key.unwrap_material(algorithm, &wrapped);
                    assert_eq!(*unwrapped.unwrap(), material, "{algorithm:?} {length}");
                }
            }
        }
    }

    #[test]
    fn any_fault_is_the_same_fault() {
        let key = ImportKeyPair::generate(WrappingKeySpec::Rsa2048);
        let refused = Err(UnwrapMaterialError);
        for algorithm in WrappingAlgorithm::ALL {
            let wrapped = wrap_for_import(&key, algorithm, &[9; 32]);
            let other = ImportKeyPair::generate(WrappingKeySpec::Rsa2048);
            assert_eq!(other.unwrap_material(algorithm, &wrapped), refused);
            for wrong in WrappingAlgorithm::ALL.into_iter().filter(|wrong| *wrong != algorithm) {
                assert_eq!(key.unwrap_material(wrong, &wrapped), refused, "{algorithm:?}");
            }
            for index in (0..wrapped.len()).step_by(15) {
                let mut changed = wrapped.clone();
                changed[index] ^= 1;
                assert_eq!(key.unwrap_material(algorithm, &changed), refused, "{index}");
            }
            for length in [0, 1, 255, wrapped.len() - 1] {
                assert_eq!(key.unwrap_material(algorithm, &wrapped[..length]), refused);
            }
            for more in [1, 8, 16, WRAPPED_BYTES_MAX] {
                let longer = [&wrapped[..], &vec![0; more]].concat();
                assert_eq!(key.unwrap_material(algorithm, &longer), refused);
            }
        }
    }

    #[test]
    fn only_an_aes_256_key_wraps() {
        let key = ImportKeyPair::generate(WrappingKeySpec::Rsa2048);
        for length in [16, 33] {
            let wrapped = wrap_under(&key, RsaAesKeyWrapSha256, &vec![7; length], &[9; 32]);
            let unwrapped = key.unwrap_material(RsaAesKeyWrapSha256, &wrapped);
            assert_eq!(unwrapped, Err(UnwrapMaterialError));
        }
    }

    #[test]
    fn a_wrapped_private_key_is_a_key_again() {
        let key = ImportKeyPair::generate(WrappingKeySpec::Rsa2048);
        let brought = KeyPair::generate(KeyPairSpec::Rsa2048);
        let wrapped = wrap_for_import(&key, RsaAesKeyWrapSha1, &brought.release_pkcs8());
        let unwrapped = key.unwrap_material(RsaAesKeyWrapSha1, &wrapped).unwrap();
        let imported = KeyPair::from_pkcs8(KeyPairSpec::Rsa2048, &unwrapped).unwrap();
        assert_eq!(imported.public_key(), brought.public_key());
        assert_eq!(key.unwrap_material(RsaesOaepSha256, &wrapped), Err(UnwrapMaterialError));
        assert_eq!(format!("{key:?}"), "ImportKeyPair(RSA_2048, ..)");
    }
}
