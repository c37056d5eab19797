//! What happens to keys by itself: they end, rotate, or lose imported material.

use crypto::{Id, SystemEntropy};
use keys::authorize::{Principal, may_administer};
use keys::{KeyRecord, KeyState, RotationKind, RotationSchedule, UnixSeconds};

use super::audit::Use;
use super::change::Change;
use super::records::DUE;
use super::{Kms, KmsError};
use crate::store::Reader;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What was done, by key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    Deleted,
    Rotated,
    Expired,
}

/// What was done, and when there is something to do again.
pub type RunDue = (Vec<(Id, Done)>, Option<UnixSeconds>);

impl Kms {
    /// Does what is due at `now`, and says when the next thing is.
    ///
    /// # Errors
    /// [`KmsError`] if the store or the audit trail cannot be written.
    pub fn run_due(&self, now: UnixSeconds) -> Result<RunDue, KmsError> {
        let mut done = Vec::new();
        let all = self.store().snapshot()?.scan(&DUE)?;
        let (due, later): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, due)| due.value.at <= now);
        for (name, _) in due {
            let Ok(key) = name.parse::<Id>() else { continue };
            done.extend(self.run_due_key(key, now)?.map(|what| (key, what)));
        }
        Ok((done, later.iter().map(|(_, due)| due.value.at).min()))
    }

    fn run_due_key(&self, id: Id, now: UnixSeconds) -> Result<Option<Done>, KmsError> {
        let record = match self.describe_key(id) {
            Ok(record) => record,
            Err(KmsError::UnknownKey(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(what) = what_is_due(&record, now) else { return Ok(None) };
        let operation = match what {
            Done::Deleted => "DeleteKey",
            Done::Rotated => "RotateKey",
            Done::Expired => "DeleteExpiredKeyMaterial",
        };
        let mut made = Use { key: Some(id), ..Use::of(&Principal::Cell, operation) };
        self.changed(&mut made, |change, _| {
            // Somebody may have changed it since.
            let record = change.key(id)?.record;
            match what_is_due(&record, now) {
                Some(what) => do_it(change, &record, what, now).map(|()| Some(what)),
                None => Ok(None),
            }
        })
    }
}

fn what_is_due(record: &KeyRecord, now: UnixSeconds) -> Option<Done> {
    if let KeyState::PendingDeletion(doomed) = &record.state {
        return (doomed.erase_at <= now).then_some(Done::Deleted);
    }
    let expired = |m: &keys::Material| m.is_held() && !m.is_usable(now);
    if record.materials().iter().chain(&record.next_material).any(expired) {
        return Some(Done::Expired);
    }
    let rotation = record.rotation.filter(|_| record.enabled().is_ok())?;
    (rotation.next <= now).then_some(Done::Rotated)
}

fn do_it(
    change: &mut Change<'_>,
    record: &KeyRecord,
    what: Done,
    now: UnixSeconds,
) -> Result<(), KmsError> {
    // The administrator's permit: what is due was ordered by whoever set it.
    let permit = may_administer(&Principal::Admin, record)?;
    match what {
        Done::Deleted => change.erase_key(record),
        Done::Expired => match permit.expire(now) {
            Some(expired) => change.put_key(&expired),
            None => Ok(()),
        },
        Done::Rotated => {
            let entropy = &mut SystemEntropy::new();
            let rotated = permit.rotate(RotationKind::Automatic, change.ring(), now, entropy)?;
            let permit = may_administer(&Principal::Admin, &rotated)?;
            let rescheduled = permit.describe(|said| {
                if let Some(RotationSchedule { period_days, next }) = said.rotation {
                    // From when it was due, unless the cell slept through more than one of them.
                    let period = u64::from(*period_days) * DAY_SECONDS;
                    next.0 = (next.0 + period).max(now.0 + period.min(DAY_SECONDS));
                }
            });
            change.put_key(&rescheduled)
        }
    }
}
