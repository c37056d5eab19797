//! What an earlier run in the same DIR may have left behind, and how it is taken away.
//!
//! Processes die with their supervisor and namespaces with their processes, so what can be left are
//! cgroups, and mounts or loop devices where a private mount namespace could not be had.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::mounts;
use crate::launch::cgroup::Cgroups;

/// How long killed processes may take to leave their cgroup.
const CGROUP_EMPTY_MAX: Duration = Duration::from_secs(2);

/// Removes what an earlier run in `dir` left behind. Gives a line for each thing removed.
///
/// # Errors
/// If the kernel's tables cannot be read; what cannot be removed is said in its line.
pub(super) fn sweep(dir: &Path) -> io::Result<Vec<String>> {
    let mut swept = Vec::new();
    for path in mounts::unmount_below(&dir.join("run"))? {
        swept.push(format!("unmounted {}", path.display()));
    }
    for (device, backing) in loop_devices()? {
        if backing.starts_with(dir) {
            let detached = std::process::Command::new("losetup").arg("-d").arg(&device).status();
            let outcome = match detached {
                Ok(status) if status.success() => "detached",
                _ => "could not detach",
            };
            swept.push(format!("{outcome} {}", device.display()));
        }
    }
    Ok(swept)
}

/// Kills and removes the cgroups whose names begin with `prefix`. Where there are no cgroups of our
/// own, there is nothing to remove.
///
/// # Errors
/// If cgroups cannot be listed.
pub(super) fn sweep_cgroups(prefix: &str) -> io::Result<Vec<String>> {
    let Ok(cgroups) = Cgroups::find() else { return Ok(Vec::new()) };
    let mut swept = Vec::new();
    for group in cgroups.leftovers(prefix)? {
        let _ = group.kill();
        let outcome = match group.remove(CGROUP_EMPTY_MAX) {
            Ok(()) => "removed".to_owned(),
            Err(error) => format!("could not remove ({error})"),
        };
        swept.push(format!("{outcome} {}", group.path().display()));
    }
    Ok(swept)
}

/// Every attached loop device with the file behind it.
fn loop_devices() -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut devices = Vec::new();
    let entries = match std::fs::read_dir("/sys/block") {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(devices),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if let Ok(backing) = std::fs::read_to_string(entry.path().join("loop/backing_file")) {
            let device = Path::new("/dev").join(entry.file_name());
            devices.push((device, PathBuf::from(backing.trim_end())));
        }
    }
    Ok(devices)
}
