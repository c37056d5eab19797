//! Keeps the control process alive, tells it what the cell is, and hears what operators ask for.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use super::cell::{Backoff, CHILD_READY_MAX, Cell};
use super::child::{Child, Spawn};
use crate::cell_dir::CellDir;
use crate::config::KmsListen;
use crate::ipc::messages::{CellNames, Event, HostFacts, Reply, Request, Role};
use crate::ipc::{CONTROL_SOCKET, CallError, Client};
use crate::roles::control::KmsFace;
use crate::service_logs;

/// What a control process is started with, kept for the next one.
pub(super) struct ControlSpawn {
    /// The listening socket: it outlives each control process, so that no caller is turned away.
    pub listener: OwnedFd,
    /// A memory file with the secret that unlocks the root key.
    pub unlock: OwnedFd,
    /// The store's anchor: it may lie where control's user cannot walk to, let alone write.
    pub anchor: OwnedFd,
    pub host: HostFacts,
    pub names: CellNames,
    /// Where AWS KMS's API is served, if it is.
    pub kms: Option<(OwnedFd, KmsListen)>,
}

/// Why control did not come up.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// It says what is wrong, or did not live to say it.
    #[error("{0}")]
    Ended(#[from] io::Error),
    /// It runs, and refused what it was told.
    #[error("{0}")]
    Told(#[from] CallError),
}

const RESTART_MIN: Duration = Duration::from_millis(50);
const RESTART_MAX: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(5);

/// Starts control and waits until it serves. Gives what an operator should hear.
///
/// # Errors
/// What control says went wrong: at the start of a cell that is the operator's to mend.
pub(super) async fn start(
    cell: &Rc<Cell>,
    spawn: &ControlSpawn,
) -> Result<(Child, Vec<String>), StartError> {
    let mut fds = vec![
        ("listener".to_owned(), spawn.listener.try_clone()?),
        ("unlock".to_owned(), spawn.unlock.try_clone()?),
        ("anchor".to_owned(), spawn.anchor.try_clone()?),
    ];
    let mut kms = None;
    if let Some((listener, KmsListen { hosts, audit, .. })) = &spawn.kms {
        fds.push(("kms".to_owned(), listener.try_clone()?));
        kms = Some(KmsFace { hosts: hosts.clone(), audit: *audit });
    }
    let mut child = Child::spawn(Spawn {
        role: Role::Control,
        uid: cell.role_uid(&Role::Control),
        fds,
        options: serde_json::json!({
            "kms": kms,
            "owner": rustix::process::getuid().as_raw(),
            "supervisor": std::process::id(),
        }),
        dir: &cell.dir,
    })
    .await?;
    let ready = child.ready(CHILD_READY_MAX).await?;
    for warning in &ready.warnings {
        cell.warn(warning);
    }
    let connected = async {
        let mut client = Client::connect(&cell.dir.join(CONTROL_SOCKET)).await?;
        let (plan, host) = (Box::new(cell.plan.clone()), spawn.host.clone());
        let names = spawn.names.clone();
        let reply = client.call(&Request::Configure { plan, host, names }).await?;
        learn_erasures(cell, &mut client).await?;
        cell.link.connected(client).await?;
        Ok::<_, CallError>(reply)
    };
    let remarks = match connected.await? {
        Reply::Json(remarks) => serde_json::from_value(remarks).map_err(io::Error::from)?,
        other => return Err(CallError::Unexpected(format!("{other:?}")).into()),
    };
    Ok((child, remarks))
}

/// Which tenants were erased, whose logs are then removed: control runs as a user who may not, and
/// an erasure may have been cut short, or made while another cell file was in use.
async fn learn_erasures(cell: &Cell, client: &mut Client) -> Result<(), CallError> {
    let logged = service_logs::known(&CellDir::at(&cell.dir)).into_iter().map(|(tenant, _)| tenant);
    let tenants: BTreeSet<_> = logged.chain(cell.plan.tenants.iter().cloned()).collect();
    let request = Request::ErasedAmong { tenants: tenants.into_iter().collect() };
    let erased: BTreeSet<String> = match client.call(&request).await? {
        Reply::Json(names) => serde_json::from_value(names)
            .map_err(|error| CallError::Unexpected(error.to_string()))?,
        other => return Err(CallError::Unexpected(format!("{other:?}"))),
    };
    for tenant in &erased {
        remove_logs(cell, tenant).await;
    }
    cell.erased.replace(erased);
    Ok(())
}

async fn remove_logs(cell: &Cell, tenant: &str) {
    let (dir, of) = (CellDir::at(&cell.dir), tenant.to_owned());
    let removed = tokio::task::spawn_blocking(move || service_logs::remove_of(&dir, &of)).await;
    let removed = removed.unwrap_or_else(|error| Err(io::Error::other(error)));
    if let Err(error) = removed {
        tracing::error!(tenant, "logs of an erased tenant could not be removed: {error}");
    }
}

/// Keeps control alive until `child` is asked to end by the cell's end.
pub(super) async fn keep(cell: Rc<Cell>, spawn: ControlSpawn, mut child: Child) {
    let mut backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
    loop {
        let listening = tokio::task::spawn_local(listen(Rc::clone(&cell)));
        let ended = tokio::select! {
            () = child.exited() => true,
            () = cell.link.lost() => {
                child.signal(Signal::KILL);
                child.exited().await;
                true
            }
            () = drained(&cell) => false,
        };
        listening.abort();
        if !ended {
            // First of all: a control that hangs would hold up whoever waits for its answer.
            child.stop(GRACE).await;
        }
        cell.link.disconnected().await;
        if !ended {
            let _ = child.reap();
            return;
        }
        tracing::error!("the control process ended; starting another");
        let _ = child.reap();
        child = loop {
            sleep(backoff.delay()).await;
            match start(&cell, &spawn).await {
                Ok((child, _)) => break child,
                Err(error) => tracing::error!("control does not start: {error}"),
            }
            if cell.is_stopping() {
                return;
            }
        };
    }
}

/// Waits until nothing is left that needs control.
async fn drained(cell: &Rc<Cell>) {
    let _ = cell.drained.subscribe().wait_for(|&drained| drained).await;
}

/// Follows control's events for as long as it runs: what they tell must not be missed only because
/// a connection broke.
async fn listen(cell: Rc<Cell>) {
    loop {
        if let Err(error) = follow(&cell).await {
            tracing::debug!("control's events ended: {error}");
        }
        sleep(RESTART_MIN).await;
    }
}

async fn follow(cell: &Rc<Cell>) -> Result<(), CallError> {
    let client = Client::connect(&cell.dir.join(CONTROL_SOCKET)).await?;
    let mut events = client.watch().await?;
    loop {
        match events.next().await? {
            Event::KeysChanged { disabled_volumes } => {
                let disabled = disabled_volumes.into_iter().collect();
                cell.disabled.send_if_modified(|known| {
                    let changed = *known != disabled;
                    *known = disabled;
                    changed
                });
            }
            Event::TenantErased { tenant } => {
                cell.erased.borrow_mut().insert(tenant.clone());
                remove_logs(cell, &tenant).await;
            }
            // For the volume's own process.
            Event::CheckVolume { .. } => {}
            Event::Stop => {
                cell.stopping.send_replace(true);
            }
        }
    }
}
