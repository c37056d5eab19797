//! Where a command works and how it speaks.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use miette::{Diagnostic, IntoDiagnostic as _, WrapErr as _};
use serde::Serialize;

use super::{
    args::{Format, GlobalArgs},
    render::{Style, Text},
};

/// What every command is given beside its own arguments.
#[derive(Clone, Debug)]
pub struct Output {
    /// The folder of the cell.
    pub dir: PathBuf,
    pub format: Format,
    /// Named by `--passphrase-file`.
    pub passphrase_file: Option<PathBuf>,
    /// Named by `--share-file`.
    pub share_files: Vec<PathBuf>,
    style: Style,
    terminal: bool,
}

/// Nobody reads our output any more. It ends the command without a word.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the reader of the output has gone")]
pub struct ReaderGone;

impl Output {
    #[must_use]
    pub fn new(global: &GlobalArgs) -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = terminal && !dumb && !set("NO_COLOR");
        Self {
            dir: global.dir.clone(),
            format: global.output,
            passphrase_file: global.passphrase_file.clone(),
            share_files: global.share_files.clone(),
            style: if colour { Style::Colour } else { Style::Plain },
            terminal: terminal && !dumb,
        }
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether lines already shown can be drawn over.
    #[must_use]
    pub fn redraws(&self) -> bool {
        self.terminal && self.format == Format::Text
    }

    /// Shows `value` in the format that was asked for.
    ///
    /// # Errors
    /// If it cannot be written; [`ReaderGone`] if nobody reads.
    pub fn show<T: Serialize + Text>(&self, value: &T) -> miette::Result<()> {
        match self.format {
            Format::Text | Format::Env => self.line(value.text(self.style).trim_end()),
            Format::Json => self.json(value),
        }
    }

    /// # Errors
    /// As for [`Self::show`].
    pub fn json<T: Serialize>(&self, value: &T) -> miette::Result<()> {
        let text = serde_json::to_string_pretty(value).into_diagnostic()?;
        self.line(&text)
    }

    /// # Errors
    /// As for [`Self::show`].
    pub fn line(&self, text: &str) -> miette::Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// # Errors
    /// As for [`Self::show`].
    pub fn bytes(&self, bytes: &[u8]) -> miette::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
            Err(error) => Err(error).into_diagnostic().wrap_err("cannot write the output"),
        }
    }

    /// A remark beside the answer. It goes to stderr, so that scripts read the answer alone.
    pub fn remark(&self, text: &str) {
        // With stderr closed there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Leaves the breaking of long lines to the terminal: broken by us, ids and paths could neither be
/// copied nor searched for.
pub fn set_up_diagnostics() {
    // It can only be set once, and nobody else does.
    let _ = miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())
    }));
}

/// Shows why a command failed.
pub fn complain(report: &miette::Report) {
    // As above; `eprintln!` would panic.
    let _ = writeln!(io::stderr(), "{report:?}");
}
