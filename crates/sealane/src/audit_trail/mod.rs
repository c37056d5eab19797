//! The cell's audit trail on disk: every call in its order, in sealed segments under DIR/audit.
//!
//! One thread owns the files ([`writer`]). Callers put events into a bounded queue and, where the
//! event must be durable before they go on, wait for it; events that come together become durable
//! together. A change is announced by an [`Intent`], whose head the store's commit carries, and
//! closed by its outcome: after a crash the two say whether the change took place, and a store or a
//! trail that was put back shows ([`recover`]). Layouts: `docs/formats/audit.md`.

mod checkpoints;
mod error;
mod folder;
mod intent;
mod lines;
mod queue;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crypto::{Id, Signer, SystemEntropy};
use keys::DomainRing;
use keys::audit_trail::{Event, Failure, Phase, TrailHead, UnixMillis};

use checkpoints::Checkpoints;
use folder::{Folder, Medium};
use queue::{CallPhase, Message, Reply, Sender, Shared, Waiter};
use recover::Recovered;
use writer::{Group, OpenSegment, Writer};

pub use error::{Poison, RecordError, TrailError};
pub use intent::Intent;
pub use lines::{
    Lines, Report, domains_needed, export, find_time, last_segment, read, read_from, tail, verify,
};

/// An event that nobody waits for is durable at the latest after this.
pub const AUDIT_DELAY_MAX: Duration = Duration::from_millis(100);
/// Changes whose outcome is not on record yet.
pub const INTENTS_OPEN_MAX: usize = 1024;

/// Gives the domain keys as they are now: a new segment is sealed under the newest.
pub type RingSource = Arc<dyn Fn() -> Arc<DomainRing> + Send + Sync>;

/// What a trail is opened with.
pub struct TrailOptions {
    /// DIR/audit; made if it is not there.
    pub dir: PathBuf,
    pub cell: Id,
    /// For what the cell records of itself.
    pub region: Arc<str>,
    pub account: Arc<str>,
    pub ring: RingSource,
    /// Signs checkpoints, on a thread of its own. It must not record its use here: the checkpoint's
    /// line is that record, and while the trail is being closed nothing else is accepted.
    pub signer: Box<dyn Signer + Send>,
    /// The head that the store's last commit carries: None before the first.
    pub stored: Option<TrailHead>,
    pub clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A segment that has reached this is finished, and the next is begun.
    pub segment_bytes_max: u64,
    /// Events waiting to be written. When as many are, callers wait.
    pub queue_events_max: usize,
    /// From the first event of a group to the sync, which then takes its own time within
    /// [`AUDIT_DELAY_MAX`].
    pub sync_delay: Duration,
    /// The head is signed after so many events, or so long after an event, and on closing.
    pub checkpoint_events: u64,
    pub checkpoint_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            queue_events_max: 8192,
            sync_delay: AUDIT_DELAY_MAX / 2,
            checkpoint_events: 10_000,
            checkpoint_every: Duration::from_secs(600),
        }
    }
}

/// What was found on opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// After whatever opening itself has recorded.
    pub head: TrailHead,
    /// Bytes of an unfinished group that were cut off: none of it was acknowledged.
    pub torn: u64,
    pub interrupted: Vec<Interrupted>,
}

/// A change whose outcome was not on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    pub intent: u64,
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The store's head includes the intent.
    TookPlace,
    DidNotTakePlace,
    /// No store's head was given.
    Unknown,
}

