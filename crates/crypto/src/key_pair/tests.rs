use std::sync::OnceLock;

use super::*;
use SigningAlgorithm::{
    EcdsaSha256, EcdsaSha512, Ed25519Sha512, MlDsaShake256, RsassaPkcs1V15Sha256, RsassaPssSha384,
};

/// One key of each kind for all tests: making a long RSA key takes seconds.
fn key(spec: KeyPairSpec) -> &'static KeyPair {
    static KEYS: [OnceLock<KeyPair>; KeyPairSpec::ALL.len()] =
        [const { OnceLock::new() }; KeyPairSpec::ALL.len()];
    let index = KeyPairSpec::ALL.iter().position(|other| *other == spec).unwrap();
    KEYS[index].get_or_init(|| KeyPair::generate(spec))
}

fn check(
    key: &KeyPair,
    algorithm: SigningAlgorithm,
    message: Message<'_>,
    signature: &[u8],
) -> Result<(), VerifyError> {
    verify(key.spec(), &key.public_key(), algorithm, message, signature)
}

/// A digest that belongs to `message`, for the algorithms that sign one.
fn digest(algorithm: SigningAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
    let hash = match algorithm.digest_bytes()? {
        32 => &SHA256,
        48 => &SHA384,
        _ => &SHA512,
    };
    Some(digest(hash, message).as_ref().to_vec())
}

#[test]
fn keys_may_cross_threads_and_say_nothing() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<KeyPair>();
    assert_eq!(format!("{:?}", key(KeyPairSpec::MlKem512)), "KeyPair(ML_KEM_512, ..)");
}

#[test]
fn a_stored_key_is_the_same_key() {
    for spec in KeyPairSpec::ALL {
        let pkcs8 = key(spec).release_pkcs8();
        let copy = KeyPair::from_pkcs8(spec, &pkcs8).unwrap();
        assert_eq!(copy.public_key(), key(spec).public_key(), "{spec:?}");
        assert_eq!(*copy.release_pkcs8(), *pkcs8, "{spec:?}");
        assert_eq!(copy.public_key().is_of(spec), Ok(()), "{spec:?}");
        for algorithm in spec.signing_algorithms() {
            let signature = copy.sign(*algorithm, Message::Raw(b"report")).unwrap();
            assert_eq!(check(key(spec), *algorithm, Message::Raw(b"report"), &signature), Ok(()));
        }
    }
}

#[test]
fn a_key_of_one_kind_is_not_of_another() {
    for spec in KeyPairSpec::ALL {
        let (pkcs8, public) = (key(spec).release_pkcs8(), key(spec).public_key());
        for other in KeyPairSpec::ALL.into_iter().filter(|other| *other != spec) {
            assert_eq!(KeyPair::from_pkcs8(other, &pkcs8).unwrap_err(), NotAKey, "{other:?}");
            assert_eq!(public.is_of(other), Err(NotAKey), "{spec:?} for {other:?}");
            assert!(encapsulate(other, &public).is_err());
        }
    }
}

#[test]
fn a_key_with_bytes_missing_or_behind_it_is_refused() {
    for spec in KeyPairSpec::ALL {
        let (pkcs8, public) = (key(spec).release_pkcs8(), key(spec).public_key().0);
        for bytes in [&[&pkcs8[..], &[0]].concat(), &pkcs8[..pkcs8.len() - 1], &[], &public] {
            assert_eq!(KeyPair::from_pkcs8(spec, bytes).unwrap_err(), NotAKey, "{spec:?}");
        }
        for bytes in [[&public[..], &[0]].concat(), public[..public.len() - 1].to_vec()] {
            assert_eq!(PublicKeyDer(bytes).is_of(spec), Err(NotAKey), "{spec:?}");
        }
    }
}

/// Not every flipped bit of a key shows (Ed25519 and ML-DSA seeds are any bytes): none may panic,
/// and a private key that has its public key beside it must still belong to it.
#[test]
fn a_damaged_key_is_refused_or_another_key() {
    for spec in KeyPairSpec::ALL {
        let pkcs8 = key(spec).release_pkcs8();
        for index in (0..pkcs8.len()).step_by(pkcs8.len() / 40 + 1) {
            let mut damaged = pkcs8.to_vec();
            damaged[index] ^= 4;
            let Ok(parsed) = KeyPair::from_pkcs8(spec, &damaged) else { continue };
            let is_seed = pkcs8.len() < 100;
            // The last 32 bytes of an ML-KEM key are the secret of implicit rejection.
            let is_rejection = spec.can_decapsulate() && index >= pkcs8.len() - 32;
            assert!(is_seed || is_rejection, "{spec:?}: byte {index} does not matter");
            assert_eq!(parsed.public_key().is_of(spec), Ok(()));
        }
    }
}

