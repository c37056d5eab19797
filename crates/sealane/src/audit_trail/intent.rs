//! A change between its announcement and its outcome.

use std::sync::mpsc::sync_channel;

use crypto::{Id, SystemEntropy};
use keys::audit_trail::{Event, Failure, TrailHead};
use tokio::sync::oneshot;

use super::queue::{CallPhase, Message, Reply, Waiter};
use super::{AuditTrail, RecordError, record, writer};

/// A change that the trail knows of and that is about to be committed: the commit carries
/// [`Intent::head`], then [`Intent::close`] says what became of it.
///
/// Intents are to be taken in the order of the store's transactions: begun while the store is
/// locked for writing, and, where the transaction is given up, dropped or closed before it is
/// unlocked. Dropped without an outcome, it is recorded as abandoned.
#[derive(Debug)]
#[must_use = "a change that was announced has an outcome to be recorded"]
pub struct Intent {
    trail: AuditTrail,
    head: TrailHead,
    /// None once it was closed.
    event: Option<Box<Event>>,
}

impl Intent {
    fn new(trail: &AuditTrail, head: TrailHead, event: Event) -> Self {
        Self { trail: trail.clone(), head, event: Some(Box::new(event)) }
    }

    /// The head that the store's commit is to carry.
    #[must_use]
    pub fn head(&self) -> TrailHead {
        self.head
    }

    /// The place of its line.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.head.sequence - 1
    }

    /// The message that closes it. Once that is in the queue, [`Intent::disarm`].
    fn closing(&self, failure: Option<Failure>, waiter: Waiter) -> Option<Message> {
        let event = Event::clone(self.event.as_deref()?);
        let id = Id::random(&mut SystemEntropy::new());
        let time = (self.trail.0.clock)();
        let phase = CallPhase::Outcome { intent: self.sequence() };
        Some(record(Event { id, time, failure, ..event }, phase, Some(waiter)))
    }

    fn disarm(&mut self) {
        self.event = None;
    }

    /// Says, durably, what became of the change: `failure` if it was not made.
    ///
    /// # Errors
    /// [`RecordError`] if it is not on record; the store alone then knows of the change until the
    /// trail is opened again.
    pub fn close(mut self, failure: Option<Failure>) -> Reply {
        let (waiter, answer) = sync_channel(1);
        let message = self.closing(failure, Waiter::Thread(waiter)).ok_or(RecordError::Closed)?;
        self.trail.0.sender.send(message)?;
        self.disarm();
        answer.recv().unwrap_or(Err(RecordError::Closed))
    }

    /// As [`Intent::close`], for tasks. A task that is given up before the outcome is in the queue
    /// leaves the intent abandoned.
    ///
    /// # Errors
    /// As [`Intent::close`].
    pub async fn close_async(mut self, failure: Option<Failure>) -> Reply {
        let (waiter, answer) = oneshot::channel();
        let message = self.closing(failure, Waiter::Task(waiter)).ok_or(RecordError::Closed)?;
        self.trail.0.sender.send_async(message).await?;
        self.disarm();
        answer.await.unwrap_or(Err(RecordError::Closed))
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        let Some(event) = self.event.take() else { return };
        let phase = CallPhase::Outcome { intent: self.sequence() };
        let time = (self.trail.0.clock)();
        let event = writer::abandoned(*event, &mut SystemEntropy::new(), time);
        // Where nothing can be recorded any more, opening the trail again closes the intent.
        let _ = self.trail.0.sender.send(record(event, phase, None));
    }
}

impl AuditTrail {
    /// Announces a change, durably.
    ///
    /// # Errors
    /// [`RecordError`] if it is not on record: the change must not be made.
    pub fn intent(&self, event: Event) -> Result<Intent, RecordError> {
        let head = self.durable(event.clone(), CallPhase::Intent)?;
        Ok(Intent::new(self, head, event))
    }

    /// As [`AuditTrail::intent`], for tasks. A task that is given up meanwhile leaves no open
    /// intent behind.
    ///
    /// # Errors
    /// As [`AuditTrail::intent`].
    pub async fn intent_async(&self, event: Event) -> Result<Intent, RecordError> {
        let (waiter, answer) = oneshot::channel();
        let message = record(event.clone(), CallPhase::Intent, Some(Waiter::Task(waiter)));
        self.0.sender.send_async(message).await?;
        let mut pending = PendingIntent { trail: self, event: Some(event), answer };
        let reply = (&mut pending.answer).await.unwrap_or(Err(RecordError::Closed));
        let event = pending.event.take();
        match (reply?, event) {
            (head, Some(event)) => Ok(Intent::new(self, head, event)),
            (_, None) => Err(RecordError::Closed),
        }
    }
}

/// An intent whose line is on its way, held by a task that may be given up at any moment.
struct PendingIntent<'t> {
    trail: &'t AuditTrail,
    event: Option<Event>,
    answer: oneshot::Receiver<Reply>,
}

impl Drop for PendingIntent<'_> {
    fn drop(&mut self) {
        let Some(event) = self.event.take() else { return };
        // If the answer was not given yet, the writer finds nobody to give it to, and records that.
        self.answer.close();
        if let Ok(Ok(head)) = self.answer.try_recv() {
            drop(Intent::new(self.trail, head, event));
        }
    }
}
