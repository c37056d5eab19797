//! Where `unsafe` may stand, and that it says why.

use super::source::Source;
use super::{Violation, crate_of};

/// The only places. Elsewhere the lint `unsafe_code` denies it, but an `allow` could lift that.
const PLACES: &[&str] =
    &["crates/sealane/src/disk/", "crates/sealane/src/sys/", "crates/crypto/src/arena.rs"];

/// `unsafe` stands in its places only, under a comment that says why it is sound.
pub(super) fn unsafe_has_its_place_and_reason(file: &str, source: &Source) -> Vec<Violation> {
    let in_place = PLACES.iter().any(|place| file.starts_with(place));
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        // `#[unsafe(no_mangle)]` is one as well.
        if token.text != "unsafe" {
            continue;
        }
        if !in_place {
            let advice = format!("`unsafe` outside {}: move it there", PLACES.join(", "));
            found.push(Violation::new(file, token.line, advice));
        } else if !is_explained(source, at) {
            let advice = "`unsafe` without a `// SAFETY:` comment above it: say why it is sound";
            found.push(Violation::new(file, token.line, advice));
        }
    }
    found
}

/// A comment with `SAFETY:` (or, for an `unsafe fn`, a section `# Safety`) stands between the end
/// of what came before the statement and the `unsafe`.
fn is_explained(source: &Source, at: usize) -> bool {
    let before = source.tokens[..at]
        .iter()
        .rposition(|token| matches!(token.text.as_str(), ";" | "{" | "}"));
    let from = before.map_or(1, |before| source.tokens[before].line);
    let to = source.tokens[at].line;
    source.comments.iter().any(|comment| {
        (from..=to).contains(&comment.line)
            && (comment.text.contains("SAFETY:") || comment.text.contains("# Safety"))
    })
}

/// The cores that could never have a reason for it.
const FORBIDDING: &[&str] = &["keys", "mesh", "volume", "backup", "wire"];

/// A core's root forbids `unsafe` for good, so that no `allow` below can lift the lint.
pub(super) fn cores_forbid_unsafe(file: &str, source: &Source) -> Vec<Violation> {
    let is_root = crate_of(file)
        .is_some_and(|(name, inside)| FORBIDDING.contains(&name) && inside == "src/lib.rs");
    let forbid = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];
    let forbids = (0..source.tokens.len()).any(|at| source.reads(at, &forbid));
    if is_root && !forbids {
        vec![Violation::new(file, 1, "a core's root begins with `#![forbid(unsafe_code)]`: add it")]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<usize> {
        let found = unsafe_has_its_place_and_reason(file, &Source::parse(text));
        found.iter().map(|violation| violation.line).collect()
    }

    const SYS: &str = "crates/sealane/src/sys/clone.rs";

    #[test]
    fn unsafe_out_of_place_is_caught_even_with_a_reason() {
        let text = "fn f() {\n    // SAFETY: sound.\n    unsafe { g() }\n}";
        assert_eq!(lines("crates/sealane/src/proxy.rs", text), [3]);
        assert_eq!(lines("crates/volume/src/x.rs", text), [3]);
        assert_eq!(lines(SYS, text), [0; 0]);
    }

    #[test]
    fn unsafe_without_a_reason_of_its_own_is_caught() {
        assert_eq!(lines(SYS, "fn f() {\n    unsafe { g() }\n}"), [2]);
        let second =
            "fn f() {\n    // SAFETY: sound.\n    let a = unsafe { g() };\n    unsafe { h() };\n}";
        assert_eq!(lines(SYS, second), [4]);
        let within =
            "fn f() {\n    // SAFETY: sound.\n    let a = g(\n        unsafe { h() },\n    );\n}";
        assert_eq!(lines(SYS, within), [0; 0]);
        assert_eq!(lines(SYS, "/// # Safety\n/// Once.\npub unsafe fn f() {}"), [0; 0]);
    }

    #[test]
    fn a_lint_named_after_it_is_not_unsafe() {
        assert_eq!(lines("crates/keys/src/lib.rs", "#![forbid(unsafe_code)]"), [0; 0]);
    }

    #[test]
    fn a_core_that_does_not_forbid_it_is_caught() {
        let check = |file, text| cores_forbid_unsafe(file, &Source::parse(text)).len();
        assert_eq!(check("crates/mesh/src/lib.rs", "//! #![forbid(unsafe_code)]\n"), 1);
        assert_eq!(check("crates/mesh/src/lib.rs", "#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(check("crates/mesh/src/route.rs", ""), 0);
        assert_eq!(check("crates/sealane/src/lib.rs", ""), 0);
    }
}
