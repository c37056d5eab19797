use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;

/// Where a captured connection was going before the firewall redirected it (`SO_ORIGINAL_DST`).
///
/// # Errors
/// The kernel's: `ENOENT` if the connection was not redirected, that is, if somebody found the
/// capture port and connected to it.
pub fn original_destination(socket: impl AsFd) -> io::Result<SocketAddrV4> {
    Ok(rustix::net::sockopt::ip_original_dst(socket)?)
}
