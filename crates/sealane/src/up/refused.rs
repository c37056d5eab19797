//! What in the cell file keeps a cell from starting though the file as such is right, shown at its
//! line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};

use super::control_task::StartError;
use crate::config;
use crate::ipc::CallError;
use crate::ipc::messages::Refusal;
use crate::roles::boot::NeedsOperator;

/// A place in the cell file. Where it cannot be found any more, the file alone is named.
pub(super) struct Place {
    pub file: Arc<NamedSource<String>>,
    pub at: Vec<LabeledSpan>,
}

impl Place {
    /// The value of the first `key = "value"` with this value.
    #[must_use]
    pub(super) fn of_value(cell: &config::Cell, key: &str, value: &str, label: &str) -> Self {
        let text = std::fs::read_to_string(&cell.file).unwrap_or_default();
        let at = find(&text, key, value).map(|start| {
            let span = SourceSpan::new(start.into(), value.len());
            LabeledSpan::new_primary_with_span(Some(label.to_owned()), span)
        });
        Self {
            file: Arc::new(NamedSource::new(cell.file.display().to_string(), text)),
            at: at.into_iter().collect(),
        }
    }
}

fn find(text: &str, key: &str, value: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let code = line.trim_start();
        if code.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
            && let Some(at) = line.find(value)
        {
            return Some(start + at);
        }
        start += line.len();
    }
    None
}

#[derive(Debug, thiserror::Error, Diagnostic)]
enum StartRefused {
    #[error("the cell in {} has the trust domain {trust_domain}, not that of the cell file", dir.display())]
    #[diagnostic(help(
        "identities cannot change: write `trust_domain = \"{trust_domain}\"`, or use another --dir"
    ))]
    OtherTrustDomain {
        dir: PathBuf,
        trust_domain: String,
        #[source_code]
        file: Arc<NamedSource<String>>,
        #[label(collection)]
        at: Vec<LabeledSpan>,
    },
    #[error("the cell in {} does not start: {error}", dir.display())]
    Other {
        dir: PathBuf,
        error: StartError,
        #[help]
        help: Option<String>,
    },
}

/// What an operator reads when control does not start.
pub(super) fn start(cell: &config::Cell, dir: &Path, error: StartError) -> miette::Report {
    let dir = dir.to_owned();
    match error {
        StartError::Told(CallError::Refused(Refusal::OtherTrustDomain {
            cell: trust_domain,
            file,
        })) => {
            let Place { file, at } =
                Place::of_value(cell, "trust_domain", &file, "the cell has another");
            StartRefused::OtherTrustDomain { dir, trust_domain, file, at }.into()
        }
        StartError::Told(CallError::Refused(refusal)) => crate::cli::cell::refused(refusal)
            .wrap_err(format!("the cell in {} does not start", dir.display())),
        error => {
            let told = match &error {
                StartError::Ended(error) => error.get_ref(),
                StartError::Told(_) => None,
            };
            let told = told.and_then(|told| told.downcast_ref::<NeedsOperator>());
            let help = told.and_then(|told| told.help.clone());
            StartRefused::Other { dir, error, help }.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_at_its_key_only() {
        let text =
            "# trust_domain = \"a.example\"\nname = \"a.example\"\n trust_domain=\"a.example\"";
        assert_eq!(find(text, "trust_domain", "a.example"), text.rfind("a.example"));
        assert_eq!(find(text, "trust_domain", "b.example"), None);
        assert_eq!(find(text, "listen", "a.example"), None);
    }
}
