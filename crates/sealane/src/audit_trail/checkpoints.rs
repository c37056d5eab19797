//! When the trail's head is signed, and by which thread.
//!
//! Not by the writer's own: a signer may ask the KMS, whose call is to be recorded by the very
//! thread that would be waiting for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crypto::{Id, SignError, Signer};
use keys::audit_trail::{CHECKPOINT_LAG_MAX, Checkpoint, TrailHead, UnixMillis};

/// How long a closing trail waits for its last signature.
const LAST_SIGNATURE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Checkpoints {
    ask: Sender<(TrailHead, UnixMillis)>,
    signed: Receiver<Result<Checkpoint, SignError>>,
    asked: bool,
    every_events: u64,
    every: Duration,
    /// Events since a head was last given to be signed, and when the first of them came.
    events: u64,
    since: Option<Instant>,
}

impl Checkpoints {
    /// `wake` is told of each signature.
    pub(super) fn start(
        signer: Box<dyn Signer + Send>,
        cell: Id,
        every_events: u64,
        every: Duration,
        wake: Thread,
    ) -> std::io::Result<Self> {
        let (ask, asked) = channel::<(TrailHead, UnixMillis)>();
        let (give, signed) = channel();
        std::thread::Builder::new().name("audit-signer".to_owned()).spawn(move || {
            for (head, time) in asked {
                let made = Checkpoint::sign(&*signer, cell, head, time);
                if give.send(made).is_err() {
                    break;
                }
                wake.unpark();
            }
            // The signer keeps the store open, and whoever closes the trail may open that again: it
            // goes before `give`, whose end is waited for.
            drop(signer);
            drop(give);
        })?;
        Ok(Self { ask, signed, asked: false, every_events, every, events: 0, since: None })
    }

    pub(super) fn count_event(&mut self, now: Instant) {
        self.events += 1;
        self.since.get_or_insert(now);
    }

    /// When a signature is due for its age.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.asked { None } else { Some(self.since? + self.every) }
    }

    pub(super) fn due(&self, now: Instant) -> bool {
        !self.asked
            && (self.events >= self.every_events || self.deadline() <= Some(now))
            && self.events > 0
    }

    pub(super) fn ask(&mut self, head: TrailHead, time: UnixMillis) {
        self.events = 0;
        self.since = None;
        self.asked = self.ask.send((head, time)).is_ok();
        if !self.asked {
            tracing::warn!("the thread that signs the audit trail's checkpoints is gone");
        }
    }

    /// A signature that has come since, if it still can be used at `head`.
    pub(super) fn take(&mut self, head: TrailHead) -> Option<Checkpoint> {
        let made = self.signed.try_recv().ok()?;
        self.accept(made, head)
    }

    /// The signature of the last head, waited for.
    pub(super) fn take_last(&mut self, head: TrailHead, time: UnixMillis) -> Option<Checkpoint> {
        if self.asked {
            // One of an older head: its line would be one more thing to sign.
            let _ = self.signed.recv_timeout(LAST_SIGNATURE_MAX);
            self.events += 1;
        }
        if self.events == 0 {
            return None;
        }
        self.ask(head, time);
        match self.signed.recv_timeout(LAST_SIGNATURE_MAX) {
            Ok(made) => self.accept(made, head),
            Err(_) => {
                tracing::warn!("the audit trail was closed without a last signature");
                None
            }
        }
    }

    /// Returns once the signer is gone.
    pub(super) fn end(self) {
        drop(self.ask);
        while self.signed.recv_timeout(LAST_SIGNATURE_MAX).is_ok() {}
    }

    fn accept(
        &mut self,
        made: Result<Checkpoint, SignError>,
        head: TrailHead,
    ) -> Option<Checkpoint> {
        self.asked = false;
        match made {
            Ok(signed) if head.sequence - signed.sequence > CHECKPOINT_LAG_MAX => {
                tracing::warn!("a signature of the audit trail came too late to be used");
                None
            }
            Ok(signed) => Some(signed),
            Err(error) => {
                // The next one covers what this one would have.
                tracing::warn!(%error, "the audit trail's head was not signed");
                self.events = self.events.max(1);
                self.since.get_or_insert_with(Instant::now);
                None
            }
        }
    }
}
