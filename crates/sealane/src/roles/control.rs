//! The control process: serves [`crate::control`] on the cell's socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::net::{UnixListener, UnixStream};

use super::boot::{Booted, Ready, write_message};
use super::lifeline;
use crate::cell_dir::{self, CellDir, Secret};
use crate::control::{Caller, Control, Peer, Shared};
use crate::ipc::messages::{Refusal, Reply, Request};
use crate::ipc::{read_frame, write_frame};

/// Connections that are served at once: children hold two each, operators come and go.
const CONNECTIONS_MAX: usize = 4096;

#[derive(Clone, Copy, serde::Deserialize)]
struct Options {
    /// Whose files these are: besides root, who may operate the cell.
    owner: u32,
    supervisor: i32,
}

pub(super) async fn run(mut booted: Booted) -> anyhow::Result<()> {
    let options: Options = serde_json::from_value(booted.options.take())?;
    let dir = CellDir::at(".");
    let unlock = booted.take_fd("unlock")?;
    let secret = Secret::from_memory_file(&unlock)?;
    let (places, kms) = cell_dir::open_for_supervisor(&dir, &secret).map_err(|error| {
        let help = miette::Diagnostic::help(&error).map(|help| format!(" ({help})"));
        anyhow::anyhow!("{error}{}", help.unwrap_or_default())
    })?;
    let warnings = key_warnings(&secret, &places);
    drop(secret);
    let control = Control::open(kms, warnings).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let control: Shared = Arc::new(Mutex::new(control));

    let listener = std::os::unix::net::UnixListener::from(booted.take_fd("listener")?);
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener).context("the control socket")?;
    let ready = Ready { warnings: std::mem::take(&mut booted.warnings), ..Ready::default() };
    write_message(&mut booted.supervisor, &ready)?;
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let serving = tokio::task::spawn_local(async move {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, for one: others must end before this can go on.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            };
            let control = Arc::clone(&control);
            tokio::task::spawn_local(async move {
                serve(stream, &control, options).await;
                drop(place);
            });
        }
    });
    lifeline::ended(booted.supervisor).await?;
    serving.abort();
    Ok(())
}

/// What about the cell's keys weakens a promise.
fn key_warnings(secret: &Secret, places: &cell_dir::Places) -> Vec<String> {
    let mut warnings = Vec::new();
    if let (Secret::KeyFile(_), path) = (secret, &places.key_file) {
        let place = path.as_ref().map_or_else(|| "DIR".into(), |p| p.display().to_string());
        warnings.push(format!(
            "the root key is sealed by a key file in {place}: whoever reads it and the disk can \
             open the cell"
        ));
    }
    let store = device_of(std::path::Path::new("store"));
    let anchor = places.anchor.as_deref().and_then(std::path::Path::parent);
    if device_of(anchor.unwrap_or_else(|| std::path::Path::new("."))) == store {
        warnings.push(
            "the store's anchor lies on the store's own disk: a disk that is set back as a whole \
             is not noticed (`sealane init --anchor PATH` puts it elsewhere)"
                .into(),
        );
    }
    warnings
}

fn device_of(path: &std::path::Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|metadata| metadata.dev())
}

async fn serve(mut stream: UnixStream, control: &Shared, options: Options) {
    let Ok(peer) = Peer::of(&stream) else { return };
    loop {
        let Ok(request) = read_frame::<Request>(&mut stream).await else { return };
        let caller = lock(control).caller(peer, options.supervisor, options.owner);
        if let (Request::Watch, Caller::Supervisor | Caller::Child(_)) = (&request, &caller) {
            watch(stream, control).await;
            return;
        }
        let reply = if matches!(request, Request::Watch) {
            Reply::Refused(Refusal::NotYours { asked: "events are for the cell".into() })
        } else {
            lock(control).handle(&caller, request)
        };
        if write_frame(&mut stream, &reply).await.is_err() {
            return;
        }
    }
}

async fn watch(mut stream: UnixStream, control: &Shared) {
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    if write_frame(&mut stream, &Reply::Done).await.is_err() {
        return;
    }
    lock(control).watch(sender);
    while let Some(event) = events.recv().await {
        if write_frame(&mut stream, &event).await.is_err() {
            return;
        }
    }
}

/// A request that panicked has changed nothing that is not also in the store.
fn lock(control: &Shared) -> MutexGuard<'_, Control> {
    control.lock().unwrap_or_else(PoisonError::into_inner)
}
