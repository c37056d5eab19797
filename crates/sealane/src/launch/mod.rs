//! How a service is launched and shut in.
//!
//! The supervisor starts `sealane __launch`, which executes itself twice more: the first stage
//! ([`outer`]) leaves the host's namespaces, the second ([`init`]) is pid 1 of the new ones, the
//! third ([`service`]) gives up every privilege and becomes the program. [`network`], [`root`] and
//! [`seccomp`] are the three walls; [`protocol`] is what is said through them. The supervisor's
//! side is [`Launched`], below.
//!
//! It decides nothing about who may call whom: it makes the proxy the only way in and out.

pub mod cgroup;
pub mod channel;
mod dial;
mod error;
mod init;
mod mountinfo;
pub mod network;
mod outer;
pub mod protocol;
mod root;
mod seccomp;
mod service;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::time::{Duration, Instant};

use cgroup::Cgroup;
use channel::{Channel, Received, Wait};
use error::During as _;
pub use error::{LaunchError, Step};
pub use network::InsideSockets;
use protocol::{Command, Dial, DialOutcome, Event, Exit, Isolation, LaunchSpec, Task};

/// The hidden subcommand that a binary which launches must answer with [`main`].
pub const ARGUMENT: &str = "__launch";

/// How long the launcher may take for one thing; far more than it ever needs.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How long the kernel may take to end a namespace before the launcher is killed outright.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// `sealane __launch`: takes its channel from standard input. Must run before any thread starts.
#[must_use]
pub fn main() -> ExitCode {
    let taken = crate::sys::process::take_stdin();
    let Ok(fd) = taken else { return ExitCode::FAILURE };
    main_on(fd)
}

/// One stage of the launcher, told by the first message on `fd` which.
#[must_use]
pub fn main_on(fd: OwnedFd) -> ExitCode {
    let prepared = prepare();
    let channel = Channel::from(fd);
    let Ok(Some(Received { message, descriptors, .. })) = channel.receive::<Task>(Wait::Forever)
    else {
        return ExitCode::FAILURE;
    };
    match (message, prepared) {
        (Task::Outer(_), Err(error)) => {
            outer::report(&channel, LaunchError::new(Step::StartLauncher, &error))
        }
        (_, Err(_)) => ExitCode::FAILURE,
        (Task::Outer(spec), Ok(())) => outer::run(channel, spec, descriptors),
        (Task::Init(spec), Ok(())) => init::run(channel, spec, descriptors),
        (Task::Service(spec), Ok(())) => service::run(&channel, &spec, descriptors),
    }
}

fn prepare() -> io::Result<()> {
    init::die_with_parent()?;
    crate::sys::process::close_others_on_exec()?;
    // A session for each stage: Ctrl-C at the terminal is the supervisor's to hear, and the service
    // gets no terminal and a process group that can be signalled.
    rustix::process::setsid()?;
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    Ok(())
}

/// Where the service's output goes: write ends of pipes.
#[derive(Debug)]
pub struct Output {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// A service in its namespaces. Dropping it ends everything in them.
#[derive(Debug)]
pub struct Launched {
    launcher: Child,
    control: Channel,
    dial: Option<Channel>,
    sockets: Option<InsideSockets>,
    init: i32,
    service: Option<i32>,
    /// Came while something else was waited for.
    exits: VecDeque<Exit>,
    dials: u64,
}

impl Launched {
    /// Builds the namespaces; the program is not started yet, so that its proxy can be. `exe` is
    /// this binary, or one that answers [`ARGUMENT`] alike.
    ///
    /// Must be called from a thread that lives as long as the service: the kernel kills the
    /// launcher when the thread that started it ends.
    ///
    /// # Errors
    /// What failed, and what to do about it.
    pub fn spawn(
        exe: &Path,
        spec: &LaunchSpec,
        output: &Output,
        cgroup: Option<&Cgroup>,
    ) -> Result<Self, LaunchError> {
        spec.check()?;
        let step = Step::StartLauncher;
        let (control, theirs) = Channel::pair().during(step)?;
        control.ask_for_senders().during(step)?;
        let (dial, dial_inside) = Channel::pair().during(step)?;
        let launcher = Process::new(exe)
            .arg(ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(|error| LaunchError::new(step, &error).at(exe))?;
        let dials = 0;
        let mut launched = Self {
            launcher,
            control,
            dial: Some(dial),
            sockets: None,
            init: 0,
            service: None,
            exits: VecDeque::new(),
            dials,
        };
        if let Some(cgroup) = cgroup {
            // While it still waits for its task: all that it starts is born in the group.
            cgroup
                .attach(launched.launcher.id())
                .map_err(|error| LaunchError::new(step, &error).at(cgroup.path()))?;
        }
        let descriptors = [dial_inside.as_fd(), output.stdout.as_fd(), output.stderr.as_fd()];
        launched
            .control
            .send(&Task::Outer(spec.clone()), &descriptors, Wait::Forever)
            .during(step)?;
        let Received { message: (), descriptors, sender } =
            launched.answer(|event| match event {
                Event::Inside => Some(()),
                _ => None,
            })?;
        launched.init = sender.unwrap_or_default();
        launched.sockets = match (spec.isolation, <[OwnedFd; 3]>::try_from(descriptors)) {
            (Isolation::None, _) => None,
            (Isolation::Full, Ok([capture, dns_udp, dns_tcp])) => {
                Some(InsideSockets { capture, dns_udp, dns_tcp })
            }
            (Isolation::Full, Err(_)) => {
                return Err(LaunchError::said(Step::OpenSockets, "a socket is missing"));
            }
        };
        Ok(launched)
    }

    /// Starts the program; again, after it has exited: the namespaces, their sockets and thus the
    /// proxy live on.
    ///
    /// # Errors
    /// What failed, and what to do about it.
    pub fn start(&mut self) -> Result<(), LaunchError> {
        self.ask(&Command::Start)?;
        self.answer(|event| matches!(event, Event::Started).then_some(())).map(drop)
    }

    /// SIGTERM to the service's process group, SIGKILL to all of it after `grace`. Its end comes
    /// as an [`Exit`].
    ///
    /// # Errors
    /// The launcher is gone.
    pub fn stop(&mut self, grace: Duration) -> Result<(), LaunchError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX >> 1);
        self.ask(&Command::Stop { grace_ms })
    }

