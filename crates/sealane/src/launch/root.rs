//! The service's root directory: an allow list. A tmpfs takes the place of the host's root, and
//! only what is named here is mounted into it, so that what nobody thought of is absent.
//!
//! One thing it does not keep out: a host process that listens on a path-name Unix socket inside
//! what is visible (the service's cwd, /usr, /opt, /etc). A read-only mount does not refuse a
//! connect.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::thread::UnshareFlags;

use super::error::{During as _, LaunchError, Step};
use super::network::{DNS_ADDRESS, OWN_ADDRESS};
use super::protocol::LaunchSpec;
use crate::sys::mount::{Access, Attributes, Devices, Reach, restrict};
use crate::sys::process::unshare;

/// Directories of the system that every service sees, read-only.
const SYSTEM: [&str; 9] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt"];
/// Fresh, empty and writable.
const SCRATCH: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];
/// Parts of /proc that speak of the whole machine. The service's uid may not write them anyway;
/// this holds even if it came by more.
const PROC_READ_ONLY: [&str; 5] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];
const PROC_EMPTY: [&str; 6] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/kmsg",
    "/proc/kallsyms",
];
/// Our own files, bound over those of /etc.
const OURS: &str = "/.sealane";

const READ_ONLY: Attributes = Attributes { access: Access::ReadOnly, devices: Devices::Refused };
const WRITABLE: Attributes = Attributes { access: Access::ReadWrite, devices: Devices::Refused };
const DEVICE: Attributes = Attributes { access: Access::ReadWrite, devices: Devices::Work };

/// A mount that is not attached anywhere yet.
struct Tree {
    at: PathBuf,
    mount: OwnedFd,
    step: Step,
}

/// Gives the caller, the init of the new PID namespace, a mount namespace with the service's root.
pub(super) fn set_up(spec: &LaunchSpec) -> Result<(), LaunchError> {
    unshare(UnshareFlags::NEWNS).during(Step::CreateNamespaces)?;
    // Else the host would see what is mounted here.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .during(Step::MountRoot)?;

    // All of the host's is taken hold of first, as detached trees, because the new root covers it.
    let mut links = Vec::new();
    let mut trees = Vec::new();
    for path in SYSTEM.map(Path::new) {
        match fs::read_link(path) {
            Ok(target) => links.push((path, target)),
            Err(_) if path.is_dir() => {
                trees.push(host_tree(path, path, READ_ONLY, Step::MountRoot)?)
            }
            Err(_) => {}
        }
    }
    for path in outermost(spec.visible.iter().chain([&spec.cwd])) {
        trees.push(host_tree(path, path, READ_ONLY, Step::MountRoot)?);
    }
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        trees.push(host_tree(&path, &path, DEVICE, Step::MountRoot)?);
    }
    for volume in &spec.volumes {
        trees.push(host_tree(&volume.source, &volume.at, WRITABLE, Step::MountVolume)?);
    }
    let proc = new_mount(
        "proc",
        &[("hidepid", "invisible")],
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
    .during(Step::MountProc)?;
    trees.push(Tree { at: "/proc".into(), mount: proc, step: Step::MountProc });
    let scratch_bytes = spec.limits.scratch_bytes_max.to_string();
    for path in SCRATCH {
        let mount = scratch(&scratch_bytes, "1777").during(Step::MountRoot)?;
        trees.push(Tree { at: path.into(), mount, step: Step::MountRoot });
    }

    enter_new_root().during(Step::MountRoot)?;
    for (path, target) in links {
        symlink(target, path).during(Step::MountRoot)?;
    }
    // Parents first, so that /tmp does not cover /tmp/app. The sort is stable: at one path the
    // volume, which comes later above, covers the host's directory.
    trees.sort_by_key(|tree| tree.at.components().count());
    for tree in trees {
        attach(&tree.mount, &tree.at)
            .map_err(|error| LaunchError::new(tree.step, &error).at(&tree.at))?;
    }
    for (link, target) in DEVICE_LINKS {
        symlink(target, link).during(Step::MountRoot)?;
    }
    cover_proc()?;
    replace_name_files(spec)?;
    for path in &spec.hidden {
        hide(path).map_err(|error| LaunchError::new(Step::HideDirectory, &error).at(path))?;
    }
    let root =
        rustix::fs::open("/", path_flags(), rustix::fs::Mode::empty()).during(Step::MountRoot)?;
    restrict(root, READ_ONLY, Reach::Mount).during(Step::MountRoot)
}

/// The paths that lie in no other one. A tree that was attached over its like could not be unmounted
/// any more, and would keep what is mounted in it (another tenant's volume, say) mounted for ever.
fn outermost<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Vec<&'p Path> {
    let mut sorted: Vec<&Path> = paths.map(PathBuf::as_path).collect();
    sorted.sort();
    let mut outermost: Vec<&Path> = Vec::new();
    for path in sorted {
        if !outermost.iter().any(|outer| path.starts_with(outer)) {
            outermost.push(path);
        }
    }
    outermost
}

fn host_tree(
    source: &Path,
    at: &Path,
    attributes: Attributes,
    step: Step,
) -> Result<Tree, LaunchError> {
    let mount = clone_tree(source, attributes)
        .map_err(|error| LaunchError::new(step, &error).at(source))?;
    Ok(Tree { at: at.to_path_buf(), mount, step })
}

