//! The process of one volume: it alone holds the data key, and serves the disk as a FUSE file.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crypto::SystemEntropy;
use tokio::sync::watch;

use super::boot::{Booted, Ready, write_message};
use super::lifeline;
use crate::disk::{AttachedVolume, FolderDisk};
use crate::fuse_file::{self, FileOwner};
use crate::ipc::messages::{CheckFact, Event, Reply, Request, VolumeFact};
use crate::ipc::{CONTROL_SOCKET, Client};
use crate::volume_check;
use crate::volume_open::{open, open_folder};

type Volume = Arc<AttachedVolume<FolderDisk>>;

/// How much of what was flushed a rollback could undo unnoticed: the bound of `bounded` freshness.
const ANCHOR_EVERY: Duration = Duration::from_secs(1);
const CONTROL_PATIENCE: Duration = Duration::from_secs(20);
/// How long the process before this one may take to let go of the folder.
const FOLDER_PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn run(mut booted: Booted, tenant: &str, volume: &str) -> anyhow::Result<()> {
    let mut control = Client::connect_as_child(Path::new(CONTROL_SOCKET), CONTROL_PATIENCE).await?;
    let reply = control.call(&Request::OpenVolume).await?;
    let Reply::VolumeGrant(grant) = reply else { anyhow::bail!("control answered {reply:?}") };
    let folder = open_folder(Path::new(&grant.directory), FOLDER_PATIENCE).await?;
    let mut engine = open(grant, folder, &mut SystemEntropy::new())?;
    let empty_log = engine.is_empty_log();
    // Before the first write: from now on only a disk that extends this attach is accepted.
    let anchor = serde_json::to_value(engine.anchor())?;
    control.call(&Request::AdvanceAnchor { anchor }).await.context("anchoring the attach")?;
    let attached: Volume = Arc::new(AttachedVolume::new(engine));

    let owner = FileOwner {
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        mode: 0o600,
    };
    let fuse = booted.take_fd("fuse")?;
    let served = Arc::clone(&attached);
    let (ended, mut serving) = watch::channel(false);
    std::thread::Builder::new().name("fuse".into()).spawn(move || {
        if let Err(error) = fuse_file::serve(served, fuse, owner) {
            tracing::error!("serving the volume ended: {error}");
        }
        ended.send_replace(true);
    })?;
    let (ask_check, checks) = watch::channel(0);
    let own = (tenant.to_owned(), volume.to_owned());
    tokio::task::spawn_local(listen(own, ask_check));
    let reporting = tokio::task::spawn_local(keep_anchored(Arc::clone(&attached), control, checks));

    let warnings = std::mem::take(&mut booted.warnings);
    let ready = Ready { empty_log, warnings, ..Ready::default() };
    write_message(&mut booted.supervisor, &ready)?;
    tokio::select! {
        ended = lifeline::ended(booted.supervisor) => ended?,
        _ = serving.wait_for(|&ended| ended) => {}
    }
    reporting.abort();
    let flushing = Arc::clone(&attached);
    let flushed = tokio::task::spawn_blocking(move || flushing.flush()).await?;
    let anchor = attached.anchor().map(serde_json::to_value);
    attached.freeze();
    flushed.context("the last flush")?;
    // The end of a clean attach is anchored too, so that not even the bound's second is open.
    let mut control = Client::connect_as_child(Path::new(CONTROL_SOCKET), CONTROL_PATIENCE).await?;
    control.call(&Request::AdvanceAnchor { anchor: anchor?? }).await?;
    Ok(())
}

/// Hears when an operator wants this volume checked.
async fn listen(own: (String, String), ask_check: watch::Sender<u64>) {
    loop {
        let watching = async {
            let client =
                Client::connect_as_child(Path::new(CONTROL_SOCKET), CONTROL_PATIENCE).await?;
            let mut events = client.watch().await?;
            loop {
                if let Event::CheckVolume { tenant, volume } = events.next().await?
                    && (tenant, volume) == own
                {
                    ask_check.send_modify(|number| *number += 1);
                }
            }
        };
        let ended: Result<(), crate::ipc::CallError> = watching.await;
        if let Err(error) = ended {
            tracing::debug!("control's events ended: {error}");
        }
        tokio::time::sleep(ANCHOR_EVERY).await;
    }
}

/// Advances the anchor and says how the volume is, for as long as it is attached.
async fn keep_anchored(volume: Volume, mut control: Client, mut checks: watch::Receiver<u64>) {
    let mut anchored = None;
    let mut last_check = None;
    let mut unanchored_since: Option<Instant> = None;
    loop {
        tokio::time::sleep(ANCHOR_EVERY).await;
        if checks.has_changed().unwrap_or(false) {
            let number = *checks.borrow_and_update();
            last_check = Some(check(&volume, number).await);
        }
        let (Ok(anchor), Ok(stats)) = (volume.anchor(), volume.stats()) else { return };
        let told = async {
            if anchored != Some(anchor) {
                let value = serde_json::to_value(anchor).map_err(std::io::Error::from);
                let value = value.map_err(crate::ipc::CallError::Unreachable)?;
                control.call(&Request::AdvanceAnchor { anchor: value }).await?;
            }
            let fact = VolumeFact {
                bytes_sealed: stats.bytes_sealed,
                blocks_mapped: stats.blocks_mapped,
                last_check: last_check.clone(),
            };
            control.call(&Request::ReportVolume(fact)).await
        };
        match told.await {
            Ok(_) => {
                anchored = Some(anchor);
                unanchored_since = None;
            }
            Err(error) => {
                let since = *unanchored_since.get_or_insert_with(Instant::now);
                tracing::warn!("not anchored for {:?}: {error}", since.elapsed());
                let again = Client::connect_as_child(Path::new(CONTROL_SOCKET), ANCHOR_EVERY).await;
                if let Ok(client) = again {
                    control = client;
                }
            }
        }
    }
}

async fn check(volume: &Volume, number: u64) -> CheckFact {
    let volume = Arc::clone(volume);
    let checked = tokio::task::spawn_blocking(move || {
        volume_check::check(number, |from, count| {
            volume.check_step(from, count).map_err(|error| error.to_string())
        })
    });
    checked.await.unwrap_or_else(|error| volume_check::failed(number, &error.to_string()))
}
