//! `sealane up`: the supervisor. It starts the cell's processes, keeps them alive, and takes
//! everything down in order. Of all secrets it holds one, in a memory file: what unlocks the root
//! key, for the control process that may have to be replaced.
//!
//! One thread does all of it, because the kernel kills a child when the thread that started it
//! ends. [`cell`] is what the tasks share; each of the `*_task` files keeps one kind of thing alive.

mod cell;
mod child;
mod control_link;
mod control_task;
mod dirs;
mod fuse2fs;
mod gateway_task;
mod host;
mod leftovers;
mod mounts;
mod preflight;
mod refused;
mod sockets;
mod volume_task;
mod workload_task;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::cell_dir::{self, CellDir, DirLock, InitOptions, SealOption, Secret};
use crate::cli::cell::Taken;
use crate::cli::live::Live;
use crate::cli::model::Status;
use crate::cli::{self, Output};
use crate::config::{self, Isolation, Placement, Target};
use crate::ipc::messages::{AdminRequest, CellNames, HostFacts, Reply, Request, Role};
use crate::launch::cgroup::Cgroups;
use crate::plan::{CELL_NAMESPACE, EGRESS, Plan};
use cell::Cell;
use control_task::ControlSpawn;
use sockets::Sockets;
use volume_task::Owner;
use workload_task::Workload;

/// How often what is seen is told to control and shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// How long everything may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Runs the cell that `file` describes until it is asked to stop.
///
/// # Errors
/// What keeps the cell from starting, with what to do about it. A service that fails is no reason
/// to end: its state says so.
pub fn run(file: &Path, out: &Output) -> miette::Result<()> {
    let cell = config::Cell::load(file)?;
    let root = rustix::process::getuid().is_root();
    let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
    preflight::check(&cell, root)?;
    let (secret, lock) = open_or_make(&dir, &cell, out)?;
    let id = cell_dir::cell_id(&dir)?;
    host::limits().into_diagnostic().wrap_err("cannot set the supervisor's limits")?;
    preflight::take_namespaces(&cell, root)?;
    for line in clean(&dir)? {
        out.remark(&format!("left by an earlier run: {line}"));
    }
    dirs::prepare(&dir, root.then(|| cell::uid_of(id, &Role::Control.to_string())))
        .into_diagnostic()
        .wrap_err("cannot prepare DIR")?;
    let anchor = OwnedFd::from(cell_dir::open_anchor(&dir)?);
    let sockets = Sockets::bind(&cell, dir.base())?;
    let addresses = sockets.addresses().into_diagnostic()?;
    let plan = Plan::of(&cell, addresses)?;
    let mut warnings = host::warnings();
    if cell.isolation == Isolation::None {
        warnings.insert(0, without_isolation(root));
    }
    if !root {
        warnings.push(
            "without root all processes share one user, and volumes have no journal (fuse2fs): \
             what a service has synced outlives kill -9 (promise 2, shown by a kill test), what \
             it has not may be gone, and a volume that was cut off is checked before it is mounted"
                .to_owned(),
        );
    }
    let host = HostFacts { root, warnings };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    let shared = Rc::new(Cell::new(dir.base().to_owned(), id, root, plan));
    let ended = LocalSet::new().block_on(
        &runtime,
        supervise(Rc::clone(&shared), cell, sockets, secret, anchor, host, out),
    );
    // Threads that still wait for a mount would otherwise hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let _ = std::fs::remove_file(dir.base().join(crate::ipc::CONTROL_SOCKET));
    drop(lock);
    ended
}

/// What is listed before all else, because no other promise outweighs it.
fn without_isolation(root: bool) -> String {
    let warning = "isolation = \"none\": nothing stops a service from going around its proxy";
    if root {
        warning.to_owned()
    } else {
        format!("{warning}, or from reading the cell's key file and store: it runs as their owner")
    }
}

