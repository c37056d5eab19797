//! Lists that are too long to be held, shown as they come.

use std::marker::PhantomData;

use miette::IntoDiagnostic as _;
use serde::Serialize;

use super::Output;
use super::args::Format;
use super::render::{Listed, Rows};

/// One list that is shown page by page: as text a table, as JSON one array, which reads as if it had
/// been written at once. One that was cut short has no end.
#[must_use = "a list that is not ended is no JSON"]
pub(super) struct Pages<'o, T, const N: usize> {
    out: &'o Output,
    rows: Rows<N>,
    array: JsonArray,
    items: PhantomData<fn(&T)>,
}

impl<'o, T: Listed<N> + Serialize, const N: usize> Pages<'o, T, N> {
    pub(super) fn new(out: &'o Output) -> Self {
        let (rows, array) = (Rows::new(out.style()), JsonArray::default());
        Self { out, rows, array, items: PhantomData }
    }

    /// # Errors
    /// As [`Output::show`].
    pub(super) fn show(&mut self, items: &[T]) -> miette::Result<()> {
        let text = match self.out.format {
            Format::Text | Format::Env => self.rows.more(items),
            Format::Json => self.array.more(items).into_diagnostic()?,
        };
        self.out.bytes(text.as_bytes())
    }

    /// # Errors
    /// As [`Output::show`].
    pub(super) fn end(self) -> miette::Result<()> {
        let text = match self.out.format {
            Format::Text | Format::Env => self.rows.end::<T>(),
            Format::Json => self.array.end(),
        };
        self.out.bytes(text.as_bytes())
    }
}

/// A JSON array that is written as its items come, in the form that [`Output::json`] gives it.
#[derive(Default)]
struct JsonArray {
    begun: bool,
}

impl JsonArray {
    fn more<T: Serialize>(&mut self, items: &[T]) -> serde_json::Result<String> {
        let mut text = String::new();
        for item in items {
            text.push_str(if self.begun { ",\n  " } else { "[\n  " });
            self.begun = true;
            // Within a string a line feed is escaped.
            text.push_str(&serde_json::to_string_pretty(item)?.replace('\n', "\n  "));
        }
        Ok(text)
    }

    fn end(self) -> String {
        if self.begun { "\n]\n".to_owned() } else { "[]\n".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_in_pieces_reads_as_the_whole() {
        let item = |number: u32| serde_json::json!({ "n": number, "of": ["a\nb"], "none": {} });
        for lengths in [&[][..], &[0], &[1], &[0, 1, 0, 2], &[3, 1]] {
            let (mut array, mut all, mut text) = (JsonArray::default(), Vec::new(), String::new());
            for length in lengths {
                let items: Vec<_> = (0..*length).map(item).collect();
                text.push_str(&array.more(&items).unwrap());
                all.extend(items);
            }
            text.push_str(&array.end());
            assert_eq!(text, serde_json::to_string_pretty(&all).unwrap() + "\n");
        }
    }
}
