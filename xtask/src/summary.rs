//! Adding up what test binaries report.
//!
//! libtest and libtest-mimic print alike, so one parser reads both.

use std::fmt;

/// A skipped test says so in its kind (`test [no package: tshark] capture ... ignored`) where no
/// package of the distribution provides what it needs. Any other skip under root is a failure.
const EXCUSE: &str = "[no package";

#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Names of skipped tests, with their kind.
    pub(crate) skipped_names: Vec<String>,
    /// Names of failed tests.
    pub(crate) failed_names: Vec<String>,
}

impl Summary {
    /// Takes in one line of a test binary's output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.skipped += count(counts, "ignored");
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some((name, outcome)) = test.rsplit_once(" ... ")
        {
            if outcome.starts_with("ignored") {
                self.skipped_names.push(name.trim().to_owned());
            } else if outcome.starts_with("FAILED") {
                self.failed_names.push(name.trim().to_owned());
            }
        }
    }

    /// Skips that nothing excuses where everything could have been installed.
    pub(crate) fn unexcused(&self) -> impl Iterator<Item = &str> {
        self.skipped_names.iter().map(String::as_str).filter(|name| !name.starts_with(EXCUSE))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

fn count(counts: &str, word: &str) -> u64 {
    counts
        .split([';', '.'])
        .filter_map(|part| part.trim().strip_suffix(word))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary_counts_and_skips_keep_their_names() {
        let mut summary = Summary::default();
        for line in [
            "running 3 tests",
            "test aead::tests::what_was_sealed_opens ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test isolation::udp ... FAILED",
            "test [needs root] isolation::vsock          ... ignored",
            "test [no package: swtpm] seal::tpm ... ignored",
            "test result: FAILED. 40 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out",
        ] {
            summary.read(line);
        }
        assert_eq!(summary.to_string(), "43 passed, 1 failed, 2 skipped");
        assert_eq!(summary.failed_names, ["isolation::udp"]);
        assert_eq!(summary.unexcused().collect::<Vec<_>>(), ["[needs root] isolation::vsock"]);
    }
}
