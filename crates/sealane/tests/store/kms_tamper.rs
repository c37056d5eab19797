//! Whoever changes, removes or puts back a record of the KMS is found out when it is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use keys::authorize::Principal;
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use sealane::kms::{Kms, NewVolume};
use sealane::store::{StoreError, Table};

use crate::crash::{Disk, new_cell};
use crate::dual_control::quorum;
use crate::kit::{Root, identify, ram};
use crate::story::{ADMIN, Cast, STEPS};

const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");
/// The store's own record of all others.
const ROOT: &[u8] = b"\0root";

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// A cell, and its disk after each step of the story.
struct Album {
    id: crypto::Id,
    root: Root,
    disks: Vec<Disk>,
}

impl Album {
    /// Of the steps until and with `last`.
    fn until(last: &str) -> Self {
        Self::until_and_then(last, |_| ())
    }

    /// As [`Album::until`], and of what `more` does after it.
    fn until_and_then(last: &str, more: impl FnOnce(&Kms)) -> Self {
        let (id, root) = new_cell();
        let (disk, dir) = (Disk::default(), ram());
        let store = disk.create(id, &root);
        identify(&store);
        let kms = Kms::open(Arc::new(store), &dir.path().join("audit")).unwrap();
        let mut cast = Cast::default();
        let mut disks = vec![disk.copy()];
        for (name, step) in STEPS {
            step(&kms, &mut cast);
            disks.push(disk.copy());
            if *name == last {
                break;
            }
        }
        more(&kms);
        *disks.last_mut().unwrap() = disk.copy();
        Self { id, root, disks }
    }

    #[track_caller]
    fn refused(&self, what: &str, disk: &Disk) -> StoreError {
        match disk.open(self.id, &self.root) {
            Ok(_) => panic!("{what}: it opens"),
            Err(error) => error,
        }
    }
}

fn records(disk: &Disk) -> Records {
    let database = disk.copy().raw();
    let table = database.begin_read().unwrap().open_table(RECORDS).unwrap();
    let records = table.iter().unwrap().map(|entry| {
        let (slot, sealed) = entry.unwrap();
        (slot.value().to_vec(), sealed.value().to_vec())
    });
    records.collect()
}

/// A copy of `disk` in which each slot holds what is given, or nothing.
fn with(disk: &Disk, changes: &[(&[u8], Option<&Vec<u8>>)]) -> Disk {
    let disk = disk.copy();
    let database = disk.raw();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(RECORDS).unwrap();
        for (slot, sealed) in changes {
            match sealed {
                Some(sealed) => drop(table.insert(*slot, &sealed[..]).unwrap()),
                None => drop(table.remove(*slot).unwrap()),
            }
        }
    }
    transaction.commit().unwrap();
    drop(database);
    disk
}

/// The table's name in a slot, without the owner's digits.
fn kind(slot: &[u8]) -> String {
    let table = slot.split(|byte| *byte == 0).next().unwrap();
    let table = String::from_utf8(table.to_vec()).unwrap();
    let digits = |part: &str| part.len() == 20 && part.bytes().all(|b| b.is_ascii_hexdigit());
    match table.rsplit_once('-') {
        Some((name, owner)) if digits(owner) => name.to_owned(),
        _ => table,
    }
}

fn of_records(error: &StoreError) -> bool {
    use StoreError::*;
    matches!(
        error,
        RecordForged { .. } | RecordReplayed { .. } | RecordsDiffer { .. } | Corrupted { .. }
    )
}

/// Writes a record of each kind that the story has none of.
fn one_of_each(kms: &Kms) {
    let new = NewVolume {
        tenant: "acme".to_owned(),
        name: "redis".to_owned(),
        service: "redis".to_owned(),
        size_bytes: 1 << 30,
        user: None,
    };
    let volume = kms.create_volume(&Principal::Cell, new).unwrap();
    kms.uid_index("web").unwrap();
    kms.create_tenant(&ADMIN, "gone").unwrap();
    kms.erase_tenant(&ADMIN, "gone", None).unwrap();
    kms.switch_dual_control(&ADMIN, true, Some(&quorum())).unwrap();
    let mut change = kms.begin().unwrap();
    change.ask_deletion(volume.key, "alice", 7).unwrap();
    change.commit().unwrap();
    // Those of the control role, which the store knows by their names alone.
    let put = |table: &Table<String>| {
        let put = kms.store().transact(|transaction| transaction.put(table, "one", &String::new()));
        let put: Result<(), StoreError> = put;
        put.unwrap();
    };
    put(&Table::new("authority"));
    put(&Table::new("certificate"));
    put(&Table::new("plan"));
}

