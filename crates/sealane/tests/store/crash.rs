//! Power fails at every point of a commit, on a disk that keeps what it likes of what was not
//! synced. Reopened, the store holds what was acknowledged, or one transaction more.

#![expect(clippy::cast_possible_truncation, reason = "a simulated disk is small")]

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crypto::{Id, SystemEntropy};
use keys::UnixSeconds;
use redb::StorageBackend;
use sealane::store::{Anchor, AnchorKeeper, Reader, RedbBackend, Store, StoreError};

use crate::kit::{NUMBERS, Root};

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    Anchor(Anchor),
    Acknowledged,
}

/// A disk and an anchor that remember in which order they were told what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// The files of a folder at some moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(pub(crate) Arc<Vec<(OsString, Vec<u8>)>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    anchor: Option<Anchor>,
    events: Vec<Event>,
    /// A folder on another disk, and what it held when each of the events came.
    trail: Option<PathBuf>,
    trails: Vec<Files>,
    /// How long the file may become; longer is a full disk.
    bytes_max: Option<u64>,
    anchor_fails: bool,
    /// A sync fails, though what was written arrives.
    sync_fails: bool,
}

/// Which of the writes after the last sync reached the platter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    None,
    All,
    Even,
    Odd,
}

fn apply(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(data);
        }
        Event::SetLen(len) => bytes.resize(*len as usize, 0),
        Event::Sync | Event::Anchor(_) | Event::Acknowledged => {}
    }
}

/// The disk as power fails after `events`.
pub(crate) fn crashed(events: &[Event], kept: Kept) -> Disk {
    let synced = events.iter().rposition(|event| matches!(event, Event::Sync)).unwrap_or(0);
    let mut state = State::default();
    for event in &events[..synced] {
        apply(&mut state.bytes, event);
    }
    for (at, event) in events[synced..].iter().enumerate() {
        let reached = match kept {
            Kept::None => false,
            Kept::All => true,
            Kept::Even => at % 2 == 0,
            Kept::Odd => at % 2 == 1,
        };
        if reached {
            apply(&mut state.bytes, event);
        }
    }
    state.anchor = events.iter().rev().find_map(|event| match event {
        Event::Anchor(anchor) => Some(*anchor),
        _ => None,
    });
    Disk(Arc::new(Mutex::new(state)))
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let from = state.bytes.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.tell(Event::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.tell(Event::Sync)?;
        if self.0.lock().unwrap().sync_fails { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.tell(Event::Write(offset, data.to_vec()))
    }
}

impl AnchorKeeper for Disk {
    fn read(&self) -> Result<Anchor, StoreError> {
        let anchor = self.0.lock().unwrap().anchor;
        anchor.ok_or_else(|| StoreError::AnchorMissing { path: "test".into() })
    }

    fn advance(&self, anchor: &Anchor) -> Result<(), StoreError> {
        if self.0.lock().unwrap().anchor_fails {
            return Err(StoreError::DiskFull { path: "test".into() });
        }
        self.0.lock().unwrap().anchor = Some(*anchor);
        self.tell(Event::Anchor(*anchor)).unwrap();
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("test")
    }
}

impl Disk {
    fn tell(&self, event: Event) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let end = match &event {
            Event::Write(offset, data) => *offset + data.len() as u64,
            Event::SetLen(len) => *len,
            _ => 0,
        };
        if state.bytes_max.is_some_and(|max| end > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        apply(&mut state.bytes, &event);
        state.events.push(event);
        let trail = Files::of(state.trail.as_ref());
        state.trails.push(trail);
        Ok(())
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().events.clone()
    }

    /// From now on looks at `trail` whenever it is told something.
    pub(crate) fn watch_trail(&self, trail: &Path) {
        self.0.lock().unwrap().trail = Some(trail.to_owned());
    }

    /// What the trail held after each of the events.
    pub(crate) fn trails(&self) -> Vec<Files> {
        self.0.lock().unwrap().trails.clone()
    }

    /// The same bytes and anchor on a disk of their own.
    pub(crate) fn copy(&self) -> Self {
        let state = self.0.lock().unwrap();
        let (bytes, anchor) = (state.bytes.clone(), state.anchor);
        Self(Arc::new(Mutex::new(State { bytes, anchor, ..State::default() })))
    }

    pub(crate) fn set_anchor_of(&self, other: &Self) {
        let anchor = other.0.lock().unwrap().anchor;
        self.0.lock().unwrap().anchor = anchor;
    }

    /// As somebody with a copy of redb opens it.
    pub(crate) fn raw(&self) -> redb::Database {
        redb::Builder::new().create_with_backend(self.clone()).unwrap()
    }

    pub(crate) fn acknowledge(&self) {
        self.tell(Event::Acknowledged).unwrap();
    }

    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.0.lock().unwrap().sync_fails = fail;
    }

    fn backend(&self) -> Result<Box<RedbBackend<Disk>>, StoreError> {
        let disk = self.clone();
        let medium = Box::new(move || Ok(disk.clone()));
        Ok(Box::new(RedbBackend::over(Path::new("test"), medium)?))
    }

    pub(crate) fn create(&self, id: Id, root: &Root) -> Store {
        let anchor = Box::new(self.clone());
        Store::create(id, self.backend().unwrap(), anchor, root.key(), UnixSeconds(1)).unwrap()
    }

    pub(crate) fn open(&self, id: Id, root: &Root) -> Result<Store, StoreError> {
        Store::open(id, self.backend()?, Box::new(self.clone()), root.key())
    }
}

