//! Project Wycheproof's vectors: what implementations have got wrong before.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod support;

use crypto::hmac_key::{MacKeyMaterial, MacSpec};
use crypto::import::{ImportKeyPair, WrappingAlgorithm, WrappingKeySpec};
use crypto::key_pair::{Message, encapsulate, encrypt, verify};
use crypto::{EncryptionAlgorithm, KeyPair, KeyPairSpec, PublicKeyDer, SigningAlgorithm};
use serde_json::Value;
use support::{gcm_open, gcm_seal, unhex};

macro_rules! vectors {
    ($name:literal) => {
        Vectors::parse(
            $name,
            include_str!(concat!("../../../third_party/wycheproof/", $name, "_test.json")),
        )
    };
}

struct Vectors {
    name: &'static str,
    groups: Vec<Value>,
}

struct Case<'a> {
    group: &'a Value,
    test: &'a Value,
    /// Which vector this is, for a failure.
    at: String,
}

impl Vectors {
    fn parse(name: &'static str, text: &str) -> Self {
        let mut file: Value = serde_json::from_str(text).unwrap();
        let Value::Array(groups) = file["testGroups"].take() else { panic!("no groups") };
        Self { name, groups }
    }

    fn cases(&self) -> impl Iterator<Item = Case<'_>> {
        self.groups.iter().flat_map(move |group| {
            group["tests"].as_array().unwrap().iter().map(move |test| Case {
                group,
                test,
                at: format!("{} {} {}", self.name, test["tcId"], test["flags"]),
            })
        })
    }
}

impl Case<'_> {
    fn bytes(&self, name: &str) -> Vec<u8> {
        let value = self.test.get(name).or_else(|| self.group.get(name));
        unhex(value.and_then(Value::as_str).unwrap_or_else(|| panic!("no {name}: {}", self.at)))
    }

    fn bits(&self, name: &str) -> u64 {
        self.group[name].as_u64().unwrap()
    }

    fn is_valid(&self) -> bool {
        self.test["result"] == "valid"
    }

    fn is_acceptable(&self) -> bool {
        self.test["result"] == "acceptable"
    }

    fn has_flag(&self, flag: &str) -> bool {
        self.test["flags"].as_array().is_some_and(|flags| flags.iter().any(|other| other == flag))
    }
}

/// A DER value.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let length = u16::try_from(inside.len()).unwrap().to_be_bytes();
    let header = match length {
        [0, low @ 0..0x80] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [header, inside].concat()
}

/// The `AlgorithmIdentifier` of a kind of key, as its own public keys have it.
fn identifier(spec: KeyPairSpec) -> Vec<u8> {
    let public_key = KeyPair::generate(spec).public_key().0;
    let start = if public_key[1] < 0x80 { 2 } else { usize::from(public_key[1] & 0x7f) + 2 };
    public_key[start..start + 2 + usize::from(public_key[start + 1])].to_vec()
}

fn pkcs8(spec: KeyPairSpec, private_key: &[u8]) -> Vec<u8> {
    der(0x30, &[&[2, 1, 0], &identifier(spec), &der(0x04, &[private_key])])
}

fn digest(algorithm: SigningAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
    let hash = [&SHA256, &SHA384, &SHA512]
        .into_iter()
        .find(|hash| algorithm.digest_bytes() == Some(hash.output_len()))?;
    Some(digest(hash, message).as_ref().to_vec())
}

/// What is merely acceptable, such as a digest's missing NULL, is refused.
fn check_signatures(spec: KeyPairSpec, algorithm: SigningAlgorithm, vectors: &Vectors) {
    for case in vectors.cases() {
        let public_key = PublicKeyDer(case.bytes("publicKeyDer"));
        let (message, signature) = (case.bytes("msg"), case.bytes("sig"));
        let raw = verify(spec, &public_key, algorithm, Message::Raw(&message), &signature);
        assert_eq!(raw.is_ok(), case.is_valid(), "{}: {raw:?}", case.at);
        let Some(digest) = digest(algorithm, &message) else { continue };
        let digest = Message::Digest(&digest);
        assert_eq!(verify(spec, &public_key, algorithm, digest, &signature), raw, "{}", case.at);
    }
}

