//! Condition operators by name: `ForAnyValue:StringNotLikeIfExists` and the like.

/// What is done with a key of several values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quantifier {
    /// The operator expects one value.
    Single,
    ForAllValues,
    ForAnyValue,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub(super) fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// How two values are compared, before any negation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Text,
    TextIgnoringCase,
    TextLike,
    /// `ArnEquals` and `ArnLike` are the same.
    Arn,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Network,
    Null,
}

/// Whether an operator is met by a match or by its absence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sense {
    Positive,
    Negated,
}

/// What an absent key means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Absence {
    ByOperator,
    /// `…IfExists`.
    Passes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Operator {
    pub(super) quantifier: Quantifier,
    pub(super) comparison: Comparison,
    pub(super) sense: Sense,
    pub(super) absence: Absence,
}

const PREFIXES: [(&str, Quantifier); 2] =
    [("forallvalues:", Quantifier::ForAllValues), ("foranyvalue:", Quantifier::ForAnyValue)];

/// In lower case: AWS's own examples spell operators in more than one way.
const NAMES: [(&str, Comparison, Sense); 27] = [
    ("stringequals", Comparison::Text, Sense::Positive),
    ("stringnotequals", Comparison::Text, Sense::Negated),
    ("stringequalsignorecase", Comparison::TextIgnoringCase, Sense::Positive),
    ("stringnotequalsignorecase", Comparison::TextIgnoringCase, Sense::Negated),
    ("stringlike", Comparison::TextLike, Sense::Positive),
    ("stringnotlike", Comparison::TextLike, Sense::Negated),
    ("arnequals", Comparison::Arn, Sense::Positive),
    ("arnlike", Comparison::Arn, Sense::Positive),
    ("arnnotequals", Comparison::Arn, Sense::Negated),
    ("arnnotlike", Comparison::Arn, Sense::Negated),
    ("numericequals", Comparison::Number(Order::Equal), Sense::Positive),
    ("numericnotequals", Comparison::Number(Order::Equal), Sense::Negated),
    ("numericlessthan", Comparison::Number(Order::Less), Sense::Positive),
    ("numericlessthanequals", Comparison::Number(Order::LessOrEqual), Sense::Positive),
    ("numericgreaterthan", Comparison::Number(Order::Greater), Sense::Positive),
    ("numericgreaterthanequals", Comparison::Number(Order::GreaterOrEqual), Sense::Positive),
    ("dateequals", Comparison::Date(Order::Equal), Sense::Positive),
    ("datenotequals", Comparison::Date(Order::Equal), Sense::Negated),
    ("datelessthan", Comparison::Date(Order::Less), Sense::Positive),
    ("datelessthanequals", Comparison::Date(Order::LessOrEqual), Sense::Positive),
    ("dategreaterthan", Comparison::Date(Order::Greater), Sense::Positive),
    ("dategreaterthanequals", Comparison::Date(Order::GreaterOrEqual), Sense::Positive),
    ("bool", Comparison::Bool, Sense::Positive),
    ("binaryequals", Comparison::Binary, Sense::Positive),
    ("ipaddress", Comparison::Network, Sense::Positive),
    ("notipaddress", Comparison::Network, Sense::Negated),
    ("null", Comparison::Null, Sense::Positive),
];

impl Operator {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let (quantifier, lower) = PREFIXES
            .iter()
            .find_map(|(prefix, quantifier)| Some((*quantifier, lower.strip_prefix(prefix)?)))
            .unwrap_or((Quantifier::Single, &lower));
        let (absence, lower) = match lower.strip_suffix("ifexists") {
            Some(lower) => (Absence::Passes, lower),
            None => (Absence::ByOperator, lower),
        };
        let (_, comparison, sense) = NAMES.iter().find(|(name, ..)| *name == lower)?;
        Some(Self { quantifier, comparison: *comparison, sense: *sense, absence })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.quantifier == Quantifier::Single && self.absence == Absence::ByOperator
    }
}
