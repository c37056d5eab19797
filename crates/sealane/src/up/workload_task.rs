//! Keeps one service of one tenant running: its namespaces, its proxy, and the program itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout_at};

use super::cell::{Backoff, CHILD_READY_MAX, Cell};
use super::child::{Child, Spawn};
use super::volume_task::REVOKE_GRACE;
use crate::cli::model::ServiceState;
use crate::config::{self, Isolation, Listen, Placement, Ready, RunAs};
use crate::ipc::messages::Role;
use crate::launch::cgroup::{Cgroup, CgroupLimits, Cgroups};
use crate::launch::protocol::{self, LaunchSpec, VolumeMount};
use crate::launch::{Launched, Output};
use crate::sys::watch;

/// How long a proxy may take to let its connections end.
const PROXY_GRACE: Duration = Duration::from_secs(2);
/// Pauses between restarts of a proxy whose service runs on.
const PROXY_RESTART_MIN: Duration = Duration::from_millis(50);
const PROXY_RESTART_MAX: Duration = Duration::from_secs(5);
/// Between two attempts to connect to a service that is starting.
const PROBE_EVERY: Duration = Duration::from_millis(25);
/// How long a caller waits for what it calls to be ready, before it starts all the same.
const CALLEES_WAIT_MAX: Duration = Duration::from_secs(30);
/// Of /tmp and the like, in memory.
const SCRATCH_BYTES_MAX: u64 = 64 << 20;

/// What is kept over all restarts of one service.
pub(super) struct Workload {
    pub cell: Rc<Cell>,
    /// Its place among the cell's instances, which are in start order.
    pub index: usize,
    pub instance: config::Instance,
    pub base: PathBuf,
    pub isolation: Isolation,
    /// Where its proxy accepts tunnels.
    pub tunnel: OwnedFd,
    /// Where a service without a namespace reaches what it calls: name, port and listener.
    pub explicit: Vec<(config::Target, OwnedFd)>,
    /// Where it and its peers are; without a namespace, its own ports change with each start.
    pub placement: Placement,
    pub cgroups: Option<Cgroups>,
}

/// Why a service that ran does not any more.
enum Ending {
    Stop,
    VolumeGone,
    Exited(String),
}

/// Both ends of the pipe that carries the service's output to its proxy, which seals it.
struct LogPipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Workload {
    fn name(&self) -> String {
        self.instance.id.to_string()
    }

    fn role(&self) -> Role {
        let id = &self.instance.id;
        Role::Proxy { tenant: id.tenant.clone(), service: id.service.clone() }
    }

    fn state(&self, state: ServiceState, reason: Option<String>) {
        self.cell.update_service(self.index, |fact| {
            fact.state = state;
            fact.reason = reason;
        });
    }

    /// `tenant/volume`, if it has one.
    fn volume(&self) -> Option<String> {
        let volume = self.instance.service.volume.as_ref()?;
        Some(format!("{}/{}", self.instance.id.tenant, volume.name))
    }

    pub(super) async fn run(mut self) {
        let name = self.name();
        let restart = self.instance.service.restart;
        let mut backoff = Backoff::new(restart.backoff_min, restart.backoff_max);
        let mut first = true;
        while let Some(volume) = self.volume_mounted().await {
            if std::mem::take(&mut first) {
                self.callees_ready().await;
            }
            if self.cell.is_stopping() {
                break;
            }
            self.cell.gone[&name].send_replace(false);
            if let Err(error) = self.choose_ports() {
                tracing::error!(service = name, "cannot choose a port: {error}");
            }
            // Said first and looked at then: from here on the volume waits for this service, and
            // what it left behind is a folder of the machine's own disk.
            let ending = if self.has_lost(volume.as_ref()) {
                Ending::VolumeGone
            } else {
                self.state(ServiceState::Starting, None);
                match self.start(volume) {
                    Ok(running) => self.watch(running).await,
                    Err(error) => Ending::Exited(error),
                }
            };
            self.cell.ready[&name].send_replace(false);
            self.cell.update_service(self.index, |fact| fact.pid = None);
            self.cell.gone[&name].send_replace(true);
            match ending {
                Ending::Stop => break,
                Ending::VolumeGone => continue,
                Ending::Exited(why) => {
                    tracing::error!(service = name, "{why}");
                    self.cell.update_service(self.index, |fact| {
                        fact.state = ServiceState::BackingOff;
                        fact.reason = Some(why);
                        fact.restarts += 1;
                    });
                }
            }
            tokio::select! {
                () = self.cell.stopping() => break,
                () = sleep(backoff.delay()) => {}
            }
        }
        self.state(ServiceState::Stopped, None);
    }

