//! The launcher's second stage: pid 1 of the service's namespaces (or, without isolation, a plain
//! parent). It starts the service, reaps, dials, stops, and when the supervisor is gone it ends,
//! and the kernel ends all that is in the namespace with it.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};

use super::channel::{Channel, Received, Wait};
use super::dial::Dialler;
use super::error::{During as _, LaunchError, Step};
use super::outer::{DEATH_SIGNAL, next_stage};
use super::protocol::{Command, Dialled, Event, Exit, Isolation, LaunchSpec, Task};
use super::root;
use crate::sys::process::{ChildSignals, kill_all_others};

pub(super) struct Init {
    spec: LaunchSpec,
    control: Channel,
    dial: Option<Channel>,
    /// An answer that the asker has no room for yet. Until it is sent no further question is read,
    /// so an asker that does not read holds up itself alone.
    unsent: Option<(Dialled, Option<OwnedFd>)>,
    dialler: Dialler,
    output: [OwnedFd; 2],
    children: ChildSignals,
    service: Option<Pid>,
    kill_at: Option<Instant>,
}

/// The stage of the new namespaces.
pub(super) fn run(stage: Channel, spec: LaunchSpec, descriptors: Vec<OwnedFd>) -> ExitCode {
    let Ok([control, dial, stdout, stderr, capture, udp, tcp]) =
        <[OwnedFd; 7]>::try_from(descriptors)
    else {
        return ExitCode::FAILURE;
    };
    // The first stage waits for this process, not for a message.
    drop(stage);
    let control = Channel::from(control);
    if let Err(error) =
        die_with_parent().during(Step::StartLauncher).and_then(|()| root::set_up(&spec))
    {
        return super::outer::report(&control, error);
    }
    match Init::new(spec, control, dial.into(), [stdout, stderr]) {
        Ok(init) => {
            if init
                .control
                .send(&Event::Inside, &[capture.as_fd(), udp.as_fd(), tcp.as_fd()], Wait::Forever)
                .is_err()
            {
                return ExitCode::FAILURE;
            }
            // The proxy's now: a capture socket that outlived it here would swallow connections.
            drop((capture, udp, tcp));
            init.serve()
        }
        Err((control, error)) => super::outer::report(&control, error),
    }
}

impl Init {
    /// Without namespaces.
    pub(super) fn plain(
        spec: LaunchSpec,
        control: Channel,
        dial: Channel,
        output: [OwnedFd; 2],
    ) -> Result<Self, (Channel, LaunchError)> {
        // What the service leaves behind becomes our child instead of the host init's. No kernel
        // ends it with us, so here the lifeline alone speaks of the supervisor's death: killed by a
        // signal, this process could not kill in turn.
        let prepared = rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .and_then(|()| rustix::process::set_parent_process_death_signal(None));
        if let Err(errno) = prepared {
            return Err((control, LaunchError::new(Step::StartLauncher, &errno.into())));
        }
        let init = Self::new(spec, control, dial, output)?;
        // A supervisor that is gone is noticed by `serve`.
        let _ = init.control.send(&Event::Inside, &[], Wait::Forever);
        Ok(init)
    }

    fn new(
        spec: LaunchSpec,
        control: Channel,
        dial: Channel,
        output: [OwnedFd; 2],
    ) -> Result<Self, (Channel, LaunchError)> {
        let children = match ChildSignals::block() {
            Ok(children) => children,
            Err(error) => return Err((control, LaunchError::new(Step::StartLauncher, &error))),
        };
        let dialler = Dialler::new(&spec);
        let dial = Some(dial);
        Ok(Self {
            spec,
            control,
            dial,
            unsent: None,
            dialler,
            output,
            children,
            service: None,
            kill_at: None,
        })
    }

    /// Until the supervisor is gone.
    pub(super) fn serve(mut self) -> ExitCode {
        while self.turn().is_ok() {}
        self.kill_everything();
        ExitCode::SUCCESS
    }

