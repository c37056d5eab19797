//! Door: KMS Encrypt and Decrypt of a caller's bytes, data keys among them.
//!
//! Each message has a key of its own, derived from the key's material and a fresh salt, so no nonce
//! can repeat and no count of messages is too high. The blob's layout is in `docs/formats/keys.md`.

pub(crate) use crypto::aead::{Forged, Tag};
use crypto::kdf::{Label, one_time_key};
use crypto::key_pair;
use crypto::{DataKey, EncryptionAlgorithm, Entropy, Id, Salt, WrappedDataKey};
use zeroize::Zeroizing;

use crate::asymmetric::{self, PairError};
use crate::authorize::{MayOpen, MayWrap};
use crate::key_record::GeneratedDataKey;
use crate::material::{MaterialError, OpenedMaterial};
use crate::use_material::UseMaterial;
use crate::{DomainRing, EncryptionContext};

const LABEL: Label = Label("sealane/kms-message/1");
const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 16 + 16 + Salt::LEN;
/// The longest plaintext, as in AWS KMS.
pub const PLAINTEXT_BYTES_MAX: usize = 4096;
/// The longest blob.
pub const BLOB_BYTES_MAX: usize = HEADER_LEN + PLAINTEXT_BYTES_MAX + Tag::LEN;

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum EncryptError {
    #[error("the plaintext is {0} bytes long; 1 to {PLAINTEXT_BYTES_MAX} are allowed")]
    PlaintextLength(usize),
    #[error(transparent)]
    Material(#[from] MaterialError),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum DecryptError {
    #[error("the ciphertext is {0} bytes long, which no ciphertext of this KMS is")]
    Length(usize),
    #[error("the ciphertext has format version {0}; this program knows version {VERSION}")]
    Version(u8),
    #[error("the ciphertext was made with key {0}, not with the one given")]
    OtherKey(Id),
    #[error("key {key} has no material {material}")]
    UnknownMaterial { key: Id, material: Id },
    #[error(
        "the ciphertext was changed, or the encryption context is not the one it was made with"
    )]
    Forged,
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// # Errors
/// [`EncryptError`] if the plaintext is empty or too long, or the key's material cannot be had.
pub fn encrypt(
    permit: &MayWrap<'_>,
    ring: &DomainRing,
    plaintext: &[u8],
    context: &EncryptionContext,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, EncryptError> {
    encrypt_with(permit, &permit.open(permit.newest(), ring)?, plaintext, context, entropy)
}

/// As [`encrypt`], with the key's newest material opened before.
///
/// # Errors
/// [`EncryptError`] if the plaintext is empty or too long, or this is not that material.
pub fn encrypt_with(
    permit: &MayWrap<'_>,
    opened: &OpenedMaterial,
    plaintext: &[u8],
    context: &EncryptionContext,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, EncryptError> {
    if !(1..=PLAINTEXT_BYTES_MAX).contains(&plaintext.len()) {
        return Err(EncryptError::PlaintextLength(plaintext.len()));
    }
    let key = permit.key().id;
    let material = opened.id();
    // Room for all of it at once: a reallocation would leave a copy of the plaintext behind.
    let mut blob = Vec::with_capacity(HEADER_LEN + plaintext.len() + Tag::LEN);
    blob.push(VERSION);
    blob.extend(key.as_bytes());
    blob.extend(material.as_bytes());
    let aad = aad(&blob, context);
    let salt = entropy.salt();
    blob.extend(salt.0);
    blob.extend(plaintext);
    let place = MessagePlace { key, material, salt: &salt };
    let tag = opened.used_for(key, |secret| secret.seal(place, &aad, &mut blob[HEADER_LEN..]))?;
    blob.extend(tag.0);
    Ok(blob)
}

/// # Errors
/// [`DecryptError`]: the blob is not what `permit`'s key made with this `context`.
pub fn decrypt(
    permit: &MayOpen<'_>,
    ring: &DomainRing,
    blob: &[u8],
    context: &EncryptionContext,
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let id = material_of_blob(permit.key().id, blob)?;
    let unknown = DecryptError::UnknownMaterial { key: permit.key().id, material: id };
    let material = permit.material(&id).ok_or(unknown)?;
    decrypt_with(permit, &permit.open(material, ring)?, blob, context)
}

/// As [`decrypt`], with the material that [`material_of_blob`] named opened before.
///
/// # Errors
/// As [`decrypt`].
pub fn decrypt_with(
    permit: &MayOpen<'_>,
    opened: &OpenedMaterial,
    blob: &[u8],
    context: &EncryptionContext,
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let parsed = Parsed::read(blob)?;
    let key = permit.key().id;
    if parsed.key != key {
        return Err(DecryptError::OtherKey(parsed.key));
    }
    if parsed.material != opened.id() {
        return Err(DecryptError::UnknownMaterial { key, material: parsed.material });
    }
    let place = MessagePlace { key, material: parsed.material, salt: &parsed.salt };
    let aad = aad(parsed.authenticated_header, context);
    let mut plaintext = Zeroizing::new(parsed.body.to_vec());
    opened
        .used_for(key, |secret| secret.open(place, &aad, &mut plaintext, &parsed.tag))?
        .map_err(|_| DecryptError::Forged)?;
    Ok(plaintext)
}

/// Which material of `key` a blob says it was made with: authenticated by [`decrypt_with`].
///
/// # Errors
/// [`DecryptError`] if this is no blob of `key`.
pub fn material_of_blob(key: Id, blob: &[u8]) -> Result<Id, DecryptError> {
    let parsed = Parsed::read(blob)?;
    if parsed.key == key { Ok(parsed.material) } else { Err(DecryptError::OtherKey(parsed.key)) }
}

/// RSAES-OAEP, whose blobs are the bare ciphertext: whoever decrypts names key and algorithm.
///
/// # Errors
/// [`PairError`] if the key does not encrypt so, or `plaintext` is too long for it.
pub fn encrypt_with_pair(
    permit: &MayWrap<'_>,
    algorithm: EncryptionAlgorithm,
    plaintext: &[u8],
) -> Result<Vec<u8>, PairError> {
    let (spec, public) = asymmetric::public(permit)?;
    Ok(key_pair::encrypt(spec, &public, algorithm, plaintext)?)
}

/// # Errors
/// [`PairError`] if the key does not decrypt so, or for any fault of `ciphertext`.
pub fn decrypt_with_pair(
    permit: &MayOpen<'_>,
    opened: &OpenedMaterial,
    algorithm: EncryptionAlgorithm,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PairError> {
    Ok(opened.used_for(permit.key().id, |secret| secret.decrypt(algorithm, ciphertext))??)
}

/// A fresh data key, and the same encrypted under the key.
///
/// # Errors
/// As [`encrypt`].
pub fn generate_data_key(
    permit: &MayWrap<'_>,
    ring: &DomainRing,
    context: &EncryptionContext,
    entropy: &mut dyn Entropy,
) -> Result<GeneratedDataKey, EncryptError> {
    let bytes = DataKey::generate(entropy).release_to_caller();
    let wrapped = WrappedDataKey(encrypt(permit, ring, &bytes[..], context, entropy)?);
    Ok(GeneratedDataKey { key: DataKey::from_caller(&bytes[..]).expect("32 bytes in"), wrapped })
}

/// # Errors
/// As [`decrypt`], and if what was encrypted is not a data key.
pub fn unwrap_data_key(
    permit: &MayOpen<'_>,
    ring: &DomainRing,
    wrapped: &WrappedDataKey,
    context: &EncryptionContext,
) -> Result<DataKey, DecryptError> {
    let plaintext = decrypt(permit, ring, &wrapped.0, context)?;
    DataKey::from_caller(&plaintext).ok_or(DecryptError::Length(wrapped.0.len()))
}

/// The key that `blob` says it was made with: a hint for finding it, authenticated by [`decrypt`].
///
/// # Errors
/// [`DecryptError`] if this is no blob.
pub fn key_of_blob(blob: &[u8]) -> Result<Id, DecryptError> {
    Parsed::read(blob).map(|parsed| parsed.key)
}

/// What the key of one message is derived from, beside the material.
#[derive(Clone, Copy)]
pub(crate) struct MessagePlace<'s> {
    pub(crate) key: Id,
    pub(crate) material: Id,
    pub(crate) salt: &'s Salt,
}

impl UseMaterial for DataKey {
    fn seal(&self, place: MessagePlace<'_>, aad: &[u8], message: &mut [u8]) -> Option<Tag> {
        Some(message_key(self, place).seal(aad, message))
    }

    fn open(
        &self,
        place: MessagePlace<'_>,
        aad: &[u8],
        message: &mut [u8],
        tag: &Tag,
    ) -> Option<Result<(), Forged>> {
        Some(message_key(self, place).open(aad, message, tag))
    }
}

fn message_key(parent: &DataKey, place: MessagePlace<'_>) -> crypto::aead::OneTimeKey {
    let context = [&place.key.as_bytes()[..], place.material.as_bytes()];
    one_time_key(parent, LABEL, &context, place.salt)
}

fn aad(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    [header, &context.canonical()].concat()
}

struct Parsed<'b> {
    /// Version, key and material; the salt is authenticated by being part of the derivation.
    authenticated_header: &'b [u8],
    key: Id,
    material: Id,
    salt: Salt,
    body: &'b [u8],
    tag: Tag,
}

impl<'b> Parsed<'b> {
    fn read(blob: &'b [u8]) -> Result<Self, DecryptError> {
        let length = DecryptError::Length(blob.len());
        if let Some(&version) = blob.first()
            && version != VERSION
        {
            return Err(DecryptError::Version(version));
        }
        if blob.len() > BLOB_BYTES_MAX {
            return Err(length);
        }
        let (header, rest) = blob.split_first_chunk::<HEADER_LEN>().ok_or(length)?;
        let (body, tag) = rest.split_last_chunk::<{ Tag::LEN }>().ok_or(length)?;
        if body.is_empty() {
            return Err(length);
        }
        Ok(Self {
            authenticated_header: &header[..33],
            key: Id::from_bytes(header[1..17].try_into().expect("16 bytes")),
            material: Id::from_bytes(header[17..33].try_into().expect("16 bytes")),
            salt: Salt(header[33..].try_into().expect("16 bytes")),
            body,
            tag: Tag(*tag),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::{Principal, may_open, may_wrap};
    use crate::key_record::{KeyRecord, KeySpec, NewKey, Owner, RotationKind, UnixSeconds};
    use crate::test_kit::{Counting, ring};

    const BLOB_BYTES_OF_NOTHING: usize = HEADER_LEN + Tag::LEN;

    fn record() -> KeyRecord {
        let new = NewKey::of(Owner::Cell, KeySpec::SymmetricDefault, "");
        KeyRecord::generate(new, &ring(1), UnixSeconds(1), &mut Counting::default())
    }

    fn context(value: &str) -> EncryptionContext {
        EncryptionContext::of([("name", value.to_owned())]).unwrap()
    }

    fn seal(record: &KeyRecord, plaintext: &[u8]) -> Result<Vec<u8>, EncryptError> {
        let context = context("a");
        let permit = may_wrap(&Principal::Cell, record, &context).unwrap();
        encrypt(&permit, &ring(1), plaintext, &context, &mut Counting::default())
    }

    fn open(record: &KeyRecord, blob: &[u8], value: &str) -> Result<Vec<u8>, DecryptError> {
        let context = context(value);
        let permit = may_open(&Principal::Cell, record, &context).unwrap();
        decrypt(&permit, &ring(1), blob, &context).map(|plaintext| plaintext.to_vec())
    }

    #[test]
    fn old_material_still_opens_after_rotation() {
        let record = record();
        let old = seal(&record, b"attack").unwrap();
        let rotated = record
            .clone()
            .rotate(RotationKind::OnDemand, &ring(1), UnixSeconds(2), &mut Counting::default())
            .unwrap();
        let new = seal(&rotated, b"attack").unwrap();
        assert_eq!(open(&rotated, &old, "a").unwrap(), b"attack");
        assert_eq!(open(&rotated, &new, "a").unwrap(), b"attack");
        let material = rotated.newest_material().unwrap().id;
        let unknown = DecryptError::UnknownMaterial { key: record.id, material };
        assert_eq!(open(&record, &new, "a"), Err(unknown));
    }

    #[test]
    fn another_context_or_key_opens_nothing() {
        let record = record();
        let blob = seal(&record, b"attack").unwrap();
        assert_eq!(key_of_blob(&blob), Ok(record.id));
        assert_eq!(open(&record, &blob, "b"), Err(DecryptError::Forged));
        let mut other = record.clone();
        other.id = crate::test_kit::id(9);
        assert_eq!(open(&other, &blob, "a"), Err(DecryptError::OtherKey(record.id)));
    }

    #[test]
    fn plaintext_lengths_at_the_limits() {
        let record = record();
        assert_eq!(seal(&record, b""), Err(EncryptError::PlaintextLength(0)));
        let longest = vec![7; PLAINTEXT_BYTES_MAX];
        let blob = seal(&record, &longest).unwrap();
        assert_eq!(blob.len(), BLOB_BYTES_MAX);
        assert_eq!(open(&record, &blob, "a").unwrap(), longest);
        let long = [&blob[..], &[0]].concat();
        assert_eq!(open(&record, &long, "a"), Err(DecryptError::Length(long.len())));
        let too_long = vec![7; PLAINTEXT_BYTES_MAX + 1];
        assert_eq!(
            seal(&record, &too_long),
            Err(EncryptError::PlaintextLength(PLAINTEXT_BYTES_MAX + 1))
        );
    }

    #[test]
    fn any_flipped_bit_or_cut_is_refused() {
        let record = record();
        let blob = seal(&record, b"attack").unwrap();
        for bit in 0..blob.len() * 8 {
            let mut forged = blob.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let id = |at: usize| Id::from_bytes(forged[at..at + 16].try_into().unwrap());
            let expected = match bit / 8 {
                0 => DecryptError::Version(forged[0]),
                1..17 => DecryptError::OtherKey(id(1)),
                17..33 => DecryptError::UnknownMaterial { key: record.id, material: id(17) },
                _ => DecryptError::Forged,
            };
            assert_eq!(open(&record, &forged, "a"), Err(expected), "bit {bit}");
        }
        for len in 0..blob.len() {
            let expected = match len {
                0..=BLOB_BYTES_OF_NOTHING => DecryptError::Length(len),
                _ => DecryptError::Forged,
            };
            assert_eq!(open(&record, &blob[..len], "a"), Err(expected), "cut to {len}");
        }
    }

    #[test]
    fn a_data_key_comes_back_as_it_went() {
        let (record, context) = (record(), context("volume"));
        let permit = may_wrap(&Principal::Cell, &record, &context).unwrap();
        let made =
            generate_data_key(&permit, &ring(1), &context, &mut Counting::default()).unwrap();
        let permit = may_open(&Principal::Cell, &record, &context).unwrap();
        let again = unwrap_data_key(&permit, &ring(1), &made.wrapped, &context).unwrap();
        assert_eq!(made.key.release_to_caller()[..], again.release_to_caller()[..]);
        let short = WrappedDataKey(seal(&record, b"attack").unwrap());
        assert!(unwrap_data_key(&permit, &ring(1), &short, &context).is_err());
    }
}
