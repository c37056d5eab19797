use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::address::ShortAddress;
use super::frame::{FrameError, read_frame, write_frame};
use super::messages::{Event, Refusal, Reply, Request};

/// A connection to control: one request at a time, each answered by one reply.
pub struct Client {
    stream: UnixStream,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CallError {
    #[error("cannot reach the cell's control process: {0}")]
    #[diagnostic(help("is the cell running? `sealane up CELL.toml` starts it"))]
    Unreachable(#[source] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Refused(Refusal),
    #[error("control answered something else than was asked: {0}")]
    Unexpected(String),
}

impl Client {
    /// Between two attempts to reach a control process that is restarting.
    const RETRY_EVERY: Duration = Duration::from_millis(50);

    /// # Errors
    /// [`CallError::Unreachable`] if nothing listens on `socket`.
    pub async fn connect(socket: &Path) -> Result<Self, CallError> {
        let address = ShortAddress::of(socket).map_err(CallError::Unreachable)?;
        let stream = UnixStream::connect(&address.path).await.map_err(CallError::Unreachable)?;
        Ok(Self { stream })
    }

    /// Connects, and waits until control both listens and knows this process: a child may be
    /// faster than the supervisor's word about it, and control may be restarting.
    ///
    /// # Errors
    /// The last failure, once `patience` is over.
    pub async fn connect_as_child(socket: &Path, patience: Duration) -> Result<Self, CallError> {
        let deadline = Instant::now() + patience;
        loop {
            let failure = match Self::connect(socket).await {
                Ok(mut client) => match client.call(&Request::Hello).await {
                    Ok(_) => return Ok(client),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            if Instant::now() >= deadline {
                return Err(failure);
            }
            sleep(Self::RETRY_EVERY).await;
        }
    }

    /// # Errors
    /// [`CallError::Refused`] with control's reason, or what broke on the way.
    pub async fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        write_frame(&mut self.stream, request).await?;
        match read_frame(&mut self.stream).await? {
            Reply::Refused(refusal) => Err(CallError::Refused(refusal)),
            reply => Ok(reply),
        }
    }

    /// Turns the connection into a stream of events.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn watch(mut self) -> Result<Events, CallError> {
        self.call(&Request::Watch).await?;
        Ok(Events { stream: self.stream })
    }
}

/// What control has to tell without being asked.
pub struct Events {
    stream: UnixStream,
}

impl Events {
    /// # Errors
    /// [`FrameError::Closed`] when control ends.
    pub async fn next(&mut self) -> Result<Event, FrameError> {
        read_frame(&mut self.stream).await
    }
}
