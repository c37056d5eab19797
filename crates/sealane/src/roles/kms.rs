//! The KMS by itself: AWS's API on one socket, what operators ask on the cell's own, no supervisor
//! and no services.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keys::authorize::Principal;
use miette::{IntoDiagnostic as _, WrapErr as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::boot::harden_alone;
use super::control::{self, Options};
use crate::cell_dir::{CellDir, DirLock};
use crate::cli::Output;
use crate::control::{Caller, Control, Shared};
use crate::ipc::CONTROL_SOCKET;
use crate::ipc::messages::Event;
use crate::kms::{DOMAIN_LIFETIME, Kms, KmsError, Rewrap, now};
use crate::kms_api::server::{Transport, serve as serve_api};
use crate::kms_api::{Api, Audit, serve_metrics};
use crate::tls::kms::KmsAcceptor;

/// How often it is looked whether a key is to rotate or to end, at the latest.
const DUE_EVERY: Duration = Duration::from_secs(30);
/// How often it is looked whether the domain key is too old.
const DOMAIN_CHECK_EVERY: Duration = Duration::from_secs(60 * 60);
/// Records that are looked at in one transaction, which others wait for.
const REWRAP_RECORDS: usize = 500;
/// How often last uses are written.
const LAST_USES_EVERY: Duration = Duration::from_secs(60);

/// What is served, and how.
pub struct Served {
    pub dir: CellDir,
    pub lock: DirLock,
    pub control: Control,
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
    let Served { dir, lock, mut control, listen, certificate, metrics, audit } = served;
    for warning in control.key_warnings() {
        out.remark(&format!("warning: {warning}"));
    }
    let transport = match &certificate {
        None => Transport::Plaintext,
        Some(Certificate { chain, key }) => {
            let bundle = control.trust_bundle().map_err(crate::cli::cell::refused)?;
            let acceptor = KmsAcceptor::from_pem(chain, key, bundle);
            Transport::Tls(acceptor.into_diagnostic().wrap_err("the certificate cannot be used")?)
        }
    };
    let bind = |address: SocketAddr| async move {
        TcpListener::bind(address)
            .await
            .into_diagnostic()
            .wrap_err_with(|| format!("cannot listen on {address}"))
    };
    let listener = bind(listen).await?;
    let address = listener.local_addr().into_diagnostic()?;
    let kms = control.kms().clone();
    let api = Api::new(audit);
    api.unlock(kms.clone());
    let (stop, stopped) = watch::channel(false);
    if let Some(metrics) = metrics {
        let listener = bind(metrics).await?;
        tokio::spawn(serve_metrics(Arc::clone(&api), listener, stopped.clone()));
    }
    let socket = dir.base().join(CONTROL_SOCKET);
    let operators = operators(&socket)?;
    let owner = std::fs::metadata(dir.base()).into_diagnostic()?.uid();
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    control.watch(Caller::Supervisor, sender);
    let control: Shared = Arc::new(Mutex::new(control));
    let options = Options { owner, supervisor: -1 };
    let heard = tokio::task::spawn_local(control::serve(operators, control, options));
    let api_served = tokio::spawn(serve_api(api, listener, transport, stopped.clone()));
    let due = tokio::spawn(run_due(kms.clone(), stopped.clone()));
    let uses = tokio::spawn(write_last_uses(kms.clone(), stopped.clone()));
    let domains = tokio::spawn(keep_domain_young(kms.clone(), log_domains(&dir)?, stopped));
    crate::cli::kms::announce(out, address, certificate.is_some())?;

    stop_asked(&mut events).await;
    out.remark("stopping");
    let _ = stop.send(true);
    let _ = api_served.await;
    let _ = tokio::join!(due, uses, domains);
    heard.abort();
    let closed = tokio::task::spawn_blocking(move || {
        let written = kms.write_last_uses();
        kms.trail().close().map_err(miette::Report::from_err).and(written.into_diagnostic())
    });
    let closed = closed.await.into_diagnostic()?;
    let _ = std::fs::remove_file(&socket);
    drop(lock);
    closed
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

async fn stop_asked(events: &mut tokio::sync::mpsc::UnboundedReceiver<Event>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => return,
            _ = terminate.recv() => return,
            event = events.recv() => if let Some(Event::Stop) | None = event { return },
        }
    }
}

/// Keys rotate, end and lose their material when their time comes.
async fn run_due(kms: Kms, mut stopped: watch::Receiver<bool>) {
    let mut changed = kms.watch();
    loop {
        let of_task = kms.clone();
        let ran = tokio::task::spawn_blocking(move || of_task.run_due(now())).await;
        let wait = match ran {
            Ok(Ok((done, next))) => {
                for (key, what) in done {
                    tracing::info!(%key, ?what, "what was due to a key was done");
                }
                next.map_or(DUE_EVERY, |at| {
                    Duration::from_secs(at.0.saturating_sub(now().0)).min(DUE_EVERY)
                })
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "what is due to keys could not be done");
                DUE_EVERY
            }
            Err(_) => DUE_EVERY,
        };
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
            // Something may be due sooner now.
            _ = changed.changed() => {}
        }
        // Changes come together.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Domain keys that service logs in DIR lie under.
fn log_domains(dir: &CellDir) -> miette::Result<Vec<crypto::Id>> {
    crate::service_logs::domains(dir).into_diagnostic().wrap_err("the service logs")
}

/// The domain key is replaced every day, and what lies under older ones moved.
async fn keep_domain_young(kms: Kms, needed: Vec<crypto::Id>, mut stopped: watch::Receiver<bool>) {
    loop {
        let (of_task, needed) = (kms.clone(), needed.clone());
        let stop = stopped.clone();
        let renewed = tokio::task::spawn_blocking(move || renew_domain(&of_task, &needed, &stop));
        match renewed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the domain key could not be replaced"),
            Err(error) => tracing::error!(%error, "the domain key could not be replaced"),
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(DOMAIN_CHECK_EVERY) => {}
        }
    }
}

fn renew_domain(
    kms: &Kms,
    needed: &[crypto::Id],
    stopped: &watch::Receiver<bool>,
) -> Result<(), KmsError> {
    if now().0.saturating_sub(kms.domain_since()?.0) >= DOMAIN_LIFETIME.as_secs() {
        kms.rotate_domain(&Principal::Cell)?;
        tracing::info!("the domain key was replaced");
    }
    let mut start = None;
    loop {
        match kms.rewrap(start.as_ref(), REWRAP_RECORDS, needed)? {
            Rewrap::More { next, .. } if !*stopped.borrow() => start = Some(next),
            Rewrap::More { .. } => return Ok(()),
            Rewrap::Done { retired, .. } => {
                if retired > 0 {
                    tracing::info!(retired, "older domain keys were forgotten");
                }
                return Ok(());
            }
        }
    }
}

async fn write_last_uses(kms: Kms, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LAST_USES_EVERY) => {}
        }
        let of_task = kms.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || of_task.write_last_uses()).await
        {
            tracing::error!(%error, "when keys were last used could not be written");
        }
    }
}
