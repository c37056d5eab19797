//! Finds the end of a trail after whatever stopped the process that wrote it.
//!
//! What is read does not grow with the trail: the last segment, and those since the head that the
//! store carries. A torn end is cut off; anything else that does not fit is refused.

use std::collections::BTreeSet;
use std::path::Path;

use crypto::Id;
use keys::audit_trail::{
    Broken, Expected, FirstBroken, ParsedLine, ParsedPhase, TrailHead, Verifier,
};
use keys::service_log::LogWriter;

use super::folder::{segment_path, segments};
use super::lines::Lines;
use super::segment::{Place, Segment};
use super::{RingSource, TrailError};

/// Where a trail ends.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) head: TrailHead,
    /// The segment to go on with: none if the last was finished, or there is none yet.
    pub(super) resume: Option<Resume>,
    /// A segment that was begun and has no record: to be removed, as it is begun anew.
    pub(super) empty: Option<u64>,
    /// Intents without an outcome.
    pub(super) open_intents: BTreeSet<u64>,
}

#[derive(Debug)]
pub(super) struct Resume {
    pub(super) first: u64,
    /// How much of the file is whole.
    pub(super) len: u64,
    /// What follows, a torn group: to be cut off.
    pub(super) torn: u64,
    pub(super) log: LogWriter,
}

pub(super) fn recover(
    dir: &Path,
    cell: Id,
    ring: &RingSource,
    stored: Option<TrailHead>,
) -> Result<Recovered, TrailError> {
    let firsts = segments(dir)?;
    let wanted = match stored {
        // The line whose hash the store has.
        Some(TrailHead { sequence, .. }) if sequence > 0 => {
            firsts.partition_point(|first| *first < sequence)
        }
        _ => firsts.len(),
    };
    if wanted == 0 && !firsts.is_empty() {
        return Err(TrailError::SegmentMissing { path: segment_path(dir, 0), first: 0 });
    }
    // If the last segments have no line, the end is in the one before.
    for first in firsts[..wanted].iter().rev() {
        if let Some(recovered) = Scan::begin(stored).run(dir, cell, ring, *first)? {
            return Ok(recovered);
        }
    }
    let head = TrailHead::start();
    match (firsts.first(), stored) {
        (Some(&first), _) if first > 0 => {
            Err(TrailError::SegmentMissing { path: segment_path(dir, 0), first: 0 })
        }
        (_, Some(stored)) if stored != head => {
            Err(TrailError::Cut { found: 0, stored: stored.sequence })
        }
        (first, _) => {
            let empty = first.copied();
            Ok(Recovered { head, resume: None, empty, open_intents: BTreeSet::new() })
        }
    }
}

/// What is learnt on the way to the end.
struct Scan {
    stored: Option<TrailHead>,
    open_intents: BTreeSet<u64>,
    /// An intent that was carried out, though the store's head does not include it.
    done_after_stored: Option<u64>,
    /// The last place at which a line and a frame end together, and in which segment.
    whole: Option<(u64, Place)>,
}

impl Scan {
    fn begin(stored: Option<TrailHead>) -> Self {
        Self { stored, open_intents: BTreeSet::new(), done_after_stored: None, whole: None }
    }

    /// None if there is no line from `first` on.
    fn run(
        mut self,
        dir: &Path,
        cell: Id,
        ring: &RingSource,
        first: u64,
    ) -> Result<Option<Recovered>, TrailError> {
        let mut lines = Lines::from(dir, cell, ring.clone(), first);
        let mut verifier: Option<Verifier<'_>> = None;
        let mut segment = first;
        let broken = |segment, error| match error {
            FirstBroken { what: Broken::Cut { expected }, sequence, .. } => {
                TrailError::Cut { found: sequence, stored: expected }
            }
            error => TrailError::Broken { path: segment_path(dir, segment), error },
        };
        while let Some(line) = lines.next_line()? {
            let parsed = ParsedLine::parse(line);
            let verifier = verifier.get_or_insert_with(|| {
                Verifier::new(Expected {
                    trusted: &[],
                    cell: Some(cell),
                    from: before(first, parsed.as_ref().ok()),
                    contains: self.stored,
                })
            });
            verifier.push_parsed(line, &parsed).map_err(|error| broken(segment, error))?;
            if let Ok(parsed) = &parsed {
                self.note(parsed);
            }
            segment = lines.segment_first().unwrap_or(segment);
            if let Some(place) = lines.place() {
                self.whole = Some((segment, place));
            }
        }
        let Some(verifier) = verifier else { return Ok(None) };
        let head = verifier.finish().map_err(|error| broken(segment, error))?.head;
        self.check_intents()?;
        self.end(dir, head, lines.into_segment()).map(Some)
    }

    fn note(&mut self, line: &ParsedLine) {
        // The first line of a segment repeats what was open; elsewhere there is none.
        self.open_intents.extend(&line.open_intents);
        match line.phase {
            ParsedPhase::Intent => {
                self.open_intents.insert(line.sequence);
            }
            ParsedPhase::Outcome { intent, done } => {
                self.open_intents.remove(&intent);
                if done && self.stored.is_some_and(|stored| intent >= stored.sequence) {
                    self.done_after_stored.get_or_insert(intent);
                }
            }
            ParsedPhase::Call | ParsedPhase::Checkpoint(_) => {}
        }
    }

    /// One change at most can have been announced and not committed. What was recorded as done, or
    /// was followed by another, was in a store that is not this one.
    fn check_intents(&self) -> Result<(), TrailError> {
        let Some(stored) = self.stored.map(|stored| stored.sequence) else { return Ok(()) };
        let mut unknown = self.open_intents.range(stored..);
        let rolled_back = match (unknown.next(), unknown.next()) {
            (Some(intent), Some(_)) => Some(*intent),
            _ => self.done_after_stored,
        };
        match rolled_back {
            Some(intent) => Err(TrailError::StoreBehind { intent, stored }),
            None => Ok(()),
        }
    }

    fn end(
        self,
        dir: &Path,
        head: TrailHead,
        segment: Option<Segment>,
    ) -> Result<Recovered, TrailError> {
        let mut recovered =
            Recovered { head, resume: None, empty: None, open_intents: self.open_intents };
        let last = segments(dir)?.last().copied();
        match (segment, self.whole) {
            (Some(segment), Some((first, place))) if segment.first == first => {
                let path = segment.path().to_owned();
                let file_len = path.metadata().map_err(TrailError::io("read", &path))?.len();
                let torn = file_len.saturating_sub(place.offset);
                if let Some(log) = segment.into_writer(place) {
                    recovered.resume = Some(Resume { first, len: place.offset, torn, log });
                }
            }
            _ => recovered.empty = last.filter(|last| *last == head.sequence),
        }
        Ok(recovered)
    }
}

/// The head before the first line that is read. Of a later segment the line says it itself; that
/// the trail before it is whole, `verify` checks.
fn before(first: u64, line: Option<&ParsedLine>) -> TrailHead {
    match line {
        Some(line) if first > 0 => TrailHead { sequence: first, hash: line.previous },
        _ => TrailHead::start(),
    }
}
