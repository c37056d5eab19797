//! One sentence per line, so that a changed sentence is a changed line.
//!
//! A heuristic: a line of prose in which a sentence ends and a capital follows. Tables, code and
//! headings are not prose.

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
    fn prose_of_one_sentence_and_what_is_not_prose_pass() {
        assert_eq!(lines("Take one, e.g. Redis, of v1.2 and 10.0.0.1.\n1. One.\n2. Two.\n"), []);
        assert_eq!(lines("| a. B | c. D |\n# 1. Title. Here\n    code. Code\n"), []);
        assert_eq!(lines("```\nA. B.\n```\nC. D.\n"), [4]);
        assert_eq!(lines("Call `a. B` now."), []);
    }
}
