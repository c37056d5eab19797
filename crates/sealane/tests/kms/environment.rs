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

/// The programs beside this file.
pub(crate) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kms/clients")
}

pub(crate) fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(target).join("kms-clients")
}

/// Its Python, or why there is none.
pub(crate) fn python() -> Result<PathBuf, String> {
    let place = folder().join("python");
    made("python", &PYTHON_PACKAGES.join(" "), || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))?;
        let mut pip = Command::new(place.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(pip.args(PYTHON_PACKAGES))
    })?;
    Ok(place.join("bin/python"))
}

/// A folder whose `node_modules` has the SDK, or why there is none.
pub(crate) fn node() -> Result<PathBuf, String> {
    let place = folder().join("node");
    let version = run_for(Command::new("node").arg("--version"))?;
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    if major.parse::<u32>().unwrap_or_default() < NODE_MIN {
        return Err(format!("node is {}, and {NODE_MIN} is needed", version.trim()));
    }
    made("node", &NODE_PACKAGES.join(" "), || {
        std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&place);
        run(npm.args(NODE_PACKAGES))
    })?;
    Ok(place)
}

/// Makes what `contents` says unless it is there, one process at a time.
fn made(
    name: &str,
    contents: &str,
    make: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", folder().display());
    std::fs::create_dir_all(folder()).map_err(text)?;
    let lock = File::create(folder().join(format!("{name}.lock"))).map_err(text)?;
    lock.lock().map_err(text)?;
    let stamp = folder().join(format!("{name}.stamp"));
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == contents) {
        return Ok(());
    }
    make()?;
    std::fs::write(&stamp, contents).map_err(text)
}

fn run(command: &mut Command) -> Result<(), String> {
    run_for(command).map(drop)
}

fn run_for(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    if !program.contains('/') && !is_on_path(&program) {
        return Err(format!("{program} is not installed"));
    }
    let output = finish(command);
    if !output.status.success() {
        return Err(format!("{program} failed: {}", said(&output).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
