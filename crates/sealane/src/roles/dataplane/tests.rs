//! Two proxies in one process, of which one may lie.

use std::cell::RefCell;
use std::future::Future;

use crypto::{Signer as _, SigningKey, SystemEntropy};
use mesh::ca::{Authority, certify_issuing_key, self_sign_root};
use mesh::policy::Callee;
use mesh::tunnel::{Handshaking, Svid};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wire::preamble::{Answer, Preamble, TargetName};

use super::accept::{self, Behind};
use super::connect::{WARM_PER_PEER_MAX, connect};
use super::stream::{TunnelStream, handshake};
use super::*;
use crate::plan::Instance;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const PORT: u16 = 8080;

struct TestCell {
    root: Certificate,
    issuing: Certificate,
    issuing_key: SigningKey,
}

impl TestCell {
    fn new() -> Self {
        let (root_key, issuing_key) = (SigningKey::generate(), SigningKey::generate());
        let mut entropy = SystemEntropy::new();
        let root = self_sign_root(&root_key, now(), YEAR, &mut entropy).unwrap();
        let key = issuing_key.public_key();
        let issuing = certify_issuing_key(&root, &root_key, &key, now(), YEAR, &mut entropy);
        Self { root, issuing: issuing.unwrap(), issuing_key }
    }

    fn svid(&self, id: &SpiffeId, issued_at: UnixSeconds, lifetime: Duration) -> Svid {
        let domain = TrustDomain::parse("shop.example").unwrap();
        let authority = Authority::new(domain, self.issuing.clone(), &self.issuing_key).unwrap();
        let (key, mut entropy) = (SigningKey::generate(), SystemEntropy::new());
        let issued =
            authority.issue_svid(id, &key.public_key(), issued_at, lifetime, &mut entropy).unwrap();
        Svid::new(&issued.chain, Arc::new(key)).unwrap()
    }

    /// What the proxy of `id` knows, or believes.
    fn member(&self, id: &SpiffeId, plan: Plan) -> Rc<Mesh> {
        let domain = TrustDomain::parse("shop.example").unwrap();
        let bundle = TrustBundle::new(domain, std::slice::from_ref(&self.root)).unwrap();
        Rc::new(Mesh {
            identity: id.clone(),
            policy: plan.policy().unwrap(),
            tunnels: TunnelConfig::new(self.svid(id, now(), HOUR), bundle),
            facts: Facts::default(),
            pool: Pool::default(),
            plan,
        })
    }
}

fn id(name: &str) -> SpiffeId {
    let (tenant, service) = name.split_once('/').unwrap();
    SpiffeId::new(&TrustDomain::parse("shop.example").unwrap(), tenant, service).unwrap()
}

/// Services web and catalog of two tenants; who may call catalog is up to the test.
fn plan(callers: &[&str], catalog: std::net::SocketAddr) -> Plan {
    let instances = ["acme/web", "acme/catalog", "globex/web", "globex/catalog"].map(|name| {
        let (tenant, service) = name.split_once('/').unwrap();
        let may_call = if callers.contains(&name) {
            vec![Callee { name: "catalog".into(), port: PORT }]
        } else {
            Vec::new()
        };
        Instance {
            tenant: tenant.into(),
            service: service.into(),
            ports: vec![PORT],
            may_call,
            volume: None,
        }
    });
    Plan {
        trust_domain: "shop.example".into(),
        tenants: vec!["acme".into(), "globex".into()],
        instances: instances.into(),
        tunnels: [("acme/catalog".to_owned(), catalog)].into(),
        ..Plan::default()
    }
}

/// The catalog, which echoes, behind its proxy.
struct Echo {
    address: std::net::SocketAddr,
    reached: RefCell<usize>,
}

impl Behind for Echo {
    type Stream = TcpStream;

    fn target(&self, name: &TargetName) -> Target {
        Target::Service { id: id("acme/catalog"), port: name.port() }
    }

    async fn reach(&self, _permit: &MayConnect) -> Result<TcpStream, String> {
        *self.reached.borrow_mut() += 1;
        TcpStream::connect(self.address).await.map_err(|error| error.to_string())
    }
}

