//! What a volume does when room runs out or the disk fails, and how much room it takes.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

use crypto::{DataKey, Id};
use sim::disk::{Faults, Image, SimDisk, Survival};
use sim::entropy::SeededEntropy;
use volume::{
    Anchor, AttachNo, BLOCK_BYTES, ByteLen, Disk, Engine, Epoch, Freshness, Identity, Object,
    Params, SEGMENT_BYTES_MIN, SegmentNo, WriteError,
};

const BLOCK: u64 = BLOCK_BYTES as u64;

fn key() -> DataKey {
    DataKey::from_caller(&[42; 32]).unwrap()
}

fn identity() -> Identity {
    Identity { volume: Id::from_bytes([9; 16]), epoch: Epoch(1) }
}

struct Bench {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    entropy: SeededEntropy,
    /// What each block holds, by its first byte; 0 for zeros.
    model: Vec<u8>,
    /// Of the disk, now and after the next crash.
    capacity: Option<u64>,
}

impl Bench {
    fn new(blocks: u64) -> Self {
        let Identity { volume, epoch } = identity();
        let size = ByteLen(blocks * BLOCK);
        let params = Params { volume, epoch, size, segment_bytes: SEGMENT_BYTES_MIN };
        let mut disk = SimDisk::default();
        Engine::format(&params, key(), &mut disk).unwrap();
        let mut entropy = SeededEntropy::new(blocks);
        let freshness = Freshness::NeverAnchored;
        let engine =
            Engine::open(identity(), key(), disk.clone(), AttachNo(1), freshness, &mut entropy)
                .unwrap();
        let model = vec![0; usize::try_from(blocks).unwrap()];
        Self { disk, engine, entropy, model, capacity: None }
    }

    fn write(&mut self, lba: u64, value: u8) -> Result<(), WriteError> {
        self.engine.write(lba * BLOCK, &[value; BLOCK_BYTES], &mut self.entropy)?;
        self.model[usize::try_from(lba).unwrap()] = value;
        Ok(())
    }

    fn trim(&mut self, lba: u64, blocks: u64) {
        self.engine.trim(lba * BLOCK, blocks * BLOCK, &mut self.entropy).unwrap();
        let lba = usize::try_from(lba).unwrap();
        self.model[lba..lba + usize::try_from(blocks).unwrap()].fill(0);
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.engine.flush(&mut self.entropy)
    }

    fn limit(&mut self, capacity: Option<u64>) {
        self.capacity = capacity;
        self.disk.set_faults(Faults { capacity, ..Faults::default() });
    }

    fn check(&self) {
        let mut block = [0; BLOCK_BYTES];
        for (lba, value) in (0..).zip(&self.model) {
            self.engine.read(lba * BLOCK, &mut block).unwrap();
            assert!(block.iter().all(|byte| byte == value), "block {lba} is not {value}");
        }
    }

    /// The power goes, keeping only what it must; the volume is attached again.
    fn crash(&mut self) -> Anchor {
        let anchor = self.engine.anchor();
        let (base, ops) = self.disk.history();
        let image = base.after_crash(&ops, Survival::Nothing, &mut self.entropy);
        self.reattach(image, anchor);
        anchor
    }

    fn reattach(&mut self, image: Image, anchor: Anchor) {
        self.disk = SimDisk::new(image);
        self.limit(self.capacity);
        let attach = AttachNo(anchor.attach.0 + 1);
        let freshness = Freshness::Extends(anchor);
        let disk = self.disk.clone();
        self.engine =
            Engine::open(identity(), key(), disk, attach, freshness, &mut self.entropy).unwrap();
    }
}

/// The bound of the design: 1.1 times the size, and a constant number of segments.
fn bound(blocks: u64) -> u64 {
    let extra = 12 * u64::from(SEGMENT_BYTES_MIN);
    blocks * BLOCK * 11 / 10 + extra + u64::from(SEGMENT_BYTES_MIN) + 2 * BLOCK
}

/// Overwrites a full volume many times over, in the ways that leave the most garbage.
#[test]
fn a_full_volume_is_overwritten_for_ever_within_its_bound() {
    for (blocks, flush_every) in [(256, 1), (256, 50), (2000, 3), (2000, 400)] {
        let mut bench = Bench::new(blocks);
        for lba in 0..blocks {
            bench.write(lba, 1).unwrap();
        }
        let mut chance = SeededEntropy::new(flush_every);
        for round in 0..3 * blocks {
            let value = u8::try_from(2 + round % 250).unwrap();
            bench.write(chance.below(blocks), value).unwrap();
            if round % flush_every == 0 {
                bench.flush().unwrap();
            }
            let occupied = bench.disk.occupied_bytes();
            assert!(occupied <= bound(blocks), "{occupied} of {}", bound(blocks));
        }
        bench.flush().unwrap();
        bench.check();
        bench.crash();
        bench.check();
        assert_eq!(bench.engine.check(&mut |_, _| {}), []);
    }
}

