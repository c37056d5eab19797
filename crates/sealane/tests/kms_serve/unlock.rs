//! `sealane seal unlock`, given what each kind of seal asks for.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use super::call;
use super::kms_support::KmsServer;
use super::kms_support::signed::AccessKey;

fn said(output: &Output) -> String {
    let all = String::from_utf8_lossy(&output.stderr).replace(['│', '\n'], " ");
    all.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn refused(output: &Output, word: &str) {
    let said = said(output);
    assert!(!output.status.success() && said.contains(word), "no {word:?}: {said}");
}

/// Whether the cell is locked, as both of its sockets say.
#[track_caller]
fn is_locked(server: &KmsServer, by: &AccessKey) -> bool {
    let status = server.ok(&["seal", "status", "--output", "json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    let answer = server.connect().call(by, "ListKeys", b"{}");
    match (status["state"].as_str().unwrap(), answer.status) {
        ("locked", 503) => true,
        ("unlocked", 200) => false,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn passphrase() {
    const UNLOCK: &[&str] = &["seal", "unlock"];
    let mut server = KmsServer::new();
    let me = server.access_key("me");
    let mut migrate = server.command(&["seal", "migrate", "--to", "passphrase"]);
    let migrated = migrate.env("SEALANE_NEW_PASSPHRASE", "a test phrase").output().unwrap();
    assert!(migrated.status.success(), "{}", said(&migrated));
    server.add_arguments(&["--locked"]);
    server.start();
    assert!(is_locked(&server, &me));
    let with = |passphrase: &str| {
        server.command(UNLOCK).env("SEALANE_PASSPHRASE", passphrase).output().unwrap()
    };
    refused(&server.run(UNLOCK), "the root key needs a passphrase");
    for wrong in ["another phrase", "a test phrase "] {
        refused(&with(wrong), "the passphrase is wrong");
        assert!(is_locked(&server, &me));
    }
    let right = with("a test phrase");
    assert!(right.status.success(), "{}", said(&right));
    assert_eq!(right.stdout, b"unlocked\n");
    assert!(!is_locked(&server, &me));
    assert!(with("anything at all").status.success(), "it is unlocked already");

    server.ok(&["seal", "lock"]);
    assert!(is_locked(&server, &me));
    fs::write(server.dir().with_file_name("phrase"), "a test phrase\n").unwrap();
    server.ok(&["seal", "unlock", "--passphrase-file", "phrase"]);
    assert!(!is_locked(&server, &me));
    call(&server, &me, "CreateKey", &json!({}));
}

/// Three shares as the files `NAME-1` to `NAME-3`, any two of which open the cell.
fn hand_out(server: &KmsServer, name: &str) {
    let to = ["seal", "migrate", "--to", "shamir", "--threshold", "2", "--shares", "3"];
    let made = server.ok(&to);
    let shares = made.lines().filter(|line| line.starts_with("sealane-share-1:"));
    for (at, share) in shares.enumerate() {
        fs::write(server.dir().with_file_name(format!("{name}-{}", at + 1)), share).unwrap();
    }
}

pub(crate) fn shares() {
    let mut server = KmsServer::new();
    let me = server.access_key("me");
    hand_out(&server, "share");
    // Without shares it starts locked, as they come from several people.
    server.start();
    assert!(is_locked(&server, &me));
    let unlock = |file: &str| server.run(&["seal", "unlock", "--share-file", file]);
    #[track_caller]
    fn given(output: &Output, text: &str) {
        assert!(output.status.success(), "{}", said(output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), text);
    }
    refused(&server.run(&["seal", "unlock"]), "a share of the root key is needed");
    given(&unlock("share-1"), "locked: 1 of 2 shares given");
    assert!(is_locked(&server, &me));

    // Whatever is wrong takes nothing away from what was given.
    let other = KmsServer::new();
    hand_out(&other, "share");
    fs::copy(
        other.dir().with_file_name("share-2"),
        server.dir().with_file_name("share-of-another-cell"),
    )
    .unwrap();
    fs::write(server.dir().with_file_name("no-share"), "hunter2").unwrap();
    refused(&unlock("share-1"), "share 1 was given already");
    refused(&unlock("share-of-another-cell"), "another cell");
    refused(&unlock("no-share"), "this is no share");
    assert!(is_locked(&server, &me));
    given(&unlock("share-3"), "unlocked");
    assert!(!is_locked(&server, &me));
    call(&server, &me, "CreateKey", &json!({}));

    // Locked again it has forgotten them all, and so it has when it is locked half way.
    for (file, text) in
        [("share-2", "locked: 1 of 2 shares given"), ("share-3", "locked: 1 of 2 shares given")]
    {
        given(&server.run(&["seal", "lock"]), "locked");
        given(&unlock(file), text);
        assert!(is_locked(&server, &me));
    }
    let both = ["seal", "unlock", "--share-file", "share-2", "--share-file", "share-1"];
    given(&server.run(&both), "unlocked");
    assert!(!is_locked(&server, &me));
    server.ok(&["audit", "verify"]);
}
