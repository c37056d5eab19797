//! Somebody has the disk in his hands: flips bytes, takes files away, puts old ones back. The
//! volume must say so or be none the worse; it must never give a block that is not its newest.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

use crypto::{DataKey, Id};
use sim::disk::{Image, SimDisk};
use sim::entropy::SeededEntropy;
use volume::{
    Anchor, AttachNo, BLOCK_BYTES, BlockError, ByteLen, Disk, Engine, Epoch, FormatError,
    Freshness, Identity, Object, OpenError, Params, ReadError, RollbackAccepted, SEGMENT_BYTES_MIN,
    SegmentNo, Sequence, SuperblockNo,
};

const BLOCK: u64 = BLOCK_BYTES as u64;
const BLOCKS: u64 = 72;
/// Fills the groups of a segment, so that compaction leaves it alone.
const DENSE: u64 = 62;

fn key() -> DataKey {
    DataKey::from_caller(&[42; 32]).unwrap()
}

fn identity() -> Identity {
    Identity { volume: Id::from_bytes([9; 16]), epoch: Epoch(1) }
}

fn params() -> Params {
    let Identity { volume, epoch } = identity();
    Params { volume, epoch, size: ByteLen(BLOCKS * BLOCK), segment_bytes: SEGMENT_BYTES_MIN }
}

struct Volume {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    entropy: SeededEntropy,
    model: Vec<u8>,
}

impl Volume {
    fn new() -> Self {
        let mut disk = SimDisk::default();
        Engine::format(&params(), key(), &mut disk).unwrap();
        let entropy = SeededEntropy::new(77);
        let engine = open(disk.image(), 1, Freshness::NeverAnchored, &mut disk).unwrap();
        let model = vec![0; usize::try_from(BLOCKS).unwrap()];
        Self { disk, engine, entropy, model }
    }

    fn write(&mut self, lba: u64, value: u8) {
        self.engine.write(lba * BLOCK, &[value; BLOCK_BYTES], &mut self.entropy).unwrap();
        self.model[usize::try_from(lba).unwrap()] = value;
    }

    fn flush(&mut self) -> Anchor {
        self.engine.flush(&mut self.entropy).unwrap();
        self.engine.anchor()
    }

    fn reattach(&mut self) {
        let anchor = self.flush();
        let attach = anchor.attach.0 + 1;
        self.engine =
            open(self.disk.image(), attach, Freshness::Extends(anchor), &mut self.disk).unwrap();
    }

    /// A disk with everything on it: a checkpoint, groups before and after it, moved blocks,
    /// trims, two attaches.
    fn with_history() -> Self {
        let mut volume = Self::new();
        volume.make_history();
        volume
    }

    /// The same, and before it a segment of which only the map still speaks.
    fn with_old_segment() -> Self {
        let mut volume = Self::new();
        for lba in BLOCKS - DENSE..BLOCKS {
            volume.write(lba, 7);
        }
        volume.make_history();
        volume
    }

    fn make_history(&mut self) {
        let volume = self;
        for lba in 0..9 {
            volume.write(lba, 1);
        }
        volume.flush();
        for lba in 3..8 {
            volume.write(lba, 2);
        }
        volume.flush();
        volume.reattach();
        volume.engine.compact(&mut volume.entropy).unwrap();
        volume.engine.trim(5 * BLOCK, 2 * BLOCK, &mut volume.entropy).unwrap();
        volume.model[5..7].fill(0);
        volume.write(6, 3);
        volume.flush();
        volume.write(7, 4);
        volume.flush();
        volume.reattach();
        volume.write(8, 5);
        volume.flush();
    }
}

fn open(
    image: Image,
    attach: u64,
    freshness: Freshness,
    disk: &mut SimDisk,
) -> Result<Engine<SimDisk>, OpenError> {
    *disk = SimDisk::new(image);
    let mut entropy = SeededEntropy::new(attach);
    Engine::open(identity(), key(), disk.clone(), AttachNo(attach), freshness, &mut entropy)
}

fn reopen(image: Image, anchor: Anchor) -> Result<Engine<SimDisk>, OpenError> {
    let mut disk = SimDisk::default();
    open(image, anchor.attach.0 + 1, Freshness::Extends(anchor), &mut disk)
}

