//! What the cryptography of a request costs by itself, in this process.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};

use super::figures::Spread;
use crate::Error;

/// A primitive, and microseconds for each use of it.
pub(super) struct Primitive {
    pub(super) name: &'static str,
    pub(super) micros: Spread,
}

const BATCHES: usize = 7;
const PER_BATCH: u32 = 20_000;

pub(super) fn measure() -> Result<Vec<Primitive>, Error> {
    let bytes = [7; 512];
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes[..32]);
    Ok(vec![
        time("derive a key, AES-256-GCM of 256 bytes under it", seal_under_new_key)?,
        time("HMAC-SHA-256 of 128 bytes", || {
            black_box(hmac::sign(&key, black_box(&bytes[..128])));
            Ok(())
        })?,
        time("SHA-256 of 512 bytes", || {
            black_box(digest(&SHA256, black_box(&bytes)));
            Ok(())
        })?,
    ])
}

fn time(
    name: &'static str,
    mut once: impl FnMut() -> Result<(), Unspecified>,
) -> Result<Primitive, Error> {
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let started = Instant::now();
        for _ in 0..PER_BATCH {
            once()?;
        }
        batches.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(PER_BATCH));
    }
    let micros = Spread::of(batches).ok_or("nothing was measured")?;
    Ok(Primitive { name, micros })
}

/// As for every ciphertext of a KMS: SP 800-108 in counter mode makes a key that seals once.
fn seal_under_new_key() -> Result<(), Unspecified> {
    let algorithm =
        get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).ok_or(Unspecified)?;
    let mut key = [0; 32];
    kbkdf_ctr_hmac(algorithm, black_box(&[7; 32]), black_box(&[1; 96]), &mut key)?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?);
    let mut bytes = [9; 256];
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let aad = Aad::from(black_box([3; 64]));
    let _tag = black_box(key.seal_in_place_separate_tag(nonce, aad, black_box(&mut bytes))?);
    Ok(())
}
