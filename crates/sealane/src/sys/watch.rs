//! Waiting for a descriptor in the runtime.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches `fd` until it is readable. Must be called within a runtime.
///
/// # Errors
/// The kernel's, where this kind of descriptor cannot be watched.
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch(fd, Interest::READABLE)
}

/// Watches `fd` until it is readable, and until it is writable. Must be called within a runtime.
///
/// # Errors
/// The kernel's, where this kind of descriptor cannot be watched.
pub fn both_ways(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch(fd, Interest::READABLE | Interest::WRITABLE)
}

fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names one open descriptor, the same at every call, and keeps it open
    // for as long as it lives; the `AsyncFd` owns it, and only lends it.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    Ok(watched?)
}