    /// Waits for one thing and does it. An error means that the supervisor is gone.
    fn turn(&mut self) -> io::Result<()> {
        let dial_flags = if self.unsent.is_some() { PollFlags::OUT } else { PollFlags::IN };
        let mut fds = vec![
            PollFd::new(&self.control, PollFlags::IN),
            PollFd::new(&self.children, PollFlags::IN),
        ];
        if let Some(dial) = &self.dial {
            fds.push(PollFd::new(dial, dial_flags));
        }
        let left = self.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec::try_from(left).expect("a grace is short"));
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[1] {
            self.children.drain();
            self.reap()?;
        }
        if ready[0] {
            self.obey()?;
        }
        if ready.get(2) == Some(&true) {
            self.answer_dials();
        }
        if self.kill_at.is_some_and(|at| at <= Instant::now()) {
            self.kill_at = None;
            self.kill_everything();
        }
        Ok(())
    }

    fn obey(&mut self) -> io::Result<()> {
        let Some(Received { message, .. }) = self.control.receive::<Command>(Wait::Forever)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let (event, socket) = match message {
            Command::Start => match self.start() {
                Ok(pid) => {
                    self.service = Some(pid);
                    (Event::Started, None)
                }
                Err(error) => (Event::Failed(error), None),
            },
            Command::Stop { grace_ms } => {
                if let Some(service) = self.service {
                    // Its whole group, as a terminal would. If it is gone, SIGCHLD says so.
                    let _ = kill_process_group(service, Signal::TERM);
                    self.kill_at = Some(Instant::now() + Duration::from_millis(grace_ms));
                }
                return Ok(());
            }
            Command::Dial(dial) => {
                let (answer, socket) = self.dialler.dial(dial);
                (Event::Dialled(answer), socket)
            }
        };
        let fds: Vec<_> = socket.iter().map(|socket| socket.as_fd()).collect();
        self.control.send(&event, &fds, Wait::Forever)
    }

    /// Starts the third stage, which confines itself and becomes the program.
    fn start(&mut self) -> Result<Pid, LaunchError> {
        if self.service.is_some() {
            return Err(LaunchError::said(Step::StartProgram, "it runs already"));
        }
        let (ours, theirs) = Channel::pair().during(Step::StartProgram)?;
        let child = next_stage(theirs).during(Step::StartProgram)?;
        let pid =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid is positive");
        let [stdout, stderr] = &self.output;
        let fds = [self.control.as_fd(), stdout.as_fd(), stderr.as_fd()];
        ours.send(&Task::Service(self.spec.clone()), &fds, Wait::Forever)
            .during(Step::StartProgram)?;
        // Its end closes when the program is executed; until then it has only failures to report.
        match ours.receive::<LaunchError>(Wait::Forever).during(Step::StartProgram)? {
            Some(Received { message, .. }) => Err(message),
            None => Ok(pid),
        }
    }

    fn reap(&mut self) -> io::Result<()> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if Some(pid) != self.service {
                continue;
            }
            self.service = None;
            self.kill_at = None;
            // What it has started and left must not live on beside the next start.
            self.kill_everything();
            let exit = status
                .exit_status()
                .map(Exit::Code)
                .or_else(|| status.terminating_signal().map(Exit::Signal))
                .unwrap_or(Exit::Code(-1));
            self.control.send(&Event::Exited(exit), &[], Wait::Forever)?;
        }
        Ok(())
    }

    fn kill_everything(&self) {
        match self.spec.isolation {
            // None left is as good.
            Isolation::Full => drop(kill_all_others()),
            Isolation::None => kill_descendants(),
        }
    }

    fn answer_dials(&mut self) {
        let Some(dial) = &self.dial else { return };
        if self.unsent.is_none() {
            match dial.receive(Wait::Never) {
                Ok(Some(Received { message, .. })) => {
                    self.unsent = Some(self.dialler.dial(message))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What is not a question gets no answer, but does not end the service either.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return,
                Ok(None) | Err(_) => {
                    self.dial = None;
                    return;
                }
            }
        }
        let Some((answer, socket)) = &self.unsent else { return };
        let fds: Vec<_> = socket.iter().map(|socket| socket.as_fd()).collect();
        match dial.send(answer, &fds, Wait::Never) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(()) => self.unsent = None,
            Err(_) => {
                self.unsent = None;
                self.dial = None;
            }
        }
    }
}

/// Kills generation after generation: a child's children become ours when it dies.
fn kill_descendants() {
    const GENERATIONS_MAX: usize = 64;
    for _ in 0..GENERATIONS_MAX {
        let own = std::process::id();
        let children =
            fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
        let children: Vec<Pid> = children
            .split_ascii_whitespace()
            .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
            .collect();
        if children.is_empty() {
            return;
        }
        for child in children {
            let _ = kill_process_group(child, Signal::KILL);
            let _ = kill_process(child, Signal::KILL);
            let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
        }
    }
}

pub(super) fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(DEATH_SIGNAL))?)
}
