mod crash;
mod faults;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{Id, PublicKey, Signer, SigningKey, SystemEntropy};
use keys::audit_trail::{
    Event, Expected, Failure, ParsedLine, ParsedPhase, TrailHead, UnixMillis, verify_export,
};
use keys::{DomainKeyRecord, DomainRing, RootKey, UnixSeconds};

use super::*;

const CELL: Id = Id::from_bytes([9; 16]);
const PATIENCE: Duration = Duration::from_secs(20);

/// A cell's keys and a folder, to open and close a trail in.
struct Cell {
    dir: tempfile::TempDir,
    ring: RingSource,
    signer: Arc<SigningKey>,
    limits: Limits,
}

struct SharedSigner(Arc<SigningKey>);

impl Signer for SharedSigner {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, crypto::SignError> {
        self.0.sign(message)
    }
}

impl Cell {
    fn new(limits: Limits) -> Self {
        let entropy = &mut SystemEntropy::new();
        let root = RootKey::generate(entropy);
        let (record, _) = DomainKeyRecord::generate(&root, CELL, UnixSeconds(1), entropy);
        let ring = Arc::new(DomainRing::unwrap_keys(&root, CELL, &[record]).unwrap());
        Self {
            dir: tempfile::tempdir().unwrap(),
            ring: Arc::new(move || ring.clone()),
            signer: Arc::new(SigningKey::generate()),
            limits,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    fn options(&self, stored: Option<TrailHead>) -> TrailOptions {
        TrailOptions {
            dir: self.path(),
            cell: CELL,
            region: "us-east-1".into(),
            account: "000000000000".into(),
            ring: self.ring.clone(),
            signer: Box::new(SharedSigner(self.signer.clone())),
            stored,
            clock: Arc::new(|| UnixMillis(1_800_000_000_000)),
            limits: self.limits,
        }
    }

    fn open(&self, stored: Option<TrailHead>) -> (AuditTrail, Opened) {
        AuditTrail::open(self.options(stored)).unwrap()
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        read(&self.path(), CELL, self.ring.clone()).unwrap().map(Result::unwrap).collect()
    }

    fn verify(&self, stored: Option<TrailHead>) -> Result<Report, TrailError> {
        verify(&self.path(), CELL, self.ring.clone(), &[self.signer.public_key()], stored)
    }

    /// The names of all events, in order.
    fn names(&self) -> Vec<String> {
        let name = |line: &Vec<u8>| {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            line["eventName"].as_str().unwrap().to_owned()
        };
        self.lines().iter().map(name).collect()
    }
}

fn small() -> Limits {
    Limits { segment_bytes_max: 4096, checkpoint_events: 1000, ..Limits::default() }
}

fn event(name: impl Into<Cow<'static, str>>) -> Event {
    let id = Id::random(&mut SystemEntropy::new());
    let time = UnixMillis(1_800_000_000_000);
    Event { name: name.into(), ..Event::of_cell(id, time, "", "us-east-1".into(), "0".into()) }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn what_was_recorded_reads_back_across_restarts_and_segments() {
    let cell = Cell::new(small());
    let mut stored = None;
    for round in 0..4 {
        let (trail, opened) = cell.open(stored);
        assert_eq!((opened.torn, &opened.interrupted[..]), (0, &[][..]));
        for number in 0..5 {
            trail.record(event(format!("Call{round}{number}"))).unwrap();
        }
        stored = Some(trail.record_durable(event(format!("Last{round}"))).unwrap());
        trail.close().unwrap();
        assert_eq!(trail.record(event("Late")), Err(RecordError::Closed));
    }
    let expected: Vec<_> = (0..4)
        .flat_map(|round| {
            let calls = (0..5).map(move |number| format!("Call{round}{number}"));
            calls.chain([format!("Last{round}"), "Checkpoint".to_owned()])
        })
        .collect();
    assert_eq!(cell.names(), expected);
    assert!(folder::segments(&cell.path()).unwrap().len() > 2);
    let report = cell.verify(stored).unwrap();
    assert_eq!((report.torn, report.verified.checkpoints), (0, 4));
    assert_eq!(report.verified.vouched.unwrap().sequence, 27);
    let (last, mut follow) = tail(&cell.path(), CELL, &cell.ring, 9).unwrap();
    assert_eq!(Vec::from(last), cell.lines()[19..]);
    assert!(follow.next().is_none());
    let (trail, _) = cell.open(stored);
    for number in 0..9 {
        trail.record_durable(event(format!("More{number}"))).unwrap();
        let line: serde_json::Value =
            serde_json::from_slice(&follow.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["eventName"], format!("More{number}"));
        assert!(follow.next().is_none());
    }
}

#[test]
fn an_export_verifies_without_a_key() {
    let cell = Cell::new(small());
    let (trail, _) = cell.open(None);
    for _ in 0..20 {
        trail.record(event("Decrypt")).unwrap();
    }
    trail.close().unwrap();
    let mut exported = Vec::new();
    assert_eq!(export(&cell.path(), CELL, cell.ring.clone(), &mut exported).unwrap(), 21);
    let lines = exported.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
    let verified = verify_export(lines, Expected::default()).unwrap();
    assert_eq!(verified.head.sequence, 21);
}

#[test]
fn an_event_that_nobody_waits_for_is_durable_soon() {
    let cell = Cell::new(Limits::default());
    let (trail, _) = cell.open(None);
    trail.record(event("Decrypt")).unwrap();
    let begun = Instant::now();
    while cell.lines().is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(trail);
}

#[test]
fn events_of_many_threads_are_all_there_once() {
    const THREADS: usize = 8;
    const EVENTS: usize = 2000;
    let limits = Limits { segment_bytes_max: 1 << 20, queue_events_max: 64, ..Limits::default() };
    let cell = Cell::new(Limits { checkpoint_events: 3000, ..limits });
    let (trail, _) = cell.open(None);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let trail = trail.clone();
            scope.spawn(move || {
                for number in 0..EVENTS {
                    let event = event(format!("Call-{thread}-{number}"));
                    if number % 500 == 0 {
                        trail.record_durable(event).unwrap();
                    } else {
                        trail.record(event).unwrap();
                    }
                }
            });
        }
    });
    trail.close().unwrap();
    let mut next = [0; THREADS];
    for name in cell.names() {
        let Some(rest) = name.strip_prefix("Call-") else { continue };
        let (thread, number) = rest.split_once('-').unwrap();
        let (thread, number): (usize, usize) = (thread.parse().unwrap(), number.parse().unwrap());
        // Once each, and of one thread in the order in which it called.
        assert_eq!(number, next[thread]);
        next[thread] += 1;
    }
    assert_eq!(next, [EVENTS; THREADS]);
    let report = cell.verify(None).unwrap();
    assert!(report.verified.checkpoints >= 2, "{report:?}");
    let head = report.verified.head.sequence;
    assert_eq!(report.verified.vouched.unwrap().sequence, head - 1);
}