#[test]
fn what_is_signed_verifies_raw_and_as_a_digest() {
    for spec in KeyPairSpec::ALL {
        for algorithm in spec.signing_algorithms() {
            let raw = Message::Raw(b"report");
            let signature = key(spec).sign(*algorithm, raw).unwrap();
            assert_eq!(check(key(spec), *algorithm, raw, &signature), Ok(()), "{algorithm:?}");
            let Some(digest) = digest(*algorithm, b"report") else { continue };
            let digest = Message::Digest(&digest);
            assert_eq!(check(key(spec), *algorithm, digest, &signature), Ok(()), "{algorithm:?}");
            let signature = key(spec).sign(*algorithm, digest).unwrap();
            assert_eq!(check(key(spec), *algorithm, raw, &signature), Ok(()), "{algorithm:?}");
        }
    }
}

#[test]
fn anything_changed_is_a_mismatch() {
    for spec in KeyPairSpec::ALL {
        for algorithm in spec.signing_algorithms() {
            let raw = Message::Raw(b"report");
            let mut signature = key(spec).sign(*algorithm, raw).unwrap();
            let mismatch = Err(VerifyError::Mismatch);
            assert_eq!(check(key(spec), *algorithm, Message::Raw(b"repost"), &signature), mismatch);
            for index in (0..signature.len()).step_by(signature.len() / 8) {
                signature[index] ^= 1;
                assert_eq!(check(key(spec), *algorithm, raw, &signature), mismatch, "{index}");
                signature[index] ^= 1;
            }
            assert_eq!(check(key(spec), *algorithm, raw, &signature[1..]), mismatch);
            assert_eq!(check(key(spec), *algorithm, raw, &[]), mismatch);
            signature.push(0);
            assert_eq!(check(key(spec), *algorithm, raw, &signature), mismatch);
            signature.pop();
            for other in spec.signing_algorithms().iter().filter(|other| *other != algorithm) {
                assert_eq!(check(key(spec), *other, raw, &signature), mismatch, "{other:?}");
            }
        }
    }
}

#[test]
fn another_key_is_a_mismatch_and_another_kind_not_a_key() {
    let signature = key(KeyPairSpec::EccNistP256).sign(EcdsaSha256, Message::Raw(b"")).unwrap();
    let with = |public_key: &PublicKeyDer| {
        verify(KeyPairSpec::EccNistP256, public_key, EcdsaSha256, Message::Raw(b""), &signature)
    };
    let stranger = KeyPair::generate(KeyPairSpec::EccNistP256);
    assert_eq!(with(&stranger.public_key()), Err(VerifyError::Mismatch));
    let other_kind = key(KeyPairSpec::EccSecgP256k1).public_key();
    assert_eq!(with(&other_kind), Err(VerifyError::NotAKey(NotAKey)));
    // The library would take the raw point, too.
    let raw_point = PublicKeyDer(key(KeyPairSpec::EccNistP256).public_key().0[26..].to_vec());
    assert_eq!(with(&raw_point), Err(VerifyError::NotAKey(NotAKey)));
}

#[test]
fn keys_do_only_what_their_kind_does() {
    for spec in KeyPairSpec::ALL {
        for algorithm in SigningAlgorithm::ALL {
            if spec.signing_algorithms().contains(&algorithm) {
                continue;
            }
            let signed = key(spec).sign(algorithm, Message::Raw(b""));
            assert_eq!(signed, Err(SignError::Algorithm), "{spec:?} {algorithm:?}");
            let checked = check(key(spec), algorithm, Message::Raw(b""), &[0; 64]);
            assert_eq!(checked, Err(VerifyError::Algorithm), "{spec:?} {algorithm:?}");
        }
        for algorithm in EncryptionAlgorithm::ALL {
            if spec.encryption_algorithms().is_empty() {
                let public_key = key(spec).public_key();
                let encrypted = encrypt(spec, &public_key, algorithm, b"x");
                assert_eq!(encrypted, Err(EncryptError::Algorithm));
                assert_eq!(key(spec).decrypt(algorithm, b"x"), Err(DecryptError::Algorithm));
            }
        }
        if !spec.can_agree() {
            let agreed = key(spec).agree(&key(spec).public_key());
            assert_eq!(agreed, Err(AgreeError::Algorithm), "{spec:?}");
        }
        if !spec.can_decapsulate() {
            assert_eq!(key(spec).decapsulate(&[0; 768]), Err(DecapsulateError::Algorithm));
            let made = encapsulate(spec, &key(spec).public_key());
            assert_eq!(made.unwrap_err(), EncapsulateError::Algorithm);
        }
    }
}

