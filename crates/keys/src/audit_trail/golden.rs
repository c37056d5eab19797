//! Lines and a segment as they were first written: see `crate::golden`.

use crypto::PublicKey;

use super::test_events::decrypt;
use super::{
    Event, Expected, Failure, ParsedLine, ParsedPhase, Phase, TrailHead, UnixMillis, Verified,
    segment_stream, verify_export,
};
use crate::hex;
use crate::service_log::{self, LogKey, LogNext, LogReader, LogWriter};
use crate::test_kit::{Counting, id, ring};

const LINES: &str = include_str!("../../tests/golden/test-audit-trail-v1.jsonl");
const SEGMENT: &str = include_str!("../../tests/golden/test-audit-segment-v1.hex");
const PUBLIC_KEY: &str = include_str!("../../tests/golden/test-audit-public-key-v1.hex");
/// What `sha256sum` says of the last line without its newline.
const HEAD: &str = "4c01fed1f6bdec84b00ea119c9e8838f28ddc3e46aac434df9145bd45e6df736";

/// A call, a refused call, a change with its intent, and the signature that was made then: ECDSA
/// draws randomness, so it is taken from the file.
fn written() -> Vec<u8> {
    let mut out = Vec::new();
    let mut head = TrailHead::start();
    let refused = Failure {
        code: "AccessDeniedException".into(),
        message: "not allowed to \"Decrypt\"\n".to_owned(),
    };
    let rotation = Event::of_cell(
        id(7),
        UnixMillis(1_800_000_000_999),
        "RotateKey",
        "us-east-1".into(),
        "000000000000".into(),
    );
    head.append(&decrypt(1), Phase::Call, &[], &mut out);
    head.append(&Event { failure: Some(refused), ..decrypt(2) }, Phase::Call, &[], &mut out);
    head.append(&rotation, Phase::Intent, &[1], &mut out);
    head.append(&rotation, Phase::Outcome { intent: 2 }, &[], &mut out);
    let signed = ParsedLine::parse(LINES.lines().nth(4).unwrap_or_default().as_bytes());
    let Ok(ParsedPhase::Checkpoint(signed)) = signed.map(|line| line.phase) else {
        panic!("no checkpoint")
    };
    let event = Event { name: "Checkpoint".into(), ..rotation };
    head.append(&event, Phase::Checkpoint(&signed), &[], &mut out);
    out
}

#[test]
fn audit_lines_v1() {
    assert_eq!(String::from_utf8(written()).unwrap(), LINES, "it needs a version");
    let trusted = [PublicKey(hex::decode(PUBLIC_KEY.trim_end()).unwrap())];
    let expected = Expected { trusted: &trusted, cell: Some(id(9)), ..Expected::default() };
    let Verified { head, vouched, checkpoints } =
        verify_export(LINES.lines().map(str::as_bytes), expected).unwrap();
    assert_eq!((head.sequence, vouched.unwrap().sequence, checkpoints), (5, 4, 1));
    assert_eq!(hex::encode(&head.hash), HEAD);
}

#[test]
fn audit_segment_v1() {
    let entropy = &mut Counting::default();
    let stream = segment_stream(id(9), 0);
    let (mut writer, header) =
        LogWriter::begin(LogKey::generate(&ring(1), &stream, entropy), &stream);
    let mut file = header.to_vec();
    writer.append_to(&mut file, &written(), entropy);
    file.extend(writer.finish(entropy));
    assert_eq!(hex::encode(&file), SEGMENT.trim_end(), "the format changed: it needs a version");
    let (header, frames) = file.split_first_chunk::<{ service_log::HEADER_LEN }>().unwrap();
    let key = LogKey::of_header(&ring(1), &stream, header).unwrap();
    let LogNext::Text { text, .. } = LogReader::begin(key, &stream).next_frame(frames).unwrap()
    else {
        panic!("no text")
    };
    assert_eq!(text, LINES.as_bytes().to_vec().into());
}

#[test]
fn a_flipped_bit_in_a_line_is_named() {
    let lines: Vec<Vec<u8>> = LINES.lines().map(|line| line.as_bytes().to_vec()).collect();
    let head = TrailHead { sequence: 5, hash: hex::decode(HEAD).unwrap().try_into().unwrap() };
    for at in 0..lines.len() {
        for bit in 0..lines[at].len() * 8 {
            let mut lines = lines.clone();
            lines[at][bit / 8] ^= 1 << (bit % 8);
            let expected = Expected { contains: Some(head), ..Expected::default() };
            let broken = verify_export(lines.iter().map(Vec::as_slice), expected).unwrap_err();
            assert_eq!(broken.sequence, at as u64, "bit {bit} of line {at}: {broken}");
        }
    }
}
