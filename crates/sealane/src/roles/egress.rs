//! The egress gateway: the only process of a cell that calls what is outside. Services speak to it
//! plainly inside their tunnels; it originates TLS and verifies the third party's certificate.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use mesh::policy::{MayConnect, Target};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wire::preamble::TargetName;

use super::boot::{Booted, Ready, write_message};
use super::dataplane::Mesh;
use super::dataplane::accept::{self, Behind};
use super::dataplane::facts::{Counted, Facts};
use super::lifeline;
use crate::ipc::messages::Protection;
use crate::tls::TlsFacts;
use crate::tls::egress::{self, Connector, Roots};

/// How long a third party may take to accept and to prove who it is.
const REACH_MAX: Duration = Duration::from_secs(10);
const DRAIN_MAX: Duration = Duration::from_secs(4);

pub(super) async fn run(mut booted: Booted) -> anyhow::Result<()> {
    let mesh = Mesh::join().await?;
    let settings = mesh.plan.egress.clone().context("the cell file has no [egress]")?;
    let roots = if settings.roots_pem.is_empty() {
        Roots::System
    } else {
        Roots::Pem(settings.roots_pem.clone())
    };
    let connector = Connector::new(&roots)?;
    let outside = Outside {
        connector,
        resolve: settings.resolve,
        facts: mesh.facts.clone(),
        identity: mesh.identity.to_string(),
    };
    let listener = std::net::TcpListener::from(booted.take_fd("tunnel")?);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (drain, draining) = watch::channel(false);
    let accepting =
        tokio::task::spawn_local(accept::serve(mesh, listener, Rc::new(outside), draining));
    let ready = Ready { warnings: std::mem::take(&mut booted.warnings), ..Ready::default() };
    write_message(&mut booted.supervisor, &ready)?;
    lifeline::ended(booted.supervisor).await?;
    drain.send_replace(true);
    let _ = tokio::time::timeout(DRAIN_MAX, accepting).await;
    Ok(())
}

struct Outside {
    connector: Connector,
    resolve: std::collections::BTreeMap<String, String>,
    facts: Facts,
    identity: String,
}

impl Behind for Outside {
    type Stream = egress::Outside;

    fn target(&self, name: &TargetName) -> Target {
        Target::Outside { host: name.name().to_owned(), port: name.port() }
    }

    async fn reach(&self, permit: &MayConnect) -> Result<Self::Stream, String> {
        let Target::Outside { host, port } = permit.target() else {
            return Err("the egress leads outside only".to_owned());
        };
        let reaching = async {
            let tcp = self.connect(host, *port).await?;
            let tls = self.connector.connect(host, tcp).await;
            tls.map_err(|error| format!("{host}:{port}: {error}"))
        };
        let reached = tokio::time::timeout(REACH_MAX, reaching).await;
        reached.map_err(|_| format!("{host}:{port} did not answer within {REACH_MAX:?}"))?
    }

    /// A connection to a third party is evidence too.
    fn counted(&self, permit: &MayConnect, stream: &Self::Stream) -> Option<Counted> {
        let Target::Outside { host, port } = permit.target() else { return None };
        let TlsFacts { tls_version, cipher, key_exchange } = TlsFacts::of(stream.get_ref().1)?;
        let protection = Protection { tls_version, cipher, key_exchange };
        let to = format!("https://{host}:{port}");
        Some(self.facts.open(&self.identity, &to, &to, protection))
    }
}

impl Outside {
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let target = format!("{host}:{port}");
        let failed = |error: std::io::Error| format!("{target}: {error}");
        let tcp = match self.resolve.get(&target) {
            Some(address) => {
                let address: SocketAddr =
                    address.parse().map_err(|_| format!("{address} is no address"))?;
                TcpStream::connect(address).await
            }
            None => TcpStream::connect((host, port)).await,
        };
        let tcp = tcp.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        Ok(tcp)
    }
}
