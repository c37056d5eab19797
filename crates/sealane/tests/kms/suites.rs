//! The suites in Python, and whether together they leave nothing out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use crate::environment::Missing;
use crate::server::{Server, ok};
use crate::{python_command, trial};

/// The longest first: they run side by side.
const SUITES: &[&str] = &[
    "imports",
    "cipher",
    "signing",
    "keys",
    "encryption_sdk",
    "tenants",
    "grants",
    "aliases",
    "signatures",
    "rotation",
    "policies",
    "refusals",
];

/// What each suite that has ended was answered, if it succeeded.
static ENDED: Mutex<BTreeMap<&str, Option<String>>> = Mutex::new(BTreeMap::new());
static ONE_MORE: Condvar = Condvar::new();

pub(crate) fn trials(python: &Result<PathBuf, Missing>, arguments: &Arguments) -> Vec<Trial> {
    let mut trials: Vec<Trial> = SUITES
        .iter()
        .map(|name| trial(&format!("boto3::{name}"), python, |python| run(python, name)))
        .collect();
    let all = arguments.filter.is_none() && arguments.skip.is_empty();
    if all {
        // Last, so that the others have begun when it begins to wait.
        trials.push(trial("boto3::every_operation_is_called", python, every_operation));
    }
    trials
}

fn run(python: &Path, name: &'static str) {
    let mut ends = Ends { name, answers: None };
    let server = Server::plaintext();
    let answers = server.folder.path().join("answers.json");
    let mut client = server.client(python_command(python, &format!("{name}.py")));
    ok(client.env("KMS_ANSWERS", &answers));
    ends.answers = std::fs::read_to_string(answers).ok();
}

/// Tells that a suite has ended, even where it ends in a panic.
struct Ends {
    name: &'static str,
    answers: Option<String>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Ok(mut ended) = ENDED.lock() {
            ended.insert(self.name, self.answers.take());
        }
        ONE_MORE.notify_all();
    }
}

fn every_operation(python: &Path) {
    let patience = Duration::from_secs(600);
    let waits = |ended: &mut BTreeMap<_, _>| ended.len() < SUITES.len();
    let (ended, _) = ONE_MORE.wait_timeout_while(ENDED.lock().unwrap(), patience, waits).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut check = python_command(python, "coverage.py");
    // The kit wants to know of a server, which nothing is asked here.
    check.env("KMS_ENDPOINT", "http://127.0.0.1:1").env("PYTHONDONTWRITEBYTECODE", "1");
    for name in SUITES {
        let answers = ended.get(name).and_then(Option::as_ref);
        let answers = answers.unwrap_or_else(|| panic!("the suite {name} has not succeeded"));
        let file = folder.path().join(format!("{name}.json"));
        std::fs::write(&file, answers).unwrap();
        check.arg(file);
    }
    drop(ended);
    ok(&mut check);
}
