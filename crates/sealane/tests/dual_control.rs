//! `sealane dual-control` through the binary: what one person is refused, and what two may do.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod kms_support;

use kms_support::signed::AccessKey;
use kms_support::{KmsServer, trial};
use libtest_mimic::Arguments;
use serde_json::{Value, json};

const ONE: [&str; 2] = ["--share-file", "share-1"];
const TWO: [&str; 4] = ["--share-file", "share-1", "--share-file", "share-3"];

fn main() {
    let trials = vec![
        trial("two_delete_a_key", two_delete_a_key),
        trial("operators_show_shares", operators_show_shares),
        trial("the_seal_stays_one_of_shares", the_seal_stays_one_of_shares),
        trial("a_key_file_is_no_two_people", a_key_file_is_no_two_people),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A cell whose root key is shared by three, any two of whom open it.
fn shared() -> KmsServer {
    let mut server = KmsServer::new();
    let to = ["seal", "migrate", "--to", "shamir", "--threshold", "2", "--shares", "3"];
    hand_out(&server, &to);
    server.add_arguments(&TWO);
    server
}

fn hand_out(server: &KmsServer, command: &[&str]) {
    let said = server.ok(command);
    let shares = said.lines().filter(|line| line.starts_with("sealane-share-1:"));
    for (at, share) in shares.enumerate() {
        let path = server.dir().with_file_name(format!("share-{}", at + 1));
        std::fs::write(path, share).unwrap();
    }
}

fn under_dual_control() -> KmsServer {
    let mut server = shared();
    ok(&server, &["dual-control", "on"], &TWO);
    server.start();
    server
}

fn ok(server: &KmsServer, command: &[&str], shares: &[&str]) -> Value {
    let said = server.ok(&[command, shares, &["--output", "json"]].concat());
    serde_json::from_str(&said).unwrap()
}

#[track_caller]
fn refused(server: &KmsServer, command: &[&str], shares: &[&str], word: &str) {
    let output = server.run(&[command, shares].concat());
    let said = String::from_utf8_lossy(&output.stderr).replace(['│', '\n'], " ");
    assert!(!output.status.success(), "{command:?} {shares:?}");
    assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains(word), "{said}");
}

fn access_key(server: &KmsServer, name: &str) -> AccessKey {
    let made = ok(server, &["kms", "credential", "create", name], &TWO);
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    AccessKey { id: text("access_key_id"), secret: text("secret_access_key"), token: None }
}

fn call(server: &KmsServer, key: &AccessKey, operation: &str, body: &Value) -> (u16, Value) {
    let answer = server.connect().call(key, operation, body.to_string().as_bytes());
    (answer.status, answer.json())
}

/// The lines of the trail about `name`, oldest first.
fn events(server: &KmsServer, name: &str) -> Vec<Value> {
    let said = server.ok(&[&["audit", "export"][..], &TWO].concat());
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["eventName"] == name).collect()
}

fn two_delete_a_key() {
    let server = under_dual_control();
    let (alice, bob) = (access_key(&server, "alice"), access_key(&server, "bob"));
    let (status, made) = call(&server, &alice, "CreateKey", &json!({}));
    assert_eq!(status, 200, "{made}");
    let id = &made["KeyMetadata"]["KeyId"];
    let ask = |who, days: u64| {
        let body = json!({ "KeyId": id, "PendingWindowInDays": days });
        call(&server, who, "ScheduleKeyDeletion", &body)
    };
    let state = || {
        let (_, described) = call(&server, &bob, "DescribeKey", &json!({ "KeyId": id }));
        described["KeyMetadata"]["KeyState"].clone()
    };
    for _ in 0..2 {
        let (status, answer) = ask(&alice, 10);
        assert_eq!((status, &answer["__type"]), (400, &json!("AccessDeniedException")));
        let message = answer["Message"].as_str().unwrap();
        assert!(message.contains("dual control") && message.contains("user/alice"), "{message}");
        assert_eq!(state(), "Enabled");
    }
    // Whoever may call a deletion off may withdraw the asking for it.
    assert_eq!(call(&server, &bob, "CancelKeyDeletion", &json!({ "KeyId": id })).0, 200);
    let (status, answer) = call(&server, &bob, "CancelKeyDeletion", &json!({ "KeyId": id }));
    assert_eq!((status, &answer["__type"]), (400, &json!("KMSInvalidStateException")));
    assert_eq!(ask(&bob, 7).0, 400, "bob is the first now");

    let (status, answer) = ask(&alice, 10);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["PendingWindowInDays"], 10, "the longer time counts");
    assert_eq!(state(), "PendingDeletion");
    let (status, answer) = ask(&alice, 10);
    assert_eq!((status, &answer["__type"]), (400, &json!("KMSInvalidStateException")));

    let trail = events(&server, "ScheduleKeyDeletion");
    let waits = |line: &&Value| line["requestParameters"]["awaitsSecondPrincipal"] == true;
    assert!(trail.iter().filter(waits).count() >= 3, "{trail:?}");
    let agreed = |line: &&Value| line["requestParameters"]["firstPrincipal"].is_string();
    let first = &trail.iter().find(agreed).unwrap()["requestParameters"]["firstPrincipal"];
    assert!(first.as_str().unwrap().ends_with("user/bob"), "{first}");
    server.ok(&[&["audit", "verify"][..], &TWO].concat());
}

