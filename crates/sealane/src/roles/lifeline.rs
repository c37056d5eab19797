//! When a child has to end: asked to, or left alone.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// Ends with the supervisor's wish (SIGTERM) or its end (the boot socket closes).
///
/// # Errors
/// If signals cannot be listened for.
pub async fn ended(supervisor: UnixStream) -> io::Result<()> {
    supervisor.set_nonblocking(true)?;
    let mut supervisor = tokio::net::UnixStream::from_std(supervisor)?;
    let mut asked = signal(SignalKind::terminate())?;
    let mut byte = [0];
    tokio::select! {
        _ = asked.recv() => {}
        _ = supervisor.read(&mut byte) => {}
    }
    Ok(())
}
