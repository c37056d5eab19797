//! Connections into the service's namespace, which this process cannot enter: the launcher's init
//! opens them inside and hands them out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::launch::channel::{Channel, Wait};
use crate::launch::protocol::{Dial, DialOutcome, Dialled};
use crate::sys::watch;

/// How long the launcher may take to answer, and the service to accept.
const DIAL_MAX: Duration = Duration::from_secs(5);

type Answer = (DialOutcome, Option<OwnedFd>);

/// The dial channel, shared by all connections of one proxy.
#[derive(Clone)]
pub(super) struct Dialler {
    inner: Rc<Inner>,
}

struct Inner {
    channel: Channel,
    /// Tells when the channel has something to receive, and room.
    watched: AsyncFd<OwnedFd>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<Answer>>>,
    next: RefCell<u64>,
}

impl Dialler {
    /// Begins at a random number: answers to a proxy that died may still be in the channel, and
    /// must not be taken for answers to this one.
    ///
    /// # Errors
    /// If the channel cannot be watched.
    pub(super) fn new(channel: Channel, entropy: &mut dyn crypto::Entropy) -> io::Result<Self> {
        let mut first = [0; 8];
        entropy.fill(&mut first);
        let inner = Rc::new(Inner {
            watched: watch::both_ways(channel.as_fd().try_clone_to_owned()?)?,
            channel,
            waiting: RefCell::default(),
            next: RefCell::new(u64::from_le_bytes(first)),
        });
        tokio::task::spawn_local(receive(Rc::clone(&inner)));
        Ok(Self { inner })
    }

    /// Connects to a declared port of the service.
    ///
    /// # Errors
    /// Why not, as a user should read it.
    pub(super) async fn dial(&self, port: u16) -> Result<TcpStream, String> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut next = self.inner.next.borrow_mut();
            *next = next.wrapping_add(1);
            *next
        };
        self.inner.waiting.borrow_mut().insert(id, sender);
        let connected = async {
            let asked = self.ask(&Dial { id, port }).await;
            asked.map_err(|error| format!("the service's launcher does not answer: {error}"))?;
            let (outcome, socket) = answer.await.map_err(|_| "the service has ended".to_owned())?;
            match (outcome, socket) {
                (DialOutcome::Connecting, Some(socket)) => connected(socket)
                    .await
                    .map_err(|error| format!("the service does not accept: {error}")),
                (DialOutcome::Connecting, None) => Err("no socket came".to_owned()),
                (DialOutcome::PortUndeclared, _) => {
                    Err(format!("the service does not declare port {port}"))
                }
                (DialOutcome::Failed { errno }, _) => {
                    let error = io::Error::from_raw_os_error(errno);
                    Err(format!("the service does not accept: {error}"))
                }
            }
        };
        let dialled = tokio::time::timeout(DIAL_MAX, connected).await;
        self.inner.waiting.borrow_mut().remove(&id);
        dialled.unwrap_or_else(|_| Err(format!("the service did not accept within {DIAL_MAX:?}")))
    }

    /// Waits while the channel is full: many connections at once are no fault of the launcher's.
    async fn ask(&self, dial: &Dial) -> io::Result<()> {
        loop {
            let mut ready = self.inner.watched.writable().await?;
            match self.inner.channel.send(dial, &[], Wait::Never) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                sent => return sent,
            }
        }
    }
}

/// Waits until a connecting socket is connected.
async fn connected(socket: OwnedFd) -> io::Result<TcpStream> {
    let stream = TcpStream::from_std(std::net::TcpStream::from(socket))?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => {
            stream.set_nodelay(true)?;
            Ok(stream)
        }
    }
}

/// Hands answers to whoever waits for them, until the launcher is gone.
async fn receive(inner: Rc<Inner>) {
    loop {
        let Ok(mut ready) = inner.watched.readable().await else { return };
        match inner.channel.receive::<Dialled>(Wait::Never) {
            Ok(Some(received)) => {
                let socket = received.descriptors.into_iter().next();
                let waiting = inner.waiting.borrow_mut().remove(&received.message.id);
                if let Some(waiting) = waiting {
                    let _ = waiting.send((received.message.outcome, socket));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Ok(None) | Err(_) => {
                inner.waiting.borrow_mut().clear();
                return;
            }
        }
    }
}
