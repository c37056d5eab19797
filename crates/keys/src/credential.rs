use crypto::{Entropy, Id, WrappedDataKey};
use serde::{Deserialize, Serialize};

use crate::sigv4::{AccessKeyId, AccessKeyKind, Scope, SecretAccessKey, SigningKey};
use crate::wrap::{self, Binding, Purpose, UnwrapKeyError};
use crate::{DomainRing, KeyLookup, UnixSeconds};

/// An access key, as it is stored. Its secret is opened only to derive a day's signing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialRecord {
    /// What the wrapped secret belongs to. Random, unlike the access key's id never shown or
    /// chosen, so that the secret cannot be moved to another record.
    pub id: Id,
    pub access_key_id: AccessKeyId,
    /// Whom or what the key is for, in the operator's words.
    pub name: String,
    /// `None` for the cell's own.
    pub tenant: Option<Id>,
    pub created: UnixSeconds,
    /// Since when it signs nothing any more. A key is never taken back into use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<UnixSeconds>,
    /// The domain key that wraps the secret, so that lazy rewrapping finds what is left.
    pub domain: Id,
    #[serde(with = "crate::hex::wrapped")]
    pub wrapped: WrappedDataKey,
}

/// Whose a new access key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    pub name: String,
    pub tenant: Option<Id>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum CredentialError {
    #[error("access key {0} is revoked")]
    Revoked(AccessKeyId),
    #[error("access key {access_key_id}: its domain key {domain} is no longer held")]
    DomainKeyRetired { access_key_id: AccessKeyId, domain: Id },
    #[error("access key {access_key_id}: {reason}")]
    Unwrap { access_key_id: AccessKeyId, reason: UnwrapKeyError },
    #[error("access key {0}: what is wrapped is not a secret access key")]
    NotASecret(AccessKeyId),
}

