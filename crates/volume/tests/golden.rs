//! Format version 1, byte for byte. The files beside this test are never edited: a program that
//! cannot read them cannot read its users' disks.
//!
//! To begin a new version, put its directory's name below, run the test once with
//! `SEALANE_GOLDEN_NEW=1` (which writes only files that do not exist) and keep the old test.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use crypto::{DataKey, Entropy, Id};
use volume::{
    AttachNo, BLOCK_BYTES, ByteLen, Disk, DiskError, Engine, Epoch, Freshness, Identity, Object,
    Params, SEGMENT_BYTES_MIN, SegmentNo, SuperblockNo, SyncJob,
};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A disk that never fails. Zeros at the end of a file are not kept.
#[derive(Clone, Default, PartialEq, Eq)]
struct Files(BTreeMap<Object, Vec<u8>>);

impl Disk for Files {
    fn read(&self, object: Object, offset: u64, bytes: &mut [u8]) -> Result<usize, DiskError> {
        let file = self.0.get(&object).ok_or(DiskError::Missing { object })?;
        let kept = file.get(usize::try_from(offset).unwrap()..).unwrap_or(&[]);
        let copied = kept.len().min(bytes.len());
        bytes[..copied].copy_from_slice(&kept[..copied]);
        bytes[copied..].fill(0);
        Ok(bytes.len())
    }

    fn create(&mut self, object: Object, _len: u64) -> Result<(), DiskError> {
        self.0.insert(object, Vec::new());
        Ok(())
    }

    fn write(&mut self, object: Object, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.0.get_mut(&object).ok_or(DiskError::Missing { object })?;
        let offset = usize::try_from(offset).unwrap();
        file.resize(file.len().max(offset + bytes.len()), 0);
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync_job(&self, _object: Object) -> Result<SyncJob, DiskError> {
        Ok(Box::new(|| Ok(())))
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn remove(&mut self, object: Object) -> Result<(), DiskError> {
        self.0.remove(&object);
        Ok(())
    }

    fn segments(&self) -> Result<Vec<SegmentNo>, DiskError> {
        Ok(self
            .0
            .keys()
            .filter_map(|object| match object {
                Object::Segment(segment) => Some(*segment),
                Object::Superblock(_) => None,
            })
            .collect())
    }
}

/// Counts, so that the bytes of the test are always the same.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0 += 1;
        bytes.fill(self.0);
    }
}

fn identity() -> Identity {
    Identity { volume: Id::from_bytes(*b"volume of golden"), epoch: Epoch(3) }
}

fn key() -> DataKey {
    DataKey::from_caller(b"this key protects golden files..").unwrap()
}

fn block(value: u8) -> [u8; BLOCK_BYTES] {
    [value; BLOCK_BYTES]
}

/// Writes, a trim, a checkpoint with moved blocks, and a group after it.
fn write_version_1() -> Files {
    let Identity { volume, epoch } = identity();
    let size = ByteLen(100 * BLOCK);
    let params = Params { volume, epoch, size, segment_bytes: SEGMENT_BYTES_MIN };
    let mut files = Files::default();
    Engine::format(&params, key(), &mut files).unwrap();
    let mut entropy = Counting(0);
    let shared = Shared::new(files);
    let never = Freshness::NeverAnchored;
    let mut engine =
        Engine::open(identity(), key(), shared.clone(), AttachNo(5), never, &mut entropy).unwrap();
    for lba in [0, 1, 99] {
        engine.write(lba * BLOCK, &block(0x11), &mut entropy).unwrap();
    }
    engine.flush(&mut entropy).unwrap();
    let extends = Freshness::Extends(engine.anchor());
    drop(engine);
    let mut engine =
        Engine::open(identity(), key(), shared.clone(), AttachNo(6), extends, &mut entropy)
            .unwrap();
    engine.trim(0, BLOCK, &mut entropy).unwrap();
    engine.compact(&mut entropy).unwrap();
    engine.write(BLOCK, &block(0x22), &mut entropy).unwrap();
    engine.trim(50 * BLOCK, 50 * BLOCK, &mut entropy).unwrap();
    engine.write(98 * BLOCK, &block(0x33), &mut entropy).unwrap();
    engine.flush(&mut entropy).unwrap();
    let mut files = shared.take();
    files.0.retain(|_, bytes| !bytes.is_empty());
    files
}

fn check_version_1(files: Files) {
    let mut engine = Engine::open(
        identity(),
        key(),
        files,
        AttachNo(7),
        Freshness::NeverAnchored,
        &mut Counting(100),
    )
    .unwrap();
    let mut found = block(0);
    for (lba, value) in [(0, 0), (1, 0x22), (2, 0), (98, 0x33), (99, 0)] {
        engine.read(lba * BLOCK, &mut found).unwrap();
        assert_eq!(found, block(value), "block {lba}");
    }
    let stats = engine.stats();
    assert_eq!((stats.blocks_mapped, stats.bytes_sealed), (2, 5 * BLOCK));
    assert_eq!(stats.sequence.0, 5);
    engine.flush(&mut Counting(200)).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "golden files are files; the core knows none")]
fn golden_version_1() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let written = write_version_1();
    if std::env::var_os("SEALANE_GOLDEN_NEW").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (object, bytes) in &written.0 {
            let path = folder.join(object.to_string());
            if !path.exists() {
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
    let names = [
        Object::Superblock(SuperblockNo::First),
        Object::Superblock(SuperblockNo::Second),
        Object::Segment(SegmentNo(6)),
    ];
    let read = |object: Object| (object, std::fs::read(folder.join(object.to_string())).unwrap());
    let golden = Files(names.into_iter().map(read).collect());
    check_version_1(golden.clone());
    assert!(written == golden, "the engine writes other bytes than version 1 was");
}

/// The engine owns its disk; this lets the test look at it afterwards.
#[derive(Clone)]
struct Shared(std::rc::Rc<std::cell::RefCell<Files>>);

impl Shared {
    fn new(files: Files) -> Self {
        Self(std::rc::Rc::new(std::cell::RefCell::new(files)))
    }

    fn take(&self) -> Files {
        self.0.borrow().clone()
    }
}

impl Disk for Shared {
    fn read(&self, object: Object, offset: u64, bytes: &mut [u8]) -> Result<usize, DiskError> {
        self.0.borrow().read(object, offset, bytes)
    }

    fn create(&mut self, object: Object, len: u64) -> Result<(), DiskError> {
        self.0.borrow_mut().create(object, len)
    }

    fn write(&mut self, object: Object, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.0.borrow_mut().write(object, offset, bytes)
    }

    fn sync_job(&self, object: Object) -> Result<SyncJob, DiskError> {
        self.0.borrow().sync_job(object)
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn remove(&mut self, object: Object) -> Result<(), DiskError> {
        self.0.borrow_mut().remove(object)
    }

    fn segments(&self) -> Result<Vec<SegmentNo>, DiskError> {
        self.0.borrow().segments()
    }
}
