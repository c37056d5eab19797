use std::sync::atomic::{AtomicUsize, Ordering};

use sim::entropy::SeededEntropy;

use super::Scene;
use crate::kms_support::http::Reply;
use crate::kms_support::signed::{Draft, signed};
use crate::kms_support::{count, seed};

/// Pieces that mean something to one parser or another.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r\n\r\n",
    " ",
    "\t",
    "\0",
    ":",
    ",",
    ";",
    "=",
    "/",
    "%",
    "%00",
    "%ff",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\u0000",
    "\u{fffd}",
    "chunked",
    "content-length: 0\r\n",
    "0\r\n\r\n",
    "transfer-encoding: chunked\r\n",
    "expect: 100-continue\r\n",
    "HTTP/1.0",
    "HTTP/1.1",
    "Credential=",
    "SignedHeaders=",
    "Signature=",
    "18446744073709551616",
    "-1",
    "null",
    "alias/",
];

pub(crate) fn run() {
    let scene = Scene::new();
    let seed = seed();
    let made = scene.server.connect().call(&scene.key, "CreateKey", b"{}");
    let id = made.json()["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    let samples = samples(&scene, &id);
    let (threads, rounds) = (4, count(2500, 100_000) / 4);
    let closed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (scene, samples, closed) = (&scene, &samples, &closed);
            scope.spawn(move || {
                let mut chance = SeededEntropy::new(seed ^ thread);
                for round in 0..rounds {
                    let bytes = mutated(samples, &mut chance);
                    let check = || send(scene, &bytes);
                    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
                    match ended {
                        Ok(0) => drop(closed.fetch_add(1, Ordering::Relaxed)),
                        Ok(_) => {}
                        Err(_) => panic!(
                            "SEALANE_SEED={seed}, thread {thread}, round {round}: {}",
                            bytes.escape_ascii()
                        ),
                    }
                }
            });
        }
    });
    let closed = closed.into_inner();
    assert!(closed < rounds * 3, "{closed} were closed without an answer: too wild to mean much");
    scene.end();
}

/// Whatever comes back is an answer of ours, and the connection ends.
fn send(scene: &Scene, bytes: &[u8]) -> usize {
    let mut connection = scene.server.connect();
    connection.send(bytes);
    connection.end();
    let mut answers = 0;
    while let Reply::Answer(answer) = connection.reply() {
        answers += 1;
        let ours = answer.status == 200 || answer.aws_error().is_some();
        assert!(ours || answer.is_bare_refusal(), "{answer:?}");
        assert!(answer.status < 500, "{answer:?}");
    }
    answers
}

fn samples(scene: &Scene, id: &str) -> Vec<Vec<u8>> {
    let key = &scene.key;
    let of = |operation: &str, body: String| signed(key, operation, body.as_bytes());
    let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*" } ] });
    let chunked =
        Draft { framing: Some("transfer-encoding: chunked\r\n"), ..Draft::of("ListKeys", b"{}") };
    let presigned = format!(
        "POST /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F20260101%2Fus-east-1%2Fkms\
         %2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&\
         X-Amz-Signature=00 HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-amz-json-1.1\r\n\
         x-amz-target: TrentService.ListKeys\r\ncontent-length: 2\r\n\r\n{{}}",
        key.id
    );
    vec![
        of("ListKeys", r#"{"Limit":3}"#.to_owned()),
        of("DescribeKey", format!(r#"{{"KeyId":"{id}","GrantTokens":["AAAA"]}}"#)),
        of(
            "Encrypt",
            format!(r#"{{"KeyId":"{id}","Plaintext":"AAAA","EncryptionContext":{{"a":"b"}}}}"#),
        ),
        of("Decrypt", r#"{"CiphertextBlob":"AQIDBA=="}"#.to_owned()),
        of(
            "PutKeyPolicy",
            serde_json::json!({ "KeyId": id, "Policy": policy.to_string() }).to_string(),
        ),
        [&signed(key, "ListKeys", b"{}")[..], &signed(key, "ListAliases", b"{}")].concat(),
        [&chunked.head(key)[..], b"2\r\n{}\r\n0\r\n\r\n"].concat(),
        presigned.into_bytes(),
    ]
}

fn mutated(samples: &[Vec<u8>], chance: &mut SeededEntropy) -> Vec<u8> {
    let mut bytes = samples[below(chance, samples.len())].clone();
    for _ in 0..=chance.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = below(chance, bytes.len());
        let len = below(chance, (bytes.len() - at).min(40) + 1);
        match chance.below(7) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = chance.draw().to_le_bytes()[0],
            2 => drop(bytes.drain(at..at + len)),
            3 => {
                let copy = bytes[at..at + len].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            4 => bytes.truncate(at),
            5 => {
                let piece = PIECES[below(chance, PIECES.len())];
                drop(bytes.splice(at..at, piece.bytes()));
            }
            _ => {
                let piece = PIECES[below(chance, PIECES.len())];
                drop(bytes.splice(at..at + len, piece.bytes()));
            }
        }
    }
    bytes
}

fn below(chance: &mut SeededEntropy, bound: usize) -> usize {
    usize::try_from(chance.below(bound as u64)).unwrap()
}
