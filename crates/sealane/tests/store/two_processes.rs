//! Two processes over one map, as with a store that is a service of its own. redb's file has one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex};

use keys::UnixSeconds;
use sealane::store::backend::{Backend, Entries, Entry, RawRead, RawWrite, Visit};
use sealane::store::{AnchorFile, Reader, Store, StoreError};

use crate::kit::{NUMBERS, TestStore};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A map that several hold.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Map>>);

/// The map as it was, and (of a writer) where it goes.
struct View {
    map: Map,
    service: Service,
}

impl Backend for Service {
    fn read(&self) -> Result<Box<dyn RawRead + Sync>, StoreError> {
        Ok(Box::new(View { map: self.0.lock().unwrap().clone(), service: self.clone() }))
    }

    fn write(&self) -> Result<Box<dyn RawWrite>, StoreError> {
        Ok(Box::new(View { map: self.0.lock().unwrap().clone(), service: self.clone() }))
    }

    fn accept(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn reopen(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("service")
    }
}

impl RawRead for View {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.map.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], each: &mut Visit<'_>) -> Result<(), StoreError> {
        let range = self.map.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        let mut found = range.take_while(|(key, _)| key.starts_with(prefix));
        found.try_for_each(|(key, value)| each(key, value))
    }

    fn first_lost<'e>(&self, entries: &mut Entries<'e>) -> Result<Option<&'e [u8]>, StoreError> {
        let kept = |key: &[u8], value| self.map.get(key).is_some_and(|found| found == value);
        Ok(entries.filter(|(key, value)| !kept(key, *value)).map(|(key, _)| key).next())
    }

    fn page(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let range = self.map.range::<[u8], _>((Bound::Excluded(after), Bound::Unbounded));
        let found = range.filter(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl RawWrite for View {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.map.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.map.remove(key);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        *self.service.0.lock().unwrap() = self.map;
        Ok(())
    }
}

const NOW: UnixSeconds = UnixSeconds(1);

/// What both processes share.
struct Pair {
    kit: TestStore,
    service: Service,
}

impl Pair {
    fn new() -> Self {
        Self { kit: TestStore::new(), service: Service::default() }
    }

    fn create(&self) -> Store {
        let (kit, service) = (&self.kit, Box::new(self.service.clone()));
        Store::create(kit.id, service, self.anchor(), kit.root.key(), NOW).unwrap()
    }

    fn open(&self) -> Store {
        let (kit, service) = (&self.kit, Box::new(self.service.clone()));
        Store::open(kit.id, service, self.anchor(), kit.root.key()).unwrap()
    }

    fn anchor(&self) -> Box<AnchorFile> {
        Box::new(AnchorFile::new(self.kit.anchor()))
    }
}

fn put(store: &Store, name: &str, number: u64) {
    store.transact(|transaction| transaction.put(&NUMBERS, name, &number)).unwrap();
}

#[test]
fn neither_loses_what_the_other_wrote() {
    let pair = Pair::new();
    let (one, two) = (pair.create(), pair.open());
    let told = Arc::new(Mutex::new(0));
    let of_two = Arc::clone(&told);
    two.on_recovery(move || *of_two.lock().unwrap() += 1);

    for round in 0..5 {
        put(&one, &format!("one {round}"), round);
        // Everything under another domain key, in the turn of whoever knows of it last.
        one.transact(|transaction| transaction.rotate_domain(NOW)).unwrap();
        put(&two, &format!("two {round}"), round);
        put(&two, "both", round);
        put(&one, "both", round + 100);
    }
    assert_eq!(*told.lock().unwrap(), 5, "it is told that what it had read may be old");
    for store in [&one, &two] {
        drop(store.begin().unwrap());
        assert_eq!((store.count(&NUMBERS), store.sequence()), (11, one.sequence()));
        let both = store.snapshot().unwrap().get(&NUMBERS, "both").unwrap().unwrap();
        assert_eq!(both.value, 104);
    }
    drop((one, two));
    let store = pair.open();
    assert_eq!(store.snapshot().unwrap().scan(&NUMBERS).unwrap().len(), 11);
}

#[test]
fn what_the_other_wrote_under_a_newer_key_is_read() {
    let pair = Pair::new();
    let (one, two) = (pair.create(), pair.open());
    one.transact(|transaction| transaction.rotate_domain(NOW)).unwrap();
    put(&one, "one", 7);
    let read = two.snapshot().unwrap().get(&NUMBERS, "one").unwrap().unwrap();
    assert_eq!(read.value, 7);
    assert_eq!(two.ring().current(), one.ring().current(), "and is held from then on");
}
