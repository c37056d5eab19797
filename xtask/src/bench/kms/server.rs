//! Servers that are started, waited for, and stopped whatever happens.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::interrupts;
use crate::Error;

/// A store of a million keys on a slow disk may take a while.
const READY_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process of our own; stopped on drop.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    /// Closed with us even if we are killed; [`super::constant`] ends then.
    _stdin: Option<ChildStdin>,
    pub(super) address: SocketAddr,
    /// From its start until it served.
    pub(super) ready_in: Duration,
}

impl Server {
    /// Starts what prints `listening on http://ADDRESS`. What else it has to say goes to `log`.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self, Error> {
        let mut starting = Starting::new(command, log)?;
        let lines = starting.lines()?;
        loop {
            if let Ok((line, at)) = lines.recv_timeout(LOOK_EVERY)
                && let Some(url) = line.strip_prefix("listening on http://")
            {
                let address = url.trim_end_matches('/').parse()?;
                let ready_in = at - starting.since;
                // Its later lines are read and dropped, or it would stop at a full pipe.
                std::thread::spawn(move || lines.into_iter().for_each(drop));
                return Ok(starting.ready(address, ready_in, log));
            }
            starting.check(log)?;
        }
    }

    /// Starts what says nothing, and serves at `address` some day.
    pub(super) fn start_silent(
        command: &mut Command,
        address: SocketAddr,
        log: &Path,
    ) -> Result<Self, Error> {
        let mut starting = Starting::new(command, log)?;
        let lines = starting.lines()?;
        std::thread::spawn(move || lines.into_iter().for_each(drop));
        while TcpStream::connect(address).is_err() {
            starting.check(log)?;
            std::thread::sleep(LOOK_EVERY);
        }
        let ready_in = starting.since.elapsed();
        Ok(starting.ready(address, ready_in, log))
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// How it ended and what it said, if it should run and does not.
    pub(super) fn complaint(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        Some(format!("the server ended with {status}: {}", said.trim_end()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// A child that does not serve yet; stopped on drop as well.
struct Starting {
    child: Option<Child>,
    since: Instant,
}

impl Starting {
    fn new(command: &mut Command, log: &Path) -> Result<Self, Error> {
        let since = Instant::now();
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            // A Ctrl-C at the terminal is ours to hear: servers are stopped in their order.
            .process_group(0)
            .spawn();
        let child = spawned.map_err(|error| {
            format!("cannot start {}: {error}", command.get_program().display())
        })?;
        Ok(Self { child: Some(child), since })
    }

    /// Lines of standard output, each with the time at which it came.
    fn lines(&mut self) -> Result<Receiver<(String, Instant)>, Error> {
        let output = self.child.as_mut().and_then(|child| child.stdout.take());
        let output = BufReader::new(output.ok_or("standard output is read already")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send((line, Instant::now())).is_err() {
                    return;
                }
            }
        });
        Ok(lines)
    }

    fn check(&mut self, log: &Path) -> Result<(), Error> {
        interrupts::check()?;
        let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
        let complaint = match ended {
            Some(status) => format!("the server ended with {status}"),
            None if self.since.elapsed() > READY_MAX => "the server was not ready in time".into(),
            None => return Ok(()),
        };
        let said = std::fs::read_to_string(log).unwrap_or_default();
        Err(format!("{complaint}: {}", said.trim_end()).into())
    }

    fn ready(mut self, address: SocketAddr, ready_in: Duration, log: &Path) -> Server {
        let mut child = self.child.take().expect("a child is taken once, here");
        let stdin = child.stdin.take();
        Server { child, log: log.to_owned(), _stdin: stdin, address, ready_in }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            stop(child);
        }
    }
}

fn stop(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        let asked = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(process) = asked {
            let _ = kill_process(process, Signal::TERM);
        }
    }
    let deadline = Instant::now() + STOP_MAX;
    while let Ok(None) = child.try_wait() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

pub(super) fn free_port() -> Result<SocketAddr, Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
