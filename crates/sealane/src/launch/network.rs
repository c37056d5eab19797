//! The service's network namespace: `lo` and nothing else, so that a packet has nowhere to go but
//! to a socket inside, and a firewall that decides to which.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{During as _, LaunchError, Step};

/// The service's own address.
pub const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// Where names are asked for, and where dialled connections seem to come from: not a loopback
/// address, so that a service does not grant remote callers what it grants local ones.
pub const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
/// The first address for a mesh or egress name; all up to the end of 100.64.0.0/10 are captured.
pub const NAME_ADDRESS_MIN: Ipv4Addr = Ipv4Addr::new(100, 64, 1, 0);
pub const NAME_ADDRESS_MAX: Ipv4Addr = Ipv4Addr::new(100, 127, 255, 255);
/// Where captured connections arrive, on 127.0.0.1: REDIRECT sends what was made here there. It
/// can be reached by redirection only.
pub const CAPTURE_PORT: u16 = 15001;
pub const DNS_PORT: u16 = 53;

/// The sockets that the proxy serves inside the namespace.
#[derive(Debug)]
pub struct InsideSockets {
    /// Captured connections; [`crate::sys::net::original_destination`] says where each was going.
    pub capture: OwnedFd,
    pub dns_udp: OwnedFd,
    pub dns_tcp: OwnedFd,
}

/// Sets up the network namespace that the caller is in, and opens the proxy's sockets.
pub(super) fn set_up() -> Result<InsideSockets, LaunchError> {
    feed("ip", &["-batch", "-"], &addresses(), Step::ConfigureNetwork)?;
    // The firewall stands before any socket does.
    feed("nft", &["-f", "-"], &rules(), Step::ConfigureFirewall)?;
    // A service may listen on its declared port 80 without any capability. Where this cannot be
    // written only such services notice, and they say so.
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");

    let listen = |address, port| {
        TcpListener::bind(SocketAddrV4::new(address, port)).during(Step::OpenSockets)
    };
    let udp =
        UdpSocket::bind(SocketAddrV4::new(DNS_ADDRESS, DNS_PORT)).during(Step::OpenSockets)?;
    Ok(InsideSockets {
        capture: listen(Ipv4Addr::LOCALHOST, CAPTURE_PORT)?.into(),
        dns_udp: udp.into(),
        dns_tcp: listen(DNS_ADDRESS, DNS_PORT)?.into(),
    })
}

/// Every IPv4 destination is local, so that connections to mesh names have a route without an
/// interface for it. With `src`, or a socket would take its destination for its own address.
fn addresses() -> String {
    format!(
        "link set lo up\n\
         addr add {OWN_ADDRESS}/32 dev lo\n\
         addr add {DNS_ADDRESS}/32 dev lo\n\
         route add local 0.0.0.0/0 dev lo src {OWN_ADDRESS}\n"
    )
}

/// Rejects by default, and says so at once: a caller that hangs until its time-out tells nobody
/// what is wrong. Whatever the service binds, only its own addresses lead to it, because the
/// route above would otherwise make 10.0.0.1 the service itself.
fn rules() -> String {
    format!(
        "table inet sealane {{
  chain capture {{
    type nat hook output priority -100; policy accept;
    ip daddr {{ {OWN_ADDRESS}, {DNS_ADDRESS} }} return
    ip daddr 100.64.0.0/10 meta l4proto tcp redirect to :{CAPTURE_PORT}
  }}
  chain out {{
    type filter hook output priority 0; policy drop;
    ct state established,related accept
    ct status dnat ip daddr 127.0.0.1 tcp dport {CAPTURE_PORT} accept
    tcp dport {CAPTURE_PORT} reject with tcp reset
    ip daddr {{ 127.0.0.0/8, {OWN_ADDRESS} }} accept
    ip6 daddr ::1 accept
    ip daddr {DNS_ADDRESS} udp dport {DNS_PORT} accept
    ip daddr {DNS_ADDRESS} tcp dport {DNS_PORT} accept
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }}
}}
"
    )
}

/// Runs a tool of the host with `input` on its standard input.
fn feed(tool: &str, arguments: &[&str], input: &str, step: Step) -> Result<(), LaunchError> {
    let failed = |error: std::io::Error| LaunchError::new(step, &error).at(tool);
    let path = find_tool(tool).ok_or_else(|| failed(rustix::io::Errno::NOENT.into()))?;
    let mut child = Command::new(path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that stops reading says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LaunchError::said(step, format!("{} ({})", said.trim(), output.status)).at(tool))
}

/// Debian keeps both tools in sbin, which is not in a user's PATH.
fn find_tool(tool: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(tool))
        .find(|path| path.is_file())
}
