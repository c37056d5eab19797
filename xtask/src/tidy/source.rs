//! Just enough of Rust's grammar: tokens without comments and strings, which of them are compiled
//! for tests only, and the paths that they spell, `use` trees unfolded.
//!
//! A real parser would be a dependency larger than this whole program, and still need the same
//! walk over `use` trees.

/// A word or a single punctuation character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
    /// Under `#[cfg(test)]`.
    pub(super) for_tests: bool,
}

/// A path as written, `std::fs::File`; one entry for each leaf of a `use` tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourcePath {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    pub(super) for_tests: bool,
}

impl SourcePath {
    pub(super) fn starts_with(&self, path: &str) -> bool {
        let mut segments = self.segments.iter();
        path.split("::").all(|wanted| segments.next().is_some_and(|segment| segment == wanted))
    }

    pub(super) fn ends_with(&self, path: &str) -> bool {
        let mut segments = self.segments.iter().rev();
        path.rsplit("::").all(|wanted| segments.next().is_some_and(|segment| segment == wanted))
    }

    pub(super) fn mentions(&self, word: &str) -> bool {
        self.segments.iter().any(|segment| segment == word)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) text: String,
    pub(super) line: usize,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) tokens: Vec<Token>,
    /// One entry for each line of each comment.
    pub(super) comments: Vec<Comment>,
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1 };
        let (mut tokens, comments) = lexer.run();
        mark_tests(&mut tokens);
        Self { tokens, comments }
    }

    /// Every path in the code, `use` trees unfolded.
    pub(super) fn paths(&self) -> Vec<SourcePath> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if self.tokens[at].text == "use" {
                at = self.use_tree(at + 1, &[], &mut paths);
            } else if is_word(&self.tokens[at].text) {
                at = self.plain_path(at, &mut paths);
            } else {
                at += 1;
            }
        }
        paths
    }

    /// The files' modules that are declared for tests: what they hold is compiled for tests only.
    pub(super) fn test_modules(&self) -> Vec<&str> {
        let declared = self
            .tokens
            .windows(3)
            .filter(|three| three[0].for_tests && three[0].text == "mod" && three[2].text == ";");
        declared.map(|three| three[1].text.as_str()).collect()
    }

    /// Marks the whole file as compiled for tests only.
    pub(super) fn mark_for_tests(&mut self) {
        self.tokens.iter_mut().for_each(|token| token.for_tests = true);
    }

    /// Whether the tokens from `at` on read as `words`.
    pub(super) fn reads(&self, at: usize, words: &[&str]) -> bool {
        words.len() <= self.tokens.len() - at
            && words.iter().zip(&self.tokens[at..]).all(|(word, token)| token.text == *word)
    }

    fn plain_path(&self, mut at: usize, paths: &mut Vec<SourcePath>) -> usize {
        let Token { line, for_tests, .. } = self.tokens[at];
        let mut segments = vec![self.tokens[at].text.clone()];
        at += 1;
        while self.reads(at, &[":", ":"])
            && self.tokens.get(at + 2).is_some_and(|token| is_word(&token.text))
        {
            segments.push(self.tokens[at + 2].text.clone());
            at += 3;
        }
        paths.push(SourcePath { segments, line, for_tests });
        at
    }

    /// Reads one tree of a `use` and gives where it ends.
    fn use_tree(&self, mut at: usize, prefix: &[String], paths: &mut Vec<SourcePath>) -> usize {
        let mut segments = prefix.to_vec();
        let mut last = at;
        while let Some(token) = self.tokens.get(at) {
            match token.text.as_str() {
                ":" => at += 1,
                "{" => {
                    at += 1;
                    while self.tokens.get(at).is_some_and(|token| token.text != "}") {
                        let next = self.use_tree(at, &segments, paths);
                        // A stray token must not stop the reading of what follows.
                        at = next.max(at + 1);
                        if self.reads(at, &[","]) {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                // The name after `as` is ours, not theirs.
                "as" => at += 2,
                word if is_word(word) || word == "*" => {
                    segments.push(word.to_owned());
                    last = at;
                    at += 1;
                }
                _ => break,
            }
        }
        if let Some(token) = self.tokens.get(last) {
            let Token { line, for_tests, .. } = *token;
            paths.push(SourcePath { segments, line, for_tests });
        }
        at
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn is_word_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Marks what follows a `#[cfg(test)]` or `#[test]`: up to the end of its block, or its semicolon.
fn mark_tests(tokens: &mut [Token]) {
    let is = |tokens: &[Token], at: usize, words: &[&str]| {
        words
            .iter()
            .enumerate()
            .all(|(n, word)| tokens.get(at + n).is_some_and(|token| token.text == *word))
    };
    let mut at = 0;
    while at < tokens.len() {
        let length = if is(tokens, at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            7
        } else if is(tokens, at, &["#", "[", "test", "]"]) {
            4
        } else {
            at += 1;
            continue;
        };
        let end = item_end(tokens, at + length);
        tokens[at..end].iter_mut().for_each(|token| token.for_tests = true);
        at = end;
    }
}

/// Where the item that begins at `at` ends: after its first block, or its semicolon.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    let (mut braces, mut brackets) = (0usize, 0usize);
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text.as_str() {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets = brackets.saturating_sub(1),
            "{" => braces += 1,
            "}" => {
                braces = braces.saturating_sub(1);
                // `use a::{b};` goes on after its brace.
                let goes_on = tokens.get(at).is_some_and(|next| next.text == ";");
                if braces == 0 && brackets == 0 && !goes_on {
                    break;
                }
            }
            ";" if braces == 0 && brackets == 0 => break,
            _ => {}
        }
    }
    at
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn run(&mut self) -> (Vec<Token>, Vec<Comment>) {
        let (mut tokens, mut comments) = (Vec::new(), Vec::new());
        while let Some(char) = self.peek(0) {
            if char == '/' && self.peek(1) == Some('/') {
                let (start, line) = (self.at, self.line);
                while self.peek(0).is_some_and(|char| char != '\n') {
                    self.next();
                }
                comments.push(Comment { text: self.chars[start..self.at].iter().collect(), line });
            } else if char == '/' && self.peek(1) == Some('*') {
                self.block_comment(&mut comments);
            } else if let Some(hashes) = self.raw_string_hashes() {
                self.raw_string(hashes);
            } else if char == '"' {
                self.quoted('"');
            } else if char == '\'' && self.is_char_literal() {
                self.quoted('\'');
            } else if is_word_char(char) {
                let (start, line) = (self.at, self.line);
                while self.peek(0).is_some_and(is_word_char) {
                    self.next();
                }
                let text: String = self.chars[start..self.at].iter().collect();
                // The prefix of a b"…" or c"…" is no word.
                if !(matches!(text.as_str(), "b" | "c") && matches!(self.peek(0), Some('"' | '\'')))
                {
                    tokens.push(Token { text, line, for_tests: false });
                }
            } else {
                if !char.is_whitespace() {
                    let text = char.to_string();
                    tokens.push(Token { text, line: self.line, for_tests: false });
                }
                self.next();
            }
        }
        (tokens, comments)
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn block_comment(&mut self, comments: &mut Vec<Comment>) {
        let (mut depth, mut text, mut line) = (0usize, String::new(), self.line);
        while let Some(char) = self.peek(0) {
            let pair = (char, self.peek(1));
            if pair == ('/', Some('*')) || pair == ('*', Some('/')) {
                depth = if char == '/' { depth + 1 } else { depth - 1 };
                self.next();
                self.next();
                if depth == 0 {
                    break;
                }
                continue;
            }
            if char == '\n' {
                comments.push(Comment { text: std::mem::take(&mut text), line });
                line = self.line + 1;
            } else {
                text.push(char);
            }
            self.next();
        }
        comments.push(Comment { text, line });
    }

    /// At the start of `r"`, `r#"`, `br#"` or `cr#"`: how many hashes.
    fn raw_string_hashes(&self) -> Option<usize> {
        let r = match (self.peek(0)?, self.peek(1)) {
            ('r', _) => 1,
            ('b' | 'c', Some('r')) => 2,
            _ => return None,
        };
        let hashes = (r..).take_while(|&ahead| self.peek(ahead) == Some('#')).count();
        (self.peek(r + hashes) == Some('"')).then_some(hashes)
    }

    fn raw_string(&mut self, hashes: usize) {
        while self.peek(0) != Some('"') {
            self.next();
        }
        self.next();
        while self.at < self.chars.len() {
            let closes =
                self.peek(0) == Some('"') && (1..=hashes).all(|n| self.peek(n) == Some('#'));
            self.next();
            if closes {
                (0..hashes).for_each(|_| self.next());
                return;
            }
        }
    }

    fn quoted(&mut self, quote: char) {
        self.next();
        while let Some(char) = self.peek(0) {
            self.next();
            if char == '\\' {
                self.next();
            } else if char == quote {
                return;
            }
        }
    }

    /// `'a'` and `'\n'` are characters, `'a` is a lifetime.
    fn is_char_literal(&self) -> bool {
        self.peek(1) == Some('\\') || self.peek(2) == Some('\'')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let words = Source::parse(text).tokens.into_iter().map(|token| token.text);
        words.filter(|word| is_word(word)).collect()
    }

    fn paths(text: &str) -> Vec<String> {
        Source::parse(text).paths().iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_strings_and_characters_are_not_code() {
        assert_eq!(words("a // b\n/* c /* d */ e */ f"), ["a", "f"]);
        assert_eq!(words(r#"a("b \" c") d"#), ["a", "d"]);
        assert_eq!(words("a(r#\"b \" c\"#, br\"d\", b\"e\", b'f', c\"g\") h"), ["a", "h"]);
        assert_eq!(words(r"a('b', '\'', '\u{62}') c"), ["a", "c"]);
        assert_eq!(words("fn a<'b>(c: &'b str)"), ["fn", "a", "b", "c", "b", "str"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let source = Source::parse("/* a\n b */\n\"c\nd\" e // f\n");
        assert_eq!(source.tokens[0].line, 4);
        let lines: Vec<usize> = source.comments.iter().map(|comment| comment.line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }

    #[test]
    fn use_trees_unfold() {
        assert_eq!(
            paths("use std::{fs, io::{self, Read as R}, net::*}; f(std::env::args());"),
            ["std::fs", "std::io::self", "std::io::Read", "std::net::*", "f", "std::env::args"]
        );
        assert_eq!(paths("pub use ::a::b; use c as d;"), ["pub", "a::b", "c"]);
    }

    #[test]
    fn a_module_for_tests_is_told_by_its_declaration() {
        let text = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\npub(crate) mod c;\n\
                    #[cfg(test)]\nmod d { mod e; }\nmod f;";
        assert_eq!(Source::parse(text).test_modules(), ["b", "c", "e"]);
    }

    #[test]
    fn what_is_for_tests_is_told_apart() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c(); } }\nfn d() {}\n\
                    #[cfg(test)]\nuse e::{f};\nfn g() {}\n#[test]\nfn h([i]: [u8; 1]) {}\nfn j() {}";
        let for_tests = |wanted| {
            let words = Source::parse(text).tokens.into_iter();
            let words = words.filter(|t| is_word(&t.text) && t.for_tests == wanted);
            words.map(|token| token.text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(for_tests(false), "fn a fn d fn g fn j");
        assert_eq!(for_tests(true), "cfg test mod tests fn b c cfg test use e f test fn h i u8");
    }
}
