//! `kms serve --accept-rollback`: what was put back on purpose is served, and the trail says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use sealane::cell_dir::CellDir;
use serde_json::json;

use super::kms_support::KmsServer;
use super::kms_support::signed::AccessKey;
use super::{assert_state, call, create, events, stop};

const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");

/// A cell that is not served, whose one key of a user was disabled, and its store before that.
struct Changed {
    server: KmsServer,
    me: AccessKey,
    key: String,
    before: Vec<u8>,
}

impl Changed {
    fn new() -> Self {
        let mut server = KmsServer::started();
        let me = server.access_key("me");
        let key = create(&server, &me);
        stop(&mut server);
        let before = fs::read(CellDir::at(server.dir()).store()).unwrap();
        server.start();
        call(&server, &me, "DisableKey", &json!({ "KeyId": key }));
        stop(&mut server);
        Self { server, me, key, before }
    }

    /// The store that is there now is refused with `help`, then accepted, and served from then on.
    fn accept(mut self, help: &str) {
        let Self { server, me, key, .. } = &mut self;
        let serve = ["kms", "serve", "--listen", "127.0.0.1:0", "--plaintext"];
        let refused = server.run(&serve);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(help), "{said}");

        server.add_arguments(&["--accept-rollback"]);
        server.start();
        assert!(server.log().contains("accepted the store as of transaction"), "{}", server.log());
        assert_state(server, me, key, "Enabled");
        let accepted = events(server, "AcceptRollback");
        let outcome = accepted.last().unwrap();
        assert_eq!(outcome["additionalEventData"]["phase"], "Outcome", "{outcome}");
        assert!(outcome["errorCode"].is_null(), "{outcome}");
        let said = &accepted[0]["requestParameters"];
        assert!(said["anchor"].is_u64() && said["store"].is_u64(), "{said}");
        // What was taken back stays on record.
        assert!(!events(server, "DisableKey").is_empty());
        call(server, me, "DisableKey", &json!({ "KeyId": key }));
        server.ok(&["audit", "verify"]);

        // Nothing is accepted twice, nor needs to be.
        stop(server);
        server.start();
        assert!(server.log().contains("no rollback to accept"), "{}", server.log());
        assert_state(server, me, key, "Disabled");
        assert_eq!(events(server, "AcceptRollback").len(), accepted.len());
        stop(server);
        server.ok(&["tenant", "list"]);
        server.ok(&["audit", "verify"]);
    }
}

pub(crate) fn whole_store() {
    let changed = Changed::new();
    fs::write(CellDir::at(changed.server.dir()).store(), &changed.before).unwrap();
    changed.accept("--accept-rollback");
}

/// The records of keys.
fn keys(store: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let database = Database::open(store).unwrap();
    let table = database.begin_read().unwrap().open_table(RECORDS).unwrap();
    let all = table.iter().unwrap().map(|entry| {
        let (slot, sealed) = entry.unwrap();
        (slot.value().to_vec(), sealed.value().to_vec())
    });
    all.filter(|(slot, _)| slot.starts_with(b"key\0")).collect()
}

/// As somebody with a copy of redb writes to the store.
fn put(store: &Path, slot: &[u8], sealed: &[u8]) {
    let database = Database::open(store).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(RECORDS).unwrap().insert(slot, sealed).unwrap();
    transaction.commit().unwrap();
}

pub(crate) fn one_record() {
    let changed = Changed::new();
    let store = CellDir::at(changed.server.dir()).store();
    let old = changed.server.dir().with_file_name("old.redb");
    fs::write(&old, &changed.before).unwrap();
    let (old, new) = (keys(&old), keys(&store));
    let changes: Vec<_> = old.iter().filter(|(slot, old)| new.get(*slot) != Some(old)).collect();
    let [(slot, sealed)] = changes[..] else { panic!("one key was changed") };
    put(&store, slot, sealed);
    changed.accept("restore the whole store from a backup");
}

/// What is accepted is old. What this cell never wrote, or not there, stays refused.
pub(crate) fn forged_records() {
    let Changed { mut server, me, key, .. } = Changed::new();
    let store = CellDir::at(server.dir()).store();
    let whole = fs::read(&store).unwrap();
    let records: Vec<_> = keys(&store).into_iter().collect();
    let [(first, sealed), (_, other), ..] = &records[..] else { panic!("two keys") };
    let mut flipped = sealed.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut elsewhere = first.clone();
    *elsewhere.last_mut().unwrap() ^= 1;
    let accept = ["kms", "serve", "--listen", "127.0.0.1:0", "--plaintext", "--accept-rollback"];
    for (slot, sealed) in [(first, &flipped), (first, other), (&elsewhere, sealed)] {
        put(&store, slot, sealed);
        let forged = fs::read(&store).unwrap();
        let refused = server.run(&accept);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("of table key"), "{said}");
        assert!(fs::read(&store).unwrap() == forged, "nothing is written: {said}");
        fs::write(&store, &whole).unwrap();
    }
    server.start();
    assert_state(&server, &me, &key, "Disabled");
    assert_eq!(events(&server, "AcceptRollback").len(), 0);
}