    /// Waits for the volume, if there is one, and gives where it is mounted. `None` when stopping.
    async fn volume_mounted(&self) -> Option<Option<PathBuf>> {
        let Some(volume) = self.volume() else {
            return (!self.cell.is_stopping()).then_some(None);
        };
        let mut mounted = self.cell.mounted[&volume].subscribe();
        if mounted.borrow().is_none() {
            self.state(ServiceState::Waiting, Some("for its volume".to_owned()));
        }
        tokio::select! {
            () = self.cell.stopping() => None,
            path = mounted.wait_for(Option::is_some) => path.ok().map(|path| path.clone()),
        }
    }

    /// Whether `volume` is not mounted there any more.
    fn has_lost(&self, volume: Option<&PathBuf>) -> bool {
        self.volume().is_some_and(|name| self.cell.mounted[&name].borrow().as_ref() != volume)
    }

    /// Waits until what it calls is ready. What starts after it is part of a cycle and not waited
    /// for, and a callee that does not come up is no reason never to start.
    async fn callees_ready(&self) {
        let deadline = Instant::now() + CALLEES_WAIT_MAX;
        for target in &self.instance.service.may_call {
            let callee = format!("{}/{}", self.instance.id.tenant, target.host());
            let position = |name: &str| {
                let instances = &self.cell.plan.instances;
                instances.iter().position(|i| format!("{}/{}", i.tenant, i.service) == name)
            };
            if position(&callee).is_none_or(|position| position > self.index) {
                continue;
            }
            self.state(ServiceState::Waiting, Some(format!("for {}", target.host())));
            let mut ready = self.cell.ready[&callee].subscribe();
            tokio::select! {
                () = self.cell.stopping() => return,
                _ = timeout_at(deadline, ready.wait_for(|&ready| ready)) => {}
            };
        }
    }

    /// Without a namespace: free ports for those that it takes from us. At each start, because
    /// another program may have taken one since, and then only other ports would ever work.
    fn choose_ports(&mut self) -> io::Result<()> {
        if self.isolation == Isolation::Namespaces {
            return Ok(());
        }
        // All are held until all are chosen, so that no two are the same.
        let mut held = Vec::new();
        for port in self.instance.service.taken_ports() {
            let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
            self.placement.ports.insert(port, listener.local_addr()?.port());
            held.push(listener);
        }
        Ok(())
    }

