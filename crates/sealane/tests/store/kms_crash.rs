//! Power fails at every point of every change of the KMS, on a disk that keeps what it likes of what
//! was not synced, with the audit trail as it was at that moment. Opened again, each change that was
//! acknowledged is there, whole, the next one is there as a whole or not at all, and the trail says
//! which.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keys::authorize::Principal;
use sealane::audit_trail::{read, verify};
use sealane::kms::Kms;
use sealane::kms::records::{TRAIL_HEAD, TRAIL_HEAD_NAME};
use sealane::store::Reader as _;
use tempfile::TempDir;

use crate::crash::{Disk, Event, Files, Kept, crashed, new_cell};
use crate::kit::{Root, identify, ram};
use crate::story::{Cast, Dump, STEPS, assert_consistent, dump};

/// What was true once so many steps had been acknowledged.
struct Chapter {
    dump: Dump,
    cast: Cast,
    /// Changes that the trail has as done.
    done: usize,
    /// The trail as it was acknowledged.
    trail: Files,
}

/// A whole story, and what was written when.
struct Told {
    id: crypto::Id,
    root: Root,
    first: usize,
    events: Vec<Event>,
    trails: Vec<Files>,
    chapters: Vec<Chapter>,
}

fn tell() -> Told {
    let (id, root) = new_cell();
    let (disk, dir) = (Disk::default(), ram());
    let trail = dir.path().join("audit");
    let store = disk.create(id, &root);
    identify(&store);
    let kms = Kms::open(Arc::new(store), &trail).unwrap();
    disk.watch_trail(&trail);
    let mut cast = Cast::default();
    let mut chapters = vec![chapter(&kms, &trail, &cast)];
    let first = disk.events().len();
    for (_, step) in STEPS {
        step(&kms, &mut cast);
        disk.acknowledge();
        chapters.push(chapter(&kms, &trail, &cast));
    }
    assert_consistent(&kms, &cast);
    let (events, trails) = (disk.events(), disk.trails());
    Told { id, root, first, events, trails, chapters }
}

fn chapter(kms: &Kms, trail: &Path, cast: &Cast) -> Chapter {
    let done = changes_done(kms, trail);
    let trail = Files::read(trail);
    Chapter { dump: dump(kms, cast), cast: cast.clone(), done, trail }
}

