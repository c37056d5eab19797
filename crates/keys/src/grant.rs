//! Grants: permission to use one key, given to one principal, without touching the key's policy.
//!
//! A grant only ever adds permission; what a policy denies stays denied (see
//! [`crate::policy::decide`]). Whoever holds a grant that includes `CreateGrant` may pass on what
//! the grant gives, and never more.

pub mod constraint;
#[cfg(test)]
mod tests;
pub mod token;

use std::fmt;
use std::str::FromStr;

use crypto::{Entropy, Id};
use serde::{Deserialize, Serialize};

use constraint::GrantConstraints;

use crate::policy::caller::Caller;
use crate::policy::decide::GrantVerdict;
use crate::policy::facts::{FactValue, Facts};
use crate::policy::principal::{Covers, Principal, account_covers};
use crate::{EncryptionContext, UnixSeconds, hex};

/// Grants on one key, AWS's quota.
pub const GRANTS_PER_KEY_MAX: usize = 50_000;
/// Bytes of a grant's name, as in AWS.
pub const GRANT_NAME_BYTES_MAX: usize = 256;

/// A random 256-bit identity; 64 hex digits, as AWS writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(#[serde(with = "hex::bytes")] [u8; GrantId::LEN]);

impl GrantId {
    /// Length in bytes.
    pub const LEN: usize = 32;

    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("not a grant's id: expected 64 lowercase hex digits")]
pub struct ParseGrantIdError;

impl FromStr for GrantId {
    type Err = ParseGrantIdError;

    fn from_str(text: &str) -> Result<Self, ParseGrantIdError> {
        if text.len() != 2 * Self::LEN {
            return Err(ParseGrantIdError);
        }
        let bytes = hex::decode(text).ok_or(ParseGrantIdError)?;
        bytes.try_into().map(Self).map_err(|_| ParseGrantIdError)
    }
}

/// What a grant can permit; AWS's own names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum GrantOperation {
    Decrypt,
    Encrypt,
    GenerateDataKey,
    GenerateDataKeyWithoutPlaintext,
    ReEncryptFrom,
    ReEncryptTo,
    Sign,
    Verify,
    GetPublicKey,
    CreateGrant,
    RetireGrant,
    DescribeKey,
    GenerateDataKeyPair,
    GenerateDataKeyPairWithoutPlaintext,
    GenerateMac,
    VerifyMac,
    DeriveSharedSecret,
    Encapsulate,
    Decapsulate,
}

/// What sort of key a grant is on, as far as that decides which operations it can permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantedKey {
    SymmetricEncryption,
    AsymmetricEncryption,
    Signing,
    Mac,
    KeyAgreement,
    KeyEncapsulation,
}

impl GrantOperation {
    pub const ALL: [Self; 19] = [
        Self::Decrypt,
        Self::Encrypt,
        Self::GenerateDataKey,
        Self::GenerateDataKeyWithoutPlaintext,
        Self::ReEncryptFrom,
        Self::ReEncryptTo,
        Self::Sign,
        Self::Verify,
        Self::GetPublicKey,
        Self::CreateGrant,
        Self::RetireGrant,
        Self::DescribeKey,
        Self::GenerateDataKeyPair,
        Self::GenerateDataKeyPairWithoutPlaintext,
        Self::GenerateMac,
        Self::VerifyMac,
        Self::DeriveSharedSecret,
        Self::Encapsulate,
        Self::Decapsulate,
    ];

