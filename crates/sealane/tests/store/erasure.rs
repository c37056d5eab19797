//! Tenants and users that are erased, and what of them stays where.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aho_corasick::AhoCorasick;
use crypto::Id;
use keys::authorize::Principal;
use keys::{EncryptionContext, KeySpec, NewKey, Owner};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use sealane::kms::{Kms, KmsError, NewVolume};

use crate::kit::{NUMBERS, TestStore, identify};
use crate::kms::{events, kms, reopened, workload};

const ADMIN: Principal = Principal::Admin;
const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");

/// All sealed records of a store that is closed.
fn sealed(kit: &TestStore) -> BTreeSet<Vec<u8>> {
    // Opening a database writes to it.
    let copy = kit.file().with_extension("copy");
    fs::copy(kit.file(), &copy).unwrap();
    let database = redb::Database::create(&copy).unwrap();
    let table = database.begin_read().unwrap().open_table(RECORDS).unwrap();
    table.iter().unwrap().map(|entry| entry.unwrap().1.value().to_vec()).collect()
}

/// How many of `records` stand somewhere in the store's file, used or not.
fn found(kit: &TestStore, records: &BTreeSet<Vec<u8>>) -> usize {
    let file = fs::read(kit.file()).unwrap();
    let found = AhoCorasick::new(records).unwrap();
    let found: BTreeSet<_> = found.find_iter(&file).map(|one| one.pattern()).collect();
    found.len()
}

fn user_key(kms: &Kms, tenant: Id, user: &str) -> Result<Id, KmsError> {
    let new = NewKey::of(Owner::Tenant(tenant), KeySpec::SymmetricDefault, "a user's");
    Ok(kms.create_key(&ADMIN, NewKey { user: Some(user.to_owned()), ..new })?.id)
}

#[test]
fn an_erased_tenant_is_gone_while_others_go_on() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let acme = kms.create_tenant(&ADMIN, "acme").unwrap();
    let globex = kms.create_tenant(&ADMIN, "globex").unwrap();
    let context = EncryptionContext::default();
    let blob = kms.encrypt(&workload(acme.id), acme.key, b"attack", &context).unwrap();
    let (credential, _) = kms.create_credential(&ADMIN, "web", Some("acme"), None).unwrap();
    let (other, _) = kms.create_credential(&ADMIN, "web", Some("globex"), None).unwrap();
    let new = NewVolume {
        tenant: "acme".into(),
        name: "redis".into(),
        service: "redis".into(),
        size_bytes: 1 << 30,
        user: None,
    };
    let volume = kms.create_volume(&ADMIN, new.clone()).unwrap();
    assert!(kms.credential(credential.access_key_id.as_str()).unwrap().is_some());
    assert!(matches!(kms.erase_tenant(&ADMIN, "acne", None), Err(KmsError::UnknownTenant(_))));
    let thief = workload(globex.id);
    assert!(matches!(kms.erase_tenant(&thief, "acme", None), Err(KmsError::Refused(_))));

    let (stop, uses) = (AtomicBool::new(false), AtomicU64::new(0));
    let erased = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let (theirs, context) = (workload(globex.id), EncryptionContext::default());
                    let blob = kms.encrypt(&theirs, globex.key, b"on and on", &context).unwrap();
                    assert_eq!(&kms.decrypt(&theirs, &blob, &context).unwrap()[..], b"on and on");
                    kms.rotate_key(&ADMIN, globex.key).ok();
                    kms.keys_page(None, None, 100).unwrap();
                    uses.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while uses.load(Ordering::Relaxed) < 3 {
            std::thread::yield_now();
        }
        let erased = kms.erase_tenant(&ADMIN, "acme", None).unwrap();
        let before = uses.load(Ordering::Relaxed);
        while uses.load(Ordering::Relaxed) < before + 3 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        erased
    });
    assert_eq!((erased.keys, erased.credentials), (1, 1));
    assert!(erased.rewritten.is_some(), "the file was written anew under load");

    let check = |kms: &Kms| {
        let gone = |result| matches!(result, Err(KmsError::UnknownKey(id)) if id == acme.key);
        assert!(gone(kms.decrypt(&workload(acme.id), &blob, &context)));
        assert!(matches!(kms.unwrap_volume_key(&volume), Err(KmsError::UnknownKey(_))));
        assert!(kms.credential(credential.access_key_id.as_str()).unwrap().is_none());
        assert!(kms.credential(other.access_key_id.as_str()).unwrap().is_some());
        let erased = |error| matches!(error, KmsError::Erased(what) if what == "tenant acme");
        assert!(erased(kms.create_tenant(&ADMIN, "acme").unwrap_err()));
        assert!(erased(
            kms.create_credential(&ADMIN, "x", Some("acme"), None).map(drop).unwrap_err()
        ));
        assert!(erased(kms.create_volume(&ADMIN, new.clone()).unwrap_err()));
        assert!(erased(user_key(kms, acme.id, "alice").unwrap_err()));
        assert_eq!(kms.erasures().unwrap()[0].tenant, acme.id);
    };
    check(&kms);
    let kms = reopened(&kit, kms);
    check(&kms);
    let events = events(&kit, &kms);
    let of_erasure: Vec<_> =
        events.iter().filter(|event| event["eventName"] == "EraseTenant").collect();
    let outcome: Vec<_> = of_erasure.iter().map(|event| event["errorCode"].as_str()).collect();
    assert_eq!(outcome, [Some("ValidationException"), Some("AccessDeniedException"), None]);
    let told = &of_erasure[2]["requestParameters"];
    assert_eq!((&told["tenant"], &told["keysDestroyed"]), (&"acme".into(), &1.into()));
}

