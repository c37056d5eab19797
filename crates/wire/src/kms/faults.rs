//! What is wrong with the members of a request, gathered into the one sentence AWS answers with.

use std::fmt::{self, Display, Write as _};

use super::request::RequestFault;

/// Where a member stands in its request. Rendered only when something is wrong there.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step,
}

#[derive(Clone, Copy)]
enum Step {
    Member(&'static str),
    /// Counted from one, as AWS does.
    Element(usize),
}

impl<'p> Path<'p> {
    pub(crate) fn member(parent: Option<&'p Path<'p>>, name: &'static str) -> Self {
        Self { parent, step: Step::Member(name) }
    }

    pub(crate) fn element(parent: &'p Path<'p>, index: usize) -> Self {
        Self { parent: Some(parent), step: Step::Element(index + 1) }
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        match self.step {
            // AWS names the members of its own classes, which begin with a small letter.
            Step::Member(name) => {
                let mut letters = name.chars();
                if let Some(first) = letters.next() {
                    f.write_char(first.to_ascii_lowercase())?;
                }
                f.write_str(letters.as_str())
            }
            Step::Element(number) => write!(f, "{number}.member"),
        }
    }
}

/// The value at fault, as far as AWS shows it.
pub(crate) enum Shown<'v> {
    Null,
    Text(&'v str),
    Number(i32),
    List(&'v [&'v str]),
    /// A blob, or something secret.
    Hidden,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Value null"),
            Self::Text(text) => write!(f, "Value '{text}'"),
            Self::Number(number) => write!(f, "Value '{number}'"),
            Self::List(elements) => write!(f, "Value '[{}]'", elements.join(", ")),
            Self::Hidden => f.write_str("Value"),
        }
    }
}

/// Beyond this, faults are only counted: a body full of empty tags would be answered with tens of
/// times its length. A policy that is too long is still repeated whole.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Empty, and free of allocations, as long as all is well.
#[derive(Default)]
pub(crate) struct Faults {
    count: usize,
    text: String,
}

impl Faults {
    pub(crate) fn add(&mut self, value: &Shown<'_>, at: &Path<'_>, constraint: fmt::Arguments<'_>) {
        self.count += 1;
        if self.text.len() > TEXT_BYTES_MAX {
            return;
        }
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        // Writing to a `String` cannot fail.
        let _ = write!(
            self.text,
            "{value} at '{at}' failed to satisfy constraint: Member must {constraint}"
        );
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn into_request_fault(self) -> RequestFault {
        let Self { count, text } = self;
        let plural = if count == 1 { "error" } else { "errors" };
        RequestFault::Validation(format!("{count} validation {plural} detected: {text}"))
    }
}
