//! What kinds of key pairs there are and what each can do, in AWS's names and AWS's order.
//!
//! Tables only. `SM2` is absent: the cryptographic library has no SM2. So is `ED25519_PH_SHA_512`,
//! the prehashed Ed25519, for the same reason.

/// The kind of a key pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyPairSpec {
    Rsa2048,
    Rsa3072,
    Rsa4096,
    EccNistP256,
    EccNistP384,
    EccNistP521,
    EccSecgP256k1,
    EccNistEdwards25519,
    MlDsa44,
    MlDsa65,
    MlDsa87,
    MlKem512,
    MlKem768,
    MlKem1024,
}

impl KeyPairSpec {
    pub const ALL: [Self; 14] = [
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::EccNistP256,
        Self::EccNistP384,
        Self::EccNistP521,
        Self::EccSecgP256k1,
        Self::EccNistEdwards25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
        Self::MlKem512,
        Self::MlKem768,
        Self::MlKem1024,
    ];

    /// AWS's `KeySpec`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::EccNistP256 => "ECC_NIST_P256",
            Self::EccNistP384 => "ECC_NIST_P384",
            Self::EccNistP521 => "ECC_NIST_P521",
            Self::EccSecgP256k1 => "ECC_SECG_P256K1",
            Self::EccNistEdwards25519 => "ECC_NIST_EDWARDS25519",
            Self::MlDsa44 => "ML_DSA_44",
            Self::MlDsa65 => "ML_DSA_65",
            Self::MlDsa87 => "ML_DSA_87",
            Self::MlKem512 => "ML_KEM_512",
            Self::MlKem768 => "ML_KEM_768",
            Self::MlKem1024 => "ML_KEM_1024",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|spec| spec.name() == name)
    }

    /// With what a key of this kind signs, if its usage is signing.
    #[must_use]
    pub const fn signing_algorithms(self) -> &'static [SigningAlgorithm] {
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                SigningAlgorithm::RsassaPkcs1V15Sha256,
                SigningAlgorithm::RsassaPkcs1V15Sha384,
                SigningAlgorithm::RsassaPkcs1V15Sha512,
                SigningAlgorithm::RsassaPssSha256,
                SigningAlgorithm::RsassaPssSha384,
                SigningAlgorithm::RsassaPssSha512,
            ],
            Self::EccNistP256 | Self::EccSecgP256k1 => &[SigningAlgorithm::EcdsaSha256],
            Self::EccNistP384 => &[SigningAlgorithm::EcdsaSha384],
            Self::EccNistP521 => &[SigningAlgorithm::EcdsaSha512],
            Self::EccNistEdwards25519 => &[SigningAlgorithm::Ed25519Sha512],
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => &[SigningAlgorithm::MlDsaShake256],
            Self::MlKem512 | Self::MlKem768 | Self::MlKem1024 => &[],
        }
    }

    /// With what a key of this kind encrypts, if its usage is encryption.
    #[must_use]
    pub const fn encryption_algorithms(self) -> &'static [EncryptionAlgorithm] {
        match self.modulus_bytes() {
            Some(_) => &[EncryptionAlgorithm::RsaesOaepSha1, EncryptionAlgorithm::RsaesOaepSha256],
            None => &[],
        }
    }

    /// Whether a key of this kind derives shared secrets by ECDH.
    #[must_use]
    pub const fn can_agree(self) -> bool {
        matches!(self, Self::EccNistP256 | Self::EccNistP384 | Self::EccNistP521)
    }

    /// Whether a key of this kind receives encapsulated secrets.
    #[must_use]
    pub const fn can_decapsulate(self) -> bool {
        matches!(self, Self::MlKem512 | Self::MlKem768 | Self::MlKem1024)
    }

    /// The longest plaintext that `algorithm` encrypts under a key of this kind; `None` where such
    /// a key does not encrypt (RFC 8017, section 7.1.1: the modulus less two hashes and two bytes).
    #[must_use]
    pub const fn plaintext_bytes_max(self, algorithm: EncryptionAlgorithm) -> Option<usize> {
        match self.modulus_bytes() {
            Some(modulus) => Some(modulus - 2 * algorithm.hash_bytes() - 2),
            None => None,
        }
    }

    pub(crate) const fn modulus_bytes(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(256),
            Self::Rsa3072 => Some(384),
            Self::Rsa4096 => Some(512),
            _ => None,
        }
    }
}

/// AWS's `SigningAlgorithmSpec`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SigningAlgorithm {
    RsassaPssSha256,
    RsassaPssSha384,
    RsassaPssSha512,
    RsassaPkcs1V15Sha256,
    RsassaPkcs1V15Sha384,
    RsassaPkcs1V15Sha512,
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
    Ed25519Sha512,
    MlDsaShake256,
}

