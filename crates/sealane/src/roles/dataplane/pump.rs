//! Carrying bytes both ways until both sides have ended.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

use crate::tls::{egress, ingress};

/// Of each direction. A whole TLS record fits, and small messages do not wait for more.
const BUFFER_BYTES: usize = 16 * 1024;

/// A stream at this process's other side, over TCP.
pub trait OverTcp: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl OverTcp for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl OverTcp for ingress::Outside {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl OverTcp for egress::Outside {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Carries bytes between `plain` and what is protected. Each side's end is passed on by itself, as TCP
/// does it; an error at one cuts the other with a reset, so that a truncated stream never looks
/// whole.
///
/// # Errors
/// What broke.
pub async fn pump(
    plain: &mut impl OverTcp,
    mut protected: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    cut_unless_ended(plain.tcp());
    copy_bidirectional_with_sizes(plain, &mut protected, BUFFER_BYTES, BUFFER_BYTES).await?;
    rustix::net::sockopt::set_socket_linger(plain.tcp(), None)?;
    Ok(())
}

/// From now on whatever closes `tcp` resets it: also the kernel, when this process is killed. A
/// plain TCP stream has no other way to tell its reader that bytes are missing at its end.
pub fn cut_unless_ended(tcp: &TcpStream) {
    // A socket that refuses this is broken already, and is seen to be when it is used.
    let _ = tcp.set_zero_linger();
}