#[test]
fn an_erased_user_takes_only_its_own_along() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let acme = kms.create_tenant(&ADMIN, "acme").unwrap();
    let context = EncryptionContext::default();
    let [alice, bob] = ["alice", "bob"].map(|user| user_key(&kms, acme.id, user).unwrap());
    assert!(matches!(user_key(&kms, acme.id, "no one"), Err(KmsError::BadUserName(_))));
    let principal = workload(acme.id);
    let blobs = [alice, bob, acme.key].map(|key| kms.encrypt(&principal, key, b"x", &context));
    let (of_alice, _) = kms.create_credential(&ADMIN, "alice", Some("acme"), None).unwrap();
    let names: Vec<_> =
        kms.users(None, None, 10).unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["alice", "bob"]);

    assert!(matches!(kms.erase_user(&ADMIN, "acme", "carol", None), Err(KmsError::UnknownUser(_))));
    let volume = |user: &str| {
        let name = format!("of-{user}");
        let user = Some(user.to_owned());
        let (tenant, service) = ("acme".to_owned(), "redis".to_owned());
        kms.create_volume(&ADMIN, NewVolume { tenant, name, service, size_bytes: 1 << 30, user })
    };
    let [of_alices, of_bobs] = ["alice", "bob"].map(|user| volume(user).unwrap());
    let erased = kms.erase_user(&ADMIN, "acme", "alice", None).unwrap();
    assert!(matches!(volume("alice"), Err(KmsError::Erased(what)) if what == "user acme/alice"));
    assert_eq!((erased.keys, erased.credentials), (2, 1), "one key is the volume's");
    assert!(matches!(kms.unwrap_volume_key(&of_alices), Err(KmsError::UnknownKey(_))));
    kms.unwrap_volume_key(&of_bobs).unwrap();
    assert_eq!([&of_alices, &of_bobs].map(|it| kms.is_volume_usable(it).unwrap()), [false, true]);
    let opened = blobs.map(|blob| kms.decrypt(&principal, &blob.unwrap(), &context).is_ok());
    assert_eq!(opened, [false, true, true]);
    assert!(kms.credential(of_alice.access_key_id.as_str()).unwrap().is_none());
    for refused in [
        user_key(&kms, acme.id, "alice").map(drop),
        kms.create_credential(&ADMIN, "alice", Some("acme"), None).map(drop),
    ] {
        assert!(matches!(refused, Err(KmsError::Erased(what)) if what == "user acme/alice"));
    }
    kms.create_credential(&ADMIN, "alice", None, None).unwrap();
    let again = kms.erase_user(&ADMIN, "acme", "alice", None).unwrap();
    assert_eq!((again.keys, again.at), (2, erased.at), "erasing again changes nothing");
}

#[test]
fn no_remains_stay_in_the_stores_file() {
    let kit = TestStore::new();
    let made = kms(&kit);
    let acme = made.create_tenant(&ADMIN, "acme").unwrap();
    made.create_tenant(&ADMIN, "globex").unwrap();
    user_key(&made, acme.id, "alice").unwrap();
    drop(made);
    let before = sealed(&kit);
    assert_eq!(found(&kit, &before), before.len());

    let kms = reopened_store(&kit);
    kms.disable_key(&ADMIN, acme.key).unwrap();
    drop(kms);
    let replaced: BTreeSet<_> = before.difference(&sealed(&kit)).cloned().collect();
    assert!(found(&kit, &replaced) > 0, "a record that is replaced stays in the file");

    let kms = reopened_store(&kit);
    let (old, len) = (fs::File::open(kit.file()).unwrap(), fs::metadata(kit.file()).unwrap().len());
    kms.erase_tenant(&ADMIN, "acme", None).unwrap();
    drop(kms);
    assert_is_zeros(old, len);
    let gone: BTreeSet<_> = before.difference(&sealed(&kit)).cloned().collect();
    assert!(gone.len() > replaced.len());
    assert_eq!(found(&kit, &gone), 0);
}

