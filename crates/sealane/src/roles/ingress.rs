//! The ingress gateway: TLS from outside, and nothing but TLS; what it carries goes on to the
//! tenant's service through the mesh.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use crypto::{Signer as _, SigningKey};
use mesh::policy::Target;
use mesh::{Certificate, SpiffeId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::boot::{Booted, Ready, write_message};
use super::dataplane::connect::connect;
use super::dataplane::pump::pump;
use super::dataplane::{Mesh, ask, now};
use super::lifeline;
use crate::ipc::messages::{Protection, Reply, Request};
use crate::tls::TlsFacts;
use crate::tls::ingress::{Acceptor, HostCertificates};

/// Connections from outside that are served at once. Further ones wait in the backlog.
pub const CONNECTIONS_MAX: usize = 10_000;
/// How long a client may take for its handshake: slow ones hold a place.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const RENEW_RETRY: Duration = Duration::from_secs(5);
const DRAIN_MAX: Duration = Duration::from_secs(4);

pub(super) async fn run(mut booted: Booted) -> anyhow::Result<()> {
    let mesh = Mesh::join().await?;
    let certificates = Arc::new(HostCertificates::new());
    let renew_after = renew(&mesh, &certificates).await.context("the ingress's certificate")?;
    tokio::task::spawn_local(keep_fresh(Rc::clone(&mesh), Arc::clone(&certificates), renew_after));
    let acceptor = Acceptor::new(certificates);
    let listener = std::net::TcpListener::from(booted.take_fd("listener")?);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (drain, draining) = watch::channel(false);
    let serving = tokio::task::spawn_local(serve(mesh, listener, acceptor, draining));
    let ready = Ready { warnings: std::mem::take(&mut booted.warnings), ..Ready::default() };
    write_message(&mut booted.supervisor, &ready)?;
    lifeline::ended(booted.supervisor).await?;
    drain.send_replace(true);
    let _ = timeout(DRAIN_MAX, serving).await;
    Ok(())
}

/// Has control certify a new key for all hosts. Gives when to do so again.
async fn renew(mesh: &Mesh, certificates: &HostCertificates) -> anyhow::Result<Duration> {
    let key = SigningKey::generate();
    let reply = ask(&Request::IssueServing { public_key: key.public_key().0 }).await?;
    let Reply::Certificate(issued) = reply else { anyhow::bail!("control answered {reply:?}") };
    let chain: Result<Vec<_>, _> = issued.chain.into_iter().map(Certificate::from_der).collect();
    let hosts: Vec<_> = mesh.plan.routes.iter().map(|route| route.host.as_str()).collect();
    certificates.replace(&hosts, &chain?, Arc::new(key))?;
    Ok(Duration::from_secs(issued.not_after.saturating_sub(now().0)) / 2)
}

async fn keep_fresh(mesh: Rc<Mesh>, certificates: Arc<HostCertificates>, mut after: Duration) {
    loop {
        tokio::time::sleep(after).await;
        after = match renew(&mesh, &certificates).await {
            Ok(after) => after,
            Err(error) => {
                tracing::warn!("cannot renew the ingress's certificate: {error:#}");
                RENEW_RETRY
            }
        };
    }
}

async fn serve(
    mesh: Rc<Mesh>,
    listener: TcpListener,
    acceptor: Acceptor,
    mut draining: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((tcp, from)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let (mesh, acceptor) = (Rc::clone(&mesh), acceptor.clone());
            tokio::task::spawn_local(async move {
                if let Err(why) = serve_one(&mesh, tcp, &acceptor).await {
                    tracing::debug!("{from}: {why}");
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = draining.wait_for(|&draining| draining) => {}
    }
    // All places are free once every connection has ended.
    let _ = places.acquire_many(u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX)).await;
}

async fn serve_one(mesh: &Rc<Mesh>, tcp: TcpStream, acceptor: &Acceptor) -> Result<(), String> {
    let _ = tcp.set_nodelay(true);
    let accepted = timeout(HANDSHAKE_MAX, acceptor.accept(tcp)).await;
    let accepted = accepted.map_err(|_| format!("no handshake within {HANDSHAKE_MAX:?}"))?;
    let mut outside = accepted.map_err(|error| error.to_string())?;
    // The name that the client asked for has chosen the certificate, and chooses the tenant: what
    // it says inside, in a Host header, leads nowhere else.
    let (_, connection) = outside.get_ref();
    let host = connection.server_name().unwrap_or_default().to_ascii_lowercase();
    let route = mesh.plan.routes.iter().find(|route| route.host == host);
    let route = route.ok_or_else(|| format!("no route leads to {host}"))?;
    let identity = mesh.plan.identity(&route.tenant, &route.service);
    let id = SpiffeId::parse(&identity).map_err(|error| error.to_string())?;
    let counted = TlsFacts::of(connection).map(|facts| {
        let TlsFacts { tls_version, cipher, key_exchange } = facts;
        let protection = Protection { tls_version, cipher, key_exchange };
        mesh.facts.open("outside", mesh.identity.as_str(), &host, protection)
    });
    let carried = async {
        let permit = mesh.may_connect(&Target::Service { id, port: route.port })?;
        connect(mesh, &permit).await
    };
    let mut tunnel = carried.await.inspect_err(|why| {
        tracing::warn!("{}: a request for {host} was not carried: {why}", mesh.identity);
    })?;
    if let Some(counted) = counted {
        tunnel.count(counted);
    }
    let _ = pump(&mut outside, tunnel).await;
    Ok(())
}
