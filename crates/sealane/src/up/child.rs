//! A child process of the supervisor, from spawning to its exit status.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use crate::ipc::messages::Role;
use crate::ipc::{read_frame, write_frame};
use crate::roles::boot::{BOOT_FD, Boot, NeedsOperator, Ready};
use crate::sys::watch;

/// A running child. Dropping it kills the process: nothing of the cell runs unwatched.
pub(super) struct Child {
    pub role: Role,
    process: std::process::Child,
    pidfd: AsyncFd<OwnedFd>,
    /// Also the child's lifeline: it ends when this closes.
    boot: UnixStream,
}

/// What a child is started with.
pub(super) struct Spawn<'a> {
    pub role: Role,
    pub uid: Option<u32>,
    pub fds: Vec<(String, OwnedFd)>,
    pub options: serde_json::Value,
    /// DIR: the child's working directory.
    pub dir: &'a Path,
}

impl Child {
    /// Must be called on the main thread: the kernel ties "my parent died" to the thread that
    /// forked, and only the main thread lives as long as the supervisor.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) async fn spawn(spawn: Spawn<'_>) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut numbers = BTreeMap::new();
        let mut mappings = vec![FdMapping { parent_fd: theirs.into(), child_fd: BOOT_FD }];
        for ((name, fd), number) in spawn.fds.into_iter().zip(BOOT_FD + 1..) {
            numbers.insert(name, number);
            mappings.push(FdMapping { parent_fd: fd, child_fd: number });
        }
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("sealane")
            .args(["__child", &spawn.role.to_string()])
            .current_dir(spawn.dir)
            .env_clear()
            .envs(
                std::env::vars_os()
                    .filter(|(name, _)| PASSED_ON.iter().any(|passed| name == passed)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .fd_mappings(mappings)
            .map_err(io::Error::other)?;
        let process = command.spawn()?;
        let pid = Pid::from_child(&process);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        let mut child = Self {
            role: spawn.role.clone(),
            process,
            pidfd: watch::readable(pidfd)?,
            boot: UnixStream::from_std(ours)?,
        };
        let boot = Boot { role: spawn.role, uid: spawn.uid, fds: numbers, options: spawn.options };
        write_frame(&mut child.boot, &boot).await.map_err(io::Error::other)?;
        Ok(child)
    }

    #[must_use]
    pub(super) fn pid(&self) -> i32 {
        Pid::from_child(&self.process).as_raw_nonzero().get()
    }

    /// Waits until the child says that it serves.
    ///
    /// # Errors
    /// What the child says went wrong, or that it ended or took longer than `patience`.
    pub(super) async fn ready(&mut self, patience: Duration) -> io::Result<Ready> {
        let answer = tokio::time::timeout(patience, read_frame::<Ready>(&mut self.boot)).await;
        let ready = match answer {
            Ok(Ok(ready)) => ready,
            Ok(Err(_)) => {
                return Err(io::Error::other(format!("{} ended before it was ready", self.role)));
            }
            Err(_) => {
                let message = format!("{} was not ready after {patience:?}", self.role);
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        };
        match ready.failure {
            Some(message) => Err(io::Error::other(NeedsOperator { message, help: ready.help })),
            None => Ok(ready),
        }
    }

    /// Waits for the exit, without reaping: until [`Child::reap`], the pid stays taken.
    pub(super) async fn exited(&self) {
        // A pidfd becomes readable when its process has ended. An error can only mean the same.
        let _ = self.pidfd.readable().await;
    }

    /// # Errors
    /// What `wait` says.
    pub(super) fn reap(mut self) -> io::Result<ExitStatus> {
        self.process.wait()
    }

    /// Sends `signal`; a process that is gone already is no error.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = rustix::process::pidfd_send_signal(self.pidfd.get_ref().as_fd(), signal);
    }

    /// Asks the child to end, and makes it end after `grace`.
    pub(super) async fn stop(&self, grace: Duration) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(grace, self.exited()).await.is_err() {
            self.signal(Signal::KILL);
            self.exited().await;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The environment that children see. Everything else could name secrets of the operator's shell.
const PASSED_ON: [&str; 5] = ["PATH", "RUST_LOG", "RUST_BACKTRACE", "LANG", "NO_COLOR"];
