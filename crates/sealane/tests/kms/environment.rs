//! Where client programs come from: a Python environment and a folder of Node modules, made once
//! under `target/kms-clients` and kept. Deleting that folder brings newer ones.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::{finish, said};

/// Always the newest: what AWS adds to its API is to be noticed.
const PYTHON_PACKAGES: &[&str] = &["boto3", "awscli", "cryptography", "aws-encryption-sdk[MPL]"];
const NODE_PACKAGES: &[&str] = &["@aws-sdk/client-kms"];
/// What the SDK for JavaScript takes.
const NODE_MIN: u32 = 20;

/// Why a client cannot be had, in one line: the kind that skipped tests are listed with. That of
/// what no package of the system's brings begins with `no package`.
#[derive(Clone)]
pub(crate) struct Missing(pub(crate) String);

/// The programs beside this file.
pub(crate) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kms/clients")
}

pub(crate) fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(target).join("kms-clients")
}

/// Its Python, or why there is none.
pub(crate) fn python() -> Result<PathBuf, Missing> {
    let place = folder().join("python");
    made("python", &PYTHON_PACKAGES.join(" "), || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))?;
        let mut pip = Command::new(place.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        fetch(pip.args(PYTHON_PACKAGES), "PyPI")
    })?;
    Ok(place.join("bin/python"))
}

/// A folder whose `node_modules` has the SDK, or why there is none.
pub(crate) fn node() -> Result<PathBuf, Missing> {
    let place = folder().join("node");
    let version = run(Command::new("node").arg("--version"))?;
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    if major.parse::<u32>().unwrap_or_default() < NODE_MIN {
        return Err(Missing(format!("no package: node {NODE_MIN}, only {version}")));
    }
    made("node", &NODE_PACKAGES.join(" "), || {
        std::fs::create_dir_all(&place).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&place);
        fetch(npm.args(NODE_PACKAGES), "npm's registry")
    })?;
    Ok(place)
}

/// Makes what `contents` says unless it is there, one process at a time.
fn made(
    name: &str,
    contents: &str,
    make: impl FnOnce() -> Result<(), Missing>,
) -> Result<(), Missing> {
    std::fs::create_dir_all(folder()).unwrap();
    let lock = File::create(folder().join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let stamp = folder().join(format!("{name}.stamp"));
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == contents) {
        return Ok(());
    }
    make()?;
    std::fs::write(&stamp, contents).unwrap();
    Ok(())
}

/// Runs what brings something from outside, which may not be reachable.
fn fetch(command: &mut Command, from: &str) -> Result<(), Missing> {
    is_installed(command)?;
    let unreachable = |_| Missing(format!("no package: what comes from {from} cannot be fetched"));
    run(command).map(drop).map_err(unreachable)
}

fn run(command: &mut Command) -> Result<String, Missing> {
    is_installed(command)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let output = finish(command);
    if !output.status.success() {
        eprintln!("{program} failed:\n{}", said(&output).trim());
        return Err(Missing(format!("{program} fails")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_installed(command: &Command) -> Result<(), Missing> {
    let program = command.get_program().to_string_lossy();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    if program.contains('/') || folders.any(|folder| folder.join(&*program).is_file()) {
        return Ok(());
    }
    Err(Missing(format!("{program} is not installed")))
}
