//! Crash a volume everywhere, reopen it, and compare it with a naive model.
//!
//! A workload runs once, on a disk that notes what it is told. For every prefix of those notes
//! the disk is built that a power failure at that moment leaves (three kinds of luck), attached
//! again, and read: it must be what the model was after some prefix of the changes, and that
//! prefix must hold everything that a flush had covered.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

use std::collections::HashMap;

use crypto::{DataKey, Id};
use sim::disk::{Image, Op, SimDisk, Survival};
use sim::entropy::SeededEntropy;
use volume::{
    Anchor, AttachNo, BLOCK_BYTES, ByteLen, Engine, Epoch, Freshness, Identity, Object, Params,
};

const BLOCK: u64 = BLOCK_BYTES as u64;
const SEEDS_DEFAULT: u64 = 200;
/// Seeds that found a fault once.
const REGRESSIONS: [u64; 1] = [231];

fn seeds() -> u64 {
    std::env::var("SEALANE_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(SEEDS_DEFAULT)
}

fn key() -> DataKey {
    DataKey::from_caller(&[42; 32]).unwrap()
}

fn identity() -> Identity {
    Identity { volume: Id::from_bytes([9; 16]), epoch: Epoch(1) }
}

/// One block has become this version; version 0 reads as zeros.
#[derive(Clone, Copy, Debug)]
struct Change {
    lba: u64,
    version: u64,
}

/// What the model knows at some point of the disk's notes.
struct Run {
    blocks: u64,
    base: Image,
    ops: Vec<Op>,
    /// With the length of the notes when it was asked for. One step's changes stand together.
    changes: Vec<(usize, Vec<Change>)>,
    /// Length of the notes when a flush had returned, and how many changes came before it.
    flushes: Vec<(usize, usize)>,
    anchors: Vec<(usize, Anchor)>,
}

fn content(lba: u64, version: u64) -> Vec<u8> {
    if version == 0 {
        return vec![0; BLOCK_BYTES];
    }
    let mut unit = lba.to_le_bytes().to_vec();
    unit.extend(version.to_le_bytes());
    unit.repeat(BLOCK_BYTES / 16)
}

fn versions(engine: &Engine<SimDisk>, blocks: u64) -> Vec<u64> {
    let mut bytes = vec![0; usize::try_from(blocks * BLOCK).unwrap()];
    engine.read(0, &mut bytes).expect("every block of a recovered volume can be read");
    (0..blocks)
        .zip(bytes.chunks_exact(BLOCK_BYTES))
        .map(|(lba, block)| {
            let version = u64::from_le_bytes(block[8..16].try_into().unwrap());
            assert_eq!(block, content(lba, version), "block {lba} is no version of itself");
            version
        })
        .collect()
}

fn work(seed: u64) -> Run {
    let mut chance = SeededEntropy::new(seed);
    let mut entropy = chance.fork();
    let blocks = [24, 64, 130][usize::try_from(chance.below(3)).unwrap()];
    let size = ByteLen(blocks * BLOCK);
    let Identity { volume, epoch } = identity();
    let params = Params { volume, epoch, size, segment_bytes: volume::SEGMENT_BYTES_MIN };
    let mut empty = SimDisk::default();
    Engine::format(&params, key(), &mut empty).unwrap();
    // Making the volume has its own test; from here on its superblocks are durable.
    let (base, ops) = empty.history();
    let mut disk = SimDisk::new(base.after_crash(&ops, Survival::Nothing, &mut chance));
    let mut run = Run {
        blocks,
        base: Image::default(),
        ops: Vec::new(),
        changes: Vec::new(),
        flushes: Vec::new(),
        anchors: Vec::new(),
    };
    let mut version = 0;
    let mut attach = AttachNo(1);
    let mut freshness = Freshness::NeverAnchored;
    if chance.one_in(2) {
        // A volume with a past: some segments of garbage, a checkpoint perhaps.
        let mut engine =
            Engine::open(identity(), key(), disk.clone(), attach, freshness, &mut entropy).unwrap();
        for _ in 0..chance.below(1000) {
            let lba = chance.below(blocks);
            version += 1;
            engine.write(lba * BLOCK, &content(lba, version), &mut entropy).unwrap();
            run.changes.push((0, vec![Change { lba, version }]));
        }
        engine.flush(&mut entropy).unwrap();
        let anchor = engine.anchor();
        run.anchors.push((0, anchor));
        (attach, freshness) = (AttachNo(2), Freshness::Extends(anchor));
        disk = SimDisk::new(disk.image());
    }
    run.flushes.push((0, run.changes.len()));
    let mut engine =
        Engine::open(identity(), key(), disk.clone(), attach, freshness, &mut entropy).unwrap();
    run.anchors.push((disk.op_count(), engine.anchor()));
    for _ in 0..chance.below(40) + 5 {
        let lba = chance.below(blocks);
        let longest = if chance.one_in(4) { blocks } else { 6 };
        let count = (1 + chance.below(longest)).min(blocks - lba);
        let at = disk.op_count();
        match chance.below(12) {
            0..=5 => {
                let mut bytes = Vec::new();
                for lba in lba..lba + count {
                    version += 1;
                    bytes.extend(content(lba, version));
                    run.changes.push((at, vec![Change { lba, version }]));
                }
                engine.write(lba * BLOCK, &bytes, &mut entropy).unwrap();
            }
            6 => {
                let trimmed = (lba..lba + count).map(|lba| Change { lba, version: 0 });
                run.changes.push((at, trimmed.collect()));
                engine.trim(lba * BLOCK, count * BLOCK, &mut entropy).unwrap();
            }
            7..=9 => {
                engine.flush(&mut entropy).unwrap();
                run.flushes.push((disk.op_count(), run.changes.len()));
            }
            10 => run.anchors.push((disk.op_count(), engine.anchor())),
            _ => {
                engine.compact(&mut entropy).unwrap();
                run.flushes.push((disk.op_count(), run.changes.len()));
            }
        }
    }
    (run.base, run.ops) = disk.history();
    run
}

impl Run {
    /// What an attach after a crash at `at` is told: an anchor that was kept by then.
    fn freshness_at(&self, at: usize) -> (AttachNo, Freshness) {
        match self.anchors.iter().rev().find(|(kept, _)| *kept <= at) {
            Some((_, anchor)) => (AttachNo(anchor.attach.0 + 1), Freshness::Extends(*anchor)),
            None => (AttachNo(1), Freshness::NeverAnchored),
        }
    }

    /// The recovered volume is the model after some number of changes, no fewer than were
    /// flushed and no more than had been asked for.
    fn check(&self, at: usize, recovered: &[u64], what: &str) {
        let (_, flushed) = *self.flushes.iter().rev().find(|(done, _)| *done <= at).unwrap();
        let mut model = vec![0; usize::try_from(self.blocks).unwrap()];
        let apply = |model: &mut Vec<u64>, changes: &[Change]| {
            for change in changes {
                model[usize::try_from(change.lba).unwrap()] = change.version;
            }
        };
        for (_, changes) in &self.changes[..flushed] {
            apply(&mut model, changes);
        }
        if model == recovered {
            return;
        }
        let asked = self.changes[flushed..].iter().take_while(|(asked, _)| *asked < at);
        for (_, changes) in asked {
            apply(&mut model, changes);
            if model == recovered {
                return;
            }
        }
        panic!("{what}: recovered {recovered:?} is no state since the last flush");
    }
}

fn reopen(run: &Run, at: usize, disk: &SimDisk, entropy: &mut SeededEntropy) -> Engine<SimDisk> {
    let (attach, freshness) = run.freshness_at(at);
    let engine = Engine::open(identity(), key(), disk.clone(), attach, freshness, entropy);
    engine.unwrap_or_else(|error| panic!("crash after {at}: {error}"))
}

/// No salt seals two contents, nor one content in two places.
#[derive(Default)]
struct NonceAudit(HashMap<[u8; 16], Sealed>);

/// A group's bytes, and where they were written.
type Sealed = (Object, u64, std::sync::Arc<[u8]>);

impl NonceAudit {
    fn take(&mut self, ops: &[Op]) {
        for op in ops {
            let Op::Write { object, offset, bytes } = op else { continue };
            for block in bytes.chunks_exact(BLOCK_BYTES) {
                let Ok(head) = volume::format::footer::Head::decode(block) else { continue };
                let written = (*object, *offset, bytes.clone());
                let first = self.0.entry(head.salt.0).or_insert_with(|| written.clone());
                assert_eq!(*first, written, "a salt was used twice");
            }
        }
    }
}

fn crash_everywhere(seed: u64) {
    let run = work(seed);
    let mut chance = SeededEntropy::new(!seed);
    let mut audit = NonceAudit::default();
    audit.take(&run.ops);
    let deep = usize::try_from(chance.below(run.ops.len() as u64 + 1)).unwrap();
    for at in 0..=run.ops.len() {
        // Each kind of luck at the one point that is looked into deeply, one of them elsewhere.
        let lucky = Survival::ALL[usize::try_from(chance.below(3)).unwrap()];
        let lucks = if at == deep { &Survival::ALL[..] } else { &[lucky][..] };
        for luck in lucks {
            let what = format!("crash after {at} of {}, {luck:?}", run.ops.len());
            let disk = if *luck == Survival::Everything {
                SimDisk::after_kill(run.base.clone(), run.ops[..at].to_vec())
            } else {
                SimDisk::new(run.base.after_crash(&run.ops[..at], *luck, &mut chance))
            };
            let mut entropy = chance.fork();
            let told = disk.op_count();
            let mut engine = reopen(&run, at, &disk, &mut entropy);
            let recovered = versions(&engine, run.blocks);
            run.check(at, &recovered, &what);
            if at != deep {
                continue;
            }
            // Crash at every point of that recovery too, and once the volume is in use again.
            let (image, ops) = disk.history();
            for again in told..=ops.len() {
                for luck in Survival::ALL {
                    let what = format!("{what}, then after {again} of {}, {luck:?}", ops.len());
                    let image = image.after_crash(&ops[..again], luck, &mut chance);
                    let disk = SimDisk::new(image);
                    let engine = reopen(&run, at, &disk, &mut chance.fork());
                    run.check(at, &versions(&engine, run.blocks), &what);
                    audit.take(&disk.history().1);
                }
            }
            engine.write(0, &content(0, u64::MAX), &mut entropy).unwrap();
            engine.flush(&mut entropy).unwrap();
            let (_, ops) = disk.history();
            audit.take(&ops);
            let anchor = engine.anchor();
            let image = image.after_crash(&ops, Survival::Nothing, &mut chance);
            let engine = Engine::open(
                identity(),
                key(),
                SimDisk::new(image),
                AttachNo(anchor.attach.0 + 1),
                Freshness::Extends(anchor),
                &mut chance.fork(),
            )
            .unwrap();
            let mut expected = recovered;
            expected[0] = u64::MAX;
            assert_eq!(versions(&engine, run.blocks), expected, "{what}: written after recovery");
        }
    }
}

#[test]
fn a_crash_anywhere_keeps_what_was_flushed() {
    let threads = 2;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let seeds = (0..seeds()).chain(REGRESSIONS).filter(|seed| seed % threads == thread);
                for seed in seeds {
                    let run = std::panic::catch_unwind(|| crash_everywhere(seed));
                    if let Err(panic) = run {
                        eprintln!("the failing seed is {seed}");
                        std::panic::resume_unwind(panic);
                    }
                }
            });
        }
    });
}
