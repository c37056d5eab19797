//! The proxy of one service of one tenant: the only way in and out of its namespace.

mod dialler;
mod kms;
mod log;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mesh::policy::{MayConnect, Target};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use wire::preamble::TargetName;

use super::boot::{Booted, Ready, write_message};
use super::dataplane::accept::{self, Behind};
use super::dataplane::connect::connect;
use super::dataplane::pump::{cut_unless_ended, pump};
use super::dataplane::{Mesh, dns};
use super::lifeline;
use crate::launch::channel::Channel;
use crate::sys::net::original_destination;
use dialler::Dialler;

/// How long what the service said last may take to be sealed.
const LOG_DRAIN_MAX: Duration = Duration::from_millis(500);
/// Connections of the service that are carried at once. Further ones wait in the backlog.
pub const CONNECTIONS_MAX: usize = 10_000;
/// How long connections may take to end when the proxy is asked to stop.
const DRAIN_MAX: Duration = Duration::from_millis(1500);

#[derive(serde::Deserialize)]
struct Options {
    /// Where the service's sealed log goes, relative to DIR.
    logs: PathBuf,
    /// Without a namespace: names of inherited listeners, and what each stands for.
    explicit: Vec<(String, String, u16)>,
    /// Without a namespace: declared ports, and where the service really listens.
    ports: Vec<(u16, u16)>,
}

pub(super) async fn run(mut booted: Booted, tenant: &str, service: &str) -> anyhow::Result<()> {
    let options: Options = serde_json::from_value(booted.options.take())?;
    let mesh = Mesh::join().await?;
    tracing::debug!("{tenant}/{service} is {}", mesh.identity);
    let (drain, draining) = watch::channel(false);
    let (log, ended) = (booted.take_fd("log")?, draining.clone());
    let logging = tokio::task::spawn_local(async move {
        if let Err(error) = log::keep(log, options.logs, ended).await {
            tracing::error!("the service's log cannot be read: {error}");
        }
    });
    let channel = Channel::from(booted.take_fd("dial")?);
    let dialler = Dialler::new(channel, &mut crypto::SystemEntropy::new())?;
    let behind =
        Inside { dialler, mesh: Rc::clone(&mesh), ports: options.ports.into_iter().collect() };
    let tunnel = listener(booted.take_fd("tunnel")?)?;
    let accepting = tokio::task::spawn_local(accept::serve(
        Rc::clone(&mesh),
        tunnel,
        Rc::new(behind),
        draining,
    ));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut capturing = JoinSet::new();
    if let Ok(capture) = booted.take_fd("capture") {
        serve_names(&mesh, &mut booted, tenant)?;
        let (capture, known) = (listener(capture)?, by_address(&mesh, tenant));
        capturing.spawn_local(capture_all(Rc::clone(&mesh), capture, known, Arc::clone(&places)));
    }
    for (fd, name, port) in options.explicit {
        let listener = listener(booted.take_fd(&fd)?)?;
        let target = mesh.policy.resolve(&mesh.identity, &name, port);
        let known = Known::Always(target);
        capturing.spawn_local(capture_all(Rc::clone(&mesh), listener, known, Arc::clone(&places)));
    }
    let ready = Ready { warnings: std::mem::take(&mut booted.warnings), ..Ready::default() };
    write_message(&mut booted.supervisor, &ready)?;
    lifeline::ended(booted.supervisor).await?;
    drain.send_replace(true);
    let ended = async {
        let _ = accepting.await;
        capturing.shutdown().await;
        // The service has ended; what it said last may still be on its way.
        let _ = places.acquire_many(u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX)).await;
    };
    let _ = tokio::time::timeout(DRAIN_MAX, ended).await;
    // A service that failed says why last of all.
    let _ = tokio::time::timeout(LOG_DRAIN_MAX, logging).await;
    Ok(())
}

fn listener(fd: OwnedFd) -> anyhow::Result<TcpListener> {
    let listener = std::net::TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).context("an inherited listener")
}

