//! Files that stay readable, tests that run, and nothing put off.

use super::source::Source;
use super::{Violation, crate_of};

const LINES_MAX: usize = 1000;
const REASON: &str = "one file because";

/// Past [`LINES_MAX`] the file's first comment says why it is still one thing.
pub(super) fn long_files_give_a_reason(file: &str, text: &str) -> Vec<Violation> {
    let lines = text.lines().count();
    let mut first_comment = text.lines().take_while(|line| line.starts_with("//"));
    if lines <= LINES_MAX || first_comment.any(|line| line.contains(REASON)) {
        return Vec::new();
    }
    let advice = format!(
        "{lines} lines, of at most {LINES_MAX}: look for a second subject, or say \"{REASON} …\" \
         in the file's first comment"
    );
    vec![Violation::new(file, LINES_MAX + 1, advice)]
}

/// What cannot run here is listed as skipped by libtest-mimic, by name; nothing hides.
pub(super) fn no_test_is_ignored(file: &str, source: &Source) -> Vec<Violation> {
    let attribute = (0..source.tokens.len()).filter(|&at| source.reads(at, &["#", "[", "ignore"]));
    let conditional = (0..source.tokens.len()).filter(|&at| {
        source.reads(at, &["#", "[", "cfg_attr"])
            && source.tokens[at..].iter().take_while(|t| t.text != "]").any(|t| t.text == "ignore")
    });
    let lines = attribute.chain(conditional).map(|at| source.tokens[at].line);
    // An example in a doc comment is a test too.
    let examples = source.comments.iter().filter(|comment| comment.text.contains("```ignore"));
    let lines = lines.chain(examples.map(|comment| comment.line));
    let advice = "an ignored test never fails: delete it, or skip by name with libtest-mimic";
    lines.map(|line| Violation::new(file, line, advice)).collect()
}

/// Spelled so that this file does not find itself.
const LATER: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
const LATER_MACROS: &[&str] = &["todo", "unimplemented"];

/// As [`nothing_is_left_for_later`], in comments and code but not in strings.
pub(super) fn nothing_is_left_for_later_in_rust(file: &str, source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for comment in source.comments.iter().filter(|comment| names_later(&comment.text)) {
        found.push(later(file, comment.line));
    }
    for (at, token) in source.tokens.iter().enumerate() {
        let word = token.text.as_str();
        let is_macro = LATER_MACROS.contains(&word) && source.reads(at + 1, &["!"]);
        if is_macro || LATER.contains(&word) {
            found.push(later(file, token.line));
        }
    }
    found
}

/// No note that something is still to be done: do it, or open an issue.
pub(super) fn nothing_is_left_for_later(file: &str, text: &str) -> Vec<Violation> {
    let lines = text.lines().enumerate().filter(|(_, line)| names_later(line));
    lines.map(|(n, _)| later(file, n + 1)).collect()
}

fn names_later(text: &str) -> bool {
    text.split(|char: char| !char.is_alphanumeric()).any(|word| LATER.contains(&word))
}

fn later(file: &str, line: usize) -> Violation {
    Violation::new(file, line, "something is left for later: do it now, or open an issue for it")
}

/// A crate's first line tells what it is.
pub(super) fn crate_roots_introduce_themselves(file: &str, text: &str) -> Vec<Violation> {
    let is_root = crate_of(file).is_some_and(|(_, inside)| inside == "src/lib.rs");
    if is_root && !text.starts_with("//!") {
        let advice = "a crate's root begins with `//!`: what it decides, what it deliberately does \
                      not know, where to start reading";
        return vec![Violation::new(file, 1, advice)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_needs_a_reason() {
        let at_limit = "x\n".repeat(LINES_MAX);
        assert_eq!(long_files_give_a_reason("a.rs", &at_limit), []);
        let longer = format!("//! A machine.\n{at_limit}");
        assert_eq!(long_files_give_a_reason("a.rs", &longer)[0].line, LINES_MAX + 1);
        let reasoned = format!("//! A machine: one file because it is checked as one.\n{at_limit}");
        assert_eq!(long_files_give_a_reason("a.rs", &reasoned), []);
        let too_late = format!("{at_limit}// one file because\n");
        assert_eq!(long_files_give_a_reason("a.rs", &too_late).len(), 1);
    }

    #[test]
    fn ignored_tests_are_caught() {
        let lines = |text| {
            let found = no_test_is_ignored("a.rs", &Source::parse(text));
            found.iter().map(|violation| violation.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("#[test]\n#[ignore]\nfn f() {}"), [2]);
        assert_eq!(lines("#[test]\n#[ignore = \"slow\"]\nfn f() {}"), [2]);
        assert_eq!(lines("#[cfg_attr(not(root), ignore)]\nfn f() {}"), [1]);
        assert_eq!(lines("/// ```ignore\n/// f();\n/// ```\nfn f() {}"), [1]);
        assert_eq!(lines("// #[ignore]\nfn ignore() { ignore() }"), [0; 0]);
    }

    #[test]
    fn what_is_left_for_later_is_caught() {
        let rust =
            |text: &str| nothing_is_left_for_later_in_rust("a.rs", &Source::parse(text)).len();
        for word in LATER {
            assert_eq!(rust(&format!("// {word}: more\n")), 1);
            assert_eq!(rust(&format!("/* a\n {word} */ fn f() {{}}")), 1);
            assert_eq!(nothing_is_left_for_later("a.md", &format!("x\n{word}: y\n"))[0].line, 2);
            assert_eq!(nothing_is_left_for_later("a.py", &format!("{word}S\n")), []);
        }
        for word in LATER_MACROS {
            assert_eq!(rust(&format!("fn f() {{ {word}!() }}")), 1);
        }
        assert_eq!(rust("fn f(todo: u8) -> u8 { todo }"), 0);
    }

    #[test]
    fn a_crate_without_an_introduction_is_caught() {
        assert_eq!(crate_roots_introduce_themselves("crates/keys/src/lib.rs", "mod a;").len(), 1);
        assert_eq!(crate_roots_introduce_themselves("crates/keys/src/lib.rs", "//! Keys."), []);
        assert_eq!(crate_roots_introduce_themselves("crates/keys/src/a.rs", "mod a;"), []);
    }
}