/// A running proxy of acme's catalog.
struct Proxy {
    address: std::net::SocketAddr,
    behind: Rc<Echo>,
    drain: watch::Sender<bool>,
    listener: std::net::TcpListener,
    mesh: Rc<Mesh>,
    serving: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn start(cell: &TestCell, callers: &[&str]) -> Self {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let echo_address = echo.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::task::spawn_local(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mesh = cell.member(&id("acme/catalog"), plan(callers, address));
        let behind = Rc::new(Echo { address: echo_address, reached: RefCell::new(0) });
        let (drain, serving) = Self::serve(&mesh, &listener, &behind);
        Self { address, behind, drain, listener, mesh, serving }
    }

    fn serve(
        mesh: &Rc<Mesh>,
        listener: &std::net::TcpListener,
        behind: &Rc<Echo>,
    ) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
        let (drain, draining) = watch::channel(false);
        let serving = accept::serve(Rc::clone(mesh), listener, Rc::clone(behind), draining);
        (drain, tokio::task::spawn_local(serving))
    }

    /// Ends as a proxy does that is asked to; another one takes over its socket.
    async fn restart(&mut self) {
        let (drain, serving) = Self::serve(&self.mesh, &self.listener, &self.behind);
        self.drain.send_replace(true);
        let old = std::mem::replace(&mut self.serving, serving);
        self.drain = drain;
        tokio::time::timeout(Duration::from_secs(5), old).await.expect("it drains").unwrap();
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

async fn call(from: &Rc<Mesh>) -> Result<TunnelStream, String> {
    let target = Target::Service { id: id("acme/catalog"), port: PORT };
    let permit = from.may_connect(&target).expect("this proxy believes that it may");
    connect(from, &permit).await
}

async fn echoes(mut tunnel: TunnelStream) {
    tunnel.write_all(b"hello").await.unwrap();
    tunnel.flush().await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut answer = Vec::new();
    tunnel.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"hello");
}

#[test]
fn the_target_refuses_a_caller_whose_own_proxy_lies() {
    run(async {
        let cell = TestCell::new();
        let target = Proxy::start(&cell, &["globex/web"]).await;
        let lying = || plan(&["acme/web"], target.address);
        let refused = call(&cell.member(&id("acme/web"), lying())).await.err().unwrap();
        assert!(refused.contains("ns/acme/sa/catalog refuses"), "{refused}");
        assert!(refused.contains("`may_call` of web does not name catalog:8080"), "{refused}");

        // Another tenant's service, with an SVID of the cell, straight at the port.
        for (caller, port, why) in [
            ("globex/web", PORT, "different tenants"),
            ("acme/web", PORT + 1, "does not listen on port 8081"),
            ("acme/unheard-of", PORT, "no service of this cell"),
            ("sealane/egress", PORT, "the egress calls nothing inside"),
            ("sealane/ingress", PORT, "no `ingress.route` leads to acme/catalog:8080"),
        ] {
            let config = cell.member(&id(caller), lying());
            let mut tunnel = open(&config, target.address).await.unwrap();
            match ask(&mut tunnel, port).await.unwrap() {
                Answer::Refused { reason, .. } => assert!(reason.contains(why), "{reason}"),
                Answer::Accepted => panic!("{caller} was accepted"),
            }
        }
        assert_eq!(*target.behind.reached.borrow(), 0, "nothing was asked of the service");
    });
}

#[test]
fn another_cells_member_is_no_peer() {
    run(async {
        let (cell, other) = (TestCell::new(), TestCell::new());
        let target = Proxy::start(&cell, &["acme/web"]).await;
        // It trusts the root, as a thief of the public bundle might, but has no SVID under it.
        let thief = other.member(&id("acme/web"), plan(&["acme/web"], target.address));
        let domain = TrustDomain::parse("shop.example").unwrap();
        let bundle = TrustBundle::new(domain, std::slice::from_ref(&cell.root)).unwrap();
        thief.tunnels.replace_bundle(bundle);
        let refused = call(&thief).await.err().unwrap();
        assert!(refused.contains("does not trust the root"), "{refused}");
        assert_eq!(*target.behind.reached.borrow(), 0);
    });
}

async fn open(mesh: &Mesh, address: std::net::SocketAddr) -> Result<TunnelStream, String> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let begun = Handshaking::as_client(&mesh.tunnels, &id("acme/catalog"), now()).unwrap();
    handshake(tcp, begun).await
}

async fn ask(tunnel: &mut TunnelStream, port: u16) -> std::io::Result<Answer> {
    let name = TargetName::new("catalog", port).unwrap();
    tunnel.write_all(&Preamble::tcp(name).encode()).await?;
    tunnel.flush().await?;
    tunnel.decode(Answer::decode).await
}

