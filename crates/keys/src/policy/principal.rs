//! Whom a statement or a grant names.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::caller::{Caller, CallerKind};
use crate::arn::is_account;

/// One principal by name. There are no patterns: AWS refuses wildcards inside principals, and a
/// condition on `aws:PrincipalArn` does what they would.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// An account: covers each of its principals, but only delegates to their identity policies.
    Account(String),
    /// A user, a role, or one session of a role.
    Arn(String),
    /// A workload.
    Spiffe(String),
}

/// How a principal covers a caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Covers {
    No,
    /// Through the caller's account, whose identity policies then decide.
    Delegates,
    Directly,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("not a principal: {reason}")]
pub struct ParsePrincipalError {
    pub reason: &'static str,
}

/// Bytes of one principal. AWS allows a grant 256; a SPIFFE ID may have 2048.
const PRINCIPAL_BYTES_MAX: usize = 2048;

impl Principal {
    /// # Errors
    /// If `text` is neither an account, nor an IAM or STS ARN of a principal, nor a SPIFFE ID.
    pub fn parse(text: &str) -> Result<Self, ParsePrincipalError> {
        let refuse = |reason| Err(ParsePrincipalError { reason });
        if text.contains(['*', '?']) {
            return refuse("no wildcards but a lone *; use a condition on aws:PrincipalArn");
        }
        if text.len() > PRINCIPAL_BYTES_MAX {
            return refuse("too long");
        }
        if is_account(text) {
            return Ok(Self::Account(text.to_owned()));
        }
        if let Some(id) = text.strip_prefix("spiffe://") {
            return if is_spiffe(id) {
                Ok(Self::Spiffe(text.to_owned()))
            } else {
                refuse("a SPIFFE ID is spiffe://TRUST-DOMAIN/PATH")
            };
        }
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().unwrap_or("");
        let head = [part(), part(), part(), part()];
        let (account, resource) = (part(), part());
        if !is_account(account) || !head[3].is_empty() {
            return refuse("expected an account, an IAM ARN or a SPIFFE ID");
        }
        let segments_min = match ([head[0], head[1], head[2]], resource.split('/').next()) {
            (["arn", "aws", "iam"], Some("root")) if resource == "root" => {
                return Ok(Self::Account(account.to_owned()));
            }
            (["arn", "aws", "iam"], Some("user" | "role"))
            | (["arn", "aws", "sts"], Some("federated-user")) => 2,
            (["arn", "aws", "sts"], Some("assumed-role")) => 3,
            _ => return refuse("expected root, user/NAME, role/NAME or assumed-role/ROLE/SESSION"),
        };
        let named = resource.split('/').all(|segment| !segment.is_empty())
            && resource.split('/').count() >= segments_min
            && resource.bytes().all(|byte| byte.is_ascii_graphic());
        if !named {
            return refuse("the ARN names nobody");
        }
        Ok(Self::Arn(text.to_owned()))
    }

    #[must_use]
    pub fn covers(&self, caller: &Caller) -> Covers {
        let direct = |yes: bool| if yes { Covers::Directly } else { Covers::No };
        match self {
            Self::Account(account) => account_covers(account, caller),
            Self::Arn(arn) => match &caller.kind {
                CallerKind::AssumedRole { role_arn } => {
                    direct(arn == role_arn || *arn == caller.arn)
                }
                CallerKind::User { .. } => direct(*arn == caller.arn),
                CallerKind::Root | CallerKind::Workload => Covers::No,
            },
            // The kind matters: whoever may choose the text of an ARN must not become a workload.
            Self::Spiffe(id) => direct(caller.kind == CallerKind::Workload && *id == caller.arn),
        }
    }
}

/// As [`Principal::Account`] does.
pub(crate) fn account_covers(account: &str, caller: &Caller) -> Covers {
    match (*account == caller.account, caller.is_root()) {
        (true, true) => Covers::Directly,
        (true, false) => Covers::Delegates,
        (false, _) => Covers::No,
    }
}

/// What follows `spiffe://`, by the SPIFFE ID standard, sections 2.1 and 2.2.
fn is_spiffe(id: &str) -> bool {
    let (domain, path) = id.split_once('/').unwrap_or((id, "."));
    let in_domain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !domain.is_empty()
        && domain.bytes().all(in_domain)
        && id.contains('/')
        && path
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_path))
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "arn:aws:iam::{account}:root"),
            Self::Arn(text) | Self::Spiffe(text) => f.write_str(text),
        }
    }
}

impl Serialize for Principal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The `Principal` or `NotPrincipal` of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Principals {
    /// An identity policy applies to whoever it is attached to.
    Bearer,
    Everyone,
    /// Services and federated users are not kept: no caller is one of them.
    Named(Vec<Principal>),
    /// Only in a Deny.
    Not(Vec<Principal>),
}

impl Principals {
    pub(super) fn covers(&self, caller: &Caller) -> Covers {
        match self {
            Self::Bearer | Self::Everyone => Covers::Directly,
            Self::Named(principals) => {
                let covers = principals.iter().map(|principal| principal.covers(caller));
                covers.max().unwrap_or(Covers::No)
            }
            Self::Not(principals) => {
                if is_exempt(principals, caller) {
                    Covers::No
                } else {
                    Covers::Directly
                }
            }
        }
    }
}

/// Whether `NotPrincipal` spares a caller. AWS asks for the whole chain: the account besides the
/// user, and besides the session's role the session itself; an account alone spares none of its
/// users. A workload is spared by its ID alone, for which AWS has no rule.
fn is_exempt(principals: &[Principal], caller: &Caller) -> bool {
    let has_account = || {
        principals
            .iter()
            .any(|one| matches!(one, Principal::Account(account) if *account == caller.account))
    };
    let has_arn = |wanted: &str| {
        principals.iter().any(|one| matches!(one, Principal::Arn(arn) if arn == wanted))
    };
    match &caller.kind {
        CallerKind::Root => has_account(),
        CallerKind::User { .. } => has_account() && has_arn(&caller.arn),
        CallerKind::AssumedRole { role_arn } => {
            has_account() && has_arn(role_arn) && has_arn(&caller.arn)
        }
        CallerKind::Workload => principals.iter().any(|one| one.covers(caller) == Covers::Directly),
    }
}
