//! What is left after a crash or after somebody had the files in hand.

use std::collections::BTreeMap;
use std::fs;

use keys::audit_trail::segment_name;

use super::super::recover::{Recovered, recover};
use super::*;

/// A trail of a few segments, as a process leaves it that was killed: no end, no last signature.
struct Killed {
    cell: Cell,
    /// All segments behind each other, and how long each is.
    bytes: Vec<u8>,
    segments: Vec<(u64, usize)>,
    /// The head after each line, by its sequence.
    heads: BTreeMap<u64, TrailHead>,
    /// Durable heads, and how many bytes there were when each was acknowledged.
    acknowledged: Vec<(usize, TrailHead)>,
}

fn killed() -> Killed {
    let cell = Cell::new(small());
    let (trail, _) = cell.open(None);
    let mut acknowledged = Vec::new();
    for number in 0..4 {
        trail.record(event(format!("Group{number}"))).unwrap();
        trail.record(event(format!("Group{number}"))).unwrap();
        let head = trail.record_durable(event(format!("Durable{number}"))).unwrap();
        acknowledged.push((sizes(&cell).iter().map(|(_, size)| size).sum(), head));
    }
    let kept = tempfile::tempdir().unwrap();
    copy(&cell.path(), kept.path());
    drop(trail);
    fs::remove_dir_all(cell.path()).unwrap();
    copy(kept.path(), &cell.path());
    let segments = sizes(&cell);
    assert!(segments.len() >= 2, "{segments:?}");
    let bytes = segments
        .iter()
        .flat_map(|(first, _)| fs::read(cell.path().join(segment_name(*first))).unwrap())
        .collect();
    let mut heads = BTreeMap::from([(0, TrailHead::start())]);
    let mut head = TrailHead::start();
    for line in cell.lines() {
        head = head.after(&line);
        heads.insert(head.sequence, head);
    }
    assert_eq!(acknowledged.last().unwrap().1, head);
    Killed { cell, bytes, segments, heads, acknowledged }
}

fn sizes(cell: &Cell) -> Vec<(u64, usize)> {
    let size = |first: &u64| {
        let len = cell.path().join(segment_name(*first)).metadata().unwrap().len();
        (*first, usize::try_from(len).unwrap())
    };
    folder::segments(&cell.path()).unwrap().iter().map(size).collect()
}

impl Killed {
    /// Puts the first `len` bytes there, as if nothing after them had been written.
    fn cut_to(&self, len: usize) {
        fs::remove_dir_all(self.cell.path()).unwrap();
        fs::create_dir(self.cell.path()).unwrap();
        let mut rest = &self.bytes[..len];
        for (first, size) in &self.segments {
            let (file, behind) = rest.split_at((*size).min(rest.len()));
            if *first == 0 || !file.is_empty() {
                fs::write(self.cell.path().join(segment_name(*first)), file).unwrap();
            }
            rest = behind;
        }
    }

    fn recover(&self, stored: Option<TrailHead>) -> Result<Recovered, TrailError> {
        recover(&self.cell.path(), CELL, &self.cell.ring, stored)
    }
}

#[test]
fn a_cut_at_any_byte_keeps_what_was_acknowledged_or_is_refused() {
    let killed = killed();
    for len in 0..=killed.bytes.len() {
        killed.cut_to(len);
        let before = |(size, _): &&(usize, TrailHead)| *size <= len;
        let durable = killed.acknowledged.iter().rev().find(before).map(|(_, head)| *head);
        // The store knows of something that was durable then: all of that is there.
        let recovered = killed.recover(durable).unwrap();
        assert!(recovered.head.sequence >= durable.map_or(0, |head| head.sequence), "{len}");
        assert_eq!(Some(&recovered.head), killed.heads.get(&recovered.head.sequence), "{len}");
        // The store knows of more, if only the next: it is there all the same, or the trail was cut.
        let Some((_, head)) = killed.acknowledged.iter().find(|(size, _)| *size > len) else {
            continue;
        };
        match killed.recover(Some(*head)) {
            Ok(_) => assert!(recovered.head.sequence >= head.sequence, "{len}"),
            Err(TrailError::Cut { found, stored }) => {
                assert_eq!((found, stored), (recovered.head.sequence, head.sequence), "{len}");
            }
            Err(error) => panic!("cut to {len}: {error}"),
        }
    }
}

