//! How the types of members are read from JSON and checked.
//!
//! Reading comes first and stops at the first thing that has no meaning; checking comes after, of
//! all members, so that the caller learns of everything at once.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::faults::{Faults, Path, Shown};
use super::rules::{ListRule, RangeRule, TextRule};

/// A type that a request's member may have.
pub(crate) trait Member<'a>: Sized {
    /// As it was sent.
    type Raw: Deserialize<'a>;
    /// What its type alone does not say.
    type Rule;
    /// AWS says of these not even that they are absent in so many words.
    const SENSITIVE: bool = false;

    /// `None` only after a fault was added; a fault may also come with a value.
    fn check(
        raw: Self::Raw,
        rule: &Self::Rule,
        at: Option<&Path<'_>>,
        faults: &mut Faults,
    ) -> Option<Self>;
}

pub(crate) fn check_required<'a, T: Member<'a>>(
    raw: Option<T::Raw>,
    rule: &T::Rule,
    at: Path<'_>,
    faults: &mut Faults,
) -> Option<T> {
    match raw {
        Some(raw) => T::check(raw, rule, Some(&at), faults),
        None => {
            let shown = if T::SENSITIVE { Shown::Hidden } else { Shown::Null };
            faults.add(&shown, &at, format_args!("not be null"));
            None
        }
    }
}

pub(crate) fn check_optional<'a, T: Member<'a>>(
    raw: Option<T::Raw>,
    rule: &T::Rule,
    at: Path<'_>,
    faults: &mut Faults,
) -> Option<T> {
    T::check(raw?, rule, Some(&at), faults)
}

/// Reads a member's value. Parsers differ in which of two they take, so whoever checks a request in
/// front of us could be shown another than we act on: twice is refused.
pub(crate) fn read_once<'a, A: MapAccess<'a>, T: Deserialize<'a>>(
    map: &mut A,
    slot: &mut Option<Option<T>>,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::custom("a member appears twice"));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

/// Borrowed from the body unless it had escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'a> Deserialize<'a> for Text<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'a> Visitor<'a> for Any {
            type Value = Text<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Any)
    }
}

impl<'a> Member<'a> for Cow<'a, str> {
    type Raw = Text<'a>;
    type Rule = TextRule;

    fn check(
        Text(text): Text<'a>,
        rule: &TextRule,
        at: Option<&Path<'_>>,
        faults: &mut Faults,
    ) -> Option<Self> {
        if let (false, Some(at)) = (rule.allows(&text), at) {
            let shown = if rule.hidden { Shown::Hidden } else { Shown::Text(&text) };
            rule.each_broken(&text, |constraint| faults.add(&shown, at, constraint));
        }
        Some(text)
    }
}

impl<'a> Member<'a> for i32 {
    type Raw = Self;
    type Rule = RangeRule;

    fn check(
        number: Self,
        rule: &RangeRule,
        at: Option<&Path<'_>>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let at = at?;
        if number < rule.min {
            let bound = format_args!("have value greater than or equal to {}", rule.min);
            faults.add(&Shown::Number(number), at, bound);
        } else if number > rule.max {
            let bound = format_args!("have value less than or equal to {}", rule.max);
            faults.add(&Shown::Number(number), at, bound);
        }
        Some(number)
    }
}

impl<'a> Member<'a> for bool {
    type Raw = Self;
    type Rule = ();

    fn check(flag: Self, _: &(), _: Option<&Path<'_>>, _: &mut Faults) -> Option<Self> {
        Some(flag)
    }
}

/// A string, or a name from a fixed set: what lists of AWS's hold, and name as a whole in faults.
pub(crate) trait Element<'a>: Sized {
    type Rule;

    /// The value, or `None` if the rule does not allow it.
    fn accept(text: Cow<'a, str>, rule: &Self::Rule) -> Option<Self>;
    /// All that the rule demands, in AWS's words and order.
    fn demands(rule: &Self::Rule) -> String;
    fn hidden(rule: &Self::Rule) -> bool;
}

impl<'a> Element<'a> for Cow<'a, str> {
    type Rule = TextRule;

    fn accept(text: Cow<'a, str>, rule: &TextRule) -> Option<Self> {
        rule.allows(&text).then_some(text)
    }

    fn demands(rule: &TextRule) -> String {
        rule.demands()
    }

    fn hidden(rule: &TextRule) -> bool {
        rule.hidden
    }
}

impl<'a, T: Element<'a>> Member<'a> for Vec<T> {
    type Raw = Vec<Text<'a>>;
    type Rule = ListRule<T::Rule>;

    fn check(
        raw: Vec<Text<'a>>,
        rule: &ListRule<T::Rule>,
        at: Option<&Path<'_>>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let at = at?;
        let fits = rule.allows(raw.len());
        let hidden = T::hidden(&rule.element);
        let names: Vec<Cow<'a, str>> = raw.into_iter().map(|Text(text)| text).collect();
        let list: Option<Vec<T>> =
            names.iter().map(|name| T::accept(name.clone(), &rule.element)).collect();
        if fits && list.is_some() {
            return list;
        }
        let texts: Vec<&str> = names.iter().map(|name| &**name).collect();
        let shown = if hidden { Shown::Hidden } else { Shown::List(&texts) };
        if names.len() < rule.min {
            let bound = format_args!("have length greater than or equal to {}", rule.min);
            faults.add(&shown, at, bound);
        }
        if names.len() > rule.max {
            let bound = format_args!("have length less than or equal to {}", rule.max);
            faults.add(&shown, at, bound);
        }
        if list.is_none() {
            let demands = T::demands(&rule.element);
            faults.add(&shown, at, format_args!("satisfy constraint: [{demands}]"));
        }
        None
    }
}
