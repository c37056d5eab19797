//! Who may know whom.

use super::{Violation, crate_of};

/// Dependencies on crates of ours that a crate may have.
struct Arrows {
    from: &'static str,
    to: &'static [&'static str],
    /// On top, for its tests alone.
    for_tests: &'static [&'static str],
}

/// The whole map. An arrow that is not here is a design change: argue for it in its commit.
const ARROWS: &[Arrows] = &[
    Arrows { from: "crypto", to: &[], for_tests: &[] },
    Arrows { from: "wire", to: &[], for_tests: &[] },
    Arrows { from: "keys", to: &["crypto"], for_tests: &[] },
    Arrows { from: "mesh", to: &["crypto"], for_tests: &[] },
    Arrows { from: "volume", to: &["crypto"], for_tests: &[] },
    Arrows { from: "backup", to: &["crypto"], for_tests: &[] },
    Arrows { from: "sim", to: &["crypto", "keys", "mesh", "volume", "backup"], for_tests: &[] },
    Arrows {
        from: "sealane",
        to: &["crypto", "wire", "keys", "mesh", "volume", "backup"],
        for_tests: &["sim"],
    },
    Arrows { from: "xtask", to: &[], for_tests: &[] },
    Arrows {
        from: "fuzz",
        to: &["crypto", "wire", "keys", "mesh", "volume", "backup"],
        for_tests: &[],
    },
];

/// Holds every manifest to [`ARROWS`].
pub(super) fn arrows_point_down(file: &str, text: &str) -> Vec<Violation> {
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Violation::new(file, 1, format!("not TOML: {error}"))],
    };
    let from = match (crate_of(file), file) {
        (Some((name, "Cargo.toml")), _) => name,
        (None, "xtask/Cargo.toml") => "xtask",
        (None, "fuzz/Cargo.toml") => "fuzz",
        (None, "Cargo.toml") => return Vec::new(),
        _ => {
            let advice = "a crate lies in crates/NAME, xtask or fuzz; move it there";
            return vec![Violation::new(file, 1, advice)];
        }
    };
    let Some(arrows) = ARROWS.iter().find(|arrows| arrows.from == from) else {
        let advice = format!("`{from}` has no line in ARROWS (xtask/src/tidy/arrows.rs); add one");
        return vec![Violation::new(file, 1, advice)];
    };
    let mut found = Vec::new();
    for (kind, target) in dependencies(&manifest) {
        let name = ours(&target);
        let may_for_tests = kind == Kind::Dev && arrows.for_tests.contains(&name);
        if !is_ours(name) || arrows.to.contains(&name) || may_for_tests {
            continue;
        }
        let line = text.lines().position(|line| line.trim_start().starts_with(target.as_str()));
        let advice = format!(
            "`{from}` may not depend on `{name}`{}: pass a value, or a trait of `crypto`, and let \
             `sealane` introduce them",
            if kind == Kind::Dev { ", not even for tests" } else { "" }
        );
        found.push(Violation::new(file, line.map_or(1, |line| line + 1), advice));
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Used,
    Dev,
}

/// Every dependency of a manifest by the package's real name, those under `[target.…]` included.
fn dependencies(manifest: &toml::Table) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let per_target = manifest.get("target").and_then(toml::Value::as_table);
    let targets = per_target.into_iter().flat_map(|targets| targets.values());
    for table in std::iter::once(manifest).chain(targets.filter_map(toml::Value::as_table)) {
        for (section, kind) in [
            ("dependencies", Kind::Used),
            ("build-dependencies", Kind::Used),
            ("dev-dependencies", Kind::Dev),
        ] {
            let entries = table.get(section).and_then(toml::Value::as_table);
            for (name, entry) in entries.into_iter().flatten() {
                // Renaming a crate does not make it another.
                let package = entry.get("package").and_then(toml::Value::as_str);
                found.push((kind, package.unwrap_or(name).to_owned()));
            }
        }
    }
    found
}

fn ours(package: &str) -> &str {
    package.strip_prefix("sealane-").unwrap_or(package)
}

fn is_ours(name: &str) -> bool {
    ARROWS.iter().any(|arrows| arrows.from == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<usize> {
        arrows_point_down(file, text).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_core_may_know_crypto_alone() {
        let keys = "crates/keys/Cargo.toml";
        assert_eq!(lines(keys, "[dependencies]\ncrypto.workspace = true\nserde = \"1\"\n"), [0; 0]);
        assert_eq!(
            lines(keys, "[dependencies]\ncrypto.workspace = true\nmesh.workspace = true"),
            [3]
        );
        assert_eq!(
            lines("crates/backup/Cargo.toml", "[dependencies]\nvolume.workspace = true"),
            [2]
        );
        assert_eq!(lines("crates/crypto/Cargo.toml", "[dependencies]\nwire.workspace = true"), [2]);
        assert_eq!(lines("xtask/Cargo.toml", "[dependencies]\nsealane.workspace = true"), [2]);
    }

    #[test]
    fn neither_a_new_name_nor_a_target_hides_an_arrow() {
        let renamed = "[dependencies]\nx = { path = \"../mesh\", package = \"sealane-mesh\" }";
        assert_eq!(lines("crates/keys/Cargo.toml", renamed).len(), 1);
        let target = "[target.'cfg(unix)'.build-dependencies]\nmesh.workspace = true";
        assert_eq!(lines("crates/keys/Cargo.toml", target), [2]);
    }

    #[test]
    fn sim_serves_tests_of_sealane_only() {
        assert_eq!(
            lines("crates/sealane/Cargo.toml", "[dev-dependencies]\nsim.workspace = true"),
            [0; 0]
        );
        assert_eq!(lines("crates/sealane/Cargo.toml", "[dependencies]\nsim.workspace = true"), [2]);
        assert_eq!(
            lines("crates/volume/Cargo.toml", "[dev-dependencies]\nsim.workspace = true"),
            [2]
        );
    }

    #[test]
    fn a_crate_that_the_map_does_not_know_is_refused() {
        assert_eq!(lines("crates/utils/Cargo.toml", "[dependencies]"), [1]);
        assert_eq!(lines("lib/x/Cargo.toml", "[dependencies]"), [1]);
    }
}