#[test]
fn a_digest_has_the_length_of_its_hash() {
    for (spec, algorithm, expected) in [
        (KeyPairSpec::Rsa2048, RsassaPssSha384, 48),
        (KeyPairSpec::Rsa2048, RsassaPkcs1V15Sha256, 32),
        (KeyPairSpec::EccNistP521, EcdsaSha512, 64),
    ] {
        for length in [0, 20, 32, 48, 64].into_iter().filter(|length| *length != expected) {
            let digest = vec![7; length];
            let error = MessageError::DigestLength { expected };
            let signed = key(spec).sign(algorithm, Message::Digest(&digest));
            assert_eq!(signed, Err(SignError::Message(error)));
            let checked = check(key(spec), algorithm, Message::Digest(&digest), &[0; 256]);
            assert_eq!(checked, Err(VerifyError::Message(error)));
        }
    }
}

/// Known and wrong: AWS signs μ with ML-DSA keys, which the library does not do.
#[test]
fn what_must_see_the_message_signs_nothing_else() {
    let refused = Err(SignError::Message(MessageError::Kind));
    let kinds = [Message::Digest(&[7; 64]), Message::ExternalMu(&[7; 64])];
    for message in kinds {
        let key = key(KeyPairSpec::EccNistEdwards25519);
        assert_eq!(key.sign(Ed25519Sha512, message), refused);
    }
    for message in kinds {
        assert_eq!(key(KeyPairSpec::MlDsa44).sign(MlDsaShake256, message), refused);
    }
    let mu = Message::ExternalMu(&[7; 64]);
    assert_eq!(key(KeyPairSpec::EccNistP256).sign(EcdsaSha256, mu), refused);
}

#[test]
fn what_is_encrypted_decrypts_up_to_the_limit() {
    for spec in [KeyPairSpec::Rsa2048, KeyPairSpec::Rsa3072, KeyPairSpec::Rsa4096] {
        let public_key = key(spec).public_key();
        for algorithm in EncryptionAlgorithm::ALL {
            let max = spec.plaintext_bytes_max(algorithm).unwrap();
            for length in [0, 1, 32, max] {
                let plaintext = vec![9; length];
                let ciphertext = encrypt(spec, &public_key, algorithm, &plaintext).unwrap();
                assert_eq!(Some(ciphertext.len()), spec.modulus_bytes());
                assert_eq!(*key(spec).decrypt(algorithm, &ciphertext).unwrap(), plaintext);
            }
            let encrypted = encrypt(spec, &public_key, algorithm, &vec![9; max + 1]);
            assert_eq!(encrypted, Err(EncryptError::PlaintextTooLong { max }));
        }
    }
}

#[test]
fn a_changed_ciphertext_is_refused() {
    use EncryptionAlgorithm::{RsaesOaepSha1, RsaesOaepSha256};
    let key = key(KeyPairSpec::Rsa2048);
    let ciphertext =
        encrypt(KeyPairSpec::Rsa2048, &key.public_key(), RsaesOaepSha256, b"canary").unwrap();
    let refused = Err(DecryptError::Refused);
    for index in [0, 1, 100, 255] {
        let mut changed = ciphertext.clone();
        changed[index] ^= 1;
        assert_eq!(key.decrypt(RsaesOaepSha256, &changed), refused);
    }
    assert_eq!(key.decrypt(RsaesOaepSha1, &ciphertext), refused);
    assert_eq!(key.decrypt(RsaesOaepSha256, &ciphertext[1..]), refused);
    assert_eq!(key.decrypt(RsaesOaepSha256, &[&ciphertext[..], &[0]].concat()), refused);
    assert_eq!(key.decrypt(RsaesOaepSha256, &[]), refused);
    let stranger = KeyPair::generate(KeyPairSpec::Rsa2048);
    assert_eq!(stranger.decrypt(RsaesOaepSha256, &ciphertext), refused);
    let longer = encrypt(KeyPairSpec::Rsa3072, &key.public_key(), RsaesOaepSha256, b"canary");
    assert_eq!(longer, Err(EncryptError::NotAKey(NotAKey)));
}

