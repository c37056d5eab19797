//! Accepting tunnels: who is calling is verified, whether it may is decided here, and only then is
//! anything behind this process touched.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mesh::policy::{Decision, MayConnect, Target};
use mesh::tunnel::Handshaking;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use wire::preamble::{Answer, Preamble, RefusalCode, TargetName};

use super::facts::Counted;
use super::pump::{OverTcp, pump};
use super::stream::{TunnelStream, handshake};
use super::{Mesh, now};

/// Tunnels at once, waiting ones included. Further callers wait in the socket's backlog.
pub const TUNNELS_MAX: usize = 10_000;
/// How long a peer may take to prove who it is.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a tunnel may wait for use.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What is behind a process that accepts tunnels.
pub trait Behind {
    type Stream: OverTcp;

    /// What `name` means here.
    fn target(&self, name: &TargetName) -> Target;

    /// Connects to what the caller was permitted to reach.
    fn reach(&self, permit: &MayConnect) -> impl Future<Output = Result<Self::Stream, String>>;

    /// The line of the report that the way on from here belongs to, where it is one of its own.
    fn counted(&self, _permit: &MayConnect, _stream: &Self::Stream) -> Option<Counted> {
        None
    }
}

/// Accepts tunnels until `draining` is set, then waits for those in use to end.
pub async fn serve<B: Behind + 'static>(
    mesh: Rc<Mesh>,
    listener: TcpListener,
    behind: Rc<B>,
    mut draining: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(TUNNELS_MAX));
    let mut stop = draining.clone();
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((tcp, _)) = listener.accept().await else {
                // Out of descriptors, for one: others must end before this can go on.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let (mesh, behind, draining) = (Rc::clone(&mesh), Rc::clone(&behind), draining.clone());
            tokio::task::spawn_local(async move {
                if let Err(why) = serve_one(&mesh, tcp, &*behind, draining).await {
                    tracing::warn!("{}: a tunnel was refused: {why}", mesh.identity);
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = stop.wait_for(|&draining| draining) => {}
    }
    let _ = draining.wait_for(|&draining| draining).await;
    // All places are free once every tunnel has ended.
    let _ = places.acquire_many(u32::try_from(TUNNELS_MAX).unwrap_or(u32::MAX)).await;
}

async fn serve_one<B: Behind>(
    mesh: &Rc<Mesh>,
    tcp: TcpStream,
    behind: &B,
    mut draining: watch::Receiver<bool>,
) -> Result<(), String> {
    let _ = tcp.set_nodelay(true);
    let begun = Handshaking::as_server(&mesh.tunnels, now()).map_err(|error| error.to_string())?;
    let mut tunnel = timeout(HANDSHAKE_MAX, handshake(tcp, begun))
        .await
        .map_err(|_| format!("no handshake within {HANDSHAKE_MAX:?}"))??;
    let peer = tunnel.facts().peer.clone();
    let preamble = tokio::select! {
        preamble = timeout(WAIT_MAX, tunnel.decode(Preamble::decode)) => preamble,
        // A tunnel that waits for use is no connection that anybody would miss.
        _ = draining.wait_for(|&draining| draining) => return Ok(()),
    };
    let preamble = match preamble {
        Ok(Ok(preamble)) => preamble,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            refuse(tunnel, RefusalCode::PreambleUnsupported, &error.to_string()).await;
            return Err(format!("{peer}: {error}"));
        }
        // It was never used, or its caller went away.
        Ok(Err(_)) | Err(_) => return Ok(()),
    };
    let target = behind.target(&preamble.target);
    // The tunnel may have waited for a while. Whose certificate has expired by now is nobody.
    let not_after = tunnel.facts().peer_not_after;
    if not_after <= now() {
        let why =
            format!("the certificate of {peer} expired at {not_after} while the tunnel waited");
        refuse(tunnel, RefusalCode::Denied, &why).await;
        return Err(format!("{target}: {why}"));
    }
    let permit = match mesh.policy.decide(&peer, &target) {
        Decision::Allowed(permit) => permit,
        Decision::Denied(denial) => {
            refuse(tunnel, RefusalCode::Denied, &denial.to_string()).await;
            return Err(format!("{peer} may not call {target}: {denial}"));
        }
    };
    let mut plain = match behind.reach(&permit).await {
        Ok(plain) => plain,
        Err(why) => {
            refuse(tunnel, RefusalCode::TargetUnreachable, &why).await;
            return Err(format!("{target}, called by {peer}, cannot be reached: {why}"));
        }
    };
    let counted = mesh.facts.open(
        peer.as_str(),
        mesh.identity.as_str(),
        &target.to_string(),
        tunnel.protection(),
    );
    tunnel.count(counted);
    if let Some(onwards) = behind.counted(&permit, &plain) {
        tunnel.count(onwards);
    }
    let accepted = tunnel.write_all(&Answer::Accepted.encode()).await;
    if accepted.is_ok() {
        // How a connection ends is its two ends' affair; what broke is no news to the cell.
        let _ = pump(&mut plain, tunnel).await;
    }
    Ok(())
}

async fn refuse(mut tunnel: TunnelStream, code: RefusalCode, reason: &str) {
    let answer = Answer::refuse(code, reason).encode();
    let _ = timeout(HANDSHAKE_MAX, async {
        tunnel.write_all(&answer).await?;
        tunnel.shutdown().await
    })
    .await;
}