/// Answers the service's DNS queries.
fn serve_names(mesh: &Rc<Mesh>, booted: &mut Booted, tenant: &str) -> anyhow::Result<()> {
    let names = mesh.plan.names_of(tenant);
    let addresses: dns::Addresses =
        Rc::new(names.into_iter().map(|name| (name.name, name.address)).collect());
    let udp = std::net::UdpSocket::from(booted.take_fd("dns_udp")?);
    udp.set_nonblocking(true)?;
    tokio::task::spawn_local(dns::serve_udp(UdpSocket::from_std(udp)?, Rc::clone(&addresses)));
    let tcp = listener(booted.take_fd("dns_tcp")?)?;
    tokio::task::spawn_local(dns::serve_tcp(tcp, addresses));
    Ok(())
}

/// What a captured connection was meant for.
enum Known {
    /// By the virtual address that the service dialled.
    ByAddress(BTreeMap<Ipv4Addr, String>),
    /// The listener stands for one target.
    Always(Target),
}

fn by_address(mesh: &Mesh, tenant: &str) -> Known {
    let names = mesh.plan.names_of(tenant);
    Known::ByAddress(names.into_iter().map(|name| (name.address, name.name)).collect())
}

/// Carries every connection that the service opens, or closes it and says why.
async fn capture_all(mesh: Rc<Mesh>, listener: TcpListener, known: Known, places: Arc<Semaphore>) {
    let known = Rc::new(known);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for one: others must end before this can go on.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (mesh, known) = (Rc::clone(&mesh), Rc::clone(&known));
        tokio::task::spawn_local(async move {
            if let Err(why) = carry(&mesh, stream, &known).await {
                tracing::warn!("{}: a call was refused: {why}", mesh.identity);
            }
            drop(place);
        });
    }
}

async fn carry(mesh: &Rc<Mesh>, mut stream: TcpStream, known: &Known) -> Result<(), String> {
    let _ = stream.set_nodelay(true);
    // Whatever refuses the call resets it, so that the caller does not see an empty answer.
    cut_unless_ended(&stream);
    let target = match known {
        Known::Always(target) => target.clone(),
        Known::ByAddress(names) => {
            let meant = original_destination(&stream)
                .map_err(|error| format!("the kernel does not say what was dialled: {error}"))?;
            let name = names.get(meant.ip());
            let name = name.ok_or_else(|| format!("no name has the address {meant}"))?;
            mesh.policy.resolve(&mesh.identity, name, meant.port())
        }
    };
    let permit = mesh.may_connect(&target).map_err(|why| format!("{target}: {why}"))?;
    let failed = |why| format!("{target}: {why}");
    // How a connection ends is its two ends' affair; what broke is no news to the cell.
    let _ = match target {
        Target::Cell { .. } => {
            let onwards = kms::connect(mesh, &permit).await.map_err(failed)?;
            pump(&mut stream, onwards).await
        }
        Target::Service { .. } | Target::Outside { .. } => {
            let tunnel = connect(mesh, &permit).await.map_err(failed)?;
            pump(&mut stream, tunnel).await
        }
    };
    Ok(())
}

/// The service behind this proxy.
struct Inside {
    dialler: Dialler,
    mesh: Rc<Mesh>,
    ports: BTreeMap<u16, u16>,
}

impl Behind for Inside {
    type Stream = TcpStream;

    /// A peer names this service and a port; another name is not this proxy's to answer for.
    fn target(&self, name: &TargetName) -> Target {
        if name.name() == self.mesh.identity.service() {
            Target::Service { id: self.mesh.identity.clone(), port: name.port() }
        } else {
            Target::Outside { host: name.name().to_owned(), port: name.port() }
        }
    }

    async fn reach(&self, permit: &MayConnect) -> Result<TcpStream, String> {
        match permit.target() {
            Target::Service { id, port } if *id == self.mesh.identity => {
                self.dialler.dial(self.ports.get(port).copied().unwrap_or(*port)).await
            }
            target => Err(format!("{target} is not behind this proxy")),
        }
    }
}
