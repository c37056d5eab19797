//! `sealane tenant erase` and `user erase` through the binary, beside a KMS that serves.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod kms_support;

use std::fs;
use std::path::PathBuf;

use kms_support::signed::AccessKey;
use kms_support::{KmsServer, trial};
use libtest_mimic::Arguments;
use serde_json::{Value, json};

fn main() {
    let trials = vec![
        trial("a_tenant_is_erased_beside_another", tenants),
        trial("a_user_is_erased_beside_another", users),
        trial("the_logs_of_an_erased_tenant_go_now_or_on_the_next_opening", logs),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn value(server: &KmsServer, arguments: &[&str]) -> Value {
    let all = [arguments, &["--output", "json"]].concat();
    serde_json::from_str(&server.ok(&all)).unwrap()
}

fn credential(server: &KmsServer, tenant: &str) -> AccessKey {
    let create = ["kms", "credential", "create", "web", "--tenant", tenant];
    let made = value(server, &create);
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    AccessKey { id: text("access_key_id"), secret: text("secret_access_key"), token: None }
}

#[track_caller]
fn call(server: &KmsServer, key: &AccessKey, operation: &str, body: &Value) -> (u16, Value) {
    let answer = server.connect().call(key, operation, body.to_string().as_bytes());
    (answer.status, answer.json())
}

#[track_caller]
fn refused(server: &KmsServer, arguments: &[&str], code: i32, word: &str) {
    let output = server.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    let said = said.replace(['│', '\n'], " ");
    assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains(word), "{said}");
}

fn tenants() {
    let server = KmsServer::started();
    let keys = ["acme", "globex"].map(|name| {
        server.ok(&["tenant", "create", name]);
        (credential(&server, name), value(&server, &["key", "list", "--tenant", name]))
    });
    let blobs = keys.each_ref().map(|(credential, listed)| {
        let body = json!({ "KeyId": listed[0]["id"], "Plaintext": "YXR0YWNr" });
        let (status, answer) = call(&server, credential, "Encrypt", &body);
        assert_eq!(status, 200, "{answer}");
        json!({ "CiphertextBlob": answer["CiphertextBlob"] })
    });

    refused(&server, &["tenant", "erase", "acme"], 2, "--yes");
    refused(&server, &["tenant", "erase", "initech", "--yes"], 1, "no tenant");
    assert_eq!(call(&server, &keys[0].0, "Decrypt", &blobs[0]).0, 200, "nothing was erased yet");
    let erased = value(&server, &["tenant", "erase", "acme", "--yes"]);
    assert_eq!((&erased["keys_destroyed"], &erased["access_keys_revoked"]), (&json!(1), &json!(1)));
    assert!(erased["store_rewritten"].is_string(), "{erased}");

    let (status, answer) = call(&server, &keys[0].0, "Decrypt", &blobs[0]);
    assert_eq!((status, &answer["__type"]), (400, &json!("UnrecognizedClientException")));
    assert_eq!(call(&server, &keys[1].0, "Decrypt", &blobs[1]).0, 200);
    // Nor does anybody else find the key that the blob names.
    let (status, answer) = call(&server, &keys[1].0, "Decrypt", &blobs[0]);
    assert_eq!(status, 400, "{answer}");

    for refusal in [
        &["tenant", "create", "acme"][..],
        &["key", "create", "--tenant", "acme"],
        &["kms", "credential", "create", "new", "--tenant", "acme"],
    ] {
        refused(&server, refusal, 1, "was erased");
    }
    let listed = value(&server, &["tenant", "list"]);
    assert!(listed[0]["erased"].is_string() && listed[1]["erased"].is_null(), "{listed}");
    assert_eq!(value(&server, &["key", "list", "--tenant", "acme"]), json!([]));
    let erasures = value(&server, &["tenant", "erasures"]);
    assert_eq!(
        (&erasures[0]["tenant"], &erasures[0]["by"]),
        (&json!("acme"), &json!("administrator"))
    );
    let trail = server.ok(&["audit", "tail", "-n", "50"]);
    assert!(trail.contains("EraseTenant"), "{trail}");
    server.ok(&["audit", "verify"]);
}

/// Where services of a cell that `up` started have left their logs.
fn log_folder(server: &KmsServer, name: &str) -> PathBuf {
    let folder = server.dir().join("logs").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("0000000000.log"), "sealed").unwrap();
    folder
}

