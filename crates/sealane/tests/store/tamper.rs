//! Whoever changes a closed store is found out, and finds the file as it was left.

use std::fs;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use sealane::store::StoreError;

use crate::kit::{NUMBERS, TestStore};

const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");

type Table<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;
type Records = [(Vec<u8>, Vec<u8>)];

/// A store in which `one` was written twice, with its file and anchor before the second write.
struct Twice {
    kit: TestStore,
    old_file: Vec<u8>,
    old_anchor: Vec<u8>,
}

fn twice() -> Twice {
    let kit = TestStore::new();
    let store = kit.create();
    for name in ["one", "two", "three"] {
        store.transact(|transaction| transaction.put(&NUMBERS, name, &1)).unwrap();
    }
    drop(store);
    let (old_file, old_anchor) = (fs::read(kit.file()).unwrap(), fs::read(kit.anchor()).unwrap());
    let store = kit.open().unwrap();
    store.transact(|transaction| transaction.put(&NUMBERS, "one", &2)).unwrap();
    drop(store);
    Twice { kit, old_file, old_anchor }
}

/// Opening is refused, and leaves the file as it is.
fn refused(kit: &TestStore) -> StoreError {
    let before = fs::read(kit.file()).unwrap_or_default();
    let error = kit.open().expect_err("a changed store opens");
    assert_eq!(fs::read(kit.file()).unwrap_or_default(), before, "after {error}");
    error
}

fn records(file: &std::path::Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let database = Database::open(file).unwrap();
    let table = database.begin_read().unwrap().open_table(RECORDS).unwrap();
    let records = table.iter().unwrap().map(|entry| {
        let (key, value) = entry.unwrap();
        (key.value().to_vec(), value.value().to_vec())
    });
    records.filter(|(key, _)| key.starts_with(b"number\0")).collect()
}

