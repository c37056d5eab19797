//! One condition: an operator, a key and the values it is compared with.
//!
//! What cannot be decided goes against the caller. A value that is not readable, a text where a
//! number is compared, a variable without a value: each leaves a comparison unknown, and unknown
//! counts as met in a Deny and as not met in an Allow, negated or not. AWS documents the outcome
//! for absent keys only, and that is kept to the letter: a plain operator fails, a negated one and
//! `…IfExists` hold, `ForAllValues` holds and `ForAnyValue` fails.

use std::net::IpAddr;
use std::ops::ControlFlow;

use super::Effect;
use super::error::Fault;
use super::facts::{FactValue, Key, Many, Scope, Text};
use super::operator::{Absence, Comparison, Operator, Order, Quantifier, Sense};
use super::pattern::{ArnPattern, Case, Incomplete, Pattern, Truth, Wildcards};
use super::value::{Date, Decimal, Network};
use crate::UnixSeconds;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Condition {
    key: Key,
    quantifier: Quantifier,
    sense: Sense,
    absence: Absence,
    test: Test,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Test {
    Text(Vec<Pattern>),
    TextIgnoringCase(Vec<Pattern>),
    Arn(Vec<ArnPattern>),
    Number(Order, Vec<Decimal>),
    Date(Order, Vec<Date>),
    Bool(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    Network(Vec<Network>),
    Null(Vec<bool>),
}

/// Why a value was refused.
pub(super) enum ValueFault<'v> {
    Expected { value: &'v str, expected: &'static str },
    Other(Fault),
}

impl Condition {
    pub(super) fn new<'v>(
        operator: Operator,
        key: Key,
        values: &'v [String],
        dialect: super::Dialect,
    ) -> Result<Self, ValueFault<'v>> {
        let Operator { quantifier, comparison, sense, absence } = operator;
        let patterns = |wildcards| {
            let parse = |value: &String| Pattern::parse(value, wildcards, dialect);
            values.iter().map(parse).collect::<Result<Vec<_>, _>>().map_err(ValueFault::Other)
        };
        let test = match comparison {
            Comparison::Text => Test::Text(patterns(Wildcards::Literal)?),
            Comparison::TextIgnoringCase => Test::TextIgnoringCase(patterns(Wildcards::Literal)?),
            Comparison::TextLike => Test::Text(patterns(Wildcards::Match)?),
            Comparison::Arn => {
                let mut arns = Vec::new();
                for value in values {
                    let arn = ArnPattern::parse(value, Incomplete::Refused, dialect);
                    let expected = "an ARN of six parts or a SPIFFE ID";
                    arns.push(
                        arn.map_err(ValueFault::Other)?
                            .ok_or(ValueFault::Expected { value, expected })?,
                    );
                }
                Test::Arn(arns)
            }
            Comparison::Number(order) => {
                Test::Number(order, read(values, "a decimal number", Decimal::parse)?)
            }
            Comparison::Date(order) => {
                let expected = "a date as 2024-05-06T07:08:09Z or in seconds since 1970";
                Test::Date(order, read(values, expected, Date::parse)?)
            }
            Comparison::Bool => Test::Bool(read(values, "true or false", parse_bool)?),
            Comparison::Null => Test::Null(read(values, "true or false", parse_bool)?),
            Comparison::Binary => {
                Test::Binary(read(values, "base64", |value| BASE64.decode(value).ok())?)
            }
            Comparison::Network => {
                Test::Network(read(values, "an IP address or network", Network::parse)?)
            }
        };
        Ok(Self { key, quantifier, sense, absence, test })
    }

    pub(super) fn holds(&self, effect: Effect, scope: &Scope<'_>) -> bool {
        match self.truth(effect, scope) {
            Truth::Yes => true,
            Truth::No => false,
            Truth::Unknown => effect == Effect::Deny,
        }
    }

    fn truth(&self, effect: Effect, scope: &Scope<'_>) -> Truth {
        let fact = scope.get(&self.key);
        let is_absent = match fact {
            FactValue::Absent => true,
            FactValue::Many(many) => many.is_empty(),
            _ => false,
        };
        match fact {
            _ if let Test::Null(wanted) = &self.test => Truth::of(wanted.contains(&is_absent)),
            _ if is_absent => self.truth_of_absence(scope),
            FactValue::Unreadable => Truth::Unknown,
            FactValue::Many(many) => self.truth_of_many(effect, many, scope),
            one => self.truth_of_one(one, scope),
        }
    }

    fn truth_of_absence(&self, scope: &Scope<'_>) -> Truth {
        match (self.quantifier, self.absence, self.sense) {
            (Quantifier::ForAllValues, ..) => Truth::Yes,
            // What `…IfExists` adds to a prefix that wants a value is undocumented, and observers
            // report that AWS ignores it.
            (Quantifier::ForAnyValue, Absence::Passes, _) => Truth::Unknown,
            (Quantifier::ForAnyValue, Absence::ByOperator, _) => Truth::No,
            (Quantifier::Single, Absence::Passes, _) => Truth::Yes,
            // A variable without a value makes the statement invalid in AWS. Without this line, an
            // Allow where key and variable are both absent would find them unequal.
            (Quantifier::Single, _, Sense::Negated) if self.test.is_unresolved(scope) => {
                Truth::Unknown
            }
            (Quantifier::Single, _, Sense::Negated) => Truth::Yes,
            (Quantifier::Single, _, Sense::Positive) => Truth::No,
        }
    }

    /// Several values where the operator expects one: AWS leaves the outcome open. The values are
    /// the caller's to choose (two names in a context that differ in case), so a Deny needs one of
    /// them to match and an Allow all.
    fn truth_of_many(&self, effect: Effect, many: Many<'_>, scope: &Scope<'_>) -> Truth {
        let wants_all = match self.quantifier {
            Quantifier::ForAllValues => true,
            Quantifier::ForAnyValue => false,
            Quantifier::Single => effect == Effect::Allow,
        };
        // "All" is "not any that is not".
        let flip = |truth: Truth| if wants_all { truth.not() } else { truth };
        let mut any = Truth::No;
        many.each(|value| match flip(self.truth_of_one(FactValue::One(value), scope)) {
            Truth::Yes => {
                any = Truth::Yes;
                ControlFlow::Break(())
            }
            Truth::Unknown => {
                any = Truth::Unknown;
                ControlFlow::Continue(())
            }
            Truth::No => ControlFlow::Continue(()),
        });
        flip(any)
    }

    fn truth_of_one(&self, value: FactValue<'_>, scope: &Scope<'_>) -> Truth {
        let matched = self.test.matches(value, scope).unwrap_or(Truth::Unknown);
        match self.sense {
            Sense::Positive => matched,
            Sense::Negated => matched.not(),
        }
    }
}