/// The secret that opens the cell in DIR; where there is no cell, one is made.
fn open_or_make(
    dir: &CellDir,
    cell: &config::Cell,
    out: &Output,
) -> miette::Result<(Secret, DirLock)> {
    if !dir.has_cell() {
        let options = InitOptions {
            name: Some(&cell.name),
            trust_domain: Some(&cell.trust_domain),
            account: Some(&cell.account),
            region: Some(&cell.region),
            seal: SealOption::KeyFile(None),
            anchor: None,
        };
        let made = cell_dir::init(dir, &options)?;
        out.remark(&format!(
            "made the cell {} in {}; its root key is in the key file {}: whoever can read that \
             file can open the cell",
            cell.name,
            dir.base().display(),
            dir.root_key().display()
        ));
        drop(made.kms);
        return Ok((cell_dir::read_secret(dir, None)?, made.lock));
    }
    let lock = match cli::cell::take(dir)? {
        Taken::Free(lock) => lock,
        Taken::Running { .. } => return Err(already_running(dir)),
    };
    let secret = cli::secret::obtain(dir, out)?;
    Ok((secret, lock))
}

fn already_running(dir: &CellDir) -> miette::Report {
    match cell_dir::lock(dir) {
        Err(error) => error.into(),
        // It ended just now.
        Ok(_) => miette!("a cell was running in {}; try again", dir.base().display()),
    }
}

/// Takes away what a killed supervisor left behind in `dir`, which nobody may be using. Gives a line
/// for each thing.
///
/// # Errors
/// If the kernel's tables cannot be read.
pub fn clean(dir: &CellDir) -> miette::Result<Vec<String>> {
    let mut swept = leftovers::sweep(dir.base()).into_diagnostic()?;
    let prefix = workload_task::cgroup_prefix(cell_dir::cell_id(dir)?);
    swept.extend(leftovers::sweep_cgroups(&prefix).into_diagnostic()?);
    // Nobody listens on it any more.
    let _ = std::fs::remove_file(control_socket(dir));
    Ok(swept)
}

async fn supervise(
    cell: Rc<Cell>,
    config: config::Cell,
    sockets: Sockets,
    secret: Secret,
    anchor: OwnedFd,
    host: HostFacts,
    out: &Output,
) -> miette::Result<()> {
    let unlock = secret.into_memory_file().into_diagnostic()?;
    let names = CellNames {
        name: config.name.clone(),
        account: config.account.clone(),
        region: config.region.clone(),
    };
    let kms = sockets.kms.map(OwnedFd::from).zip(config.kms.clone());
    let spawn = ControlSpawn { listener: sockets.control, unlock, anchor, host, names, kms };
    let started = control_task::start(&cell, &spawn).await;
    let (control, remarks) = started.map_err(|error| refused::start(&config, &cell.dir, error))?;
    remarks.iter().for_each(|remark| out.remark(remark));
    let control = tokio::task::spawn_local(control_task::keep(Rc::clone(&cell), spawn, control));
    let mut tasks = Vec::new();
    for owner in owners(&config) {
        tasks.push(tokio::task::spawn_local(volume_task::run(Rc::clone(&cell), owner)));
    }
    let mut tunnels: BTreeMap<String, OwnedFd> =
        sockets.tunnels.into_iter().map(|(name, listener)| (name, listener.into())).collect();
    for workload in workloads(&cell, &config, &mut tunnels).into_diagnostic()? {
        tasks.push(tokio::task::spawn_local(workload.run()));
    }
    if let Some(tunnel) = tunnels.remove(&format!("{CELL_NAMESPACE}/{EGRESS}"))
        && cell.plan.egress.is_some()
    {
        let sockets = vec![("tunnel".to_owned(), tunnel)];
        let keep = gateway_task::keep(Rc::clone(&cell), Role::Egress, sockets);
        tasks.push(tokio::task::spawn_local(keep));
    }
    if let Some(listener) = sockets.ingress {
        let sockets = vec![("listener".to_owned(), OwnedFd::from(listener))];
        let keep = gateway_task::keep(Rc::clone(&cell), Role::Ingress, sockets);
        tasks.push(tokio::task::spawn_local(keep));
    }
    let showing = tokio::task::spawn_local(show(Rc::clone(&cell), out.clone()));
    asked_to_stop(&cell).await?;
    cell.stopping.send_replace(true);
    let all = async {
        for task in tasks {
            let _ = task.await;
        }
    };
    let in_time = tokio::time::timeout(STOP_MAX, all).await.is_ok();
    // The last state is shown and told before those who show and hear it end.
    tokio::time::sleep(SHOW_EVERY).await;
    showing.abort();
    cell.drained.send_replace(true);
    let _ = control.await;
    if in_time {
        Ok(())
    } else {
        Err(miette!("not everything stopped within {STOP_MAX:?}; what was left is killed now"))
    }
}