fn operators_show_shares() {
    let server = under_dual_control();
    let control = ok(&server, &["dual-control", "status"], &[]);
    assert_eq!((&control["on"], &control["shares"]), (&json!(true), &json!([1, 3])));
    ok(&server, &["tenant", "create", "acme"], &[]);
    for command in [
        &["tenant", "erase", "acme", "--yes"][..],
        &["kms", "credential", "create", "eve"],
        &["kms", "credential", "session", "eve"],
        &["dual-control", "off"],
    ] {
        refused(&server, command, &[], "2 shares");
        refused(&server, command, &ONE, "2 shares");
        let twice = [ONE, ONE].concat();
        refused(&server, command, &twice, "share 1");
    }
    assert_eq!(ok(&server, &["tenant", "list"], &[])[0]["erased"], Value::Null);
    let erased = ok(&server, &["tenant", "erase", "acme", "--yes"], &TWO);
    assert_eq!(erased["keys_destroyed"], 1);
    let trail = events(&server, "EraseTenant");
    let shares = &trail.last().unwrap()["requestParameters"]["shares"];
    assert_eq!(shares, &json!(["1", "3"]));

    let control = ok(&server, &["dual-control", "off"], &TWO);
    assert_eq!(control["on"], false);
    ok(&server, &["tenant", "create", "globex"], &[]);
    ok(&server, &["tenant", "erase", "globex", "--yes"], &[]);
    ok(&server, &["kms", "credential", "create", "eve"], &[]);
}

fn the_seal_stays_one_of_shares() {
    let server = shared();
    ok(&server, &["dual-control", "on"], &TWO);
    refused(&server, &["seal", "rekey"], &ONE, "2 shares");
    refused(&server, &["seal", "rotate-root"], &ONE, "2 shares");
    let serve = ["kms", "serve", "--listen", "127.0.0.1:0", "--plaintext", "--accept-rollback"];
    refused(&server, &serve, &ONE, "2 shares");
    refused(&server, &["seal", "migrate", "--to", "keyfile"], &TWO, "dual control");
    assert_eq!(ok(&server, &["seal", "status"], &[])["kind"], "shamir");
    hand_out(&server, &[&["seal", "rekey"][..], &TWO].concat());
    ok(&server, &["seal", "rotate-root"], &TWO);
    ok(&server, &["dual-control", "off"], &TWO);
    // The old key file is where it was, and opens nothing.
    std::fs::remove_file(server.dir().join("root.key")).unwrap();
    ok(&server, &["seal", "migrate", "--to", "keyfile"], &TWO);

    let phases = |name| {
        let said = server.ok(&["audit", "export"]);
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = |line: Value| {
            let said = &line["requestParameters"];
            let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
            let failed = line["errorCode"].as_str().unwrap_or_default().to_owned();
            let shown = format!("{}-{} {}", text("from"), text("to"), text("phase"));
            (line["eventName"] == name).then(|| format!("{shown} {failed}").trim().to_owned())
        };
        let mut all: Vec<String> = lines.filter_map(told).collect();
        // Of a change there are two lines: its intent and its outcome.
        all.dedup();
        all
    };
    assert_eq!(
        phases("ChangeSeal"),
        [
            "keyfile-shamir begun",
            "keyfile-shamir ended",
            "shamir-keyfile begun AccessDeniedException",
            "shamir-shamir begun",
            "shamir-shamir ended",
            "shamir-keyfile begun",
            "shamir-keyfile ended",
        ]
    );
    assert_eq!(phases("RotateRootKey"), ["shamir-shamir begun", "shamir-shamir ended"]);
    server.ok(&["audit", "verify"]);
}

fn a_key_file_is_no_two_people() {
    let mut server = KmsServer::new();
    refused(&server, &["dual-control", "on"], &[], "shares");
    server.start();
    refused(&server, &["dual-control", "on"], &[], "migrate --to shamir");
    assert_eq!(ok(&server, &["dual-control", "status"], &[])["on"], false);
}
