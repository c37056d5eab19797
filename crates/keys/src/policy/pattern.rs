//! Patterns with `*`, `?` and policy variables.
//!
//! Matching keeps one place to return to, the last `*`, and never the ones before: what stood
//! between two stars was found as far left as possible, and nothing is gained by finding it later.
//! So the cost is at most the value's length times the longest stretch between two stars, and
//! linear where that stretch has no `?`. That is still hundreds of millions of steps where somebody
//! fills a policy with such stretches and a caller sends a long value, so each evaluation has a
//! [`Budget`]. Nothing is allocated: a variable's value is compared where it lies, as literal text,
//! so a `*` in a user's name is no wildcard.

use super::budget::Budget;
use super::error::Fault;
use super::facts::{FactValue, Key, Scope, Text, canonical};
use super::{Dialect, PATTERN_BYTES_MAX};

/// What is known of a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Truth {
    No,
    /// A value that cannot be read or resolved. Whoever asks decides against the caller.
    Unknown,
    Yes,
}

impl Truth {
    pub(super) fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }

    /// Whether any is true; a single Yes outweighs all that is unknown.
    pub(super) fn any(truths: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Self::No;
        for truth in truths {
            match truth {
                Self::Yes => return Self::Yes,
                Self::Unknown => any = Self::Unknown,
                Self::No => {}
            }
        }
        any
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(Box<str>),
    /// `?`: one character, not one byte.
    OneChar,
    /// `*`: any run of characters.
    AnyRun,
    Variable {
        key: Key,
        default: Option<Box<str>>,
    },
}

/// Whether `*` and `?` are wildcards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wildcards {
    Match,
    Literal,
}

/// Whether letters match in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Case {
    Matters,
    /// By ASCII alone; for names of actions.
    Ignored,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    pieces: Box<[Piece]>,
}

impl Pattern {
    pub(super) fn parse(text: &str, wildcards: Wildcards, dialect: Dialect) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let (piece, len) = match next {
                '*' if wildcards == Wildcards::Match => (Some(Piece::AnyRun), 1),
                '?' if wildcards == Wildcards::Match => (Some(Piece::OneChar), 1),
                '$' if dialect == Dialect::Variables && rest.starts_with("${") => {
                    let end = rest.find('}').ok_or_else(|| Fault::Variable(text.to_owned()))?;
                    match &rest[2..end] {
                        special @ ("*" | "?" | "$") => {
                            literal.push_str(special);
                            (None, end + 1)
                        }
                        variable => (Some(read_variable(variable, text)?), end + 1),
                    }
                }
                other => {
                    literal.push(other);
                    (None, other.len_utf8())
                }
            };
            rest = &rest[len..];
            if let Some(piece) = piece {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
                }
                // Two stars in a row are one.
                if piece != Piece::AnyRun || pieces.last() != Some(&Piece::AnyRun) {
                    pieces.push(piece);
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        if text.len() > PATTERN_BYTES_MAX && pieces.len() > 1 {
            return Err(Fault::PatternTooLong(text.len()));
        }
        Ok(Self { pieces: pieces.into() })
    }