/// A crash loop leaves a segment behind at each attach; they must not add up.
#[test]
fn many_attaches_stay_within_the_bound() {
    let mut bench = Bench::new(256);
    for round in 0..60 {
        for lba in 0..4 {
            bench.write((round * 4 + lba) % 256, u8::try_from(round + 1).unwrap()).unwrap();
        }
        bench.flush().unwrap();
        bench.crash();
        assert!(bench.disk.occupied_bytes() <= bound(256), "round {round}");
    }
    bench.check();
}

/// Writes find the disk full; reads go on, trims are taken and make room again.
#[test]
fn a_full_disk_refuses_writes_and_recovers_by_trimming() {
    const BLOCKS: u64 = 1000;
    let mut bench = Bench::new(BLOCKS);
    let capacity = Some(bench.disk.occupied_bytes() + 6 * u64::from(SEGMENT_BYTES_MIN));
    bench.limit(capacity);
    let mut written = 0;
    let refusal = loop {
        if let Err(refusal) = bench.write(written, 3) {
            break refusal;
        }
        written += 1;
    };
    assert_eq!(refusal, WriteError::Full);
    assert!(written > 300, "only {written} blocks fit");
    // What was accepted before is still flushed, and nothing of it is lost.
    bench.flush().unwrap();
    bench.check();
    assert_eq!(bench.write(0, 4), Err(WriteError::Full));
    bench.crash();
    bench.check();
    assert_eq!(bench.write(0, 4), Err(WriteError::Full));
    for round in 0..5 {
        bench.trim(100, 150);
        bench.flush().unwrap();
        // Not all of it comes back: the attach has begun a segment, the map has been written.
        let mut rewritten = 0;
        while rewritten < 150 && bench.write(100 + rewritten, 5).is_ok() {
            rewritten += 1;
        }
        assert!(rewritten >= 100, "round {round}: only {rewritten} blocks of 150 trimmed");
        bench.flush().unwrap();
        bench.check();
    }
    // Attaching needs no room that a full disk does not have.
    bench.crash();
    bench.check();
}

/// Trims scattered so that no segment empties by itself: only compaction can make room.
#[test]
fn a_full_disk_is_compacted_after_scattered_trims() {
    let mut bench = Bench::new(1000);
    let capacity = Some(bench.disk.occupied_bytes() + 6 * u64::from(SEGMENT_BYTES_MIN));
    bench.limit(capacity);
    let written = (0..1000).take_while(|lba| bench.write(*lba, 3).is_ok()).count() as u64;
    for lba in (0..written).step_by(2) {
        bench.trim(lba, 1);
    }
    bench.flush().unwrap();
    for lba in (0..written / 2).step_by(2) {
        bench.write(lba, 6).unwrap();
    }
    bench.flush().unwrap();
    bench.check();
    bench.crash();
    bench.check();
}

#[test]
fn a_failed_write_is_repeated_with_the_same_bytes() {
    let mut bench = Bench::new(64);
    bench.write(5, 1).unwrap();
    bench.flush().unwrap();
    bench.write(5, 2).unwrap();
    bench.write(6, 3).unwrap();
    bench.disk.set_faults(Faults { writes_failing: 2, ..Faults::default() });
    assert!(matches!(bench.flush(), Err(WriteError::Disk(_))));
    // The group is sealed but not on the disk: reads find it all the same.
    bench.check();
    assert!(matches!(bench.flush(), Err(WriteError::Disk(_))));
    bench.write(7, 4).unwrap();
    bench.flush().unwrap();
    bench.check();
    bench.crash();
    bench.check();
}

