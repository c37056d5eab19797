//! What a locked KMS says: one and the same, whatever it is asked, and by whom.

use serde_json::json;
use wire::kms::Operation;

use super::kms_support::KmsServer;
use super::kms_support::http::{Answer, Connection};
use super::kms_support::signed::AccessKey;
use super::{call, create};

/// All of an answer but what tells one from the next: its request's id and its time.
fn content(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "x-amzn-requestid" && name != "date");
    headers.sort();
    (answer.status, headers, String::from_utf8(answer.body.clone()).unwrap())
}

pub(crate) fn every_operation() {
    let mut server = KmsServer::new();
    let me = server.access_key("me");
    server.start();
    let key = create(&server, &me);
    let body = json!({ "KeyId": key, "Plaintext": "eA==" });
    let blob = call(&server, &me, "Encrypt", &body)["CiphertextBlob"].clone();
    server.ok(&["seal", "lock"]);

    let mut connection = server.connect();
    let first = connection.call(&me, "ListKeys", b"{}");
    assert_eq!(first.status, 503, "{first:?}");
    assert_eq!(first.aws_error().as_deref(), Some("ServiceUnavailableException"), "{first:?}");
    let told = content(&first);
    let check = |connection: &mut Connection, by: &AccessKey, operation: &str, body: &str| {
        let answer = connection.call(by, operation, body.as_bytes());
        assert_eq!(content(&answer), told, "{operation} {body:?}");
    };
    // What would be right, what names a key, and what is refused by an unlocked one.
    let bodies = [
        json!({ "KeyId": key, "Plaintext": "eA==", "CiphertextBlob": blob }).to_string(),
        json!({ "KeyId": "no-such-key", "NumberOfBytes": 32 }).to_string(),
        "{}".to_owned(),
        "{".to_owned(),
    ];
    assert!(Operation::ALL.len() > 50, "{}", Operation::ALL.len());
    for entry in Operation::ALL {
        for body in &bodies {
            check(&mut connection, &me, entry.name, body);
        }
    }
    // Nobody learns whether an access key is good.
    let stranger = AccessKey { id: "AKIAIOSFODNN7EXAMPLE".to_owned(), ..me.clone() };
    let forger = AccessKey { secret: "x".repeat(40), ..me.clone() };
    let bearer = AccessKey { token: Some("x".repeat(200)), ..me.clone() };
    for by in [&stranger, &forger, &bearer] {
        check(&mut connection, by, "Decrypt", &bodies[0]);
    }

    server.ok(&["seal", "unlock"]);
    let opened = call(&server, &me, "Decrypt", &json!({ "CiphertextBlob": blob }));
    assert_eq!(opened["Plaintext"], "eA==");
}
