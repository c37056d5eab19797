//! Door: a key is wrapped under a key.
//!
//! Root wraps domain, domain wraps material, a seal's key wraps the root. The bytes are laid out in
//! `docs/formats/keys.md`. What a wrapped key is, and under which key, is authenticated: material of
//! one KMS key cannot be moved into the record of another.

use crypto::aead::Tag;
use crypto::kdf::{Label, one_time_key};
use crypto::{DataKey, Entropy, Id, Salt, WrappedDataKey};
use zeroize::Zeroizing;

const LABEL: Label = Label("sealane/wrapped-key/1");
const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 1 + 16 + Salt::LEN;
/// The longest secret that is wrapped: a private key in PKCS #8.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// What is wrapped. Stored, so a value never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Purpose {
    Root = 1,
    Domain = 2,
    StoreIndex = 3,
    SymmetricMaterial = 4,
    AsymmetricMaterial = 5,
    CredentialSecret = 6,
    MacMaterial = 7,
    ImportKey = 8,
    SessionToken = 9,
}

/// Everything a wrapped key is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    pub purpose: Purpose,
    /// The key that wraps.
    pub wrapping: Id,
    /// The key that is wrapped.
    pub wrapped: Id,
    /// Whose it is: the KMS key for material, the credential for its secret, the cell or store for
    /// what lies above.
    pub owner: Id,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum UnwrapKeyError {
    #[error("the wrapped key is {0} bytes long, which no wrapped key is")]
    Length(usize),
    #[error("the wrapped key has format version {0}; this program knows version {VERSION}")]
    Version(u8),
    #[error("the key was wrapped under key {0}, not under the one given")]
    OtherWrappingKey(Id),
    #[error("the wrapped key was changed, or does not belong where it was found")]
    Forged,
}

/// Wraps `key`, and hands it back for use.
#[must_use]
pub fn wrap_key(
    parent: &DataKey,
    binding: Binding,
    key: DataKey,
    entropy: &mut dyn Entropy,
) -> (WrappedDataKey, DataKey) {
    let bytes = key.release_to_caller();
    let wrapped = wrap_secret(parent, binding, &bytes[..], entropy);
    (wrapped, DataKey::from_caller(&bytes[..]).expect("32 bytes in"))
}

/// Wraps a secret that is not 32 bytes long: a private key in PKCS #8.
#[must_use]
pub fn wrap_secret(
    parent: &DataKey,
    binding: Binding,
    secret: &[u8],
    entropy: &mut dyn Entropy,
) -> WrappedDataKey {
    assert!(secret.len() <= SECRET_BYTES_MAX, "keys are short");
    let salt = entropy.salt();
    let mut bytes = vec![VERSION, binding.purpose as u8];
    bytes.extend(binding.wrapping.as_bytes());
    bytes.extend(salt.0);
    // Reserved at once: a reallocation would leave a copy of the secret behind.
    let mut body = Zeroizing::new(secret.to_vec());
    let tag = one_time_key(parent, LABEL, &[binding.wrapped.as_bytes()], &salt)
        .seal(&binding.aad(), &mut body);
    bytes.extend(&body[..]);
    bytes.extend(tag.0);
    WrappedDataKey(bytes)
}

/// # Errors
/// [`UnwrapKeyError`] if this is not `binding.wrapped`, wrapped under `parent`.
pub fn unwrap_key(
    parent: &DataKey,
    binding: Binding,
    wrapped: &WrappedDataKey,
) -> Result<DataKey, UnwrapKeyError> {
    let secret = unwrap_secret(parent, binding, wrapped)?;
    DataKey::from_caller(&secret).ok_or(UnwrapKeyError::Length(wrapped.0.len()))
}

/// # Errors
/// As [`unwrap_key`].
pub fn unwrap_secret(
    parent: &DataKey,
    binding: Binding,
    wrapped: &WrappedDataKey,
) -> Result<Zeroizing<Vec<u8>>, UnwrapKeyError> {
    let parsed = Parsed::read(wrapped)?;
    if parsed.wrapping != binding.wrapping {
        return Err(UnwrapKeyError::OtherWrappingKey(parsed.wrapping));
    }
    if parsed.purpose != binding.purpose as u8 {
        return Err(UnwrapKeyError::Forged);
    }
    let mut secret = Zeroizing::new(parsed.body.to_vec());
    one_time_key(parent, LABEL, &[binding.wrapped.as_bytes()], &parsed.salt)
        .open(&binding.aad(), &mut secret, &parsed.tag)
        .map_err(|_| UnwrapKeyError::Forged)?;
    Ok(secret)
}

