use proptest::prelude::*;

use super::*;

/// Text that leans towards what the parser looks for.
fn near_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,8}",
        Just(AUTHORIZATION.to_owned()),
        Just(QUERY.to_owned()),
        prop::sample::select(vec![
            "AWS4-HMAC-SHA256 ",
            "Credential=",
            "SignedHeaders=",
            "Signature=",
            "/",
            "%2F",
            "%3B",
            ";",
            ",",
            "=",
            "&",
            "%",
            "..",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Date=",
            "20150830T123600Z",
            "host",
            "x-amz-date",
            "a/20150830/r/s/aws4_request",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "host",
            "date",
            "authorization",
            "x-amz-date",
            "x-amz-target",
            "x-amz-security-token",
            "x-amz-content-sha256",
            "X-Amz-Meta",
        ])
        .prop_map(str::to_owned),
        near_text(),
    ];
    let value = prop_oneof![
        near_text().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec((name, value), 0..8)
}

/// A request of plain letters: in it, a changed byte changes the meaning.
fn plain() -> impl Strategy<Value = Test> {
    let path = prop::collection::vec("[a-z0-9]{1,6}", 0..4);
    let query = prop::collection::vec(("[a-z]{1,4}", "[a-z0-9]{1,4}"), 0..4);
    let values = ("[a-z0-9]{1,20}", "[a-z0-9]{1,20}", any::<[u8; 32]>());
    ("[A-Z]{1,8}", path, query, values).prop_map(|(method, path, query, values)| {
        let query: Vec<String> = query.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let (host, target, body_sha256) = values;
        let test = Test::with_header().without("host").without("x-amz-target");
        let test = test.with("host", &host).with("x-amz-target", &target);
        Test {
            method,
            path: format!("/{}", path.join("/")),
            query: query.join("&"),
            body_sha256,
            ..test
        }
    })
}

proptest! {
    #[test]
    fn arbitrary_requests_are_answered(
        method in near_text(), path in near_text(), query in near_text(), headers in headers(),
    ) {
        let test = Test { method, path, query, headers, body_sha256: [0; 32] };
        if let Err(error) = test.canonical() {
            assert!(!error.to_string().is_empty() && !error.aws_type().is_empty());
        }
    }

    /// The same, where the request line and most headers are good.
    #[test]
    fn arbitrary_edits_are_answered(text in near_text(), at in any::<prop::sample::Index>()) {
        for test in [Test::with_header(), Test::presigned()] {
            let whole = if test.query.is_empty() { AUTHORIZATION } else { QUERY };
            let at = at.index(whole.len());
            let text = format!("{}{text}{}", &whole[..at], &whole[at..]);
            let test = if test.query.is_empty() {
                test.authorized(&text)
            } else {
                Test { query: text, ..test }
            };
            test.canonical().ok();
        }
    }

    #[test]
    fn what_is_formatted_is_parsed(
        access_key_id in "[A-Z0-9]{16,20}", region in "[a-z0-9-]{1,20}", service in "[a-z]{1,10}",
        names in prop::collection::btree_set("[a-z][a-z0-9_-]{0,12}", 0..20),
        signature in "[0-9a-f]{64}", seconds in 0..253_402_300_800u64,
    ) {
        let signed_at = Timestamp::of_unix_seconds(seconds).unwrap();
        let date = signed_at.day();
        let credential = Credential { access_key_id: &access_key_id, date, region: &region, service: &service };
        let mut names = names;
        names.insert("host".into());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let scope = [&access_key_id, date, &region, &service, TERMINATOR];
        let header = format!(
            "{ALGORITHM} Credential={}, SignedHeaders={}, Signature={signature}",
            scope.join("/"), names.join(";"),
        );
        let query = format!(
            "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}&X-Amz-Date={signed_at}\
             &X-Amz-Expires=60&X-Amz-SignedHeaders={}&X-Amz-Signature={signature}",
            scope.join("%2F"), names.join("%3B"),
        );
        let signed = Test::with_header().authorized(&header).without("x-amz-date");
        let signed = signed.with("x-amz-date", signed_at.as_str());
        for test in [signed, Test { query, ..Test::presigned() }] {
            let parsed = test.parse().unwrap();
            prop_assert_eq!(parsed.credential(), credential);
            prop_assert!(parsed.signed_headers().names().eq(names.iter().copied()));
            prop_assert_eq!(parsed.signature(), &signature);
            prop_assert_eq!(parsed.signed_at(), signed_at);
        }
    }

    #[test]
    fn any_changed_byte_changes_the_canonical_request(
        test in plain(), part in 0..5, at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut changed = test.clone();
        let swap = |text: &mut String| {
            let mut bytes = std::mem::take(text).into_bytes();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte & 0x7f;
            }
            *text = String::from_utf8(bytes).unwrap();
        };
        match part {
            0 => swap(&mut changed.method),
            1 => swap(&mut changed.path),
            2 => swap(&mut changed.query),
            3 => {
                let signed = ["host", "x-amz-target", "content-type", "x-amz-date"];
                let name = signed[at.index(signed.len())];
                let (_, value) = changed.headers.iter_mut().find(|(n, _)| n == name).unwrap();
                let at = at.index(value.len());
                value[at] = byte;
            }
            _ => changed.body_sha256[at.index(32)] = byte,
        }
        prop_assume!(changed != test);
        prop_assert_ne!(changed.canonical().ok(), Some(test.canonical().unwrap()));
    }

    #[test]
    fn headers_and_parameters_may_travel_in_any_order(test in plain(), seed in any::<u64>()) {
        let mut shuffled = test.clone();
        let turn = |len: usize| usize::try_from(seed).unwrap_or(0) % len.max(1);
        shuffled.headers.rotate_left(turn(test.headers.len()));
        let mut pairs: Vec<&str> = test.query.split('&').collect();
        pairs.rotate_left(turn(test.query.split('&').count()));
        shuffled.query = pairs.join("&");
        prop_assert_eq!(shuffled.canonical(), test.canonical());
    }
}