#[test]
fn a_trail_has_one_writer() {
    let cell = Cell::new(small());
    let (trail, _) = cell.open(None);
    assert!(matches!(AuditTrail::open(cell.options(None)), Err(TrailError::InUse { .. })));
    drop(trail);
    cell.open(None);
}

#[test]
fn a_change_is_announced_and_closed() {
    let cell = Cell::new(small());
    let (trail, _) = cell.open(None);
    let refused = Failure { code: "DisabledException".into(), message: String::new() };
    let intent = trail.intent(event("CreateKey")).unwrap();
    assert_eq!((intent.sequence(), intent.head().sequence), (0, 1));
    let stored = intent.head();
    intent.close(None).unwrap();
    let intent = trail.intent(event("EnableKey")).unwrap();
    intent.close(Some(refused)).unwrap();
    drop(trail.intent(event("DisableKey")).unwrap());
    trail.close().unwrap();
    let phases: Vec<_> =
        cell.lines().iter().map(|line| ParsedLine::parse(line).unwrap().phase).collect();
    let outcome = |intent, done| ParsedPhase::Outcome { intent, done };
    let intent = ParsedPhase::Intent;
    let expected = [
        intent.clone(),
        outcome(0, true),
        intent.clone(),
        outcome(2, false),
        intent,
        outcome(4, false),
    ];
    assert_eq!(phases[..6], expected);
    assert_eq!(cell.open(Some(stored)).1.interrupted, []);
}

#[test]
fn tasks_wait_without_blocking_and_given_up_ones_leave_nothing_open() {
    let cell = Cell::new(Limits { queue_events_max: 2, ..small() });
    let (trail, _) = cell.open(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for _ in 0..10 {
            trail.record_async(event("Decrypt")).await.unwrap();
        }
        let head = trail.record_durable_async(event("Encrypt")).await.unwrap();
        assert_eq!(head.sequence, 11);
        let intent = trail.intent_async(event("CreateKey")).await.unwrap();
        intent.close_async(None).await.unwrap();
        for wait in [Duration::ZERO, Duration::from_millis(30)] {
            // Given up before the answer was looked at, whether or not it was there by then.
            let mut intent = Box::pin(trail.intent_async(event("DisableKey")));
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(intent.as_mut().poll(context).is_ready())
            });
            polled.await;
            std::thread::sleep(wait);
            drop(intent);
        }
    });
    trail.close().unwrap();
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for line in cell.lines() {
        let line = ParsedLine::parse(&line).unwrap();
        match line.phase {
            ParsedPhase::Intent => open.push(line.sequence),
            ParsedPhase::Outcome { intent, .. } => closed.push(intent),
            _ => {}
        }
    }
    assert_eq!(open.len(), 3);
    assert_eq!(open, closed);
}

#[test]
fn the_domain_keys_that_segments_need_are_named() {
    let entropy = &mut SystemEntropy::new();
    let root = RootKey::generate(entropy);
    let mut make = || DomainKeyRecord::generate(&root, CELL, UnixSeconds(1), entropy).0;
    let records = [make(), make()];
    let ids = records.each_ref().map(|record| record.id);
    let ring = |records: &[DomainKeyRecord]| -> RingSource {
        let ring = Arc::new(DomainRing::unwrap_keys(&root, CELL, records).unwrap());
        Arc::new(move || ring.clone())
    };
    let mut cell = Cell::new(small());
    assert_eq!(domains_needed(&cell.path()).unwrap(), []);
    for ring in [ring(&records[..1]), ring(&records)] {
        cell.ring = ring;
        let (trail, _) = cell.open(None);
        for _ in 0..10 {
            trail.record(event("Decrypt")).unwrap();
        }
        trail.close().unwrap();
    }
    let mut expected = ids;
    expected.sort_unstable();
    assert_eq!(domains_needed(&cell.path()).unwrap(), expected);
    assert!(cell.verify(None).is_ok());
    cell.ring = ring(&records[1..]);
    let retired = matches!(
        cell.verify(None),
        Err(TrailError::Sealed { error: keys::service_log::LogError::KeyRetired(id), .. })
            if id == ids[0]
    );
    assert!(retired);
}
