use std::collections::BTreeSet;

use super::Scene;
use crate::kms_support::http::Reply;
use crate::kms_support::signed::{Draft, signed};

const PLAIN: &str = "POST / HTTP/1.1\r\nhost: localhost\r\n";
const TARGET: &str = "x-amz-target: TrentService.ListKeys\r\n";
const JSON: &str = "content-type: application/x-amz-json-1.1\r\n";
const EMPTY: &str = "content-length: 2\r\n\r\n{}";

pub(crate) fn at_their_limit() {
    let scene = Scene::new();
    let long = |len: usize| format!("{PLAIN}{TARGET}{JSON}x-long: {}\r\n{EMPTY}", "x".repeat(len));
    let many = |count: usize| {
        let headers: String = (0..count).map(|at| format!("x-header-{at}: x\r\n")).collect();
        format!("{PLAIN}{TARGET}{JSON}{headers}{EMPTY}")
    };
    let missing = "MissingAuthenticationTokenException";
    scene.check("a long head", long(16_000).as_bytes(), 400, missing);
    scene.check("many headers", many(60).as_bytes(), 400, missing);
    // The limit is one on memory: what has arrived when it is reached may go a little beyond.
    for len in [70_000, 1 << 20, 8 << 20] {
        scene.check_refused(&format!("a head of {len} bytes"), long(len).as_bytes());
    }
    for count in [65, 101, 10_000] {
        scene.check_refused(&format!("{count} headers"), many(count).as_bytes());
    }
    for len in [70_000, 1 << 20] {
        let line = format!("POST /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(len));
        scene.check_refused(&format!("a path of {len} bytes"), line.as_bytes());
    }
    // Signed headers, credentials and tokens have limits of their own.
    for header in [
        format!("authorization: AWS4-HMAC-SHA256 {}\r\n", "x".repeat(20_000)),
        format!("authorization: AWS4-HMAC-SHA256 {}\r\n", "Credential=a,".repeat(1000)),
        format!("authorization: {}\r\n", "\t".repeat(10_000)),
        format!("x-amz-security-token: {}\r\n", "x".repeat(20_000)),
    ] {
        let bytes = format!("{PLAIN}{TARGET}{JSON}{header}{EMPTY}");
        let answer = scene.send(bytes.as_bytes()).answer();
        let kind = answer.aws_error().unwrap_or_default();
        assert!(kind == missing || kind == "IncompleteSignatureException", "{answer:?}");
    }
    let path = "x".repeat(10_000);
    for line in [format!("POST /{path} HTTP/1.1\r\n"), format!("POST /?{path} HTTP/1.1\r\n")] {
        let bytes = format!("{line}host: localhost\r\n{TARGET}{JSON}{EMPTY}");
        let answer = scene.send(bytes.as_bytes()).answer();
        assert!(answer.aws_error().is_some(), "{answer:?}");
    }
    scene.end();
}

pub(crate) fn that_ask_for_nothing_here() {
    let scene = Scene::new();
    let unknown = |what: &str, head: String| {
        scene.check(what, head.as_bytes(), 400, "UnknownOperationException");
    };
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW", "post"] {
        let head = format!("{method} / HTTP/1.1\r\nhost: x\r\n{TARGET}{JSON}{EMPTY}");
        unknown(method, head);
    }
    for target in [
        "",
        "ListKeys",
        "TrentService.",
        "TrentService.listkeys",
        "TrentService.ListKeys ListKeys",
        "TrentService.ListKeysX",
        "trentservice.ListKeys",
        "DynamoDB_20120810.ListTables",
        "TrentService.\u{e9}",
        "TrentService.../../etc/passwd",
    ] {
        unknown(target, format!("{PLAIN}x-amz-target: {target}\r\n{JSON}{EMPTY}"));
    }
    unknown("no target", format!("{PLAIN}{JSON}{EMPTY}"));
    unknown("no content type", format!("{PLAIN}{TARGET}{EMPTY}"));
    for kind in ["text/plain", "application/json", "application/x-www-form-urlencoded", "\u{fc}"] {
        unknown(kind, format!("{PLAIN}{TARGET}content-type: {kind}\r\n{EMPTY}"));
    }
    let not_utf8 = [PLAIN.as_bytes(), b"x-amz-target: \xff\xfe\r\n", JSON.as_bytes()].concat();
    let not_utf8 = [&not_utf8, EMPTY.as_bytes()].concat();
    scene.check("a target that is not UTF-8", &not_utf8, 400, "UnknownOperationException");

    let head = format!("{PLAIN}{TARGET}{JSON}");
    let missing = "MissingAuthenticationTokenException";
    scene.check("no signature", format!("{head}{EMPTY}").as_bytes(), 400, missing);
    for authorization in ["Basic YTpi", "Bearer x", "", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512 x"] {
        let bytes = format!("{head}authorization: {authorization}\r\n{EMPTY}");
        let answer = scene.send(bytes.as_bytes()).answer();
        let kind = answer.aws_error().unwrap_or_default();
        assert!(kind == missing || kind == "IncompleteSignatureException", "{answer:?}");
        assert_eq!(answer.status, 400);
    }
    let not_utf8 = [head.as_bytes(), b"authorization: AWS4-HMAC-SHA256 \xff\r\n", EMPTY.as_bytes()];
    assert!(scene.send(&not_utf8.concat()).answer().aws_error().is_some());
    // Only what was answered to HEAD is known to end without a body.
    let mut connection = scene.server.connect();
    connection.send(format!("HEAD / HTTP/1.1\r\nhost: x\r\n{TARGET}\r\n").as_bytes());
    connection.end();
    let _ = connection.reply();
    scene.end();
}