pub(crate) fn new_cell() -> (Id, Root) {
    let id = Id::random(&mut SystemEntropy::new());
    (id, Root::new(id))
}

/// The last number and how many there are: each transaction adds one and replaces `last`.
fn written(store: &Store) -> (u64, u64) {
    let snapshot = store.snapshot().unwrap();
    let last = snapshot.get(&NUMBERS, "last").unwrap().map_or(0, |last| last.value);
    let records = snapshot.scan(&NUMBERS).unwrap().len() as u64;
    assert_eq!(store.count(&NUMBERS), records);
    (last, records)
}

fn write(store: &Store, number: u64) -> Result<(), StoreError> {
    store.transact(|transaction| {
        transaction.put(&NUMBERS, &format!("number {number}"), &number)?;
        transaction.put(&NUMBERS, "last", &number)
    })
}

/// `SEALANE_CRASH_ALL=1` tries every write, instead of the neighbourhood of every sync.
#[test]
fn power_may_fail_anywhere() {
    let all = std::env::var_os("SEALANE_CRASH_ALL").is_some();
    let (id, root) = new_cell();
    let disk = Disk::default();
    let store = disk.create(id, &root);
    let first = disk.0.lock().unwrap().events.len();
    for number in 1..=6 {
        write(&store, number).unwrap();
        if number == 4 {
            store.transact(|transaction| transaction.rotate_domain(UnixSeconds(2))).unwrap();
        }
        disk.tell(Event::Acknowledged).unwrap();
    }
    drop(store);
    let events = disk.0.lock().unwrap().events.clone();
    let mut tried = 0;
    for at in first..=events.len() {
        let near = |event: Option<&Event>| matches!(event, Some(Event::Sync | Event::Anchor(_)));
        if !all && !near(events.get(at)) && !near(at.checked_sub(1).and_then(|at| events.get(at))) {
            continue;
        }
        let so_far = &events[..at];
        let acknowledged =
            so_far.iter().filter(|event| matches!(event, Event::Acknowledged)).count() as u64;
        for kept in [Kept::None, Kept::All, Kept::Even, Kept::Odd] {
            let disk = crashed(so_far, kept);
            let store = disk.open(id, &root).unwrap_or_else(|error| {
                panic!("crash after event {at} of {}, {kept:?} kept: {error}", events.len())
            });
            let (last, records) = written(&store);
            assert!(
                last == acknowledged || last == acknowledged + 1,
                "crash after event {at}, {kept:?} kept: {last} of {acknowledged}"
            );
            assert_eq!(records, if last == 0 { 0 } else { last + 1 });
            // And it goes on from there.
            write(&store, last + 1).unwrap();
            drop(store);
            assert_eq!(written(&disk.open(id, &root).unwrap()).0, last + 1);
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried} crashes are too few to mean anything");
}

#[test]
fn a_full_disk_is_named_and_the_store_goes_on_when_there_is_room() {
    let (id, root) = new_cell();
    let disk = Disk::default();
    let store = disk.create(id, &root);
    let len = StorageBackend::len(&disk).unwrap();
    disk.0.lock().unwrap().bytes_max = Some(len);
    let mut acknowledged = 0;
    let error = loop {
        match write(&store, acknowledged + 1) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "the disk never fills");
        if acknowledged == 3 {
            disk.0.lock().unwrap().bytes_max = Some(0);
        }
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(write(&store, acknowledged + 1).is_err(), "still full");
    disk.0.lock().unwrap().bytes_max = None;
    let next = written_after_recovery(&store);
    assert!(next == acknowledged || next == acknowledged + 1);
    write(&store, next + 1).unwrap();
    drop(store);
    assert_eq!(written(&disk.open(id, &root).unwrap()).0, next + 1);
}

/// Beginning a transaction is what recovers.
fn written_after_recovery(store: &Store) -> u64 {
    drop(store.begin().unwrap());
    written(store).0
}

#[test]
fn an_anchor_that_cannot_advance_holds_everything_up_until_it_can() {
    let (id, root) = new_cell();
    let disk = Disk::default();
    let store = disk.create(id, &root);
    write(&store, 1).unwrap();
    let before = store.sequence();
    disk.0.lock().unwrap().anchor_fails = true;
    assert!(matches!(write(&store, 2), Err(StoreError::DiskFull { .. })));
    assert_eq!(store.sequence(), before, "what is not anchored is not announced");
    assert!(write(&store, 3).is_err(), "or the store would be two ahead of its anchor");
    disk.0.lock().unwrap().anchor_fails = false;
    write(&store, 3).unwrap();
    drop(store);
    assert_eq!(written(&disk.open(id, &root).unwrap()).0, 3);
}
