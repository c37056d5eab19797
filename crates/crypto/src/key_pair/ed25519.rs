//! Ed25519 (RFC 8032), not prehashed and without a context.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::message::Input;
use super::{NotAKey, PublicKeyDer, SignError, VerifyError};

pub(super) struct Ed25519(Ed25519KeyPair);

impl Ed25519 {
    pub(super) fn generate() -> Result<Self, Unspecified> {
        Ed25519KeyPair::generate().map(Self)
    }

    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, NotAKey> {
        Ed25519KeyPair::from_pkcs8(pkcs8).map(Self).map_err(|_| NotAKey)
    }

    /// Version 1, without the public key: OpenSSL reads no other.
    pub(super) fn release_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        Ok(Zeroizing::new(self.0.to_pkcs8v1()?.as_ref().to_vec()))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der()?;
        Ok(der.as_ref().to_vec())
    }

    pub(super) fn sign(&self, input: &Input<'_>) -> Result<Vec<u8>, SignError> {
        let signature = self.0.try_sign(input.whole()?).map_err(|_| SignError::Failed)?;
        Ok(signature.as_ref().to_vec())
    }
}

pub(super) fn verify(
    public_key: &PublicKeyDer,
    input: &Input<'_>,
    signature: &[u8],
) -> Result<(), VerifyError> {
    input.verify(&ED25519, public_key, signature)
}
