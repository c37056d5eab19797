//! A disk in memory that keeps what a sync has covered, and of the rest whatever a seed says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use volume::{Disk, DiskError, Object, SegmentNo, SyncJob};

use crate::entropy::SeededEntropy;

/// What the power leaves of a write is a whole number of these, in any combination.
pub const SECTOR_BYTES: usize = 512;

/// One thing that the disk was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    Create { object: Object, len: u64 },
    Write { object: Object, offset: u64, bytes: Arc<[u8]> },
    Sync(Object),
    SyncFolder,
    Remove(Object),
}

/// A write, where in its file it goes.
type Unsynced = (u64, Arc<[u8]>);

/// What happens to everything that no sync has covered when the power goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Survival {
    /// All of it is lost.
    Nothing,
    /// All of it is kept, as when only the process was killed.
    Everything,
    /// Each write and each name is kept, lost or (a write) torn, independently of the others.
    Anything,
}

impl Survival {
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Everything, Self::Anything];
}

/// A file whose end may never have been written to, and then reads as zeros.
#[derive(Clone, Debug, Default)]
struct File {
    len: u64,
    bytes: Vec<u8>,
}

impl File {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let offset = index(offset);
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self.len = self.len.max(end as u64);
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let available = index(self.len.saturating_sub(offset)).min(bytes.len());
        bytes[..available].fill(0);
        let written = self.bytes.get(index(offset)..).unwrap_or(&[]);
        let copied = written.len().min(available);
        bytes[..copied].copy_from_slice(&written[..copied]);
        available
    }
}

/// The files of a disk at one moment.
#[derive(Clone, Debug, Default)]
pub struct Image(BTreeMap<Object, File>);

impl Image {
    /// What is left of `self` after `ops` and a power failure.
    #[must_use]
    pub fn after_crash(&self, ops: &[Op], survival: Survival, chance: &mut SeededEntropy) -> Self {
        // Contents and names become durable separately: a synced file may still have no name.
        let mut contents = self.0.clone();
        let mut names: BTreeSet<Object> = self.0.keys().copied().collect();
        let mut unsynced: BTreeMap<Object, Vec<Unsynced>> = BTreeMap::new();
        let mut unsynced_names: Vec<&Op> = Vec::new();
        for op in ops {
            match op {
                Op::Create { object, len } => {
                    contents.insert(*object, File { len: *len, bytes: Vec::new() });
                    unsynced.remove(object);
                    unsynced_names.push(op);
                }
                Op::Remove(_) => unsynced_names.push(op),
                Op::Write { object, offset, bytes } => {
                    unsynced.entry(*object).or_default().push((*offset, bytes.clone()));
                }
                Op::Sync(object) => {
                    let file = contents.get_mut(object).expect("only what exists is synced");
                    for (offset, bytes) in unsynced.remove(object).unwrap_or_default() {
                        file.write(offset, &bytes);
                    }
                }
                Op::SyncFolder => {
                    for op in unsynced_names.drain(..) {
                        rename(&mut names, op);
                    }
                }
            }
        }
        for op in unsynced_names {
            if survives(survival, chance) {
                rename(&mut names, op);
            }
        }
        for (object, writes) in unsynced {
            let file = contents.get_mut(&object).expect("only what exists is written to");
            for (offset, bytes) in writes {
                match survival {
                    Survival::Nothing => {}
                    Survival::Everything => file.write(offset, &bytes),
                    Survival::Anything => tear(file, offset, &bytes, chance),
                }
            }
        }
        contents.retain(|object, _| names.contains(object));
        Self(contents)
    }

    /// Every byte of every file, by file.
    pub fn files(&self) -> impl Iterator<Item = (Object, &[u8])> + '_ {
        self.0.iter().map(|(object, file)| (*object, &file.bytes[..]))
    }

    /// Changes one byte, as somebody with the disk in his hands can.
    ///
    /// # Panics
    /// Where there is no such byte.
    pub fn flip(&mut self, object: Object, at: usize, mask: u8) {
        self.0.get_mut(&object).expect("the object exists").bytes[at] ^= mask;
    }

    /// Puts other bytes in a file.
    ///
    /// # Panics
    /// Where there is no such file.
    pub fn overwrite(&mut self, object: Object, bytes: &[u8]) {
        self.0.get_mut(&object).expect("the object exists").bytes = bytes.to_vec();
    }

    /// Takes a file away.
    pub fn remove(&mut self, object: Object) {
        self.0.remove(&object);
    }

    /// Puts in a file as it is in another image.
    pub fn replace(&mut self, object: Object, from: &Self) {
        let file = from.0.get(&object).expect("the object exists there").clone();
        self.0.insert(object, file);
    }
}

fn rename(names: &mut BTreeSet<Object>, op: &Op) {
    match op {
        Op::Create { object, .. } => {
            names.insert(*object);
        }
        Op::Remove(object) => {
            names.remove(object);
        }
        Op::Write { .. } | Op::Sync(_) | Op::SyncFolder => {}
    }
}