/// Every block is what the model says, or an error says that it was changed.
fn check(engine: &Engine<SimDisk>, model: &[u8], what: &str) -> usize {
    let mut refused = 0;
    let mut block = [0; BLOCK_BYTES];
    for (lba, value) in (0..).zip(model) {
        match engine.read(lba * BLOCK, &mut block) {
            Ok(()) => assert_eq!(block, [*value; BLOCK_BYTES], "{what}: wrong data in {lba}"),
            Err(ReadError::Block(BlockError::Forged { lba: named, .. })) => {
                assert_eq!(named.0, lba, "{what}");
                refused += 1;
            }
            Err(error) => panic!("{what}: block {lba}: {error}"),
        }
    }
    refused
}

#[test]
fn a_flipped_byte_anywhere_is_refused_or_healed() {
    let mut volume = Volume::with_history();
    let anchor = volume.engine.anchor();
    let image = volume.disk.image();
    let mut flips = Vec::new();
    for (object, bytes) in image.files() {
        flips.extend((0..bytes.len()).map(|at| (object, at)));
    }
    let count = flips.len();
    let outcomes = std::thread::scope(|scope| {
        let work = |flips: Vec<(Object, usize)>| {
            let (image, model) = (&image, &volume.model);
            scope.spawn(move || {
                let mut outcomes = [0; 3];
                for (object, at) in flips {
                    let what = format!("{object}, byte {at}");
                    let mut image = image.clone();
                    image.flip(object, at, 1 << (at % 8));
                    outcomes[match reopen(image, anchor) {
                        Err(_) => 0,
                        Ok(engine) if check(&engine, model, &what) > 0 => 1,
                        Ok(_) => 2,
                    }] += 1;
                }
                outcomes
            })
        };
        let second = flips.split_off(count / 2);
        [work(flips), work(second)].map(|thread| thread.join().unwrap())
    });
    let [refused, forged, healed] = [0, 1, 2].map(|at| outcomes[0][at] + outcomes[1][at]);
    assert_eq!(refused + forged + healed, count);
    // All three really happen: footers are refused, blocks are forged, superblocks are healed.
    assert!(refused > BLOCK_BYTES && forged > BLOCK_BYTES && healed >= 2 * BLOCK_BYTES);
}

/// What becomes of an image when `change` is done to it.
fn after(change: impl FnOnce(&mut Image, &Image)) -> Result<(), OpenError> {
    let mut volume = Volume::with_old_segment();
    let old = volume.disk.image();
    volume.write(9, 9);
    volume.write(0, 9);
    let anchor = volume.flush();
    let mut image = volume.disk.image();
    change(&mut image, &old);
    reopen(image, anchor).map(|engine| {
        check(&engine, &volume.model, "after a change");
    })
}

fn segments_in_use(image: &Image) -> Vec<Object> {
    let written = |(object, bytes): (Object, &[u8])| {
        (matches!(object, Object::Segment(_)) && !bytes.is_empty()).then_some(object)
    };
    image.files().filter_map(written).collect()
}

#[test]
fn a_disk_that_was_set_back_is_refused_by_name() {
    let mut volume = Volume::with_history();
    let old = volume.disk.image();
    let found = volume.engine.anchor().sequence;
    volume.write(9, 9);
    let anchor = volume.flush();
    let expected = anchor.sequence;
    assert_eq!(reopen(old.clone(), anchor).err(), Some(OpenError::RolledBack { found, expected }));
    let message = reopen(old.clone(), anchor).err().unwrap().to_string();
    assert!(message.contains(&found.to_string()) && message.contains(&expected.to_string()));
    // Only who says so explicitly goes on with the older state.
    let accepted = Freshness::Accepted(RollbackAccepted::losing_everything_since(&anchor));
    let mut disk = SimDisk::default();
    let engine = open(old, anchor.attach.0 + 1, accepted, &mut disk).unwrap();
    volume.model[9] = 0;
    assert_eq!(check(&engine, &volume.model, "rolled back"), 0);
}

