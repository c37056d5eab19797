use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::network::{DNS_ADDRESS, OWN_ADDRESS};
use super::protocol::{Dial, DialOutcome, Dialled, Isolation, LaunchSpec, Listen};

/// Opens connections to the service from inside its namespace, which its proxy cannot enter.
pub(super) struct Dialler {
    ports: Vec<u16>,
    from: Ipv4Addr,
    to: Ipv4Addr,
}

impl Dialler {
    pub(super) fn new(spec: &LaunchSpec) -> Self {
        let (from, to) = match (spec.isolation, spec.listen) {
            (Isolation::Full, Listen::Any) => (DNS_ADDRESS, OWN_ADDRESS),
            (Isolation::Full, Listen::Loopback) | (Isolation::None, _) => {
                (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST)
            }
        };
        Self { ports: spec.ports.clone(), from, to }
    }

    /// Never blocks: the socket is handed out while it is still connecting.
    pub(super) fn dial(&self, dial: Dial) -> (Dialled, Option<OwnedFd>) {
        let answer = |outcome| Dialled { id: dial.id, outcome };
        // The proxy knows the ports too. Here they are checked where it cannot lie.
        if !self.ports.contains(&dial.port) {
            return (answer(DialOutcome::PortUndeclared), None);
        }
        match self.connect(dial.port) {
            Ok(socket) => (answer(DialOutcome::Connecting), Some(socket)),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                (answer(DialOutcome::Failed { errno }), None)
            }
        }
    }

    fn connect(&self, port: u16) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        let any_port = 0;
        bind(&socket, &SocketAddrV4::new(self.from, any_port))?;
        match connect(&socket, &SocketAddrV4::new(self.to, port)) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
            Err(errno) => Err(errno.into()),
        }
    }
}
