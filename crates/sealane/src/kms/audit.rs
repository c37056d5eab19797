//! Every use of a key leaves an event in the cell's audit trail, before its caller has an answer.
//!
//! Here the uses of the cell itself and of its operator; calls of the API make their own events. A
//! change is announced in the trail, committed with the announcement's place in it, and closed with
//! its outcome: whoever puts back the one without the other is noticed.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError};

use crypto::{Id, SystemEntropy};
use keys::EncryptionContext;
use keys::audit_trail::{
    Access, Event, Failure, Identity, Origin, Parameter, TrailHead, UnixMillis,
};
use keys::authorize::{Principal, Refused};
use keys::dual_control::Quorum;

use super::change::Change;
use super::records::{TRAIL_HEAD, TRAIL_HEAD_NAME};
use super::{Kms, KmsError, now_millis, open_trail};
use crate::audit_trail::{AuditTrail, Poison, RecordError, TrailError};
use crate::store::{AcceptedRollback, Transaction};

/// A use of the KMS, as far as it is known.
pub(super) struct Use<'u> {
    pub(super) principal: &'u Principal,
    pub(super) operation: &'static str,
    pub(super) key: Option<Id>,
    pub(super) context: EncryptionContext,
    /// Who agrees.
    pub(super) quorum: Option<&'u Quorum>,
    /// What else belongs into the record.
    pub(super) said: Vec<(&'static str, Parameter)>,
}

impl<'u> Use<'u> {
    pub(super) fn of(principal: &'u Principal, operation: &'static str) -> Self {
        let (context, said) = (EncryptionContext::default(), Vec::new());
        Self { principal, operation, key: None, context, quorum: None, said }
    }
}

impl Kms {
    #[must_use]
    pub fn trail(&self) -> Arc<AuditTrail> {
        self.trail.current.load_full()
    }

    /// Opens the trail anew after a full disk ended it: whatever was not acknowledged is cut off,
    /// and it goes on where there is room again. After any other failure only a restart does.
    pub fn mend_trail(&self) {
        let Err(RecordError::Poisoned(Poison::DiskFull { .. })) = self.trail().healthy() else {
            return;
        };
        let mut may_go_on = self.trail.may_go_on.lock().unwrap_or_else(PoisonError::into_inner);
        let broken = self.trail();
        if !*may_go_on || broken.healthy().is_ok() {
            return;
        }
        // No commit is under way meanwhile, and a failed one is settled: opening judges by the
        // store whether a change that was announced took place.
        let Ok(_turn) = self.store.begin() else { return };
        // It lets go of the folder, and says again why it ended.
        let _ = broken.close();
        match open_trail(&self.store, &self.trail.dir, &self.cell, &self.region, &self.account) {
            Ok(trail) => {
                tracing::info!("the audit trail goes on after a full disk");
                self.trail.current.store(Arc::new(trail));
            }
            Err(error) if !ends_the_trail(&error) => {
                tracing::debug!(%error, "the audit trail cannot go on yet");
            }
            Err(error) => {
                tracing::error!(%error, "the audit trail cannot go on until the next start");
                *may_go_on = false;
            }
        }
    }

