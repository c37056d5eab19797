//! Whether the cell is under dual control, and what is refused to one person then.
//!
//! `docs/decisions/0012-dual-control.md` says what takes two, and why so.

use crypto::Id;
use keys::UnixSeconds;
use keys::audit_trail::Parameter;
use keys::authorize::{self, Principal};
use keys::dual_control::{Asked, DeletionRequest, Quorum};
use serde::{Deserialize, Serialize};

use super::audit::Use;
use super::change::Change;
use super::{Kms, KmsError, now};
use crate::store::{Reader, Table};

/// By name [`DUAL_CONTROL_NAME`]; not there: the cell is under nobody's but its operator's control.
pub(super) const DUAL_CONTROL: Table<DualControl> = Table::new("dual-control");
pub(super) const DUAL_CONTROL_NAME: &str = "setting";
/// By key id.
pub(super) const DELETION_REQUESTS: Table<DeletionRequest> = Table::new("deletion-request");

/// That what one person cannot take back takes two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DualControl {
    pub since: UnixSeconds,
    /// The numbers of the shares by which it was switched on.
    pub shares: Vec<u8>,
}

impl Kms {
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn dual_control(&self) -> Result<Option<DualControl>, KmsError> {
        setting(&self.store.snapshot()?)
    }

    /// Switches dual control on or off, which takes a quorum both ways. What is so already stays.
    ///
    /// # Errors
    /// [`KmsError`] if there is no quorum, `principal` may not, or the store cannot be written.
    pub fn switch_dual_control(
        &self,
        principal: &Principal,
        on: bool,
        quorum: Option<&Quorum>,
    ) -> Result<Option<DualControl>, KmsError> {
        let operation = if on { "EnableDualControl" } else { "DisableDualControl" };
        self.changed(&mut Use::agreed(principal, operation, quorum), |change, _| {
            authorize::may_create(principal)?;
            let quorum = quorum.ok_or(KmsError::NeedsQuorum)?;
            let before = setting(&change.transaction)?;
            match (on, before) {
                (true, None) => {
                    let new = DualControl { since: now(), shares: quorum.shares().to_vec() };
                    change.transaction.put(&DUAL_CONTROL, DUAL_CONTROL_NAME, &new)?;
                    Ok(Some(new))
                }
                (false, Some(_)) => {
                    change.transaction.delete(&DUAL_CONTROL, DUAL_CONTROL_NAME)?;
                    Ok(None)
                }
                (_, before) => Ok(before),
            }
        })
    }
}

impl Change<'_> {
    /// Whether `by` may schedule the deletion of a key now: alone, or as the second who asks. Where
    /// a second is missing, that is written down.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read or written.
    pub fn ask_deletion(&mut self, key: Id, by: &str, days: u64) -> Result<Asked, KmsError> {
        let name = key.to_string();
        if setting(&self.transaction)?.is_none() {
            return Ok(Asked::Agreed { first: by.to_owned(), days });
        }
        let open = self.transaction.get(&DELETION_REQUESTS, &name)?.map(|open| open.value);
        let asked = DeletionRequest::ask(open, by, days, now());
        match &asked {
            Asked::Alone(request) => self.transaction.put(&DELETION_REQUESTS, &name, request)?,
            Asked::Agreed { .. } => self.transaction.delete(&DELETION_REQUESTS, &name)?,
        }
        Ok(asked)
    }

    /// Takes back what somebody asked; says whether anybody had.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be written.
    pub fn withdraw_deletion(&mut self, key: Id) -> Result<bool, KmsError> {
        let name = key.to_string();
        let open = self.transaction.get(&DELETION_REQUESTS, &name)?.is_some();
        self.transaction.delete(&DELETION_REQUESTS, &name)?;
        Ok(open)
    }
}

impl<'u> Use<'u> {
    /// A use that takes a quorum where the cell is under dual control.
    pub(super) fn agreed(
        principal: &'u Principal,
        operation: &'static str,
        quorum: Option<&'u Quorum>,
    ) -> Self {
        let mut made = Self { quorum, ..Self::of(principal, operation) };
        if let Some(quorum) = quorum {
            let numbers = quorum.shares().iter().map(u8::to_string).collect();
            made.said.push(("shares", Parameter::List(numbers)));
        }
        made
    }

    /// # Errors
    /// [`KmsError::NeedsQuorum`] if the cell is under dual control and nobody else agrees.
    pub(super) fn check_agreed(&self, reader: &impl Reader) -> Result<(), KmsError> {
        match (setting(reader)?, self.quorum) {
            (Some(_), None) => Err(KmsError::NeedsQuorum),
            _ => Ok(()),
        }
    }
}

pub(super) fn setting(reader: &impl Reader) -> Result<Option<DualControl>, KmsError> {
    Ok(reader.get(&DUAL_CONTROL, DUAL_CONTROL_NAME)?.map(|found| found.value))
}
