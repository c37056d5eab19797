//! Checks a trail line by line and names the first record that does not fit.

use std::collections::VecDeque;

use crypto::{Id, PublicKey};

use super::TrailHead;
use super::checkpoint::{CHECKPOINT_LAG_MAX, Checkpoint, CheckpointFault};
use super::parsed::{NotARecord, ParsedLine, ParsedPhase};

/// What the reader knows from elsewhere.
#[derive(Clone, Debug)]
pub struct Expected<'k> {
    /// Who may have signed checkpoints. If there is none, signatures are not checked.
    pub trusted: &'k [PublicKey],
    /// Whose trail it must be.
    pub cell: Option<Id>,
    /// The head before the first line: [`TrailHead::start`] for a whole trail.
    pub from: TrailHead,
    /// A head that the trail must have had, such as the store's.
    pub contains: Option<TrailHead>,
}

impl Default for Expected<'_> {
    fn default() -> Self {
        Self { trusted: &[], cell: None, from: TrailHead::start(), contains: None }
    }
}

/// A trail that fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified {
    pub head: TrailHead,
    /// The newest head that a trusted key has signed: what comes after it, the chain alone holds.
    pub vouched: Option<TrailHead>,
    pub checkpoints: u64,
}

/// The first record that does not fit.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("record {sequence} (line {line}): {what}")]
pub struct FirstBroken {
    pub sequence: u64,
    /// Counted from one.
    pub line: u64,
    pub what: Broken,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum Broken {
    #[error("this is not a record of an audit trail")]
    Unreadable,
    #[error("it was changed")]
    Changed,
    #[error("it is missing: record {found} stands in its place")]
    Missing { found: u64 },
    #[error("it is out of order: record {found} stands in its place")]
    Reordered { found: u64 },
    #[error("it stands here twice: one of the two was inserted")]
    Repeated,
    #[error("this checkpoint is wrong: {0}")]
    Checkpoint(CheckpointFault),
    #[error("the trail ends before it, and is known to have had {expected} records")]
    Cut { expected: u64 },
    #[error("it is not the record that is known to have stood here")]
    HeadDiffers,
}

/// Takes a trail line by line and keeps a bounded part of it in memory.
#[derive(Debug)]
pub struct Verifier<'k> {
    expected: Expected<'k>,
    head: TrailHead,
    lines: u64,
    /// Hashes of the newest lines, oldest first, for checkpoints to be held against; in front of
    /// the oldest stands the hash that the trail began with.
    recent: VecDeque<[u8; 32]>,
    suspicion: Option<Suspicion>,
    vouched: Option<TrailHead>,
    checkpoints: u64,
}

/// A line that does not fit. Which record is to blame, the line after it tells.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    found: u64,
    hash: [u8; 32],
}

/// Checks `lines`, each without its newline.
///
/// # Errors
/// [`FirstBroken`] names the first record that does not fit.
pub fn verify_export<'l>(
    lines: impl IntoIterator<Item = &'l [u8]>,
    expected: Expected<'_>,
) -> Result<Verified, FirstBroken> {
    let mut verifier = Verifier::new(expected);
    for line in lines {
        verifier.push(line)?;
    }
    verifier.finish()
}

impl<'k> Verifier<'k> {
    #[must_use]
    pub fn new(expected: Expected<'k>) -> Self {
        let head = expected.from;
        Self {
            expected,
            head,
            lines: 0,
            recent: VecDeque::from([head.hash]),
            suspicion: None,
            vouched: None,
            checkpoints: 0,
        }
    }

    /// # Errors
    /// [`FirstBroken`] if `line`, or the one before it, does not fit. The verifier is of no further
    /// use then.
    pub fn push(&mut self, line: &[u8]) -> Result<(), FirstBroken> {
        self.push_parsed(line, &ParsedLine::parse(line))
    }