#[test]
fn a_cut_trail_goes_on() {
    let killed = killed();
    // Every byte is tried above; from some of them on the trail is opened and written too.
    for len in (0..=killed.bytes.len()).rev().step_by(211).chain([0, 1, 55, 56, 57]) {
        killed.cut_to(len);
        let expected = killed.recover(None).unwrap().head;
        let (trail, opened) = killed.cell.open(None);
        let noted = u64::from(opened.torn > 0);
        assert_eq!(opened.head.sequence, expected.sequence + noted, "{len}");
        trail.record_durable(event("AfterTheCrash")).unwrap();
        trail.close().unwrap();
        let report = killed.cell.verify(Some(expected)).unwrap();
        assert_eq!(report.torn, 0);
        assert_eq!(report.verified.head.sequence, expected.sequence + noted + 2);
    }
}

#[test]
fn zeros_instead_of_the_last_bytes_are_a_torn_end() {
    let killed = killed();
    let (first, last) = *killed.segments.last().unwrap();
    let begin = killed.bytes.len() - last;
    let path = killed.cell.path().join(segment_name(first));
    // From within the tag of the last frame back to the frame before: all a power cut can leave.
    for zeros in [16, 17, 100, 500] {
        let mut bytes = killed.bytes[begin..].to_vec();
        let len = bytes.len();
        bytes[len - zeros..].fill(0);
        fs::write(&path, &bytes).unwrap();
        let recovered = killed.recover(None).unwrap();
        assert!(killed.heads[&recovered.head.sequence] == recovered.head, "{zeros}");
        assert!(recovered.resume.unwrap().torn >= zeros as u64);
        let stored = killed.acknowledged.last().unwrap().1;
        assert!(matches!(killed.recover(Some(stored)), Err(TrailError::Cut { .. })));
        // Something after them shows that they were not left by a power cut.
        bytes.push(1);
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(killed.recover(None), Err(TrailError::Sealed { .. })), "{zeros}");
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused() {
    let killed = killed();
    let stored = killed.acknowledged.last().unwrap().1;
    let mut at = 0;
    for (first, size) in &killed.segments {
        let path = killed.cell.path().join(segment_name(*first));
        let whole = killed.bytes[at..at + size].to_vec();
        for (place, bit) in (0..*size).map(|place| (place, place % 8)) {
            let mut changed = whole.clone();
            changed[place] ^= 1 << bit;
            fs::write(&path, &changed).unwrap();
            let refused = killed.cell.verify(Some(stored)).is_err();
            assert!(refused, "bit {bit} of byte {place} of segment {first}");
            // The last segment is what is read on opening. There a length made longer reads as a
            // torn end, which lacks what the store knows of.
            if Some(first) == killed.segments.last().map(|(first, _)| first) {
                assert!(killed.recover(Some(stored)).is_err(), "byte {place}");
                if let Ok(recovered) = killed.recover(None) {
                    let head = recovered.head;
                    assert_eq!(killed.heads.get(&head.sequence), Some(&head));
                    assert!(head.sequence < stored.sequence);
                }
            }
        }
        fs::write(&path, &whole).unwrap();
        at += size;
    }
    assert!(killed.cell.verify(Some(stored)).is_ok());
}

#[test]
fn segments_missing_renamed_swapped_or_of_another_cell_are_refused() {
    let killed = killed();
    let stored = killed.acknowledged.last().unwrap().1;
    let path = |at: usize| killed.cell.path().join(segment_name(killed.segments[at].0));
    let last = killed.segments.len() - 1;
    let check = |spoil: &dyn Fn(), expected: fn(&TrailError) -> bool| {
        killed.cut_to(killed.bytes.len());
        spoil();
        let error = killed.cell.verify(Some(stored)).unwrap_err();
        assert!(expected(&error), "{error}");
    };
    let sealed = |error: &TrailError| matches!(error, TrailError::Sealed { .. });
    check(&|| fs::remove_file(path(last)).unwrap(), |error| {
        matches!(error, TrailError::Cut { .. })
    });
    check(&|| fs::remove_file(path(0)).unwrap(), |error| {
        matches!(error, TrailError::SegmentMissing { first: 0, .. })
    });
    check(&|| assert!(fs::copy(path(last), path(0)).is_ok()), sealed);
    check(&|| assert!(fs::copy(path(0), path(last)).is_ok()), sealed);
    let shorten = || {
        let bytes = fs::read(path(0)).unwrap();
        fs::write(path(0), &bytes[..bytes.len() - 1]).unwrap();
    };
    check(&shorten, |error| matches!(error, TrailError::Unfinished { .. }));
    killed.cut_to(killed.bytes.len());
    let other = Id::from_bytes([8; 16]);
    let error = verify(&killed.cell.path(), other, killed.cell.ring.clone(), &[], None);
    assert!(sealed(&error.unwrap_err()));
}

/// A cell killed with one intent open, the copy of its trail put back.
fn interrupted(between: usize) -> (Cell, TrailHead, TrailHead) {
    let cell = Cell::new(small());
    let (trail, _) = cell.open(None);
    let before = trail.record_durable(event("Decrypt")).unwrap();
    let intent = trail.intent(event("ScheduleKeyDeletion")).unwrap();
    for _ in 0..between {
        trail.record(event("Decrypt")).unwrap();
    }
    trail.record_durable(event("Decrypt")).unwrap();
    let kept = tempfile::tempdir().unwrap();
    copy(&cell.path(), kept.path());
    let head = intent.head();
    drop((intent, trail));
    fs::remove_dir_all(cell.path()).unwrap();
    copy(kept.path(), &cell.path());
    (cell, before, head)
}

#[test]
fn an_open_intent_is_closed_by_what_the_store_says() {
    // With some segments between the intent and the crash, too.
    for between in [0, 30] {
        let check = |stored: fn(TrailHead, TrailHead) -> Option<TrailHead>, change| {
            let (cell, before, head) = interrupted(between);
            let stored = stored(before, head);
            let (trail, opened) = cell.open(stored);
            assert_eq!(opened.interrupted, [Interrupted { intent: 1, change }]);
            let later = trail.record_durable(event("Later")).unwrap();
            trail.close().unwrap();
            let outcomes: Vec<_> = cell
                .lines()
                .iter()
                .filter_map(|line| match ParsedLine::parse(line).unwrap().phase {
                    ParsedPhase::Outcome { intent, done } => Some((intent, done)),
                    _ => None,
                })
                .collect();
            assert_eq!(outcomes, [(1, change == Change::TookPlace)]);
            assert_eq!(cell.open(stored.map(|_| later)).1.interrupted, []);
        };
        check(|_, head| Some(head), Change::TookPlace);
        check(|before, _| Some(before), Change::DidNotTakePlace);
        check(|_, _| None, Change::Unknown);
    }
}

#[test]
fn a_store_that_was_put_back_is_refused() {
    let cell = Cell::new(small());
    let (trail, _) = cell.open(None);
    let before = trail.record_durable(event("Decrypt")).unwrap();
    let intent = trail.intent(event("DisableKey")).unwrap();
    let after = intent.head();
    intent.close(None).unwrap();
    trail.close().unwrap();
    let refused = AuditTrail::open(cell.options(Some(before)));
    assert!(matches!(refused, Err(TrailError::StoreBehind { intent: 1, stored: 1 })));
    drop(cell.open(Some(after)));
    // Of two changes that were announced one after the other, the first had been committed.
    let (trail, _) = cell.open(Some(after));
    let intents = [trail.intent(event("EnableKey")), trail.intent(event("DisableKey"))];
    let (first, second) =
        (intents[0].as_ref().unwrap().head(), intents[1].as_ref().unwrap().head());
    let kept = tempfile::tempdir().unwrap();
    copy(&cell.path(), kept.path());
    drop((intents, trail));
    fs::remove_dir_all(cell.path()).unwrap();
    copy(kept.path(), &cell.path());
    let refused = AuditTrail::open(cell.options(Some(after)));
    assert!(matches!(refused, Err(TrailError::StoreBehind { .. })));
    let (_, opened) = cell.open(Some(first));
    let change = |intent, change| Interrupted { intent, change };
    let expected = [
        change(first.sequence - 1, Change::TookPlace),
        change(second.sequence - 1, Change::DidNotTakePlace),
    ];
    assert_eq!(opened.interrupted, expected);
}
