//! What is wrong with a cell file, shown where it is wrong.

use std::{ops::Range, path::Path, sync::Arc};

use miette::{Diagnostic, LabeledSpan, NamedSource};
use thiserror::Error;

use super::FAULTS_SHOWN_MAX;

/// Why a cell file could not be used.
#[derive(Debug, Error, Diagnostic)]
pub enum CellFileError {
    #[error("cannot read the cell file `{path}`: {reason}")]
    Unreadable {
        path: String,
        reason: String,
        #[help]
        help: String,
    },
    #[error("the cell file `{path}` has {count}")]
    Faulty {
        path: String,
        count: String,
        #[related]
        faults: Vec<ShownFault>,
    },
}

/// One fault with the text around it.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
pub struct ShownFault {
    message: String,
    #[source_code]
    source_code: NamedSource<Arc<str>>,
    #[label(collection)]
    labels: Vec<LabeledSpan>,
    #[help]
    help: String,
}

/// A fault as it is found. Offsets are in bytes of the file.
pub(super) struct Fault {
    pub(super) at: Range<usize>,
    /// What is wrong, in a sentence that makes sense without the file at hand.
    pub(super) message: String,
    /// What stands under the span.
    pub(super) label: String,
    /// What to change.
    pub(super) help: String,
    /// Another place that the fault is about, such as the first of two equal names.
    pub(super) also: Option<(Range<usize>, String)>,
}

#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(
        &mut self,
        at: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Fault {
            at,
            message: message.into(),
            label: label.into(),
            help: help.into(),
            also: None,
        });
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Faults come in the order of the file, whatever order the checks ran in.
    pub(super) fn into_error(mut self, file: &Path, text: &str) -> CellFileError {
        self.0.sort_by_key(|fault| fault.at.start);
        let path = file.display().to_string();
        let text: Arc<str> = text.into();
        let count = match self.0.len() {
            1 => "a fault".to_owned(),
            n if n > FAULTS_SHOWN_MAX => {
                format!("{n} faults, of which these are the first {FAULTS_SHOWN_MAX}")
            }
            n => format!("{n} faults"),
        };
        let faults = self.0.into_iter().take(FAULTS_SHOWN_MAX);
        let faults = faults.map(|fault| fault.shown(&path, &text)).collect();
        CellFileError::Faulty { path, count, faults }
    }
}

impl Fault {
    fn shown(self, path: &str, text: &Arc<str>) -> ShownFault {
        // The first label is the one whose line the report's header names.
        let mut labels = vec![LabeledSpan::new_primary_with_span(Some(self.label), self.at)];
        labels.extend(self.also.map(|(at, label)| LabeledSpan::new_with_span(Some(label), at)));
        ShownFault {
            message: self.message,
            source_code: NamedSource::new(path, Arc::clone(text)),
            labels,
            help: self.help,
        }
    }
}
