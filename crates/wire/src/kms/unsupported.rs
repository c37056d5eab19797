//! Values that AWS's model names and that are refused with `UnsupportedOperationException`.
//!
//! Which keys and algorithms there are is not known here: whoever serves the requests holds itself
//! to this list by a test, and README.md says it.

use super::values::{
    AlgorithmSpec, DataKeyPairSpec, EncryptionAlgorithmSpec, KeySpec, MessageType, Origin,
    SigningAlgorithmSpec, WrappingKeySpec,
};

/// A value, by the member of a request that takes it.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum UnsupportedValue {
    KeySpec(KeySpec),
    KeyPairSpec(DataKeyPairSpec),
    SigningAlgorithm(SigningAlgorithmSpec),
    EncryptionAlgorithm(EncryptionAlgorithmSpec),
    MessageType(MessageType),
    WrappingAlgorithm(AlgorithmSpec),
    WrappingKeySpec(WrappingKeySpec),
    Origin(Origin),
}

const SM2: &str = "AWS has it in its China Regions only";
const STORES: &str = "there are no custom key stores";

impl UnsupportedValue {
    /// All of them, each with the reason.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::KeySpec(KeySpec::Sm2), SM2),
        (Self::KeyPairSpec(DataKeyPairSpec::Sm2), SM2),
        (Self::SigningAlgorithm(SigningAlgorithmSpec::Sm2dsa), SM2),
        (
            Self::SigningAlgorithm(SigningAlgorithmSpec::Ed25519PhSha512),
            "aws-lc-rs offers no Ed25519ph",
        ),
        (Self::EncryptionAlgorithm(EncryptionAlgorithmSpec::Sm2pke), SM2),
        (
            Self::MessageType(MessageType::ExternalMu),
            "aws-lc-rs signs no μ that was computed elsewhere",
        ),
        (
            Self::WrappingAlgorithm(AlgorithmSpec::RsaesPkcs1V1_5),
            "AWS has withdrawn it: its padding answers guesses",
        ),
        (Self::WrappingAlgorithm(AlgorithmSpec::Sm2pke), SM2),
        (Self::WrappingKeySpec(WrappingKeySpec::Sm2), SM2),
        (Self::Origin(Origin::AwsCloudhsm), STORES),
        (Self::Origin(Origin::ExternalKeyStore), STORES),
    ];

    /// Whether `self` is one of them.
    #[must_use]
    pub fn is_listed(self) -> bool {
        Self::ALL.iter().any(|(value, _)| *value == self)
    }

    /// The member's name.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Self::KeySpec(_) => "KeySpec",
            Self::KeyPairSpec(_) => "KeyPairSpec",
            Self::SigningAlgorithm(_) => "SigningAlgorithm",
            Self::EncryptionAlgorithm(_) => "EncryptionAlgorithm",
            Self::MessageType(_) => "MessageType",
            Self::WrappingAlgorithm(_) => "WrappingAlgorithm",
            Self::WrappingKeySpec(_) => "WrappingKeySpec",
            Self::Origin(_) => "Origin",
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeySpec(value) => value.name(),
            Self::KeyPairSpec(value) => value.name(),
            Self::SigningAlgorithm(value) => value.name(),
            Self::EncryptionAlgorithm(value) => value.name(),
            Self::MessageType(value) => value.name(),
            Self::WrappingAlgorithm(value) => value.name(),
            Self::WrappingKeySpec(value) => value.name(),
            Self::Origin(value) => value.name(),
        }
    }
}
