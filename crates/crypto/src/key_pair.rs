//! Key pairs that sign, decrypt, agree or decapsulate, as AWS KMS's asymmetric keys do.
//!
//! A private key is stored as PKCS #8 (RFC 5958), a public key as `SubjectPublicKeyInfo` (RFC 5280,
//! section 4.1.2.7); both are DER with nothing behind them. Inside PKCS #8, ML-DSA keys are seeds
//! (RFC 9881) and ML-KEM keys are expanded (RFC 9935), since the library releases no ML-KEM seed.
//!
//! Keys, nonces and paddings are drawn by AWS-LC itself, see ARCHITECTURE.md on purity.

use std::fmt;

use zeroize::Zeroizing;

use crate::der;
use crate::key_spec::{EncryptionAlgorithm, KeyPairSpec, SigningAlgorithm};
use family::Family;
use message::Input;

mod ecc;
mod ed25519;
mod family;
mod message;
mod ml_dsa;
mod ml_kem;
mod rsa;
#[cfg(test)]
mod tests;

/// A private key of some [`KeyPairSpec`], with its public key.
///
/// Opaque and single-owner; `Debug` names the kind only. AWS-LC holds the private parts and wipes
/// them when it frees them.
pub struct KeyPair {
    spec: KeyPairSpec,
    private: Private,
}

enum Private {
    Rsa(rsa::Rsa),
    Ecc(ecc::Ecc),
    Ed25519(ed25519::Ed25519),
    MlDsa(ml_dsa::MlDsa),
    MlKem(ml_kem::MlKem),
}

