//! Where AWS's names meet the library's: what one kind of key is made of.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use aws_lc_rs::kem::{self, ML_KEM_512, ML_KEM_768, ML_KEM_1024};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1,
    ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING,
    ML_DSA_87, ML_DSA_87_SIGNING, PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm,
};

use crate::key_spec::KeyPairSpec;

/// A kind of key, seen by the primitive that serves it.
#[derive(Clone, Copy)]
pub(super) enum Family {
    Rsa(KeySize),
    Ecc(&'static Curve),
    Ed25519,
    MlDsa(&'static MlDsaSet),
    MlKem(&'static MlKemSet),
}

pub(super) struct Curve {
    pub(super) signing: &'static EcdsaSigningAlgorithm,
    pub(super) verifying: &'static EcdsaVerificationAlgorithm,
    /// Only the NIST curves agree.
    pub(super) agreeing: Option<&'static agreement::Algorithm>,
    identifier: &'static [u8],
}

pub(super) struct MlDsaSet {
    pub(super) signing: &'static PqdsaSigningAlgorithm,
    pub(super) verifying: &'static PqdsaVerificationAlgorithm,
    identifier: &'static [u8],
}

/// A parameter set of ML-KEM, with the lengths of FIPS 203, table 3.
pub(super) struct MlKemSet {
    pub(super) algorithm: &'static kem::Algorithm,
    pub(super) encapsulation_key_bytes: usize,
    pub(super) decapsulation_key_bytes: usize,
    pub(super) ciphertext_bytes: usize,
    pub(super) identifier: &'static [u8; 13],
}

impl Family {
    pub(super) const fn of(spec: KeyPairSpec) -> Self {
        match spec {
            KeyPairSpec::Rsa2048 => Self::Rsa(KeySize::Rsa2048),
            KeyPairSpec::Rsa3072 => Self::Rsa(KeySize::Rsa3072),
            KeyPairSpec::Rsa4096 => Self::Rsa(KeySize::Rsa4096),
            KeyPairSpec::EccNistP256 => Self::Ecc(&P256),
            KeyPairSpec::EccNistP384 => Self::Ecc(&P384),
            KeyPairSpec::EccNistP521 => Self::Ecc(&P521),
            KeyPairSpec::EccSecgP256k1 => Self::Ecc(&P256K1),
            KeyPairSpec::EccNistEdwards25519 => Self::Ed25519,
            KeyPairSpec::MlDsa44 => Self::MlDsa(&DSA_44),
            KeyPairSpec::MlDsa65 => Self::MlDsa(&DSA_65),
            KeyPairSpec::MlDsa87 => Self::MlDsa(&DSA_87),
            KeyPairSpec::MlKem512 => Self::MlKem(&KEM_512),
            KeyPairSpec::MlKem768 => Self::MlKem(&KEM_768),
            KeyPairSpec::MlKem1024 => Self::MlKem(&KEM_1024),
        }
    }

    /// The DER `AlgorithmIdentifier` with which a public key of this kind begins: RFC 3279 for
    /// RSA, RFC 5480 for the curves, RFC 8410, RFC 9881 and RFC 9935 for the others.
    pub(super) const fn algorithm_identifier(self) -> &'static [u8] {
        match self {
            Self::Rsa(_) => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
            Self::Ecc(curve) => curve.identifier,
            Self::Ed25519 => b"\x30\x05\x06\x03\x2b\x65\x70",
            Self::MlDsa(set) => set.identifier,
            Self::MlKem(set) => set.identifier,
        }
    }
}

static P256: Curve = Curve {
    signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
    verifying: &ECDSA_P256_SHA256_ASN1,
    agreeing: Some(&ECDH_P256),
    identifier: b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
                  \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
};

static P384: Curve = Curve {
    signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
    verifying: &ECDSA_P384_SHA384_ASN1,
    agreeing: Some(&ECDH_P384),
    identifier: b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
};

static P521: Curve = Curve {
    signing: &ECDSA_P521_SHA512_ASN1_SIGNING,
    verifying: &ECDSA_P521_SHA512_ASN1,
    agreeing: Some(&ECDH_P521),
    identifier: b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
};

static P256K1: Curve = Curve {
    signing: &ECDSA_P256K1_SHA256_ASN1_SIGNING,
    verifying: &ECDSA_P256K1_SHA256_ASN1,
    agreeing: None,
    identifier: b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a",
};

static DSA_44: MlDsaSet = MlDsaSet {
    signing: &ML_DSA_44_SIGNING,
    verifying: &ML_DSA_44,
    identifier: b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11",
};

static DSA_65: MlDsaSet = MlDsaSet {
    signing: &ML_DSA_65_SIGNING,
    verifying: &ML_DSA_65,
    identifier: b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12",
};

static DSA_87: MlDsaSet = MlDsaSet {
    signing: &ML_DSA_87_SIGNING,
    verifying: &ML_DSA_87,
    identifier: b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13",
};

static KEM_512: MlKemSet = MlKemSet {
    algorithm: &ML_KEM_512,
    encapsulation_key_bytes: 800,
    decapsulation_key_bytes: 1632,
    ciphertext_bytes: 768,
    identifier: b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x01",
};

static KEM_768: MlKemSet = MlKemSet {
    algorithm: &ML_KEM_768,
    encapsulation_key_bytes: 1184,
    decapsulation_key_bytes: 2400,
    ciphertext_bytes: 1088,
    identifier: b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x02",
};

static KEM_1024: MlKemSet = MlKemSet {
    algorithm: &ML_KEM_1024,
    encapsulation_key_bytes: 1568,
    decapsulation_key_bytes: 3168,
    ciphertext_bytes: 1568,
    identifier: b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x03",
};
