//! What a request must bring for a grant to apply.

use serde::{Deserialize, Serialize};

use super::GrantFault;
use crate::EncryptionContext;
use crate::policy::facts::same_ignoring_case;

/// All that are present must hold; AWS's own names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct GrantConstraints {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_context_subset: Option<EncryptionContext>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_context_equals: Option<EncryptionContext>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_arn: Option<String>,
}

impl GrantConstraints {
    /// Pairs of one context constraint, as in AWS.
    pub const PAIRS_MAX: usize = 8;
    /// Characters of one context constraint, names and values together, as in AWS.
    pub const CHARACTERS_MAX: usize = 384;
    /// Bytes of a source's ARN; no ARN is longer.
    const SOURCE_BYTES_MAX: usize = 2048;

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn has_context(&self) -> bool {
        self.encryption_context_subset.is_some() || self.encryption_context_equals.is_some()
    }

    pub(super) fn check(&self) -> Result<(), GrantFault> {
        for context in
            [&self.encryption_context_subset, &self.encryption_context_equals].into_iter().flatten()
        {
            let pairs = context.pairs();
            if pairs.len() > Self::PAIRS_MAX {
                return Err(GrantFault::TooManyPairs(pairs.len()));
            }
            let characters =
                pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count());
            let characters = characters.sum();
            if characters > Self::CHARACTERS_MAX {
                return Err(GrantFault::ConstraintTooLong(characters));
            }
        }
        let is_arn = |arn: &String| {
            arn.len() <= Self::SOURCE_BYTES_MAX
                && arn.starts_with("arn:")
                && arn.splitn(6, ':').count() == 6
        };
        match &self.source_arn {
            Some(arn) if !is_arn(arn) => Err(GrantFault::SourceArn),
            _ => Ok(()),
        }
    }

    /// Whether a request with this context is within the constraints on contexts.
    pub(super) fn admit(&self, context: &EncryptionContext) -> bool {
        self.encryption_context_subset.as_ref().is_none_or(|subset| includes(context, subset))
            && self.encryption_context_equals.as_ref().is_none_or(|equals| same(context, equals))
    }

    /// Whether all that these admit, `parent` admits.
    pub(super) fn are_as_strict_as(&self, parent: &Self) -> bool {
        let equals = self.encryption_context_equals.as_ref();
        let subset = self.encryption_context_subset.as_ref();
        let meets_equals = |wanted| equals.is_some_and(|context| same(context, wanted));
        let meets_subset = |wanted| {
            equals.is_some_and(|context| includes(context, wanted))
                || subset.is_some_and(|context| includes(context, wanted))
        };
        parent.encryption_context_equals.as_ref().is_none_or(meets_equals)
            && parent.encryption_context_subset.as_ref().is_none_or(meets_subset)
            && (parent.source_arn.is_none() || parent.source_arn == self.source_arn)
    }
}

/// Whether `context` has all pairs of `wanted`, and under their names nothing else.
///
/// In a constraint AWS ignores the case of names, though contexts tell `Dept` from `dept`. Hence
/// the second half: otherwise `Dept=sales` beside `dept=payroll` would satisfy a grant for sales,
/// and the ciphertext would pass for payroll's.
fn includes(context: &EncryptionContext, wanted: &EncryptionContext) -> bool {
    let has_name = |name: &String| wanted.pairs().keys().any(|one| same_ignoring_case(one, name));
    wanted.pairs().iter().all(|pair| has_pair(context, pair))
        && context.pairs().iter().all(|pair| !has_name(pair.0) || has_pair(wanted, pair))
}

fn same(context: &EncryptionContext, wanted: &EncryptionContext) -> bool {
    context.pairs().len() == wanted.pairs().len()
        && wanted.pairs().iter().all(|pair| has_pair(context, pair))
        && context.pairs().iter().all(|pair| has_pair(wanted, pair))
}

fn has_pair(context: &EncryptionContext, (name, value): (&String, &String)) -> bool {
    context.pairs().iter().any(|(one, its)| its == value && same_ignoring_case(one, name))
}
