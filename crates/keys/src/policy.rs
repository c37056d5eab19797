//! Key policies and identity policies in IAM's JSON, and what they say about a request.
//!
//! A policy is parsed once, into patterns, numbers and networks ready to be compared; a request is
//! then evaluated without allocating, because that happens before every use of a key, many thousand
//! times a second. Hence facts are asked for one by one instead of put into a map, and variables are
//! compared where they lie instead of being filled in.
//!
//! **Start reading** in [`Policy::evaluate`], then `condition.rs`, then [`decide`].

mod budget;
pub mod caller;
mod condition;
pub mod decide;
pub mod error;
pub mod facts;
mod json;
mod operator;
mod parse;
mod pattern;
pub mod principal;
#[cfg(test)]
mod tests;
mod value;

use budget::Budget;
use caller::Caller;
use condition::Condition;
use error::{LockedOut, PolicyError};
use facts::{Facts, Scope};
use operator::Sense;
use parse::AttachedTo;
use pattern::{ArnPattern, Case, Pattern, Truth};
use principal::{Covers, Principal, Principals};

/// Bytes of a policy: AWS's quota for a key policy, and more than it allows any other.
pub const POLICY_BYTES_MAX: usize = 32 * 1024;
/// Statements of a policy. AWS counts bytes only, and hardly more fit into those.
pub const STATEMENTS_MAX: usize = 500;
/// Bytes of a pattern with wildcards or variables; no ARN is longer.
pub const PATTERN_BYTES_MAX: usize = 2048;

/// A parsed policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    statements: Box<[Statement]>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Statement {
    effect: Effect,
    principals: Principals,
    actions: Named<Pattern>,
    resources: Named<ArnPattern>,
    conditions: Vec<Condition>,
}

/// Patterns of which one must match, or none.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Named<T> {
    sense: Sense,
    patterns: Box<[T]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    Allow,
    Deny,
}

/// Which text is more than text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dialect {
    /// Version 2008-10-17.
    Plain,
    /// Version 2012-10-17: `${aws:username}` stands for a value.
    Variables,
}

/// One request, as policies see it.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    pub principal: &'r Caller,
    /// `kms:Encrypt`.
    pub action: &'r str,
    /// The key's ARN; `*` where the operation is on no key.
    pub resource: &'r str,
    pub facts: &'r dyn Facts,
}

/// What one policy says. `statement` counts from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    ExplicitDeny {
        statement: usize,
    },
    Allow {
        statement: usize,
        /// The statement names the caller, and not only its account, which delegates to the
        /// caller's identity policies.
        direct: bool,
    },
    Silent,
}

impl Policy {
    /// Parses a key policy.
    ///
    /// # Errors
    /// [`PolicyError`] says where, and what to change.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        parse::policy(text, AttachedTo::Key)
    }

    /// Parses an identity policy, which applies to whoever it is attached to.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub fn parse_identity(text: &str) -> Result<Self, PolicyError> {
        parse::policy(text, AttachedTo::Identity)
    }

    /// The first Deny that applies, else an Allow that names the caller, else one that names its
    /// account. Every statement is looked at until a Deny is found, so their order means nothing,
    /// unless together they cost more than is spent on one request: what comes then is undecided,
    /// and so a Deny that applies or an Allow that does not.
    #[must_use]
    pub fn evaluate(&self, request: &Request<'_>) -> Verdict {
        self.evaluate_within(&Budget::full(), request)
    }

    fn evaluate_within(&self, budget: &Budget, request: &Request<'_>) -> Verdict {
        let mut verdict = Verdict::Silent;
        for (index, statement) in self.statements.iter().enumerate() {
            let covers = statement.applies(budget, request);
            if covers == Covers::No {
                continue;
            }
            let direct = covers == Covers::Directly;
            match (statement.effect, verdict) {
                (Effect::Deny, _) => return Verdict::ExplicitDeny { statement: index },
                (Effect::Allow, Verdict::Silent)
                | (Effect::Allow, Verdict::Allow { direct: false, .. })
                    if direct || verdict == Verdict::Silent =>
                {
                    verdict = Verdict::Allow { statement: index, direct };
                }
                (Effect::Allow, _) => {}
            }
        }
        verdict
    }

    /// The lockout safety check: whether `caller` could call `PutKeyPolicy` under this policy, be
    /// it by leave of its identity policies.
    ///
    /// # Errors
    /// [`LockedOut`], in AWS's words.
    pub fn allows_put_key_policy(
        &self,
        caller: &Caller,
        key_arn: &str,
        facts: &dyn Facts,
    ) -> Result<(), LockedOut> {
        let request =
            Request { principal: caller, action: "kms:PutKeyPolicy", resource: key_arn, facts };
        match self.evaluate(&request) {
            Verdict::Allow { .. } => Ok(()),
            Verdict::ExplicitDeny { .. } | Verdict::Silent => Err(LockedOut),
        }
    }

    /// All principals named, so that whoever knows the accounts can refuse those that do not exist.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.statements.iter().flat_map(|statement| match &statement.principals {
            Principals::Named(principals) | Principals::Not(principals) => &principals[..],
            Principals::Bearer | Principals::Everyone => &[],
        })
    }
}

impl Statement {
    /// Cheapest first.
    fn applies(&self, budget: &Budget, request: &Request<'_>) -> Covers {
        let covers = self.principals.covers(request.principal);
        let scope = Scope { caller: request.principal, facts: request.facts, budget };
        let applies = covers != Covers::No
            && self.names(&self.actions, |one| one.matches(request.action, Case::Ignored, &scope))
            && self.names(&self.resources, |one| one.matches(request.resource, &scope))
            && self.conditions.iter().all(|one| one.holds(self.effect, &scope));
        if applies { covers } else { Covers::No }
    }

    fn names<T>(&self, named: &Named<T>, matches: impl Fn(&T) -> Truth) -> bool {
        let any = Truth::any(named.patterns.iter().map(matches));
        match (named.sense, any) {
            (Sense::Positive, Truth::Yes) | (Sense::Negated, Truth::No) => true,
            (Sense::Positive, Truth::No) | (Sense::Negated, Truth::Yes) => false,
            // As in conditions: a variable without a value goes against the caller.
            (_, Truth::Unknown) => self.effect == Effect::Deny,
        }
    }
}
