//! `sealane kms serve` over its life: what is locked and unlocked, what happens to keys by itself,
//! what outlives a restart, and what is taken back on purpose.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

#[path = "kms_serve/due.rs"]
mod due;
mod kms_support;
#[path = "kms_serve/last_use.rs"]
mod last_use;
#[path = "kms_serve/locked.rs"]
mod locked;
#[path = "kms_serve/metrics.rs"]
mod metrics;
#[path = "kms_serve/rollback.rs"]
mod rollback;
#[path = "kms_serve/strict.rs"]
mod strict;
#[path = "kms_serve/unlock.rs"]
mod unlock;

use kms_support::http::Answer;
use kms_support::signed::AccessKey;
use kms_support::{KmsServer, trial};
use libtest_mimic::Arguments;
use serde_json::{Value, json};

fn main() {
    let trials = vec![
        trial("keys_rotate_and_end_when_their_time_comes", due::rotation_and_deletion),
        trial("when_a_key_was_last_used_outlives_a_restart", last_use::restarts),
        trial("a_strict_trail_has_all_that_was_answered", strict::kills),
        trial("a_locked_kms_says_one_thing_to_all", locked::every_operation),
        trial("calls_are_counted", metrics::of_calls),
        trial("a_passphrase_unlocks", unlock::passphrase),
        trial("shares_unlock_one_by_one", unlock::shares),
        trial("an_older_store_is_served_on_purpose", rollback::whole_store),
        trial("an_older_record_is_served_on_purpose", rollback::one_record),
        trial("a_forged_record_is_never_served", rollback::forged_records),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn asked(server: &KmsServer, by: &AccessKey, operation: &str, body: &Value) -> Answer {
    server.connect().call(by, operation, body.to_string().as_bytes())
}

#[track_caller]
fn call(server: &KmsServer, by: &AccessKey, operation: &str, body: &Value) -> Value {
    let answer = asked(server, by, operation, body);
    assert_eq!(answer.status, 200, "{operation}: {answer:?}");
    answer.json()
}

/// The id of a new key.
fn create(server: &KmsServer, by: &AccessKey) -> String {
    let made = call(server, by, "CreateKey", &json!({}));
    made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_state(server: &KmsServer, by: &AccessKey, key: &str, state: &str) {
    let described = call(server, by, "DescribeKey", &json!({ "KeyId": key }));
    assert_eq!(described["KeyMetadata"]["KeyState"], state);
}

/// Ends the server as an operator does.
fn stop(server: &mut KmsServer) {
    server.ok(&["down"]);
    let ended = server.wait();
    assert!(ended.success(), "{ended}");
}

/// The events of that name in the audit trail, oldest first.
fn events(server: &KmsServer, name: &str) -> Vec<Value> {
    let said = server.ok(&["audit", "export"]);
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["eventName"] == name).collect()
}
