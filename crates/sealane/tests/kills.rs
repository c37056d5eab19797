//! `kill -9` of everything at random moments under load: what was acknowledged is still there.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crypto::Entropy as _;
use support::{TestCell, assert_nothing_left, https};

const HOSTS: [&str; 2] = ["acme.shop.localhost", "globex.shop.localhost"];
/// Distinct items per tenant: each is overwritten many times, so old values could come back too.
const ITEMS: u32 = 50;

fn main() {
    support::main(vec![("no_acknowledged_item_is_lost", no_acknowledged_item_is_lost)]);
}

/// What an item may hold: the last acknowledged value, or one sent after it and not acknowledged.
#[derive(Default, Clone)]
struct Expected {
    acknowledged: Option<String>,
    uncertain: Vec<String>,
}

type Items = BTreeMap<u32, Expected>;

fn no_acknowledged_item_is_lost() {
    let mut cell = TestCell::new(|cell| cell);
    let items: Vec<Arc<Mutex<Items>>> = HOSTS.iter().map(|_| Arc::default()).collect();
    let mut random = Random::seeded();
    for kill in 0..support::count(6, 50) {
        cell.up();
        verify(&cell, &items, kill);
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = HOSTS
            .iter()
            .zip(&items)
            .enumerate()
            .map(|(number, (host, items))| {
                let client = cell.client(host);
                let (items, stop) = (Arc::clone(items), Arc::clone(&stop));
                let seed = random.next() ^ number as u64;
                std::thread::spawn(move || write_until(&client, &items, &stop, kill, seed))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100 + random.next() % 1500));
        cell.kill_everything();
        stop.store(true, Ordering::Relaxed);
        let acknowledged: u32 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        println!("kill {kill}: {acknowledged} PUTs acknowledged before it");
    }
    cell.up();
    verify(&cell, &items, usize::MAX);
    assert!(cell.interrupt());
    assert_nothing_left(&cell.dir());
    let known: usize = items.iter().map(|items| items.lock().unwrap().len()).sum();
    assert!(known > 20, "only {known} items were ever acknowledged: there was no load");
}

/// Overwrites random items until told to stop or the cell is gone.
fn write_until(
    client: &https::Client,
    items: &Mutex<Items>,
    stop: &AtomicBool,
    kill: usize,
    seed: u64,
) -> u32 {
    let mut random = Random(seed | 1);
    let mut acknowledged = 0;
    let Ok(mut connection) = client.connect() else { return 0 };
    while !stop.load(Ordering::Relaxed) {
        let item = u32::try_from(random.next() % u64::from(ITEMS)).unwrap();
        let value = format!("{kill}.{}", random.next());
        let mut expected = items.lock().unwrap().get(&item).cloned().unwrap_or_default();
        expected.uncertain.push(value.clone());
        items.lock().unwrap().insert(item, expected);
        match connection.request("PUT", &format!("/items/{item}"), value.as_bytes()) {
            Ok(response) if (200..300).contains(&response.status) => {
                let known = Expected { acknowledged: Some(value), uncertain: Vec::new() };
                items.lock().unwrap().insert(item, known);
                acknowledged += 1;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    acknowledged
}

fn verify(cell: &TestCell, items: &[Arc<Mutex<Items>>], kill: usize) {
    for (host, items) in HOSTS.iter().zip(items) {
        let mut connection = cell.client(host).connect().unwrap();
        for (item, expected) in items.lock().unwrap().iter_mut() {
            let get = connection.request("GET", &format!("/items/{item}"), b"").unwrap();
            let value = match get.status {
                200 => Some(String::from_utf8(get.body).unwrap()),
                404 => None,
                status => panic!("GET of item {item} of {host} gives {status}: {get:?}"),
            };
            let certain = value == expected.acknowledged;
            let possible = value.as_ref().is_some_and(|v| expected.uncertain.contains(v));
            assert!(
                certain || possible,
                "before kill {kill}, item {item} of {host} is {value:?}; acknowledged was {:?}, \
                 possible {:?}",
                expected.acknowledged,
                expected.uncertain
            );
            // What was read once has to stay.
            *expected = Expected { acknowledged: value, uncertain: Vec::new() };
        }
    }
}

/// xorshift64: test data needs no better. The seed is printed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed = std::env::var("SEALANE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            crypto::SystemEntropy::new().fill(&mut bytes);
            u64::from_le_bytes(bytes) | 1
        });
        println!("SEALANE_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