fn survives(survival: Survival, chance: &mut SeededEntropy) -> bool {
    match survival {
        Survival::Nothing => false,
        Survival::Everything => true,
        Survival::Anything => chance.one_in(2),
    }
}

fn tear(file: &mut File, offset: u64, bytes: &[u8], chance: &mut SeededEntropy) {
    match chance.below(4) {
        0 => {}
        1 => file.write(offset, bytes),
        2 => {
            let kept = index(chance.below(bytes.len() as u64));
            file.write(offset, &bytes[..kept]);
        }
        _ => {
            for (at, sector) in (offset..).step_by(SECTOR_BYTES).zip(bytes.chunks(SECTOR_BYTES)) {
                if chance.one_in(2) {
                    file.write(at, sector);
                }
            }
        }
    }
}

/// Faults that the disk shows to whoever uses it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// No file may be created beyond so many bytes in all.
    pub capacity: Option<u64>,
    /// So many of the next writes fail, each having written part of its bytes.
    pub writes_failing: u32,
    /// The next sync fails, and what it was to keep is dropped.
    pub sync_failing: bool,
}

#[derive(Default)]
struct State {
    base: Image,
    now: Image,
    ops: Vec<Op>,
    faults: Faults,
}

/// A handle to the disk; clones share it, as several holders of one folder would.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    #[must_use]
    pub fn new(image: Image) -> Self {
        let state = State { base: image.clone(), now: image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The disk of a process that was killed: all it was told can be read, and what it had not
    /// synced may still be lost when the power goes later.
    #[must_use]
    pub fn after_kill(base: Image, ops: Vec<Op>) -> Self {
        let now = base.after_crash(&ops, Survival::Everything, &mut SeededEntropy::new(0));
        Self(Arc::new(Mutex::new(State { base, now, ops, faults: Faults::default() })))
    }

    /// How many things the disk was told so far.
    #[must_use]
    pub fn op_count(&self) -> usize {
        self.state().ops.len()
    }

    /// What it was told, and what it held before.
    #[must_use]
    pub fn history(&self) -> (Image, Vec<Op>) {
        let state = self.state();
        (state.base.clone(), state.ops.clone())
    }

    /// What can be read now.
    #[must_use]
    pub fn image(&self) -> Image {
        self.state().now.clone()
    }

    /// Bytes that all files occupy.
    #[must_use]
    pub fn occupied_bytes(&self) -> u64 {
        occupied(&self.state().now)
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test goes on after a panic")
    }
}

fn occupied(image: &Image) -> u64 {
    image.0.values().map(|file| file.len).sum()
}

impl Disk for SimDisk {
    fn read(&self, object: Object, offset: u64, bytes: &mut [u8]) -> Result<usize, DiskError> {
        let state = self.state();
        let file = state.now.0.get(&object).ok_or(DiskError::Missing { object })?;
        Ok(file.read(offset, bytes))
    }

    fn create(&mut self, object: Object, len: u64) -> Result<(), DiskError> {
        let mut state = self.state();
        if state.now.0.contains_key(&object) {
            return Err(DiskError::Exists { object });
        }
        if state.faults.capacity.is_some_and(|capacity| occupied(&state.now) + len > capacity) {
            return Err(DiskError::Full { object });
        }
        state.now.0.insert(object, File { len, bytes: Vec::new() });
        state.ops.push(Op::Create { object, len });
        Ok(())
    }

    fn write(&mut self, object: Object, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.state();
        let failing = state.faults.writes_failing > 0;
        let kept = if failing { &bytes[..bytes.len() / 3] } else { bytes };
        state.now.0.get_mut(&object).ok_or(DiskError::Missing { object })?.write(offset, kept);
        state.ops.push(Op::Write { object, offset, bytes: kept.into() });
        if failing {
            state.faults.writes_failing -= 1;
            return Err(DiskError::Failed { object, detail: "simulated".to_owned() });
        }
        Ok(())
    }

    fn sync_job(&self, object: Object) -> Result<SyncJob, DiskError> {
        let disk = self.clone();
        Ok(Box::new(move || {
            let mut state = disk.state();
            if !state.now.0.contains_key(&object) {
                return Err(DiskError::Missing { object });
            }
            if std::mem::take(&mut state.faults.sync_failing) {
                return Err(DiskError::Failed { object, detail: "simulated".to_owned() });
            }
            state.ops.push(Op::Sync(object));
            Ok(())
        }))
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        self.state().ops.push(Op::SyncFolder);
        Ok(())
    }

    fn remove(&mut self, object: Object) -> Result<(), DiskError> {
        let mut state = self.state();
        if state.now.0.remove(&object).is_some() {
            state.ops.push(Op::Remove(object));
        }
        Ok(())
    }

    fn segments(&self) -> Result<Vec<SegmentNo>, DiskError> {
        let segment = |object: &Object| match object {
            Object::Segment(segment) => Some(*segment),
            Object::Superblock(_) => None,
        };
        Ok(self.state().now.0.keys().filter_map(segment).collect())
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("the simulated disk is in memory")
}
