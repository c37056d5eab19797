//! The rules of CONTRIBUTING.md that a machine can hold. Also a test: `cargo test -p xtask`.
//!
//! Each rule is a function from one file (or manifest) to [`Violation`]s, and has a test beside it
//! that a violating sample is caught: a check that cannot fail is worthless.
//! Rust is read by a small lexer of our own ([`source`]), so that a word in a comment or a string
//! is never taken for code, and what sits under `#[cfg(test)]` is told apart.

mod arrows;
mod doors;
mod lints;
mod markdown;
mod purity;
mod shape;
mod source;
mod unsafety;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;
use crate::run::root;
use source::Source;

/// One broken rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    file: String,
    line: usize,
    advice: String,
}

impl Violation {
    fn new(file: &str, line: usize, advice: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, advice: advice.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.advice)
    }
}

/// `cargo xtask tidy`
pub(crate) fn command(arguments: &[String]) -> Result<(), Error> {
    if !arguments.is_empty() {
        return Err(format!("takes no arguments, not `{}`", arguments.join(" ")).into());
    }
    let violations = check(&root())?;
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(format!("{} rules broken", violations.len()).into())
    }
}

/// Applies every rule to every file of the project.
fn check(root: &Path) -> Result<Vec<Violation>, Error> {
    let mut found = Vec::new();
    let mut files = files(root)?;
    // What git lists may have been deleted since.
    files.retain(|file| root.join(file).is_file());
    // What is not text has no lines.
    let read = |file: &String| {
        std::fs::read_to_string(root.join(file)).ok().map(|text| (file.clone(), text))
    };
    let texts: Vec<(String, String)> = files.iter().filter_map(read).collect();
    let for_tests = test_files(&texts);
    for (file, text) in &texts {
        let part = if for_tests.contains(file) { Part::Tests } else { Part::Product };
        found.extend(check_file(file, text, part));
        if file.ends_with(".md") {
            found.extend(markdown::documents_name_files_that_exist(file, text, &files));
        }
    }
    found.extend(lints::clippy_files_repeat_the_root(root));
    found.sort();
    Ok(found)
}

/// What a source file is compiled into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Product,
    /// Its module is declared under `#[cfg(test)]`.
    Tests,
}

/// The files of modules that are declared for tests, wherever such a module may lie.
fn test_files(texts: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, text) in texts.iter().filter(|(file, _)| file.ends_with(".rs")) {
        let folder = match file.rsplit_once('/') {
            Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder,
            _ => file.strip_suffix(".rs").unwrap_or(file),
        };
        for module in Source::parse(text).test_modules() {
            found.insert(format!("{folder}/{module}.rs"));
            found.insert(format!("{folder}/{module}/mod.rs"));
        }
    }
    found
}

fn check_file(file: &str, text: &str, part: Part) -> Vec<Violation> {
    let mut found = Vec::new();
    if file.ends_with(".rs") {
        let mut source = Source::parse(text);
        if part == Part::Tests {
            source.mark_for_tests();
        }
        found.extend(doors::only_doors_seal(file, &source));
        found.extend(doors::only_doors_drive_tls(file, &source));
        found.extend(purity::cores_are_pure(file, &source));
        found.extend(unsafety::unsafe_has_its_place_and_reason(file, &source));
        found.extend(unsafety::cores_forbid_unsafe(file, &source));
        found.extend(shape::long_files_give_a_reason(file, text));
        found.extend(shape::no_test_is_ignored(file, &source));
        found.extend(shape::nothing_is_left_for_later_in_rust(file, &source));
        found.extend(shape::crate_roots_introduce_themselves(file, text));
    } else {
        found.extend(shape::nothing_is_left_for_later(file, text));
    }
    if file.ends_with("Cargo.toml") {
        found.extend(arrows::arrows_point_down(file, text));
        found.extend(lints::manifests_inherit_lints(file, text));
    }
    if file.ends_with(".md") {
        found.extend(markdown::one_sentence_per_line(file, text));
    }
    found
}

/// Every file of the project, relative to `root`: what git tracks or would, else (an unpacked
/// archive, a clone of another user's) whatever lies there.
fn files(root: &Path) -> Result<Vec<String>, Error> {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .stderr(Stdio::null())
        .output();
    let files = match listed {
        Ok(answer) if answer.status.success() && !answer.stdout.is_empty() => {
            let names = String::from_utf8_lossy(&answer.stdout).into_owned();
            names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        _ => {
            let mut files = Vec::new();
            walk(root, "", &mut files)?;
            files
        }
    };
    Ok(files)
}

fn walk(root: &Path, below: &str, files: &mut Vec<String>) -> Result<(), Error> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !matches!(name.as_str(), ".git" | "target" | "sealane.d" | "__pycache__") {
                walk(root, &path, files)?;
            }
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Splits `crates/volume/src/seal.rs` into (`volume`, `src/seal.rs`).
fn crate_of(file: &str) -> Option<(&str, &str)> {
    file.strip_prefix("crates/")?.split_once('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_keeps_its_rules() {
        let violations = check(&root()).unwrap();
        let text = violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("\n");
        assert!(violations.is_empty(), "\n{text}");
    }

    #[test]
    fn the_walk_sees_what_git_lists() {
        let mut walked = Vec::new();
        walk(&root(), "", &mut walked).unwrap();
        for file in ["Cargo.toml", "xtask/src/tidy.rs", "crates/crypto/src/lib.rs", ".ci/run"] {
            assert!(walked.iter().any(|path| path == file), "{file}");
            assert!(files(&root()).unwrap().iter().any(|path| path == file), "{file}");
        }
    }

    #[test]
    fn a_file_of_tests_is_known_by_who_declares_it() {
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let found = test_files(&[
            file("crates/keys/src/lib.rs", "mod ca;\n#[cfg(test)]\nmod kit;"),
            file("crates/keys/src/ca.rs", "mod issue;\n#[cfg(test)]\nmod tests;"),
        ]);
        assert!(found.contains("crates/keys/src/kit.rs"));
        assert!(found.contains("crates/keys/src/ca/tests.rs"));
        assert!(!found.contains("crates/keys/src/ca.rs"));
        assert!(!found.contains("crates/keys/src/ca/issue.rs"));
        let text = "use crypto::SystemEntropy;";
        assert_eq!(check_file("crates/keys/src/ca/tests.rs", text, Part::Tests).len(), 0);
        assert_eq!(check_file("crates/keys/src/ca/tests.rs", text, Part::Product).len(), 1);
    }

    #[test]
    fn a_violation_names_file_and_line() {
        let found = check_file("crates/keys/src/state.rs", "//! x\nuse std::fs;\n", Part::Product);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("crates/keys/src/state.rs:2: "), "{}", found[0]);
    }
}
