//! Project Wycheproof's vectors: what implementations have got wrong before.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod support;

use std::collections::{BTreeSet, HashSet};

use crypto::hmac_key::{MacKeyMaterial, MacSpec};
use crypto::import::{ImportKeyPair, WrappingAlgorithm, WrappingKeySpec};
use crypto::key_pair::{Message, encapsulate, encrypt, verify};
use crypto::{EncryptionAlgorithm, KeyPair, KeyPairSpec, PublicKeyDer, SigningAlgorithm};
use serde_json::Value;
use support::{gcm_open, gcm_seal, unhex};

macro_rules! vectors {
    ($name:literal, $algorithm:literal, $cases:literal) => {
        Vectors::parse(
            $name,
            include_str!(concat!("../../../third_party/wycheproof/", $name, "_test.json")),
            ($algorithm, $cases),
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
    /// What the file is of and how many cases it has is said here too: a file without cases, or of
    /// another algorithm, would pass and judge nothing.
    fn parse(name: &'static str, text: &str, (algorithm, cases): (&str, usize)) -> Self {
        let mut file: Value = serde_json::from_str(text).unwrap();
        assert_eq!(file["algorithm"], algorithm, "{name}");
        let Value::Array(groups) = file["testGroups"].take() else { panic!("no groups") };
        let vectors = Self { name, groups };
        assert_eq!(vectors.cases().count(), cases, "{name}");
        for case in vectors.cases() {
            let result = case.test["result"].as_str();
            assert!(matches!(result, Some("valid" | "invalid" | "acceptable")), "{}", case.at);
        }
        vectors
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

#[test]
fn every_extract_is_judged() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../third_party/wycheproof");
    let names = std::fs::read_dir(folder).unwrap();
    let names: BTreeSet<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let judged = include_str!("wycheproof.rs");
    for name in names.iter().filter_map(|name| name.strip_suffix("_test.json")) {
        assert!(judged.contains(&format!("vectors!(\"{name}\", ")), "{name}");
    }
}

/// What is merely acceptable, such as a digest's missing NULL, is refused.
fn check_signatures(spec: KeyPairSpec, algorithm: SigningAlgorithm, vectors: &Vectors) {
    for case in vectors.cases() {
        check_signature(&case, spec, algorithm, case.is_valid());
    }
}

fn check_signature(case: &Case<'_>, spec: KeyPairSpec, algorithm: SigningAlgorithm, is_good: bool) {
    let public_key = PublicKeyDer(case.bytes("publicKeyDer"));
    let (message, signature) = (case.bytes("msg"), case.bytes("sig"));
    let raw = verify(spec, &public_key, algorithm, Message::Raw(&message), &signature);
    assert_eq!(raw.is_ok(), is_good, "{}: {raw:?}", case.at);
    let Some(digest) = digest(algorithm, &message) else { return };
    let digest = Message::Digest(&digest);
    assert_eq!(verify(spec, &public_key, algorithm, digest, &signature), raw, "{}", case.at);
}

#[test]
fn ecdsa() {
    use SigningAlgorithm::{EcdsaSha256, EcdsaSha384, EcdsaSha512};
    let p256k1 = vectors!("ecdsa_secp256k1_sha256", "ECDSA", 52);
    check_signatures(KeyPairSpec::EccSecgP256k1, EcdsaSha256, &p256k1);
    let p256 = vectors!("ecdsa_secp256r1_sha256", "ECDSA", 52);
    check_signatures(KeyPairSpec::EccNistP256, EcdsaSha256, &p256);
    let p384 = vectors!("ecdsa_secp384r1_sha384", "ECDSA", 52);
    check_signatures(KeyPairSpec::EccNistP384, EcdsaSha384, &p384);
    let p521 = vectors!("ecdsa_secp521r1_sha512", "ECDSA", 35);
    check_signatures(KeyPairSpec::EccNistP521, EcdsaSha512, &p521);
}

const RSA_SPECS: [KeyPairSpec; 3] =
    [KeyPairSpec::Rsa2048, KeyPairSpec::Rsa3072, KeyPairSpec::Rsa4096];

impl Case<'_> {
    fn rsa_spec(&self) -> KeyPairSpec {
        let name = format!("RSA_{}", self.bits("keySize"));
        KeyPairSpec::from_name(&name).unwrap_or_else(|| panic!("no {name}: {}", self.at))
    }

    /// Which of the algorithms, one for each hash, the vector's hash picks.
    fn by_hash<T: Copy>(&self, algorithms: &[(&str, T)]) -> T {
        let found = algorithms.iter().find(|(hash, _)| self.group["sha"] == *hash);
        found.unwrap_or_else(|| panic!("no {}: {}", self.group["sha"], self.at)).1
    }

    /// Whether the mask is made with the same hash, as AWS's is.
    fn has_one_hash(&self) -> bool {
        self.group.get("mgfSha").is_none_or(|mgf| *mgf == self.group["sha"])
    }

    /// Whether the salt, if there is one, is as long as the digest, as AWS's is.
    fn has_salt_of(&self, algorithm: SigningAlgorithm) -> bool {
        let digest_bytes = algorithm.digest_bytes().and_then(|bytes| u64::try_from(bytes).ok());
        self.group.get("sLen").is_none_or(|salt| salt.as_u64() == digest_bytes)
    }
}

type Signatures = HashSet<(KeyPairSpec, SigningAlgorithm)>;

/// Each group says itself what it is of. Returns of what there were good signatures.
fn check_rsa_signatures(
    algorithms: &[(&str, SigningAlgorithm); 3],
    files: &[Vectors],
) -> Signatures {
    let mut covered = HashSet::new();
    for case in files.iter().flat_map(Vectors::cases) {
        let (spec, algorithm) = (case.rsa_spec(), case.by_hash(algorithms));
        let is_good = case.is_valid() && case.has_one_hash() && case.has_salt_of(algorithm);
        check_signature(&case, spec, algorithm, is_good);
        if is_good {
            covered.insert((spec, algorithm));
        }
    }
    covered
}

fn with_each_rsa_spec(algorithms: &[(&str, SigningAlgorithm); 3]) -> Signatures {
    let pairs = |spec| algorithms.iter().map(move |(_, algorithm)| (spec, *algorithm));
    RSA_SPECS.into_iter().flat_map(pairs).collect()
}

#[test]
fn rsa_pkcs1_v1_5() {
    let algorithms = [
        ("SHA-256", SigningAlgorithm::RsassaPkcs1V15Sha256),
        ("SHA-384", SigningAlgorithm::RsassaPkcs1V15Sha384),
        ("SHA-512", SigningAlgorithm::RsassaPkcs1V15Sha512),
    ];
    let files = [
        vectors!("rsa_signature_2048_sha256", "RSASSA-PKCS1-v1_5", 40),
        vectors!("rsa_signature_2048_sha384", "RSASSA-PKCS1-v1_5", 22),
        vectors!("rsa_signature_2048_sha512", "RSASSA-PKCS1-v1_5", 23),
        vectors!("rsa_signature_3072_sha256", "RSASSA-PKCS1-v1_5", 13),
        vectors!("rsa_signature_3072_sha384", "RSASSA-PKCS1-v1_5", 12),
        vectors!("rsa_signature_3072_sha512", "RSASSA-PKCS1-v1_5", 13),
        vectors!("rsa_signature_4096_sha256", "RSASSA-PKCS1-v1_5", 12),
        vectors!("rsa_signature_4096_sha384", "RSASSA-PKCS1-v1_5", 12),
        vectors!("rsa_signature_4096_sha512", "RSASSA-PKCS1-v1_5", 12),
    ];
    let covered = check_rsa_signatures(&algorithms, &files);
    assert_eq!(covered, with_each_rsa_spec(&algorithms));
}

/// Wycheproof has no signatures of 3072 bits with SHA-384 or SHA-512. Of 2048 bits with SHA-512 it
/// has one, in `rsa_pss_misc`, beside many whose salt or mask is not AWS's and which are refused.
#[test]
fn rsa_pss() {
    let algorithms = [
        ("SHA-256", SigningAlgorithm::RsassaPssSha256),
        ("SHA-384", SigningAlgorithm::RsassaPssSha384),
        ("SHA-512", SigningAlgorithm::RsassaPssSha512),
    ];
    let files = [
        vectors!("rsa_pss_2048_sha256_mgf1_0", "RSASSA-PSS", 7),
        vectors!("rsa_pss_2048_sha256_mgf1_32", "RSASSA-PSS", 21),
        vectors!("rsa_pss_2048_sha384_mgf1_48", "RSASSA-PSS", 22),
        vectors!("rsa_pss_3072_sha256_mgf1_32", "RSASSA-PSS", 12),
        vectors!("rsa_pss_4096_sha256_mgf1_32", "RSASSA-PSS", 12),
        vectors!("rsa_pss_4096_sha384_mgf1_48", "RSASSA-PSS", 13),
        vectors!("rsa_pss_4096_sha512_mgf1_64", "RSASSA-PSS", 13),
        vectors!("rsa_pss_misc", "RSASSA-PSS", 27),
    ];
    let mut covered = check_rsa_signatures(&algorithms, &files);
    for (_, unpublished) in &algorithms[1..] {
        assert!(covered.insert((KeyPairSpec::Rsa3072, *unpublished)), "{unpublished:?}");
    }
    assert_eq!(covered, with_each_rsa_spec(&algorithms));
}

#[test]
fn ed25519() {
    let algorithm = SigningAlgorithm::Ed25519Sha512;
    check_signatures(
        KeyPairSpec::EccNistEdwards25519,
        algorithm,
        &vectors!("ed25519", "EDDSA", 49),
    );
}

#[test]
fn ml_dsa_verify() {
    let algorithm = SigningAlgorithm::MlDsaShake256;
    check_signatures(
        KeyPairSpec::MlDsa44,
        algorithm,
        &vectors!("mldsa_44_verify", "ML-DSA-44", 15),
    );
    check_signatures(
        KeyPairSpec::MlDsa65,
        algorithm,
        &vectors!("mldsa_65_verify", "ML-DSA-65", 10),
    );
    check_signatures(KeyPairSpec::MlDsa87, algorithm, &vectors!("mldsa_87_verify", "ML-DSA-87", 8));
}

#[test]
fn ml_dsa_seeds() {
    for (spec, vectors) in [
        (KeyPairSpec::MlDsa44, vectors!("mldsa_44_sign_seed", "ML-DSA-44", 2)),
        (KeyPairSpec::MlDsa65, vectors!("mldsa_65_sign_seed", "ML-DSA-65", 2)),
        (KeyPairSpec::MlDsa87, vectors!("mldsa_87_sign_seed", "ML-DSA-87", 2)),
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

/// With SHA-1 and more than 2048 bits, Wycheproof has good ciphertexts only.
#[test]
fn rsa_oaep() {
    let algorithms = [
        ("SHA-1", EncryptionAlgorithm::RsaesOaepSha1),
        ("SHA-256", EncryptionAlgorithm::RsaesOaepSha256),
    ];
    let files = [
        vectors!("rsa_oaep_2048_sha1_mgf1sha1", "RSAES-OAEP", 17),
        vectors!("rsa_oaep_2048_sha256_mgf1sha256", "RSAES-OAEP", 17),
        vectors!("rsa_oaep_3072_sha256_mgf1sha256", "RSAES-OAEP", 6),
        vectors!("rsa_oaep_4096_sha256_mgf1sha256", "RSAES-OAEP", 6),
        vectors!("rsa_oaep_misc", "RSAES-OAEP", 9),
    ];
    let mut covered = HashSet::new();
    for case in files.iter().flat_map(Vectors::cases) {
        let (spec, algorithm) = (case.rsa_spec(), case.by_hash(&algorithms));
        let key = KeyPair::from_pkcs8(spec, &case.bytes("privateKeyPkcs8")).unwrap();
        let opened = key.decrypt(algorithm, &case.bytes("ct"));
        // AWS's OAEP has no label, so a ciphertext with one is not ours.
        let is_ours = case.has_one_hash() && case.bytes("label").is_empty();
        let expected = (case.is_valid() && is_ours).then(|| case.bytes("msg"));
        if expected.is_some() {
            covered.insert((spec, algorithm));
        }
        assert_eq!(opened.ok().map(|opened| opened.to_vec()), expected, "{}", case.at);
    }
    let pairs = |spec| algorithms.iter().map(move |(_, algorithm)| (spec, *algorithm));
    assert_eq!(covered, RSA_SPECS.into_iter().flat_map(pairs).collect());
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
    check_ecdh(KeyPairSpec::EccNistP256, 32, &vectors!("ecdh_secp256r1", "ECDH", 48));
    check_ecdh(KeyPairSpec::EccNistP384, 48, &vectors!("ecdh_secp384r1", "ECDH", 36));
    check_ecdh(KeyPairSpec::EccNistP521, 66, &vectors!("ecdh_secp521r1", "ECDH", 39));
}

#[test]
fn ml_kem_decapsulate() {
    for (spec, vectors) in [
        (KeyPairSpec::MlKem512, vectors!("mlkem_512_semi_expanded_decaps", "ML-KEM", 5)),
        (KeyPairSpec::MlKem768, vectors!("mlkem_768_semi_expanded_decaps", "ML-KEM", 3)),
        (KeyPairSpec::MlKem1024, vectors!("mlkem_1024_semi_expanded_decaps", "ML-KEM", 3)),
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

/// The vectors' ciphertexts and secrets come of a message that they give; aws-lc-rs draws its own,
/// and takes none. So the keys alone are judged, and what is encapsulated for a good one by its
/// length. `ml_kem_decapsulate` judges the arithmetic.
#[test]
fn ml_kem_encapsulate_takes_keys_and_nothing_else() {
    for (spec, ciphertext_bytes, vectors) in [
        (KeyPairSpec::MlKem512, 768, vectors!("mlkem_512_encaps", "ML-KEM", 6)),
        (KeyPairSpec::MlKem768, 1088, vectors!("mlkem_768_encaps", "ML-KEM", 6)),
        (KeyPairSpec::MlKem1024, 1568, vectors!("mlkem_1024_encaps", "ML-KEM", 6)),
    ] {
        for case in vectors.cases() {
            let bits = der(0x03, &[&[0], &case.bytes("ek")]);
            let public_key = PublicKeyDer(der(0x30, &[&identifier(spec), &bits]));
            let made = encapsulate(spec, &public_key).ok().map(|made| made.ciphertext.len());
            assert_eq!(made, case.is_valid().then_some(ciphertext_bytes), "{}", case.at);
        }
    }
}

#[test]
fn hmac() {
    for (spec, vectors) in [
        (MacSpec::Hmac224, vectors!("hmac_sha224", "HMACSHA224", 24)),
        (MacSpec::Hmac256, vectors!("hmac_sha256", "HMACSHA256", 24)),
        (MacSpec::Hmac384, vectors!("hmac_sha384", "HMACSHA384", 24)),
        (MacSpec::Hmac512, vectors!("hmac_sha512", "HMACSHA512", 24)),
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
    for case in vectors!("aes_kwp", "AES-KWP", 38).cases() {
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
    for case in vectors!("aes_gcm", "AES-GCM", 44).cases() {
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
