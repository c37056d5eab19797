//! Whether a caller of the API may do something with a key: by its owner, its policy and its grants.
//!
//! Each owner (the account, each tenant) is to the others what another AWS account is: without a
//! policy or a grant that names it, a caller reaches its own owner's keys only. The account's
//! administrators oversee the tenants' keys ([`OVERSIGHT`]): they can take a key out of use
//! and put it back, and neither use it nor give anybody leave to. The cell's own keys are nobody's
//! here.

use crypto::{Entropy, Id};

use crate::authorize::{MayAdminister, Permit};
use crate::grant::{GrantOperation, GrantRecord};
use crate::policy::caller::Caller;
use crate::policy::decide::GrantVerdict;
use crate::policy::facts::Facts;
use crate::policy::{Policy, Request, Verdict};
use crate::{
    DomainRing, EncryptionContext, KeyRecord, KeyUsage, NewKey, Owner, UnixSeconds, WrongState,
};

/// What the account's administrators may do with the keys of tenants: see what there is, stop it,
/// and undo that, whoever did it. Nothing here gives anybody leave that the key's policy and grants
/// do not.
pub const OVERSIGHT: [&str; 11] = [
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:GetKeyLastUsage",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:ScheduleKeyDeletion",
];

/// A key with all that decides about it.
#[derive(Clone, Copy, Debug)]
pub struct KeyAccess<'k> {
    pub record: &'k KeyRecord,
    pub arn: &'k str,
    /// `None`: the default policy, which leaves the key to its owner's callers.
    pub policy: Option<&'k Policy>,
    pub grants: &'k [GrantRecord],
}

/// An authenticated caller, as its own owner's keys and as the keys of others see it.
#[derive(Clone, Debug)]
pub struct Principals {
    pub owner: Owner,
    /// In the account.
    pub at_home: Caller,
    /// The same with an account of its own, so that a policy that trusts `ACCOUNT:root` trusts the
    /// callers of the key's owner only.
    pub abroad: Caller,
}

/// What is asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub principals: &'a Principals,
    /// `kms:` and the operation's name.
    pub action: &'a str,
    /// What a grant would have to allow; `None` where no grant can.
    pub operation: Option<GrantOperation>,
    pub context: &'a EncryptionContext,
    pub facts: &'a dyn Facts,
    pub now: UnixSeconds,
}

/// What gave leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllowedBy {
    KeyPolicy,
    Grant,
    /// See [`OVERSIGHT`].
    Oversight,
}

/// Why no permit was given.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum Denied {
    /// The cell's own: whoever asks is told that it does not exist.
    #[error("there is no key {0}")]
    Hidden(Id),
    #[error("a statement of the key policy denies it")]
    Explicitly,
    #[error("neither key policy nor grant allows it")]
    NothingAllows,
    #[error(transparent)]
    State(#[from] WrongState),
    #[error("key {key} is for {usage:?}")]
    OtherUsage { key: Id, usage: KeyUsage },
}

impl<'k> KeyAccess<'k> {
    /// Permission to use the key's material in the way of `Act`, which is part of `usage`.
    ///
    /// # Errors
    /// [`Denied`], in the order in which AWS answers: whoever may not is not told the key's state.
    pub fn permit<Act>(
        &self,
        asked: &Asked<'_>,
        usage: KeyUsage,
    ) -> Result<Permit<'k, Act>, Denied> {
        self.allows(asked)?;
        let key = self.record.id;
        let enabled = self.record.enabled()?;
        // Before the record says so: nothing runs exactly at the second at which material expires.
        if !enabled.is_usable(asked.now) {
            return Err(WrongState::PendingImport { key }.into());
        }
        if self.record.usage() != usage {
            return Err(Denied::OtherUsage { key, usage: self.record.usage() });
        }
        Ok(Permit::new(self.record, enabled))
    }

    /// Permission to change the key.
    ///
    /// # Errors
    /// [`Denied`]. The key's state is for the change to judge.
    pub fn may_administer(&self, asked: &Asked<'_>) -> Result<MayAdminister<'k>, Denied> {
        self.allows(asked)?;
        Ok(MayAdminister::new(self.record))
    }

    /// Whether the caller may do it, whatever state the key is in.
    ///
    /// # Errors
    /// [`Denied`], but for states and usages.
    pub fn allows(&self, asked: &Asked<'_>) -> Result<AllowedBy, Denied> {
        let owner = asked.principals.owner;
        let owned = self.record.owner();
        if owned == Owner::Cell {
            return Err(Denied::Hidden(self.record.id));
        }
        let own = owned == owner;
        if owner == Owner::Account && !own && OVERSIGHT.contains(&asked.action) {
            return Ok(AllowedBy::Oversight);
        }
        match self.policy {
            None if own => return Ok(AllowedBy::KeyPolicy),
            None => {}
            Some(policy) => {
                let (action, resource, facts) = (asked.action, self.arn, asked.facts);
                let principal = asked.principals.seen_by(owned);
                match policy.evaluate(&Request { principal, action, resource, facts }) {
                    Verdict::ExplicitDeny { .. } => return Err(Denied::Explicitly),
                    Verdict::Allow { .. } => return Ok(AllowedBy::KeyPolicy),
                    Verdict::Silent => {}
                }
            }
        }
        match self.grants_for(asked).next() {
            Some(_) => Ok(AllowedBy::Grant),
            None => Err(Denied::NothingAllows),
        }
    }

    /// The grants that allow it, whatever the policy says.
    pub fn grants_for(&self, asked: &Asked<'_>) -> impl Iterator<Item = &'k GrantRecord> {
        let caller = asked.principals.seen_by(self.record.owner());
        self.grants.iter().filter(move |grant| {
            asked.operation.is_some_and(|operation| {
                grant.allows(caller, operation, asked.context, asked.facts) > GrantVerdict::Silent
            })
        })
    }
}

/// Permission to create keys of the caller's own owner.
#[derive(Debug)]
pub struct MayCreateOwn(Owner);

/// Whoever is known to an owner may make keys for it.
#[must_use]
pub fn may_create_own(principals: &Principals) -> MayCreateOwn {
    MayCreateOwn(principals.owner)
}

impl MayCreateOwn {
    /// A new key of the caller's owner, whatever `new` says about that.
    #[must_use]
    pub fn create_key(
        self,
        new: NewKey,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> KeyRecord {
        KeyRecord::generate(NewKey { owner: self.0, ..new }, ring, now, entropy)
    }
}

impl Principals {
    /// The caller, as the keys of `owner` see it.
    #[must_use]
    pub fn seen_by(&self, owner: Owner) -> &Caller {
        if owner == self.owner { &self.at_home } else { &self.abroad }
    }
}