/// How many changes the trail has as done. Each that was announced must have one outcome, but for
/// the one that is under way.
fn changes_done(kms: &Kms, trail: &Path) -> usize {
    let store = Arc::clone(kms.store());
    let (mut open, mut done) = (BTreeSet::new(), 0);
    for line in read(trail, store.id(), Arc::new(move || store.ring())).unwrap() {
        let line: serde_json::Value = serde_json::from_slice(&line.unwrap()).unwrap();
        let additional = &line["additionalEventData"];
        match additional["phase"].as_str().unwrap() {
            "Intent" => assert!(open.insert(additional["sequence"].as_u64().unwrap())),
            "Outcome" => {
                assert!(open.remove(&additional["intent"].as_u64().unwrap()), "{line}");
                done += usize::from(line["errorCode"].is_null());
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "announced, and without an outcome: {open:?}");
    done
}

impl Told {
    /// Opens what a crash left. `acknowledged` steps must be there, and no more than one besides.
    fn check(&self, what: &str, disk: &Disk, trail: &Files, acknowledged: usize) -> usize {
        let dir = ram();
        let path = dir.path().join("audit");
        trail.write(&path);
        let open = || {
            let store = disk.open(self.id, &self.root);
            let store = store.unwrap_or_else(|error| panic!("{what}: the store: {error}"));
            let kms = Kms::open(Arc::new(store), &path);
            kms.unwrap_or_else(|error| panic!("{what}: the KMS: {error}"))
        };
        let kms = open();
        let next = (acknowledged + 1).min(self.chapters.len() - 1);
        // Whoever was made in the step that was cut short is looked for, too.
        let cast = &self.chapters[next].cast;
        let (found, done) = (dump(&kms, cast), changes_done(&kms, &path));
        let is = |at: &usize| {
            let chapter = &self.chapters[*at];
            chapter.dump == found && chapter.done == done
        };
        let at = [acknowledged, next].into_iter().find(is).unwrap_or_else(|| {
            let expected = [acknowledged, next].map(|at| self.chapters[at].done);
            let same = [acknowledged, next].map(|at| self.chapters[at].dump == found);
            panic!("{what}: {done} changes done of {expected:?}, records as expected: {same:?}")
        });
        assert_consistent(&kms, cast);
        // And it goes on from there, and the trail is whole.
        kms.create_tenant(&crate::story::ADMIN, "after-the-crash").unwrap();
        drop(kms);
        let kms = open();
        kms.tenant("after-the-crash").unwrap();
        let store = Arc::clone(kms.store());
        let stored = store.snapshot().unwrap().get(&TRAIL_HEAD, TRAIL_HEAD_NAME).unwrap();
        let ring = Arc::clone(&store);
        let whole = verify(
            &path,
            self.id,
            Arc::new(move || ring.ring()),
            &[],
            stored.map(|stored| stored.value),
        );
        whole.unwrap_or_else(|error| panic!("{what}: the trail afterwards: {error}"));
        at
    }
}

/// `SEALANE_CRASH_ALL=1` tries every write, instead of the neighbourhood of every sync.
#[test]
fn power_may_fail_anywhere_in_a_change() {
    let all = std::env::var_os("SEALANE_CRASH_ALL").is_some();
    let told = tell();
    let (mut tried, mut ahead) = (0, 0);
    for at in told.first..=told.events.len() {
        let near = |event: Option<&Event>| matches!(event, Some(Event::Sync | Event::Anchor(_)));
        let before = at.checked_sub(1).and_then(|at| told.events.get(at));
        if !all && !near(told.events.get(at)) && !near(before) {
            continue;
        }
        let so_far = &told.events[..at];
        let acknowledged =
            so_far.iter().filter(|event| matches!(event, Event::Acknowledged)).count();
        let trail = &told.trails[at - 1];
        for kept in [Kept::None, Kept::All, Kept::Even, Kept::Odd] {
            let step = STEPS.get(acknowledged).map_or("the end", |(name, _)| name);
            let what = format!("crash after event {at} ({step}), {kept:?} kept");
            let found = told.check(&what, &crashed(so_far, kept), trail, acknowledged);
            ahead += usize::from(found > acknowledged);
            tried += 1;
        }
    }
    println!("{tried} crashes, {ahead} with the change that was under way");
    assert!(tried > 300 && ahead > 50, "{tried} crashes ({ahead} ahead) mean too little");
}

/// Between two changes of the store only the trail is written: an announcement or an outcome that
/// did not reach the disk whole.
#[test]
fn the_trail_may_tear_before_and_after_a_change() {
    let told = tell();
    let mut tried = 0;
    for (step, (name, _)) in STEPS.iter().enumerate() {
        let (before, after) = (&told.chapters[step].trail, &told.chapters[step + 1].trail);
        let mut numbers = told
            .events
            .iter()
            .enumerate()
            .filter_map(|(at, event)| matches!(event, Event::Acknowledged).then_some(at));
        let end = numbers.nth(step).unwrap();
        let begin = told.events[..end]
            .iter()
            .rposition(|event| matches!(event, Event::Acknowledged))
            .map_or(told.first, |at| at + 1);
        let Some(announced) =
            told.trails[begin..end].iter().find(|trail| trail.len() > before.len())
        else {
            continue;
        };
        // The announcement tears: the store is as before.
        for len in cuts(before.len(), announced.len()) {
            let what = format!("{name}: announced in {len} bytes");
            let disk = crashed(&told.events[..begin], Kept::All);
            assert_eq!(told.check(&what, &disk, &announced.cut(len), step), step, "{what}");
            tried += 1;
        }
        // The outcome tears: the store has the change.
        for len in cuts(announced.len(), after.len()) {
            let what = format!("{name}: closed in {len} bytes");
            let disk = crashed(&told.events[..end], Kept::All);
            assert_eq!(told.check(&what, &disk, &after.cut(len), step), step + 1, "{what}");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried} torn trails mean too little");
}

/// Both ends, and some lengths between.
fn cuts(from: usize, to: usize) -> BTreeSet<usize> {
    let step = ((to - from) / 3).max(1);
    (from..to).step_by(step).chain([from + 1, to - 1]).filter(|len| *len < to).collect()
}

/// A copy of the trail from before a change that the store has, and the other way round.
/// Until the store has looked at the disk it shows the key as it was.
#[test]
fn a_change_that_seemed_to_fail_is_seen_once_it_is_found_to_have_taken_place() {
    let (id, root) = new_cell();
    let (disk, dir) = (Disk::default(), ram());
    let store = disk.create(id, &root);
    identify(&store);
    let kms = Kms::open(Arc::new(store), &dir.path().join("audit")).unwrap();
    let key = kms.create_tenant(&Principal::Admin, "acme").unwrap().key;
    disk.fail_syncs(true);
    kms.disable_key(&Principal::Admin, key).unwrap_err();
    disk.fail_syncs(false);
    let shown = kms.entry(key).unwrap().record.state.name();
    drop(kms.store().begin().unwrap());
    let found = kms.describe_key(key).unwrap().state.name();
    assert_ne!(shown, found, "the change was found on the disk");
    assert_eq!(kms.entry(key).unwrap().record.state.name(), found);
}

#[test]
fn a_store_and_a_trail_that_do_not_belong_together_are_refused() {
    use sealane::audit_trail::TrailError;
    let told = tell();
    let last = told.chapters.len() - 1;
    let open = |disk: &Disk, trail: &Files| {
        let dir: TempDir = ram();
        let path: PathBuf = dir.path().join("audit");
        trail.write(&path);
        let store = disk.open(told.id, &told.root).unwrap();
        Kms::open(Arc::new(store), &path).map(drop)
    };
    let acknowledged = |steps: usize| {
        let mut ends = told.events.iter().enumerate();
        let end = ends.by_ref().filter(|(_, event)| matches!(event, Event::Acknowledged));
        let end = end.map(|(at, _)| at).nth(steps - 1).unwrap();
        crashed(&told.events[..end], Kept::All)
    };
    let newest = acknowledged(last);
    open(&newest, &told.chapters[last].trail).unwrap();
    for (step, chapter) in told.chapters[..last].iter().enumerate() {
        let older = chapter.trail.len() < told.chapters[last].trail.len();
        assert!(older, "each step is in the trail, or one after it is");
        let error = open(&newest, &chapter.trail).unwrap_err();
        let cut = matches!(
            of_trail(&error),
            Some(
                TrailError::Cut { .. }
                    | TrailError::Broken { .. }
                    | TrailError::SegmentMissing { .. }
            )
        );
        assert!(cut, "a trail from after {step} steps: {error}");
    }
    // Emptied, or gone.
    let error = open(&newest, &Files::default()).unwrap_err();
    assert!(matches!(of_trail(&error), Some(TrailError::Cut { found: 0, .. })), "{error}");
    // A store that somebody put back together with its anchor: only the trail knows better.
    let mut behind = 0;
    for step in 1..last {
        if told.chapters[step].done == told.chapters[last].done {
            continue;
        }
        let error = open(&acknowledged(step), &told.chapters[last].trail).unwrap_err();
        let found = matches!(of_trail(&error), Some(TrailError::StoreBehind { .. }));
        let sealed = matches!(of_trail(&error), Some(TrailError::Sealed { .. }));
        assert!(found || sealed, "a store from after {step} steps: {error}");
        behind += 1;
    }
    assert!(behind > 20, "{behind}");
}

impl Files {
    /// Reads the folder `path`; a folder that is not there has none.
    fn read(path: &Path) -> Self {
        let mut files: Vec<_> = fs::read_dir(path)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        Self(Arc::new(files))
    }

    fn write(&self, path: &Path) {
        fs::create_dir(path).unwrap();
        for (name, bytes) in &*self.0 {
            fs::write(path.join(name), bytes).unwrap();
        }
    }

    fn len(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// The first `len` bytes of the one file there is.
    fn cut(&self, len: usize) -> Self {
        let [(name, bytes)] = &self.0[..] else { panic!("one segment") };
        Self(Arc::new(vec![(name.clone(), bytes[..len].to_vec())]))
    }

    pub(crate) fn of(path: Option<&PathBuf>) -> Self {
        path.map(|path| Self::read(path)).unwrap_or_default()
    }
}

fn of_trail(error: &sealane::kms::KmsError) -> Option<&sealane::audit_trail::TrailError> {
    match error {
        sealane::kms::KmsError::Trail(error) => Some(error),
        _ => None,
    }
}
