//! The status view of `sealane up`: drawn in place on a terminal, else a line per change.

use std::{collections::BTreeMap, io};

use super::{
    Output,
    args::Format,
    model::Status,
    render::{Text as _, state_name},
};

/// Rows and columns where the terminal does not tell.
const ROWS_DEFAULT: usize = 24;
const COLUMNS_DEFAULT: usize = 80;

/// Shows one status after another. A reader that goes away ends the showing and nothing else: the
/// cell runs on when the pipe behind it breaks.
pub struct Live {
    out: Output,
    /// Lines on the screen that belong to the last drawing.
    drawn: usize,
    /// What was last said of each thing.
    said: BTreeMap<String, String>,
    last: Option<Status>,
    gone: bool,
}

impl Live {
    #[must_use]
    pub fn new(out: &Output) -> Self {
        let (drawn, said, last) = (0, BTreeMap::new(), None);
        Self { out: out.clone(), drawn, said, last, gone: false }
    }

    pub fn show(&mut self, status: &Status) {
        if self.gone || self.last.as_ref() == Some(status) {
            return;
        }
        let text = if self.out.format == Format::Json {
            serde_json::to_string(status).map(|json| json + "\n").unwrap_or_default()
        } else if self.out.redraws() {
            let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
            let size = size.filter(|size| size.ws_row > 1 && size.ws_col > 1);
            let (rows, columns) = size.map_or((ROWS_DEFAULT, COLUMNS_DEFAULT), |size| {
                (usize::from(size.ws_row), usize::from(size.ws_col))
            });
            let lines = fit(&status.text(self.out.style()), rows - 1, columns);
            let back = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
            self.drawn = lines.len();
            format!("{back}\r\x1b[J{}\n", lines.join("\n"))
        } else {
            self.changes(status)
        };
        self.last = Some(status.clone());
        self.gone = self.out.bytes(text.as_bytes()).is_err();
    }

    /// A line above the view, such as a request to stop.
    pub fn say(&mut self, text: &str) {
        if self.drawn > 0 {
            // Draw over the view; the next status is drawn below the line. `bytes` flushes, so
            // that this takes hold before the line goes out by stderr.
            let clear = format!("\x1b[{}A\r\x1b[J", self.drawn);
            self.gone = self.out.bytes(clear.as_bytes()).is_err();
            self.drawn = 0;
        }
        self.out.remark(text);
        if let Some(status) = self.last.take().filter(|_| self.out.redraws()) {
            self.show(&status);
        }
    }

    /// What is new since the last time. Numbers that only grow are left out: they would make a
    /// line per request.
    fn changes(&mut self, status: &Status) -> String {
        let mut now = Vec::new();
        let why = |reason: &Option<String>| {
            reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"))
        };
        for s in &status.services {
            let restarts =
                if s.restarts > 0 { format!(", restarts {}", s.restarts) } else { String::new() };
            let is = format!("{}{restarts}{}", state_name(s.state), why(&s.reason));
            now.push((format!("service {}/{}", s.tenant, s.name), is));
        }
        for v in &status.volumes {
            let is = format!("{}{}", state_name(v.state), why(&v.reason));
            now.push((format!("volume {}/{}", v.tenant, v.name), is));
        }
        for k in &status.keys {
            now.push((format!("key {}", k.id), state_name(k.state)));
        }
        for warning in &status.warnings {
            now.push((format!("warning: {warning}"), String::new()));
        }
        let ready = if status.ready { "ready" } else { "not ready" };
        now.push(("cell".to_owned(), ready.to_owned()));

        let mut text = String::new();
        for (what, is) in &now {
            if self.said.get(what) != Some(is) {
                let line = format!("{what} {is}");
                text.push_str(&line.trim_end().replace(char::is_control, "\u{fffd}"));
                text.push('\n');
            }
        }
        // A key that is not shown may have made room for another.
        let all_keys = status.keys_total <= status.keys.len() as u64;
        let known = self.said.keys().filter(|what| all_keys || !what.starts_with("key "));
        for what in known.filter(|what| !now.iter().any(|(now, _)| now == *what)) {
            text.push_str(&format!("{} gone\n", what.replace(char::is_control, "\u{fffd}")));
        }
        self.said = now.into_iter().collect();
        text
    }
}

/// Lines cut to what the screen holds: a line that wraps, or more lines than rows, would put the
/// next drawing in the wrong place.
fn fit(text: &str, rows: usize, columns: usize) -> Vec<String> {
    let all: Vec<_> = text.lines().collect();
    let mut lines: Vec<_> = all.iter().take(rows).map(|line| cut(line, columns)).collect();
    if all.len() > rows
        && let Some(last) = lines.last_mut()
    {
        *last = cut(&format!("… {} more lines: sealane status", all.len() - rows + 1), columns);
    }
    lines
}

/// The first `columns` characters that are shown, and every escape sequence.
fn cut(line: &str, columns: usize) -> String {
    let mut shown = 0;
    let mut kept = String::new();
    let mut escaped = false;
    for c in line.chars() {
        if escaped {
            kept.push(c);
            escaped = c != 'm';
        } else if c == '\x1b' {
            kept.push(c);
            escaped = true;
        } else if shown < columns {
            kept.push(c);
            shown += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_only_what_changed_is_said() {
        let global = super::super::args::GlobalArgs {
            dir: "d".into(),
            output: Format::Text,
            passphrase_file: None,
            share_files: Vec::new(),
        };
        let mut live = Live::new(&Output::new(&global));
        let mut status = Status::default();
        assert_eq!(live.changes(&status), "cell not ready\n");
        status.ready = true;
        status.warnings.push("no isolation".into());
        assert_eq!(live.changes(&status), "warning: no isolation\ncell ready\n");
        assert_eq!(live.changes(&status), "");
        status.warnings.clear();
        assert_eq!(live.changes(&status), "warning: no isolation gone\n");
    }

    #[test]
    fn a_drawing_fits_the_screen() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("\x1b[31mabcdef\x1b[0m", 3), "\x1b[31mabc\x1b[0m");
        assert_eq!(fit("a\nb\nc\n", 3, 80), ["a", "b", "c"]);
        assert_eq!(fit("a\nb\nc\nd\n", 3, 80), ["a", "b", "… 2 more lines: sealane status"]);
        assert_eq!(fit("a\nb\nc\nd\n", 1, 6), ["… 4 mo"]);
    }
}