/// All of the file, which was `len` bytes long at least.
fn assert_is_zeros(mut file: fs::File, len: u64) {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes.len() as u64 >= len, "{} of {len} bytes are left to be read", bytes.len());
    assert!(bytes.iter().all(|byte| *byte == 0));
}

fn reopened_store(kit: &TestStore) -> Kms {
    Kms::open(Arc::new(kit.open().unwrap()), &kit.trail()).unwrap()
}

#[test]
fn an_erasure_stands_where_the_file_cannot_be_rewritten_at_once() {
    let kit = TestStore::new();
    let made = kms(&kit);
    let acme = made.create_tenant(&ADMIN, "acme").unwrap();
    // A folder that is not empty keeps the new file from being made, as a full disk would.
    let obstacle = kit.file().with_extension("redb.new");
    fs::create_dir_all(obstacle.join("x")).unwrap();
    let erased = made.erase_tenant(&ADMIN, "acme", None).unwrap();
    assert_eq!(erased.rewritten, None);
    assert!(matches!(made.describe_key(acme.key), Err(KmsError::UnknownKey(_))));
    made.create_tenant(&ADMIN, "globex").unwrap();
    drop(made);
    fs::remove_dir_all(&obstacle).unwrap();
    let kms = reopened_store(&kit);
    assert!(kms.erasures().unwrap()[0].rewritten.is_some(), "opening has finished it");
    assert_eq!(kms.tenants().unwrap().len(), 2);
}

#[test]
fn what_was_erased_is_erased_again_after_a_restore() {
    let kit = TestStore::new();
    let made = kms(&kit);
    let acme = made.create_tenant(&ADMIN, "acme").unwrap();
    let globex = made.create_tenant(&ADMIN, "globex").unwrap();
    let alice = user_key(&made, globex.id, "alice").unwrap();
    drop(made);
    let saved = [kit.file(), kit.anchor()].map(|path| fs::read(path).unwrap());
    let trail = kit.trail();
    let aside = trail.with_extension("saved");
    fs::create_dir(&aside).unwrap();
    for entry in fs::read_dir(&trail).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, aside.join(path.file_name().unwrap())).unwrap();
    }
    let kms = reopened_store(&kit);
    kms.erase_tenant(&ADMIN, "acme", None).unwrap();
    kms.erase_user(&ADMIN, "globex", "alice", None).unwrap();
    let erasures = kms.erasures().unwrap();
    drop(kms);

    fs::write(kit.file(), &saved[0]).unwrap();
    fs::write(kit.anchor(), &saved[1]).unwrap();
    fs::remove_dir_all(&trail).unwrap();
    fs::rename(&aside, &trail).unwrap();
    let kms = reopened_store(&kit);
    kms.describe_key(acme.key).unwrap();
    kms.replay_erasures(&ADMIN, &erasures).unwrap();
    for key in [acme.key, alice] {
        assert!(matches!(kms.describe_key(key), Err(KmsError::UnknownKey(_))));
    }
    kms.describe_key(globex.key).unwrap();
    let replayed = kms.erasures().unwrap();
    let told = |all: &[sealane::kms::ErasedRecord]| {
        all.iter().map(|one| (one.what(), one.at, one.keys)).collect::<Vec<_>>()
    };
    assert_eq!(told(&replayed), told(&erasures));
}

#[test]
fn a_store_moves_to_a_new_file_under_its_readers() {
    let kit = TestStore::new();
    let store = kit.create();
    identify(&store);
    for number in 0..100 {
        store.transact(|t| t.put(&NUMBERS, &number.to_string(), &number)).unwrap();
    }
    let before = store.sequence();
    let linked = kit.file().with_extension("backup");
    use sealane::store::Reader as _;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(store.snapshot().unwrap().scan(&NUMBERS).unwrap().len(), 100);
                }
            });
        }
        for _ in 0..5 {
            store.rewrite().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    // A backup by hard link is somebody else's to destroy.
    fs::hard_link(kit.file(), &linked).unwrap();
    let copied = fs::read(&linked).unwrap();
    store.rewrite().unwrap();
    assert_eq!(store.sequence(), before, "nothing has changed");
    store.transact(|t| t.put(&NUMBERS, "last", &1)).unwrap();
    drop(store);
    assert_eq!(fs::read(&linked).unwrap().len(), copied.len());
    let beside = kit.file().with_extension("redb.new");
    fs::write(&beside, "cut short").unwrap();
    let left = fs::File::open(&beside).unwrap();
    let store = kit.open().unwrap();
    assert_is_zeros(left, 9);
    assert!(!kit.file().with_extension("redb.new").exists());
    assert_eq!(store.snapshot().unwrap().scan(&NUMBERS).unwrap().len(), 101);
}
