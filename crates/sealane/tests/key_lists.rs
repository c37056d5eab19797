//! Operators' commands on a cell with many keys: none of them holds or sends all at once, and no
//! page loses or repeats a key.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod kms_support;

use std::collections::BTreeSet;

use crypto::SystemEntropy;
use keys::authorize::{Principal, may_create};
use keys::{KeySpec, NewKey, Owner};
use kms_support::{KmsServer, count};
use libtest_mimic::{Arguments, Trial};
use sealane::cell_dir::{self, CellDir, UnlockWith};
use sealane::ipc::messages::KEYS_PAGE_MAX;
use serde_json::Value;

const STATUS_KEYS: usize = 100;

fn main() {
    let trials = vec![Trial::test("many_keys_are_listed_once_each", || {
        many_keys();
        Ok(())
    })];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn value(server: &KmsServer, arguments: &[&str]) -> Value {
    let all = [arguments, &["--output", "json"]].concat();
    serde_json::from_str(&server.ok(&all)).unwrap()
}

/// The ids of a list of keys, which names none twice.
#[track_caller]
fn ids(listed: &Value) -> BTreeSet<String> {
    let listed = listed.as_array().unwrap();
    let ids: BTreeSet<_> =
        listed.iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), listed.len(), "a key was repeated");
    ids
}

/// Keys of `tenant`, or of the account, put into the store of a cell that does not run: one in two
/// of a tenant's is of a user of its own.
fn seed(server: &KmsServer, tenant: Option<&str>, number: usize) -> BTreeSet<String> {
    let dir = CellDir::at(server.dir());
    let cell = cell_dir::open(&dir, &UnlockWith::KeyFile(None)).unwrap();
    let tenant = tenant.map(|name| cell.kms.tenant(name).unwrap().id);
    let owner = tenant.map_or(Owner::Account, Owner::Tenant);
    let mut change = cell.kms.begin().unwrap();
    let mut made = BTreeSet::new();
    for at in 0..number {
        let new = NewKey::of(owner, KeySpec::SymmetricDefault, "one of many");
        let user = (tenant.is_some() && at % 2 == 0).then(|| format!("user-{at}"));
        let permit = may_create(&Principal::Admin).unwrap();
        let entropy = &mut SystemEntropy::new();
        let new = NewKey { user, ..new };
        let record = permit.create_key(new, change.ring(), sealane::kms::now(), entropy);
        change.add_key(&record).unwrap();
        made.insert(record.id.to_string());
    }
    change.commit().unwrap();
    cell.kms.trail().close().unwrap();
    made
}

fn many_keys() {
    let mut server = KmsServer::new();
    let page = KEYS_PAGE_MAX as usize;
    for tenant in ["acme", "globex", "one-page", "two-pages"] {
        server.ok(&["tenant", "create", tenant]);
    }
    server.ok(&["key", "create", "--tenant", "acme", "--user", "alice"]);
    let first = ids(&value(&server, &["key", "list"]));
    assert_eq!(first.len(), 4 + 4 + 1, "of the cell, of the tenants, of a user");

    let half = count(2_500, 50_000);
    let of_acme = seed(&server, Some("acme"), half);
    let mut expected = &first | &of_acme;
    expected.extend(seed(&server, None, half));
    // With the tenant's own, one page to the last place and two with one place left over.
    expected.extend(seed(&server, Some("one-page"), page - 1));
    expected.extend(seed(&server, Some("two-pages"), 2 * page - 2));
    let tenants = |server: &KmsServer| {
        for (tenant, keys) in [("globex", 1), ("one-page", page), ("two-pages", 2 * page - 1)] {
            let listed = value(server, &["key", "list", "--tenant", tenant]);
            assert_eq!(ids(&listed).len(), keys, "{tenant}");
            assert!(listed.as_array().unwrap().iter().all(|key| key["tenant"] == tenant));
        }
    };
    tenants(&server);
    server.start();
    tenants(&server);

    assert!(ids(&value(&server, &["key", "list"])) == expected, "all keys, and no others");
    let text = server.ok(&["key", "list"]);
    let lines: BTreeSet<_> =
        text.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!((lines.len(), text.lines().count()), (expected.len(), expected.len() + 1));
    assert!(lines.iter().all(|id| expected.contains(*id)), "a line for each key");
    let listed = ids(&value(&server, &["key", "list", "--tenant", "acme"]));
    assert_eq!(listed.len(), half + 2);
    assert!(listed.is_superset(&of_acme));
    let of_user = value(&server, &["key", "list", "--tenant", "acme", "--user", "user-2"]);
    assert_eq!((ids(&of_user).len(), &of_user[0]["user"]), (1, &"user-2".into()));
    for limit in [1, page, page + 1] {
        let listed = value(&server, &["key", "list", "--limit", &limit.to_string()]);
        assert_eq!(ids(&listed).len(), limit);
    }
    let users = value(&server, &["user", "list", "--tenant", "acme"]);
    assert_eq!(users.as_array().unwrap().len(), half.div_ceil(2) + 1);

    let total = |server: &KmsServer, expected: usize| {
        let status = value(server, &["status"]);
        assert_eq!(status["keys_total"], expected);
        let shown = ids(&status["keys"]);
        assert_eq!(shown.len(), STATUS_KEYS);
        let own: BTreeSet<_> = shown.intersection(&first).collect();
        assert!(own.len() >= 4, "the cell's own are among them");
        let text = server.ok(&["status"]);
        assert!(text.contains(&format!("and {} more: ", expected - STATUS_KEYS)), "{text}");
    };
    total(&server, expected.len());
    one_of_many(&server, of_acme.iter().next().unwrap());

    let erased = value(&server, &["tenant", "erase", "acme", "--yes"]);
    assert_eq!(erased["keys_destroyed"], half + 2);
    assert_eq!(value(&server, &["key", "list", "--tenant", "acme"]), serde_json::json!([]));
    let left: BTreeSet<_> = expected.difference(&listed).cloned().collect();
    assert!(ids(&value(&server, &["key", "list"])) == left, "all others are left");
    total(&server, left.len());
    // What was counted with each change is what is counted on opening.
    server.kill();
    server.start();
    total(&server, left.len());
    server.ok(&["audit", "verify"]);
}

/// Commands that name one key.
fn one_of_many(server: &KmsServer, id: &str) {
    assert_eq!(value(server, &["key", "disable", id])["state"], "disabled");
    let listed = value(server, &["key", "list", "--tenant", "acme"]);
    let disabled: Vec<_> =
        listed.as_array().unwrap().iter().filter(|k| k["state"] == "disabled").collect();
    assert_eq!((disabled.len(), &disabled[0]["id"]), (1, &id.into()));
    assert_eq!(value(server, &["key", "disable", "acme/alice"])["user"], "alice");
    assert_eq!(value(server, &["key", "rotate", "globex"])["rotations"], 1);
    for (name, word) in [
        ("acme", "more than 10 keys"),
        ("acme/nobody", "has no key"),
        ("initech", "no tenant initech"),
        ("00000000-0000-4000-8000-000000000000", "there is no key"),
    ] {
        let output = server.run(&["key", "disable", name]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{name}: {said}");
    }
    let output = server.run(&["key", "list", "--tenant", "initech"]);
    assert!(!output.status.success(), "no tenant of that name is not one without keys");
}