impl Test {
    /// Whether `value` matches any of the values listed. `None` if it is of another type.
    fn matches(&self, value: FactValue<'_>, scope: &Scope<'_>) -> Option<Truth> {
        Some(match self {
            Self::Text(patterns) => {
                let text = Text::of(value)?;
                Truth::any(patterns.iter().map(|one| one.matches(&text, Case::Matters, scope)))
            }
            Self::TextIgnoringCase(patterns) => {
                let text = Text::of(value)?;
                Truth::any(patterns.iter().map(|one| one.equals_ignoring_case(&text, scope)))
            }
            Self::Arn(patterns) => {
                let text = Text::of(value)?;
                Truth::any(patterns.iter().map(|one| one.matches(&text, scope)))
            }
            Self::Number(order, numbers) => {
                let value = number_of(value)?;
                Truth::of(numbers.iter().any(|number| order.holds(&value, number)))
            }
            Self::Date(order, dates) => {
                let value = date_of(value)?;
                Truth::of(dates.iter().any(|date| order.holds(&value, date)))
            }
            Self::Bool(bools) => {
                let value = match value {
                    FactValue::Bool(value) => value,
                    FactValue::One(text) => parse_bool(text)?,
                    _ => return None,
                };
                Truth::of(bools.contains(&value))
            }
            Self::Binary(values) => {
                let value = match value {
                    FactValue::Bytes(bytes) => bytes,
                    FactValue::One(text) => text.as_bytes(),
                    _ => return None,
                };
                Truth::of(values.iter().any(|bytes| bytes == value))
            }
            Self::Network(networks) => {
                let address = address_of(value)?;
                Truth::of(networks.iter().any(|network| network.contains(address)))
            }
            // Decided before any value is looked at.
            Self::Null(_) => return None,
        })
    }

    fn is_unresolved(&self, scope: &Scope<'_>) -> bool {
        match self {
            Self::Text(patterns) | Self::TextIgnoringCase(patterns) => {
                patterns.iter().any(|pattern| pattern.is_unresolved(scope))
            }
            Self::Arn(patterns) => patterns.iter().any(|pattern| pattern.is_unresolved(scope)),
            // Variables are text, and nothing but text and ARNs is compared as text.
            Self::Number(..)
            | Self::Date(..)
            | Self::Bool(_)
            | Self::Binary(_)
            | Self::Network(_)
            | Self::Null(_) => false,
        }
    }
}

fn read<'v, T>(
    values: &'v [String],
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ValueFault<'v>> {
    let parse = |value: &'v String| parse(value).ok_or(ValueFault::Expected { value, expected });
    values.iter().map(parse).collect()
}

fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn number_of(value: FactValue<'_>) -> Option<Decimal> {
    match value {
        FactValue::One(text) => Decimal::parse(text),
        FactValue::Number(number) => Some(Decimal::whole(number.into())),
        FactValue::Time(UnixSeconds(seconds)) => Some(Decimal::whole(seconds.into())),
        _ => None,
    }
}

fn date_of(value: FactValue<'_>) -> Option<Date> {
    match value {
        FactValue::One(text) => Date::parse(text),
        FactValue::Number(number) => Some(Date::seconds(number.into())),
        FactValue::Time(UnixSeconds(seconds)) => Some(Date::seconds(seconds.into())),
        _ => None,
    }
}

fn address_of(value: FactValue<'_>) -> Option<IpAddr> {
    match value {
        FactValue::One(text) => text.parse().ok(),
        FactValue::Ip(address) => Some(address),
        _ => None,
    }
}