    /// AWS's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decrypt => "Decrypt",
            Self::Encrypt => "Encrypt",
            Self::GenerateDataKey => "GenerateDataKey",
            Self::GenerateDataKeyWithoutPlaintext => "GenerateDataKeyWithoutPlaintext",
            Self::ReEncryptFrom => "ReEncryptFrom",
            Self::ReEncryptTo => "ReEncryptTo",
            Self::Sign => "Sign",
            Self::Verify => "Verify",
            Self::GetPublicKey => "GetPublicKey",
            Self::CreateGrant => "CreateGrant",
            Self::RetireGrant => "RetireGrant",
            Self::DescribeKey => "DescribeKey",
            Self::GenerateDataKeyPair => "GenerateDataKeyPair",
            Self::GenerateDataKeyPairWithoutPlaintext => "GenerateDataKeyPairWithoutPlaintext",
            Self::GenerateMac => "GenerateMac",
            Self::VerifyMac => "VerifyMac",
            Self::DeriveSharedSecret => "DeriveSharedSecret",
            Self::Encapsulate => "Encapsulate",
            Self::Decapsulate => "Decapsulate",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Whether a key of this sort supports the operation.
    #[must_use]
    pub fn is_for(self, key: GrantedKey) -> bool {
        use GrantedKey as Key;
        match self {
            Self::CreateGrant | Self::RetireGrant | Self::DescribeKey => true,
            Self::Encrypt | Self::Decrypt | Self::ReEncryptFrom | Self::ReEncryptTo => {
                matches!(key, Key::SymmetricEncryption | Key::AsymmetricEncryption)
            }
            Self::GenerateDataKey
            | Self::GenerateDataKeyWithoutPlaintext
            | Self::GenerateDataKeyPair
            | Self::GenerateDataKeyPairWithoutPlaintext => key == Key::SymmetricEncryption,
            Self::Sign | Self::Verify => key == Key::Signing,
            Self::GenerateMac | Self::VerifyMac => key == Key::Mac,
            Self::DeriveSharedSecret => key == Key::KeyAgreement,
            Self::Encapsulate | Self::Decapsulate => key == Key::KeyEncapsulation,
            Self::GetPublicKey => !matches!(key, Key::SymmetricEncryption | Key::Mac),
        }
    }

    /// Whether requests carry an encryption context that a constraint can be held against. Those
    /// that manage do not: `CreateGrant` is held to its parent's constraints instead.
    fn has_context(self) -> bool {
        !matches!(self, Self::CreateGrant | Self::RetireGrant | Self::DescribeKey)
    }
}

/// What a caller of `CreateGrant` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewGrant {
    pub grantee: Principal,
    pub retiring: Option<Principal>,
    pub operations: Vec<GrantOperation>,
    pub constraints: GrantConstraints,
    pub name: Option<String>,
}

/// A grant, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRecord {
    pub id: GrantId,
    pub key: Id,
    pub grantee: Principal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Principal>,
    pub operations: Vec<GrantOperation>,
    #[serde(default, skip_serializing_if = "GrantConstraints::is_empty")]
    pub constraints: GrantConstraints,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub created: UnixSeconds,
    pub issuing_account: String,
    /// ARN or SPIFFE ID of whoever called `CreateGrant`.
    pub issuer: String,
}

/// Why no grant was made. All are `ValidationException`s to AWS, but for [`GrantFault::TooMany`]
/// (`LimitExceededException`) and [`GrantFault::ExceedsParent`] (`AccessDeniedException`).
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum GrantFault {
    #[error("a grant permits at least one operation")]
    NoOperation,
    #[error("a grant on this key cannot permit {0:?}: the key does not support it")]
    OperationUnsupported(GrantOperation),
    #[error(
        "a grant on this key cannot have an encryption context constraint: it takes no context"
    )]
    ContextUnsupported,
    #[error("the grant's constraint has {0} pairs; at most {max} are allowed", max = GrantConstraints::PAIRS_MAX)]
    TooManyPairs(usize),
    #[error("the grant's constraint is {0} characters long; at most {max} are allowed", max = GrantConstraints::CHARACTERS_MAX)]
    ConstraintTooLong(usize),
    #[error("the SourceArn of the grant's constraint is not an ARN")]
    SourceArn,
    #[error(
        "a grant's name has up to {GRANT_NAME_BYTES_MAX} letters, digits and characters of :/_-"
    )]
    Name,
    #[error("the key has {GRANTS_PER_KEY_MAX} grants already; retire or revoke some")]
    TooMany,
    #[error("the grant would permit more than the grant that allows to create it")]
    ExceedsParent,
}

