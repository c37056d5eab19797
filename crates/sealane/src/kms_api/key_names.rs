//! How a request names a key, and which key that is.

use std::sync::Arc;

use keys::{KeyState, Owner};
use wire::kms::{KeyLastUsageTrackingOperation, KeyRef, KmsFault, messages};

use super::Fault;
use super::call::Call;
use crate::kms::{KeyEntry, KmsError};

/// Which names an operation takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Names {
    KeysOnly,
    AliasesToo,
}

impl Call {
    /// The key of that name, noted for the audit trail.
    pub(super) fn key(&mut self, name: &str) -> Result<Arc<KeyEntry>, Fault> {
        self.named_key(name, Names::AliasesToo)
    }

    /// As [`Call::key`], for operations that take no alias.
    pub(super) fn key_by_id(&mut self, name: &str) -> Result<Arc<KeyEntry>, Fault> {
        self.named_key(name, Names::KeysOnly)
    }

    fn named_key(&mut self, name: &str, names: Names) -> Result<Arc<KeyEntry>, Fault> {
        self.note_text("keyId", name);
        let found = self.find(name, names)?;
        self.keys.push(Arc::clone(&found.arn));
        Ok(found)
    }

    /// The key of that name, not noted as what the call is about.
    pub(super) fn find(&mut self, name: &str, names: Names) -> Result<Arc<KeyEntry>, Fault> {
        let found = self.look_up(name, names)?;
        if KeyLastUsageTrackingOperation::from_name(self.operation.name()).is_some()
            && let Some(place) = self.used.iter_mut().find(|place| place.is_none())
        {
            *place = Some(Arc::clone(&found));
        }
        Ok(found)
    }

    fn look_up(&mut self, name: &str, names: Names) -> Result<Arc<KeyEntry>, Fault> {
        let parsed =
            KeyRef::parse(name).map_err(|fault| Fault::new(KmsFault::NotFound, fault.message()))?;
        if let Some((region, account)) = parsed.place() {
            if region != &**self.kms.region() {
                return Err(Fault::new(KmsFault::NotFound, messages::invalid_arn(region)));
            }
            if account != &**self.kms.account() {
                let (resource, denial) = (messages::Resource::Arn(name), messages::Denial::NotTold);
                let action = self.operation.name();
                let message = messages::access_denied(self.arn(), action, resource, denial);
                return Err(Fault::new(KmsFault::AccessDenied, message));
            }
        }
        let id = match parsed {
            KeyRef::KeyId(id) => id,
            KeyRef::KeyArn(arn) => arn.key_id,
            KeyRef::AliasName(alias) if names == Names::KeysOnly => {
                return Err(Fault::new(KmsFault::NotFound, messages::invalid_key_id(alias)));
            }
            KeyRef::AliasArn(_) if names == Names::KeysOnly => {
                return Err(Fault::new(KmsFault::InvalidArn, messages::ALIASES_NOT_SUPPORTED));
            }
            KeyRef::AliasName(alias) => return self.by_alias(alias),
            KeyRef::AliasArn(arn) => return self.by_alias(arn.alias_name),
        };
        let arn = || format!("arn:aws:kms:{}:{}:key/{id}", self.kms.region(), self.kms.account());
        let missing = || Fault::new(KmsFault::NotFound, messages::key_not_found(&arn()));
        let id = id.parse().map_err(|_| missing())?;
        match self.kms.entry(id) {
            Ok(entry) if self.is_there(&entry) => Ok(entry),
            Ok(_) | Err(KmsError::UnknownKey(_)) => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }

    fn by_alias(&mut self, alias: &str) -> Result<Arc<KeyEntry>, Fault> {
        let missing = |call: &Self| {
            let arn = call.alias_arn(alias);
            Fault::new(KmsFault::NotFound, messages::alias_not_found(&arn))
        };
        let id = self.kms.alias_target(self.owner(), alias)?;
        let id = id.ok_or_else(|| missing(self))?;
        self.alias = Some(alias.to_owned());
        match self.kms.entry(id) {
            Ok(entry) if self.is_there(&entry) => Ok(entry),
            Ok(_) | Err(KmsError::UnknownKey(_)) => Err(missing(self)),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn alias_arn(&self, alias: &str) -> String {
        format!("arn:aws:kms:{}:{}:{alias}", self.kms.region(), self.kms.account())
    }

    /// The cell's own keys are not for callers; and a key whose end has come is gone, even where
    /// its record has not been removed yet.
    fn is_there(&self, entry: &KeyEntry) -> bool {
        let over = match &entry.record.state {
            KeyState::PendingDeletion(doomed) => doomed.erase_at <= self.now(),
            _ => false,
        };
        entry.record.owner() != Owner::Cell && !over
    }
}