/// A trail that is open for writing. Clones write to the same trail; it is closed by
/// [`AuditTrail::close`], or when the last is dropped, which then waits for the disk.
#[derive(Clone)]
pub struct AuditTrail(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    sender: Sender,
    clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl AuditTrail {
    /// Finds the end of the trail in `options.dir`, closes what a crash left open, and starts to
    /// write.
    ///
    /// # Errors
    /// [`TrailError`] if the trail was changed or cut, does not belong to the store, or cannot be
    /// written.
    pub fn open(options: TrailOptions) -> Result<(Self, Opened), TrailError> {
        let folder = Folder::lock(&options.dir)?;
        let recovered =
            recover::recover(&options.dir, options.cell, &options.ring, options.stored)?;
        let torn = recovered.resume.as_ref().map_or(0, |resume| resume.torn);
        let stored = options.stored;
        let shared = Arc::new(Shared::default());
        let (mut writer, open) = writer_after(folder, recovered, &options, shared.clone())?;
        let interrupted = writer.close_what_was_open(torn, &open, stored)?;
        let opened = Opened { head: writer.head, torn, interrupted };
        let trail = Self::start(writer, options, shared)?;
        Ok((trail, opened))
    }

    fn start(
        writer: Writer,
        options: TrailOptions,
        shared: Arc<Shared>,
    ) -> Result<Self, TrailError> {
        let Limits { queue_events_max, checkpoint_events, checkpoint_every, .. } = options.limits;
        let (queue, messages) = sync_channel(queue_events_max);
        let (signer, cell) = (options.signer, options.cell);
        let started = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(move || {
                let this = std::thread::current();
                let checkpoints =
                    Checkpoints::start(signer, cell, checkpoint_events, checkpoint_every, this);
                match checkpoints {
                    Ok(checkpoints) => {
                        let _ = started.0.send(Ok(()));
                        writer.run(&messages, checkpoints);
                    }
                    Err(error) => drop(started.0.send(Err(error))),
                }
            })
            .map_err(TrailError::Threads)?;
        let ended = || std::io::Error::other("it ended before it began");
        let ready = started.1.recv().unwrap_or_else(|_| Err(ended()));
        ready.map_err(TrailError::Threads)?;
        let _ = shared.writer.set(thread.thread().clone());
        Ok(Self(Arc::new(Inner {
            dir: options.dir,
            sender: Sender { queue, shared },
            clock: options.clock,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Records `event`; it is durable at the latest after [`AUDIT_DELAY_MAX`]. Blocks while the
    /// queue is full.
    ///
    /// # Errors
    /// [`RecordError`] if nothing can be recorded any more.
    pub fn record(&self, event: Event) -> Result<(), RecordError> {
        self.0.sender.send(call(event))
    }

    /// As [`AuditTrail::record`], for tasks.
    ///
    /// # Errors
    /// As [`AuditTrail::record`].
    pub async fn record_async(&self, event: Event) -> Result<(), RecordError> {
        self.0.sender.send_async(call(event)).await
    }

    /// Records `event` and returns once it is durable, with the head after it.
    ///
    /// # Errors
    /// [`RecordError`] if it is not on record.
    pub fn record_durable(&self, event: Event) -> Reply {
        self.durable(event, CallPhase::Call)
    }

    /// As [`AuditTrail::record_durable`], for tasks.
    ///
    /// # Errors
    /// As [`AuditTrail::record_durable`].
    pub async fn record_durable_async(&self, event: Event) -> Reply {
        self.durable_async(event, CallPhase::Call).await
    }

    /// Whether anything can be recorded still.
    ///
    /// # Errors
    /// [`RecordError`] says why not.
    pub fn healthy(&self) -> Result<(), RecordError> {
        self.0.sender.shared.check()
    }

    /// The domain keys that must be kept for the trail to stay readable.
    ///
    /// # Errors
    /// [`TrailError::Io`] if the folder or a header cannot be read.
    pub fn domains_needed(&self) -> Result<Vec<Id>, TrailError> {
        domains_needed(&self.0.dir)
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Writes what was accepted, signs the head and ends the thread. Blocks.
    ///
    /// # Errors
    /// [`RecordError::Poisoned`] if not all of it is durable.
    pub fn close(&self) -> Result<(), RecordError> {
        self.0.close();
        match self.healthy() {
            Err(RecordError::Closed) => Ok(()),
            result => result,
        }
    }

    fn durable(&self, event: Event, phase: CallPhase) -> Reply {
        let (waiter, answer) = sync_channel(1);
        self.0.sender.send(record(event, phase, Some(Waiter::Thread(waiter))))?;
        answer.recv().unwrap_or(Err(RecordError::Closed))
    }

    async fn durable_async(&self, event: Event, phase: CallPhase) -> Reply {
        let (waiter, answer) = tokio::sync::oneshot::channel();
        self.0.sender.send_async(record(event, phase, Some(Waiter::Task(waiter)))).await?;
        answer.await.unwrap_or(Err(RecordError::Closed))
    }
}

fn call(event: Event) -> Message {
    record(event, CallPhase::Call, None)
}

fn record(event: Event, phase: CallPhase, waiter: Option<Waiter>) -> Message {
    Message::Record { event: Box::new(event), phase, waiter }
}

impl Inner {
    fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            self.sender.close();
            if thread.join().is_err() {
                tracing::error!("the thread that writes the audit trail has panicked");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditTrail").field(&self.0.dir).finish()
    }
}

/// A writer at the recovered end, and the intents that were open there.
fn writer_after(
    folder: Folder,
    recovered: Recovered,
    options: &TrailOptions,
    shared: Arc<Shared>,
) -> Result<(Writer, BTreeSet<u64>), TrailError> {
    let Recovered { head, resume, empty, open_intents } = recovered;
    if let Some(first) = empty {
        folder.remove(first)?;
    }
    let segment = match resume {
        Some(resume) => {
            if resume.torn > 0 {
                let (torn, path) = (resume.torn, folder.path(resume.first));
                tracing::warn!(torn, path = %path.display(), "an unfinished group of the audit trail is cut off");
            }
            let file = folder.resume(resume.first, resume.len)?;
            Some(OpenSegment { first: resume.first, file, log: resume.log, bytes: resume.len })
        }
        None => None,
    };
    let writer = Writer {
        medium: Box::new(folder),
        ring: options.ring.clone(),
        cell: options.cell,
        region: options.region.clone(),
        account: options.account.clone(),
        clock: options.clock.clone(),
        limits: options.limits,
        shared,
        entropy: SystemEntropy::new(),
        head,
        open_intents: BTreeSet::new(),
        segment,
        group: Group::default(),
        poison: None,
    };
    Ok((writer, open_intents))
}

impl Writer {
    /// Says in the trail what the crash has cut short, and makes that durable.
    fn close_what_was_open(
        &mut self,
        torn: u64,
        open: &BTreeSet<u64>,
        stored: Option<TrailHead>,
    ) -> Result<Vec<Interrupted>, TrailError> {
        if torn > 0 {
            let mut event = self.own_event("TornTailCut");
            let parameters = [("bytes".into(), keys::audit_trail::Parameter::Number(torn))];
            event.parameters.extend(parameters);
            self.write(&event, Phase::Call);
        }
        let mut interrupted = Vec::new();
        self.open_intents.clone_from(open);
        for &intent in open {
            let change = match stored {
                None => Change::Unknown,
                Some(stored) if stored.sequence > intent => Change::TookPlace,
                Some(_) => Change::DidNotTakePlace,
            };
            let message = match change {
                Change::TookPlace => None,
                Change::DidNotTakePlace => Some("the change did not take place"),
                Change::Unknown => Some("whether the change took place is not known"),
            };
            let mut event = self.own_event("InterruptedChange");
            event.failure = message
                .map(|message| Failure { code: "Interrupted".into(), message: message.to_owned() });
            self.open_intents.remove(&intent);
            self.write(&event, Phase::Outcome { intent });
            interrupted.push(Interrupted { intent, change });
        }
        self.commit();
        match &self.poison {
            Some(poison) => Err(TrailError::Poisoned(poison.clone())),
            None => Ok(interrupted),
        }
    }
}
