//! What the example and the tests need from Debian's packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;
use crate::run::{is_root, run};

pub(crate) const DEMO: &str = "demo";
pub(crate) const TEST: &str = "test";

/// What the example cell runs on, and why.
const DEMO_PACKAGES: &[&str] = &[
    "redis-server", // the example's database
    "python3",      // the example's own programs
    "nftables",     // the capture rules in each service's namespace
    "iproute2",     // addresses and routes
    "e2fsprogs",    // mkfs.ext4 on a new volume
    "mount",        // losetup, mount
    "fuse3",        // fusermount3, for a volume without root
    "fuse2fs",      // ext4 without root
    "curl",         // to try it
];

/// What only the tests need on top.
const TEST_PACKAGES: &[&str] = &[
    "tshark",       // a second opinion on what travels
    "util-linux",   // unshare, nsenter, setpriv
    "libcap2-bin",  // capsh
    "openssl",      // a TLS client and server that are not ours
    "procps",       // ps
    "faketime",     // what was issued long ago
    "strace",       // in which order a command writes
    "python3-venv", // AWS's own clients of the KMS
];

/// Programs that the tests take from wherever they are, with the package that brings one where
/// there is none: of these a machine often has a newer than Debian's.
const TEST_PROGRAMS: &[(&str, &str)] = &[
    ("node", "nodejs"), // AWS's client of the KMS for JavaScript
    ("npm", "npm"),     // brings it
];

/// `cargo xtask setup demo|test`
pub(crate) fn command(arguments: &[String]) -> Result<(), Error> {
    match arguments {
        [] => ensure(DEMO),
        [purpose] if purpose == DEMO || purpose == TEST => ensure(purpose),
        _ => Err(format!("takes {DEMO} or {TEST}, not `{}`", arguments.join(" ")).into()),
    }
}

/// Installs what is missing for `purpose`, or says what is.
///
/// # Errors
/// Something is missing and we are not root, or apt-get failed.
pub(crate) fn ensure(purpose: &str) -> Result<(), Error> {
    let mut missing: Vec<&str> =
        packages(purpose).into_iter().filter(|package| !is_present(package)).collect();
    if purpose == TEST {
        let absent = TEST_PROGRAMS.iter().filter(|(program, _)| !crate::run::is_installed(program));
        missing.extend(absent.map(|(_, package)| package));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let line = missing.join(" ");
    if !is_root() {
        return Err(format!(
            "these packages are missing: {line}\n\
             install them as root, then run this again:\n  \
             apt-get install --no-install-recommends {line}"
        )
        .into());
    }
    if !crate::run::is_installed("apt-get") {
        return Err(format!("apt-get is not here; install these another way: {line}").into());
    }
    let _services_stay_down = NoServiceStarts::begin()?;
    run(apt().args(["update", "-q"]))?;
    run(apt().args(["install", "-q", "-y", "--no-install-recommends"]).args(&missing))?;
    if missing.contains(&"redis-server") && Path::new("/run/systemd/system").exists() {
        // The example starts a redis of its own; the package's would come up at the next boot.
        run(Command::new("systemctl").args(["disable", "redis-server"]))?;
    }
    Ok(())
}

fn packages(purpose: &str) -> Vec<&'static str> {
    let more = if purpose == TEST { TEST_PACKAGES } else { &[] };
    DEMO_PACKAGES.iter().chain(more).copied().collect()
}

fn is_present(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|answer| answer.status.success() && answer.stdout == b"installed")
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    // tshark asks whether everybody may capture; the answer without asking is no.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    command
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const OURS: &str = "written by cargo xtask setup";

/// While it lives, no package that is installed starts its service.
///
/// The policy asks whether this process still runs, so that one left behind by a Ctrl-C forbids
/// nothing. A policy that somebody else has put there is respected.
struct NoServiceStarts(Option<PathBuf>);

impl NoServiceStarts {
    fn begin() -> Result<Self, Error> {
        use std::os::unix::fs::PermissionsExt;
        let path = PathBuf::from(POLICY);
        if std::fs::read_to_string(&path).is_ok_and(|policy| !policy.contains(OURS)) {
            return Ok(Self(None));
        }
        let cannot =
            |error| format!("cannot keep packages from starting services: {POLICY}: {error}");
        std::fs::write(&path, policy(std::process::id())).map_err(cannot)?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, executable).map_err(cannot)?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoServiceStarts {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Left behind it forbids nothing, so failing to remove it is no error.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// 101 is "forbidden by policy" in invoke-rc.d(8).
fn policy(process: u32) -> String {
    format!("#!/bin/sh\n# {OURS}\nkill -0 {process} 2>/dev/null && exit 101\nexit 0\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_need_whatever_the_example_needs() {
        let test = packages(TEST);
        assert!(packages(DEMO).iter().all(|package| test.contains(package)));
        assert!(test.contains(&"tshark") && !packages(DEMO).contains(&"tshark"));
    }

    #[test]
    fn a_package_that_does_not_exist_is_missing() {
        assert!(!is_present("sealane-no-such-package"));
    }

    #[test]
    fn the_policy_forbids_while_we_run_and_no_longer() {
        let verdict = |process| {
            Command::new("sh").args(["-c", &policy(process)]).status().unwrap().code().unwrap()
        };
        assert_eq!(verdict(std::process::id()), 101);
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        assert_eq!(verdict(gone.id()), 0);
    }
}
