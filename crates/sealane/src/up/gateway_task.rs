//! Keeps a gateway (ingress or egress) alive. Its listening socket outlives it.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::cell::{Backoff, CHILD_READY_MAX, Cell};
use super::child::{Child, Spawn};
use crate::ipc::messages::Role;

const RESTART_MIN: Duration = Duration::from_millis(50);
const RESTART_MAX: Duration = Duration::from_secs(5);
/// How long connections may take to end by themselves when the cell stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

pub(super) async fn keep(cell: Rc<Cell>, role: Role, sockets: Vec<(String, OwnedFd)>) {
    let mut backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
    while !cell.is_stopping() {
        match start(&cell, &role, &sockets).await {
            Ok(child) => {
                tokio::select! {
                    () = child.exited() => tracing::error!("{role} ended; starting another"),
                    () = end_of_turn(&cell, &role) => child.stop(DRAIN_MAX).await,
                }
                cell.link.bury(child).await;
            }
            Err(error) => tracing::error!("{role} does not start: {error}"),
        }
        tokio::select! {
            () = cell.stopping() => {}
            () = sleep(backoff.delay()) => {}
        }
    }
}

/// The ingress is the first to stop; the egress serves until no service is left that could call.
async fn end_of_turn(cell: &Rc<Cell>, role: &Role) {
    cell.stopping().await;
    if *role == Role::Egress {
        for gone in cell.gone.values() {
            let _ = gone.subscribe().wait_for(|&gone| gone).await;
        }
    }
}

async fn start(cell: &Rc<Cell>, role: &Role, sockets: &[(String, OwnedFd)]) -> io::Result<Child> {
    let mut fds = Vec::new();
    for (name, socket) in sockets {
        fds.push((name.clone(), socket.try_clone()?));
    }
    let spawn = Spawn {
        role: role.clone(),
        uid: cell.role_uid(role),
        fds,
        options: serde_json::Value::Null,
        dir: &cell.dir,
    };
    let mut child = Child::spawn(spawn).await?;
    let started = async {
        cell.link.announce(&child).await.map_err(io::Error::other)?;
        child.ready(CHILD_READY_MAX).await
    };
    match started.await {
        Ok(ready) => {
            for warning in &ready.warnings {
                cell.warn(warning);
            }
            Ok(child)
        }
        Err(error) => {
            cell.link.bury(child).await;
            Err(error)
        }
    }
}
