//! Where key material is used. It is here alone that anybody cares whether it lies in this process:
//! another store of keys, which does the same when it is asked to, is one more implementation.

use crypto::aead::{Forged, Tag};
use crypto::hmac_key::{KeyedMac, MacKeyMaterial, MacMismatch};
use crypto::kdf::{Label, one_time_key};
use crypto::key_pair::{
    AgreeError, DecapsulateError, DecryptError, Message, SharedSecret, SignError,
};
use crypto::{DataKey, EncryptionAlgorithm, Id, KeyPair, PublicKeyDer, Salt, SigningAlgorithm};
use zeroize::Zeroizing;

const MESSAGE_LABEL: Label = Label("sealane/kms-message/1");

/// What the key of one message is derived from, beside the material.
#[derive(Clone, Copy)]
pub(crate) struct MessagePlace<'s> {
    pub(crate) key: Id,
    pub(crate) material: Id,
    pub(crate) salt: &'s Salt,
}

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
    one_time_key(parent, MESSAGE_LABEL, &context, place.salt)
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
