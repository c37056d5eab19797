//! The process that serves a volume's file system from user space, where there is no root to mount
//! it. A crash of it is a crash of the volume, so it is watched as our own children are.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep, timeout};

use super::mounts::{self, Layers};
use crate::sys::watch;

/// What of its complaints is kept: the last of them.
const SAID_BYTES_MAX: usize = 2048;
const POLL_EVERY: Duration = Duration::from_millis(20);

/// A running `fuse2fs`. Dropping it kills the process.
pub(super) struct Fuse2fs {
    process: Child,
    pidfd: AsyncFd<OwnedFd>,
    said: Rc<RefCell<Vec<u8>>>,
}

impl Fuse2fs {
    /// Starts it and waits until the file system is mounted. Must be called on the main thread, as
    /// `Child::spawn` must.
    ///
    /// # Errors
    /// What it said, or that it took longer than `patience`.
    pub(super) async fn start(layers: &Layers, patience: Duration) -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        // `setpriv` ties its life to ours, as our own children tie theirs.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "fuse2fs", "-f", "-o", "rw,fakeroot,noatime"]);
        command.arg(layers.disk()).arg(&layers.fs);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(write));
        let process = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run `setpriv` for `fuse2fs`: {error}"))
        })?;
        // It holds the pipe's other end, which must close when its child's copy does.
        drop(command);
        let pidfd = rustix::process::pidfd_open(Pid::from_child(&process), PidfdFlags::NONBLOCK)?;
        let said = Rc::default();
        tokio::task::spawn_local(listen(pipe::Receiver::from_owned_fd(read)?, Rc::clone(&said)));
        let started = Self { process, pidfd: watch::readable(pidfd)?, said };
        let deadline = Instant::now() + patience;
        while !mounts::is_mounted(&layers.fs)? {
            if timeout(POLL_EVERY, started.exited()).await.is_ok() {
                // Its last words are on their way.
                sleep(POLL_EVERY).await;
                let said = String::from_utf8_lossy(&started.said.borrow()).trim().to_owned();
                return Err(io::Error::other(format!("`fuse2fs` cannot mount the volume: {said}")));
            }
            if Instant::now() >= deadline {
                let message = format!("`fuse2fs` did not mount the volume within {patience:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        }
        Ok(started)
    }

    /// Waits for its exit.
    pub(super) async fn exited(&self) {
        // A pidfd becomes readable when its process has ended. An error can only mean the same.
        let _ = self.pidfd.readable().await;
    }

    /// Has it write back what it holds and end, or makes it end after `grace`.
    ///
    /// Unmounting alone would not do: the mount namespaces of services that were started meanwhile
    /// hold copies of the mount, which no one in them can let go of.
    pub(super) async fn stop(self, grace: Duration) {
        let _ = rustix::process::pidfd_send_signal(self.pidfd.get_ref().as_fd(), Signal::TERM);
        if timeout(grace, self.exited()).await.is_err() {
            tracing::warn!("fuse2fs did not end within {grace:?} and is killed");
        }
    }
}

impl Drop for Fuse2fs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Keeps the last of what it says, and keeps the pipe from filling up.
async fn listen(mut pipe: pipe::Receiver, said: Rc<RefCell<Vec<u8>>>) {
    let mut buffer = [0; 512];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let mut said = said.borrow_mut();
        said.extend_from_slice(&buffer[..read]);
        let excess = said.len().saturating_sub(SAID_BYTES_MAX);
        said.drain(..excess);
    }
}
