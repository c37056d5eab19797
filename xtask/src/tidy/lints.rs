//! Lints that apply everywhere.

use std::path::Path;

use super::{Violation, crate_of};

/// A manifest that does not inherit the workspace's lints switches them off.
pub(super) fn manifests_inherit_lints(file: &str, text: &str) -> Vec<Violation> {
    let is_member = crate_of(file).is_some() || file == "xtask/Cargo.toml";
    let inherits = text.parse::<toml::Table>().is_ok_and(|manifest| {
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        lints.and_then(toml::Value::as_bool) == Some(true)
    });
    if is_member && !inherits {
        let advice = "add `[lints]` with `workspace = true`: without it no lint applies here";
        return vec![Violation::new(file, 1, advice)];
    }
    Vec::new()
}

/// Clippy reads only the nearest `clippy.toml`, so a crate that has one repeats the root's.
pub(super) fn clippy_files_repeat_the_root(root: &Path) -> Vec<Violation> {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let common = read(&root.join("clippy.toml"));
    let Ok(crates) = std::fs::read_dir(root.join("crates")) else { return Vec::new() };
    let mut found = Vec::new();
    for name in crates.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let file = format!("crates/{name}/clippy.toml");
        if root.join(&file).exists() {
            found.extend(repeats(&file, &read(&root.join(&file)), &common));
        }
    }
    found
}

fn repeats(file: &str, text: &str, common: &str) -> Vec<Violation> {
    let settings = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
    let own = settings(text);
    let missing = settings(common).into_iter().filter(|(name, value)| own.get(name) != Some(value));
    missing
        .map(|(name, _)| {
            let advice = format!("clippy reads only this file here: repeat the root's `{name}`");
            Violation::new(file, 1, advice)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_without_the_lints_is_caught() {
        let check = |text| manifests_inherit_lints("crates/keys/Cargo.toml", text).len();
        assert_eq!(check("[package]\nname = \"x\"\n"), 1);
        assert_eq!(check("[lints]\nworkspace = false\n"), 1);
        assert_eq!(check("[lints]\nworkspace = true\n"), 0);
    }

    #[test]
    fn a_clippy_file_that_forgets_the_roots_settings_is_caught() {
        let check = |text| repeats("crates/keys/clippy.toml", text, "a = true\nb = 1\n").len();
        assert_eq!(check("a = true\nb = 1\nc = []\n"), 0);
        assert_eq!(check("a = true\n"), 1);
        assert_eq!(check("a = false\n"), 2);
    }
}