#[test]
fn another_history_of_the_same_volume_is_refused() {
    let mut volume = Volume::with_history();
    let anchor = volume.flush();
    let fork = volume.disk.image();
    volume.write(1, 8);
    let expected = volume.flush();
    let mut disk = SimDisk::default();
    let attach = anchor.attach.0 + 1;
    let mut other = open(fork, attach, Freshness::Extends(anchor), &mut disk).unwrap();
    for value in 1..4 {
        other.write(0, &[value; BLOCK_BYTES], &mut volume.entropy).unwrap();
        other.flush(&mut volume.entropy).unwrap();
    }
    let expected_error =
        OpenError::Forked { found: Sequence(anchor.sequence.0 + 3), expected: expected.sequence };
    // As if the other had been attached as often.
    let stale = Anchor { attach: AttachNo(attach), ..expected };
    assert_eq!(reopen(disk.image(), stale).err(), Some(expected_error));
}

/// The last group was torn, so an attach has cut the log before it. It must not count again when
/// the sectors that were lost turn up, nor when somebody puts them back.
#[test]
fn a_group_that_was_cut_does_not_come_back() {
    let mut volume = Volume::with_history();
    let anchor = volume.flush();
    let before = volume.disk.image();
    volume.write(1, 0xba);
    volume.model[1] = 1;
    volume.engine.flush(&mut volume.entropy).unwrap();
    let with_the_group = volume.disk.image();
    let mut disk = SimDisk::default();
    let attach = anchor.attach.0 + 1;
    let mut engine = open(before.clone(), attach, Freshness::Extends(anchor), &mut disk).unwrap();
    let cut = engine.anchor();
    let resurrect = |mut image: Image| {
        let last = *segments_in_use(&before).last().unwrap();
        image.replace(last, &with_the_group);
        image
    };
    // Before that attach has written anything, and after.
    let engine_now = reopen(resurrect(disk.image()), cut).unwrap();
    assert_eq!(check(&engine_now, &volume.model, "nothing written since the cut"), 0);
    engine.write(0, &[9; BLOCK_BYTES], &mut volume.entropy).unwrap();
    engine.flush(&mut volume.entropy).unwrap();
    volume.model[0] = 9;
    let engine_now = reopen(resurrect(disk.image()), engine.anchor()).unwrap();
    assert_eq!(check(&engine_now, &volume.model, "written since the cut"), 0);
}

#[test]
fn old_files_put_back_one_by_one_are_refused_or_harmless() {
    let volume = Volume::with_old_segment();
    for object in segments_in_use(&volume.disk.image()) {
        let result = after(|image, old| image.replace(object, old));
        assert!(
            matches!(
                result,
                Ok(()) | Err(OpenError::RolledBack { .. } | OpenError::LogForged { .. })
            ),
            "{object}: {result:?}"
        );
    }
    for number in SuperblockNo::BOTH {
        after(|image, old| image.replace(Object::Superblock(number), old)).unwrap();
    }
}

#[test]
fn a_missing_file_is_named_or_healed() {
    let mut named_by_block = 0;
    let volume = Volume::with_old_segment();
    for object in segments_in_use(&volume.disk.image()) {
        let error = after(|image, _| image.remove(object)).unwrap_err();
        named_by_block += u32::from(matches!(error, OpenError::SegmentMissing { .. }));
        assert!(
            matches!(
                error,
                OpenError::SegmentMissing { .. }
                    | OpenError::LogForged { .. }
                    | OpenError::RolledBack { .. }
            ),
            "{object}: {error}"
        );
    }
    assert_eq!(named_by_block, 1, "the segment before the checkpoint");
    for number in SuperblockNo::BOTH {
        after(|image, _| image.remove(Object::Superblock(number))).unwrap();
    }
    let none = after(|image, _| {
        for number in SuperblockNo::BOTH {
            image.remove(Object::Superblock(number));
        }
    });
    assert_eq!(none, Err(OpenError::NotAVolume));
}

#[test]
fn two_segments_exchanged_are_refused() {
    let error = after(|image, old| {
        let [first, second, ..] = segments_in_use(old)[..] else { panic!("two segments") };
        // The bytes of one under the name of the other.
        let bytes: Vec<(Object, Vec<u8>)> =
            image.files().map(|(object, bytes)| (object, bytes.to_vec())).collect();
        let of = |object| bytes.iter().find(|(at, _)| *at == object).unwrap().1.clone();
        image.overwrite(first, &of(second));
        image.overwrite(second, &of(first));
    })
    .unwrap_err();
    assert!(
        matches!(error, OpenError::LogForged { .. } | OpenError::SegmentMissing { .. }),
        "{error}"
    );
}

