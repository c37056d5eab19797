//! Changes of the root key and its seal, which take place outside the store, on record.

use std::borrow::Cow;
use std::fmt::Display;

use keys::audit_trail::{Access, Failure, Parameter};
use keys::authorize::Principal;
use keys::dual_control::Quorum;
use keys::root_seal::SealKind;

use super::audit::Use;
use super::{Kms, KmsError};

/// A change of the root key or its seal.
#[derive(Clone, Copy, Debug)]
pub struct SealChange<'c> {
    pub operation: &'static str,
    pub from: SealKind,
    pub to: SealKind,
    /// Whose shares opened the cell for it.
    pub quorum: Option<&'c Quorum>,
}

/// Where a change is. A crash leaves one that has begun and not ended: what is true then,
/// `root.seal` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Phase {
    Begun,
    Done,
    Failed(String),
}

impl Phase {
    #[must_use]
    pub fn of<T, E: Display>(done: &Result<T, E>) -> Self {
        done.as_ref().map_or_else(|error| Self::Failed(error.to_string()), |_| Self::Done)
    }
}

impl Kms {
    /// Records, durably, where a change of the seal is.
    ///
    /// # Errors
    /// [`KmsError`] if it cannot be recorded, or the cell is under dual control and one person would
    /// open it: the change must not be made.
    pub fn record_seal_change(
        &self,
        change: &SealChange<'_>,
        phase: Phase,
    ) -> Result<(), KmsError> {
        let mut made = Use::agreed(&Principal::Admin, change.operation, change.quorum);
        let text = |text: &'static str| Parameter::Text(Cow::Borrowed(text));
        let name = match phase {
            Phase::Begun => "begun",
            Phase::Done | Phase::Failed(_) => "ended",
        };
        made.said.extend([("from", text(change.from.name())), ("to", text(change.to.name()))]);
        made.said.push(("phase", text(name)));
        match phase {
            Phase::Begun => self.changed(&mut made, |change_of_store, made| {
                made.check_agreed(&change_of_store.transaction)?;
                let shared = change.to == SealKind::Shamir;
                let free = super::dual_control::setting(&change_of_store.transaction)?.is_none();
                if shared || free { Ok(()) } else { Err(KmsError::SealForOne) }
            }),
            Phase::Done => self.changed(&mut made, |_, _| Ok(())),
            Phase::Failed(message) => {
                let mut event = self.event(&made, Access::Write, None);
                event.failure = Some(Failure { code: Cow::Borrowed("Failed"), message });
                self.trail().record_durable(event)?;
                Ok(())
            }
        }
    }
}