    /// As [`Verifier::push`], for who has parsed `line` already.
    ///
    /// # Errors
    /// As [`Verifier::push`].
    pub fn push_parsed(
        &mut self,
        line: &[u8],
        parsed: &Result<ParsedLine, NotARecord>,
    ) -> Result<(), FirstBroken> {
        if let Some(suspicion) = self.suspicion {
            return Err(self.judge(suspicion, parsed.as_ref().ok()));
        }
        let sequence = self.head.sequence;
        let line_number = self.lines + 1;
        let broken = |what| FirstBroken { sequence, line: line_number, what };
        let parsed = parsed.as_ref().map_err(|_| broken(Broken::Unreadable))?;
        let after = self.head.after(line);
        if parsed.sequence != sequence || parsed.previous != self.head.hash {
            self.suspicion = Some(Suspicion { found: parsed.sequence, hash: after.hash });
            return Ok(());
        }
        if let ParsedPhase::Checkpoint(checkpoint) = &parsed.phase {
            self.check(checkpoint).map_err(|fault| broken(Broken::Checkpoint(fault)))?;
        }
        if let Some(known) = self.expected.contains
            && known.sequence == after.sequence
            && known != after
        {
            return Err(broken(Broken::HeadDiffers));
        }
        self.head = after;
        self.lines += 1;
        self.recent.push_back(after.hash);
        if self.recent.len() as u64 > CHECKPOINT_LAG_MAX + 1 {
            self.recent.pop_front();
        }
        Ok(())
    }

    /// # Errors
    /// [`FirstBroken`] if the last line did not fit, or the trail ends too early.
    pub fn finish(self) -> Result<Verified, FirstBroken> {
        if let Some(suspicion) = self.suspicion {
            return Err(self.judge(suspicion, None));
        }
        let broken =
            |what| FirstBroken { sequence: self.head.sequence, line: self.lines + 1, what };
        match self.expected.contains {
            Some(known) if known.sequence > self.head.sequence => {
                Err(broken(Broken::Cut { expected: known.sequence }))
            }
            // A head from before the first line cannot be checked, but that of the start can.
            Some(known)
                if known.sequence == self.expected.from.sequence
                    && known.hash != self.expected.from.hash =>
            {
                Err(FirstBroken { sequence: known.sequence, line: 1, what: Broken::HeadDiffers })
            }
            _ => Ok(Verified {
                head: self.head,
                vouched: self.vouched,
                checkpoints: self.checkpoints,
            }),
        }
    }