#[test]
fn ecdsa() {
    use SigningAlgorithm::{EcdsaSha256, EcdsaSha384, EcdsaSha512};
    let p256k1 = vectors!("ecdsa_secp256k1_sha256");
    check_signatures(KeyPairSpec::EccSecgP256k1, EcdsaSha256, &p256k1);
    let p256 = vectors!("ecdsa_secp256r1_sha256");
    check_signatures(KeyPairSpec::EccNistP256, EcdsaSha256, &p256);
    let p384 = vectors!("ecdsa_secp384r1_sha384");
    check_signatures(KeyPairSpec::EccNistP384, EcdsaSha384, &p384);
    let p521 = vectors!("ecdsa_secp521r1_sha512");
    check_signatures(KeyPairSpec::EccNistP521, EcdsaSha512, &p521);
}

#[test]
fn rsa_pkcs1_v1_5() {
    use SigningAlgorithm::{RsassaPkcs1V15Sha256, RsassaPkcs1V15Sha384, RsassaPkcs1V15Sha512};
    let sha256 = vectors!("rsa_signature_2048_sha256");
    check_signatures(KeyPairSpec::Rsa2048, RsassaPkcs1V15Sha256, &sha256);
    let sha384 = vectors!("rsa_signature_3072_sha384");
    check_signatures(KeyPairSpec::Rsa3072, RsassaPkcs1V15Sha384, &sha384);
    let sha512 = vectors!("rsa_signature_4096_sha512");
    check_signatures(KeyPairSpec::Rsa4096, RsassaPkcs1V15Sha512, &sha512);
}

#[test]
fn rsa_pss() {
    use SigningAlgorithm::{RsassaPssSha256, RsassaPssSha384, RsassaPssSha512};
    let sha256 = vectors!("rsa_pss_2048_sha256_mgf1_32");
    check_signatures(KeyPairSpec::Rsa2048, RsassaPssSha256, &sha256);
    let sha384 = vectors!("rsa_pss_2048_sha384_mgf1_48");
    check_signatures(KeyPairSpec::Rsa2048, RsassaPssSha384, &sha384);
    let sha512 = vectors!("rsa_pss_4096_sha512_mgf1_64");
    check_signatures(KeyPairSpec::Rsa4096, RsassaPssSha512, &sha512);
}

#[test]
fn rsa_pss_with_a_salt_of_another_length_is_refused() {
    for case in vectors!("rsa_pss_2048_sha256_mgf1_0").cases() {
        let public_key = PublicKeyDer(case.bytes("publicKeyDer"));
        let (message, signature) = (case.bytes("msg"), case.bytes("sig"));
        let algorithm = SigningAlgorithm::RsassaPssSha256;
        let message = Message::Raw(&message);
        let verified = verify(KeyPairSpec::Rsa2048, &public_key, algorithm, message, &signature);
        assert!(verified.is_err(), "{}", case.at);
    }
}

#[test]
fn ed25519() {
    let algorithm = SigningAlgorithm::Ed25519Sha512;
    check_signatures(KeyPairSpec::EccNistEdwards25519, algorithm, &vectors!("ed25519"));
}

#[test]
fn ml_dsa_verify() {
    let algorithm = SigningAlgorithm::MlDsaShake256;
    check_signatures(KeyPairSpec::MlDsa44, algorithm, &vectors!("mldsa_44_verify"));
    check_signatures(KeyPairSpec::MlDsa65, algorithm, &vectors!("mldsa_65_verify"));
    check_signatures(KeyPairSpec::MlDsa87, algorithm, &vectors!("mldsa_87_verify"));
}

