//! From inside a service, every way around its proxy is tried and must fail; what a service needs
//! must work. Each case runs twice: as root, and without root in a user namespace.

#[path = "isolation/cases.rs"]
mod cases;
#[path = "isolation/fixture.rs"]
mod fixture;
#[path = "isolation/ways_around.rs"]
mod ways_around;
#[path = "isolation/ways_through.rs"]
mod ways_through;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cases::{CASES, Case, Needs};
use libtest_mimic::{Arguments, Failed, Trial};
use sealane::launch;

/// Whom the cases without root run as when the tests run as root.
const NOBODY: u32 = 65_534;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(launch::ARGUMENT) => return launch::main(),
        Some("__case") => return run_alone(&arguments[2]),
        Some("__userns") => {
            ways_through::inside_a_user_namespace();
            return ExitCode::SUCCESS;
        }
        Some("__supervise") => return ways_through::supervise(Path::new(&arguments[2])),
        _ => {}
    }
    let root = fixture::is_root();
    let copy = tempfile::Builder::new()
        .permissions(mode(0o755))
        .tempdir()
        .expect("a directory for a copy");
    let exe = copy.path().join("isolation");
    std::fs::copy("/proc/self/exe", &exe).expect("a copy of this test that anybody can execute");
    let mut trials = Vec::new();
    for case in CASES {
        let as_root = Trial::test(format!("root::{}", case.name), || with_root(case));
        trials.push(if root { as_root } else { skipped(as_root, "needs root") });
        if case.needs == Needs::Root {
            continue;
        }
        let exe = exe.clone();
        let rootless =
            Trial::test(format!("rootless::{}", case.name), move || without_root(case, exe));
        // As root a machine without user namespaces fails; a user may not be able to change that.
        let possible = root || fixture::user_namespaces_work();
        trials.push(if possible { rootless } else { skipped(rootless, "no user namespaces here") });
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn skipped(trial: Trial, why: &str) -> Trial {
    trial.with_kind(format!("skipped: {why}")).with_ignored_flag(true)
}

fn mode(bits: u32) -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(bits)
}

fn with_root(case: &Case) -> Result<(), Failed> {
    (case.run)();
    Ok(())
}

fn without_root(case: &Case, exe: PathBuf) -> Result<(), Failed> {
    if !fixture::is_root() {
        (case.run)();
        return Ok(());
    }
    let output = Command::new(exe)
        .args(["__case", case.name])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&text).into_owned().into())
}

fn run_alone(name: &str) -> ExitCode {
    let case = CASES.iter().find(|case| case.name == name).expect("a case of this name");
    (case.run)();
    ExitCode::SUCCESS
}