#[test]
fn a_certificate_that_expires_while_its_tunnel_waits_is_refused() {
    run(async {
        let cell = TestCell::new();
        let target = Proxy::start(&cell, &["acme/web"]).await;
        let web = cell.member(&id("acme/web"), plan(&["acme/web"], target.address));
        let lifetime = mesh::ca::SVID_LIFETIME_MIN;
        let issued_at = UnixSeconds(now().0 - lifetime.as_secs() + 2);
        web.tunnels.replace_svid(cell.svid(&id("acme/web"), issued_at, lifetime));
        let mut tunnel = open(&web, target.address).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        match ask(&mut tunnel, PORT).await.unwrap() {
            Answer::Refused { reason, .. } => assert!(reason.contains("expired"), "{reason}"),
            Answer::Accepted => panic!("an expired certificate was accepted"),
        }
    });
}

#[test]
fn tunnels_wait_for_use_within_their_limit_and_dead_ones_are_replaced() {
    run(async {
        let cell = TestCell::new();
        let mut target = Proxy::start(&cell, &["acme/web"]).await;
        let web = cell.member(&id("acme/web"), plan(&["acme/web"], target.address));
        let patience = Duration::from_secs(10);
        for _ in 0..3 * WARM_PER_PEER_MAX {
            echoes(call(&web).await.unwrap()).await;
            assert!(web.pool.waiting() <= WARM_PER_PEER_MAX);
        }
        let calls = (0..50).map(|_| {
            let web = Rc::clone(&web);
            tokio::task::spawn_local(async move { echoes(call(&web).await.unwrap()).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        let filled = async {
            while web.pool.waiting() < WARM_PER_PEER_MAX {
                echoes(call(&web).await.unwrap()).await;
            }
        };
        tokio::time::timeout(patience, filled).await.expect("tunnels are kept ready");
        // The proxy at the other end is replaced: what waited is dead, and no call fails.
        target.restart().await;
        for _ in 0..2 * WARM_PER_PEER_MAX {
            echoes(call(&web).await.unwrap()).await;
        }
        web.pool.clear();
        assert_eq!(web.pool.waiting(), 0);
        let reached = *target.behind.reached.borrow();
        assert!(reached >= 50 + 5 * WARM_PER_PEER_MAX, "{reached} calls came through");
    });
}

#[test]
fn no_call_fails_while_the_target_is_replaced() {
    run(async {
        let cell = TestCell::new();
        let mut target = Proxy::start(&cell, &["acme/web"]).await;
        let web = cell.member(&id("acme/web"), plan(&["acme/web"], target.address));
        let (stop, stopping) = watch::channel(false);
        let callers = (0..8).map(|_| {
            let (web, stopping) = (Rc::clone(&web), stopping.clone());
            tokio::task::spawn_local(async move {
                let mut calls = 0;
                while !*stopping.borrow() {
                    echoes(call(&web).await.unwrap()).await;
                    calls += 1;
                }
                calls
            })
        });
        let callers: Vec<_> = callers.collect();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            target.restart().await;
        }
        stop.send_replace(true);
        for caller in callers {
            assert!(caller.await.unwrap() > 0);
        }
    });
}

/// What is cut on its way never looks whole, however often it is read.
#[test]
fn a_tunnel_that_is_cut_ends_in_an_error() {
    run(async {
        let cell = TestCell::new();
        let target = Proxy::start(&cell, &["acme/web"]).await;
        let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = between.local_addr().unwrap();
        let (cut, mut cutting) = watch::channel(false);
        tokio::task::spawn_local(async move {
            let (mut caller, _) = between.accept().await.unwrap();
            let mut callee = TcpStream::connect(target.address).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut caller, &mut callee) => {}
                _ = cutting.wait_for(|&cut| cut) => {}
            }
            // An end of TCP, as whoever carries the bytes can make one.
            let _ = caller.shutdown().await;
        });
        let web = cell.member(&id("acme/web"), plan(&["acme/web"], address));
        let mut tunnel = open(&web, address).await.unwrap();
        assert_eq!(ask(&mut tunnel, PORT).await.unwrap(), Answer::Accepted);
        tunnel.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        tunnel.read_exact(&mut answer).await.unwrap();
        cut.send_replace(true);
        for _ in 0..3 {
            let read = tunnel.read(&mut answer).await;
            assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        }
    });
}
