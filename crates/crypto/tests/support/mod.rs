//! What the published vectors need: hex, as much DER as it takes to build a key, and AES-GCM called
//! as `crypto::aead` calls it, but with the vector's nonce.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "hex: {text}");
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

pub(crate) fn gcm_seal(
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = plaintext.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let tag = gcm(key).seal_in_place_separate_tag(nonce, Aad::from(aad), &mut bytes).unwrap();
    (bytes, tag.as_ref().to_vec())
}

pub(crate) fn gcm_open(
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Option<Vec<u8>> {
    let mut bytes = ciphertext.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let opened = gcm(key).open_in_place_separate_tag(nonce, Aad::from(aad), tag, &mut bytes);
    opened.is_ok().then_some(bytes)
}

fn gcm(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
}
