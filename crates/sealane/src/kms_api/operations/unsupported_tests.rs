//! What `wire` lists as unsupported is what the cores do not have, no more and no less.

use crypto::import::{WrappingAlgorithm, WrappingKeySpec};
use crypto::{EncryptionAlgorithm, KeyPairSpec, SigningAlgorithm};
use keys::KeySpec;
use wire::kms::{self, UnsupportedValue as Value};

#[track_caller]
fn check<T: Copy>(
    all: &[T],
    value: impl Fn(T) -> Value,
    name: impl Fn(T) -> &'static str,
    is_known: impl Fn(&str) -> bool,
) {
    for one in all {
        assert_eq!(value(*one).is_listed(), !is_known(name(*one)), "{}", name(*one));
    }
}

#[test]
fn the_list_is_what_keys_and_crypto_lack() {
    check(kms::KeySpec::ALL, Value::KeySpec, kms::KeySpec::name, |name| {
        KeySpec::from_name(name).is_some()
    });
    check(kms::DataKeyPairSpec::ALL, Value::KeyPairSpec, kms::DataKeyPairSpec::name, |name| {
        KeyPairSpec::from_name(name).is_some()
    });
    let signing = kms::SigningAlgorithmSpec::ALL;
    check(signing, Value::SigningAlgorithm, kms::SigningAlgorithmSpec::name, |name| {
        SigningAlgorithm::from_name(name).is_some()
    });
    let encryption = kms::EncryptionAlgorithmSpec::ALL;
    check(encryption, Value::EncryptionAlgorithm, kms::EncryptionAlgorithmSpec::name, |name| {
        name == "SYMMETRIC_DEFAULT" || EncryptionAlgorithm::from_name(name).is_some()
    });
    check(kms::AlgorithmSpec::ALL, Value::WrappingAlgorithm, kms::AlgorithmSpec::name, |name| {
        WrappingAlgorithm::from_name(name).is_some()
    });
    check(kms::WrappingKeySpec::ALL, Value::WrappingKeySpec, kms::WrappingKeySpec::name, |name| {
        WrappingKeySpec::from_name(name).is_some()
    });
    check(kms::MessageType::ALL, Value::MessageType, kms::MessageType::name, |name| {
        matches!(name, "RAW" | "DIGEST")
    });
    check(kms::Origin::ALL, Value::Origin, kms::Origin::name, |name| {
        [keys::Origin::Kms, keys::Origin::External]
            .into_iter()
            .any(|origin| super::metadata::origin(origin).name() == name)
    });
}
