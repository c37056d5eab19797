//! When a key was last used, as it is told before and after the server ends.

use serde_json::{Value, json};

use super::kms_support::KmsServer;
use super::kms_support::http::Answer;
use super::{asked, call, create, stop};

fn request_id(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    Value::from(answer.header("x-amzn-requestid").unwrap())
}

pub(crate) fn restarts() {
    let mut server = KmsServer::started();
    let me = server.access_key("me");
    let [source, target, unused] = [(); 3].map(|()| create(&server, &me));
    let last = |server: &KmsServer, key: &str| {
        let told = call(server, &me, "GetKeyLastUsage", &json!({ "KeyId": key }));
        told["KeyLastUsage"].clone()
    };
    let used = |told: &Value| [told["Operation"].clone(), told["KmsRequestId"].clone()];
    let body = json!({ "KeyId": source, "Plaintext": "eA==" });
    let encrypted = asked(&server, &me, "Encrypt", &body);
    let by_encrypt = [json!("Encrypt"), request_id(&encrypted)];
    assert_eq!(used(&last(&server, &source)), by_encrypt);
    assert_eq!(last(&server, &target), Value::Null);
    let blob = &encrypted.json()["CiphertextBlob"];
    let body = json!({ "CiphertextBlob": blob, "DestinationKeyId": target });
    let moved = asked(&server, &me, "ReEncrypt", &body);
    let by_re_encrypt = [json!("ReEncrypt"), request_id(&moved)];
    let before = [&source, &target].map(|key| last(&server, key));
    for told in &before {
        assert_eq!(used(told), by_re_encrypt, "both keys were used");
    }

    let check = |server: &KmsServer, after: &str| {
        assert_eq!([&source, &target].map(|key| last(server, key)), before, "after {after}");
        assert_eq!(last(server, &unused), Value::Null, "after {after}");
    };
    server.ok(&["seal", "lock"]);
    server.ok(&["seal", "unlock"]);
    check(&server, "a lock");
    server.kill();
    server.start();
    check(&server, "a kill, what the lock wrote");
    // What was noted since the last writing is written as the server ends.
    let body = json!({ "KeyId": unused, "Plaintext": "eA==" });
    let by_encrypt = [json!("Encrypt"), request_id(&asked(&server, &me, "Encrypt", &body))];
    stop(&mut server);
    server.start();
    assert_eq!(used(&last(&server, &unused)), by_encrypt);
    assert_eq!([&source, &target].map(|key| last(&server, key)), before);
}