    /// Opens a connection to a declared port, as the proxy does through the [dial
    /// channel](Self::take_dial_channel); for readiness probes. The socket may still be connecting.
    ///
    /// # Errors
    /// `InvalidInput` for an undeclared port; else the kernel's.
    pub fn dial(&mut self, port: u16) -> io::Result<OwnedFd> {
        self.dials += 1;
        let id = self.dials;
        let answered = self
            .ask(&Command::Dial(Dial { id, port }))
            .and_then(|()| {
                self.answer(|event| match event {
                    Event::Dialled(dialled) if dialled.id == id => Some(dialled.outcome),
                    _ => None,
                })
            })
            .map_err(io::Error::other)?;
        match answered.message {
            DialOutcome::Connecting => answered
                .descriptors
                .into_iter()
                .next()
                .ok_or_else(|| io::ErrorKind::InvalidData.into()),
            DialOutcome::PortUndeclared => {
                let why = format!("the service does not declare port {port}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, why))
            }
            DialOutcome::Failed { errno } => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// How the service ended, if it has. Wait for it with [`AsFd`]: readable means that this, with
    /// a `timeout` of zero, has something to say.
    ///
    /// # Errors
    /// The launcher is gone, and with it the service.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<Option<Exit>, LaunchError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(exit) = self.exits.pop_front() {
                return Ok(Some(exit));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.control.wait_readable(left).during(Step::StartLauncher)? {
                return Ok(None);
            }
            self.next()?;
        }
    }

    /// The proxy's sockets inside; none without isolation. The second call finds them taken.
    pub fn take_sockets(&mut self) -> Option<InsideSockets> {
        self.sockets.take()
    }

    /// Where the proxy sends each [`Dial`] and reads each [`protocol::Dialled`]. Clone it before
    /// handing it on, and a proxy that is started anew can have it too.
    pub fn take_dial_channel(&mut self) -> Option<Channel> {
        self.dial.take()
    }

    /// The init of the namespaces, as the host numbers it.
    #[must_use]
    pub fn init_pid(&self) -> i32 {
        self.init
    }

    /// The service's own process, as the host numbers it; none before the start and after the end.
    #[must_use]
    pub fn service_pid(&self) -> Option<i32> {
        self.service
    }

    /// Ends all that runs inside and waits until it is gone.
    pub fn end(self) {
        drop(self);
    }

    fn ask(&self, command: &Command) -> Result<(), LaunchError> {
        self.control.send(command, &[], Wait::Forever).during(Step::StartLauncher)
    }

    /// Waits for the answer that `wanted` knows, and keeps what else comes.
    fn answer<T>(
        &mut self,
        wanted: impl Fn(&Event) -> Option<T>,
    ) -> Result<Received<T>, LaunchError> {
        loop {
            if !self.control.wait_readable(ANSWER_TIME_MAX).during(Step::StartLauncher)? {
                return Err(LaunchError::said(Step::StartLauncher, "it does not answer"));
            }
            let Received { message, descriptors, sender } = self.next()?;
            if let Event::Failed(error) = message {
                return Err(error);
            }
            if let Some(message) = wanted(&message) {
                return Ok(Received { message, descriptors, sender });
            }
        }
    }

    fn next(&mut self) -> Result<Received<Event>, LaunchError> {
        let received = self.control.receive::<Event>(Wait::Forever).during(Step::StartLauncher)?;
        let Some(received) = received else {
            return Err(LaunchError::said(Step::StartLauncher, "it has ended"));
        };
        match received.message {
            Event::Launching => self.service = received.sender,
            Event::Failed(_) => self.service = None,
            Event::Exited(exit) => {
                self.service = None;
                self.exits.push_back(exit);
            }
            Event::Inside | Event::Started | Event::Dialled(_) => {}
        }
        Ok(received)
    }
}

impl AsFd for Launched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        const PAUSE: Duration = Duration::from_millis(2);
        // The init ends at this, and the kernel waits for all in its namespace before the first
        // stage, which waits for the init, can end.
        let _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Both);
        let deadline = Instant::now() + END_TIME_MAX;
        while let Ok(None) = self.launcher.try_wait() {
            if Instant::now() >= deadline {
                let _ = self.launcher.kill();
                let _ = self.launcher.wait();
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