#[test]
fn both_sides_agree() {
    for (spec, length) in [
        (KeyPairSpec::EccNistP256, 32),
        (KeyPairSpec::EccNistP384, 48),
        (KeyPairSpec::EccNistP521, 66),
    ] {
        let other = KeyPair::generate(spec);
        let ours = key(spec).agree(&other.public_key()).unwrap();
        assert_eq!(ours, other.agree(&key(spec).public_key()).unwrap());
        assert_eq!(ours.len(), length);
        assert_ne!(ours, key(spec).agree(&key(spec).public_key()).unwrap());
        for stranger in KeyPairSpec::ALL.into_iter().filter(|stranger| *stranger != spec) {
            let agreed = key(spec).agree(&key(stranger).public_key());
            assert_eq!(agreed, Err(AgreeError::PeerKey), "{stranger:?}");
        }
    }
}

#[test]
fn a_point_off_the_curve_is_refused() {
    let key = key(KeyPairSpec::EccNistP256);
    let peer = KeyPair::generate(KeyPairSpec::EccNistP256).public_key();
    for index in [27, 40, peer.0.len() - 1] {
        let mut off = peer.clone();
        off.0[index] ^= 1;
        assert_eq!(key.agree(&off), Err(AgreeError::PeerKey));
    }
    let mut zero = peer.clone();
    zero.0[27..].fill(0);
    assert_eq!(key.agree(&zero), Err(AgreeError::PeerKey));
    // Infinity, whose encoding is one zero byte, in a BIT STRING of that length.
    let mut infinity = peer.0[..23].to_vec();
    infinity[1] = 0x13 + 2 + 4;
    infinity.extend([0x03, 2, 0, 0]);
    assert_eq!(key.agree(&PublicKeyDer(infinity)), Err(AgreeError::PeerKey));
    assert_eq!(key.agree(&PublicKeyDer(peer.0[26..].to_vec())), Err(AgreeError::PeerKey));
}

#[test]
fn what_is_encapsulated_is_decapsulated() {
    for spec in KeyPairSpec::ALL.into_iter().filter(|spec| spec.can_decapsulate()) {
        let made = encapsulate(spec, &key(spec).public_key()).unwrap();
        assert_eq!(key(spec).decapsulate(&made.ciphertext).unwrap(), made.shared_secret);
        let again = encapsulate(spec, &key(spec).public_key()).unwrap();
        assert_ne!(made.shared_secret, again.shared_secret);
        assert_eq!(
            format!("{made:?}"),
            format!("Encapsulated({} bytes, ..)", made.ciphertext.len())
        );

        let expected = made.ciphertext.len();
        for wrong in [&made.ciphertext[1..], &[], &[&made.ciphertext[..], &[0]].concat()] {
            let error = DecapsulateError::CiphertextLength { expected };
            assert_eq!(key(spec).decapsulate(wrong), Err(error));
        }
    }
}

/// FIPS 203, section 6.3: implicit rejection, which is the same each time and tells nothing.
#[test]
fn a_changed_ciphertext_gives_another_secret() {
    let key = key(KeyPairSpec::MlKem768);
    let made = encapsulate(KeyPairSpec::MlKem768, &key.public_key()).unwrap();
    let mut changed = made.ciphertext.clone();
    changed[7] ^= 1;
    let secret = key.decapsulate(&changed).unwrap();
    assert_ne!(secret, made.shared_secret);
    assert_eq!(secret, key.decapsulate(&changed).unwrap());
}

/// FIPS 203, section 7.2: a coefficient is less than 3329.
#[test]
fn an_encapsulation_key_out_of_range_is_refused() {
    let mut public_key = key(KeyPairSpec::MlKem512).public_key();
    public_key.0[22] = 0xff;
    public_key.0[23] |= 0x0f;
    let made = encapsulate(KeyPairSpec::MlKem512, &public_key);
    assert_eq!(made.unwrap_err(), EncapsulateError::NotAKey(NotAKey));
}
