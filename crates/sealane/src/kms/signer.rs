use crypto::key_pair::Message;
use crypto::{Id, PublicKey, SignError, Signer, SigningAlgorithm};
use keys::KeyRecord;
use keys::asymmetric;
use keys::authorize::{self, Principal};

use super::audit::Use;
use super::{Kms, KmsError};

/// Signs with an asymmetric KMS key. The private key is unwrapped for each signature and not kept:
/// a disabled key signs nothing from that moment on.
#[derive(Clone, Debug)]
pub struct KmsSigner {
    kms: Kms,
    principal: Principal,
    key: Id,
    public_key: PublicKey,
}

impl Kms {
    /// A signer with key `id`, on behalf of `principal`.
    ///
    /// # Errors
    /// [`KmsError`] if there is no such key or `principal` may not sign with it.
    pub fn signer(&self, principal: Principal, id: Id) -> Result<KmsSigner, KmsError> {
        let key = self.describe_key(id)?;
        authorize::may_sign(&principal, &key)?;
        let public_key = public_key(&key).ok_or(KmsError::Sign(id))?;
        Ok(KmsSigner { kms: self.clone(), principal, key: id, public_key })
    }
}

impl KmsSigner {
    /// As [`Signer::sign`], but says why not.
    ///
    /// # Errors
    /// [`KmsError`] if the key is disabled, or the use cannot be recorded.
    pub fn sign_recorded(&self, message: &[u8]) -> Result<Vec<u8>, KmsError> {
        let made = Use { key: Some(self.key), ..Use::of(&self.principal, "Sign") };
        self.kms.used(&made, || {
            let key = self.kms.entry(self.key)?;
            let permit = authorize::may_sign(&self.principal, &key.record)?;
            let opened = key.opened(permit.newest(), &self.kms.store.ring())?;
            let (algorithm, message) = (SigningAlgorithm::EcdsaSha256, Message::Raw(message));
            asymmetric::sign(&permit, &opened, algorithm, message)
                .map_err(|_| KmsError::Sign(self.key))
        })
    }
}

impl Signer for KmsSigner {
    fn public_key(&self) -> PublicKey {
        self.public_key.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign_recorded(message).map_err(|error| {
            tracing::warn!(key = %self.key, %error, "a KMS key did not sign");
            SignError::Failed
        })
    }
}

fn public_key(key: &KeyRecord) -> Option<PublicKey> {
    key.newest_material()?.public_key.as_ref().map(|key| PublicKey(key.0.clone()))
}
