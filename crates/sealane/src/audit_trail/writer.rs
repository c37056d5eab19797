//! The thread that writes: gives each event its place, and makes groups of them durable.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, atomic};
use std::time::Instant;

use crypto::{Id, SystemEntropy};
use keys::audit_trail::{Event, Failure, Phase, TrailHead, UnixMillis, segment_stream};
use keys::service_log::{LogKey, LogWriter};

use super::checkpoints::Checkpoints;
use super::folder::{Appending, Medium};
use super::queue::{Answer, CallPhase, Message, Shared, Waiter};
use super::{INTENTS_OPEN_MAX, Limits, Poison, RecordError, RingSource};

/// A group is written at this size, whether or not more is waiting.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// What a writer is made of, besides the end of the trail it goes on from.
pub(super) struct Writer {
    pub(super) medium: Box<dyn Medium>,
    pub(super) ring: RingSource,
    pub(super) cell: Id,
    pub(super) region: Arc<str>,
    pub(super) account: Arc<str>,
    pub(super) clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    pub(super) limits: Limits,
    pub(super) shared: Arc<Shared>,
    pub(super) entropy: SystemEntropy,
    /// After all lines that have been taken, durable or not.
    pub(super) head: TrailHead,
    pub(super) open_intents: BTreeSet<u64>,
    pub(super) segment: Option<OpenSegment>,
    pub(super) group: Group,
    /// Set once, for good.
    pub(super) poison: Option<Poison>,
}

pub(super) struct OpenSegment {
    pub(super) first: u64,
    pub(super) file: Box<dyn Appending>,
    pub(super) log: LogWriter,
    pub(super) bytes: u64,
}

/// What becomes durable together.
#[derive(Default)]
pub(super) struct Group {
    lines: Vec<u8>,
    frames: Vec<u8>,
    /// Each with the head after its line.
    waiters: Vec<(Waiter, Answer)>,
    begun: Option<Instant>,
}

impl Writer {
    pub(super) fn run(mut self, queue: &Receiver<Message>, mut checkpoints: Checkpoints) {
        loop {
            let closing = self.take_all(queue, &mut checkpoints);
            let now = Instant::now();
            if checkpoints.due(now) && self.poison.is_none() {
                checkpoints.ask(self.head, (self.clock)());
            }
            if let Some(signed) = checkpoints.take(self.head) {
                let event = self.own_event("Checkpoint");
                self.write(&event, Phase::Checkpoint(&signed));
            }
            if closing {
                self.close(&mut checkpoints);
                return checkpoints.end();
            }
            let overdue = self.group_deadline().is_some_and(|deadline| deadline <= now);
            if overdue || !self.group.waiters.is_empty() || self.group_is_full() {
                self.commit();
                continue;
            }
            self.sleep(queue, &mut checkpoints);
        }
    }

