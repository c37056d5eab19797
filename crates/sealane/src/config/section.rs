//! Tables of the cell file: every key is known, every value has the type asked for.
//!
//! The file is walked as a tree with spans instead of being deserialised by `serde`, which stops
//! at the first fault and forgets where a value stood once its type is right.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::fault::{Fault, Faults};

const TEXT: &str = "a text in quotes";
const TEXTS: &str = "a list of texts";
const NUMBER: &str = "a whole number";

/// So many names help a reader; a whole cell's would not.
const NAMES_SHOWN_MAX: usize = 20;

/// Why a scalar is refused: what stands under it, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    pub help: String,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// A table whose keys have been compared with the known ones.
pub(super) struct Section<'t> {
    /// As the file would write it: `[service.web]`, or `limits` for an inline table.
    pub(super) title: String,
    /// Where a missing key is reported.
    pub(super) at: Range<usize>,
    table: &'t DeTable<'t>,
}

impl<'t> Section<'t> {
    /// The keys of `table` in the order of the file.
    pub(super) fn entries(
        table: &'t DeTable<'t>,
    ) -> Vec<(&'t str, Range<usize>, &'t Spanned<DeValue<'t>>)> {
        let mut entries: Vec<_> =
            table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        entries.sort_by_key(|(_, at, _)| at.start);
        entries
    }

    pub(super) fn table(
        title: &str,
        value: &'t Spanned<DeValue<'t>>,
        faults: &mut Faults,
    ) -> Option<&'t DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            wrong_type(title, "a table", value, faults);
        }
        table
    }

    pub(super) fn open(
        title: impl Into<String>,
        at: Range<usize>,
        value: &'t Spanned<DeValue<'t>>,
        known: &[&str],
        faults: &mut Faults,
    ) -> Option<Self> {
        let title = title.into();
        let table = Self::table(&title, value, faults)?;
        Some(Self::of(title, at, table, known, faults))
    }

    pub(super) fn of(
        title: String,
        at: Range<usize>,
        table: &'t DeTable<'t>,
        known: &[&str],
        faults: &mut Faults,
    ) -> Self {
        for (key, key_at, _) in Self::entries(table) {
            if !known.contains(&key) {
                faults.add(
                    key_at,
                    format!("{title} has no key `{key}`"),
                    "unknown key",
                    did_you_mean(key, known, "the keys are"),
                );
            }
        }
        Self { title, at, table }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    pub(super) fn key_at(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or_else(|| self.at.clone(), |(key, _)| key.span())
    }

    pub(super) fn require(&self, key: &str, example: &str, faults: &mut Faults) {
        if self.get(key).is_none() {
            faults.add(
                self.at.clone(),
                format!("{} lacks the key `{key}`", self.title),
                format!("`{key}` is missing"),
                format!("add a line such as: {key} = {example}"),
            );
        }
    }

    /// A text that `parse` accepts. `None` if it is absent or refused.
    pub(super) fn text<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<Spanned<T>> {
        parse_text(&self.path(key), self.get(key)?, faults, parse)
    }

    /// A list of texts, each of which `parse` accepts; those refused are left out.
    pub(super) fn texts<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        mut parse: impl FnMut(&str) -> Result<T, Refusal>,
    ) -> Option<Vec<Spanned<T>>> {
        let items = self.list(key, TEXTS, faults)?;
        let path = self.path(key);
        Some(items.iter().filter_map(|item| parse_text(&path, item, faults, &mut parse)).collect())
    }

    pub(super) fn list(
        &self,
        key: &str,
        what: &str,
        faults: &mut Faults,
    ) -> Option<&'t [Spanned<DeValue<'t>>]> {
        let value = self.get(key)?;
        let Some(list) = value.get_ref().as_array() else {
            wrong_type(&self.path(key), what, value, faults);
            return None;
        };
        Some(list)
    }

    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        let list = self.get(key).and_then(|value| value.get_ref().as_array());
        list.is_some_and(|list| list.is_empty())
    }

    pub(super) fn integer(
        &self,
        key: &str,
        min: u64,
        max: u64,
        faults: &mut Faults,
    ) -> Option<Spanned<u64>> {
        parse_integer(&self.path(key), self.get(key)?, min, max, faults)
    }

    pub(super) fn path(&self, key: &str) -> String {
        format!("`{key}` of {}", self.title)
    }
}