    /// The text, if there are neither wildcards nor variables.
    pub(super) fn as_literal(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether some variable of it has no value in this request.
    pub(super) fn is_unresolved(&self, scope: &Scope<'_>) -> bool {
        scope.budget.spend(self.pieces.len());
        self.pieces.iter().any(|piece| match piece {
            Piece::Variable { key, default } => {
                with_variable(key, default, scope, |_| ()).is_none()
            }
            Piece::Text(_) | Piece::OneChar | Piece::AnyRun => false,
        })
    }

    pub(super) fn matches(&self, value: &str, case: Case, scope: &Scope<'_>) -> Truth {
        match (&*self.pieces, case) {
            // The shapes that nearly all patterns have.
            ([Piece::AnyRun], _) => Truth::Yes,
            ([Piece::Text(text)], Case::Matters) => Truth::of(**text == *value),
            ([Piece::Text(text)], Case::Ignored) => Truth::of(text.eq_ignore_ascii_case(value)),
            _ if self.is_unresolved(scope) => Truth::Unknown,
            (pieces, case) => {
                known_within(scope.budget, Search { value, case, scope }.matches(pieces))
            }
        }
    }

    /// Compares without regard to case in all of Unicode; wildcards must be literal.
    pub(super) fn equals_ignoring_case(&self, value: &str, scope: &Scope<'_>) -> Truth {
        if let Some(text) = self.as_literal() {
            return Truth::of(super::facts::same_ignoring_case(text, value));
        }
        if self.is_unresolved(scope) {
            return Truth::Unknown;
        }
        // Both sides are lowered one character after the other, so that no text need be joined.
        let mut lowered = value.chars().flat_map(char::to_lowercase);
        for piece in &self.pieces {
            let mut eat = |text: &str| {
                text.chars().flat_map(char::to_lowercase).all(|char| lowered.next() == Some(char))
            };
            let fits = match piece {
                Piece::Text(text) => eat(text),
                Piece::Variable { key, default } => {
                    with_variable(key, default, scope, eat).unwrap_or(false)
                }
                Piece::OneChar | Piece::AnyRun => false,
            };
            if !fits {
                return known_within(scope.budget, false);
            }
        }
        known_within(scope.budget, lowered.next().is_none())
    }
}

/// What was found before the budget was spent counts, and nothing after: a search that was cut
/// short has found neither that it matches nor that it does not.
fn known_within(budget: &Budget, found: bool) -> Truth {
    if budget.is_spent() { Truth::Unknown } else { Truth::of(found) }
}

/// `key` or `key, 'default'`.
fn read_variable(variable: &str, text: &str) -> Result<Piece, Fault> {
    let refuse = || Fault::Variable(text.to_owned());
    let (key, default) = match variable.split_once(',') {
        None => (variable, None),
        Some((key, default)) => {
            let quoted = default.trim().strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            (key, Some(quoted.ok_or_else(refuse)?.into()))
        }
    };
    let key = canonical(key.trim()).ok_or_else(refuse)?;
    Ok(Piece::Variable { key: Key::of_canonical(key), default })
}

/// Gives `use_text` the variable's value. `None` if it has none, or several: AWS resolves no key
/// with many values. `None` too once the budget is spent.
fn with_variable<R>(
    key: &Key,
    default: &Option<Box<str>>,
    scope: &Scope<'_>,
    use_text: impl FnOnce(&str) -> R,
) -> Option<R> {
    if !scope.budget.spend(key.lookup_steps()) {
        return None;
    }
    match (scope.get(key), default) {
        (FactValue::Absent, Some(default)) => Some(use_text(default)),
        (value, _) => Text::of(value).map(|text| use_text(&text)),
    }
}

struct Search<'s> {
    value: &'s str,
    case: Case,
    scope: &'s Scope<'s>,
}

impl Search<'_> {
    fn matches(&self, pieces: &[Piece]) -> bool {
        let (mut at, mut position) = (0, 0);
        // The piece after the last star, and where it was last tried.
        let mut retry: Option<(usize, usize)> = None;
        while self.scope.budget.spend(1) {
            let tried = match pieces.get(at) {
                None if position == self.value.len() => return true,
                None => None,
                Some(Piece::AnyRun) => match &pieces[at + 1..] {
                    [] => return true,
                    [Piece::Text(text)] => return self.ends_with(text, position),
                    _ => {
                        let Some(start) = self.seek(&pieces[at + 1], position) else {
                            return false;
                        };
                        retry = Some((at + 1, start));
                        Some(start)
                    }
                },
                Some(piece) => self.fit(piece, position),
            };
            if let Some(end) = tried {
                (at, position) = (at + 1, end);
                continue;
            }
            let Some((piece, last)) = retry else { return false };
            let Some(skipped) = self.value[last..].chars().next() else { return false };
            let Some(start) = self.seek(&pieces[piece], last + skipped.len_utf8()) else {
                return false;
            };
            (retry, at, position) = (Some((piece, start)), piece, start);
        }
        false
    }

    /// Where `piece` ends if it starts at `position`.
    fn fit(&self, piece: &Piece, position: usize) -> Option<usize> {
        let rest = &self.value[position..];
        match piece {
            Piece::Text(text) => self.starts_with(rest, text).then(|| position + text.len()),
            Piece::OneChar => rest.chars().next().map(|char| position + char.len_utf8()),
            Piece::Variable { key, default } => with_variable(key, default, self.scope, |text| {
                self.starts_with(rest, text).then(|| position + text.len())
            })?,
            Piece::AnyRun => None,
        }
    }

    /// The first place from `position` on where `piece` may start.
    fn seek(&self, piece: &Piece, position: usize) -> Option<usize> {
        match (piece, self.case) {
            // `str::find` is linear whatever the two texts are.
            (Piece::Text(text), Case::Matters) => {
                let rest = &self.value[position..];
                let found = rest.find(&**text);
                self.scope.budget.spend(found.map_or(rest.len(), |offset| offset + text.len()));
                found.map(|offset| position + offset)
            }
            _ => Some(position),
        }
    }

    fn starts_with(&self, rest: &str, text: &str) -> bool {
        self.scope.budget.spend(text.len().min(rest.len()));
        match self.case {
            Case::Matters => rest.starts_with(text),
            Case::Ignored => {
                rest.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text))
            }
        }
    }

    fn ends_with(&self, text: &str, from: usize) -> bool {
        self.scope.budget.spend(text.len().min(self.value.len()));
        let start = self.value.len().checked_sub(text.len()).filter(|start| *start >= from);
        start.and_then(|start| self.value.get(start..)).is_some_and(|tail| match self.case {
            Case::Matters => tail == text,
            Case::Ignored => tail.eq_ignore_ascii_case(text),
        })
    }
}

