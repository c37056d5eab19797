//! Keeps one volume attached and mounted while its tenant's KMS key is enabled.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::cell::{Backoff, CHILD_READY_MAX, Cell};
use super::child::{Child, Spawn};
use super::fuse2fs::Fuse2fs;
use super::mounts::{self, Layers};
use crate::cli::model::VolumeState;
use crate::fuse_file::{self, FileOwner};
use crate::ipc::messages::{Reply, Request, Role, VolumePrepared};

/// Who owns the volume: for log lines, messages and the role.
#[derive(Clone)]
pub(super) struct Owner {
    pub tenant: String,
    pub volume: String,
    pub service: String,
}

impl Owner {
    fn name(&self) -> String {
        format!("{}/{}", self.tenant, self.volume)
    }

    fn is_in(&self, volumes: &BTreeSet<(String, String)>) -> bool {
        volumes.contains(&(self.tenant.clone(), self.volume.clone()))
    }

    fn role(&self) -> Role {
        Role::Volume { tenant: self.tenant.clone(), volume: self.volume.clone() }
    }
}

/// How long a revoked volume's services may take to let go, so that everything is done within the
/// five seconds of promise 4.
pub(super) const REVOKE_GRACE: Duration = Duration::from_secs(1);
/// How long a clean end of the engine may take: it flushes what is pending.
const ENGINE_GRACE: Duration = Duration::from_secs(10);
/// The same for a volume whose key is disabled.
const ENGINE_GRACE_REVOKED: Duration = Duration::from_secs(1);

/// How often a mounted file system is asked whether it still takes writes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Why an attached volume is to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Stop,
    KeyDisabled,
    ProcessDied,
    /// ext4 could not write, and stays read-only until it is mounted anew.
    FileSystemStopped,
}

impl Ending {
    /// What `status` says while it is not attached.
    fn reason(self) -> Option<String> {
        let reason = match self {
            Self::Stop | Self::KeyDisabled => return None,
            Self::ProcessDied => "a process of it ended",
            Self::FileSystemStopped => {
                "its file system could not be written and is mounted anew: is the disk of DIR full?"
            }
        };
        Some(reason.to_owned())
    }
}

pub(super) async fn run(cell: Rc<Cell>, owner: Owner) {
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    let mut disabled = cell.disabled.subscribe();
    let mut failed = None;
    while !cell.is_stopping() {
        if owner.is_in(&disabled.borrow_and_update()) {
            cell.update_volume(&owner.tenant, &owner.volume, VolumeState::KeyDisabled, None);
            tokio::select! {
                () = cell.stopping() => break,
                _ = disabled.changed() => continue,
            }
        }
        // Why the last attempt failed stays in sight while the next is under way.
        cell.update_volume(&owner.tenant, &owner.volume, VolumeState::Attaching, failed.take());
        match attach(&cell, &owner).await {
            Ok(attached) => {
                let ending = serve(&cell, &owner, &attached).await;
                detach(&cell, &owner, attached, ending).await;
                failed = ending.reason();
                if failed.is_none() {
                    continue;
                }
            }
            Err(_) if owner.is_in(&disabled.borrow()) => continue,
            Err(error) => {
                tracing::error!(volume = owner.name(), "cannot attach: {error}");
                cell.update_volume(
                    &owner.tenant,
                    &owner.volume,
                    VolumeState::Failed,
                    Some(error.to_string()),
                );
                failed = Some(error.to_string());
            }
        }
        tokio::select! {
            () = cell.stopping() => {}
            () = sleep(backoff.delay()) => {}
        }
    }
    cell.update_volume(&owner.tenant, &owner.volume, VolumeState::Detached, None);
}

struct Attached {
    engine: Child,
    layers: Layers,
    /// Serves the file system where there is no root to mount it.
    fuse2fs: Option<Fuse2fs>,
}

