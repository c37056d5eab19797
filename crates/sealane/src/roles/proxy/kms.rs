//! The way from a service to the cell's KMS: in plaintext to its proxy, from there in TLS that shows
//! the service's SVID. The KMS takes that for the caller; this process adds nothing to a request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mesh::policy::{MayConnect, Target};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::ipc::messages::Protection;
use crate::plan::KMS;
use crate::roles::dataplane::Mesh;
use crate::roles::dataplane::facts::Counted;
use crate::tls::TlsFacts;
use crate::tls::to_kms::{self, ToKms};

/// How long the KMS may take to accept and to prove who it is.
const REACH_MAX: Duration = Duration::from_secs(10);

/// Opens a connection to the KMS, which `permit` allows.
///
/// # Errors
/// Why not, as a user should read it.
pub(super) async fn connect(mesh: &Mesh, permit: &MayConnect) -> Result<Counting, String> {
    let (Target::Cell { name, .. }, Some(address)) = (permit.target(), mesh.plan.kms) else {
        return Err("the cell serves nothing by this name".to_owned());
    };
    let reaching = async {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        to_kms::connect(&mesh.tunnels, KMS, tcp).await
    };
    let reached = tokio::time::timeout(REACH_MAX, reaching).await;
    let reached = reached.map_err(|_| format!("the KMS did not answer within {REACH_MAX:?}"))?;
    let stream = reached.map_err(|error| format!("the KMS cannot be reached: {error}"))?;
    let counted = TlsFacts::of(stream.get_ref().1).map(|facts| {
        let TlsFacts { tls_version, cipher, key_exchange } = facts;
        let protection = Protection { tls_version, cipher, key_exchange };
        let to = format!("https://{name}:{}", address.port());
        mesh.facts.open(mesh.identity.as_str(), &to, &to, protection)
    });
    Ok(Counting { stream, counted })
}

/// A connection to the KMS whose bytes count.
pub(super) struct Counting {
    stream: ToKms,
    counted: Option<Counted>,
}

impl Counting {
    fn add(&self, bytes: usize) {
        if let Some(counted) = &self.counted {
            counted.add(bytes);
        }
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.add(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.add(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
