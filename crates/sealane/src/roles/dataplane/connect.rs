//! Opening tunnels: some are kept ready for peers in recent use, so that a new connection pays no
//! handshake.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mesh::SpiffeId;
use mesh::policy::{MayConnect, Target};
use mesh::tunnel::Handshaking;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use wire::preamble::{Answer, Preamble, TargetName};

use super::stream::{TunnelStream, handshake};
use super::{Mesh, now};
use crate::plan::{CELL_NAMESPACE, EGRESS};

/// Tunnels that wait for use, for one peer and in all.
pub const WARM_PER_PEER_MAX: usize = 4;
pub const WARM_MAX: usize = 64;
/// A tunnel waits this long at most; the accepting side gives up later.
const WARM_FOR_MAX: Duration = Duration::from_secs(20);
/// How many new tunnels are opened for one connection where they break before an answer.
const ATTEMPTS_MAX: usize = 2;
/// How long a tunnel may take to open, and the answer to its preamble to come.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// Tunnels that are ready, by the identity at their other end.
#[derive(Default)]
pub struct Pool {
    warm: RefCell<BTreeMap<SpiffeId, Vec<Warm>>>,
    /// How many are being opened.
    opening: RefCell<BTreeMap<SpiffeId, usize>>,
    /// Counts this process's SVIDs: a tunnel that was being opened under an older one is not kept.
    svids: Cell<u64>,
}

/// A tunnel that waits for use.
struct Warm {
    since: Instant,
    stream: TunnelStream,
}

impl Warm {
    /// The accepting side judges the same, later: it refuses a caller whose certificate expired
    /// while the tunnel waited.
    fn is_good(&self) -> bool {
        self.since.elapsed() < WARM_FOR_MAX
            && now() < self.stream.facts().peer_not_after
            && self.stream.is_idle()
    }
}

impl Pool {
    /// Forgets what began under an SVID that has been replaced.
    pub fn clear(&self) {
        self.svids.set(self.svids.get() + 1);
        self.warm.borrow_mut().clear();
    }

    /// How many tunnels wait for use.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.warm.borrow().values().map(Vec::len).sum()
    }

    /// A tunnel that is still good.
    fn take(&self, peer: &SpiffeId) -> Option<TunnelStream> {
        let mut warm = self.warm.borrow_mut();
        let waiting = warm.get_mut(peer)?;
        while let Some(tunnel) = waiting.pop() {
            if tunnel.is_good() {
                return Some(tunnel.stream);
            }
        }
        None
    }

    /// Whether another one for `peer` should be opened now.
    fn has_room(&self, peer: &SpiffeId) -> bool {
        let mut warm = self.warm.borrow_mut();
        for waiting in warm.values_mut() {
            waiting.retain(Warm::is_good);
        }
        warm.retain(|_, waiting| !waiting.is_empty());
        let opening = self.opening.borrow();
        let all = warm.values().map(Vec::len).sum::<usize>() + opening.values().sum::<usize>();
        let of_peer = warm.get(peer).map_or(0, Vec::len) + opening.get(peer).copied().unwrap_or(0);
        all < WARM_MAX && of_peer < WARM_PER_PEER_MAX
    }
}

/// Who is at the other end of the tunnel that leads to `target`, and what the preamble names.
fn way_to(mesh: &Mesh, target: &Target) -> Result<(SpiffeId, SocketAddr, TargetName), String> {
    let (peer, name, port) = match target {
        Target::Service { id, port } => (id.clone(), id.service().to_owned(), *port),
        Target::Outside { host, port } => {
            let egress = mesh.plan.identity(CELL_NAMESPACE, EGRESS);
            let egress = SpiffeId::parse(&egress).map_err(|error| error.to_string())?;
            (egress, host.clone(), *port)
        }
        Target::Cell { .. } => return Err(format!("no tunnel leads to {target}")),
    };
    let address =
        mesh.plan.tunnel(&peer).ok_or_else(|| format!("nothing runs as {peer} in this cell"))?;
    let name = TargetName::new(&name, port).map_err(|error| error.to_string())?;
    Ok((peer, address, name))
}