/// A pattern for ARNs. The wildcards of each of the six parts stay within it: `arn:aws:kms:*:…`
/// does not reach into the account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ArnPattern {
    Any,
    Parts(Box<[Pattern; 6]>),
    /// Workloads have SPIFFE IDs for ARNs; these are one part.
    Spiffe(Pattern),
}

/// What becomes of an ARN with fewer than six parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Incomplete {
    /// `Resource`: AWS completes it with `*`.
    Completed,
    /// `ArnLike` and its kin.
    Refused,
}

impl ArnPattern {
    /// `None` within `Ok` if it is no ARN.
    pub(super) fn parse(
        text: &str,
        incomplete: Incomplete,
        dialect: Dialect,
    ) -> Result<Option<Self>, Fault> {
        if text == "*" {
            return Ok(Some(Self::Any));
        }
        let parse = |part: &str| Pattern::parse(part, Wildcards::Match, dialect);
        if text.starts_with("spiffe://") {
            return Ok(Some(Self::Spiffe(parse(text)?)));
        }
        let parts = split_outside_variables(text, dialect);
        if parts.first() != Some(&"arn")
            || parts.len() < 2
            || (parts.len() < 6 && incomplete == Incomplete::Refused)
        {
            return Ok(None);
        }
        let mut patterns = parts.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        while patterns.len() < 6 {
            patterns.push(parse("*")?);
        }
        Ok(patterns.try_into().ok().map(|patterns| Self::Parts(Box::new(patterns))))
    }

    pub(super) fn is_unresolved(&self, scope: &Scope<'_>) -> bool {
        match self {
            Self::Any => false,
            Self::Parts(parts) => parts.iter().any(|part| part.is_unresolved(scope)),
            Self::Spiffe(pattern) => pattern.is_unresolved(scope),
        }
    }

    /// Text that is no ARN matches no pattern but `*`.
    pub(super) fn matches(&self, arn: &str, scope: &Scope<'_>) -> Truth {
        match self {
            Self::Any => Truth::Yes,
            Self::Spiffe(pattern) => pattern.matches(arn, Case::Matters, scope),
            Self::Parts(patterns) => {
                let mut parts = arn.splitn(6, ':');
                let mut all = Truth::Yes;
                for pattern in patterns.iter() {
                    let Some(part) = parts.next() else { return Truth::No };
                    match pattern.matches(part, Case::Matters, scope) {
                        Truth::No => return Truth::No,
                        Truth::Unknown => all = Truth::Unknown,
                        Truth::Yes => {}
                    }
                }
                all
            }
        }
    }
}

/// At most six parts; a colon inside `${aws:username}` separates none.
fn split_outside_variables(text: &str, dialect: Dialect) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut in_variable) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if dialect == Dialect::Variables && text[..at].ends_with('$') => {
                in_variable = true;
            }
            b'}' => in_variable = false,
            b':' if !in_variable && parts.len() < 5 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
