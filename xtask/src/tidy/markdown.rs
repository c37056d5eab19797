//! One sentence per line, so that a changed sentence is a changed line; and no dead ends.
//!
//! The first is a heuristic: a line of prose in which a sentence ends and a capital follows.
//! Tables, code and headings are not prose.

use super::Violation;

/// A full stop after these ends no sentence.
const ABBREVIATIONS: &[&str] =
    &["e.g", "i.e", "etc", "cf", "vs", "No", "St", "Dr", "Mr", "Ms", "approx", "Fig", "Sec"];

pub(super) fn one_sentence_per_line(file: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut fence = None;
    for (n, line) in text.lines().enumerate() {
        let content = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|marker| content.starts_with(marker));
        match (fence, marker) {
            (None, Some(_)) => fence = marker,
            (Some(open), Some(close)) if open == close => fence = None,
            _ => {}
        }
        let is_prose = fence.is_none()
            && marker.is_none()
            && !content.starts_with(['|', '#', '<'])
            && !line.starts_with("    ");
        if is_prose && has_two_sentences(&without_code(content)) {
            found.push(Violation::new(file, n + 1, "two sentences on one line: break after each"));
        }
    }
    found
}

/// Where a document's code spans begin when they name a file of the project.
const TREES: &[&str] = &["crates/", "xtask/", "examples/", "docs/", "fuzz/"];

/// A document that sends its reader to a file sends him to one that is there.
///
/// A span such as `crates/keys/src/wrap.rs` is a promise; a pattern, or the short
/// `keys/src/wrap.rs`, is a manner of speaking.
pub(super) fn documents_name_files_that_exist(
    file: &str,
    text: &str,
    files: &[String],
) -> Vec<Violation> {
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let spans = line.split('`').skip(1).step_by(2);
        for span in spans.filter(|span| TREES.iter().any(|tree| span.starts_with(tree))) {
            let is_pattern = span.contains(['*', '{', '<', ' ', '…']) || span.contains("NNNN");
            let directory = format!("{}/", span.trim_end_matches('/'));
            let exists = files.iter().any(|file| file == span || file.starts_with(&directory));
            if !is_pattern && !exists {
                let advice = format!("there is no `{span}`: name the file that is meant");
                found.push(Violation::new(file, n + 1, advice));
            }
        }
    }
    found
}

fn has_two_sentences(prose: &str) -> bool {
    let mut words = prose.split_whitespace().peekable();
    // An ordered list's number ends no sentence.
    if words.peek().is_some_and(|first| first.trim_end_matches('.').parse::<u32>().is_ok()) {
        words.next();
    }
    while let Some(word) = words.next() {
        let Some(next) = words.peek() else { break };
        let bare = word.trim_end_matches(['"', '\'', ')', '*', '_', '`', '”', '’']);
        let next = next.trim_start_matches(['"', '\'', '(', '*', '_', '[', '`', '“', '‘']);
        if !next.starts_with(char::is_uppercase) {
            continue;
        }
        let ends = match bare.strip_suffix('.') {
            Some(before) => !ABBREVIATIONS.contains(&before.trim_start_matches(['(', '*', '_'])),
            None => bare.ends_with(['!', '?']),
        };
        if ends {
            return true;
        }
    }
    false
}

/// A code span becomes one word: its punctuation is not the sentence's.
fn without_code(line: &str) -> String {
    let spans = line.split('`').enumerate();
    spans.map(|(n, part)| if n % 2 == 0 { part } else { "Code" }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let found = one_sentence_per_line("a.md", text);
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn two_sentences_on_a_line_are_caught() {
        assert_eq!(lines("One.\nTwo. Three.\n"), [2]);
        assert_eq!(lines("* One. Two."), [1]);
        assert_eq!(lines("> Why? Because."), [1]);
        assert_eq!(lines("1. One. Two."), [1]);
        assert_eq!(lines("**Bold.** Then more."), [1]);
        assert_eq!(lines("Said (so). [Link](x) follows."), [1]);
        assert_eq!(lines("It is `a`. `b` follows."), [1]);
    }

    #[test]
    fn a_file_that_is_not_there_is_caught() {
        let files = ["crates/keys/src/wrap.rs".to_owned(), "docs/a/b.md".to_owned()];
        let lines = |text| {
            let found = documents_name_files_that_exist("a.md", text, &files);
            found.iter().map(|violation| violation.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("See\n`crates/keys/src/unwrap.rs`.\n`docs/a` `docs/c/`"), [2, 3]);
        assert_eq!(
            lines("`crates/keys/src/wrap.rs`, `docs/a/`, `crates/keys`, `keys/src/x.rs`"),
            [0; 0]
        );
        assert_eq!(lines("`docs/decisions/NNNN-title.md` `crates/*/src` `crates/keys x`"), [0; 0]);
    }

    #[test]
    fn prose_of_one_sentence_and_what_is_not_prose_pass() {
        assert_eq!(
            lines("Take one, e.g. Redis, of v1.2 and 10.0.0.1.\n1. One.\n2. Two.\n"),
            [0; 0]
        );
        assert_eq!(lines("| a. B | c. D |\n# 1. Title. Here\n    code. Code\n"), [0; 0]);
        assert_eq!(lines("```\nA. B.\n```\nC. D.\n"), [4]);
        assert_eq!(lines("Call `a. B` now."), [0; 0]);
    }
}
