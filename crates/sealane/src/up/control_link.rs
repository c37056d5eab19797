//! The supervisor's line to the control process, which it also keeps alive.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};

use super::child::Child;
use crate::ipc::messages::{Reply, Request, Role};
use crate::ipc::{CallError, Client};

/// Calls to control, which wait while control is being restarted.
pub(super) struct ControlLink {
    client: Mutex<Option<Client>>,
    up: watch::Sender<bool>,
    /// Who runs under which pid: told again to a control process that is new.
    launched: RefCell<BTreeMap<i32, Role>>,
}

impl ControlLink {
    /// How long a call waits for a control process that is restarting.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            client: Mutex::new(None),
            up: watch::Sender::new(false),
            launched: RefCell::default(),
        }
    }

    /// Control runs and answered: calls go to it from now on.
    ///
    /// # Errors
    /// If it does not take what it must be told first.
    pub(super) async fn connected(&self, mut client: Client) -> Result<(), CallError> {
        // Whoever is buried meanwhile waits for the lock, so that this control hears of that too.
        let mut slot = self.client.lock().await;
        let launched = self.launched.borrow().clone();
        for (pid, role) in launched {
            answered(&mut client, &Request::Launched { pid, role }).await?;
        }
        *slot = Some(client);
        self.up.send_replace(true);
        Ok(())
    }

    /// Waits until control does not answer any more, whether or not its process lives.
    pub(super) async fn lost(&self) {
        // The sender lives as long as `self`.
        let _ = self.up.subscribe().wait_for(|&up| !up).await;
    }

    pub(super) async fn disconnected(&self) {
        self.up.send_replace(false);
        *self.client.lock().await = None;
    }

    /// # Errors
    /// What control answers, or [`CallError`] once its patience is over.
    pub(super) async fn call(&self, request: &Request) -> Result<Reply, CallError> {
        let deadline = Instant::now() + Self::PATIENCE;
        loop {
            let mut up = self.up.subscribe();
            let waited = timeout_at(deadline, up.wait_for(|&up| up)).await.is_ok();
            let mut slot = self.client.lock().await;
            let failure = match slot.as_mut() {
                Some(client) => match answered(client, request).await {
                    Err(failure @ CallError::Frame(_)) => failure,
                    answer => return answer,
                },
                None => CallError::Unreachable(io::ErrorKind::NotConnected.into()),
            };
            *slot = None;
            self.up.send_replace(false);
            if !waited || Instant::now() >= deadline {
                return Err(failure);
            }
        }
    }

    /// Says who runs under the pid of `child`, before the child can ask for anything.
    ///
    /// # Errors
    /// As [`ControlLink::call`].
    pub(super) async fn announce(&self, child: &Child) -> Result<(), CallError> {
        self.launched.borrow_mut().insert(child.pid(), child.role.clone());
        let launched = Request::Launched { pid: child.pid(), role: child.role.clone() };
        self.call(&launched).await.map(drop)
    }

    /// Ends the child if it still runs, has control forget it, then reaps it: in this order, so that
    /// the pid cannot come back as another process while control still takes it for this one.
    pub(super) async fn bury(&self, child: Child) {
        let pid = child.pid();
        // One that did not become ready in time may live: reaping it would block the supervisor.
        child.signal(Signal::KILL);
        child.exited().await;
        self.launched.borrow_mut().remove(&pid);
        // If control is down, the new one will not be told of this pid at all.
        if let Some(client) = self.client.lock().await.as_mut() {
            let _ = answered(client, &Request::Exited { pid }).await;
        }
        let _ = child.reap();
    }
}

/// Control's answer. One that does not come is as good as a connection that broke: whoever waits
/// for it holds up everybody else who has something to ask.
async fn answered(client: &mut Client, request: &Request) -> Result<Reply, CallError> {
    let answer = tokio::time::timeout(ControlLink::PATIENCE, client.call(request)).await;
    answer
        .unwrap_or_else(|_| Err(CallError::Frame(io::Error::from(io::ErrorKind::TimedOut).into())))
}
