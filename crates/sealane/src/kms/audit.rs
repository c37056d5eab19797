//! Every use of a key leaves an entry, in the transaction that it belongs to.

use crypto::Id;
use keys::EncryptionContext;
use keys::audit::{AuditEntry, AuditEvent, Outcome};
use keys::authorize::Principal;

use super::records::{AUDIT, AUDIT_HEAD, AUDIT_HEAD_NAME};
use super::{Kms, KmsError, now};
use crate::store::{Reader, StoreError, Transaction};

/// A use of the KMS, as far as it is known.
pub(super) struct Use<'u> {
    pub(super) principal: &'u Principal,
    pub(super) operation: &'static str,
    pub(super) key: Option<Id>,
    pub(super) context: EncryptionContext,
}

impl<'u> Use<'u> {
    pub(super) fn of(principal: &'u Principal, operation: &'static str) -> Self {
        Self { principal, operation, key: None, context: EncryptionContext::default() }
    }
}

impl Kms {
    /// Does `act` and records it in one transaction. A refusal is recorded too, in a transaction of
    /// its own, as `act` may have changed things before it was refused.
    pub(super) fn recorded<T>(
        &self,
        made: &mut Use<'_>,
        act: impl FnOnce(&mut Transaction<'_>, &mut Use<'_>) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let mut transaction = self.store.begin()?;
        let done = act(&mut transaction, made);
        let outcome = match &done {
            Ok(_) => Outcome::Allowed,
            // Nothing was decided: the caller hears of the store, and the log cannot be written.
            Err(KmsError::Store(_)) => return done,
            Err(refused) => {
                drop(transaction);
                transaction = self.store.begin()?;
                Outcome::Refused(refused.to_string())
            }
        };
        append(&mut transaction, made, outcome)?;
        transaction.commit()?;
        done
    }

    /// All entries, oldest first, after checking that none is missing or changed.
    ///
    /// # Errors
    /// [`KmsError::Audit`] names the first entry that does not fit.
    pub fn audit(&self) -> Result<Vec<AuditEntry>, KmsError> {
        let snapshot = self.store.snapshot()?;
        let head = snapshot.get(&AUDIT_HEAD, AUDIT_HEAD_NAME)?.map(|head| head.value);
        let entries: Vec<_> =
            snapshot.scan(&AUDIT)?.into_iter().map(|(_, entry)| entry.value).collect();
        head.unwrap_or_default().verify(&entries)?;
        Ok(entries)
    }
}

fn append(
    transaction: &mut Transaction<'_>,
    made: &Use<'_>,
    outcome: Outcome,
) -> Result<(), StoreError> {
    let head = transaction.get(&AUDIT_HEAD, AUDIT_HEAD_NAME)?;
    let mut chain = head.map(|head| head.value).unwrap_or_default();
    let entry = chain.append(AuditEvent {
        time: now(),
        principal: made.principal.clone(),
        operation: made.operation.to_owned(),
        key: made.key,
        context: made.context.clone(),
        outcome,
    });
    // Twenty digits hold any u64, so that names sort as numbers do.
    transaction.put(&AUDIT, &format!("{:020}", entry.sequence), &entry)?;
    transaction.put(&AUDIT_HEAD, AUDIT_HEAD_NAME, &chain)
}