#[test]
fn the_wrong_key_volume_or_epoch_is_told() {
    let mut volume = Volume::with_history();
    let anchor = volume.engine.anchor();
    let image = volume.disk.image();
    let attempt = |identity: Identity, key: [u8; 32]| {
        let key = DataKey::from_caller(&key).unwrap();
        let disk = SimDisk::new(image.clone());
        let attach = AttachNo(anchor.attach.0 + 1);
        let mut entropy = SeededEntropy::new(5);
        Engine::open(identity, key, disk, attach, Freshness::Extends(anchor), &mut entropy).err()
    };
    let Identity { volume: id, epoch } = identity();
    let forged = OpenError::SuperblocksForged { volume: id };
    assert_eq!(attempt(identity(), [43; 32]), Some(forged));
    let other = Id::from_bytes([8; 16]);
    let error = OpenError::OtherVolume { found: id, expected: other };
    assert_eq!(attempt(Identity { volume: other, epoch }, [42; 32]), Some(error));
    let retired = OpenError::KeyRetired { on_disk: epoch, given: Epoch(2) };
    assert_eq!(attempt(Identity { volume: id, epoch: Epoch(2) }, [42; 32]), Some(retired));
    assert_eq!(attempt(identity(), [42; 32]), None);
}

#[test]
fn a_stale_attach_number_is_refused() {
    let mut volume = Volume::with_history();
    let anchor = volume.engine.anchor();
    let mut disk = SimDisk::default();
    let attach = anchor.attach.0;
    let error = OpenError::AttachStale { given: AttachNo(attach), newest: anchor.attach };
    let image = volume.disk.image();
    let opened = open(image.clone(), attach, Freshness::Extends(anchor), &mut disk);
    assert_eq!(opened.err(), Some(error));
    let accepted = Freshness::Accepted(RollbackAccepted::losing_everything_since(&anchor));
    let error = OpenError::AttachStale { given: AttachNo(attach - 1), newest: anchor.attach };
    assert_eq!(open(image, attach - 1, accepted, &mut disk).err(), Some(error));
}

#[test]
fn a_volume_is_never_formatted_over() {
    let volume = Volume::with_history();
    let mut image = volume.disk.image();
    let format = |image: Image| Engine::format(&params(), key(), &mut SimDisk::new(image)).err();
    assert!(matches!(format(image.clone()), Some(FormatError::Occupied { .. })));
    // Not even where both superblocks are beyond reading.
    for number in SuperblockNo::BOTH {
        image.flip(Object::Superblock(number), 0, 0xff);
    }
    assert!(matches!(format(image), Some(FormatError::Occupied { what: Object::Segment(_) })));
    // Making it can be repeated only where nothing was ever attached.
    let mut disk = SimDisk::default();
    Engine::format(&params(), key(), &mut disk).unwrap();
    let made = disk.image();
    assert!(matches!(format(made.clone()), Some(FormatError::Occupied { .. })));
    let mut torn = made;
    for number in SuperblockNo::BOTH {
        torn.flip(Object::Superblock(number), 4000, 1);
    }
    assert_eq!(format(torn), None);
}

#[test]
fn a_fresh_volume_is_empty_until_it_is_written_to() {
    let mut volume = Volume::new();
    assert!(volume.engine.is_empty_log());
    volume.reattach();
    assert!(volume.engine.is_empty_log());
    volume.write(0, 1);
    assert!(!volume.engine.is_empty_log());
    volume.reattach();
    assert!(!volume.engine.is_empty_log());
    volume.engine.trim(0, BLOCK * BLOCKS, &mut volume.entropy).unwrap();
    volume.engine.compact(&mut volume.entropy).unwrap();
    volume.reattach();
    assert!(!volume.engine.is_empty_log(), "what was emptied was once written");
    assert!(volume.disk.segments().unwrap().iter().all(|segment| *segment > SegmentNo(0)));
}
