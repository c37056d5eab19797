//! Who asks, in the words that policies and grants compare.

/// An authenticated caller. Made once per credential and kept beside it, so that a request borrows
/// its strings and allocates none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// `arn:aws:iam::ACCOUNT:root`, `…:user/PATH/NAME`,
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`, or a workload's SPIFFE ID.
    pub arn: String,
    /// Twelve digits.
    pub account: String,
    pub kind: CallerKind,
    /// Whose caller this is, for `sealane:tenant`; `None` for the cell's own.
    pub tenant: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallerKind {
    /// The account itself.
    Root,
    User {
        name: String,
    },
    /// A session of a role; policies name the role, whose path the session's ARN lacks.
    AssumedRole {
        role_arn: String,
    },
    /// Known by its SPIFFE ID.
    Workload,
}

impl Caller {
    /// What `aws:PrincipalArn` says: of a session, the role.
    #[must_use]
    pub fn principal_arn(&self) -> &str {
        match &self.kind {
            CallerKind::AssumedRole { role_arn } => role_arn,
            CallerKind::Root | CallerKind::User { .. } | CallerKind::Workload => &self.arn,
        }
    }

    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        match &self.kind {
            CallerKind::User { name } => Some(name),
            CallerKind::Root | CallerKind::AssumedRole { .. } | CallerKind::Workload => None,
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.kind == CallerKind::Root
    }
}

impl CallerKind {
    /// What `aws:PrincipalType` says; AWS's own words, and one of ours.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Root => "Account",
            Self::User { .. } => "User",
            Self::AssumedRole { .. } => "AssumedRole",
            Self::Workload => "Workload",
        }
    }
}