pub(super) fn parse_text<T>(
    path: &str,
    value: &Spanned<DeValue<'_>>,
    faults: &mut Faults,
    parse: impl FnOnce(&str) -> Result<T, Refusal>,
) -> Option<Spanned<T>> {
    let Some(text) = value.get_ref().as_str() else {
        wrong_type(path, TEXT, value, faults);
        return None;
    };
    match parse(text) {
        Ok(parsed) => Some(Spanned::new(value.span(), parsed)),
        Err(refusal) => {
            faults.add(
                value.span(),
                format!("{path} is refused: {}", refusal.message),
                refusal.message,
                refusal.help,
            );
            None
        }
    }
}

pub(super) fn parse_integer(
    path: &str,
    value: &Spanned<DeValue<'_>>,
    min: u64,
    max: u64,
    faults: &mut Faults,
) -> Option<Spanned<u64>> {
    let Some(integer) = value.get_ref().as_integer() else {
        wrong_type(path, NUMBER, value, faults);
        return None;
    };
    match u64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) if (min..=max).contains(&number) => Some(Spanned::new(value.span(), number)),
        _ => {
            faults.add(
                value.span(),
                format!("{path} is out of range"),
                format!("not between {min} and {max}"),
                format!("write a whole number from {min} to {max}"),
            );
            None
        }
    }
}

pub(super) fn wrong_type(
    path: &str,
    wanted: &str,
    value: &Spanned<DeValue<'_>>,
    faults: &mut Faults,
) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let help = match (wanted, found) {
        (TEXT, "a list" | "a table") => "docs/cell-file.md shows its shape".to_owned(),
        (TEXT, _) => "put it in quotes, with its unit if it has one".to_owned(),
        (NUMBER, "a text") => "remove the quotes".to_owned(),
        (TEXTS, _) => "write it in brackets: [\"…\", \"…\"]".to_owned(),
        _ => format!("write {wanted}; docs/cell-file.md shows an example"),
    };
    faults.add(value.span(), format!("{path} must be {wanted}"), format!("this is {found}"), help);
}

/// Two things that must differ are equal.
pub(super) fn twice(
    faults: &mut Faults,
    first: Range<usize>,
    second: Range<usize>,
    message: String,
    help: &str,
) {
    faults.push(Fault {
        at: second,
        message,
        label: "again here".to_owned(),
        help: help.to_owned(),
        also: Some((first, "first here".to_owned())),
    });
}

/// Help for a name that is none of `known`.
pub(super) fn did_you_mean(name: &str, known: &[&str], list: &str) -> String {
    // A third of the letters may be wrong; more and the guess is noise.
    let nearest = known
        .iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance);
    let mut all: Vec<_> =
        known.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if known.len() > all.len() {
        all.push(format!("and {} more", known.len() - all.len()));
    }
    let all = all.join(", ");
    match nearest {
        Some((_, candidate)) => format!("did you mean `{candidate}`? {list}: {all}"),
        None if known.is_empty() => format!("{list}: none"),
        None => format!("{list}: {all}"),
    }
}

/// Levenshtein's distance, in bytes: keys and names are ASCII.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_guessed_and_far_ones_are_not() {
        for (name, guess) in [("prot", Some("port")), ("may-call", Some("may_call")), ("x", None)] {
            let help = did_you_mean(name, &["port", "may_call"], "the keys are");
            let said = help.strip_prefix("did you mean `").and_then(|rest| rest.split('`').next());
            assert_eq!(said, guess, "{help}");
        }
    }
}