/// Opens a connection to what `permit` allows.
///
/// # Errors
/// Why not, from whichever side refused.
pub async fn connect(mesh: &Rc<Mesh>, permit: &MayConnect) -> Result<TunnelStream, String> {
    let (peer, address, name) = way_to(mesh, permit.target())?;
    let opening = async {
        // A tunnel that waited may have died unseen: then a new one is opened.
        if let Some(warm) = mesh.pool.take(&peer)
            && let Ok(tunnel) = ask_for(warm, &name).await
        {
            return tunnel;
        }
        for _ in 1..ATTEMPTS_MAX {
            let fresh = open(mesh, &peer, address).await?;
            match ask_for(fresh, &name).await {
                // The peer's proxy ended in between. Another one takes over its socket, and nothing
                // of what the service says has been sent yet.
                Err(error) if error.kind() != std::io::ErrorKind::InvalidData => {}
                answer => return answer.map_err(broken)?,
            }
        }
        let fresh = open(mesh, &peer, address).await?;
        ask_for(fresh, &name).await.map_err(broken)?
    };
    let opened = timeout(OPEN_MAX, opening).await;
    let mut tunnel = opened.map_err(|_| format!("{peer} did not answer within {OPEN_MAX:?}"))??;
    keep_warm(mesh, &peer, address);
    let target = permit.target().to_string();
    let counted =
        mesh.facts.open(mesh.identity.as_str(), peer.as_str(), &target, tunnel.protection());
    tunnel.count(counted);
    Ok(tunnel)
}

fn broken(error: std::io::Error) -> String {
    format!("the tunnel broke: {error}")
}

async fn open(
    mesh: &Rc<Mesh>,
    peer: &SpiffeId,
    address: SocketAddr,
) -> Result<TunnelStream, String> {
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| format!("the proxy of {peer} cannot be reached: {error}"))?;
    let _ = tcp.set_nodelay(true);
    let begun = Handshaking::as_client(&mesh.tunnels, peer, now());
    handshake(tcp, begun.map_err(|error| error.to_string())?).await
}

/// Says what is wanted. The outer error is about the tunnel, the inner one is the peer's refusal.
async fn ask_for(
    mut tunnel: TunnelStream,
    name: &TargetName,
) -> std::io::Result<Result<TunnelStream, String>> {
    tunnel.write_all(&Preamble::tcp(name.clone()).encode()).await?;
    tunnel.flush().await?;
    match tunnel.decode(Answer::decode).await? {
        Answer::Accepted => Ok(Ok(tunnel)),
        Answer::Refused { reason, .. } => {
            Ok(Err(format!("{} refuses: {reason}", tunnel.facts().peer)))
        }
    }
}

/// Opens further tunnels to a peer in use, for the connections to come.
fn keep_warm(mesh: &Rc<Mesh>, peer: &SpiffeId, address: SocketAddr) {
    if !mesh.pool.has_room(peer) {
        return;
    }
    *mesh.pool.opening.borrow_mut().entry(peer.clone()).or_default() += 1;
    let (mesh, peer, svid) = (Rc::clone(mesh), peer.clone(), mesh.pool.svids.get());
    tokio::task::spawn_local(async move {
        let opened = timeout(OPEN_MAX, open(&mesh, &peer, address)).await;
        if let Some(count) = mesh.pool.opening.borrow_mut().get_mut(&peer) {
            *count -= 1;
        }
        if let Ok(Ok(stream)) = opened
            && mesh.pool.svids.get() == svid
        {
            let waiting = Warm { since: Instant::now(), stream };
            mesh.pool.warm.borrow_mut().entry(peer).or_default().push(waiting);
        }
    });
}