/// Waits for Ctrl-C, SIGTERM or `sealane down`. A second Ctrl-C ends without order.
async fn asked_to_stop(cell: &Rc<Cell>) -> miette::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let nohup = host::ignores_hang_up();
    let mut hang_up = signal(SignalKind::hangup()).into_diagnostic()?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        // The terminal was closed.
        _ = hang_up.recv(), if !nohup => {}
        () = cell.stopping() => {}
    }
    tokio::task::spawn_local(async move {
        interrupt.recv().await;
        std::process::exit(130);
    });
    Ok(())
}

fn owners(config: &config::Cell) -> Vec<Owner> {
    let owner = |instance: config::Instance| {
        Some(Owner {
            tenant: instance.id.tenant,
            volume: instance.service.volume.as_ref()?.name.clone(),
            service: instance.id.service,
        })
    };
    config.instances().into_iter().filter_map(owner).collect()
}

fn workloads(
    cell: &Rc<Cell>,
    config: &config::Cell,
    tunnels: &mut BTreeMap<String, OwnedFd>,
) -> std::io::Result<Vec<Workload>> {
    let cgroups = match Cgroups::find() {
        Ok(cgroups) => Some(cgroups),
        Err(why) => {
            cell.warn(&format!("limits of memory and processes are not enforced: {why}"));
            None
        }
    };
    let mut workloads = Vec::new();
    for (index, instance) in config.instances().into_iter().enumerate() {
        let name = instance.id.to_string();
        let Some(tunnel) = tunnels.remove(&name) else { continue };
        let (placement, explicit) = match config.isolation {
            Isolation::Namespaces => (Placement::default(), Vec::new()),
            Isolation::None => explicit_peers(&instance)?,
        };
        workloads.push(Workload {
            cell: Rc::clone(cell),
            index,
            base: config.base.clone(),
            isolation: config.isolation,
            tunnel,
            explicit,
            placement,
            cgroups: cgroups.clone(),
            instance,
        });
    }
    Ok(workloads)
}

/// Without a namespace, an instance gets a listener for each name that it may call. Its own ports
/// are chosen anew at each start.
fn explicit_peers(
    instance: &config::Instance,
) -> std::io::Result<(Placement, Vec<(Target, OwnedFd)>)> {
    let mut placement = Placement::default();
    let mut listeners = Vec::new();
    for target in &instance.service.may_call {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        placement.peers.insert(target.clone(), listener.local_addr()?);
        listeners.push((target.clone(), listener.into()));
    }
    Ok((placement, listeners))
}

/// Tells control what the supervisor sees, and shows what control makes of it.
async fn show(cell: Rc<Cell>, out: Output) {
    let mut live = Live::new(&out);
    loop {
        let report = Request::ReportCell(cell.facts());
        let told = cell.link.call(&report).await;
        if told.is_ok()
            && let Ok(Reply::Json(status)) =
                cell.link.call(&Request::Admin(AdminRequest::Status)).await
            && let Ok(status) = serde_json::from_value::<Status>(status)
        {
            live.show(&status);
        }
        let changed = cell.changed();
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(4 * SHOW_EVERY) => {}
        }
    }
}

/// Takes every volume's mounts out of this process's mount namespace, which must be its own.
///
/// # Errors
/// If the mount table cannot be read.
pub(crate) fn let_go_of_volumes(dir: &Path) -> std::io::Result<()> {
    mounts::unmount_below(&dir.join("run/mnt")).map(drop)
}

/// Where the children of a running cell are reached.
#[must_use]
pub fn control_socket(dir: &CellDir) -> PathBuf {
    dir.base().join(crate::ipc::CONTROL_SOCKET)
}
