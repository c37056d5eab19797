//! Running the binary as a user without any privilege, from a test that is root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::TestCell;

/// Debian's `nobody`: owns nothing, may do nothing.
const USER: u32 = 65534;
/// What a user's shell looks for programs in.
const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where the user is put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// As on most machines.
    Plain,
    /// `/dev/fuse` is root's alone.
    FuseClosed,
    /// In a chroot, where the kernel makes no user namespaces.
    NoUserNamespaces,
    /// With an empty PATH.
    NoPrograms,
}

/// Runs the binary in a mount namespace of its own, so that nothing changes for others: what is
/// said of `/dev/fuse` there holds there alone.
pub(crate) struct Wrapper {
    place: Place,
    folder: PathBuf,
}

/// Takes the mode of `/dev/fuse`, the folder, whether to chroot, the PATH, then the command.
const SCRIPT: &str = r#"
set -e
mode=$1 folder=$2 chroot=$3 path=$4
shift 4
mount -t tmpfs -o mode=0755 tmpfs "$folder/dev"
mknod -m "$mode" "$folder/dev/fuse" c 10 229
mount --bind "$folder/dev/fuse" /dev/fuse
umount --lazy "$folder/dev"
set -- setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all \
    --no-new-privs env PATH="$path" "$@"
if [ "$chroot" = no ]; then exec "$@"; fi
mount --rbind / "$folder/root"
exec chroot "$folder/root" sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"#;

impl Wrapper {
    pub(crate) fn command(&self) -> Command {
        let mode = if self.place == Place::FuseClosed { "0600" } else { "0666" };
        let chroot = if self.place == Place::NoUserNamespaces { "yes" } else { "no" };
        let path = if self.place == Place::NoPrograms { "/nonexistent" } else { USER_PATH };
        let mut command = Command::new("unshare");
        // All of them replace one another, so the pid that is spawned is the binary's.
        command.args(["--mount", "sh", "-c", SCRIPT, "sh", mode]);
        command.arg(&self.folder).args([chroot, path]).arg(binary(&self.folder));
        command
    }
}

impl TestCell {
    /// From now on the cell belongs to a user without privileges, who alone runs the binary. A test
    /// that is not root is such a user.
    pub(crate) fn for_user(mut self, place: Place) -> Self {
        if !super::is_root() {
            assert!(place == Place::Plain, "only root can make other places");
            return self;
        }
        let folder = self.folder.path().to_owned();
        for name in ["dev", "root"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        // Where it was built may be closed to others.
        fs::copy(env!("CARGO_BIN_EXE_sealane"), binary(&folder)).unwrap();
        fs::set_permissions(binary(&folder), PermissionsExt::from_mode(0o755)).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            chown(entry.unwrap().path(), Some(USER), Some(USER)).unwrap();
        }
        chown(&folder, Some(USER), Some(USER)).unwrap();
        self.wrapper = Some(Wrapper { place, folder });
        self
    }
}

fn binary(folder: &Path) -> PathBuf {
    folder.join("sealane")
}

/// Whether a user without root can run a cell here: why not, if not.
pub(crate) fn refusal() -> Option<&'static str> {
    if super::is_root() {
        return None;
    }
    let unshared = Command::new("unshare").args(["--user", "--map-root-user", "true"]).output();
    if !unshared.is_ok_and(|unshared| unshared.status.success()) {
        return Some("user namespaces are forbidden");
    }
    let fuse = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    fuse.err().map(|_| "/dev/fuse is closed")
}
