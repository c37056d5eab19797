use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// What a mount, and with [`Reach::Tree`] all mounts below it, shall be from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub access: Access,
    pub devices: Devices,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Device nodes on the mount open their devices.
    Work,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Mount,
    Tree,
}

/// Restricts a mount (`mount_setattr`, Linux 5.12); always `nosuid`, and private from now on.
///
/// Attributes are only ever added. That is what makes this work in a user namespace too, where
/// flags inherited from a more privileged one are locked and a classic remount, which states all
/// flags anew, is refused for each that it forgets.
///
/// # Errors
/// The kernel's.
pub fn restrict(mount: impl AsFd, attributes: Attributes, reach: Reach) -> io::Result<()> {
    let mut set = libc::MOUNT_ATTR_NOSUID;
    if attributes.access == Access::ReadOnly {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    if attributes.devices == Devices::Refused {
        set |= libc::MOUNT_ATTR_NODEV;
    }
    let mut flags = libc::AT_EMPTY_PATH;
    if reach == Reach::Tree {
        flags |= libc::AT_RECURSIVE;
    }
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    // SAFETY: the descriptor is borrowed for the call, the path is a NUL-terminated literal, and
    // the kernel only reads `attr`, whose size is passed along with it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