impl Binding {
    fn aad(&self) -> Vec<u8> {
        let mut aad = vec![VERSION, self.purpose as u8];
        for id in [self.wrapping, self.wrapped, self.owner] {
            aad.extend(id.as_bytes());
        }
        aad
    }
}

struct Parsed<'a> {
    purpose: u8,
    wrapping: Id,
    salt: Salt,
    body: &'a [u8],
    tag: Tag,
}

impl<'a> Parsed<'a> {
    fn read(wrapped: &'a WrappedDataKey) -> Result<Self, UnwrapKeyError> {
        let bytes = &wrapped.0[..];
        let length = UnwrapKeyError::Length(bytes.len());
        if let Some(&version) = bytes.first()
            && version != VERSION
        {
            return Err(UnwrapKeyError::Version(version));
        }
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(length)?;
        let (body, tag) = rest.split_last_chunk::<{ Tag::LEN }>().ok_or(length)?;
        if body.is_empty() || body.len() > SECRET_BYTES_MAX {
            return Err(length);
        }
        Ok(Self {
            purpose: header[1],
            wrapping: Id::from_bytes(header[2..18].try_into().expect("16 bytes")),
            salt: Salt(header[18..].try_into().expect("16 bytes")),
            body,
            tag: Tag(*tag),
        })
    }
}

/// Why `forged` does not unwrap, a wrapped key of which this bit was flipped.
#[cfg(test)]
pub(crate) fn fault_of_flip(forged: &WrappedDataKey, bit: usize) -> UnwrapKeyError {
    match bit / 8 {
        0 => UnwrapKeyError::Version(forged.0[0]),
        2..18 => {
            let wrapping = forged.0[2..18].try_into().expect("16 bytes");
            UnwrapKeyError::OtherWrappingKey(Id::from_bytes(wrapping))
        }
        _ => UnwrapKeyError::Forged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::{Counting, id, key};

    const BYTES_OF_NOTHING: usize = HEADER_LEN + Tag::LEN;
    const BINDING: Binding = Binding {
        purpose: Purpose::Domain,
        wrapping: Id::from_bytes([1; 16]),
        wrapped: Id::from_bytes([2; 16]),
        owner: Id::from_bytes([3; 16]),
    };

    #[test]
    fn what_was_wrapped_unwraps() {
        let secret = vec![9; 138];
        let wrapped = wrap_secret(&key(1), BINDING, &secret, &mut Counting::default());
        assert_eq!(unwrap_secret(&key(1), BINDING, &wrapped).unwrap()[..], secret);
        assert_eq!(
            unwrap_key(&key(1), BINDING, &wrapped).unwrap_err(),
            UnwrapKeyError::Length(wrapped.0.len()),
            "a secret of another length is not a data key"
        );
    }

    #[test]
    fn a_wrapped_key_belongs_to_one_place() {
        let (wrapped, _) = wrap_key(&key(1), BINDING, key(5), &mut Counting::default());
        let check = |parent: u8, binding: Binding, expected: UnwrapKeyError| {
            assert_eq!(unwrap_key(&key(parent), binding, &wrapped).unwrap_err(), expected);
        };
        check(2, BINDING, UnwrapKeyError::Forged);
        check(1, Binding { wrapped: id(9), ..BINDING }, UnwrapKeyError::Forged);
        check(1, Binding { owner: id(9), ..BINDING }, UnwrapKeyError::Forged);
        check(1, Binding { purpose: Purpose::Root, ..BINDING }, UnwrapKeyError::Forged);
        check(
            1,
            Binding { wrapping: id(9), ..BINDING },
            UnwrapKeyError::OtherWrappingKey(BINDING.wrapping),
        );
    }

    #[test]
    fn any_flipped_bit_or_cut_is_refused() {
        let (wrapped, _) = wrap_key(&key(1), BINDING, key(5), &mut Counting::default());
        for bit in 0..wrapped.0.len() * 8 {
            let mut forged = wrapped.clone();
            forged.0[bit / 8] ^= 1 << (bit % 8);
            let refused = unwrap_key(&key(1), BINDING, &forged).unwrap_err();
            assert_eq!(refused, fault_of_flip(&forged, bit), "bit {bit}");
        }
        for len in 0..wrapped.0.len() {
            let cut = WrappedDataKey(wrapped.0[..len].to_vec());
            let expected = match len {
                0..=BYTES_OF_NOTHING => UnwrapKeyError::Length(len),
                _ => UnwrapKeyError::Forged,
            };
            let refused = unwrap_key(&key(1), BINDING, &cut).unwrap_err();
            assert_eq!(refused, expected, "cut to {len}");
        }
    }
}
