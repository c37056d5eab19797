//! From a sealed volume's FUSE file to a mounted file system, and back.
//!
//! All of it happens in the supervisor's own mount namespace: when the cell dies, however it dies,
//! the kernel takes the mounts and the loop devices away with it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Where the layers of one mounted volume are.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    /// Mount point of the FUSE file system that holds the one file `disk`.
    pub fuse: PathBuf,
    /// Mount point of the file system on the disk: what a service gets.
    pub fs: PathBuf,
}

impl Layers {
    /// # Errors
    /// If the mount points cannot be made.
    pub(super) fn create(dir: &Path, tenant: &str, volume: &str) -> io::Result<Self> {
        let base = dir.join("run/mnt").join(format!("{tenant}.{volume}"));
        let layers = Self { fuse: base.join("fuse"), fs: base.join("fs") };
        std::fs::create_dir_all(&layers.fuse)?;
        std::fs::create_dir_all(&layers.fs)?;
        Ok(layers)
    }

    /// The volume as a file.
    #[must_use]
    pub(super) fn disk(&self) -> PathBuf {
        self.fuse.join("disk")
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum MountError {
    #[error("cannot run `{program}`: {source} (install the Debian package {package})")]
    ToolMissing { program: &'static str, package: &'static str, source: io::Error },
    #[error("`{program}` failed on {path}: {message}")]
    ToolFailed { program: &'static str, path: PathBuf, message: String },
    #[error("cannot mount {path}: {source}")]
    Mount { path: PathBuf, source: io::Error },
}

/// Makes an ext4 file system on the disk. Only for a volume that never had one: the caller knows.
///
/// # Errors
/// [`MountError`], naming the tool that failed.
pub(super) fn make_file_system(layers: &Layers) -> Result<(), MountError> {
    let disk = layers.disk();
    // Without discard at mkfs time nothing is gained (the volume is empty), and lazy
    // initialisation would write in the background of the first mount.
    let options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0";
    // The volume vouches for every block. A checksum inside would only refuse the superblock of a
    // fuse2fs that was killed: it writes a changed one in pieces, and a small disk has no other.
    let features = "^metadata_csum";
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F", "-b", "4096", "-m", "0", "-O", features, "-E", options]).arg(&disk);
    run("mkfs.ext4", "e2fsprogs", &disk, command).map(drop)
}

/// Brings the file system to a state that may be mounted: replays its journal and, where it was not
/// unmounted cleanly by who keeps no journal, repairs what a crash leaves. One that is clean is left
/// as it is.
///
/// # Errors
/// [`MountError`] if it has damage that only a person may decide about.
pub(super) fn check_file_system(layers: &Layers) -> Result<(), MountError> {
    /// e2fsck(8): 1 is "errors corrected", 2 "and the system should be rebooted", which concerns
    /// mounted file systems; what is left uncorrected starts at 4.
    const UNCORRECTED: i32 = 4;
    let disk = layers.disk();
    let mut command = Command::new("e2fsck");
    command.arg("-p").arg(&disk);
    let output = output_of("e2fsck", "e2fsprogs", command)?;
    match output.status.code() {
        Some(code) if code < UNCORRECTED => Ok(()),
        _ => {
            let said = [output.stdout, output.stderr].concat();
            let message = String::from_utf8_lossy(&said).trim().to_owned();
            Err(MountError::ToolFailed { program: "e2fsck -p", path: disk, message })
        }
    }
}

/// Attaches a loop device and mounts the file system, as root.
///
/// # Errors
/// [`MountError`]; nothing stays attached.
pub(super) fn mount_loop(layers: &Layers) -> Result<(), MountError> {
    let disk = layers.disk();
    let mut attach = Command::new("losetup");
    attach.args(["--find", "--show", "--sector-size", "4096"]).arg(&disk);
    let output = run("losetup", "util-linux", &disk, attach)?;
    let device = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let flags = MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV;
    let options = c"discard,errors=remount-ro";
    let mounted = mount(device.as_str(), &layers.fs, "ext4", flags, options);
    // Detaching now is lazy: the kernel does it when the mount, its last user, is gone. So no loop
    // device can outlive the namespace.
    let mut detach = Command::new("losetup");
    detach.args(["--detach", &device]);
    run("losetup", "util-linux", Path::new(&device), detach)?;
    mounted.map_err(|error| MountError::Mount { path: layers.fs.clone(), source: error.into() })
}

/// Whether something is mounted exactly at `path`.
///
/// # Errors
/// If the mount table cannot be read.
pub(super) fn is_mounted(path: &Path) -> io::Result<bool> {
    Ok(mounts()?.iter().any(|mount| mount == path))
}

/// Whether the file system at `path` has stopped taking writes, as ext4 does for good once its
/// journal could not be written.
///
/// # Errors
/// If the mount table cannot be read.
pub(super) fn is_read_only(path: &Path) -> io::Result<bool> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table.lines().any(|line| {
        let mounted = line.split(' ').nth(4).map(unescape);
        mounted.is_some_and(|mounted| mounted == path) && says_read_only(line)
    }))
}

/// By the file system's own options, which come last. Newer kernels have a word for "by an error".
fn says_read_only(line: &str) -> bool {
    let options = line.rsplit(' ').next().unwrap_or_default();
    options.split(',').any(|option| matches!(option, "ro" | "emergency_ro" | "shutdown"))
}

/// Every mount point of this mount namespace.
///
/// # Errors
/// If the mount table cannot be read.
pub(super) fn mounts() -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect())
}

