//! `--audit strict`: the event of a call is written before the call is answered. That it is synced,
//! too, is tested on a disk that fails, in `src/audit_trail/tests/faults.rs`.

use serde_json::{Value, json};

use super::create;
use super::kms_support::{KmsServer, count};

pub(crate) fn kills() {
    let mut server = KmsServer::new();
    server.add_arguments(&["--audit", "strict"]);
    server.start();
    let me = server.access_key("me");
    let key = create(&server, &me);
    for round in 0..count(10, 50) {
        let mut connection = server.connect();
        let mut body = json!({ "KeyId": key, "Plaintext": "eA==" });
        // What is refused is put on record no later than what is done.
        let (status, error) = match round % 3 {
            2 => (400, json!("NotFoundException")),
            _ => (200, Value::Null),
        };
        if status != 200 {
            body["KeyId"] = json!("alias/no-such-alias");
        }
        let answer = connection.call(&me, "Encrypt", body.to_string().as_bytes());
        server.kill();
        assert_eq!(answer.status, status, "{answer:?}");
        let request = answer.header("x-amzn-requestid").unwrap();
        let said = server.ok(&["audit", "tail", "-n", "5", "--output", "json"]);
        let mut lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = lines.find(|line| line["requestID"] == request);
        let found = found.unwrap_or_else(|| panic!("round {round}: not in {said}"));
        assert_eq!((&found["eventName"], &found["errorCode"]), (&json!("Encrypt"), &error));
        server.ok(&["audit", "verify"]);
        server.start();
    }
}
