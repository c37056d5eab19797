//! How a child process of the cell begins: it is told what it is, gives up what it does not need,
//! and lives no longer than the supervisor.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::{Gid, Uid};
use serde::{Deserialize, Serialize};

use crate::ipc::messages::Role;
use crate::sys::inherited::adopt;

/// The socket on which a child is told its [`Boot`], says that it is ready, and sees at its end
/// that the supervisor is gone.
pub const BOOT_FD: i32 = 3;

/// The longest boot message. Larger than any plan: the plan does not travel this way.
const BOOT_BYTES_MAX: u32 = 1 << 20;

/// What a child is told before it does anything.
#[derive(Debug, Serialize, Deserialize)]
pub struct Boot {
    pub role: Role,
    /// The uid and gid to run under; `None` keeps the supervisor's.
    pub uid: Option<u32>,
    /// Inherited descriptors by name.
    pub fds: BTreeMap<String, i32>,
    /// What only this role needs.
    pub options: serde_json::Value,
}

/// What a child says once it serves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ready {
    /// Of a volume: its log holds no group, so nothing was ever written.
    #[serde(default)]
    pub empty_log: bool,
    /// What keeps a promise from being kept in full, such as memory that could not be locked.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Set instead of being ready: what went wrong, as an operator should read it.
    #[serde(default)]
    pub failure: Option<String>,
    /// What to do about the failure.
    #[serde(default)]
    pub help: Option<String>,
}

/// What keeps a child from serving and only the operator can mend. It is told to the supervisor,
/// which shows it, and not logged beside that.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NeedsOperator {
    pub message: String,
    pub help: Option<String>,
}

/// A booted child: its role, descriptors and the line to its supervisor.
pub struct Booted {
    pub role: Role,
    pub options: serde_json::Value,
    pub warnings: Vec<String>,
    pub supervisor: UnixStream,
    fds: BTreeMap<String, OwnedFd>,
}

impl Booted {
    /// Takes an inherited descriptor.
    ///
    /// # Errors
    /// `NotFound` if the supervisor passed none of that name.
    pub fn take_fd(&mut self, name: &str) -> io::Result<OwnedFd> {
        self.fds.remove(name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no descriptor `{name}` was inherited"))
        })
    }
}

/// Reads the boot message, then drops privileges and closes the doors to core dumps, debuggers and
/// swap. Must run before any thread is started: credentials are the thread's.
///
/// # Errors
/// What the kernel says; the child must then end.
pub fn boot() -> io::Result<Booted> {
    let mut supervisor = UnixStream::from(adopt(BOOT_FD)?);
    let boot: Boot = read_message(&mut supervisor)?;
    let mut fds = BTreeMap::new();
    for (name, &number) in &boot.fds {
        fds.insert(name.clone(), adopt(number)?);
    }
    if let Role::Volume { .. } = boot.role {
        // Its disk will be mounted in the supervisor's mount namespace. Were it the last to leave
        // that, its own end would unmount the disk that it no longer serves, and wait for ever.
        crate::sys::process::unshare(rustix::thread::UnshareFlags::NEWNS)?;
        // The copies in the new namespace would keep other volumes mounted, and their file systems
        // unwritten, after the supervisor has unmounted them.
        crate::up::let_go_of_volumes(&std::env::current_dir()?)?;
    }
    let warnings = harden(boot.uid)?;
    Ok(Booted { role: boot.role, options: boot.options, warnings, supervisor, fds })
}

/// Gives up privileges and forbids dumps. Gives what could not be done but is not vital.
fn harden(uid: Option<u32>) -> io::Result<Vec<String>> {
    let mut warnings = Vec::new();
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let unlimited = Rlimit { current: None, maximum: None };
    // Locking memory needs a limit that only root can lift, so lift it while still root.
    let lifted = rustix::process::setrlimit(Resource::Memlock, unlimited).is_ok();
    if let Some(uid) = uid {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    // A change of credentials clears the death signal and the dumpable flag, so both come after.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    warnings.extend(lock_memory(lifted));
    Ok(warnings)
}

/// What a process that holds keys and has no supervisor does for itself: no dumps, no swap, and as
/// many descriptors as it may have. Gives what could not be done but is not vital.
///
/// # Errors
/// What the kernel says.
pub(crate) fn harden_alone() -> io::Result<Vec<String>> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let unlimited = Rlimit { current: None, maximum: None };
    let lifted = rustix::process::setrlimit(Resource::Memlock, unlimited).is_ok();
    let files = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files })?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(lock_memory(lifted).into_iter().collect())
}

/// A warning where it cannot be done.
fn lock_memory(lifted: bool) -> Option<String> {
    let flags = rustix::mm::MlockAllFlags::CURRENT
        | rustix::mm::MlockAllFlags::FUTURE
        | rustix::mm::MlockAllFlags::ONFAULT;
    let locked = lifted && rustix::mm::mlockall(flags).is_ok();
    (!locked).then(|| {
        "the memory of the cell's processes is not locked: with swap, keys may reach it \
         (raise the memlock limit: ulimit -l unlimited)"
            .to_owned()
    })
}

/// Writes one length-prefixed JSON message on a blocking socket.
///
/// # Errors
/// What the socket says.
pub fn write_message<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&json)
}

/// # Errors
/// What the socket says, or `InvalidData`.
pub fn read_message<T: serde::de::DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > BOOT_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut json = vec![0; length as usize];
    stream.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}
