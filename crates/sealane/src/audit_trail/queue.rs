//! Between those who call and the thread that writes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::Thread;
use std::time::Duration;

use keys::audit_trail::{Event, TrailHead};
use tokio::sync::oneshot;

use super::{Poison, RecordError};

/// How often a task looks whether the queue has room again.
const FULL_POLL: Duration = Duration::from_millis(1);

pub(super) enum Message {
    Record { event: Box<Event>, phase: CallPhase, waiter: Option<Waiter> },
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallPhase {
    Call,
    Intent,
    Outcome { intent: u64 },
}

pub(super) type Reply = Result<TrailHead, RecordError>;

/// Who waits until an event is durable.
pub(super) enum Waiter {
    Thread(SyncSender<Reply>),
    Task(oneshot::Sender<Reply>),
}

impl Waiter {
    /// Whether anybody was still there.
    pub(super) fn answer(self, reply: Reply) -> bool {
        match self {
            Self::Thread(waiter) => waiter.try_send(reply).is_ok(),
            Self::Task(waiter) => waiter.send(reply).is_ok(),
        }
    }
}

/// What a waiter is to hear; of an intent the event too, in case that nobody listens.
pub(super) struct Answer {
    pub(super) head: TrailHead,
    pub(super) intent: Option<Box<Event>>,
}

/// What both sides see.
#[derive(Default)]
pub(super) struct Shared {
    poison: OnceLock<Poison>,
    /// The writer sleeps and has nothing in the making.
    pub(super) idle: AtomicBool,
    pub(super) closing: AtomicBool,
    pub(super) writer: OnceLock<Thread>,
}

impl Shared {
    pub(super) fn poison(&self, poison: &Poison) {
        // The first one counts.
        let _ = self.poison.set(poison.clone());
    }

    pub(super) fn check(&self) -> Result<(), RecordError> {
        match self.poison.get() {
            Some(poison) => Err(RecordError::Poisoned(poison.clone())),
            None if self.closing.load(Ordering::Relaxed) => Err(RecordError::Closed),
            None => Ok(()),
        }
    }

    fn unpark(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn wake(&self, waits: bool) {
        fence(Ordering::SeqCst);
        if waits || self.idle.load(Ordering::SeqCst) {
            self.unpark();
        }
    }
}

/// The callers' end of the queue.
pub(super) struct Sender {
    pub(super) queue: SyncSender<Message>,
    pub(super) shared: std::sync::Arc<Shared>,
}

impl Sender {
    /// Waits for room in a full queue: nothing is lost, callers become slower.
    pub(super) fn send(&self, message: Message) -> Result<(), RecordError> {
        self.shared.check()?;
        let waits = waits(&message);
        match self.queue.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) => {
                self.shared.unpark();
                self.queue.send(message).map_err(|_| RecordError::Closed)?;
            }
            Err(TrySendError::Disconnected(_)) => return Err(RecordError::Closed),
        }
        self.shared.wake(waits);
        Ok(())
    }

    /// As [`Sender::send`], without blocking the thread.
    pub(super) async fn send_async(&self, mut message: Message) -> Result<(), RecordError> {
        let waits = waits(&message);
        loop {
            self.shared.check()?;
            match self.queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(returned)) => {
                    message = returned;
                    self.shared.unpark();
                    tokio::time::sleep(FULL_POLL).await;
                }
                Err(TrySendError::Disconnected(_)) => return Err(RecordError::Closed),
            }
        }
        self.shared.wake(waits);
        Ok(())
    }

    /// Lets the writer finish what was accepted, and accept nothing more.
    pub(super) fn close(&self) {
        // Not by way of `send`, which refuses when the trail is closing or poisoned.
        if self.queue.send(Message::Close).is_ok() {
            self.shared.unpark();
        }
    }
}

fn waits(message: &Message) -> bool {
    !matches!(message, Message::Record { waiter: None, .. })
}