    fn check(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointFault> {
        if self.expected.cell.is_some_and(|cell| cell != checkpoint.cell) {
            return Err(CheckpointFault::OtherCell);
        }
        let lag = self.head.sequence.checked_sub(checkpoint.sequence);
        let lag = lag.ok_or(CheckpointFault::OtherHead)?;
        if lag > CHECKPOINT_LAG_MAX {
            return Err(CheckpointFault::Late);
        }
        // A part of a trail may begin between a head and its signature.
        let begins_later = checkpoint.sequence < self.expected.from.sequence;
        if !begins_later {
            let newest = self.recent.len() - 1;
            let hash = usize::try_from(lag).ok().and_then(|lag| newest.checked_sub(lag));
            if hash.is_none_or(|at| self.recent[at] != checkpoint.hash) {
                return Err(CheckpointFault::OtherHead);
            }
        }
        if !self.expected.trusted.is_empty() {
            checkpoint.verify(self.expected.trusted)?;
            if !begins_later {
                self.vouched = Some(checkpoint.head());
            }
        }
        self.checkpoints += 1;
        Ok(())
    }

    /// Names the record to blame for a line that does not fit, with the help of the line after it:
    /// a changed record leaves the links around it as they were.
    fn judge(&self, suspicion: Suspicion, next: Option<&ParsedLine>) -> FirstBroken {
        let Suspicion { found, hash } = suspicion;
        let (sequence, line) = (self.head.sequence, self.lines + 1);
        let broken = |what| FirstBroken { sequence, line, what };
        if found == sequence {
            let known = self.expected.contains.filter(|known| known.sequence == sequence + 1);
            let intact = match (next, known) {
                (Some(next), _) => next.previous == hash,
                (None, Some(known)) => known.hash == hash,
                (None, None) => true,
            };
            if intact && self.lines > 0 {
                return FirstBroken {
                    sequence: sequence - 1,
                    line: line - 1,
                    what: Broken::Changed,
                };
            }
            return broken(Broken::Changed);
        }
        match next.map(|next| next.sequence) {
            Some(next) if next == sequence + 1 => broken(Broken::Changed),
            Some(next) if next == sequence && found > sequence => {
                broken(Broken::Reordered { found })
            }
            _ if found > sequence => broken(Broken::Missing { found }),
            Some(next) if next == sequence => {
                FirstBroken { sequence: found, line, what: Broken::Repeated }
            }
            None if found + 1 == sequence => {
                FirstBroken { sequence: found, line, what: Broken::Repeated }
            }
            _ => broken(Broken::Reordered { found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crypto::{Signer, SigningKey};

    use super::super::test_events::{decrypt, trail};
    use super::super::{Phase, UnixMillis};
    use super::*;
    use crate::test_kit::id;

    const CELL: Id = Id::from_bytes([9; 16]);

    fn verify(lines: &[Vec<u8>], expected: Expected<'_>) -> Result<Verified, FirstBroken> {
        verify_export(lines.iter().map(Vec::as_slice), expected)
    }

    fn replace(line: &mut Vec<u8>, from: &str, to: &str) {
        let text = String::from_utf8(line.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        *line = text.replace(from, to).into_bytes();
    }

    #[test]
    fn whole_trails_and_parts_of_them_verify() {
        for length in [0, 1, 5] {
            let (lines, head) = trail(length);
            let expected = Expected { contains: Some(head), ..Expected::default() };
            assert_eq!(
                verify(&lines, expected),
                Ok(Verified { head, vouched: None, checkpoints: 0 })
            );
        }
        let (lines, head) = trail(5);
        let from = trail(2).1;
        for contains in [from, trail(4).1, head] {
            let expected = Expected { from, contains: Some(contains), ..Expected::default() };
            assert_eq!(verify(&lines[2..], expected).unwrap().head, head);
        }
    }

    #[test]
    fn the_first_broken_record_is_named() {
        let check = |spoil: &dyn Fn(&mut Vec<Vec<u8>>), sequence, line, what| {
            let (mut lines, head) = trail(6);
            spoil(&mut lines);
            let expected = Expected { contains: Some(head), ..Expected::default() };
            assert_eq!(verify(&lines, expected), Err(FirstBroken { sequence, line, what }));
        };
        let changed = Broken::Changed;
        for at in 0..5 {
            check(
                &|lines| replace(&mut lines[at], "acme", "acmf"),
                at as u64,
                at as u64 + 1,
                changed,
            );
        }
        check(&|lines| replace(&mut lines[5], "acme", "acmf"), 5, 6, Broken::HeadDiffers);
        for at in 0..6 {
            let spoil = |lines: &mut Vec<Vec<u8>>| {
                let to = format!("\"previous\":\"{}", "0".repeat(8));
                let text = String::from_utf8(lines[at].clone()).unwrap();
                let begin = text.find("\"previous\"").unwrap();
                let from = &text[begin..begin + to.len()];
                lines[at] = text.replace(from, &to).into_bytes();
            };
            check(&spoil, at as u64, at as u64 + 1, changed);
        }
        check(&|lines| replace(&mut lines[2], "\"sequence\":2", "\"sequence\":9"), 2, 3, changed);
        check(&|lines| replace(&mut lines[2], "\"sequence\":2", "\"sequence\":0"), 2, 3, changed);
        check(&|lines| lines[2].truncate(20), 2, 3, Broken::Unreadable);
        check(&|lines| drop(lines.remove(0)), 0, 1, Broken::Missing { found: 1 });
        check(&|lines| drop(lines.drain(2..4)), 2, 3, Broken::Missing { found: 4 });
        check(&|lines| drop(lines.pop()), 5, 6, Broken::Cut { expected: 6 });
        check(&|lines| lines.clear(), 0, 1, Broken::Cut { expected: 6 });
        check(&|lines| lines.swap(2, 3), 2, 3, Broken::Reordered { found: 3 });
        check(&|lines| lines.insert(4, lines[1].clone()), 1, 5, Broken::Repeated);
        check(&|lines| lines.push(lines[5].clone()), 5, 7, Broken::Repeated);
    }

    #[test]
    fn inserted_records_are_named_however_well_they_fit() {
        let (lines, mut head) = trail(3);
        let mut forged = Vec::new();
        head.append(&decrypt(77), Phase::Call, &[], &mut forged);
        forged.pop();
        let (mut six, known) = trail(6);
        assert_eq!(six[..3], lines[..]);
        six.insert(3, forged);
        let expected = Expected { contains: Some(known), ..Expected::default() };
        // At the line itself where the known head reaches so far, else where the numbers meet.
        let broken = FirstBroken { sequence: 3, line: 5, what: Broken::Repeated };
        assert_eq!(verify(&six, expected), Err(broken));
    }

    #[test]
    fn a_trail_written_anew_does_not_contain_the_known_head() {
        let known = trail(3).1;
        let mut head = TrailHead::start();
        let lines: Vec<_> = (0..5)
            .map(|number| {
                let mut line = Vec::new();
                head.append(&decrypt(number + 50), Phase::Call, &[], &mut line);
                line.pop();
                line
            })
            .collect();
        let expected = Expected { contains: Some(known), ..Expected::default() };
        let broken = FirstBroken { sequence: 2, line: 3, what: Broken::HeadDiffers };
        assert_eq!(verify(&lines, expected), Err(broken));
    }

    /// Five lines, of which the fourth signs the head `lag` lines before it.
    fn signed(signer: &SigningKey, cell: Id, lag: u64, spoil: fn(&mut Checkpoint)) -> Vec<Vec<u8>> {
        let (mut lines, mut head) = trail(3);
        let of = trail(u8::try_from(3 - lag).unwrap()).1;
        let mut checkpoint = Checkpoint::sign(signer, cell, of, UnixMillis(5)).unwrap();
        spoil(&mut checkpoint);
        for phase in [Phase::Checkpoint(&checkpoint), Phase::Call] {
            let mut line = Vec::new();
            head.append(&decrypt(9), phase, &[], &mut line);
            line.pop();
            lines.push(line);
        }
        lines
    }

    #[test]
    fn checkpoints_vouch_for_the_head_they_sign() {
        let key = SigningKey::generate();
        let trusted = [key.public_key()];
        let expected = || Expected { trusted: &trusted, cell: Some(CELL), ..Expected::default() };
        for lag in 0..=3 {
            let lines = signed(&key, CELL, lag, |_| ());
            let verified = verify(&lines, expected()).unwrap();
            assert_eq!(verified.vouched, Some(trail(u8::try_from(3 - lag).unwrap()).1));
            assert_eq!((verified.checkpoints, verified.head.sequence), (1, 5));
        }
        let part = Expected { from: trail(2).1, ..expected() };
        assert_eq!(verify(&signed(&key, CELL, 3, |_| ())[2..], part).unwrap().vouched, None);
    }

    #[test]
    fn wrong_checkpoints_are_named() {
        let key = SigningKey::generate();
        let trusted = [key.public_key()];
        let check = |lines: &[Vec<u8>], trusted: &[PublicKey], fault| {
            let expected = Expected { trusted, cell: Some(CELL), ..Expected::default() };
            let what = Broken::Checkpoint(fault);
            assert_eq!(verify(lines, expected), Err(FirstBroken { sequence: 3, line: 4, what }));
        };
        let other = [SigningKey::generate().public_key()];
        check(&signed(&key, CELL, 1, |_| ()), &other, CheckpointFault::OtherKey);
        check(&signed(&key, id(1), 1, |_| ()), &trusted, CheckpointFault::OtherCell);
        let forged = |checkpoint: &mut Checkpoint| checkpoint.unix_millis = UnixMillis(6);
        check(&signed(&key, CELL, 1, forged), &trusted, CheckpointFault::Signature);
        let elsewhere = |checkpoint: &mut Checkpoint| checkpoint.hash[0] ^= 1;
        check(&signed(&key, CELL, 1, elsewhere), &[], CheckpointFault::OtherHead);
        let later = |checkpoint: &mut Checkpoint| checkpoint.sequence = 9;
        check(&signed(&key, CELL, 1, later), &[], CheckpointFault::OtherHead);
    }

    #[test]
    fn signatures_that_come_too_late_are_refused_and_memory_is_bounded() {
        let key = SigningKey::generate();
        let of = trail(1).1;
        let checkpoint = Checkpoint::sign(&key, CELL, of, UnixMillis(5)).unwrap();
        let run = |between: u64| {
            let mut head = TrailHead::start();
            let mut verifier = Verifier::new(Expected::default());
            let mut line = Vec::new();
            for _ in 0..=between {
                line.clear();
                // The first line is that of `trail`, or the checkpoint's head would be another.
                head.append(&decrypt(0), Phase::Call, &[], &mut line);
                verifier.push(line.trim_ascii_end()).unwrap();
            }
            assert!(verifier.recent.len() as u64 <= CHECKPOINT_LAG_MAX + 1);
            line.clear();
            head.append(&decrypt(0), Phase::Checkpoint(&checkpoint), &[], &mut line);
            verifier.push(line.trim_ascii_end()).map_err(|broken| broken.what)
        };
        assert_eq!(run(CHECKPOINT_LAG_MAX), Ok(()));
        let late = Broken::Checkpoint(CheckpointFault::Late);
        assert_eq!(run(CHECKPOINT_LAG_MAX + 1), Err(late));
    }
}