/// Nothing that follows a failed sync is acknowledged, not even where a second sync would succeed.
#[test]
fn a_failed_sync_ends_all_writing() {
    let mut bench = Bench::new(64);
    bench.write(1, 1).unwrap();
    bench.flush().unwrap();
    let durable = bench.engine.anchor();
    bench.write(2, 2).unwrap();
    bench.disk.set_faults(Faults { sync_failing: true, ..Faults::default() });
    assert!(matches!(bench.flush(), Err(WriteError::Poisoned(_))));
    assert!(matches!(bench.flush(), Err(WriteError::Poisoned(_))));
    assert!(matches!(bench.write(3, 3), Err(WriteError::Poisoned(_))));
    let trim = bench.engine.trim(0, BLOCK, &mut bench.entropy);
    assert!(matches!(trim, Err(WriteError::Poisoned(_))));
    assert_eq!(bench.engine.anchor(), durable, "what was not synced is not anchored");
    let mut block = [0; BLOCK_BYTES];
    bench.engine.read(BLOCK, &mut block).unwrap();
    assert_eq!(block, [1; BLOCK_BYTES]);
    bench.model[2] = 0;
    bench.crash();
    bench.check();
}

#[test]
fn a_flush_on_its_way_is_not_trusted_once_another_sync_has_failed() {
    let mut bench = Bench::new(64);
    bench.write(1, 1).unwrap();
    let first = bench.engine.begin_flush(&mut bench.entropy).unwrap().run();
    bench.write(2, 2).unwrap();
    bench.disk.set_faults(Faults { sync_failing: true, ..Faults::default() });
    assert!(matches!(bench.flush(), Err(WriteError::Poisoned(_))));
    assert!(matches!(bench.engine.finish_flush(first), Err(WriteError::Poisoned(_))));
}

/// Trims that arrive while a flush is on its way empty segments only in memory as yet.
#[test]
fn a_segment_is_not_removed_before_what_emptied_it_is_durable() {
    let mut bench = Bench::new(256);
    for lba in 0..256 {
        bench.write(lba, 1).unwrap();
    }
    bench.engine.compact(&mut bench.entropy).unwrap();
    bench.write(255, 2).unwrap();
    let flush = bench.engine.begin_flush(&mut bench.entropy).unwrap().run();
    let full = bench.model.clone();
    bench.trim(0, 200);
    let before = bench.engine.stats().segments;
    bench.engine.finish_flush(flush).unwrap();
    assert_eq!(bench.engine.stats().segments, before);
    let anchor = bench.engine.anchor();
    let image = bench.disk.image();
    let emptied = std::mem::replace(&mut bench.model, full);
    // Killed before the trims were flushed: the blocks are still there.
    bench.reattach(image, anchor);
    bench.check();
    bench.trim(0, 200);
    assert_eq!(bench.model, emptied);
    bench.flush().unwrap();
    assert!(bench.engine.stats().segments < before, "durable trims give segments back");
    bench.crash();
    bench.check();
}

/// An anchor stays good after its footer has been compacted away.
#[test]
fn an_old_anchor_is_found_after_compaction() {
    let mut bench = Bench::new(256);
    bench.write(0, 1).unwrap();
    bench.flush().unwrap();
    let anchor = bench.engine.anchor();
    for round in 0..20 {
        for lba in 0..256 {
            bench.write(lba, round + 1).unwrap();
        }
        bench.flush().unwrap();
    }
    bench.engine.compact(&mut bench.entropy).unwrap();
    assert!(!bench.disk.segments().unwrap().contains(&SegmentNo(0)), "its segment is gone");
    bench.reattach(bench.disk.image(), anchor);
    bench.check();
}

#[test]
fn a_damaged_block_is_left_alone_by_compaction_and_named_by_check() {
    let mut bench = Bench::new(256);
    for lba in 0..256 {
        bench.write(lba, 1).unwrap();
    }
    bench.flush().unwrap();
    let anchor = bench.engine.anchor();
    let mut image = bench.disk.image();
    // The first block of the first group, past the header.
    image.flip(Object::Segment(SegmentNo(0)), BLOCK_BYTES + 77, 0x10);
    bench.reattach(image, anchor);
    let mut steps = Vec::new();
    let bad = bench.engine.check(&mut |checked, of| steps.push((checked, of)));
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].lba.0, 0);
    assert_eq!(steps.last(), Some(&(256, 256)));
    for round in 0..12 {
        for lba in 64..256 {
            bench.write(lba, 2 + round).unwrap();
        }
        bench.flush().unwrap();
    }
    bench.engine.compact(&mut bench.entropy).unwrap();
    let bad = bench.engine.check(&mut |_, _| {});
    assert_eq!(bad.iter().map(|bad| bad.lba.0).collect::<Vec<_>>(), [0]);
    // Writing it anew mends it.
    bench.write(0, 9).unwrap();
    bench.flush().unwrap();
    assert_eq!(bench.engine.check(&mut |_, _| {}), []);
    bench.check();
}