/// A public key as DER `SubjectPublicKeyInfo`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKeyDer(pub Vec<u8>);

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// The message itself.
    Raw(&'a [u8]),
    /// Its digest, by the hash function of the signing algorithm.
    Digest(&'a [u8]),
    /// ML-DSA's message representative μ (FIPS 204, section 6.2). The library does not sign it.
    ExternalMu(&'a [u8]),
}

/// The secret that encapsulation and decapsulation of one ciphertext share.
pub type SharedSecret = Zeroizing<[u8; 32]>;

/// What [`encapsulate`] gives: the ciphertext goes to the holder of the private key.
pub struct Encapsulated {
    pub ciphertext: Vec<u8>,
    pub shared_secret: SharedSecret,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("these bytes are not a key of the expected kind")]
pub struct NotAKey;

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum MessageError {
    #[error("the algorithm signs no input of this kind")]
    Kind,
    #[error("the digest is not {expected} bytes long")]
    DigestLength { expected: usize },
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum SignError {
    #[error("a key of this kind does not sign with this algorithm")]
    Algorithm,
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the key did not produce a signature")]
    Failed,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum VerifyError {
    #[error("a key of this kind does not sign with this algorithm")]
    Algorithm,
    #[error(transparent)]
    NotAKey(#[from] NotAKey),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the signature does not match the message and the public key")]
    Mismatch,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum EncryptError {
    #[error("a key of this kind does not encrypt")]
    Algorithm,
    #[error(transparent)]
    NotAKey(#[from] NotAKey),
    #[error("the plaintext is longer than {max} bytes")]
    PlaintextTooLong { max: usize },
    #[error("the key did not encrypt")]
    Failed,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum DecryptError {
    #[error("a key of this kind does not decrypt")]
    Algorithm,
    /// Deliberately one error: why a padding is wrong must not be learned.
    #[error("the ciphertext does not belong to this key and algorithm")]
    Refused,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum AgreeError {
    #[error("a key of this kind does not derive shared secrets")]
    Algorithm,
    #[error("the other public key is not a point of this key's curve")]
    PeerKey,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum EncapsulateError {
    #[error("a key of this kind does not receive encapsulated secrets")]
    Algorithm,
    #[error(transparent)]
    NotAKey(#[from] NotAKey),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum DecapsulateError {
    #[error("a key of this kind does not receive encapsulated secrets")]
    Algorithm,
    /// The only fault of a ciphertext that is told (FIPS 203, section 7.3); any other gives a
    /// pseudorandom secret.
    #[error("the ciphertext is not {expected} bytes long")]
    CiphertextLength { expected: usize },
    #[error("the key did not decapsulate")]
    Failed,
}

impl KeyPair {
    /// A fresh key.
    #[must_use]
    pub fn generate(spec: KeyPairSpec) -> Self {
        let private = match Family::of(spec) {
            Family::Rsa(rsa) => rsa::Rsa::generate(rsa).map(Private::Rsa),
            Family::Ecc(curve) => ecc::Ecc::generate(curve).map(Private::Ecc),
            Family::Ed25519 => ed25519::Ed25519::generate().map(Private::Ed25519),
            Family::MlDsa(set) => ml_dsa::MlDsa::generate(set).map(Private::MlDsa),
            Family::MlKem(set) => ml_kem::MlKem::generate(set).map(Private::MlKem),
        };
        let private = private.expect("generating a key fails only without randomness or memory");
        Self { spec, private }
    }

    /// # Errors
    /// [`NotAKey`] if `pkcs8` is not the private key of exactly this kind, down to the length of
    /// its modulus and to its curve, with nothing behind it.
    pub fn from_pkcs8(spec: KeyPairSpec, pkcs8: &[u8]) -> Result<Self, NotAKey> {
        der::sequence(pkcs8).ok_or(NotAKey)?;
        let private = match Family::of(spec) {
            Family::Rsa(rsa) => rsa::Rsa::from_pkcs8(rsa, pkcs8).map(Private::Rsa),
            Family::Ecc(curve) => ecc::Ecc::from_pkcs8(curve, pkcs8).map(Private::Ecc),
            Family::Ed25519 => ed25519::Ed25519::from_pkcs8(pkcs8).map(Private::Ed25519),
            Family::MlDsa(set) => ml_dsa::MlDsa::from_pkcs8(set, pkcs8).map(Private::MlDsa),
            Family::MlKem(set) => ml_kem::MlKem::from_pkcs8(set, pkcs8).map(Private::MlKem),
        };
        Ok(Self { spec, private: private? })
    }

    #[must_use]
    pub const fn spec(&self) -> KeyPairSpec {
        self.spec
    }

    /// The private key in PKCS #8, to be wrapped, or owed to whoever asked for a data key pair.
    #[must_use]
    pub fn release_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let pkcs8 = match &self.private {
            Private::Rsa(key) => key.release_pkcs8(),
            Private::Ecc(key) => key.release_pkcs8(),
            Private::Ed25519(key) => key.release_pkcs8(),
            Private::MlDsa(key) => key.release_pkcs8(),
            Private::MlKem(key) => key.release_pkcs8(),
        };
        pkcs8.expect("a key that was accepted or generated has an encoding")
    }

    #[must_use]
    pub fn public_key(&self) -> PublicKeyDer {
        let public = match &self.private {
            Private::Rsa(key) => key.public_key(),
            Private::Ecc(key) => key.public_key(),
            Private::Ed25519(key) => key.public_key(),
            Private::MlDsa(key) => key.public_key(),
            Private::MlKem(key) => Ok(key.public_key()),
        };
        PublicKeyDer(public.expect("the public half of a key has an encoding"))
    }

    /// ECDSA signatures are DER; PSS has a salt as long as the digest; ML-DSA's context is empty.
    ///
    /// # Errors
    /// [`SignError`] if the key does not sign so, or `message` is not what the algorithm signs.
    pub fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message: Message<'_>,
    ) -> Result<Vec<u8>, SignError> {
        if !self.spec.signing_algorithms().contains(&algorithm) {
            return Err(SignError::Algorithm);
        }
        let input = Input::of(algorithm, message)?;
        match &self.private {
            Private::Rsa(key) => key.sign(algorithm, &input),
            Private::Ecc(key) => key.sign(&input),
            Private::Ed25519(key) => key.sign(&input),
            Private::MlDsa(key) => key.sign(&input),
            Private::MlKem(_) => Err(SignError::Algorithm),
        }
    }

    /// # Errors
    /// [`DecryptError`] if this is no RSA key, or for any fault of the ciphertext.
    pub fn decrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        match &self.private {
            Private::Rsa(key) => key.decrypt(algorithm, ciphertext),
            _ => Err(DecryptError::Algorithm),
        }
    }

    /// The raw ECDH secret shared with the holder of `peer`'s private key: the x coordinate
    /// (SP 800-56A, section 5.7.1.2). It is not uniform; whoever takes it derives keys from it.
    ///
    /// # Errors
    /// [`AgreeError`] if this key does not agree, or `peer` is not a valid point of its curve.
    pub fn agree(&self, peer: &PublicKeyDer) -> Result<Zeroizing<Vec<u8>>, AgreeError> {
        let Private::Ecc(key) = &self.private else { return Err(AgreeError::Algorithm) };
        key.agree(peer, |peer| peer.is_of(self.spec))
    }

    /// # Errors
    /// [`DecapsulateError`] if this is no ML-KEM key, or the ciphertext is of another length. A
    /// ciphertext for another key gives a pseudorandom secret instead (FIPS 203, section 6.3).
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<SharedSecret, DecapsulateError> {
        match &self.private {
            Private::MlKem(key) => key.decapsulate(ciphertext),
            _ => Err(DecapsulateError::Algorithm),
        }
    }
}

impl PublicKeyDer {
    /// # Errors
    /// [`NotAKey`] if this is not `SubjectPublicKeyInfo` of exactly that kind, or has bytes behind
    /// it. Whether a curve's point lies on the curve shows when the key is used.
    fn is_of(&self, spec: KeyPairSpec) -> Result<(), NotAKey> {
        let inside = der::sequence(&self.0).ok_or(NotAKey)?;
        let family = Family::of(spec);
        if !inside.starts_with(family.algorithm_identifier()) {
            return Err(NotAKey);
        }
        match family {
            Family::Rsa(rsa) => rsa::parse_public(rsa, self).map(drop),
            Family::Ecc(_) | Family::Ed25519 | Family::MlDsa(_) | Family::MlKem(_) => Ok(()),
        }
    }
}

/// # Errors
/// [`VerifyError::Mismatch`] if `signature` is not that of `message` by this key and algorithm; the
/// others if it could not be.
pub fn verify(
    spec: KeyPairSpec,
    public_key: &PublicKeyDer,
    algorithm: SigningAlgorithm,
    message: Message<'_>,
    signature: &[u8],
) -> Result<(), VerifyError> {
    if !spec.signing_algorithms().contains(&algorithm) {
        return Err(VerifyError::Algorithm);
    }
    let input = Input::of(algorithm, message)?;
    public_key.is_of(spec)?;
    match Family::of(spec) {
        Family::Rsa(_) => rsa::verify(algorithm, public_key, &input, signature),
        Family::Ecc(curve) => input.verify(curve.verifying, public_key, signature),
        Family::Ed25519 => ed25519::verify(public_key, &input, signature),
        Family::MlDsa(set) => input.verify(set.verifying, public_key, signature),
        Family::MlKem(_) => Err(VerifyError::Algorithm),
    }
}

/// # Errors
/// [`EncryptError`] if this is no RSA key of that length, or `plaintext` is too long for it.
pub fn encrypt(
    spec: KeyPairSpec,
    public_key: &PublicKeyDer,
    algorithm: EncryptionAlgorithm,
    plaintext: &[u8],
) -> Result<Vec<u8>, EncryptError> {
    let Family::Rsa(rsa) = Family::of(spec) else { return Err(EncryptError::Algorithm) };
    let max = spec.plaintext_bytes_max(algorithm).ok_or(EncryptError::Algorithm)?;
    if plaintext.len() > max {
        return Err(EncryptError::PlaintextTooLong { max });
    }
    public_key.is_of(spec)?;
    rsa::encrypt(rsa, public_key, algorithm, plaintext)
}

/// # Errors
/// [`EncapsulateError`] if this is no ML-KEM key of that parameter set.
pub fn encapsulate(
    spec: KeyPairSpec,
    public_key: &PublicKeyDer,
) -> Result<Encapsulated, EncapsulateError> {
    let Family::MlKem(set) = Family::of(spec) else { return Err(EncapsulateError::Algorithm) };
    ml_kem::encapsulate(set, public_key)
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({}, ..)", self.spec.name())
    }
}

impl fmt::Debug for Encapsulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encapsulated({} bytes, ..)", self.ciphertext.len())
    }
}