impl CredentialRecord {
    /// A new long-term access key, and its secret, to be shown once.
    pub fn generate(
        new: NewCredential,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> (Self, SecretAccessKey) {
        let id = Id::random(entropy);
        let access_key_id = AccessKeyId::generate(AccessKeyKind::LongTerm, entropy);
        let secret = SecretAccessKey::generate(entropy);
        let (domain, wrapped) = wrap_under_current(id, &secret, ring, entropy);
        let NewCredential { name, tenant } = new;
        let created = now;
        let record =
            Self { id, access_key_id, name, tenant, created, revoked: None, domain, wrapped };
        (record, secret)
    }

    /// The key for one day, region and service; the secret is dropped at once.
    ///
    /// # Errors
    /// [`CredentialError`] if the key is revoked or its secret cannot be had.
    pub fn signing_key(
        &self,
        ring: &DomainRing,
        scope: Scope<'_>,
    ) -> Result<SigningKey, CredentialError> {
        if self.revoked.is_some() {
            return Err(CredentialError::Revoked(self.access_key_id));
        }
        Ok(SigningKey::derive(self.access_key_id, &self.unwrap_secret(ring)?, scope))
    }

    /// The first revocation counts: a later one does not postpone it.
    pub fn revoke(&mut self, now: UnixSeconds) {
        self.revoked.get_or_insert(now);
    }

    /// The same under the newest domain key, for lazy rewrapping. Revoked ones are rewrapped too, or
    /// they would keep an old domain key for ever.
    ///
    /// # Errors
    /// [`CredentialError`] if the secret cannot be had.
    pub fn rewrap(
        &self,
        ring: &DomainRing,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, CredentialError> {
        let secret = self.unwrap_secret(ring)?;
        let (domain, wrapped) = wrap_under_current(self.id, &secret, ring, entropy);
        Ok(Self { domain, wrapped, ..self.clone() })
    }

    fn unwrap_secret(&self, ring: &DomainRing) -> Result<SecretAccessKey, CredentialError> {
        let (access_key_id, domain) = (self.access_key_id, self.domain);
        let parent = ring
            .lookup(&domain)
            .ok_or(CredentialError::DomainKeyRetired { access_key_id, domain })?;
        let bytes = wrap::unwrap_secret(parent, binding(self.id, domain), &self.wrapped)
            .map_err(|reason| CredentialError::Unwrap { access_key_id, reason })?;
        SecretAccessKey::from_caller(&bytes).ok_or(CredentialError::NotASecret(access_key_id))
    }
}

fn wrap_under_current(
    id: Id,
    secret: &SecretAccessKey,
    ring: &DomainRing,
    entropy: &mut dyn Entropy,
) -> (Id, WrappedDataKey) {
    let (domain, parent) = ring.current_key();
    (domain, wrap::wrap_secret(parent, binding(id, domain), secret.expose(), entropy))
}

fn binding(id: Id, domain: Id) -> Binding {
    Binding { purpose: Purpose::CredentialSecret, wrapping: domain, wrapped: id, owner: id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::{Counting, id, ring};

    const SCOPE: Scope<'static> = Scope { date: "20150830", region: "us-east-1", service: "kms" };

    fn generate(entropy: &mut Counting) -> (CredentialRecord, SecretAccessKey) {
        let new = NewCredential { name: "test".to_owned(), tenant: Some(id(7)) };
        CredentialRecord::generate(new, &ring(1), UnixSeconds(1), entropy)
    }

    /// Signs something with `key`, by way of what verifies.
    fn signs_alike(one: &SigningKey, other: &SigningKey) -> bool {
        let text = |key: &SigningKey| key.signature_for_tests(b"text");
        text(one) == text(other) && one.access_key_id() == other.access_key_id()
    }

    #[test]
    fn the_stored_secret_is_the_one_that_was_shown() {
        let (record, secret) = generate(&mut Counting::default());
        let shown = SigningKey::derive(record.access_key_id, &secret, SCOPE);
        assert!(signs_alike(&record.signing_key(&ring(1), SCOPE).unwrap(), &shown));
        let json = serde_json::to_string(&record).unwrap();
        assert!(!json.contains(secret.release_to_caller().as_str()));
        assert_eq!(serde_json::from_str::<CredentialRecord>(&json).unwrap(), record);
        let unknown = json.replacen('{', "{\"more\":1,", 1);
        assert!(serde_json::from_str::<CredentialRecord>(&unknown).is_err());
    }

    #[test]
    fn a_revoked_key_derives_nothing() {
        let (mut record, _) = generate(&mut Counting::default());
        record.revoke(UnixSeconds(5));
        record.revoke(UnixSeconds(9));
        assert_eq!(record.revoked, Some(UnixSeconds(5)));
        let refused = record.signing_key(&ring(1), SCOPE).unwrap_err();
        assert_eq!(refused, CredentialError::Revoked(record.access_key_id));
    }

    #[test]
    fn rewrapping_keeps_the_secret() {
        let entropy = &mut Counting::default();
        let (record, _) = generate(entropy);
        let newer = record.rewrap(&ring(2), entropy).unwrap();
        assert_ne!(newer.domain, record.domain);
        let keys = [&record, &newer].map(|r| r.signing_key(&ring(2), SCOPE).unwrap());
        assert!(signs_alike(&keys[0], &keys[1]));
        assert!(matches!(
            newer.signing_key(&ring(1), SCOPE),
            Err(CredentialError::DomainKeyRetired { .. })
        ));
    }

    #[test]
    fn a_secret_belongs_to_one_record() {
        let entropy = &mut Counting::default();
        let ((record, _), (other, _)) = (generate(entropy), generate(entropy));
        let moved = CredentialRecord { wrapped: other.wrapped.clone(), ..record.clone() };
        let refused = moved.signing_key(&ring(1), SCOPE).unwrap_err();
        let (access_key_id, reason) = (record.access_key_id, UnwrapKeyError::Forged);
        assert_eq!(refused, CredentialError::Unwrap { access_key_id, reason });
        for bit in 0..record.wrapped.0.len() * 8 {
            let mut forged = record.clone();
            forged.wrapped.0[bit / 8] ^= 1 << (bit % 8);
            let reason = wrap::fault_of_flip(&forged.wrapped, bit);
            let refused = forged.signing_key(&ring(1), SCOPE).unwrap_err();
            assert_eq!(refused, CredentialError::Unwrap { access_key_id, reason }, "bit {bit}");
        }
    }
}
