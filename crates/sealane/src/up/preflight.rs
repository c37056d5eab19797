//! What this machine must have before a cell is started on it, asked for all at once: an operator
//! who installs one package should not learn of the next only then.

use std::io;

use miette::miette;
use rustix::fs::{Mode, OFlags};

use super::{host, mounts};
use crate::config::{self, Isolation};

const FUSE_DEVICE: &str = "/dev/fuse";

/// A program and the Debian package that brings it.
type Tool = (&'static str, &'static str);

const NAMESPACE_TOOLS: [Tool; 2] = [("ip", "iproute2"), ("nft", "nftables")];
const VOLUME_TOOLS: [Tool; 2] = [("mkfs.ext4", "e2fsprogs"), ("e2fsck", "e2fsprogs")];
const ROOT_VOLUME_TOOLS: [Tool; 1] = [("losetup", "mount")];
const USER_VOLUME_TOOLS: [Tool; 2] = [("fuse2fs", "fuse2fs"), ("setpriv", "util-linux")];

/// What a cell needs of the machine.
#[derive(Clone, Copy)]
struct Needs {
    root: bool,
    namespaces: bool,
    volumes: bool,
}

impl Needs {
    fn of(cell: &config::Cell, root: bool) -> Self {
        Self {
            root,
            namespaces: cell.isolation == Isolation::Namespaces,
            volumes: cell.services.iter().any(|service| service.volume.is_some()),
        }
    }

    fn tools(self) -> Vec<Tool> {
        let mut tools = Vec::new();
        if self.namespaces {
            tools.extend(NAMESPACE_TOOLS);
        }
        if self.volumes {
            tools.extend(VOLUME_TOOLS);
            tools.extend(if self.root { &ROOT_VOLUME_TOOLS[..] } else { &USER_VOLUME_TOOLS[..] });
        }
        tools
    }
}

/// Looks for every program and device that the cell will need.
///
/// # Errors
/// What is missing, and how to come by it.
pub(super) fn check(cell: &config::Cell, root: bool) -> miette::Result<()> {
    let needs = Needs::of(cell, root);
    let path = mounts::tools_path();
    let missing: Vec<_> =
        needs.tools().into_iter().filter(|(program, _)| !is_in(&path, program)).collect();
    if !missing.is_empty() {
        return Err(tools_missing(&missing));
    }
    if needs.volumes {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        if let Err(error) = rustix::fs::open(FUSE_DEVICE, flags, Mode::empty()) {
            return Err(fuse_refused(error.into(), root));
        }
    }
    Ok(())
}

/// Takes the mount namespace that the cell's volumes are mounted in. Without root that takes a user
/// namespace; a cell that needs neither of them runs without.
///
/// # Errors
/// Why there is none to be had, and what can be done.
pub(super) fn take_namespaces(cell: &config::Cell, root: bool) -> miette::Result<()> {
    let needs = Needs::of(cell, root);
    match host::private_mounts(root) {
        Ok(()) => Ok(()),
        Err(_) if !needs.namespaces && !needs.volumes => Ok(()),
        Err(error) if root => Err(miette!(
            help = "root here lacks CAP_SYS_ADMIN, as in most containers: give the container that \
                    capability (docker run --cap-add SYS_ADMIN), or run Sealane outside",
            "cannot get a mount namespace of its own: {error}"
        )),
        Err(error) => {
            let instead = match (needs.namespaces, needs.volumes) {
                (_, true) => "run `sealane up` as root",
                (true, false) => "run `sealane up` as root, or set isolation = \"none\" in [cell]",
                (false, false) => unreachable!("taken care of above"),
            };
            let help = format!(
                "allow user namespaces to users (Debian: sysctl -w \
                        kernel.unprivileged_userns_clone=1; Ubuntu: sysctl -w \
                        kernel.apparmor_restrict_unprivileged_userns=0; anywhere: \
                        user.max_user_namespaces above 0, and no chroot), or {instead}"
            );
            Err(miette!(
                help = help,
                "this machine gives the user {} no user namespace of its own, which a cell \
                 without root needs: {error}",
                rustix::process::getuid().as_raw()
            ))
        }
    }
}

fn tools_missing(missing: &[Tool]) -> miette::Report {
    let programs: Vec<_> = missing.iter().map(|(program, _)| format!("`{program}`")).collect();
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    let packages = packages.join(" ");
    miette!(
        help = format!("as root: apt-get install --no-install-recommends {packages}"),
        "this cell needs programs that are not here: {}",
        programs.join(", ")
    )
}

fn fuse_refused(error: io::Error, root: bool) -> miette::Report {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied if root => {
            "the container must be given the device: docker run --device /dev/fuse"
        }
        io::ErrorKind::PermissionDenied => {
            "let users open it, as root: chmod 0666 /dev/fuse (which is how Debian ships it), or \
             run `sealane up` as root"
        }
        _ => {
            "load the module, as root: modprobe fuse; in a container, give it the device: \
             docker run --device /dev/fuse"
        }
    };
    miette!(help = help, "cannot open {FUSE_DEVICE}, which volumes are served through: {error}")
}

fn is_in(path: &str, program: &str) -> bool {
    std::env::split_paths(path).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_asks_for_what_it_needs_and_no_more() {
        let tools = |root, namespaces, volumes| -> Vec<_> {
            let tools = Needs { root, namespaces, volumes }.tools();
            tools.into_iter().map(|(program, _)| program).collect()
        };
        assert_eq!(tools(true, false, false), Vec::<&str>::new());
        assert_eq!(tools(false, true, false), ["ip", "nft"]);
        assert_eq!(tools(true, false, true), ["mkfs.ext4", "e2fsck", "losetup"]);
        assert_eq!(tools(false, false, true), ["mkfs.ext4", "e2fsck", "fuse2fs", "setpriv"]);
    }

    #[test]
    fn what_is_missing_is_named_with_its_packages_once() {
        let report = tools_missing(&[("nft", "nftables"), ("a", "e2fsprogs"), ("b", "e2fsprogs")]);
        assert!(report.to_string().contains("`nft`, `a`, `b`"), "{report}");
        let help = report.help().map(|help| help.to_string()).unwrap_or_default();
        assert!(help.ends_with("nftables e2fsprogs"), "{help}");
    }

    #[test]
    fn programs_are_found_in_the_path_alone() {
        assert!(is_in("/nonexistent:/bin:/usr/bin", "sh"));
        assert!(!is_in("/nonexistent", "sh") && !is_in("/bin:/usr/bin", "sealane-no-such-program"));
    }
}