impl GrantRecord {
    /// A grant on `key`, of which there are `existing` already.
    ///
    /// # Errors
    /// [`GrantFault`].
    pub fn issue(
        new: NewGrant,
        (key, sort): (Id, GrantedKey),
        existing: usize,
        issuer: &Caller,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, GrantFault> {
        if existing >= GRANTS_PER_KEY_MAX {
            return Err(GrantFault::TooMany);
        }
        new.check(sort)?;
        let mut id = [0; GrantId::LEN];
        entropy.fill(&mut id);
        let NewGrant { grantee, retiring, operations, constraints, name } = new;
        Ok(Self {
            id: GrantId(id),
            key,
            grantee,
            retiring,
            operations: without_repeats(operations),
            constraints,
            name,
            created: now,
            issuing_account: issuer.account.clone(),
            issuer: issuer.arn.clone(),
        })
    }

    /// Whether `caller` may do `operation` with the grant's key.
    #[must_use]
    pub fn allows(
        &self,
        caller: &Caller,
        operation: GrantOperation,
        context: &EncryptionContext,
        facts: &dyn Facts,
    ) -> GrantVerdict {
        let covers = GrantVerdict::from(self.grantee.covers(caller));
        let applies = covers != GrantVerdict::Silent
            && self.operations.contains(&operation)
            && (!operation.has_context() || self.constraints.admit(context))
            && self.admits_source(operation, facts);
        if applies { covers } else { GrantVerdict::Silent }
    }

    /// Whether `caller` may retire this grant: as the retiring principal, as the grantee of a grant
    /// that includes `RetireGrant`, or as the account in which it was issued.
    #[must_use]
    pub fn may_retire(&self, caller: &Caller) -> GrantVerdict {
        let retiring = self.retiring.as_ref().map_or(Covers::No, |one| one.covers(caller));
        let grantee = match self.operations.contains(&GrantOperation::RetireGrant) {
            true => self.grantee.covers(caller),
            false => Covers::No,
        };
        let issuing = account_covers(&self.issuing_account, caller);
        GrantVerdict::from(retiring.max(grantee).max(issuing))
    }

    /// Whether a caller whose leave to call `CreateGrant` is this grant may make `new`.
    ///
    /// # Errors
    /// [`GrantFault::ExceedsParent`] unless all it permits, this grant permits.
    pub fn may_issue(&self, new: &NewGrant) -> Result<(), GrantFault> {
        let is_narrower = self.operations.contains(&GrantOperation::CreateGrant)
            && new.operations.iter().all(|operation| self.operations.contains(operation))
            && new.constraints.are_as_strict_as(&self.constraints);
        if is_narrower { Ok(()) } else { Err(GrantFault::ExceedsParent) }
    }

    /// Whether `new` is this grant asked for again. Only a grant with a name can be: AWS then
    /// answers with the grant there is.
    #[must_use]
    pub fn is_retried_by(&self, new: &NewGrant) -> bool {
        let sorted = |operations: &[GrantOperation]| {
            let mut operations = operations.to_vec();
            operations.sort_unstable();
            operations.dedup();
            operations
        };
        self.name.is_some()
            && self.name == new.name
            && self.grantee == new.grantee
            && self.retiring == new.retiring
            && self.constraints == new.constraints
            && sorted(&self.operations) == sorted(&new.operations)
    }

    /// `RetireGrant` ends a grant and needs no source; `DescribeKey` is held to one it names.
    fn admits_source(&self, operation: GrantOperation, facts: &dyn Facts) -> bool {
        let Some(wanted) = &self.constraints.source_arn else { return true };
        match (operation, facts.get("aws:sourcearn")) {
            (GrantOperation::RetireGrant, _) => true,
            (_, FactValue::One(source)) => source == wanted,
            (GrantOperation::DescribeKey, FactValue::Absent) => true,
            _ => false,
        }
    }
}

impl NewGrant {
    /// # Errors
    /// [`GrantFault`] if no key of this sort can have such a grant.
    pub fn check(&self, sort: GrantedKey) -> Result<(), GrantFault> {
        if self.operations.is_empty() {
            return Err(GrantFault::NoOperation);
        }
        if let Some(&odd) = self.operations.iter().find(|operation| !operation.is_for(sort)) {
            return Err(GrantFault::OperationUnsupported(odd));
        }
        if self.constraints.has_context() && sort != GrantedKey::SymmetricEncryption {
            return Err(GrantFault::ContextUnsupported);
        }
        self.constraints.check()?;
        let is_name = |name: &String| {
            (1..=GRANT_NAME_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte))
        };
        if self.name.as_ref().is_some_and(|name| !is_name(name)) {
            return Err(GrantFault::Name);
        }
        Ok(())
    }
}

fn without_repeats(operations: Vec<GrantOperation>) -> Vec<GrantOperation> {
    let mut kept = Vec::new();
    for operation in operations {
        if !kept.contains(&operation) {
            kept.push(operation);
        }
    }
    kept
}
