//! What the machine is like, where that matters to a promise, and what the supervisor takes from it.

use std::io;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Resource, Rlimit};
use rustix::thread::UnshareFlags;

/// What weakens a promise on this machine, as people should read it.
#[must_use]
pub(super) fn warnings() -> Vec<String> {
    let mut warnings = Vec::new();
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    for device in plaintext_swaps(&swaps) {
        warnings.push(format!(
            "swap on {device} may be plaintext: application data may reach it (swapoff {device})"
        ));
    }
    warnings
}

/// Swap devices that are neither compressed memory nor mapped by device-mapper (dm-crypt).
fn plaintext_swaps(table: &str) -> Vec<&str> {
    let devices = table.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let plain = |device: &&str| !device.starts_with("/dev/zram") && !device.starts_with("/dev/dm-");
    devices.filter(plain).collect()
}

/// Gives the supervisor a mount namespace of its own, so that every mount it makes ends with it;
/// without root, inside a user namespace of its own, which is what allows it to mount at all.
///
/// Must be called while the process has one thread.
///
/// # Errors
/// What the kernel says; without root, user namespaces may be forbidden.
pub(super) fn private_mounts(root: bool) -> io::Result<()> {
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    if root {
        crate::sys::process::unshare(UnshareFlags::NEWNS)?;
    } else {
        crate::sys::process::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
        // The order is the kernel's: without "deny" first, a gid map needs privileges.
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw()))?;
        std::fs::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw()))?;
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    Ok(())
}

/// Whether who started us wants the cell to outlive the terminal, as `nohup` does. To be asked before
/// the signal gets a handler.
#[must_use]
pub(super) fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signals are counted from 1, which is SIGHUP.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 1 == 1)
}

/// A crash of the supervisor must not write memory to disk, and a cell holds many descriptors.
///
/// # Errors
/// What the kernel says.
pub(super) fn limits() -> io::Result<()> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let files = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_swap_that_is_not_protected_is_named() {
        let table = "Filename Type Size Used Priority\n\
                     /dev/zram0 partition 1 0 100\n/dev/sda2 partition 1 0 -2\n\
                     /dev/dm-1 partition 1 0 -3\n/swapfile file 1 0 -4\n";
        assert_eq!(plaintext_swaps(table), ["/dev/sda2", "/swapfile"]);
        assert_eq!(plaintext_swaps("Filename Type\n"), Vec::<&str>::new());
    }
}
