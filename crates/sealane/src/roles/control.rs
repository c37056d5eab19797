//! The control process: serves [`crate::control`] on the cell's socket.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::boot::{Booted, NeedsOperator, Ready, write_message};
use super::kms::tasks;
use super::{kms_face, lifeline};
use crate::cell_dir::{self, CellDir, Secret};
use crate::config::KmsAudit;
use crate::control::{Answers, Caller, Control, Peer, Shared};
use crate::ipc::messages::{Refusal, Reply, Request};
use crate::ipc::{read_frame, read_frame_within, write_frame};
use crate::kms::Kms;

/// Connections of one process that are served at once.
const CONNECTIONS_MAX: usize = 4096;
/// How many of them one child may have.
const CONNECTIONS_OF_CHILD_MAX: usize = 8;
/// Connections of processes that this cell does not know: everybody on the machine may knock, and a
/// child whose start is not announced yet tries again.
const STRANGERS_MAX: usize = 64;
/// What a stranger may say, and how long it may take over it.
const STRANGER_BYTES_MAX: u32 = 4 << 10;
const STRANGER_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, serde::Deserialize)]
pub(super) struct Options {
    /// Whose files these are: besides root, who may operate the cell.
    pub(super) owner: u32,
    pub(super) supervisor: i32,
}

/// How the KMS is to be served, beside the socket for it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct KmsFace {
    /// Names that its certificate is for.
    pub hosts: Vec<String>,
    pub audit: KmsAudit,
}

pub(super) async fn run(mut booted: Booted) -> anyhow::Result<()> {
    let options = booted.options.take();
    let face: Option<KmsFace> = serde_json::from_value(options["kms"].clone())?;
    let options: Options = serde_json::from_value(options)?;
    let dir = CellDir::at(".");
    let unlock = booted.take_fd("unlock")?;
    let secret = Secret::from_memory_file(&unlock)?;
    let anchor = std::fs::File::from(booted.take_fd("anchor")?);
    let anchor_device = anchor.metadata().ok().map(|metadata| metadata.dev());
    let (places, kms) =
        cell_dir::open_with_anchor(&dir, &secret, Some(anchor)).map_err(|error| {
            let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
            // With what the kernel said, which is the reason in most cases.
            NeedsOperator { message: format!("{:#}", anyhow::Error::new(error)), help }
        })?;
    let warnings = cell_dir::weaknesses(&dir, &places, anchor_device)?;
    drop(secret);
    let control =
        Control::open(kms, &dir, warnings).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let kms = control.kms().clone();
    let mut control = control;
    let shown = kms_face::Shown::default();
    if let Some(face) = &face {
        let listener = std::net::TcpListener::from(booted.take_fd("kms")?);
        control.once_configured(kms_face::begin(listener, face.clone(), shown.clone()));
    }
    let control = Arc::new(Mutex::new(control));
    if let Some(face) = face {
        tokio::task::spawn_local(kms_face::renew(Arc::clone(&control), face, shown));
    }
    let follow = tokio::task::spawn_local(follow_keys(kms.clone(), Arc::clone(&control)));
    let (end, ended) = watch::channel(false);
    tasks::start(&Handle::current(), &dir, &kms, &ended);
    let control: Shared = control;

    let listener = std::os::unix::net::UnixListener::from(booted.take_fd("listener")?);
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener).context("the control socket")?;
    let ready = Ready { warnings: std::mem::take(&mut booted.warnings), ..Ready::default() };
    write_message(&mut booted.supervisor, &ready)?;
    let serving = tokio::task::spawn_local(serve(listener, control, options));
    lifeline::ended(booted.supervisor).await?;
    serving.abort();
    follow.abort();
    let _ = end.send(true);
    let written = kms.write_last_uses();
    kms.trail().close()?;
    Ok(written?)
}

/// A key may be disabled, or end, by a call of the API: volumes must hear of it.
async fn follow_keys(kms: Kms, control: Arc<Mutex<Control>>) {
    let mut changed = kms.watch();
    while changed.changed().await.is_ok() {
        let told = control.lock().unwrap_or_else(PoisonError::into_inner).tell_keys();
        if let Err(refusal) = told {
            tracing::warn!(%refusal, "who uses keys could not be told that some have changed");
        }
    }
}

