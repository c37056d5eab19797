//! What kinds of keys there are, and what each is for; AWS's own names.

use crypto::KeyPairSpec;
use crypto::hmac_key::MacSpec;
use serde::{Deserialize, Serialize};

/// What kind of material a key has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeySpec {
    /// 256 bits for AES-256-GCM, by way of a key for each message.
    SymmetricDefault,
    Mac(MacSpec),
    /// A private key in PKCS #8, and its public key beside it in the clear.
    Pair(KeyPairSpec),
}

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyUsage {
    EncryptDecrypt,
    SignVerify,
    GenerateVerifyMac,
    KeyAgreement,
    EncapsulateDecapsulate,
}

impl KeySpec {
    /// What certificates are signed with.
    pub const ECC_NIST_P256: Self = Self::Pair(KeyPairSpec::EccNistP256);

    pub fn all() -> impl Iterator<Item = Self> {
        let macs = MacSpec::ALL.into_iter().map(Self::Mac);
        let pairs = KeyPairSpec::ALL.into_iter().map(Self::Pair);
        [Self::SymmetricDefault].into_iter().chain(macs).chain(pairs)
    }

    /// AWS's name, as it is stored and sent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SymmetricDefault => "SYMMETRIC_DEFAULT",
            Self::Mac(spec) => spec.name(),
            Self::Pair(spec) => spec.name(),
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        // First what nearly every key is.
        if name == Self::SymmetricDefault.name() {
            return Some(Self::SymmetricDefault);
        }
        let mac = MacSpec::from_name(name).map(Self::Mac);
        mac.or_else(|| KeyPairSpec::from_name(name).map(Self::Pair))
    }

    /// What a key of this spec can be for; the first is meant where a spec has but one.
    #[must_use]
    pub const fn usages(self) -> &'static [KeyUsage] {
        let pair = match self {
            Self::SymmetricDefault => return &[KeyUsage::EncryptDecrypt],
            Self::Mac(_) => return &[KeyUsage::GenerateVerifyMac],
            Self::Pair(pair) => pair,
        };
        match pair {
            KeyPairSpec::Rsa2048 | KeyPairSpec::Rsa3072 | KeyPairSpec::Rsa4096 => {
                &[KeyUsage::EncryptDecrypt, KeyUsage::SignVerify]
            }
            KeyPairSpec::EccNistP256 | KeyPairSpec::EccNistP384 | KeyPairSpec::EccNistP521 => {
                &[KeyUsage::SignVerify, KeyUsage::KeyAgreement]
            }
            KeyPairSpec::EccSecgP256k1
            | KeyPairSpec::EccNistEdwards25519
            | KeyPairSpec::MlDsa44
            | KeyPairSpec::MlDsa65
            | KeyPairSpec::MlDsa87 => &[KeyUsage::SignVerify],
            KeyPairSpec::MlKem512 | KeyPairSpec::MlKem768 | KeyPairSpec::MlKem1024 => {
                &[KeyUsage::EncapsulateDecapsulate]
            }
        }
    }
}

impl KeyUsage {
    pub const ALL: [Self; 5] = [
        Self::EncryptDecrypt,
        Self::SignVerify,
        Self::GenerateVerifyMac,
        Self::KeyAgreement,
        Self::EncapsulateDecapsulate,
    ];

    /// AWS's name, as it is stored and sent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EncryptDecrypt => "ENCRYPT_DECRYPT",
            Self::SignVerify => "SIGN_VERIFY",
            Self::GenerateVerifyMac => "GENERATE_VERIFY_MAC",
            Self::KeyAgreement => "KEY_AGREEMENT",
            Self::EncapsulateDecapsulate => "ENCAPSULATE_DECAPSULATE",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.name() == name)
    }
}

macro_rules! serde_by_name {
    ($type:ident, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                Self::from_name(&name)
                    .ok_or_else(|| serde::de::Error::custom(concat!("not a ", $what)))
            }
        }
    };
}

serde_by_name!(KeySpec, "key spec");
serde_by_name!(KeyUsage, "key usage");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for spec in KeySpec::all() {
            assert_eq!(KeySpec::from_name(spec.name()), Some(spec));
            assert!(!spec.usages().is_empty());
        }
        for usage in KeyUsage::ALL {
            assert_eq!(KeyUsage::from_name(usage.name()), Some(usage));
        }
        assert_eq!(KeySpec::all().count(), 19);
        assert_eq!(KeySpec::from_name("SM2"), None);
    }
}
