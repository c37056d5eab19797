//! Another root key takes the place of the one that a store lies under.

use std::fs;

use keys::UnixSeconds;
use sealane::store::{Reader, StoreError};

use crate::kit::{NUMBERS, TestStore};

#[test]
fn a_store_goes_on_under_another_root_key() {
    let kit = TestStore::new();
    let new = kit.root.another();
    let store = kit.create();
    store.transact(|transaction| transaction.put(&NUMBERS, "one", &1)).unwrap();
    store.transact(|transaction| transaction.rotate_domain(UnixSeconds(2))).unwrap();
    store.transact(|transaction| transaction.put(&NUMBERS, "two", &2)).unwrap();
    let before = store.sequence();
    let store = store.rotate_root(new.key()).unwrap();
    assert_eq!(store.sequence(), before + 1);
    assert_eq!(store.snapshot().unwrap().scan(&NUMBERS).unwrap().len(), 2);
    store.transact(|transaction| transaction.put(&NUMBERS, "three", &3)).unwrap();
    drop(store);

    assert!(matches!(kit.open(), Err(StoreError::Corrupted { .. })), "the old key is of no use");
    for roots in [vec![new.key()], vec![new.key(), kit.root.key()], vec![kit.root.key(), new.key()]]
    {
        let store = kit.open_under(roots).unwrap();
        assert_eq!(store.snapshot().unwrap().scan(&NUMBERS).unwrap().len(), 3);
        store.transact(|transaction| transaction.put(&NUMBERS, "one", &11)).unwrap();
    }
    let neither = kit.open_under(vec![kit.root.key(), kit.root.another().key()]);
    assert!(matches!(neither, Err(StoreError::Corrupted { .. })));
}

/// The commit and its anchor are two writes; the crash between them is the only new state.
#[test]
fn a_crash_before_the_anchor_follows_is_a_crash_and_no_rollback() {
    let kit = TestStore::new();
    let new = kit.root.another();
    let store = kit.create();
    store.transact(|transaction| transaction.put(&NUMBERS, "one", &1)).unwrap();
    let (old_anchor, old_store) = (fs::read(kit.anchor()), fs::read(kit.file()));
    drop(store.rotate_root(new.key()).unwrap());
    let new_anchor = fs::read(kit.anchor()).unwrap();

    fs::write(kit.anchor(), old_anchor.unwrap()).unwrap();
    let store = kit.open_under(vec![kit.root.key(), new.key()]).unwrap();
    assert_eq!(store.snapshot().unwrap().get(&NUMBERS, "one").unwrap().unwrap().value, 1);
    drop(store);
    assert_eq!(fs::read(kit.anchor()).unwrap().len(), new_anchor.len());

    // The store from before, with or without the anchor of after, is an old one.
    fs::write(kit.file(), old_store.unwrap()).unwrap();
    for roots in [vec![kit.root.key()], vec![kit.root.key(), new.key()]] {
        let error = kit.open_under(roots).unwrap_err();
        assert!(matches!(error, StoreError::RolledBack { .. }), "{error}");
    }
}