fn logs() {
    let mut server = KmsServer::new();
    for tenant in ["acme", "acme-2", "globex"] {
        server.ok(&["tenant", "create", tenant]);
    }
    let others = ["acme-2.web", "globex.web"].map(|name| log_folder(&server, name));
    let theirs = ["acme.web", "acme.redis"].map(|name| log_folder(&server, name));
    server.start();
    refused(&server, &["tenant", "erase", "acme"], 2, "--yes");
    assert!(theirs.iter().all(|folder| folder.exists()));
    // What cannot be removed is said, and keeps nothing else from being done.
    let obstacle = server.dir().join("logs/acme.obstacle");
    fs::write(&obstacle, "").unwrap();
    let output = server.run(&["tenant", "erase", "acme", "--yes"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("could not all be removed"), "{said}");
    assert!(theirs.iter().all(|folder| !folder.exists()));
    fs::remove_file(&obstacle).unwrap();
    let output = server.run(&["tenant", "erase", "acme", "--yes"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");

    // A crash came between the store's commit and the removal, or something was written later: the
    // server that is started next removes it, or the command that opens DIR without one.
    let left = log_folder(&server, "acme.web");
    server.ok(&["status"]);
    assert!(left.exists(), "only opening looks for it");
    server.kill();
    server.start();
    assert!(!left.exists());
    server.kill();
    log_folder(&server, "acme.web");
    server.ok(&["status"]);
    assert!(!left.exists());
    // No cell runs: the same at once. A user's erasure leaves logs, which are its service's.
    server.ok(&["key", "create", "--tenant", "globex", "--user", "alice"]);
    server.ok(&["user", "erase", "globex/alice", "--yes"]);
    assert!(others.iter().all(|folder| folder.join("0000000000.log").exists()));
    server.ok(&["tenant", "erase", "globex", "--yes"]);
    assert_eq!(others.map(|folder| folder.exists()), [true, false]);
}

fn users() {
    let server = KmsServer::new();
    server.ok(&["tenant", "create", "acme"]);
    for user in ["alice", "bob"] {
        let made = value(&server, &["key", "create", "--tenant", "acme", "--user", user]);
        assert_eq!(made["user"], user);
    }
    refused(
        &server,
        &["key", "create", "--tenant", "acme", "--user", "a/b"],
        1,
        "cannot be the name",
    );
    let shown = server.ok(&["key", "list"]);
    assert!(shown.contains("USER") && shown.contains("alice"), "{shown}");
    // The tenant's own key goes by the tenant's name, a user's by both.
    assert_eq!(value(&server, &["key", "rotate", "acme"])["user"], Value::Null);
    assert_eq!(value(&server, &["key", "rotate", "acme/bob"])["user"], "bob");
    assert_eq!(value(&server, &["user", "list"]).as_array().unwrap().len(), 2);

    refused(&server, &["user", "erase", "acme", "--yes"], 2, "TENANT/USER");
    refused(&server, &["user", "erase", "acme/carol", "--yes"], 1, "no user acme/carol");
    server.ok(&["user", "erase", "acme/alice", "--yes"]);
    let left = value(&server, &["user", "list", "--tenant", "acme"]);
    assert_eq!((left.as_array().unwrap().len(), &left[0]["name"]), (1, &json!("bob")));
    assert_eq!(value(&server, &["key", "list", "--tenant", "acme"]).as_array().unwrap().len(), 2);
    refused(&server, &["key", "create", "--tenant", "acme", "--user", "alice"], 1, "was erased");
}
