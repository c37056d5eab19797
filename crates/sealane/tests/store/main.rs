//! The store, the KMS over it and the directory of a cell, through their public doors.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that calls them")]

mod accept;
mod cell;
mod crash;
mod dual_control;
mod erasure;
mod golden;
mod kit;
mod kms;
mod kms_crash;
mod kms_tamper;
mod root_rotation;
mod story;
mod tamper;
mod two_processes;

use sealane::store::{Expected, PageStart, PartitionedTable, Reader, StoreError, Version};

use kit::{NUMBERS, TestStore};

const PARTS: PartitionedTable<u64> = PartitionedTable::new("part");

#[test]
fn what_is_committed_is_there_after_reopening_and_nothing_else() {
    let kit = TestStore::new();
    let store = kit.create();
    let mut watch = store.watch();
    let before = *watch.borrow_and_update();
    store
        .transact(|transaction| {
            transaction.put(&NUMBERS, "one", &1)?;
            transaction.put(&NUMBERS, "two", &2)
        })
        .unwrap();
    assert!(watch.has_changed().unwrap());
    assert_eq!(*watch.borrow_and_update(), before + 1);
    let mut dropped = store.begin().unwrap();
    dropped.put(&NUMBERS, "three", &3).unwrap();
    drop(dropped);
    assert_eq!(store.count(&NUMBERS), 2);
    drop(store);

    let store = kit.open().unwrap();
    let all: Vec<_> = store.snapshot().unwrap().scan(&NUMBERS).unwrap();
    let all: Vec<_> = all.iter().map(|(name, number)| (name.as_str(), number.value)).collect();
    assert_eq!(all, [("one", 1), ("two", 2)]);
    assert_eq!((store.sequence(), store.count(&NUMBERS)), (before + 1, 2));
    for _ in 0..2 {
        store.transact(|transaction| transaction.delete(&NUMBERS, "one")).unwrap();
        store.transact(|transaction| transaction.put(&NUMBERS, "two", &22)).unwrap();
    }
    assert_eq!(store.count(&NUMBERS), 1);
    assert_eq!(store.snapshot().unwrap().get(&NUMBERS, "one").unwrap(), None);
}

#[test]
fn a_snapshot_does_not_change() {
    let kit = TestStore::new();
    let store = kit.create();
    store.transact(|transaction| transaction.put(&NUMBERS, "one", &1)).unwrap();
    let snapshot = store.snapshot().unwrap();
    store.transact(|transaction| transaction.put(&NUMBERS, "one", &11)).unwrap();
    assert_eq!(snapshot.get(&NUMBERS, "one").unwrap().unwrap().value, 1);
}

#[test]
fn compare_and_set_compares() {
    let kit = TestStore::new();
    let store = kit.create();
    let set = |expected, value| {
        store.transact(|transaction| transaction.compare_and_set(&NUMBERS, "one", expected, &value))
    };
    set(Expected::Absent, 1).unwrap();
    let version = store.snapshot().unwrap().get(&NUMBERS, "one").unwrap().unwrap().version;
    assert!(matches!(set(Expected::Absent, 2), Err(StoreError::Conflict { .. })));
    assert!(matches!(
        set(Expected::At(Version(version.0 + 1)), 2),
        Err(StoreError::Conflict { .. })
    ));
    set(Expected::At(version), 2).unwrap();
    assert!(matches!(set(Expected::At(version), 3), Err(StoreError::Conflict { .. })));
    assert_eq!(store.snapshot().unwrap().get(&NUMBERS, "one").unwrap().unwrap().value, 2);
}

#[test]
fn pages_cover_a_partition_once_and_nothing_of_others() {
    let kit = TestStore::new();
    let store = kit.create();
    let mine = store.table_of(&PARTS, "mine");
    let other = store.table_of(&PARTS, "other");
    store
        .transact(|transaction| {
            for number in 0..25 {
                transaction.put(&mine, &format!("n{number}"), &number)?;
                transaction.put(&other, &format!("n{number}"), &(100 + number))?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    for limit in [1, 7, 24, 25, 26] {
        let (mut found, mut start) = (Vec::new(), None);
        loop {
            let page = store.snapshot().unwrap().page(&mine, start.as_ref(), limit).unwrap();
            assert!(page.records.len() <= limit);
            found.extend(page.records.into_iter().map(|(_, number)| number.value));
            // As a caller carries it.
            start = page.next.map(|next| PageStart::from_text(&next.to_text()).unwrap());
            if start.is_none() {
                break;
            }
        }
        found.sort_unstable();
        assert_eq!(found, (0..25).collect::<Vec<_>>(), "pages of {limit}");
    }
}

#[test]
fn names_and_values_at_their_limits() {
    use sealane::store::{NAME_BYTES_MAX, Table, VALUE_BYTES_MAX};
    const TEXTS: Table<String> = Table::new("text");
    let kit = TestStore::new();
    let store = kit.create();
    let put = |name: usize, value: usize| {
        // Two of the value's bytes are JSON's quotes.
        store.transact(|transaction| {
            transaction.put(&TEXTS, &"n".repeat(name), &"v".repeat(value - 2))
        })
    };
    put(NAME_BYTES_MAX, VALUE_BYTES_MAX).unwrap();
    assert!(matches!(put(0, 2), Err(StoreError::NameLength(0))));
    assert!(matches!(put(NAME_BYTES_MAX + 1, 2), Err(StoreError::NameLength(_))));
    assert!(matches!(put(1, VALUE_BYTES_MAX + 1), Err(StoreError::ValueLength(_))));
    drop(store);
    kit.open().unwrap();
}
