use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use zeroize::Zeroizing;

/// Signs with ECDSA on P-256 over SHA-256 (FIPS 186-5), DER-encoded signatures.
///
/// Synchronous on purpose: a signer behind a network runs on a blocking thread.
pub trait Signer {
    fn public_key(&self) -> PublicKey;

    /// # Errors
    /// [`SignError`] if the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignError {
    #[error("the signing key did not produce a signature")]
    Failed,
    #[error("these bytes are not a P-256 private key in PKCS #8")]
    NotAKey,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature does not match the message and the public key")]
pub struct VerifyError;

/// A P-256 public key as DER `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(pub Vec<u8>);

impl PublicKey {
    /// # Errors
    /// [`VerifyError`] if this is not a P-256 key or `signature` is not its signature of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(message, signature)
            .map_err(|_| VerifyError)
    }
}

/// A P-256 private key held in memory.
pub struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    /// A fresh key. AWS-LC draws its randomness itself, see ARCHITECTURE.md on purity.
    #[must_use]
    pub fn generate() -> Self {
        Self(
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
                .expect("generating a P-256 key fails only without randomness"),
        )
    }

    /// # Errors
    /// [`SignError::NotAKey`] if `pkcs8` is not a P-256 key in PKCS #8 (RFC 5958).
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, SignError> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8)
            .map(Self)
            .map_err(|_| SignError::NotAKey)
    }

    /// The private key in PKCS #8, to be wrapped or handed to TLS.
    ///
    /// # Errors
    /// [`SignError::Failed`] if the key cannot be encoded.
    pub fn release_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SignError> {
        let pkcs8 = self.0.to_pkcs8v1().map_err(|_| SignError::Failed)?;
        Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
    }
}

impl Signer for SigningKey {
    fn public_key(&self) -> PublicKey {
        let der: PublicKeyX509Der<'_> =
            self.0.public_key().as_der().expect("a valid key has a DER encoding");
        PublicKey(der.as_ref().to_vec())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature =
            self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError::Failed)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_signs_like_the_original() {
        let key = SigningKey::generate();
        let copy = SigningKey::from_pkcs8(&key.release_pkcs8().unwrap()).unwrap();
        assert_eq!(key.public_key(), copy.public_key());
        let signature = copy.sign(b"report").unwrap();
        assert_eq!(key.public_key().verify(b"report", &signature), Ok(()));
        assert_eq!(key.public_key().verify(b"retort", &signature), Err(VerifyError));
        assert_eq!(
            SigningKey::generate().public_key().verify(b"report", &signature),
            Err(VerifyError)
        );
    }

    #[test]
    fn other_bytes_are_not_a_key() {
        assert_eq!(SigningKey::from_pkcs8(b"pem").unwrap_err(), SignError::NotAKey);
    }
}
