//! Where key material is used. Behind this trait alone anybody cares whether it lies in this process:
//! another store of keys, which does the same when it is asked to, is one more implementation.
//! Symmetric keys are in [`crate::encrypt`], which is a door.

use crypto::hmac_key::{KeyedMac, MacKeyMaterial, MacMismatch};
use crypto::key_pair::{
    AgreeError, DecapsulateError, DecryptError, Message, SharedSecret, SignError,
};
use crypto::{EncryptionAlgorithm, KeyPair, PublicKeyDer, SigningAlgorithm};
use zeroize::Zeroizing;

use crate::encrypt::{Forged, MessagePlace, Tag};

/// What material does. Each spec does some of it, and answers `None` to the rest.
pub(crate) trait UseMaterial: Send + Sync {
    /// Seals `message` in its place, under a key that is derived for it alone.
    fn seal(&self, _: MessagePlace<'_>, _aad: &[u8], _message: &mut [u8]) -> Option<Tag> {
        None
    }

    /// Opens what [`UseMaterial::seal`] sealed, in its place.
    fn open(
        &self,
        _: MessagePlace<'_>,
        _aad: &[u8],
        _message: &mut [u8],
        _tag: &Tag,
    ) -> Option<Result<(), Forged>> {
        None
    }

    fn mac(&self, _message: &[u8]) -> Option<KeyedMac> {
        None
    }

    fn verify_mac(&self, _message: &[u8], _mac: &[u8]) -> Option<Result<(), MacMismatch>> {
        None
    }

    fn sign(&self, _: SigningAlgorithm, _: Message<'_>) -> Option<Result<Vec<u8>, SignError>> {
        None
    }

    fn decrypt(
        &self,
        _: EncryptionAlgorithm,
        _ciphertext: &[u8],
    ) -> Option<Result<Zeroizing<Vec<u8>>, DecryptError>> {
        None
    }

    /// The raw secret shared with the holder of `peer`'s private key.
    fn agree(&self, _peer: &PublicKeyDer) -> Option<Result<Zeroizing<Vec<u8>>, AgreeError>> {
        None
    }

    fn decapsulate(&self, _: &[u8]) -> Option<Result<SharedSecret, DecapsulateError>> {
        None
    }

    /// Of a pair.
    fn public_key(&self) -> Option<PublicKeyDer> {
        None
    }
}

impl UseMaterial for MacKeyMaterial {
    fn mac(&self, message: &[u8]) -> Option<KeyedMac> {
        Some(self.mac(message))
    }

    fn verify_mac(&self, message: &[u8], mac: &[u8]) -> Option<Result<(), MacMismatch>> {
        Some(self.verify(message, mac))
    }
}

impl UseMaterial for KeyPair {
    fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message: Message<'_>,
    ) -> Option<Result<Vec<u8>, SignError>> {
        Some(self.sign(algorithm, message))
    }

    fn decrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Option<Result<Zeroizing<Vec<u8>>, DecryptError>> {
        Some(self.decrypt(algorithm, ciphertext))
    }

    fn agree(&self, peer: &PublicKeyDer) -> Option<Result<Zeroizing<Vec<u8>>, AgreeError>> {
        Some(self.agree(peer))
    }

    fn decapsulate(&self, ciphertext: &[u8]) -> Option<Result<SharedSecret, DecapsulateError>> {
        Some(self.decapsulate(ciphertext))
    }

    fn public_key(&self) -> Option<PublicKeyDer> {
        Some(self.public_key())
    }
}