impl Attached {
    /// Waits until a process that the volume needs has ended.
    async fn died(&self) {
        let fuse2fs = async {
            match &self.fuse2fs {
                Some(fuse2fs) => fuse2fs.exited().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.engine.exited() => {}
            () = fuse2fs => {}
        }
    }
}

async fn attach(cell: &Rc<Cell>, owner: &Owner) -> io::Result<Attached> {
    let prepare =
        Request::PrepareVolume { tenant: owner.tenant.clone(), volume: owner.volume.clone() };
    let state = match cell.link.call(&prepare).await.map_err(io::Error::other)? {
        Reply::VolumePrepared(state) => state,
        other => return Err(io::Error::other(format!("control answered {other:?}"))),
    };
    if !state.key_enabled {
        return Err(io::Error::other("its KMS key is disabled"));
    }
    let role = owner.role();
    let uid = cell.role_uid(&role);
    let segments = cell.dir.join(&state.directory);
    super::dirs::private_dir(&segments, uid)?;
    let layers = Layers::create(&cell.dir, &owner.tenant, &owner.volume)?;
    clear(&layers);
    let fuse = mount_fuse(&layers, uid).await?;
    let spawn = Spawn {
        role,
        uid,
        fds: vec![("fuse".to_owned(), fuse)],
        options: serde_json::Value::Null,
        dir: &cell.dir,
    };
    let mut engine = Child::spawn(spawn).await?;
    // Recovery and file system checks may take longer than a disabled key may be held.
    let mut disabled = cell.disabled.subscribe();
    let mounted = tokio::select! {
        mounted = mount(cell, owner, &state, &layers, &mut engine) => mounted,
        _ = disabled.wait_for(|volumes| owner.is_in(volumes)) => {
            Err(io::Error::other("its KMS key was disabled meanwhile"))
        }
    };
    match mounted {
        Ok(fuse2fs) => Ok(Attached { engine, layers, fuse2fs }),
        Err(error) => {
            mounts::unmount_lazily(&layers.fs);
            mounts::unmount_lazily(&layers.fuse);
            engine.stop(ENGINE_GRACE_REVOKED).await;
            cell.link.bury(engine).await;
            Err(error)
        }
    }
}

/// What a crashed engine left mounted goes first.
fn clear(layers: &Layers) {
    for path in [&layers.fs, &layers.fuse] {
        while mounts::is_mounted(path).unwrap_or(false) {
            mounts::unmount_lazily(path);
        }
    }
}

async fn mount_fuse(layers: &Layers, uid: Option<u32>) -> io::Result<OwnedFd> {
    let path = layers.fuse.clone();
    let uid = uid.unwrap_or_else(|| rustix::process::getuid().as_raw());
    let owner = FileOwner { uid, gid: uid, mode: 0o600 };
    blocking(move || fuse_file::mount_fd(&path, &owner)).await
}

async fn mount(
    cell: &Rc<Cell>,
    owner: &Owner,
    state: &VolumePrepared,
    layers: &Layers,
    engine: &mut Child,
) -> io::Result<Option<Fuse2fs>> {
    cell.link.announce(engine).await.map_err(io::Error::other)?;
    let ready = engine.ready(CHILD_READY_MAX).await?;
    for warning in &ready.warnings {
        cell.warn(warning);
    }
    if state.file_system.is_none() {
        if !ready.empty_log {
            return Err(io::Error::other(
                "no file system was ever recorded for this volume, but it holds data: \
                 it is left as it is; check that DIR's store belongs to this volume",
            ));
        }
        let target = layers.clone();
        blocking(move || mounts::make_file_system(&target).map_err(io::Error::other)).await?;
        let formatted = Request::VolumeFormatted {
            tenant: owner.tenant.clone(),
            volume: owner.volume.clone(),
            file_system: "ext4".to_owned(),
        };
        cell.link.call(&formatted).await.map_err(io::Error::other)?;
    }
    let target = layers.clone();
    blocking(move || mounts::check_file_system(&target).map_err(io::Error::other)).await?;
    let fuse2fs = if cell.root {
        let target = layers.clone();
        blocking(move || mounts::mount_loop(&target).map_err(io::Error::other)).await?;
        None
    } else {
        Some(Fuse2fs::start(layers, CHILD_READY_MAX).await?)
    };
    if let Some(uid) = cell.uid(&format!("service {}/{}", owner.tenant, owner.service)) {
        std::os::unix::fs::chown(&layers.fs, Some(uid), Some(uid))?;
    }
    Ok(fuse2fs)
}

/// Offers the mounted volume to its service until it has to go.
async fn serve(cell: &Rc<Cell>, owner: &Owner, attached: &Attached) -> Ending {
    let name = owner.name();
    cell.mounted[&name].send_replace(Some(attached.layers.fs.clone()));
    cell.update_volume(&owner.tenant, &owner.volume, VolumeState::Attached, None);
    let mut disabled = cell.disabled.subscribe();
    let ending = tokio::select! {
        () = cell.stopping() => Ending::Stop,
        _ = disabled.wait_for(|volumes| owner.is_in(volumes)) => Ending::KeyDisabled,
        () = attached.died() => Ending::ProcessDied,
        () = file_system_stops(&attached.layers) => Ending::FileSystemStopped,
    };
    if ending == Ending::Stop {
        // The service stops in its own turn, which may be after its callers'.
        let mut gone = cell.gone[&format!("{}/{}", owner.tenant, owner.service)].subscribe();
        tokio::select! {
            _ = gone.wait_for(|&gone| gone) => {}
            () = attached.died() => {}
        }
    }
    ending
}

async fn file_system_stops(layers: &Layers) {
    loop {
        sleep(LOOK_EVERY).await;
        // A table that cannot be read now can be read later.
        if mounts::is_read_only(&layers.fs).unwrap_or(false) {
            return;
        }
    }
}

async fn detach(cell: &Rc<Cell>, owner: &Owner, attached: Attached, ending: Ending) {
    let Attached { engine, layers, fuse2fs } = attached;
    cell.update_volume(&owner.tenant, &owner.volume, VolumeState::Detaching, ending.reason());
    cell.mounted[&owner.name()].send_replace(None);
    let mut gone = cell.gone[&format!("{}/{}", owner.tenant, owner.service)].subscribe();
    let _ = timeout(2 * REVOKE_GRACE, gone.wait_for(|&gone| gone)).await;

    if ending == Ending::ProcessDied {
        mounts::unmount_lazily(&layers.fs);
    } else {
        let path = layers.fs.clone();
        let limit = if ending == Ending::KeyDisabled { REVOKE_GRACE } else { ENGINE_GRACE };
        let unmounting = blocking(move || mounts::unmount_clean(&path));
        if !matches!(timeout(limit, unmounting).await, Ok(Ok(()))) {
            tracing::warn!(volume = owner.name(), "unmounting did not finish; detaching");
            mounts::unmount_lazily(&layers.fs);
        }
    }
    let grace = if ending == Ending::KeyDisabled { ENGINE_GRACE_REVOKED } else { ENGINE_GRACE };
    if let Some(fuse2fs) = fuse2fs
        && ending != Ending::ProcessDied
    {
        // Before the engine: what it holds is written back to the volume.
        fuse2fs.stop(grace).await;
    }
    engine.stop(grace).await;
    mounts::unmount_lazily(&layers.fuse);
    cell.link.bury(engine).await;
}

/// Runs what may block on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
