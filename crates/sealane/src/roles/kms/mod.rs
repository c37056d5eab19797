//! The KMS by itself: AWS's API on one socket, what operators ask on the cell's own, no supervisor
//! and no services.

mod keeper;
pub(super) mod tasks;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use miette::{IntoDiagnostic as _, WrapErr as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::boot::harden_alone;
use super::control::{self, Options};
use crate::cell_dir::{CellDir, DirLock};
use crate::cli::Output;
use crate::control::{Control, Shared};
use crate::ipc::CONTROL_SOCKET;
use crate::ipc::messages::Event;
use crate::kms_api::server::{Transport, serve as serve_api};
use crate::kms_api::{Api, Audit, serve_metrics};
use crate::tls::kms::KmsAcceptor;
use keeper::Keeper;

/// What is served, and how.
pub struct Served {
    pub dir: CellDir,
    pub lock: DirLock,
    /// `None`: locked, until an operator unlocks it.
    pub control: Option<Control>,
    pub listen: SocketAddr,
    /// `None`: in plaintext, on loopback.
    pub certificate: Option<Certificate>,
    pub metrics: Option<SocketAddr>,
    pub audit: Audit,
}

/// In PEM.
pub struct Certificate {
    pub chain: Vec<u8>,
    pub key: Zeroizing<Vec<u8>>,
}

/// Serves until Ctrl-C, SIGTERM or `sealane down`.
///
/// # Errors
/// What keeps it from serving.
pub fn serve(served: Served, out: &Output) -> miette::Result<()> {
    for warning in harden_alone().into_diagnostic()? {
        out.remark(&format!("warning: {warning}"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("kms")
        .build()
        .into_diagnostic()?;
    // What operators ask is served on this thread; the API on all others.
    tokio::task::LocalSet::new().block_on(&runtime, run(served, out))
}

async fn run(served: Served, out: &Output) -> miette::Result<()> {
    let Served { dir, lock, control, listen, certificate, metrics, audit } = served;
    for warning in control.iter().flat_map(|control| control.key_warnings()) {
        out.remark(&format!("warning: {warning}"));
    }
    let transport = match &certificate {
        None => Transport::Plaintext,
        Some(Certificate { chain, key }) => {
            let bundle = control.as_ref().map(Control::trust_bundle);
            let bundle = bundle.transpose().map_err(crate::cli::cell::refused)?;
            let acceptor = KmsAcceptor::from_pem(chain, key, bundle);
            let acceptor = acceptor.into_diagnostic().wrap_err("the certificate cannot be used")?;
            Transport::Tls(acceptor, None)
        }
    };
    let listener = bind(listen).await?;
    let address = listener.local_addr().into_diagnostic()?;
    let api = Api::new(audit);
    let (stop, stopped) = watch::channel(false);
    if let Some(metrics) = metrics {
        let listener = bind(metrics).await?;
        tokio::spawn(serve_metrics(Arc::clone(&api), listener, stopped.clone()));
    }
    let socket = dir.base().join(CONTROL_SOCKET);
    let operators = operators(&socket)?;
    let owner = std::fs::metadata(dir.base()).into_diagnostic()?.uid();
    let (asked, mut events) = tokio::sync::mpsc::unbounded_channel();
    let handle = tokio::runtime::Handle::current();
    let mut keeper = Keeper::new(dir, owner, Arc::clone(&api), handle, asked);
    let locked = control.is_none();
    if let Some(control) = control {
        keeper.unlocked_with(control);
    }
    let keeper = Arc::new(Mutex::new(keeper));
    let options = Options { owner, supervisor: -1 };
    let shared: Shared = keeper.clone();
    let heard = tokio::task::spawn_local(control::serve(operators, shared, options));
    let api_served = tokio::spawn(serve_api(api, listener, transport, stopped));
    // Whoever hears that the KMS serves may stop it at once, and it is to be locked then.
    let signals = Signals::listen()?;
    crate::cli::kms::announce(out, address, certificate.is_some())?;
    if locked {
        out.remark("the cell is locked: `sealane seal unlock` unlocks it");
    }

    signals.or_asked(&mut events).await;
    out.remark("stopping");
    let _ = stop.send(true);
    let _ = api_served.await;
    heard.abort();
    let closed = tokio::task::spawn_blocking(move || {
        keeper.lock().unwrap_or_else(PoisonError::into_inner).lock()
    });
    let closed = closed.await.into_diagnostic()?;
    let _ = std::fs::remove_file(&socket);
    drop(lock);
    closed.map_err(crate::cli::cell::refused)
}

async fn bind(address: SocketAddr) -> miette::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot listen on {address}"))
}

/// Whoever operates the cell is heard here, as under `up`.
fn operators(socket: &std::path::Path) -> miette::Result<UnixListener> {
    let _ = std::fs::remove_file(socket);
    let address = crate::ipc::ShortAddress::of(socket).into_diagnostic()?;
    let listener = UnixListener::bind(&address.path).into_diagnostic()?;
    let everybody = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(socket, everybody).into_diagnostic()?;
    Ok(listener)
}

/// What asks a process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> miette::Result<Self> {
        let of = |kind| signal(kind).into_diagnostic().wrap_err("cannot listen for signals");
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
        })
    }

    /// Returns once a signal has come, or an operator asks.
    async fn or_asked(mut self, events: &mut UnboundedReceiver<Event>) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                event = events.recv() => if let Some(Event::Stop) | None = event { return },
            }
        }
    }
}
