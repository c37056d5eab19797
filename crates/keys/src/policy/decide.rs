//! From what each policy says to one decision, by AWS's evaluation logic.

use super::principal::Covers;
use super::{Policy, Request, Verdict};

/// Whether the caller's account owns the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOwner {
    CallersAccount,
    AnotherAccount,
}

/// What grants say about a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum GrantVerdict {
    Silent,
    /// The grantee is the caller's account, whose identity policies must allow it too.
    Delegates,
    Allows,
}

impl From<Covers> for GrantVerdict {
    fn from(covers: Covers) -> Self {
        match covers {
            Covers::No => Self::Silent,
            Covers::Delegates => Self::Delegates,
            Covers::Directly => Self::Allows,
        }
    }
}

/// All that bears on one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// `None` for operations on no key: `CreateKey`, `ListKeys`.
    pub key_policy: Option<Verdict>,
    /// Of the caller's own policies, by [`evaluate_identity`].
    pub identity: Verdict,
    pub grant: GrantVerdict,
    pub owner: KeyOwner,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Allowed(AllowedBy),
    Refused(RefusedFor),
}

/// For the audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllowedBy {
    KeyPolicy { statement: usize },
    Identity { statement: usize },
    Grant,
}

/// For the audit log, and for AWS's `AccessDeniedException`, which tells a Deny from the lack of an
/// Allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusedFor {
    DeniedByKeyPolicy {
        statement: usize,
    },
    DeniedByIdentity {
        statement: usize,
    },
    /// The key policy leaves it to the caller's identity policies, which are silent.
    IdentitySilent,
    /// Neither the key policy nor a grant admits the caller, whatever its own policies say.
    KeyPolicySilent,
}

impl Decision {
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// An explicit Deny anywhere wins. Then a grant suffices, or the key policy where it names the
/// caller; where it names only the caller's account, or the caller is of another account, the
/// identity policies must allow it as well. An identity policy alone opens no key.
#[must_use]
pub fn decide(evidence: Evidence) -> Decision {
    let Evidence { key_policy, identity, grant, owner } = evidence;
    if let Some(Verdict::ExplicitDeny { statement }) = key_policy {
        return Decision::Refused(RefusedFor::DeniedByKeyPolicy { statement });
    }
    let by_identity = match identity {
        Verdict::ExplicitDeny { statement } => {
            return Decision::Refused(RefusedFor::DeniedByIdentity { statement });
        }
        Verdict::Allow { statement, .. } => Some(AllowedBy::Identity { statement }),
        Verdict::Silent => None,
    };
    let from_identity =
        by_identity.map_or(Decision::Refused(RefusedFor::IdentitySilent), Decision::Allowed);
    if grant == GrantVerdict::Allows || (grant == GrantVerdict::Delegates && by_identity.is_some())
    {
        return Decision::Allowed(AllowedBy::Grant);
    }
    match (key_policy, owner) {
        (None, KeyOwner::CallersAccount) => from_identity,
        (Some(Verdict::Allow { statement, direct: true }), KeyOwner::CallersAccount) => {
            Decision::Allowed(AllowedBy::KeyPolicy { statement })
        }
        (Some(Verdict::Allow { .. }), _) => from_identity,
        (None | Some(Verdict::Silent | Verdict::ExplicitDeny { .. }), _) => {
            Decision::Refused(RefusedFor::KeyPolicySilent)
        }
    }
}

/// What the caller's identity policies say together; `statement` counts through all of them. The
/// account's root user needs none to be allowed everything, but a Deny binds it too.
#[must_use]
pub fn evaluate_identity<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    request: &Request<'_>,
) -> Verdict {
    let mut verdict = match request.principal.is_root() {
        true => Verdict::Allow { statement: 0, direct: true },
        false => Verdict::Silent,
    };
    let mut before = 0;
    for policy in policies {
        match policy.evaluate(request) {
            Verdict::ExplicitDeny { statement } => {
                return Verdict::ExplicitDeny { statement: before + statement };
            }
            Verdict::Allow { statement, direct } if verdict == Verdict::Silent => {
                verdict = Verdict::Allow { statement: before + statement, direct };
            }
            Verdict::Allow { .. } | Verdict::Silent => {}
        }
        before += policy.statements.len();
    }
    verdict
}
