//! What `GetParametersForImport` hands out: a public key to wrap material with, and a token that
//! brings its private key back.
//!
//! The token carries everything, wrapped under the domain key, so that the store keeps nothing and
//! any number of them can be outstanding. Layout: `docs/formats/keys.md`.

use crypto::import::{ImportKeyPair, UnwrapMaterialError, WrappingAlgorithm, WrappingKeySpec};
use crypto::{Entropy, Id, PublicKeyDer, WrappedDataKey};
use zeroize::Zeroizing;

use crate::authorize::MayAdminister;
use crate::wrap::{self, Binding, Purpose};
use crate::{DomainRing, KeyLookup, UnixSeconds};

/// As long as AWS's are valid.
pub const VALID_SECONDS: u64 = 24 * 60 * 60;
const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 16 + 16;
/// Until when, algorithm, spec; the private key follows.
const INSIDE_LEN: usize = 8 + 1 + 1;

/// A wrapping key and its token.
#[derive(Debug)]
pub struct ImportParameters {
    pub public_key: PublicKeyDer,
    pub token: Vec<u8>,
    pub valid_to: UnixSeconds,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum ImportTokenError {
    #[error("this is no import token of this key")]
    Invalid,
    #[error("the import token has expired")]
    Expired,
    #[error("what was wrapped cannot be unwrapped")]
    Unwrap(#[from] UnwrapMaterialError),
}

impl ImportParameters {
    /// For the key of `permit`.
    #[must_use]
    pub fn generate(
        permit: &MayAdminister<'_>,
        spec: WrappingKeySpec,
        algorithm: WrappingAlgorithm,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let pair = ImportKeyPair::generate(spec);
        let valid_to = UnixSeconds(now.0.saturating_add(VALID_SECONDS));
        let private = pair.release_pkcs8();
        let mut inside = Zeroizing::new(Vec::with_capacity(INSIDE_LEN + private.len()));
        inside.extend(valid_to.0.to_be_bytes());
        inside.push(number(&WrappingAlgorithm::ALL, algorithm));
        inside.push(number(&WrappingKeySpec::ALL, spec));
        inside.extend(&private[..]);
        let id = Id::random(entropy);
        let (domain, parent) = ring.current_key();
        let binding = binding(permit.key().id, id, domain);
        let mut token = vec![VERSION];
        token.extend(id.as_bytes());
        token.extend(domain.as_bytes());
        token.extend(wrap::wrap_secret(parent, binding, &inside, entropy).0);
        Self { public_key: pair.public_key(), token, valid_to }
    }
}

/// Unwraps the material that came with `token` for the key of `permit`.
///
/// # Errors
/// [`ImportTokenError`] if the token is not for this key, too old, or the material not wrapped with
/// what it was given out with.
pub fn unwrap_import(
    permit: &MayAdminister<'_>,
    token: &[u8],
    wrapped: &[u8],
    ring: &DomainRing,
    now: UnixSeconds,
) -> Result<Zeroizing<Vec<u8>>, ImportTokenError> {
    let invalid = ImportTokenError::Invalid;
    let (header, rest) = token.split_first_chunk::<HEADER_LEN>().ok_or(invalid)?;
    if header[0] != VERSION {
        return Err(invalid);
    }
    let id = |at: usize| -> Result<Id, ImportTokenError> {
        let bytes = header.get(at..at + 16).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Id::from_bytes).ok_or(invalid)
    };
    let (token_id, domain) = (id(1)?, id(17)?);
    // Its domain key is kept for longer than a token is valid.
    let parent = ring.lookup(&domain).ok_or(ImportTokenError::Expired)?;
    let binding = binding(permit.key().id, token_id, domain);
    let inside = wrap::unwrap_secret(parent, binding, &WrappedDataKey(rest.to_vec()))
        .map_err(|_| invalid)?;
    let (fixed, private) = inside.split_first_chunk::<INSIDE_LEN>().ok_or(invalid)?;
    let valid_to = u64::from_be_bytes(*fixed.first_chunk().ok_or(invalid)?);
    if now.0 >= valid_to {
        return Err(ImportTokenError::Expired);
    }
    let algorithm = *WrappingAlgorithm::ALL.get(usize::from(fixed[8])).ok_or(invalid)?;
    let spec = *WrappingKeySpec::ALL.get(usize::from(fixed[9])).ok_or(invalid)?;
    let pair = ImportKeyPair::from_pkcs8(spec, private).map_err(|_| invalid)?;
    Ok(pair.unwrap_material(algorithm, wrapped)?)
}

/// The place of a value in its list. Stored for a day at most.
fn number<T: PartialEq>(all: &[T], value: T) -> u8 {
    let place = all.iter().position(|one| *one == value).unwrap_or_default();
    u8::try_from(place).expect("there are few of them")
}

fn binding(key: Id, token: Id, domain: Id) -> Binding {
    Binding { purpose: Purpose::ImportKey, wrapping: domain, wrapped: token, owner: key }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::{Principal, may_administer};
    use crate::test_kit::{Counting, ring};
    use crate::{KeyRecord, KeySpec, NewKey, Owner};

    fn key(entropy: &mut Counting) -> KeyRecord {
        let new = NewKey::of(Owner::Account, KeySpec::SymmetricDefault, "");
        KeyRecord::generate(new, &ring(1), UnixSeconds(1), entropy)
    }

    #[test]
    fn a_token_is_for_one_key_and_one_day() {
        let entropy = &mut Counting::default();
        let (mine, other) = (key(entropy), key(entropy));
        let permit = may_administer(&Principal::Admin, &mine).unwrap();
        let (spec, algorithm) = (WrappingKeySpec::Rsa2048, WrappingAlgorithm::RsaesOaepSha256);
        let made = ImportParameters::generate(
            &permit,
            spec,
            algorithm,
            &ring(1),
            UnixSeconds(10),
            entropy,
        );
        let wrapped = crypto::key_pair::encrypt(
            crypto::KeyPairSpec::Rsa2048,
            &made.public_key,
            crypto::EncryptionAlgorithm::RsaesOaepSha256,
            &[7; 32],
        )
        .unwrap();
        let unwrap = |key: &KeyRecord, token: &[u8], now: u64| {
            let permit = may_administer(&Principal::Admin, key).unwrap();
            unwrap_import(&permit, token, &wrapped, &ring(1), UnixSeconds(now))
        };
        assert_eq!(unwrap(&mine, &made.token, 11).unwrap()[..], [7; 32]);
        assert_eq!(unwrap(&other, &made.token, 11).unwrap_err(), ImportTokenError::Invalid);
        let late = 10 + VALID_SECONDS;
        assert_eq!(unwrap(&mine, &made.token, late).unwrap_err(), ImportTokenError::Expired);
        for bit in 0..made.token.len() * 8 {
            let mut forged = made.token.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                // A domain key that is not there is taken for one that is gone.
                17..33 => ImportTokenError::Expired,
                _ => ImportTokenError::Invalid,
            };
            assert_eq!(unwrap(&mine, &forged, 11).unwrap_err(), expected, "bit {bit}");
        }
        for len in 0..made.token.len() {
            let refused = unwrap(&mine, &made.token[..len], 11).unwrap_err();
            assert_eq!(refused, ImportTokenError::Invalid, "cut to {len}");
        }
    }
}