    /// Has a change carry its place in the trail.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn put_trail_head(&self, change: &mut Change<'_>, head: TrailHead) -> Result<(), KmsError> {
        put_head(&mut change.transaction, head)
    }

    /// Makes a change and records it. A refusal is recorded too.
    pub(super) fn changed<T>(
        &self,
        made: &mut Use<'_>,
        act: impl FnOnce(&mut Change<'_>, &mut Use<'_>) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        self.mend_trail();
        let mut change = self.begin()?;
        let done = match act(&mut change, made) {
            Ok(done) => done,
            // Nothing was decided: the caller hears of the store, and asks again.
            Err(error @ KmsError::Store(_)) => return Err(error),
            Err(refused) => {
                drop(change);
                self.trail().record_durable(self.event(made, Access::Write, Some(&refused)))?;
                return Err(refused);
            }
        };
        let intent = self.trail().intent(self.event(made, Access::Write, None))?;
        put_head(&mut change.transaction, intent.head())?;
        change.commit()?;
        intent.close(None)?;
        Ok(done)
    }

    /// Uses a key and records it.
    pub(super) fn used<T>(
        &self,
        made: &Use<'_>,
        act: impl FnOnce() -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        self.mend_trail();
        let done = act();
        if let Err(KmsError::Store(_)) = done {
            return done;
        }
        self.trail().record_durable(self.event(made, Access::ReadOnly, done.as_ref().err()))?;
        done
    }

    /// Records that the store was taken as it is.
    ///
    /// # Errors
    /// [`KmsError`] if it cannot be recorded.
    pub fn record_accepted(
        &self,
        accepted: &AcceptedRollback,
        quorum: Option<&Quorum>,
    ) -> Result<(), KmsError> {
        let AcceptedRollback { anchor, store, .. } = accepted;
        tracing::warn!(anchor, store, "a rollback of the store was accepted");
        let mut made = Use::agreed(&Principal::Admin, "AcceptRollback", quorum);
        made.said.push(("anchor", Parameter::Number(*anchor)));
        made.said.push(("store", Parameter::Number(*store)));
        self.changed(&mut made, |_, _| Ok(()))
    }

    pub(super) fn event(&self, made: &Use<'_>, access: Access, error: Option<&KmsError>) -> Event {
        let mut parameters = Vec::new();
        if !made.context.pairs().is_empty() {
            let context = Parameter::Map(made.context.pairs().clone());
            parameters.push((Cow::Borrowed("encryptionContext"), context));
        }
        let said = made.said.iter().cloned();
        parameters.extend(said.map(|(name, value)| (Cow::Borrowed(name), value)));
        let code = |error: &KmsError| match error {
            KmsError::Refused(Refused::State(_)) | KmsError::State(_) => "KMSInvalidStateException",
            KmsError::Refused(_) | KmsError::NeedsQuorum | KmsError::SealForOne => {
                "AccessDeniedException"
            }
            KmsError::UnknownKey(_) => "NotFoundException",
            KmsError::Decrypt(_) => "InvalidCiphertextException",
            _ => "ValidationException",
        };
        Event {
            id: Id::random(&mut SystemEntropy::new()),
            time: UnixMillis(now_millis()),
            identity: Arc::new(identity(made.principal)),
            name: Cow::Borrowed(made.operation),
            origin: Origin::Call,
            access,
            region: Arc::clone(&self.region),
            account: Arc::clone(&self.account),
            source_ip: None,
            user_agent: None,
            request: None,
            keys: made.key.map(|key| self.arn(key).to_string().into()).into_iter().collect(),
            parameters,
            failure: error.map(|error| Failure {
                code: Cow::Borrowed(code(error)),
                message: error.to_string(),
            }),
        }
    }
}

/// Whether what came of opening the trail again leaves nobody knowing what the disk holds.
fn ends_the_trail(error: &KmsError) -> bool {
    match error {
        KmsError::Trail(error) => !matches!(**error, TrailError::Poisoned(Poison::DiskFull { .. })),
        _ => false,
    }
}

fn put_head(transaction: &mut Transaction<'_>, head: TrailHead) -> Result<(), KmsError> {
    Ok(transaction.put(&TRAIL_HEAD, TRAIL_HEAD_NAME, &head)?)
}

fn identity(principal: &Principal) -> Identity {
    match principal {
        Principal::Admin => Identity::Administrator,
        Principal::Cell => Identity::Cell,
        Principal::Workload { spiffe_id, .. } => {
            Identity::Workload { spiffe_id: spiffe_id.clone(), account: None }
        }
        Principal::Volume { tenant, volume } => {
            Identity::Volume { volume: *volume, tenant: *tenant }
        }
    }
}
