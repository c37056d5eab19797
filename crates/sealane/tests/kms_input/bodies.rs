use std::time::{Duration, Instant};

use sealane::kms_api::request::BODY_BYTES_MAX;
use sealane::kms_api::server::LONG_BODIES_MAX;

use super::Scene;
use super::crowds::served_in_time;
use crate::kms_support::http::{Connection, Reply};
use crate::kms_support::signed::{Draft, signed};

/// How long the server waits for a body, and some.
const BODY_PATIENCE: Duration = Duration::from_secs(25);

/// A request of exactly `len` bytes, most of them in a member that nobody reads.
fn padded(len: usize) -> Vec<u8> {
    let mut body = br#"{"Padding":""#.to_vec();
    body.resize(len - 2, b'x');
    body.extend(br#""}"#);
    body
}

fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in body.chunks(chunk) {
        bytes.extend(format!("{:x}\r\n", part.len()).into_bytes());
        bytes.extend(part);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

const CHUNKED: Option<&str> = Some("transfer-encoding: chunked\r\n");

pub(crate) fn at_their_limit() {
    let scene = Scene::new();
    let (longest, longer) = (padded(BODY_BYTES_MAX), padded(BODY_BYTES_MAX + 1));
    let answer = scene.send(&signed(&scene.key, "ListKeys", &longest)).answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    // Refused by what the head says; nothing of it need be sent.
    let head = Draft::of("ListKeys", &longer).head(&scene.key);
    let kind = "RequestEntityTooLargeException";
    let answer = scene.check("one byte too long", &head, 413, kind);
    assert_eq!(answer.header("connection"), Some("close"));

    for chunk in [64 * 1024, 4093] {
        let draft = |body| Draft { framing: CHUNKED, ..Draft::of("ListKeys", body) };
        let mut bytes = draft(&longest[..]).head(&scene.key);
        bytes.extend(chunked(&longest, chunk));
        let answer = scene.send(&bytes).answer();
        assert_eq!(answer.status, 200, "chunks of {chunk}: {answer:?}");
        let mut bytes = draft(&longer[..]).head(&scene.key);
        bytes.extend(chunked(&longer, chunk));
        // Without the end, so that the answer is not lost in a reset.
        bytes.truncate(bytes.len() - 7);
        scene.check("one byte too long in chunks", &bytes, 413, kind);
    }
    // A length that no disk could hold, and one that no number can.
    for length in ["18446744073709551615", "9223372036854775807", "1000000000000"] {
        let framing = format!("content-length: {length}\r\n");
        let draft = Draft { framing: Some(&framing), ..Draft::of("ListKeys", b"") };
        match scene.send(&draft.head(&scene.key)) {
            Reply::Answer(answer) if answer.is_bare_refusal() => {}
            reply => assert_eq!(reply.answer().aws_error().as_deref(), Some(kind), "{length}"),
        }
    }
    scene.end();
}

pub(crate) fn that_are_no_request() {
    let scene = Scene::new();
    let deep = |open: &str, depth: usize| open.repeat(depth).into_bytes();
    let closed = |depth: usize| {
        [br#"{"Unknown":"#.to_vec(), deep("[", depth), deep("]", depth), b"}".to_vec()].concat()
    };
    let serialization = |operation: &str, body: &[u8]| {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let what = format!("{operation} {shown}");
        let bytes = signed(&scene.key, operation, body);
        scene.check(&what, &bytes, 400, "SerializationException");
    };
    for body in [
        &b"{"[..],
        b"[]",
        b"null",
        b"7",
        b"\"text\"",
        b"{} {}",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"{\"Limit\":\"ten\"}",
        b"{\"Limit\":1.5}",
        b"{\"Limit\":1e400}",
        b"{\"Limit\":99999999999999999999}",
        b"{\"Limit\":1,\"Limit\":2}",
        b"{\"Limit\":1,\"\\u004cimit\":2}",
        b"{\"Marker\":\"\xff\"}",
        b"{\"Marker\":\"\\ud800\"}",
        b"{\"\xc0\xaf\":1}",
        &deep("[", 200_000),
        &deep("{\"a\":", 80_000),
        &[br#"{"Marker":"#.to_vec(), deep("[", 200_000)].concat(),
        &[br#"{"Marker":"#.to_vec(), deep("{\"a\":", 90_000)].concat(),
        &[br#"{"Unknown":"#.to_vec(), deep("[", 200_000)].concat(),
    ] {
        serialization("ListKeys", body);
    }
    // What is known and deep, and what is not known and deep: neither may overflow a stack.
    serialization("Encrypt", br#"{"KeyId":"x","Plaintext":"=bad="}"#);
    serialization("Encrypt", br#"{"KeyId":"x","Plaintext":"AAAA","Plaintext":"AAAA"}"#);
    serialization("Encrypt", br#"{"KeyId":"x","EncryptionContext":{"a":{"b":"c"}}}"#);
    serialization("TagResource", br#"{"KeyId":"x","Tags":{"a":"b"}}"#);
    for depth in [10, 126, 100_000] {
        let answer = scene.send(&signed(&scene.key, "ListKeys", &closed(depth))).answer();
        let refused = answer.aws_error().as_deref() == Some("SerializationException");
        assert!(answer.status == 200 || refused, "{depth} deep: {answer:?}");
    }
    // A policy is JSON within JSON, with a parser of its own.
    let made = scene.server.connect().call(&scene.key, "CreateKey", b"{}");
    let id = made.json()["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    for policy in [&"[".repeat(30_000)[..], "{", "{}", "\u{0}", &"{\"Statement\":".repeat(2000)] {
        let body = serde_json::json!({ "KeyId": id, "Policy": policy }).to_string();
        let bytes = signed(&scene.key, "PutKeyPolicy", body.as_bytes());
        let answer = scene.send(&bytes).answer();
        let kind = answer.aws_error().unwrap_or_default();
        let expected = ["MalformedPolicyDocumentException", "ValidationException"];
        assert!(expected.contains(&&*kind), "{answer:?}");
    }
    scene.end();
}

pub(crate) fn that_end_early() {
    let scene = Scene::new();
    let whole = signed(&scene.key, "ListKeys", br#"{"Limit":3}"#);
    for len in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        let mut connection = scene.server.connect();
        connection.send(&whole[..len]);
        connection.end();
        // Of a body that was cut the server may still say so.
        if let Reply::Answer(answer) = connection.reply() {
            let kind = answer.aws_error();
            let said = kind.as_deref() == Some("SerializationException");
            assert!(said || answer.is_bare_refusal(), "after {len} bytes: {answer:?}");
        }
    }
    let draft = Draft { framing: CHUNKED, ..Draft::of("ListKeys", b"{}") };
    let head = draft.head(&scene.key);
    for chunks in [&b"2\r\n{}\r\n"[..], b"2\r\n{", b"ffffffffffffffff\r\n{}", b"-2\r\n{}\r\n", b"x"]
    {
        let mut connection = scene.server.connect();
        connection.send(&[&head[..], chunks].concat());
        connection.end();
        if let Reply::Answer(answer) = connection.reply() {
            let kind = answer.aws_error().unwrap_or_default();
            let refused = ["SerializationException", "RequestEntityTooLargeException"];
            assert!(refused.contains(&&*kind) || answer.is_bare_refusal(), "{answer:?}");
        }
    }
    scene.end();
}

pub(crate) fn waited_for_only_if_wanted() {
    let scene = Scene::new();
    let body = br#"{"Limit":3}"#;
    let extra = [("expect", "100-continue")];
    let draft = Draft { extra: &extra, ..Draft::of("ListKeys", body) };
    let mut connection = scene.server.connect();
    connection.send(&draft.head(&scene.key));
    assert!(connection.is_told_to_continue());
    connection.send(body);
    assert_eq!(connection.reply().answer().status, 200);
    // One that is refused by its head is not asked for.
    let body = padded(BODY_BYTES_MAX + 1);
    let draft = Draft { extra: &extra, ..Draft::of("ListKeys", &body) };
    let mut connection = scene.server.connect();
    connection.send(&draft.head(&scene.key));
    assert!(!connection.is_told_to_continue());
    assert_eq!(connection.reply().answer().status, 413);
    scene.end();
}

pub(crate) fn that_stall_are_given_up() {
    let scene = Scene::new();
    let began = Instant::now();
    let stalled: Vec<_> = (0..20)
        .map(|at| {
            let mut connection = scene.server.connect();
            let bytes = signed(&scene.key, "ListKeys", &padded(1000));
            connection.send(&bytes[..bytes.len() - 1 - at]);
            connection
        })
        .collect();
    for mut connection in stalled {
        let answer = connection.reply().answer();
        assert_eq!(answer.aws_error().as_deref(), Some("RequestTimeoutException"), "{answer:?}");
        connection.assert_closed();
    }
    assert!(began.elapsed() < BODY_PATIENCE, "{:?}", began.elapsed());
    scene.end();
}

/// As many bodies are held unfinished as may be read at once: short ones are read all the same, and
/// long ones once there is room, or not at all.
pub(crate) fn long_ones_wait_for_their_turn() {
    let scene = Scene::new();
    let long = signed(&scene.key, "ListKeys", &padded(100_000));
    let stalled = || {
        let mut connection = scene.server.connect();
        connection.send(&long[..long.len() - 1]);
        connection
    };
    let crowd = || (0..LONG_BODIES_MAX).map(|_| stalled()).collect::<Vec<Connection>>();
    let mut first = crowd();
    std::thread::sleep(Duration::from_millis(500));
    served_in_time(&scene);
    let mut waiting = scene.server.connect();
    waiting.send(&long);
    let answered = std::thread::spawn(move || (waiting.reply().answer().status, Instant::now()));
    std::thread::sleep(Duration::from_millis(500));
    let released = Instant::now();
    let mut one = first.remove(0);
    one.send(&long[long.len() - 1..]);
    assert_eq!(one.reply().answer().status, 200);
    let (status, at) = answered.join().unwrap();
    assert_eq!(status, 200);
    assert!(at >= released, "it did not wait");
    drop(first);

    // A crowd, and another behind it: whoever comes last waits in vain.
    let crowds = [crowd(), crowd()];
    std::thread::sleep(Duration::from_millis(500));
    let answer = scene.send(&long).answer();
    assert_eq!(answer.aws_error().as_deref(), Some("ServiceUnavailableException"), "{answer:?}");
    served_in_time(&scene);
    drop(crowds);
    scene.end();
}
