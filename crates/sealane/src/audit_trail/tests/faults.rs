//! Disks that fail and signers that do not answer.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::super::folder::Appending;
use super::*;

/// What the disk does next, shared with the test.
#[derive(Default)]
struct Faults {
    append: AtomicU32,
    sync: AtomicU32,
    syncs: AtomicUsize,
}

const ENOSPC: u32 = 28;
const EIO: u32 = 5;

struct FaultyFolder(Arc<Faults>);
struct FaultyFile(Arc<Faults>);

fn result(code: &AtomicU32) -> io::Result<()> {
    match code.load(Ordering::SeqCst) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap())),
    }
}

impl Medium for FaultyFolder {
    fn create(&mut self, _: u64) -> io::Result<Box<dyn Appending>> {
        Ok(Box::new(FaultyFile(self.0.clone())))
    }

    fn path(&self, first: u64) -> PathBuf {
        PathBuf::from(format!("/test/{first}"))
    }
}

impl Appending for FaultyFile {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        result(&self.0.append)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        result(&self.0.sync)
    }
}

fn open_on(faults: &Arc<Faults>, cell: &Cell) -> AuditTrail {
    let options = cell.options(None);
    let shared = Arc::new(Shared::default());
    let folder = Folder::lock(&options.dir).unwrap();
    let recovered = recover::recover(&options.dir, CELL, &options.ring, None).unwrap();
    let (mut writer, _) = writer_after(folder, recovered, &options, shared.clone()).unwrap();
    writer.medium = Box::new(FaultyFolder(faults.clone()));
    AuditTrail::start(writer, options, shared).unwrap()
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_acknowledged_any_more() {
    let check = |append: u32, sync: u32, full: bool| {
        let (faults, cell) = (Arc::new(Faults::default()), Cell::new(small()));
        let trail = open_on(&faults, &cell);
        trail.record_durable(event("Decrypt")).unwrap();
        assert_eq!(trail.healthy(), Ok(()));
        let intent = trail.intent(event("DisableKey")).unwrap();
        faults.append.store(append, Ordering::SeqCst);
        faults.sync.store(sync, Ordering::SeqCst);
        let error = trail.record_durable(event("Decrypt")).unwrap_err();
        let RecordError::Poisoned(poison) = &error else { panic!("{error}") };
        assert_eq!(matches!(poison, Poison::DiskFull { .. }), full, "{poison}");
        // The disk works again, which proves nothing about what it has lost.
        faults.append.store(0, Ordering::SeqCst);
        faults.sync.store(0, Ordering::SeqCst);
        let syncs = faults.syncs.load(Ordering::SeqCst);
        assert_eq!(trail.record(event("Decrypt")), Err(error.clone()));
        assert_eq!(trail.record_durable(event("Decrypt")), Err(error.clone()));
        assert_eq!(trail.intent(event("EnableKey")).unwrap_err(), error);
        assert_eq!(intent.close(None), Err(error.clone()));
        assert_eq!(trail.healthy(), Err(error.clone()));
        assert_eq!(trail.close(), Err(error));
        assert_eq!(faults.syncs.load(Ordering::SeqCst), syncs);
    };
    check(ENOSPC, 0, true);
    check(EIO, 0, false);
    check(0, EIO, false);
    check(0, ENOSPC, false);
}

#[test]
fn what_is_to_be_durable_is_synced_before_it_is_acknowledged() {
    let (faults, cell) = (Arc::new(Faults::default()), Cell::new(small()));
    let trail = open_on(&faults, &cell);
    let syncs = || faults.syncs.load(Ordering::SeqCst);
    let synced = |what: &str, act: &dyn Fn() -> Result<TrailHead, RecordError>| {
        let before = syncs();
        act().unwrap();
        assert!(syncs() > before, "{what}");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let intent = trail.intent(event("DisableKey")).unwrap();
    for _ in 0..8 {
        synced("a record", &|| trail.record_durable(event("Decrypt")));
        synced("a record of a task", &|| {
            runtime.block_on(trail.record_durable_async(event("Decrypt")))
        });
        synced("an intent", &|| trail.intent(event("EnableKey")).map(|intent| intent.head()));
    }
    let before = syncs();
    intent.close(None).unwrap();
    assert!(syncs() > before, "an outcome");
}

/// Beginning a segment finishes the one before, which may be what fails.
#[test]
fn whatever_record_the_disk_fails_at_is_refused() {
    for before in 0..24 {
        for (append, sync) in [(EIO, 0), (0, EIO), (ENOSPC, 0)] {
            let (faults, cell) = (Arc::new(Faults::default()), Cell::new(small()));
            let trail = open_on(&faults, &cell);
            for _ in 0..before {
                trail.record_durable(event("Decrypt")).unwrap();
            }
            faults.append.store(append, Ordering::SeqCst);
            faults.sync.store(sync, Ordering::SeqCst);
            let answer = trail.record_durable(event("Decrypt"));
            assert!(matches!(answer, Err(RecordError::Poisoned(_))), "{before}: {answer:?}");
        }
    }
}

#[test]
fn callers_that_wait_for_a_full_queue_hear_of_a_failed_disk() {
    let faults = Arc::new(Faults::default());
    let cell = Cell::new(Limits { queue_events_max: 2, ..small() });
    let trail = open_on(&faults, &cell);
    faults.sync.store(EIO, Ordering::SeqCst);
    let refused: usize = std::thread::scope(|scope| {
        let thread = || scope.spawn(|| trail.record_durable(event("Decrypt")).is_err());
        let threads: Vec<_> = (0..16).map(|_| thread()).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(refused, 16);
}

#[test]
fn no_more_intents_are_begun_than_are_allowed() {
    let cell = Cell::new(Limits::default());
    let (trail, _) = cell.open(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let intents: Vec<_> = runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..=INTENTS_OPEN_MAX {
            let trail = trail.clone();
            tasks.push(tokio::task::spawn(
                async move { trail.intent_async(event("DisableKey")).await },
            ));
        }
        let mut intents = Vec::new();
        for task in tasks {
            intents.push(task.await.unwrap());
        }
        intents
    });
    let refused: Vec<_> = intents.iter().filter_map(|intent| intent.as_ref().err()).collect();
    assert_eq!(refused, [&RecordError::TooManyIntents { max: INTENTS_OPEN_MAX }]);
    drop(intents);
    assert!(trail.intent(event("DisableKey")).is_ok());
}

/// Signs only when it is let, and says when it is asked.
struct SlowSigner {
    key: Arc<SigningKey>,
    asked: std::sync::mpsc::Sender<()>,
    may: std::sync::mpsc::Receiver<bool>,
}

impl Signer for SlowSigner {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, crypto::SignError> {
        let _ = self.asked.send(());
        if self.may.recv() == Ok(true) {
            self.key.sign(message)
        } else {
            Err(crypto::SignError::Failed)
        }
    }
}

#[test]
fn a_slow_or_failing_signer_keeps_nobody_waiting() {
    let cell = Cell::new(Limits { checkpoint_events: 3, ..small() });
    let (asked, is_asked) = std::sync::mpsc::channel();
    let (may, allowed) = std::sync::mpsc::channel();
    let signer = SlowSigner { key: cell.signer.clone(), asked, may: allowed };
    let options = TrailOptions { signer: Box::new(signer), ..cell.options(None) };
    let (trail, _) = AuditTrail::open(options).unwrap();
    for _ in 0..3 {
        trail.record_durable(event("Decrypt")).unwrap();
    }
    is_asked.recv_timeout(PATIENCE).unwrap();
    for _ in 0..20 {
        trail.record_durable(event("Decrypt")).unwrap();
    }
    may.send(true).unwrap();
    is_asked.recv_timeout(PATIENCE).unwrap();
    may.send(false).unwrap();
    trail.record_durable(event("Decrypt")).unwrap();
    may.send(true).unwrap();
    trail.close().unwrap();
    let report = cell.verify(None).unwrap();
    assert!(report.verified.checkpoints >= 1);
    assert!(report.verified.vouched.is_some());
}