/// Serves whoever connects, for ever.
pub(super) async fn serve(listener: UnixListener, control: Shared, options: Options) {
    let places = Slots::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for one: others must end before this can go on.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok(peer) = Peer::of(&stream) else { continue };
        let caller = lock(&control).caller(peer, options.supervisor, options.owner);
        let Some(place) = places.take(peer, &caller) else { continue };
        let connection =
            Connection { stream, peer, caller, control: Arc::clone(&control), options };
        tokio::task::spawn_local(async move {
            connection.serve().await;
            drop(place);
        });
    }
}

/// Who has how many connections, so that nobody can keep others out by holding them.
#[derive(Clone, Default)]
struct Slots(Rc<RefCell<BTreeMap<Option<i32>, usize>>>);

/// One connection's place, free again when dropped.
struct Place {
    slots: Slots,
    whose: Option<i32>,
}

impl Slots {
    /// `None` where `caller` has as many as it may have.
    fn take(&self, peer: Peer, caller: &Caller) -> Option<Place> {
        let (whose, max) = match caller {
            Caller::Supervisor | Caller::Operator => (Some(peer.pid), CONNECTIONS_MAX),
            Caller::Child(_) => (Some(peer.pid), CONNECTIONS_OF_CHILD_MAX),
            Caller::Stranger => (None, STRANGERS_MAX),
        };
        let mut taken = self.0.borrow_mut();
        let count = taken.entry(whose).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { slots: self.clone(), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.slots.0.borrow_mut();
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

struct Connection {
    stream: UnixStream,
    peer: Peer,
    /// Who it was that connected. The kernel tells the pid of that moment, so a connection that was
    /// passed on must not become somebody else's when the pid does.
    caller: Caller,
    control: Shared,
    options: Options,
}

impl Connection {
    async fn serve(mut self) {
        loop {
            let Some(request) = self.request().await else { return };
            let options = self.options;
            let now = lock(&self.control).caller(self.peer, options.supervisor, options.owner);
            if now != self.caller {
                return;
            }
            if let (Request::Watch, Caller::Supervisor | Caller::Child(_)) = (&request, &now) {
                watch(self.stream, now, &self.control).await;
                return;
            }
            let reply = if matches!(request, Request::Watch) {
                Reply::Refused(Refusal::NotYours { asked: "events are for the cell".into() })
            } else {
                lock(&self.control).handle(&now, request)
            };
            if write_frame(&mut self.stream, &reply).await.is_err() || now == Caller::Stranger {
                return;
            }
        }
    }

    async fn request(&mut self) -> Option<Request> {
        if self.caller != Caller::Stranger {
            return read_frame(&mut self.stream).await.ok();
        }
        let request = read_frame_within(&mut self.stream, STRANGER_BYTES_MAX);
        tokio::time::timeout(STRANGER_PATIENCE, request).await.ok()?.ok()
    }
}

async fn watch(mut stream: UnixStream, caller: Caller, control: &Shared) {
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    if write_frame(&mut stream, &Reply::Done).await.is_err() {
        return;
    }
    lock(control).watch(caller, sender);
    let (mut from, mut to) = stream.split();
    let mut nothing = [0];
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            // Nothing more is said on this side, so this is its end.
            _ = from.read(&mut nothing) => return,
        };
        let Some(event) = event else { return };
        if write_frame(&mut to, &event).await.is_err() {
            return;
        }
    }
}

/// A request that panicked has changed nothing that is not also in the store.
fn lock(control: &Shared) -> MutexGuard<'_, dyn Answers + 'static> {
    control.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::messages::Role;

    #[test]
    fn nobody_keeps_others_out() {
        let places = Slots::default();
        let peer = |pid| Peer { pid, uid: 1 };
        let strangers: Vec<_> =
            (0..).map_while(|pid| places.take(peer(pid), &Caller::Stranger)).collect();
        assert_eq!(strangers.len(), STRANGERS_MAX);
        let child = Caller::Child(Role::Ingress);
        let held: Vec<_> =
            std::iter::repeat_with(|| places.take(peer(7), &child)).map_while(|p| p).collect();
        assert_eq!(held.len(), CONNECTIONS_OF_CHILD_MAX);
        for (pid, caller) in [(8, &child), (7, &Caller::Operator), (9, &Caller::Supervisor)] {
            let place = places.take(peer(pid), caller);
            assert!(place.is_some(), "{caller:?} of pid {pid} is kept out");
        }
        drop((strangers, held));
        assert!(places.take(peer(7), &child).is_some());
        assert_eq!(places.0.borrow().len(), 0);
    }
}