/// Takes everything that is mounted below `folder` out of sight at once. Gives what that was.
///
/// # Errors
/// If the mount table cannot be read.
pub(super) fn unmount_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut below = mounts()?;
    below.retain(|path| path.starts_with(folder));
    // Inner mounts first.
    below.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    below.iter().for_each(|path| unmount_lazily(path));
    Ok(below)
}

/// Mount tables write space, tab, newline and backslash as three octal digits.
fn unescape(path: &str) -> PathBuf {
    let mut text = path.to_owned();
    for (escaped, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(escaped, plain);
    }
    text.into()
}

/// Unmounts, writing back what is dirty. What is not mounted is no error.
///
/// # Errors
/// `EBUSY` while something inside is still in use.
pub(super) fn unmount_clean(path: &Path) -> io::Result<()> {
    match unmount(path, UnmountFlags::empty()) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes the mount out of sight at once, for when the disk behind it is dead.
pub(super) fn unmount_lazily(path: &Path) {
    let _ = unmount(path, UnmountFlags::DETACH);
}

fn run(
    program: &'static str,
    package: &'static str,
    path: &Path,
    command: Command,
) -> Result<Output, MountError> {
    let output = output_of(program, package, command)?;
    if output.status.success() {
        return Ok(output);
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(MountError::ToolFailed { program, path: path.to_owned(), message })
}

fn output_of(
    program: &'static str,
    package: &'static str,
    mut command: Command,
) -> Result<Output, MountError> {
    command.env("PATH", tools_path()).stdin(Stdio::null());
    command.output().map_err(|source| MountError::ToolMissing { program, package, source })
}

/// mkfs, losetup and nft live in sbin, which an ordinary user's PATH does not name.
#[must_use]
pub(super) fn tools_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn a_file_system_that_gave_up_is_told_from_one_mounted_read_only() {
        let line = |options: &str| {
            format!("263 261 7:0 / /run/mnt/fs rw,noatime - ext4 /dev/loop0 {options}")
        };
        assert!(!says_read_only(&line("rw,discard,errors=remount-ro")));
        assert!(says_read_only(&line("ro,discard,errors=remount-ro")));
        assert!(says_read_only(&line("rw,discard,emergency_ro")));
    }

    #[test]
    fn a_superblock_written_by_half_is_repaired() {
        const SUPERBLOCK: u64 = 1024;
        /// Of its fields: when it was last written, and free blocks.
        const PIECES: [(u64, &[u8]); 2] = [(0x30, &[0x55; 4]), (0x0c, &[7, 0])];
        let folder = tempfile::tempdir().unwrap();
        let layers = Layers { fuse: folder.path().to_owned(), fs: folder.path().join("fs") };
        let disk = std::fs::File::create(layers.disk()).unwrap();
        disk.set_len(64 << 20).unwrap();
        make_file_system(&layers).unwrap();
        for (field, piece) in PIECES {
            disk.write_all_at(piece, SUPERBLOCK + field).unwrap();
        }
        // As a file system that is mounted says of itself.
        disk.write_all_at(&[0, 0], SUPERBLOCK + 0x3a).unwrap();
        check_file_system(&layers).unwrap();
        check_file_system(&layers).unwrap();
        disk.write_all_at(&[0; 64], SUPERBLOCK + 0x18).unwrap();
        let refused = check_file_system(&layers).unwrap_err();
        assert!(matches!(refused, MountError::ToolFailed { .. }), "{refused}");
    }

    #[test]
    fn escaped_mount_points_are_read_back() {
        assert_eq!(unescape(r"/a\040b\134c"), PathBuf::from(r"/a b\c"));
    }

    #[test]
    fn the_root_is_mounted_and_a_new_name_is_not() {
        assert!(is_mounted(Path::new("/")).unwrap());
        assert!(!is_mounted(Path::new("/no/such/mount")).unwrap());
    }
}
