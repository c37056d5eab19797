//! The key that signs the audit trail's checkpoints: an asymmetric KMS key of the cell's own.
//!
//! It signs from beneath the trail, so its uses leave no events: a checkpoint is its own record.

use std::sync::Arc;

use crypto::key_pair::Message;
use crypto::{Id, PublicKey, SignError, Signer, SigningAlgorithm, SystemEntropy};
use keys::authorize::{self, Principal};
use keys::{KeySpec, NewKey, Owner, asymmetric};

use super::records::{AUDIT_KEY, AUDIT_KEY_NAME, KEYS, KEYS_OF, Listed};
use super::{KmsError, now, owner_name};
use crate::store::{Reader, Store};

/// Signs with the newest material of the audit key.
pub(super) struct AuditSigner {
    store: Arc<Store>,
    key: Id,
    public_key: PublicKey,
}

impl AuditSigner {
    /// The cell's audit key, made where there is none yet.
    pub(super) fn open(store: &Arc<Store>) -> Result<Self, KmsError> {
        let found = store.snapshot()?.get(&AUDIT_KEY, AUDIT_KEY_NAME)?;
        let key = match found {
            Some(found) => found.value,
            None => create(store)?,
        };
        let public_key = public_key_of(&store.snapshot()?, key)?;
        Ok(Self { store: Arc::clone(store), key, public_key })
    }

    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, KmsError> {
        let found = self.store.snapshot()?.get(&KEYS, &self.key.to_string())?;
        let key = found.ok_or(KmsError::UnknownKey(self.key))?.value;
        let permit = authorize::may_sign(&Principal::Cell, &key)?;
        let opened = permit.open(permit.newest(), &self.store.ring())?;
        let (algorithm, message) = (SigningAlgorithm::EcdsaSha256, Message::Raw(message));
        asymmetric::sign(&permit, &opened, algorithm, message).map_err(|_| KmsError::Sign(self.key))
    }
}

impl Signer for AuditSigner {
    fn public_key(&self) -> PublicKey {
        self.public_key.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.try_sign(message).map_err(|error| {
            tracing::warn!(%error, "a checkpoint of the audit trail could not be signed");
            SignError::Failed
        })
    }
}

/// What the signatures of the audit key `key` are checked with.
pub(super) fn public_key_of(reader: &impl Reader, key: Id) -> Result<PublicKey, KmsError> {
    let record = reader.get(&KEYS, &key.to_string())?;
    let record = record.ok_or(KmsError::UnknownKey(key))?.value;
    let public = record.newest_material().and_then(|newest| newest.public_key.clone());
    Ok(PublicKey(public.ok_or(KmsError::Sign(key))?.0))
}

fn create(store: &Store) -> Result<Id, KmsError> {
    store.transact(|transaction| {
        let permit = authorize::may_create(&Principal::Cell)?;
        let new = NewKey::of(Owner::Cell, KeySpec::ECC_NIST_P256, "audit trail");
        let entropy = &mut SystemEntropy::new();
        let record = permit.create_key(new, transaction.ring(), now(), entropy);
        let name = record.id.to_string();
        transaction.put(&store.table_of(&KEYS_OF, &owner_name(Owner::Cell)), &name, &Listed {})?;
        transaction.put(&KEYS, &name, &record)?;
        transaction.put(&AUDIT_KEY, AUDIT_KEY_NAME, &record.id)?;
        Ok(record.id)
    })
}