pub(crate) fn that_are_no_http() {
    let scene = Scene::new();
    for bytes in [
        &b"\r\n\r\n\r\n\0"[..],
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost x\r\n\r\n",
        b"POST / HTTP/1.1\r\nna me: x\r\n\r\n",
        b"POST / HTTP/1.1\r\n: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nname: a\0b\r\n\r\n",
        b"POST / HTTP/1.1\r\nname: a\rb\r\n\r\n",
        b"POST / HTTP/1.1\r\nfirst: x\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\n\xff\xff: x\r\n\r\n",
        b"POST  /  HTTP/1.1\r\n\r\n",
        b"P\0ST / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: +2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\ncontent-length: 2, 3\r\n\r\n{}",
        b"POST / HTTP/1.1\r\ncontent-length: 0x2\r\n\r\n{}",
        // A TLS client on a plaintext port.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\r\n\r\n",
        &[0; 4096],
        &[0xff; 4096],
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        scene.check_refused(&shown, bytes);
    }
    scene.end();
}

pub(crate) fn in_other_forms() {
    let scene = Scene::new();
    let sent = |line: &str, extra: &[(&str, &str)]| {
        let draft = Draft { line, extra, ..Draft::of("ListKeys", b"{}") };
        let mut connection = scene.server.connect();
        connection.send(&[&draft.head(&scene.key)[..], b"{}"].concat());
        (connection.reply().answer(), connection)
    };
    // RFC 9112, section 3.2.2: a server accepts the absolute form.
    for uri in ["http://localhost/", "http://localhost", "https://kms.us-east-1.amazonaws.com/"] {
        let (answer, _) = sent(&format!("POST {uri} HTTP/1.1"), &[]);
        assert_eq!(answer.status, 200, "{uri}: {answer:?}");
    }
    for line in ["POST /other HTTP/1.1", "POST /?a=b HTTP/1.1", "POST //x HTTP/1.1"] {
        let (answer, _) = sent(line, &[]);
        let kind = answer.aws_error();
        assert_eq!(kind.as_deref(), Some("InvalidSignatureException"), "{line}: {answer:?}");
    }
    let (answer, mut connection) = sent("POST / HTTP/1.0", &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    connection.assert_closed();
    let (answer, mut connection) = sent("POST / HTTP/1.0", &[("connection", "keep-alive")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(connection.call(&scene.key, "ListKeys", b"{}").status, 200);
    let (_, mut connection) = sent("POST / HTTP/1.1", &[("connection", "close")]);
    connection.assert_closed();
    for line in ["CONNECT localhost:443 HTTP/1.1", "OPTIONS * HTTP/1.1", "POST * HTTP/1.1"] {
        let (answer, _) = sent(line, &[]);
        assert!(answer.status >= 400 && answer.aws_error().is_some(), "{line}: {answer:?}");
    }
    // An upgrade is not taken up.
    let (answer, _) = sent("POST / HTTP/1.1", &[("connection", "upgrade"), ("upgrade", "h2c")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    scene.end();
}

pub(crate) fn pipelined() {
    let scene = Scene::new();
    let count = 40;
    let mut bytes = Vec::new();
    for at in 0..count {
        // Those that wait for a blocking thread must not be overtaken by those that do not.
        let (operation, body) = match at % 3 {
            0 => ("ListKeys", format!("{{\"Limit\":{}}}", at + 1)),
            1 => ("GenerateRandom", format!("{{\"NumberOfBytes\":{}}}", at + 1)),
            _ => ("DescribeKey", "{\"KeyId\":\"alias/none\"}".to_owned()),
        };
        bytes.extend(signed(&scene.key, operation, body.as_bytes()));
    }
    let mut connection = scene.server.connect();
    connection.send(&bytes);
    let mut ids = BTreeSet::new();
    for at in 0..count {
        let answer = connection.reply().answer();
        ids.insert(answer.header("x-amzn-requestid").unwrap().to_owned());
        match at % 3 {
            0 => assert!(answer.json()["Keys"].is_array(), "{at}: {answer:?}"),
            1 => {
                let random = answer.json()["Plaintext"].as_str().unwrap().to_owned();
                assert_eq!(random.len(), (at + 1usize).div_ceil(3) * 4, "{at}");
            }
            _ => assert_eq!(answer.aws_error().as_deref(), Some("NotFoundException"), "{at}"),
        }
    }
    assert_eq!(ids.len(), count, "each request has an id of its own");
    connection.end();
    connection.assert_closed();
    scene.end();
}

/// Of a request whose length is told twice, nothing may be taken for a second request: a proxy
/// before us that believes the other of the two would pass it on as part of the first.
pub(crate) fn smuggled() {
    let scene = Scene::new();
    let hidden = format!("GET /hidden HTTP/1.1\r\nhost: x\r\n{TARGET}\r\n");
    let end_then_hidden = format!("0\r\n\r\n{hidden}");
    let length = format!("content-length: {}\r\n", end_then_hidden.len());
    let te = "transfer-encoding: chunked\r\n";
    for (what, framing, body) in [
        ("length and chunks", format!("{length}{te}"), end_then_hidden.clone()),
        ("chunks and length", format!("{te}{length}"), end_then_hidden.clone()),
        ("two lengths", format!("{length}content-length: 2\r\n"), format!("{{}}{hidden}")),
        ("two lengths in one", "content-length: 2, 2\r\n".to_owned(), format!("{{}}{hidden}")),
        (
            "chunked, in disguise",
            format!("{length}transfer-encoding: xchunked\r\n"),
            end_then_hidden.clone(),
        ),
        (
            "chunked, then not",
            format!("{length}transfer-encoding: chunked, identity\r\n"),
            end_then_hidden.clone(),
        ),
        ("chunked twice", format!("{length}{te}{te}"), end_then_hidden.clone()),
        (
            "a space before the colon",
            format!("{length}transfer-encoding : chunked\r\n"),
            end_then_hidden.clone(),
        ),
        (
            "a tab before the value",
            format!("{length}transfer-encoding:\tchunked\r\n"),
            end_then_hidden.clone(),
        ),
        (
            "a folded value",
            format!("{length}transfer-encoding:\r\n chunked\r\n"),
            end_then_hidden.clone(),
        ),
        (
            "a chunk with an extension",
            te.to_owned(),
            format!("2;a=\"\n\"\r\n{{}}\r\n{end_then_hidden}"),
        ),
        ("a bare line feed after a chunk", te.to_owned(), format!("2\n{{}}\n{end_then_hidden}")),
    ] {
        let bytes = format!("{PLAIN}{TARGET}{JSON}{framing}\r\n{body}");
        let mut connection = scene.server.connect();
        connection.send(bytes.as_bytes());
        connection.end();
        let mut answers = Vec::new();
        while let Reply::Answer(answer) = connection.reply() {
            assert!(answer.status >= 400, "{what}: {answer:?}");
            answers.push(answer);
        }
        assert!(answers.len() <= 1, "{what}: the hidden request was answered: {answers:?}");
    }
    // A trailer does not say how long anything is: what follows it is a request like any other.
    let body = format!("2\r\n{{}}\r\n0\r\ncontent-length: 500\r\n\r\n{hidden}");
    let mut connection = scene.server.connect();
    connection.send(format!("{PLAIN}{TARGET}{JSON}{te}\r\n{body}").as_bytes());
    let kind = connection.reply().answer().aws_error();
    assert_eq!(kind.as_deref(), Some("MissingAuthenticationTokenException"));
    let kind = connection.reply().answer().aws_error();
    assert_eq!(kind.as_deref(), Some("UnknownOperationException"));
    scene.end();
}
