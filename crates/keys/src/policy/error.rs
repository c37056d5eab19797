//! Why a policy was refused. AWS answers each of these with `MalformedPolicyDocumentException`,
//! but for [`PolicyError::TooLong`], which is a `LimitExceededException`.

use std::fmt;

use super::{PATTERN_BYTES_MAX, POLICY_BYTES_MAX, STATEMENTS_MAX};

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum PolicyError {
    #[error("the policy is {0} bytes long; at most {POLICY_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error(
        "the policy contains {0:?}; allowed are tab, line feed, carriage return and the printable \
         characters up to U+00FF"
    )]
    Character(char),
    /// Not JSON, a key given twice, or nested deeper than any policy.
    #[error("the policy is not the JSON of a policy: {0}")]
    Json(String),
    #[error("{place}: {fault}")]
    Malformed { place: Place, fault: Fault },
}

/// Which part of the policy is at fault.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Place {
    Document,
    Statement { index: usize, sid: Option<String> },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => f.write_str("the policy"),
            // People count from one; `Verdict` gives the index.
            Self::Statement { index, sid: None } => write!(f, "statement {}", index + 1),
            Self::Statement { index, sid: Some(sid) } => {
                write!(f, "statement {} (Sid {sid:?})", index + 1)
            }
        }
    }
}

/// What is wrong there, and what to change.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum Fault {
    #[error("unknown element {0:?}; remove it, or spell it as IAM does")]
    UnknownElement(String),
    #[error("{0} is missing; add it")]
    Missing(&'static str),
    #[error("{0} and {1} exclude each other; keep one")]
    Both(&'static str, &'static str),
    #[error("{element} must be {expected}")]
    Shape { element: String, expected: &'static str },
    #[error("{0} lists nothing; add a value or remove it")]
    Empty(String),
    #[error("Version {0:?} is unknown; write 2012-10-17 or 2008-10-17")]
    Version(String),
    #[error("Effect {0:?} is unknown; write Allow or Deny")]
    Effect(String),
    #[error("there are {0} statements; at most {STATEMENTS_MAX} are allowed")]
    TooManyStatements(usize),
    #[error("another statement has this Sid; give each its own")]
    SidTwice,
    #[error("{0} has no place in an identity policy; remove it")]
    PrincipalInIdentityPolicy(&'static str),
    #[error("NotPrincipal with Effect Allow would admit strangers; name them in Principal")]
    NotPrincipalAllows,
    /// The first sentence is AWS's, which clients look for.
    #[error("Policy contains a statement with one or more invalid principals. {text:?}: {reason}")]
    Principal { text: String, reason: &'static str },
    #[error("action {0:?} is not of the form service:Name, with * and ? as wildcards")]
    Action(String),
    #[error("resource {0:?} is neither * nor an ARN")]
    Resource(String),
    #[error("unknown condition operator {0:?}")]
    UnknownOperator(String),
    #[error("{0} takes neither a set prefix nor IfExists")]
    NullAlone(String),
    #[error("condition key {0:?} is not of the form service:Name")]
    ConditionKey(String),
    #[error("AWS KMS has no condition key {0:?}; the condition could never see a value")]
    UnknownConditionKey(String),
    /// The first words are AWS's.
    #[error("These condition keys are not permitted in a key policy: {0}")]
    IdentityOnlyConditionKey(String),
    #[error("{operator} on {key} cannot compare with {value:?}; expected {expected}")]
    Value { operator: String, key: String, value: String, expected: &'static str },
    #[error("{0:?} has a variable that does not end, or names no key; write ${{service:name}}")]
    Variable(String),
    #[error("a pattern is {0} bytes long; at most {PATTERN_BYTES_MAX} are allowed")]
    PatternTooLong(usize),
}

/// The lockout safety check failed.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("The new key policy will not allow you to update the key policy in the future.")]
pub struct LockedOut;