    /// Until something is due or asked for. A caller that needs no answer wakes only a writer that
    /// has nothing to do: one with a group in the making looks by itself when the group is due.
    fn sleep(&mut self, queue: &Receiver<Message>, checkpoints: &mut Checkpoints) {
        let deadlines = [self.group_deadline(), checkpoints.deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let idle = self.group.begun.is_none();
        if idle {
            self.shared.idle.store(true, atomic::Ordering::SeqCst);
            // Pairs with the fence in `Shared::wake`: either the caller sees that we are idle, or
            // we see its message.
            atomic::fence(atomic::Ordering::SeqCst);
            if let Ok(message) = queue.try_recv() {
                self.shared.idle.store(false, atomic::Ordering::SeqCst);
                self.take(message, checkpoints);
                return;
            }
        }
        match deadline {
            Some(deadline) => {
                std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            }
            None => std::thread::park(),
        }
        self.shared.idle.store(false, atomic::Ordering::SeqCst);
    }

    /// Takes what is in the queue, as far as it fits into one group. Whether the trail is to be
    /// closed now.
    fn take_all(&mut self, queue: &Receiver<Message>, checkpoints: &mut Checkpoints) -> bool {
        let mut closing = self.shared.closing.load(atomic::Ordering::SeqCst);
        while !self.group_is_full() {
            match queue.try_recv() {
                // What stands behind the request to close was accepted too.
                Ok(message) => closing |= self.take(message, checkpoints),
                Err(TryRecvError::Empty) => return closing,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        false
    }

    /// Whether it was the request to close.
    fn take(&mut self, message: Message, checkpoints: &mut Checkpoints) -> bool {
        let Message::Record { event, phase, waiter } = message else {
            self.shared.closing.store(true, atomic::Ordering::SeqCst);
            return true;
        };
        let refused = match (&self.poison, phase) {
            (Some(poison), _) => Some(RecordError::Poisoned(poison.clone())),
            (None, CallPhase::Intent) if self.open_intents.len() >= INTENTS_OPEN_MAX => {
                Some(RecordError::TooManyIntents { max: INTENTS_OPEN_MAX })
            }
            (None, _) => None,
        };
        if let Some(error) = refused {
            if let Some(waiter) = waiter {
                waiter.answer(Err(error));
            }
            return false;
        }
        match phase {
            CallPhase::Call => self.write(&event, Phase::Call),
            CallPhase::Intent => {
                self.write(&event, Phase::Intent);
                self.open_intents.insert(self.head.sequence - 1);
            }
            CallPhase::Outcome { intent } => {
                self.open_intents.remove(&intent);
                self.write(&event, Phase::Outcome { intent });
            }
        }
        checkpoints.count_event(Instant::now());
        if let Some(waiter) = waiter {
            let abandoned = (phase == CallPhase::Intent).then_some(event);
            self.group.waiters.push((waiter, Answer { head: self.head, intent: abandoned }));
        }
        false
    }

    /// Gives `event` the next place. What goes wrong here poisons the trail, and whoever waits
    /// hears of it.
    pub(super) fn write(&mut self, event: &Event, phase: Phase<'_>) {
        if self.poison.is_some() {
            return;
        }
        if let Err(poison) = self.prepare_segment() {
            return self.fail(poison);
        }
        let new = self.segment.as_ref().is_some_and(|segment| segment.first == self.head.sequence);
        // By the first line of a segment, whoever begins to read there knows of them.
        let open: Vec<u64> =
            if new { self.open_intents.iter().copied().collect() } else { Vec::new() };
        self.head.append(event, phase, &open, &mut self.group.lines);
        self.group.begun.get_or_insert_with(Instant::now);
    }

    fn prepare_segment(&mut self) -> Result<(), Poison> {
        let full = |segment: &OpenSegment| {
            segment.bytes + self.group.lines.len() as u64 >= self.limits.segment_bytes_max
        };
        if self.segment.as_ref().is_some_and(full) {
            self.finish_segment()?;
        }
        if self.segment.is_some() {
            return Ok(());
        }
        let first = self.head.sequence;
        let path = self.medium.path(first);
        let mut file =
            self.medium.create(first).map_err(|error| Poison::of("create", &path, &error))?;
        let stream = segment_stream(self.cell, first);
        let key = LogKey::generate(&(self.ring)(), &stream, &mut self.entropy);
        let (log, header) = LogWriter::begin(key, &stream);
        file.append(&header).map_err(|error| Poison::of("write", &path, &error))?;
        let bytes = header.len() as u64;
        self.segment = Some(OpenSegment { first, file, log, bytes });
        Ok(())
    }

    /// Durable with its end before the next segment is there: one that lacks its end while another
    /// follows was cut.
    fn finish_segment(&mut self) -> Result<(), Poison> {
        self.append_lines()?;
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        let path = self.medium.path(segment.first);
        let end = segment.log.finish(&mut self.entropy);
        segment.file.append(&end).map_err(|error| Poison::of("write", &path, &error))?;
        segment.file.sync().map_err(|error| Poison::of("sync", &path, &error))
    }

    fn append_lines(&mut self) -> Result<(), Poison> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if self.group.lines.is_empty() {
            return Ok(());
        }
        let frames = &mut self.group.frames;
        frames.clear();
        segment.log.append_to(frames, &self.group.lines, &mut self.entropy);
        self.group.lines.clear();
        let path = self.medium.path(segment.first);
        segment.file.append(frames).map_err(|error| Poison::of("write", &path, &error))?;
        segment.bytes += frames.len() as u64;
        Ok(())
    }

    /// Makes durable all that was taken, then answers those who wait for it.
    pub(super) fn commit(&mut self) {
        if let Err(poison) = self.try_commit() {
            return self.fail(poison);
        }
        self.group.begun = None;
        for (waiter, answer) in std::mem::take(&mut self.group.waiters) {
            let Answer { head, intent } = answer;
            let heard = waiter.answer(Ok(head));
            if let (false, Some(event)) = (heard, intent) {
                // Nobody is left who could say what became of it.
                let intent = head.sequence - 1;
                self.open_intents.remove(&intent);
                let event = abandoned(*event, &mut self.entropy, (self.clock)());
                self.write(&event, Phase::Outcome { intent });
            }
        }
    }

    fn try_commit(&mut self) -> Result<(), Poison> {
        // A line may have failed already when it was taken; whoever waits for it hears of that here.
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        if self.group.begun.is_none() {
            return Ok(());
        }
        self.append_lines()?;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let synced = segment.file.sync();
        synced.map_err(|error| Poison::of("sync", &self.medium.path(segment.first), &error))
    }

    fn fail(&mut self, poison: Poison) {
        if self.poison.is_none() {
            tracing::error!(%poison, "no call is answered any more");
            self.shared.poison(&poison);
        }
        for (waiter, _) in std::mem::take(&mut self.group.waiters) {
            waiter.answer(Err(RecordError::Poisoned(poison.clone())));
        }
        self.group = Group::default();
        self.segment = None;
        self.poison = Some(poison);
    }

    fn close(&mut self, checkpoints: &mut Checkpoints) {
        self.commit();
        if self.poison.is_none()
            && let Some(signed) = checkpoints.take_last(self.head, (self.clock)())
        {
            let event = self.own_event("Checkpoint");
            self.write(&event, Phase::Checkpoint(&signed));
        }
        self.commit();
    }

    pub(super) fn own_event(&mut self, name: &'static str) -> Event {
        let id = Id::random(&mut self.entropy);
        Event::of_cell(id, (self.clock)(), name, self.region.clone(), self.account.clone())
    }

    fn group_is_full(&self) -> bool {
        self.group.lines.len() >= GROUP_BYTES_MAX
    }

    fn group_deadline(&self) -> Option<Instant> {
        Some(self.group.begun? + self.limits.sync_delay)
    }
}

/// The outcome of a change that nobody has told the outcome of.
pub(super) fn abandoned(event: Event, entropy: &mut SystemEntropy, time: UnixMillis) -> Event {
    let failure = Failure {
        code: "Abandoned".into(),
        message: "the outcome was not recorded; the key's state says what it was".to_owned(),
    };
    Event { id: Id::random(entropy), time, failure: Some(failure), ..event }
}