impl SigningAlgorithm {
    pub const ALL: [Self; 11] = [
        Self::RsassaPssSha256,
        Self::RsassaPssSha384,
        Self::RsassaPssSha512,
        Self::RsassaPkcs1V15Sha256,
        Self::RsassaPkcs1V15Sha384,
        Self::RsassaPkcs1V15Sha512,
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::Ed25519Sha512,
        Self::MlDsaShake256,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsassaPssSha256 => "RSASSA_PSS_SHA_256",
            Self::RsassaPssSha384 => "RSASSA_PSS_SHA_384",
            Self::RsassaPssSha512 => "RSASSA_PSS_SHA_512",
            Self::RsassaPkcs1V15Sha256 => "RSASSA_PKCS1_V1_5_SHA_256",
            Self::RsassaPkcs1V15Sha384 => "RSASSA_PKCS1_V1_5_SHA_384",
            Self::RsassaPkcs1V15Sha512 => "RSASSA_PKCS1_V1_5_SHA_512",
            Self::EcdsaSha256 => "ECDSA_SHA_256",
            Self::EcdsaSha384 => "ECDSA_SHA_384",
            Self::EcdsaSha512 => "ECDSA_SHA_512",
            Self::Ed25519Sha512 => "ED25519_SHA_512",
            Self::MlDsaShake256 => "ML_DSA_SHAKE_256",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The length of the digest that may be signed in a message's place; `None` where the
    /// algorithm must see the message itself.
    #[must_use]
    pub const fn digest_bytes(self) -> Option<usize> {
        match self {
            Self::RsassaPssSha256 | Self::RsassaPkcs1V15Sha256 | Self::EcdsaSha256 => Some(32),
            Self::RsassaPssSha384 | Self::RsassaPkcs1V15Sha384 | Self::EcdsaSha384 => Some(48),
            Self::RsassaPssSha512 | Self::RsassaPkcs1V15Sha512 | Self::EcdsaSha512 => Some(64),
            Self::Ed25519Sha512 | Self::MlDsaShake256 => None,
        }
    }
}

/// AWS's `EncryptionAlgorithmSpec`, without the symmetric one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EncryptionAlgorithm {
    RsaesOaepSha1,
    RsaesOaepSha256,
}

impl EncryptionAlgorithm {
    pub const ALL: [Self; 2] = [Self::RsaesOaepSha1, Self::RsaesOaepSha256];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaesOaepSha1 => "RSAES_OAEP_SHA_1",
            Self::RsaesOaepSha256 => "RSAES_OAEP_SHA_256",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    const fn hash_bytes(self) -> usize {
        match self {
            Self::RsaesOaepSha1 => 20,
            Self::RsaesOaepSha256 => 32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for spec in KeyPairSpec::ALL {
            assert_eq!(KeyPairSpec::from_name(spec.name()), Some(spec));
        }
        for algorithm in SigningAlgorithm::ALL {
            assert_eq!(SigningAlgorithm::from_name(algorithm.name()), Some(algorithm));
        }
        for algorithm in EncryptionAlgorithm::ALL {
            assert_eq!(EncryptionAlgorithm::from_name(algorithm.name()), Some(algorithm));
        }
        for absent in ["SM2", "SYMMETRIC_DEFAULT", "rsa_2048", "ED25519_PH_SHA_512", ""] {
            assert_eq!(KeyPairSpec::from_name(absent), None);
            assert_eq!(SigningAlgorithm::from_name(absent), None);
            assert_eq!(EncryptionAlgorithm::from_name(absent), None);
        }
    }

    /// AWS's table of maximum plaintext lengths, in its documentation of `Encrypt`.
    #[test]
    fn plaintext_limits_are_those_of_aws() {
        let limits = |spec: KeyPairSpec| {
            EncryptionAlgorithm::ALL.map(|algorithm| spec.plaintext_bytes_max(algorithm))
        };
        assert_eq!(limits(KeyPairSpec::Rsa2048), [Some(214), Some(190)]);
        assert_eq!(limits(KeyPairSpec::Rsa3072), [Some(342), Some(318)]);
        assert_eq!(limits(KeyPairSpec::Rsa4096), [Some(470), Some(446)]);
        assert_eq!(limits(KeyPairSpec::EccNistP256), [None, None]);
    }

    #[test]
    fn every_key_pair_can_do_something() {
        for spec in KeyPairSpec::ALL {
            let signs = !spec.signing_algorithms().is_empty();
            let encrypts = !spec.encryption_algorithms().is_empty();
            assert_eq!(encrypts, spec.modulus_bytes().is_some());
            assert!(signs != spec.can_decapsulate(), "{spec:?} signs or decapsulates, not both");
            assert!(!spec.can_agree() || signs);
        }
    }
}