#[test]
fn ml_dsa_seeds() {
    for (spec, vectors) in [
        (KeyPairSpec::MlDsa44, vectors!("mldsa_44_sign_seed")),
        (KeyPairSpec::MlDsa65, vectors!("mldsa_65_sign_seed")),
        (KeyPairSpec::MlDsa87, vectors!("mldsa_87_sign_seed")),
    ] {
        for case in vectors.cases() {
            let pkcs8 = case.bytes("privateKeyPkcs8");
            let key = KeyPair::from_pkcs8(spec, &pkcs8);
            assert_eq!(key.is_ok(), case.is_valid(), "{}", case.at);
            let Ok(key) = key else { continue };
            assert_eq!(*key.release_pkcs8(), pkcs8, "{}", case.at);
            assert!(key.public_key().0.ends_with(&case.bytes("publicKey")), "{}", case.at);
        }
    }
}

fn check_oaep(spec: KeyPairSpec, algorithm: EncryptionAlgorithm, vectors: &Vectors) {
    for case in vectors.cases() {
        let key = KeyPair::from_pkcs8(spec, &case.bytes("privateKeyPkcs8")).unwrap();
        let opened = key.decrypt(algorithm, &case.bytes("ct"));
        // AWS's OAEP has no label, so a ciphertext with one is not ours.
        let is_ours = case.is_valid() && case.bytes("label").is_empty();
        let expected = is_ours.then(|| case.bytes("msg"));
        assert_eq!(opened.ok().map(|opened| opened.to_vec()), expected, "{}", case.at);
    }
}

#[test]
fn rsa_oaep() {
    use EncryptionAlgorithm::{RsaesOaepSha1, RsaesOaepSha256};
    let sha1 = vectors!("rsa_oaep_2048_sha1_mgf1sha1");
    check_oaep(KeyPairSpec::Rsa2048, RsaesOaepSha1, &sha1);
    let rsa2048 = vectors!("rsa_oaep_2048_sha256_mgf1sha256");
    check_oaep(KeyPairSpec::Rsa2048, RsaesOaepSha256, &rsa2048);
    let rsa3072 = vectors!("rsa_oaep_3072_sha256_mgf1sha256");
    check_oaep(KeyPairSpec::Rsa3072, RsaesOaepSha256, &rsa3072);
    let rsa4096 = vectors!("rsa_oaep_4096_sha256_mgf1sha256");
    check_oaep(KeyPairSpec::Rsa4096, RsaesOaepSha256, &rsa4096);
}

fn check_ecdh(spec: KeyPairSpec, scalar_bytes: usize, vectors: &Vectors) {
    for case in vectors.cases() {
        let private = case.bytes("private");
        let zeros = private.iter().take_while(|byte| **byte == 0).count();
        let mut scalar = vec![0; scalar_bytes.saturating_sub(private.len() - zeros)];
        scalar.extend(&private[zeros..]);
        let private_key = der(0x30, &[&[2, 1, 1], &der(0x04, &[&scalar])]);
        let key = KeyPair::from_pkcs8(spec, &pkcs8(spec, &private_key)).unwrap();
        let agreed = key.agree(&PublicKeyDer(case.bytes("public")));
        match agreed {
            Ok(secret) => {
                // Of what is merely acceptable, only a compressed point is accepted.
                assert!(case.is_valid() || case.is_acceptable(), "{}", case.at);
                assert!(case.is_valid() || case.has_flag("CompressedPoint"), "{}", case.at);
                assert_eq!(*secret, case.bytes("shared"), "{}", case.at);
            }
            Err(_) => assert!(!case.is_valid(), "{}", case.at),
        }
    }
}

#[test]
fn ecdh() {
    check_ecdh(KeyPairSpec::EccNistP256, 32, &vectors!("ecdh_secp256r1"));
    check_ecdh(KeyPairSpec::EccNistP384, 48, &vectors!("ecdh_secp384r1"));
    check_ecdh(KeyPairSpec::EccNistP521, 66, &vectors!("ecdh_secp521r1"));
}

#[test]
fn ml_kem_decapsulate() {
    for (spec, vectors) in [
        (KeyPairSpec::MlKem512, vectors!("mlkem_512_semi_expanded_decaps")),
        (KeyPairSpec::MlKem768, vectors!("mlkem_768_semi_expanded_decaps")),
        (KeyPairSpec::MlKem1024, vectors!("mlkem_1024_semi_expanded_decaps")),
    ] {
        for case in vectors.cases() {
            let expanded = der(0x04, &[&case.bytes("dk")]);
            let key = KeyPair::from_pkcs8(spec, &pkcs8(spec, &expanded));
            let secret = key.ok().and_then(|key| key.decapsulate(&case.bytes("c")).ok());
            let expected = case.is_valid().then(|| case.bytes("K"));
            assert_eq!(secret.map(|secret| secret.to_vec()), expected, "{}", case.at);
        }
    }
}

