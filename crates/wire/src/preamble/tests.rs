use proptest::prelude::*;

use super::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn preamble(target: &str) -> Preamble {
    Preamble::tcp(TargetName::parse(target).unwrap())
}

/// A version 1 TCP preamble around these fields.
fn framed(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![VERSION, TRANSPORT_TCP, 0, 0];
    for (kind, value) in fields {
        put_field(&mut bytes, *kind, value);
    }
    let len = u16::try_from(bytes.len() - HEADER_BYTES).unwrap();
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

#[test]
fn bytes_on_the_wire_are_these() {
    let bytes = preamble("redis:6379").encode();
    assert_eq!(bytes, b"\x01\x01\x00\x0d\x81\x00\x0aredis:6379");
    assert_eq!(Answer::Accepted.encode(), [0]);
    let refusal = Answer::refuse(RefusalCode::Denied, "no rule");
    assert_eq!(refusal.encode(), b"\x01\x07no rule");
}

#[test]
fn a_preamble_arrives_in_any_pieces() {
    let sent = Preamble {
        traceparent: Some(TraceParent::parse(TRACE).unwrap()),
        ..preamble("payments.example:443")
    };
    let bytes = sent.encode();
    for cut in 0..bytes.len() {
        assert_eq!(Preamble::decode(&bytes[..cut]), Ok(Decoded::NeedMore), "{cut}");
    }
    let mut with_payload = bytes.clone();
    with_payload.extend_from_slice(b"PING\r\n");
    let done = Decoded::Done { value: sent, consumed: bytes.len() };
    assert_eq!(Preamble::decode(&with_payload), Ok(done));
}

#[test]
fn an_unknown_field_is_skipped_unless_it_is_critical() {
    let target: &[u8] = b"web:8080";
    let skipped = framed(&[(0x7f, b"later"), (0x81, target)]);
    let Ok(Decoded::Done { value, consumed }) = Preamble::decode(&skipped) else {
        panic!("an unknown field that is not critical must be skipped")
    };
    assert_eq!((value, consumed), (preamble("web:8080"), skipped.len()));
    let critical = framed(&[(0x81, target), (0xff, b"later")]);
    assert_eq!(Preamble::decode(&critical), Err(PreambleError::CriticalFieldUnknown(0x7f)));
}

#[test]
fn malformed_preambles_are_refused_by_name() {
    let target: (u8, &[u8]) = (0x81, b"web:8080");
    for (bytes, expected) in [
        (vec![2], PreambleError::VersionUnsupported(2)),
        // TLS or HTTP inside a tunnel, by somebody else's proxy.
        (vec![0x16, 3, 1], PreambleError::VersionUnsupported(0x16)),
        (vec![1, 2], PreambleError::TransportUnsupported(2)),
        (vec![1, 9], PreambleError::TransportUnsupported(9)),
        (framed(&[]), PreambleError::TargetMissing),
        (framed(&[target, target]), PreambleError::FieldTwice(1)),
        (
            framed(&[target, (2, TRACE.as_bytes()), (2, TRACE.as_bytes())]),
            PreambleError::FieldTwice(2),
        ),
        (framed(&[target, (2, b"00-x")]), PreambleError::TraceParent),
        (vec![1, 1, 0, 2, 0x81, 0], PreambleError::FieldCut),
        (vec![1, 1, 0, 4, 0x81, 0, 9, b'a'], PreambleError::FieldCut),
    ] {
        assert_eq!(Preamble::decode(&bytes), Err(expected), "{bytes:?}");
    }
}

#[test]
fn the_length_limit_is_exact() {
    let target = (0x81, &b"web:8080"[..]);
    let room = PREAMBLE_BYTES_MAX - HEADER_BYTES - (3 + target.1.len()) - 3;
    let at_limit = framed(&[target, (0x7f, &vec![0; room])]);
    assert_eq!(at_limit.len(), PREAMBLE_BYTES_MAX);
    assert!(matches!(Preamble::decode(&at_limit), Ok(Decoded::Done { .. })));
    let above = framed(&[target, (0x7f, &vec![0; room + 1])]);
    let refused = Err(PreambleError::TooLong(PREAMBLE_BYTES_MAX + 1));
    assert_eq!(Preamble::decode(&above), refused);
    // Refused on the length alone, before anything of that size is buffered.
    assert_eq!(Preamble::decode(&above[..HEADER_BYTES]), refused);
}

#[test]
fn a_target_has_one_spelling() {
    let long_label = format!("{}:1", "a".repeat(64));
    let long_name = format!("{}:1", ["a".repeat(50).as_str(); 5].join("."));
    for (text, expected) in [
        ("catalog", ParseTargetError::PortMissing),
        ("catalog:", ParseTargetError::Port),
        ("catalog:0", ParseTargetError::Port),
        ("catalog:080", ParseTargetError::Port),
        ("catalog:+80", ParseTargetError::Port),
        ("catalog:65536", ParseTargetError::Port),
        (":80", ParseTargetError::Name),
        ("a..b:80", ParseTargetError::Name),
        ("a.:80", ParseTargetError::Name),
        (&long_label, ParseTargetError::Name),
        (&long_name, ParseTargetError::NameTooLong),
        ("Catalog:80", ParseTargetError::Character),
        ("::1:80", ParseTargetError::Character),
        ("cat alog:80", ParseTargetError::Character),
        ("catalóg:80", ParseTargetError::Character),
        ("a/b:80", ParseTargetError::Character),
    ] {
        assert_eq!(TargetName::parse(text), Err(expected), "{text}");
    }
    let target = TargetName::parse("a_b-c.example:65535").unwrap();
    assert_eq!((target.name(), target.port()), ("a_b-c.example", 65535));
    let name =
        "a".repeat(63) + "." + &"b".repeat(63) + "." + &"c".repeat(63) + "." + &"d".repeat(61);
    let longest = TargetName::new(&name, 65535).unwrap();
    assert_eq!(longest.as_str().len(), TARGET_BYTES_MAX);
    assert!(Preamble::tcp(longest).encode().len() <= PREAMBLE_BYTES_MAX);
}

#[test]
fn a_refusal_carries_a_printable_reason() {
    let answer = Answer::refuse(RefusalCode::Denied, &"é\x1b[2J".repeat(200));
    let bytes = answer.encode();
    assert!(bytes.len() <= ANSWER_BYTES_MAX && bytes.len() > ANSWER_BYTES_MAX - 4);
    for cut in 0..bytes.len() {
        assert_eq!(Answer::decode(&bytes[..cut]), Ok(Decoded::NeedMore), "{cut}");
    }
    let done = Decoded::Done { value: answer, consumed: bytes.len() };
    assert_eq!(Answer::decode(&bytes), Ok(done));
    assert_eq!(Answer::decode(b"\x01\x01\x1b"), Err(AnswerError::ReasonUnprintable));
    assert_eq!(Answer::decode(b"\x01\x01\xff"), Err(AnswerError::ReasonUnprintable));
    assert_eq!(Answer::decode(b"\x01\xc9"), Err(AnswerError::ReasonTooLong(201)));
}

#[test]
fn a_refusal_never_reads_as_an_acceptance() {
    for code in 0..=u8::MAX {
        let bytes = Answer::refuse(RefusalCode::Unknown(code), "").encode();
        assert_ne!(
            Answer::decode(&bytes),
            Ok(Decoded::Done { value: Answer::Accepted, consumed: 1 })
        );
    }
}

fn any_preamble() -> impl Strategy<Value = Preamble> {
    ("[a-z0-9_-]{1,63}(\\.[a-z0-9_-]{1,20}){0,3}", 1..=u16::MAX, any::<bool>()).prop_map(
        |(name, port, traced)| Preamble {
            transport: Transport::Tcp,
            target: TargetName::new(&name, port).unwrap(),
            traceparent: traced.then(|| TraceParent::parse(TRACE).unwrap()),
        },
    )
}

fn any_refusal() -> impl Strategy<Value = Answer> {
    (1u8.., ".{0,120}")
        .prop_map(|(code, reason)| Answer::refuse(RefusalCode::from_wire(code), &reason))
}

proptest! {
    #[test]
    fn a_preamble_decodes_to_what_was_encoded(sent in any_preamble()) {
        let bytes = sent.encode();
        let consumed = bytes.len();
        prop_assert_eq!(Preamble::decode(&bytes), Ok(Decoded::Done { value: sent, consumed }));
    }

    #[test]
    fn an_answer_decodes_to_what_was_encoded(sent in any_refusal()) {
        let bytes = sent.encode();
        let consumed = bytes.len();
        prop_assert_eq!(Answer::decode(&bytes), Ok(Decoded::Done { value: sent, consumed }));
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..80),
        sent in any_preamble(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut damaged = sent.encode();
        let at = at.index(damaged.len());
        damaged[at] = damaged[at].wrapping_add(1);
        for bytes in [&noise, &damaged] {
            if let Ok(Decoded::Done { value, consumed }) = Preamble::decode(bytes) {
                prop_assert!(consumed <= bytes.len());
                let again = value.encode();
                let consumed = again.len();
                prop_assert_eq!(Preamble::decode(&again), Ok(Decoded::Done { value, consumed }));
            }
            if let Ok(Decoded::Done { value, consumed }) = Answer::decode(bytes) {
                prop_assert_eq!(value.encode(), &bytes[..consumed]);
            }
        }
    }
}
