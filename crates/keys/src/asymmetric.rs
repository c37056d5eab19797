//! What key pairs and HMAC keys do: sign, verify, agree, encapsulate, authenticate. RSA encryption
//! is [`crate::encrypt`]'s.

use crypto::hmac_key::{KeyedMac, MacMismatch};
use crypto::key_pair::{self, Encapsulated, Message, SharedSecret};
use crypto::{KeyPairSpec, PublicKeyDer, SigningAlgorithm};
use zeroize::Zeroizing;

use crate::KeySpec;
use crate::authorize::{MayAgree, MayMac, MaySign, MayVerify, Permit};
use crate::material::{MaterialError, OpenedMaterial};

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
    #[error(transparent)]
    Mac(#[from] MacMismatch),
}

/// # Errors
/// [`PairError`] if the key does not sign so, or `opened` is not its material.
pub fn sign(
    permit: &MaySign<'_>,
    opened: &OpenedMaterial,
    algorithm: SigningAlgorithm,
    message: Message<'_>,
) -> Result<Vec<u8>, PairError> {
    Ok(opened.used_for(permit.key().id, |secret| secret.sign(algorithm, message))??)
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
    let peer = PublicKeyDer(peer.to_vec());
    Ok(opened.used_for(permit.key().id, |secret| secret.agree(&peer))??)
}

/// # Errors
/// [`PairError`] if the key does not decapsulate, or the ciphertext has another length.
pub fn decapsulate(
    permit: &MayAgree<'_>,
    opened: &OpenedMaterial,
    ciphertext: &[u8],
) -> Result<SharedSecret, PairError> {
    Ok(opened.used_for(permit.key().id, |secret| secret.decapsulate(ciphertext))??)
}

/// # Errors
/// [`PairError`] if nothing is encapsulated for a key of this kind.
pub fn encapsulate(permit: &MayVerify<'_>) -> Result<Encapsulated, PairError> {
    let (spec, public) = public(permit)?;
    Ok(key_pair::encapsulate(spec, &public)?)
}

/// # Errors
/// [`MaterialError`] if `opened` is not the key's material, or makes no MACs.
pub fn mac(
    permit: &MayMac<'_>,
    opened: &OpenedMaterial,
    message: &[u8],
) -> Result<KeyedMac, MaterialError> {
    opened.used_for(permit.key().id, |secret| secret.mac(message))
}

/// # Errors
/// [`PairError::Mac`] if `mac` is not that of `message`, else as [`mac`].
pub fn verify_mac(
    permit: &MayMac<'_>,
    opened: &OpenedMaterial,
    message: &[u8],
    mac: &[u8],
) -> Result<(), PairError> {
    Ok(opened.used_for(permit.key().id, |secret| secret.verify_mac(message, mac))??)
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
