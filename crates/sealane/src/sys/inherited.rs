//! Descriptors that a parent process left open for us, known by number.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// Numbers that were adopted in this process: each may have only one owner.
static ADOPTED: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes ownership of an inherited descriptor and marks it close-on-exec.
///
/// # Errors
/// If `number` is no open descriptor, is one of the standard three, or was adopted before.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if number <= 2 {
        return refused("a standard stream cannot be adopted");
    }
    let mut adopted = ADOPTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if adopted.contains(&number) {
        return refused("this descriptor has an owner already");
    }
    // SAFETY: the number is only borrowed for this call, which fails with EBADF if it is not open.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    adopted.insert(number);
    // SAFETY: the descriptor is open (the call above succeeded) and inherited: it is adopted before
    // this process opens anything of its own under that number, and only once (see `ADOPTED`), so
    // nothing else in the process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
