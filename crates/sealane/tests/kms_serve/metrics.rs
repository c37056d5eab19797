use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{asked, call, create};
use crate::kms_support::KmsServer;
use crate::kms_support::http::{Answer, Connection};

fn get(address: std::net::SocketAddr, path: &str) -> Answer {
    let mut connection = Connection::to(address);
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: metrics\r\n\r\n").as_bytes());
    connection.reply().answer()
}

/// Each call is counted by operation and outcome, and nothing tells whose it was.
pub(crate) fn of_calls() {
    let mut server = KmsServer::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    server.add_arguments(&["--metrics", &address.to_string()]);
    server.start();
    let me = server.access_key("me");
    let key = create(&server, &me);
    let text = || String::from_utf8(get(address, "/metrics").body).unwrap();
    let count = |text: &str, operation: &str, outcome: &str| {
        let labels = format!("{{operation=\"{operation}\",outcome=\"{outcome}\"}} ");
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(&labels));
            line.map_or(0, |count| count.parse::<u64>().unwrap())
        };
        let total = of("sealane_kms_requests_total");
        assert_eq!(of("sealane_kms_request_duration_seconds_count"), total, "{text}");
        total
    };
    for _ in 0..3 {
        call(&server, &me, "Encrypt", &json!({ "KeyId": key, "Plaintext": "AAAA" }));
    }
    let gone = json!({ "KeyId": "alias/none", "Plaintext": "AAAA" });
    assert_eq!(asked(&server, &me, "Encrypt", &gone).status, 400);
    server.ok(&["kms", "credential", "revoke", "me"]);
    assert_eq!(asked(&server, &me, "Encrypt", &gone).status, 400);
    let shown = text();
    assert_eq!(count(&shown, "CreateKey", "ok"), 1);
    assert_eq!(count(&shown, "Encrypt", "ok"), 3);
    assert_eq!(count(&shown, "Encrypt", "invalid"), 1);
    assert_eq!(count(&shown, "Encrypt", "unauthenticated"), 1);
    for secret in [&*key, &*me.id, "alias/none", "123456789012"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let health = get(address, "/health");
    assert_eq!((health.status, &health.body[..]), (200, &b"ok\n"[..]));
    server.ok(&["seal", "lock"]);
    let health = get(address, "/health");
    assert_eq!((health.status, &health.body[..]), (503, &b"locked\n"[..]));
    assert_eq!(get(address, "/").status, 404);
    let began = Instant::now();
    server.ok(&["seal", "unlock"]);
    while get(address, "/health").status != 200 {
        assert!(began.elapsed() < Duration::from_secs(30), "it stays locked");
    }
}