#[test]
fn ml_kem_encapsulate_refuses_what_is_no_key() {
    for (spec, vectors) in [
        (KeyPairSpec::MlKem512, vectors!("mlkem_512_encaps")),
        (KeyPairSpec::MlKem768, vectors!("mlkem_768_encaps")),
        (KeyPairSpec::MlKem1024, vectors!("mlkem_1024_encaps")),
    ] {
        for case in vectors.cases() {
            let bits = der(0x03, &[&[0], &case.bytes("ek")]);
            let public_key = PublicKeyDer(der(0x30, &[&identifier(spec), &bits]));
            assert!(encapsulate(spec, &public_key).is_err() && !case.is_valid(), "{}", case.at);
        }
    }
}

#[test]
fn hmac() {
    for (spec, vectors) in [
        (MacSpec::Hmac224, vectors!("hmac_sha224")),
        (MacSpec::Hmac256, vectors!("hmac_sha256")),
        (MacSpec::Hmac384, vectors!("hmac_sha384")),
        (MacSpec::Hmac512, vectors!("hmac_sha512")),
    ] {
        for case in vectors.cases() {
            let bytes = case.bytes("key");
            let key = MacKeyMaterial::from_bytes(spec, &bytes);
            let fits = (spec.key_bytes_min()..=spec.key_bytes_max()).contains(&bytes.len());
            assert_eq!(key.is_ok(), fits, "{}", case.at);
            let Ok(key) = key else { continue };
            let (message, tag) = (case.bytes("msg"), case.bytes("tag"));
            // A truncated code is part of the right one, and refused all the same.
            let mac = key.mac(&message);
            assert_eq!(mac.as_ref().starts_with(&tag), case.is_valid(), "{}", case.at);
            let is_whole = tag.len() == mac.as_ref().len();
            let verified = key.verify(&message, &tag);
            assert_eq!(verified.is_ok(), case.is_valid() && is_whole, "{}", case.at);
        }
    }
}

/// RFC 5649, by way of an import: the vector's key goes under OAEP, its ciphertext behind it.
#[test]
fn aes_key_wrap_with_padding() {
    let import = ImportKeyPair::generate(WrappingKeySpec::Rsa2048);
    for case in vectors!("aes_kwp").cases() {
        let wrapping = case.bytes("key");
        let oaep = EncryptionAlgorithm::RsaesOaepSha256;
        let head = encrypt(KeyPairSpec::Rsa2048, &import.public_key(), oaep, &wrapping).unwrap();
        let wrapped = [head, case.bytes("ct")].concat();
        let opened = import.unwrap_material(WrappingAlgorithm::RsaAesKeyWrapSha256, &wrapped);
        let expected = case.is_valid().then(|| case.bytes("msg"));
        assert_eq!(opened.ok().map(|opened| opened.to_vec()), expected, "{}", case.at);
    }
}

#[test]
fn aes_256_gcm() {
    for case in vectors!("aes_gcm").cases() {
        assert_eq!(
            (case.bits("keySize"), case.bits("ivSize"), case.bits("tagSize")),
            (256, 96, 128)
        );
        let [key, iv, aad] = ["key", "iv", "aad"].map(|name| case.bytes(name));
        let [message, ciphertext, tag] = ["msg", "ct", "tag"].map(|name| case.bytes(name));
        let opened = gcm_open(&key, &iv, &aad, &ciphertext, &tag);
        assert_eq!(opened, case.is_valid().then(|| message.clone()), "{}", case.at);
        let sealed = gcm_seal(&key, &iv, &aad, &message);
        assert_eq!(sealed == (ciphertext, tag), case.is_valid(), "{}", case.at);
    }
}
