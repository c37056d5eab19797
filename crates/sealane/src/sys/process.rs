use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::thread::UnshareFlags;

/// Puts the calling thread into new namespaces.
///
/// # Errors
/// The kernel's.
pub fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    assert!(
        !namespaces.intersects(UnshareFlags::FILES),
        "a thread with a descriptor table of its own breaks what `OwnedFd` promises",
    );
    // SAFETY: the only unsafe flag, CLONE_FILES, is refused above; all others change what names
    // resolve to, not whether memory or descriptors are valid.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }?;
    Ok(())
}

/// Has every descriptor above standard error closed by the next exec, whoever left it open.
///
/// They are marked and not closed: an `OwnedFd` somewhere may still own one.
///
/// # Errors
/// The kernel's (`close_range` with `CLOSE_RANGE_CLOEXEC`, Linux 5.11).
pub fn close_others_on_exec() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: with CLOSE_RANGE_CLOEXEC no descriptor is closed, only a flag of each is set.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Becomes readable when a child changes state; SIGCHLD is blocked in exchange.
///
/// `std::process::Command` gives each child an empty signal mask, so none inherits the block.
#[derive(Debug)]
pub struct ChildSignals(OwnedFd);

impl ChildSignals {
    /// # Errors
    /// The kernel's.
    pub fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set before anything reads it, and SIGCHLD is a valid
        // signal number.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
            set.assume_init()
        };
        // SAFETY: the set is initialised and outlives the calls; a null old set is allowed.
        let fd = unsafe {
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Forgets what was signalled so far; the caller reaps afterwards, so that none is missed.
    pub fn drain(&self) {
        let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.0, &mut info).is_ok_and(|read| read > 0) {}
    }
}

impl AsFd for ChildSignals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends SIGKILL to every process of this PID namespace but the caller, which must be its init.
///
/// # Errors
/// The kernel's; `ESRCH` where there is no other.
pub fn kill_all_others() -> io::Result<()> {
    assert_eq!(std::process::id(), 1, "outside a namespace of its own this would kill the machine");
    // SAFETY: kill touches no memory; whom it reaches is bounded by the assertion above.
    if unsafe { libc::kill(-1, libc::SIGKILL) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes the descriptor that the process was started with as its standard input, and leaves
/// /dev/null in its place.
///
/// # Errors
/// The kernel's.
pub fn take_stdin() -> io::Result<OwnedFd> {
    let fd = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    debug_assert_ne!(fd.as_raw_fd(), 0);
    Ok(fd)
}