/// Does to the records what somebody with a copy of redb can do.
fn edit(kit: &TestStore, act: impl FnOnce(&mut Table<'_>)) {
    let database = Database::open(kit.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    act(&mut transaction.open_table(RECORDS).unwrap());
    transaction.commit().unwrap();
}

#[test]
fn an_old_store_is_refused_with_both_sequences() {
    let Twice { kit, old_file, .. } = twice();
    fs::write(kit.file(), old_file).unwrap();
    let error = refused(&kit);
    let StoreError::RolledBack { store, anchor, .. } = error else { panic!("{error}") };
    assert_eq!(store + 1, anchor);
    assert!(error.to_string().contains(&format!("transaction {store}, its anchor at {anchor}")));
}

#[test]
fn a_store_one_ahead_of_its_anchor_is_a_crash() {
    let Twice { kit, old_anchor, .. } = twice();
    fs::write(kit.anchor(), &old_anchor).unwrap();
    drop(kit.open().unwrap());
    assert_ne!(fs::read(kit.anchor()).unwrap(), old_anchor, "opening advances the anchor");
}

#[test]
fn an_older_anchor_is_refused() {
    let Twice { kit, old_anchor, .. } = twice();
    let store = kit.open().unwrap();
    store.transact(|transaction| transaction.put(&NUMBERS, "one", &3)).unwrap();
    drop(store);
    fs::write(kit.anchor(), &old_anchor).unwrap();
    assert!(matches!(refused(&kit), StoreError::AnchorOld { .. }));
}

#[test]
fn a_store_with_another_history_is_refused() {
    let Twice { kit, old_file, old_anchor } = twice();
    let (file, anchor) = (fs::read(kit.file()).unwrap(), fs::read(kit.anchor()).unwrap());
    // The same store goes on from the older state.
    fs::write(kit.file(), &old_file).unwrap();
    fs::write(kit.anchor(), &old_anchor).unwrap();
    let store = kit.open().unwrap();
    store.transact(|transaction| transaction.put(&NUMBERS, "one", &2)).unwrap();
    drop(store);
    fs::write(kit.anchor(), &anchor).unwrap();
    assert!(matches!(refused(&kit), StoreError::Forked { .. }), "the same sequence");
    let other = fs::read(kit.file()).unwrap();
    fs::write(kit.file(), &file).unwrap();
    let store = kit.open().unwrap();
    store.transact(|transaction| transaction.put(&NUMBERS, "one", &3)).unwrap();
    drop(store);
    let ahead = fs::read(kit.file()).unwrap();
    fs::write(kit.file(), other).unwrap();
    fs::write(kit.anchor(), &old_anchor).unwrap();
    let anchor = kit.open().map(|_| fs::read(kit.anchor()).unwrap()).unwrap();
    fs::write(kit.file(), ahead).unwrap();
    fs::write(kit.anchor(), anchor).unwrap();
    assert!(matches!(refused(&kit), StoreError::Forked { .. }), "one ahead of another's anchor");
}

#[test]
fn a_missing_damaged_or_foreign_anchor_is_refused() {
    let (twice, other) = (twice(), twice());
    let kit = &twice.kit;
    let good = fs::read(kit.anchor()).unwrap();
    fs::remove_file(kit.anchor()).unwrap();
    assert!(matches!(refused(kit), StoreError::AnchorMissing { .. }));
    fs::write(kit.anchor(), &good[..good.len() / 2]).unwrap();
    assert!(matches!(refused(kit), StoreError::AnchorDamaged { .. }));
    fs::copy(other.kit.anchor(), kit.anchor()).unwrap();
    assert!(matches!(refused(kit), StoreError::AnchorOfOtherStore { .. }));
    // A flip in one slot leaves the other, as a torn write does: never an older one than that, and
    // the next advance mends it. Both spoilt are refused.
    for at in (0..300).chain([4000, 4095]) {
        for spoilt in [&[at][..], &[4096 + at], &[at, 4096 + at]] {
            let mut flipped = good.clone();
            spoilt.iter().for_each(|at| flipped[*at] ^= 1);
            fs::write(kit.anchor(), &flipped).unwrap();
            match spoilt {
                [_, _] => drop(refused(kit)),
                _ => match kit.open() {
                    Ok(_) => assert_ne!(fs::read(kit.anchor()).unwrap(), flipped),
                    // The version is read first, so that a newer program's anchor is not mended.
                    Err(error) => assert!(error.to_string().contains("version"), "{error}"),
                },
            }
        }
    }
    fs::write(kit.anchor(), &good).unwrap();
    kit.open().unwrap();
}

#[test]
fn one_old_record_put_back_is_refused_by_name() {
    let Twice { kit, old_file, .. } = twice();
    let old = kit.file().with_extension("old");
    fs::write(&old, old_file).unwrap();
    let new = records(&kit.file());
    let changed: Vec<_> =
        records(&old).into_iter().filter(|record| !new.contains(record)).collect();
    let [(key, value)] = &changed[..] else { panic!("one record differs") };
    edit(&kit, |table| drop(table.insert(&key[..], &value[..]).unwrap()));
    let error = refused(&kit);
    let StoreError::RecordReplayed { table, name, .. } = &error else { panic!("{error}") };
    assert_eq!((table.as_str(), name.as_str()), ("number", "one"));
}

#[test]
fn a_record_removed_changed_or_moved_is_refused() {
    let check = |spoil: &dyn Fn(&mut Table<'_>, &Records),
                 expected: &dyn Fn(&StoreError) -> bool| {
        let kit = twice().kit;
        let all = records(&kit.file());
        edit(&kit, |table| spoil(table, &all));
        let error = refused(&kit);
        assert!(expected(&error), "{error}");
    };
    check(&|table, all| drop(table.remove(&all[0].0[..]).unwrap()), &|error| {
        matches!(error, StoreError::RecordsDiffer { expected: 3, found: 2, .. })
    });
    check(
        &|table, all| {
            let mut value = all[0].1.clone();
            *value.last_mut().unwrap() ^= 1;
            table.insert(&all[0].0[..], &value[..]).unwrap();
        },
        &|error| matches!(error, StoreError::RecordForged { table, .. } if table == "number"),
    );
    check(
        &|table, all| drop(table.insert(&all[0].0[..], &all[1].1[..]).unwrap()),
        &|error| matches!(error, StoreError::RecordForged { table, .. } if table == "number"),
    );
    check(&|table, _| drop(table.insert(&b"\0odd"[..], &b"x"[..]).unwrap()), &|error| {
        matches!(error, StoreError::Corrupted { .. })
    });
    check(&|table, _| drop(table.remove(&b"\0root"[..]).unwrap()), &|error| {
        matches!(error, StoreError::Corrupted { .. })
    });
}

#[test]
fn a_file_that_is_no_store_is_refused_and_kept() {
    let kit = twice().kit;
    let good = fs::read(kit.file()).unwrap();
    for bytes in [&b""[..], b"x", b"not a database at all", &vec![0; 1 << 20]] {
        fs::write(kit.file(), bytes).unwrap();
        refused(&kit);
    }
    for part in 1..16 {
        fs::write(kit.file(), &good[..good.len() * part / 16]).unwrap();
        refused(&kit);
    }
    fs::remove_file(kit.file()).unwrap();
    assert!(matches!(kit.open(), Err(StoreError::Missing { .. })));
    fs::write(kit.file(), &good).unwrap();
    kit.open().unwrap();
}

/// A flip in space that holds nothing is nobody's loss; any other is refused or (where redb falls
/// back to an older root) noticed as a rollback. What opens holds what was stored.
#[test]
fn flipped_bytes_are_refused_or_harmless() {
    use sealane::store::Reader;
    let kit = twice().kit;
    let good = fs::read(kit.file()).unwrap();
    let anchor = fs::read(kit.anchor()).unwrap();
    let header = 0..320;
    let rest = (0..120).map(|step| 4096 + step * (good.len() - 4096) / 120);
    let used = good.iter().enumerate().skip(4096).filter(|(_, byte)| **byte != 0);
    let used = used.map(|(at, _)| at).step_by(97);
    for at in header.chain(rest).chain(used) {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        fs::write(kit.file(), &flipped).unwrap();
        fs::write(kit.anchor(), &anchor).unwrap();
        match kit.open() {
            Ok(store) => {
                let one = store.snapshot().unwrap().get(&NUMBERS, "one").unwrap().unwrap();
                assert_eq!(one.value, 2, "byte {at}");
            }
            Err(_) => assert_eq!(fs::read(kit.file()).unwrap(), flipped, "byte {at}"),
        }
    }
}

#[cfg(not(feature = "plaintext-for-tests"))]
#[test]
fn the_file_names_nobody() {
    let kit = TestStore::new();
    let store = kit.create();
    let canary = "canary-tenant-4711";
    const TEXTS: sealane::store::Table<String> = sealane::store::Table::new("text");
    store
        .transact(|transaction| transaction.put(&TEXTS, canary, &format!("value of {canary}")))
        .unwrap();
    drop(store);
    for path in [kit.file(), kit.anchor()] {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()));
    }
}