fn clone_tree(source: &Path, attributes: Attributes) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(CWD, source, flags)?;
    restrict(&mount, attributes, Reach::Tree)?;
    Ok(mount)
}

fn new_mount(kind: &str, options: &[(&str, &str)], flags: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value)?;
    }
    fsconfig_create(&context)?;
    Ok(fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

fn scratch(bytes_max: &str, mode: &str) -> io::Result<OwnedFd> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    new_mount("tmpfs", &[("size", bytes_max), ("mode", mode)], flags)
}

/// Swaps an empty tmpfs for the host's root, and lets go of that.
fn enter_new_root() -> io::Result<()> {
    const BYTES_MAX: &str = "1m";
    let root = scratch(BYTES_MAX, "0755")?;
    // A mount must be attached somewhere before it can become the root; all hosts have /tmp, and
    // nobody else sees this mount namespace.
    move_mount(&root, "", CWD, "/tmp", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&root)?;
    // Puts the old root on top of the new one, where it is detached with all below it.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

fn attach(mount: &OwnedFd, at: &Path) -> io::Result<()> {
    let is_directory =
        rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(mount)?.st_mode).is_dir();
    if is_directory {
        create_directories(at)?;
    } else if fs::symlink_metadata(at).is_err() {
        at.parent().map_or(Ok(()), create_directories)?;
        File::create(at)?;
    }
    Ok(move_mount(mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Any user may pass through these, whatever the modes of their namesakes on the host: a service
/// under /root works although its uid may not enter the host's /root.
fn create_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn cover_proc() -> Result<(), LaunchError> {
    let failed = |path: &str| {
        let path = path.to_owned();
        move |error: io::Error| LaunchError::new(Step::MountProc, &error).at(path)
    };
    for path in PROC_READ_ONLY.into_iter().filter(|path| Path::new(path).exists()) {
        let mount = clone_tree(Path::new(path), READ_ONLY).map_err(failed(path))?;
        attach(&mount, Path::new(path)).map_err(failed(path))?;
    }
    for path in PROC_EMPTY.into_iter().filter(|path| Path::new(path).exists()) {
        let null = clone_tree(Path::new("/dev/null"), DEVICE).map_err(failed(path))?;
        attach(&null, Path::new(path)).map_err(failed(path))?;
    }
    Ok(())
}

/// Names are asked of the proxy, and of nobody else.
fn replace_name_files(spec: &LaunchSpec) -> Result<(), LaunchError> {
    create_directories(Path::new(OURS)).during(Step::ReplaceFile)?;
    // ndots:0 and an empty search list: `catalog` is asked for as it is, once.
    let resolv =
        format!("nameserver {DNS_ADDRESS}\nsearch .\noptions ndots:0 timeout:2 attempts:2\n");
    let hosts = format!(
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{OWN_ADDRESS} {}\n",
        spec.name
    );
    // Only what the C library brings itself: a module such as `resolve` would talk to a daemon.
    let switch = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
                  protocols: files\nservices: files\nethers: files\nrpc: files\n";
    for (name, text) in
        [("resolv.conf", resolv.as_str()), ("hosts", &hosts), ("nsswitch.conf", switch)]
    {
        let path = Path::new("/etc").join(name);
        replace_file(name, &path, text)
            .map_err(|error| LaunchError::new(Step::ReplaceFile, &error).at(&path))?;
    }
    Ok(())
}

fn replace_file(name: &str, path: &Path, text: &str) -> io::Result<()> {
    let ours = Path::new(OURS).join(name);
    fs::write(&ours, text)?;
    fs::set_permissions(&ours, PermissionsExt::from_mode(0o644))?;
    // Often a link to a file of some daemon in /run, which is empty here.
    let target = follow_links(path)?;
    attach(&clone_tree(&ours, READ_ONLY)?, &target)
}

fn follow_links(path: &Path) -> io::Result<PathBuf> {
    const LINKS_MAX: usize = 16;
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&path) else { return Ok(path) };
        // A relative target with `..` in it is the kernel's to resolve, directory by directory.
        path = path.parent().unwrap_or(&path).join(target);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// Covers what lies in something visible. Mounts below it are let go of first: held here, the
/// volumes of others could not be detached as long as this service runs.
fn hide(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    for below in mounts_below(path)? {
        // Refused where the mount came from a more privileged user namespace; it is covered next.
        let _ = unmount(&below, UnmountFlags::DETACH);
    }
    if found.is_dir() {
        let empty = scratch("4k", "0000")?;
        restrict(&empty, READ_ONLY, Reach::Mount)?;
        attach(&empty, path)
    } else {
        attach(&clone_tree(Path::new("/dev/null"), DEVICE)?, path)
    }
}

/// The deepest first.
fn mounts_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut below: Vec<PathBuf> = super::mountinfo::mount_points()?
        .into_iter()
        .filter(|at| at != path && at.starts_with(path))
        .collect();
    below.sort_by_key(|at| std::cmp::Reverse(at.components().count()));
    Ok(below)
}

fn path_flags() -> rustix::fs::OFlags {
    rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_attached_once() {
        let paths = ["/srv/app", "/srv/app/web", "/srv/app2", "/opt/x", "/srv/app"];
        let paths = paths.map(PathBuf::from);
        let expected = ["/opt/x", "/srv/app", "/srv/app2"].map(Path::new);
        assert_eq!(outermost(paths.iter()), expected);
    }
}
