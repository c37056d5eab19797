//! README.md says which operations are answered; the table there is generated from [`Operation`].

#![expect(
    clippy::disallowed_methods,
    reason = "a test may write what it generates, where it is asked to"
)]

use std::fmt::Write as _;
use std::path::Path;

use wire::kms::{Entry, Family, Operation, Support, UnsupportedValue};

const BEGIN: &str = "<!-- operations: generated -->\n";
const END: &str = "<!-- operations: end -->\n";
const HOW: &str = "README.md's list of operations is not what the code says; \
     `SEALANE_BLESS=1 cargo test -p sealane-wire --test readme_table` writes it anew";

fn section() -> String {
    let all = Operation::ALL;
    let is_supported = |entry: &&Entry| entry.support == Support::Supported;
    let mut text = format!(
        "{} of {} operations are answered; the others get `UnsupportedOperationException`.\n\n\
         | | operations | not supported |\n|---|---|---|\n",
        all.iter().filter(is_supported).count(),
        all.len(),
    );
    for family in Family::ALL {
        let of_family = all.iter().filter(|entry| entry.family == *family);
        let (yes, no): (Vec<_>, Vec<_>) = of_family.partition(is_supported);
        let _ = writeln!(text, "| {} | {} | {} |", family.title(), names(&yes), names(&no));
    }
    text.push_str("\nNot supported either:\n\n| member | value | why |\n|---|---|---|\n");
    for (value, why) in UnsupportedValue::ALL {
        let _ = writeln!(text, "| `{}` | `{}` | {why} |", value.member(), value.name());
    }
    text
}

fn names(entries: &[&Entry]) -> String {
    entries.iter().map(|entry| format!("`{}`", entry.name)).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_operation_is_in_one_shown_family() {
    for entry in Operation::ALL {
        let shown = Family::ALL.iter().filter(|family| **family == entry.family).count();
        assert_eq!(shown, 1, "{}", entry.name);
    }
}

#[test]
fn readme_lists_what_is_answered() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the opening mark");
    let (found, after) = rest.split_once(END).expect("README.md has the closing mark");
    // Empty lines after and before the marks, or the table would not be one.
    let expected = format!("\n{}\n", section());
    if found != expected && std::env::var_os("SEALANE_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, expected, "{HOW}");
}