    /// Isolates the service, but does not start it yet: see [`Workload::begin`].
    fn start(&self, volume: Option<PathBuf>) -> Result<Running, String> {
        let said = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| said("cannot make a pipe", &error))?;
        let log = LogPipe { read, write };
        let spec = self.spec(volume)?;
        let cgroup = self.cgroup();
        let output = Output {
            stdout: log.write.try_clone().map_err(|error| said("cannot pass on a pipe", &error))?,
            stderr: log.write.try_clone().map_err(|error| said("cannot pass on a pipe", &error))?,
        };
        let exe = PathBuf::from("/proc/self/exe");
        let mut launched = Launched::spawn(&exe, &spec, &output, cgroup.as_ref())
            .map_err(|error| said("cannot isolate it", &error))?;
        drop(output);
        let sockets = launched.take_sockets();
        let mut fds = Vec::new();
        if let Some(sockets) = sockets {
            fds.push(("capture".to_owned(), sockets.capture));
            fds.push(("dns_udp".to_owned(), sockets.dns_udp));
            fds.push(("dns_tcp".to_owned(), sockets.dns_tcp));
        }
        if let Some(dial) = launched.take_dial_channel() {
            fds.push(("dial".to_owned(), dial.into()));
        }
        let watched = launched
            .as_fd()
            .try_clone_to_owned()
            .and_then(watch::readable)
            .map_err(|error| said("cannot watch the launcher", &error))?;
        Ok(Running { launched, watched, cgroup, fds, log, proxy: None })
    }

    /// Starts its proxy and then the service, and waits until it is ready. A proxy that runs stays
    /// in `running` whatever happens, to be buried.
    async fn begin(&self, running: &mut Running) -> Result<(), Ending> {
        let proxy = self.start_proxy(running).await;
        running.proxy = Some(proxy.map_err(|error| Ending::Exited(format!("its proxy: {error}")))?);
        let started = running.launched.start();
        started.map_err(|error| Ending::Exited(format!("cannot start it: {error}")))?;
        let pid = running.launched.service_pid();
        self.cell.update_service(self.index, |fact| fact.pid = pid);
        tokio::select! {
            biased;
            () = self.cell.stopping() => return Err(Ending::Stop),
            () = self.volume_gone() => return Err(Ending::VolumeGone),
            ready = self.probe(running) => ready.map_err(Ending::Exited)?,
        }
        self.state(ServiceState::Ready, None);
        self.cell.ready[&self.name()].send_replace(true);
        Ok(())
    }

    fn spec(&self, volume: Option<PathBuf>) -> Result<LaunchSpec, String> {
        let service = &self.instance.service;
        let isolated = self.isolation == Isolation::Namespaces;
        let mut placement = self.placement.clone();
        let mut volumes = Vec::new();
        if let (Some(source), Some(declared)) = (volume, &service.volume) {
            if isolated {
                volumes.push(VolumeMount { source, at: declared.at.clone() });
            } else {
                placement.volume = Some(source);
            }
        }
        let command = self.instance.command(&placement);
        let mut env = command.env;
        if !isolated && let Some(port) = service.port() {
            let port = placement.ports.get(&port).copied().unwrap_or(port);
            env.entry("PORT".to_owned()).or_insert_with(|| port.to_string());
        }
        let ports =
            service.ports.iter().map(|p| placement.ports.get(p).copied().unwrap_or(*p)).collect();
        Ok(LaunchSpec {
            name: service.name.clone(),
            isolation: if isolated { protocol::Isolation::Full } else { protocol::Isolation::None },
            run: command.run,
            env,
            cwd: command.cwd,
            run_as: self.run_as()?,
            ports,
            listen: match service.listen {
                Listen::Any => protocol::Listen::Any,
                Listen::Loopback => protocol::Listen::Loopback,
            },
            volumes,
            visible: vec![self.base.clone()],
            hidden: vec![self.cell.dir.clone()],
            limits: protocol::Limits {
                open_files_max: service.limits.open_files,
                processes_max: self.cell.root.then_some(service.limits.processes),
                scratch_bytes_max: SCRATCH_BYTES_MAX,
            },
        })
    }

    fn run_as(&self) -> Result<protocol::RunAs, String> {
        let ids = |id| protocol::RunAs::Ids { uid: id, gid: id };
        match (&self.instance.service.run_as, self.cell.root) {
            (RunAs::Auto, false) => Ok(protocol::RunAs::Caller),
            (RunAs::Auto, true) => {
                let uid = self.cell.uid(&format!("service {}", self.name()));
                Ok(uid.map_or(protocol::RunAs::Caller, ids))
            }
            (RunAs::Uid(_) | RunAs::User(_), false) => {
                Err("run_as needs root: leave it out, or run `sealane up` as root".to_owned())
            }
            (RunAs::Uid(uid), true) => Ok(ids(*uid)),
            (RunAs::User(name), true) => {
                let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
                let entry = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
                let found = entry
                    .filter(|fields| fields.len() > 3 && fields[0] == name)
                    .find_map(|fields| Some((fields[2].parse().ok()?, fields[3].parse().ok()?)));
                let (uid, gid) =
                    found.ok_or_else(|| format!("run_as: there is no user `{name}` here"))?;
                Ok(protocol::RunAs::Ids { uid, gid })
            }
        }
    }

    fn cgroup(&self) -> Option<Cgroup> {
        let limits = self.instance.service.limits;
        let name = format!(
            "{}{}.{}",
            cgroup_prefix(self.cell.id),
            self.instance.id.tenant,
            self.instance.id.service
        );
        let limits = CgroupLimits {
            memory_bytes_max: Some(limits.memory_bytes),
            processes_max: Some(limits.processes),
        };
        match self.cgroups.as_ref()?.create(&name, limits) {
            Ok((group, warnings)) => {
                if !warnings.is_empty() {
                    self.cell.warn(
                        "limits of memory and processes are not enforced: this machine has no \
                         memory and pids controllers of cgroup version 2",
                    );
                }
                Some(group)
            }
            Err(error) => {
                self.cell.warn(&format!("no cgroup for {}: {error}", self.name()));
                None
            }
        }
    }

    async fn start_proxy(&self, running: &Running) -> io::Result<Child> {
        let role = self.role();
        let uid = self.cell.role_uid(&role);
        let id = &self.instance.id;
        let logs = self.cell.dir.join("logs").join(format!("{}.{}", id.tenant, id.service));
        // Of an erased tenant nothing is kept.
        if !self.cell.erased.borrow().contains(&id.tenant) {
            super::dirs::private_dir(&logs, uid)?;
        }
        let mut fds = vec![
            ("tunnel".to_owned(), self.tunnel.try_clone()?),
            ("log".to_owned(), running.log.read.try_clone()?),
        ];
        for (name, fd) in &running.fds {
            fds.push((name.clone(), fd.try_clone()?));
        }
        let mut explicit = Vec::new();
        for (number, (target, listener)) in self.explicit.iter().enumerate() {
            let name = format!("explicit {number}");
            fds.push((name.clone(), listener.try_clone()?));
            explicit.push((name, target.host().to_owned(), target.port()));
        }
        let ports: Vec<_> = self.placement.ports.iter().collect();
        let options = serde_json::json!({
            "logs": format!("logs/{}.{}", id.tenant, id.service),
            "explicit": explicit,
            "ports": ports,
        });
        let spawn = Spawn { role: role.clone(), uid, fds, options, dir: &self.cell.dir };
        let mut child = Child::spawn(spawn).await?;
        let started = async {
            self.cell.link.announce(&child).await.map_err(io::Error::other)?;
            child.ready(CHILD_READY_MAX).await
        };
        match started.await {
            Ok(ready) => {
                for warning in &ready.warnings {
                    self.cell.warn(warning);
                }
                Ok(child)
            }
            Err(error) => {
                self.cell.link.bury(child).await;
                Err(error)
            }
        }
    }

    /// Waits until the service accepts connections where its cell file says so.
    async fn probe(&self, running: &mut Running) -> Result<(), String> {
        let Ready::Tcp { port, timeout } = self.instance.service.ready else { return Ok(()) };
        let port = self.placement.ports.get(&port).copied().unwrap_or(port);
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(exit) = running.exit() {
                return Err(exit);
            }
            if running.launched.dial(port).is_ok_and(|socket| is_connected(&socket)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "it did not accept connections on port {port} within {timeout:?} \
                     (`ready` in the cell file; `sealane logs {}` shows what it said)",
                    self.name()
                ));
            }
            sleep(PROBE_EVERY).await;
        }
    }

    /// Keeps a service until it ends or is to end, and takes down what was started for it.
    async fn watch(&self, mut running: Running) -> Ending {
        let ending = match self.begin(&mut running).await {
            Ok(()) => self.keep(&mut running).await,
            Err(ending) => ending,
        };
        self.end(running, &ending).await;
        ending
    }

    /// Watches a running service until it ends or is to end, replacing its proxy where needed.
    async fn keep(&self, running: &mut Running) -> Ending {
        let mut proxy_backoff = Backoff::new(PROXY_RESTART_MIN, PROXY_RESTART_MAX);
        loop {
            tokio::select! {
                () = self.cell.stopping() => return Ending::Stop,
                () = self.volume_gone() => return Ending::VolumeGone,
                () = running.ended() => {
                    if let Some(exit) = running.exit() {
                        return Ending::Exited(exit);
                    }
                }
                () = exited(running.proxy.as_ref()) => {
                    tracing::error!(service = self.name(), "its proxy ended; starting another");
                    if let Some(proxy) = running.proxy.take() {
                        self.cell.link.bury(proxy).await;
                    }
                    sleep(proxy_backoff.delay()).await;
                    match self.start_proxy(running).await {
                        Ok(proxy) => running.proxy = Some(proxy),
                        Err(error) => return Ending::Exited(format!("its proxy: {error}")),
                    }
                }
            }
        }
    }

    async fn end(&self, mut running: Running, ending: &Ending) {
        let grace = match ending {
            Ending::Stop => {
                self.callers_gone().await;
                self.instance.service.stop_timeout
            }
            Ending::VolumeGone => self.instance.service.stop_timeout.min(REVOKE_GRACE),
            Ending::Exited(_) => Duration::ZERO,
        };
        self.state(ServiceState::Stopping, None);
        self.cell.ready[&self.name()].send_replace(false);
        if !grace.is_zero() && running.launched.stop(grace).is_ok() {
            let deadline = Instant::now() + grace + Duration::from_secs(1);
            while running.exit().is_none() {
                if timeout_at(deadline, running.ended()).await.is_err() {
                    break;
                }
            }
        }
        // The processes first, so that what they said last is sealed before their proxy ends.
        let Running { launched, cgroup, log, proxy, .. } = running;
        launched.end();
        drop(log);
        if let Some(proxy) = proxy {
            proxy.stop(PROXY_GRACE).await;
            self.cell.link.bury(proxy).await;
        }
        if let Some(cgroup) = cgroup {
            let _ = cgroup.kill();
            if let Err(error) = cgroup.remove(Duration::from_secs(2)) {
                tracing::warn!("cannot remove {}: {error}", cgroup.path().display());
            }
        }
    }

    async fn volume_gone(&self) {
        match self.volume() {
            Some(volume) => {
                let mut mounted = self.cell.mounted[&volume].subscribe();
                let _ = mounted.wait_for(Option::is_none).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Waits until whoever calls this service has stopped. Start order ends cycles here too.
    async fn callers_gone(&self) {
        let id = &self.instance.id;
        for (index, caller) in self.cell.plan.instances.iter().enumerate() {
            let calls = caller.tenant == id.tenant
                && caller.may_call.iter().any(|callee| callee.name == id.service);
            if index > self.index && calls {
                let name = format!("{}/{}", caller.tenant, caller.service);
                let _ = self.cell.gone[&name].subscribe().wait_for(|&gone| gone).await;
            }
        }
    }
}

/// What the cgroups of this cell are called, so that leftovers of an earlier run are found.
#[must_use]
pub(super) fn cgroup_prefix(cell: crypto::Id) -> String {
    format!("sealane-{}-", &cell.to_string()[..8])
}

struct Running {
    launched: Launched,
    watched: AsyncFd<OwnedFd>,
    cgroup: Option<Cgroup>,
    fds: Vec<(String, OwnedFd)>,
    log: LogPipe,
    proxy: Option<Child>,
}

impl Running {
    /// Waits until the launcher has something to say.
    async fn ended(&self) {
        if let Ok(mut guard) = self.watched.readable().await {
            guard.clear_ready();
        }
    }

    /// How the service ended, if it has.
    fn exit(&mut self) -> Option<String> {
        match self.launched.wait_exit(Duration::ZERO) {
            Ok(None) => None,
            Ok(Some(protocol::Exit::Code(code))) => Some(format!("it ended with code {code}")),
            Ok(Some(protocol::Exit::Signal(signal))) => Some(format!("signal {signal} ended it")),
            Err(error) => Some(error.to_string()),
        }
    }
}

async fn exited(proxy: Option<&Child>) {
    match proxy {
        Some(proxy) => proxy.exited().await,
        None => std::future::pending().await,
    }
}

/// Whether a socket that may still be connecting is connected within a moment.
fn is_connected(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let moment = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    poll(&mut fds, Some(&moment)).is_ok_and(|ready| ready == 1)
        && rustix::net::sockopt::socket_error(socket).is_ok_and(|error| error.is_ok())
}