/// The names of all tables that the program declares.
fn declared(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap();
        if stem == "tests" {
            continue;
        }
        if path.is_dir() {
            names.extend(declared(&path));
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let declarations = source.split("Table::new(\"").skip(1);
        names.extend(declarations.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    names
}

/// `SEALANE_FULL=1` flips each bit of a record of each kind, and not one in every few bytes.
#[test]
fn a_flipped_bit_in_any_kind_of_record_is_refused() {
    let full = std::env::var_os("SEALANE_FULL").is_some();
    let album = Album::until_and_then("rotate the domain key", one_of_each);
    let disk = album.disks.last().unwrap();
    let records = records(disk);
    let mut kinds = BTreeSet::new();
    for (slot, sealed) in &records {
        if slot != ROOT && !kinds.insert(kind(slot)) {
            continue;
        }
        let (bits, step) = if full { (8, 1) } else { (1, 1 + sealed.len() / 24) };
        for at in (0..sealed.len()).step_by(step).chain([sealed.len() - 1]) {
            for bit in 0..bits {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << ((bit + at % 8) % 8);
                let what = format!("byte {at} of a record of {:?}", kind(slot));
                let error = album.refused(&what, &with(disk, &[(slot, Some(&flipped))]));
                assert!(of_records(&error), "{what}: {error}");
                let named = match &error {
                    StoreError::RecordForged { table, .. } => slot.starts_with(table.as_bytes()),
                    StoreError::Corrupted { .. } => slot == ROOT,
                    _ => false,
                };
                assert!(named, "{what}: {error}");
            }
        }
        // Moved to where another record of its kind would be.
        for at in 0..slot.len() {
            let mut moved = slot.clone();
            moved[at] ^= 1;
            let disk = with(disk, &[(slot, None), (&moved, Some(sealed))]);
            let error = album.refused(&format!("a record of {:?}, moved", kind(slot)), &disk);
            assert!(of_records(&error), "{error}");
        }
        let error = album.refused("a record removed", &with(disk, &[(slot, None)]));
        assert!(of_records(&error), "{error}");
    }
    let expected = declared(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(expected.len() > 20 && expected.contains("deletion-request"), "{expected:?}");
    assert_eq!(kinds, expected, "a record of each table was tried");
}

/// Each change is taken back one record at a time, all records at once, and with the store's own
/// record of them: a key that was disabled, an access key that was revoked, a grant that was retired
/// and a key that was erased do not come back.
#[test]
fn no_part_of_an_older_store_can_be_put_back() {
    let album = Album::until(STEPS.last().unwrap().0);
    let (mut tried, mut replayed) = (0, BTreeMap::<&str, BTreeSet<String>>::new());
    for (step, pair) in album.disks.windows(2).enumerate() {
        let name = STEPS[step].0;
        let [before, after] = pair else { unreachable!("pairs") };
        let (old, new) = (records(before), records(after));
        let slots: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let changed: Vec<_> = slots
            .into_iter()
            .filter(|slot| old.get(*slot) != new.get(*slot))
            .map(|slot| (&slot[..], old.get(slot)))
            .collect();
        for one in &changed {
            let what = format!("{name}: the record of {:?} as it was", kind(one.0));
            let error = album.refused(&what, &with(after, &[*one]));
            // Where only the store's own record changed, it alone is the whole old store.
            let rolled_back = matches!(error, StoreError::RolledBack { .. });
            assert!(of_records(&error) || (rolled_back && changed.len() == 1), "{what}: {error}");
            // Beside the old record of all others, one that changed with it seems to be old.
            if one.0 != ROOT
                && let StoreError::RecordReplayed { table, .. } = &error
            {
                assert!(one.0.starts_with(table.as_bytes()), "{what}: {error}");
                replayed.entry(name).or_default().insert(kind(one.0));
            }
            tried += 1;
        }
        if changed.is_empty() {
            continue;
        }
        let records: Vec<_> = changed.iter().filter(|(slot, _)| *slot != ROOT).copied().collect();
        if !records.is_empty() {
            let what = format!("{name}: all records as they were");
            let error = album.refused(&what, &with(after, &records));
            assert!(of_records(&error), "{what}: {error}");
        }
        let what = format!("{name}: the whole store as it was");
        let whole = with(after, &changed);
        let error = album.refused(&what, &whole);
        assert!(matches!(error, StoreError::RolledBack { .. }), "{what}: {error}");
        let image = before.copy();
        image.set_anchor_of(after);
        let error = album.refused(&what, &image);
        assert!(matches!(error, StoreError::RolledBack { .. }), "{what}: {error}");
    }
    assert!(tried > 60, "{tried}");
    for (step, kind) in [
        ("disable", "key"),
        ("revoke it", "credential"),
        ("retire a grant", "grant"),
        ("erase", "key"),
        ("erase", "alias"),
        ("erase", "key-of"),
        ("doom", "due"),
        ("import what was deleted", "key"),
        ("delete imported material", "key"),
        ("rotate to the next material", "key"),
        ("pardon", "key"),
        ("erase", "last-use"),
    ] {
        let kinds = replayed.get(step);
        assert!(kinds.is_some_and(|kinds| kinds.contains(kind)), "{step}: {kind} of {kinds:?}");
    }
}
