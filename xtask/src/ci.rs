//! What must be green before anything is merged.

use std::process::Command;

use crate::run::{cargo, is_installed, is_root, run, run_and_read};
use crate::summary::Summary;
use crate::{Error, setup};

/// Read by the tests themselves: more kills and longer load, more seeds, every write of the store
/// crashed.
const FULL: [(&str, &str); 3] =
    [("SEALANE_FULL", "1"), ("SEALANE_SEEDS", "1000"), ("SEALANE_CRASH_ALL", "1")];

/// Runs every step, the later ones too when one fails, and ends in one line of sums.
pub(crate) fn ci(arguments: &[String]) -> Result<(), Error> {
    let depth = Depth::parse(arguments)?;
    let mut report = Report::default();
    report.step("format", run(cargo().args(["fmt", "--all", "--check"])));
    report.step(
        "lints",
        run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    );
    report.tests("tests", depth.applied(&mut workspace_tests()));
    report.tests("canary hunt in plaintext", depth.applied(&mut plaintext_hunt()));
    report.step("documentation", run(&mut documentation()));
    if is_installed("cargo-deny") {
        let check = ["deny", "--offline", "check", "bans", "licenses", "sources"];
        report.step("bans and licences", run(cargo().args(check)));
    } else {
        report.notes.push("bans and licences were not checked: cargo-deny is not installed".into());
    }
    report.finish()
}

/// The tests alone.
pub(crate) fn test(arguments: &[String]) -> Result<(), Error> {
    let depth = Depth::parse(arguments)?;
    let mut report = Report::default();
    report.tests("tests", depth.applied(&mut workspace_tests()));
    report.tests("canary hunt in plaintext", depth.applied(&mut plaintext_hunt()));
    report.finish()
}

fn workspace_tests() -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command
}

/// Private items too: who reads these pages works on the code, and nobody links to it from outside.
fn documentation() -> Command {
    let mut command = cargo();
    command.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    command
}

/// The same hunt on a cell that seals nothing: it must find its canaries, or it proves nothing.
fn plaintext_hunt() -> Command {
    let mut command = cargo();
    command.args(["test", "-p", "sealane", "--features", "plaintext-for-tests"]);
    command.args(["--test", "canary", "--no-fail-fast"]);
    command
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Depth {
    Usual,
    Full,
}

impl Depth {
    fn parse(arguments: &[String]) -> Result<Self, Error> {
        match arguments {
            [] => Ok(Self::Usual),
            [flag] if flag == "--full" => Ok(Self::Full),
            _ => Err(format!("takes only --full, not `{}`", arguments.join(" ")).into()),
        }
    }

    fn applied(self, command: &mut Command) -> &mut Command {
        match self {
            Self::Usual => command,
            Self::Full => command.envs(FULL),
        }
    }
}

#[derive(Default)]
struct Report {
    summary: Summary,
    failed_steps: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    fn step(&mut self, name: &str, outcome: Result<(), Error>) {
        if let Err(error) = outcome {
            eprintln!("\n{name}: {error}");
            self.failed_steps.push(name.to_owned());
            // The last line must never say "0 failed" of a run that failed.
            self.summary.failed += 1;
        }
    }

    fn tests(&mut self, name: &str, command: &mut Command) {
        let failed_before = self.summary.failed;
        let outcome = run_and_read(command, |line| self.summary.read(line));
        if self.summary.failed > failed_before {
            self.failed_steps.push(name.to_owned());
        } else {
            self.step(name, outcome);
        }
    }

    fn finish(mut self) -> Result<(), Error> {
        println!();
        // Root can install everything, so a skip would only hide that something was not tested.
        let unexcused: Vec<String> = self.summary.unexcused().map(str::to_owned).collect();
        if is_root() && !unexcused.is_empty() {
            println!(
                "these tests were skipped although root can install what they need \
                 (cargo xtask setup {}):",
                setup::TEST
            );
            unexcused.iter().for_each(|name| println!("  {name}"));
            self.failed_steps.push("skipped tests".to_owned());
            self.summary.failed += 1;
        } else if !self.summary.skipped_names.is_empty() {
            println!("skipped:");
            self.summary.skipped_names.iter().for_each(|name| println!("  {name}"));
        }
        if !self.summary.failed_names.is_empty() {
            println!("failed:");
            self.summary.failed_names.iter().for_each(|name| println!("  {name}"));
        }
        self.notes.iter().for_each(|note| println!("{note}"));
        if !self.failed_steps.is_empty() {
            println!("failed steps: {}", self.failed_steps.join(", "));
        }
        println!("{}", self.summary);
        if self.failed_steps.is_empty() {
            Ok(())
        } else {
            // Already said above, and the sums shall stay the last line of standard output.
            std::process::exit(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_never_summed_up_as_zero_failed() {
        let mut report = Report::default();
        report.step("lints", Err("no".into()));
        assert_eq!(report.summary.to_string(), "0 passed, 1 failed, 0 skipped");
        assert_eq!(report.failed_steps, ["lints"]);
    }

    #[test]
    fn a_crashed_test_binary_fails_the_step_without_a_result_line() {
        let mut report = Report::default();
        report.tests("tests", Command::new("sh").args(["-c", "echo running 1 test; exit 101"]));
        assert_eq!(report.summary.failed, 1);
    }

    #[test]
    fn depth_takes_one_flag() {
        assert_eq!(Depth::parse(&[]).unwrap(), Depth::Usual);
        assert_eq!(Depth::parse(&["--full".to_owned()]).unwrap(), Depth::Full);
        assert!(Depth::parse(&["--fast".to_owned()]).is_err());
    }
}
