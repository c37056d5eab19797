//! Keeps the control process alive, tells it what the cell is, and hears what operators ask for.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use super::cell::{Backoff, CHILD_READY_MAX, Cell};
use super::child::{Child, Spawn};
use crate::ipc::messages::{Event, HostFacts, Request, Role};
use crate::ipc::{CONTROL_SOCKET, CallError, Client};

/// What a control process is started with, kept for the next one.
pub(super) struct ControlSpawn {
    /// The listening socket: it outlives each control process, so that no caller is turned away.
    pub listener: OwnedFd,
    /// A memory file with the secret that unlocks the root key.
    pub unlock: OwnedFd,
    pub host: HostFacts,
}

const RESTART_MIN: Duration = Duration::from_millis(50);
const RESTART_MAX: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(5);

/// Starts control and waits until it serves.
///
/// # Errors
/// What control says went wrong: at the start of a cell that is the operator's to mend.
pub(super) async fn start(cell: &Rc<Cell>, spawn: &ControlSpawn) -> io::Result<Child> {
    let mut child = Child::spawn(Spawn {
        role: Role::Control,
        uid: cell.role_uid(&Role::Control),
        fds: vec![
            ("listener".to_owned(), spawn.listener.try_clone()?),
            ("unlock".to_owned(), spawn.unlock.try_clone()?),
        ],
        options: serde_json::json!({
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
        let plan = Box::new(cell.plan.clone());
        client.call(&Request::Configure { plan, host: spawn.host.clone() }).await?;
        cell.link.connected(client).await
    };
    connected.await.map_err(io::Error::other)?;
    Ok(child)
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
                Ok(child) => break child,
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
            Event::KeysChanged { disabled_tenants } => {
                let disabled = disabled_tenants.into_iter().collect();
                cell.disabled.send_if_modified(|known| {
                    let changed = *known != disabled;
                    *known = disabled;
                    changed
                });
            }
            // For the volume's own process.
            Event::CheckVolume { .. } => {}
            Event::Stop => {
                cell.stopping.send_replace(true);
            }
        }
    }
}
