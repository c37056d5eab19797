//! What key pairs and HMAC keys do: sign, verify, agree, encapsulate, authenticate. RSA encryption
//! is [`crate::encrypt`]'s.

use crypto::hmac_key::MacKeyMaterial;
use crypto::key_pair::{self, Encapsulated, Message, SharedSecret};
use crypto::{KeyPair, KeyPairSpec, PublicKeyDer, SigningAlgorithm};
use zeroize::Zeroizing;

use crate::authorize::{MayAgree, MayMac, MaySign, MayVerify, Permit};
use crate::material::{MaterialError, OpenedMaterial, Secret};
use crate::{KeyRecord, KeySpec};

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum PairError {
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error(transparent)]
    Sign(#[from] key_pair::SignError),
    #[error(transparent)]
    Verify(#[from] key_pair::VerifyError),
    #[error(transparent)]
    Encrypt(#[from] key_pair::EncryptError),
    #[error(transparent)]
    Decrypt(#[from] key_pair::DecryptError),
    #[error(transparent)]
    Agree(#[from] key_pair::AgreeError),
    #[error(transparent)]
    Encapsulate(#[from] key_pair::EncapsulateError),
    #[error(transparent)]
    Decapsulate(#[from] key_pair::DecapsulateError),
}

/// # Errors
/// [`PairError`] if the key does not sign so, or `opened` is not its material.
pub fn sign(
    permit: &MaySign<'_>,
    opened: &OpenedMaterial,
    algorithm: SigningAlgorithm,
    message: Message<'_>,
) -> Result<Vec<u8>, PairError> {
    Ok(pair(permit, opened)?.sign(algorithm, message)?)
}

/// # Errors
/// [`PairError::Verify`] says whether the signature does not match or could not.
pub fn verify(
    permit: &MayVerify<'_>,
    algorithm: SigningAlgorithm,
    message: Message<'_>,
    signature: &[u8],
) -> Result<(), PairError> {
    let (spec, public) = public(permit)?;
    Ok(key_pair::verify(spec, &public, algorithm, message, signature)?)
}

/// The raw secret that the key shares with the holder of `peer`'s private key.
///
/// # Errors
/// [`PairError`] if the key does not agree, or `peer` is not a key of its kind.
pub fn agree(
    permit: &MayAgree<'_>,
    opened: &OpenedMaterial,
    peer: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PairError> {
    Ok(pair(permit, opened)?.agree(&PublicKeyDer(peer.to_vec()))?)
}

/// # Errors
/// [`PairError`] if the key does not decapsulate, or the ciphertext has another length.
pub fn decapsulate(
    permit: &MayAgree<'_>,
    opened: &OpenedMaterial,
    ciphertext: &[u8],
) -> Result<SharedSecret, PairError> {
    Ok(pair(permit, opened)?.decapsulate(ciphertext)?)
}

/// # Errors
/// [`PairError`] if nothing is encapsulated for a key of this kind.
pub fn encapsulate(permit: &MayVerify<'_>) -> Result<Encapsulated, PairError> {
    let (spec, public) = public(permit)?;
    Ok(key_pair::encapsulate(spec, &public)?)
}

/// The key that `permit` allows to make and check MACs with.
///
/// # Errors
/// [`MaterialError`] if `opened` is not its material.
pub fn mac_key<'o>(
    permit: &MayMac<'_>,
    opened: &'o OpenedMaterial,
) -> Result<&'o MacKeyMaterial, MaterialError> {
    match &opened.secret {
        Secret::Mac(key) if opened.key == permit.key().id => Ok(key),
        _ => Err(not_of_spec(permit.key(), opened)),
    }
}

pub(crate) fn pair<'o, Act>(
    permit: &Permit<'_, Act>,
    opened: &'o OpenedMaterial,
) -> Result<&'o KeyPair, MaterialError> {
    match &opened.secret {
        Secret::Pair(pair) if opened.key == permit.key().id => Ok(pair),
        _ => Err(not_of_spec(permit.key(), opened)),
    }
}

pub(crate) fn public<Act>(
    permit: &Permit<'_, Act>,
) -> Result<(KeyPairSpec, PublicKeyDer), MaterialError> {
    let (key, material) = (permit.key(), permit.newest());
    match (key.spec, &material.public_key) {
        (KeySpec::Pair(spec), Some(public)) => Ok((spec, PublicKeyDer(public.0.clone()))),
        (spec, _) => Err(MaterialError::NotOfSpec { key: key.id, material: material.id, spec }),
    }
}

fn not_of_spec(key: &KeyRecord, opened: &OpenedMaterial) -> MaterialError {
    MaterialError::NotOfSpec { key: key.id, material: opened.id, spec: key.spec }
}
