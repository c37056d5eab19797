use std::borrow::Cow;

use proptest::prelude::*;

use super::super::*;
use super::samples::SAMPLES;
use super::{check_serialization, check_validation, parse_as};

const KEY: &str = r#""KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab""#;
const ONE: &str = "1 validation error detected: ";

#[track_caller]
fn check_one(operation: &str, body: &str, fault: &str) {
    check_validation(operation, body, &format!("{ONE}{fault}"));
}

#[test]
fn every_request_is_parsed_with_all_its_members() {
    assert_eq!(SAMPLES.len(), Operation::ALL.len());
    for (sample, entry) in SAMPLES.iter().zip(Operation::ALL) {
        assert_eq!(sample.name, entry.name);
        assert_eq!((sample.parse)(sample.body.as_bytes()), Ok(entry.operation), "{}", sample.name);
    }
}

#[test]
fn unknown_members_are_ignored_and_nulls_are_absent() {
    for sample in SAMPLES {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(sample.body).unwrap();
        let mut lax = object.clone();
        lax.insert("Unheard".to_owned(), serde_json::json!({"of": [1, null, {"a": []}]}));
        let lax = serde_json::to_vec(&lax).unwrap();
        assert!((sample.parse)(&lax).is_ok(), "{}", sample.name);
        for name in object.keys() {
            let mut without = object.clone();
            without.insert(name.clone(), serde_json::Value::Null);
            let parsed = (sample.parse)(&serde_json::to_vec(&without).unwrap());
            let needed = sample.required.contains(&name.as_str());
            assert_eq!(parsed.is_err(), needed, "{} without {name}: {parsed:?}", sample.name);
        }
    }
}

#[test]
fn every_required_member_is_asked_for() {
    for sample in SAMPLES {
        // The ciphertext, which a dry run may do without, is asked for once the rest is there.
        if sample.required.is_empty() {
            continue;
        }
        let of_secret = |name: &&str| matches!(*name, "Plaintext" | "Message");
        let faults: Vec<String> = sample
            .required
            .iter()
            .map(|name| {
                let value = if of_secret(name) { "Value" } else { "Value null" };
                let (first, rest) = name.split_at(1);
                let first = first.to_lowercase();
                format!("{value} at '{first}{rest}' failed to satisfy constraint: Member must not be null")
            })
            .collect();
        let plural = if faults.len() == 1 { "error" } else { "errors" };
        let expected =
            format!("{} validation {plural} detected: {}", faults.len(), faults.join("; "));
        check_validation(sample.name, "{}", &expected);
        check_validation(sample.name, "", &expected);
    }
}

#[test]
fn a_ciphertext_is_asked_for_unless_a_dry_run_does_without() {
    let fault =
        "Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null";
    let modifiers = r#","DryRunModifiers":["IGNORE_CIPHERTEXT"]"#;
    for (dry_run, modifiers) in [
        ("", ""),
        ("", modifiers),
        (r#","DryRun":false"#, modifiers),
        (r#","DryRun":true"#, ""),
        (r#","DryRun":true"#, r#","DryRunModifiers":[]"#),
    ] {
        for operation in ["Decrypt", "ReEncrypt"] {
            let body = format!(r#"{{"DestinationKeyId":"alias/x"{dry_run}{modifiers}}}"#);
            check_one(operation, &body, fault);
        }
    }
    let dry = format!(r#"{{"DestinationKeyId":"alias/x","DryRun":true{modifiers}}}"#);
    assert_eq!(parse_as("Decrypt", dry.as_bytes()), Ok(Operation::Decrypt));
    assert_eq!(parse_as("ReEncrypt", dry.as_bytes()), Ok(Operation::ReEncrypt));
}

#[test]
fn key_ids_have_a_length_and_are_ascii() {
    check_validation(
        "GetPublicKey",
        r#"{"KeyId":""}"#,
        "2 validation errors detected: Value '' at 'keyId' failed to satisfy constraint: Member must \
         have length greater than or equal to 1; Value '' at 'keyId' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: ^\\p{ASCII}+$",
    );
    check_one(
        "DescribeKey",
        "{\"KeyId\":\"\u{30ad}\u{30fc}\"}",
        "Value '\u{30ad}\u{30fc}' at 'keyId' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: ^\\p{ASCII}+$",
    );
    let long = "k".repeat(2049);
    check_one(
        "DescribeKey",
        &format!(r#"{{"KeyId":"{long}"}}"#),
        &format!(
            "Value '{long}' at 'keyId' failed to satisfy constraint: Member must have length less \
             than or equal to 2048"
        ),
    );
}

#[test]
fn blobs_have_a_length_and_are_never_shown() {
    use base64::Engine as _;
    let of = |len: usize| base64::engine::general_purpose::STANDARD.encode(vec![0x5a; len]);
    let (plain_long, cipher_long) = (of(4097), of(6145));
    let hmac = r#","MacAlgorithm":"HMAC_SHA_256""#;
    for (operation, member, blob, rest, bound) in [
        ("Encrypt", "Plaintext", "", "", "greater than or equal to 1"),
        ("Encrypt", "Plaintext", &plain_long, "", "less than or equal to 4096"),
        ("Decrypt", "CiphertextBlob", "", "", "greater than or equal to 1"),
        ("Decrypt", "CiphertextBlob", &cipher_long, "", "less than or equal to 6144"),
        ("GenerateMac", "Message", "", hmac, "greater than or equal to 1"),
    ] {
        let body = format!(r#"{{{KEY},"{member}":"{blob}"{rest}}}"#);
        let (first, name) = member.split_at(1);
        let fault = format!(
            "Value at '{}{name}' failed to satisfy constraint: Member must have length {bound}",
            first.to_lowercase()
        );
        check_one(operation, &body, &fault);
    }
    let all = format!(r#"{{{KEY},"Plaintext":"{}"}}"#, of(4096));
    assert_eq!(EncryptRequest::parse(all.as_bytes()).unwrap().plaintext.expose().len(), 4096);
}

#[test]
fn names_are_of_their_set() {
    let set = |value: &str, member: &str, names: &str| {
        format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy enum \
             value set: [{names}]"
        )
    };
    check_one(
        "Encrypt",
        &format!(r#"{{{KEY},"Plaintext":"AAAA","EncryptionAlgorithm":"FOO"}}"#),
        &set(
            "FOO",
            "encryptionAlgorithm",
            "RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, SYMMETRIC_DEFAULT",
        ),
    );
    check_one(
        "GenerateMac",
        &format!(r#"{{{KEY},"Message":"AAAA","MacAlgorithm":"hmac_sha_256"}}"#),
        &set(
            "hmac_sha_256",
            "macAlgorithm",
            "HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512",
        ),
    );
    check_one(
        "Sign",
        &format!(
            r#"{{{KEY},"Message":"AAAA","MessageType":"FOO","SigningAlgorithm":"ECDSA_SHA_256"}}"#
        ),
        &set("FOO", "messageType", "RAW, DIGEST, EXTERNAL_MU"),
    );
    check_one(
        "Sign",
        &format!(r#"{{{KEY},"Message":"AAAA","SigningAlgorithm":"FOO"}}"#),
        &set(
            "FOO",
            "signingAlgorithm",
            "RSASSA_PSS_SHA_256, RSASSA_PSS_SHA_384, RSASSA_PSS_SHA_512, \
             RSASSA_PKCS1_V1_5_SHA_256, RSASSA_PKCS1_V1_5_SHA_384, RSASSA_PKCS1_V1_5_SHA_512, \
             ECDSA_SHA_256, ECDSA_SHA_384, ECDSA_SHA_512, ED25519_SHA_512, ED25519_PH_SHA_512, \
             SM2DSA, ML_DSA_SHAKE_256",
        ),
    );
    check_one(
        "GenerateDataKey",
        &format!(r#"{{{KEY},"KeySpec":"FOO"}}"#),
        &set("FOO", "keySpec", "AES_256, AES_128"),
    );
    check_one(
        "DeriveSharedSecret",
        &format!(r#"{{{KEY},"KeyAgreementAlgorithm":"INVALID","PublicKey":"AAAA"}}"#),
        &set("INVALID", "keyAgreementAlgorithm", "ECDH"),
    );
    check_one(
        "Decrypt",
        r#"{"CiphertextBlob":"AAAA","Recipient":{"KeyEncryptionAlgorithm":"FOO"}}"#,
        &set("FOO", "recipient.keyEncryptionAlgorithm", "RSAES_OAEP_SHA_256"),
    );
    check_one(
        "CreateKey",
        r#"{"KeySpec":"FOO"}"#,
        &set(
            "FOO",
            "keySpec",
            "RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, \
             ECC_SECG_P256K1, ECC_NIST_EDWARDS25519, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, \
             HMAC_384, HMAC_512, SM2, ML_DSA_44, ML_DSA_65, ML_DSA_87, ML_KEM_512, ML_KEM_768, \
             ML_KEM_1024",
        ),
    );
}

#[test]
fn numbers_are_in_their_range() {
    for (operation, member, shown, number, bound) in [
        ("GenerateRandom", "NumberOfBytes", "numberOfBytes", 0, "greater than or equal to 1"),
        ("GenerateRandom", "NumberOfBytes", "numberOfBytes", 1025, "less than or equal to 1024"),
        ("GenerateDataKey", "NumberOfBytes", "numberOfBytes", 1025, "less than or equal to 1024"),
        ("ListKeys", "Limit", "limit", 0, "greater than or equal to 1"),
        ("ListKeys", "Limit", "limit", 1001, "less than or equal to 1000"),
        (
            "EnableKeyRotation",
            "RotationPeriodInDays",
            "rotationPeriodInDays",
            89,
            "greater than or equal to 90",
        ),
        (
            "EnableKeyRotation",
            "RotationPeriodInDays",
            "rotationPeriodInDays",
            2561,
            "less than or equal to 2560",
        ),
        (
            "ScheduleKeyDeletion",
            "PendingWindowInDays",
            "pendingWindowInDays",
            366,
            "less than or equal to 365",
        ),
    ] {
        let fault = format!(
            "Value '{number}' at '{shown}' failed to satisfy constraint: Member must have value {bound}"
        );
        check_one(operation, &format!(r#"{{{KEY},"{member}":{number}}}"#), &fault);
    }
}

#[test]
fn texts_follow_their_patterns() {
    let pattern = |value: &str, member: &str, pattern: &str| {
        format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: {pattern}"
        )
    };
    check_one(
        "CreateAlias",
        r#"{"AliasName":"alias/a b","TargetKeyId":"x"}"#,
        &pattern("alias/a b", "aliasName", "^[a-zA-Z0-9:/_-]+$"),
    );
    check_one(
        "PutKeyPolicy",
        &format!("{{{KEY},\"Policy\":\"\u{100}\"}}"),
        &pattern("\u{100}", "policy", r"[\u0009\u000A\u000D\u0020-\u00FF]+"),
    );
    check_one(
        "CreateGrant",
        &format!(r#"{{{KEY},"GranteePrincipal":"a b","Operations":["Encrypt"]}}"#),
        &pattern("a b", "granteePrincipal", r"^[\w+=,.@:/-]+$"),
    );
    check_one(
        "CreateGrant",
        &format!(
            r#"{{{KEY},"Operations":[],"Constraints":{{"SourceArn":"arn:aws:s3:::bucket-of-test"}}}}"#
        ),
        &pattern(
            "arn:aws:s3:::bucket-of-test",
            "constraints.sourceArn",
            "^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$",
        ),
    );
    check_one(
        "ReplicateKey",
        &format!(r#"{{{KEY},"ReplicaRegion":"mars"}}"#),
        &pattern("mars", "replicaRegion", r"^([a-z]+-){2,3}\d+$"),
    );
}

#[test]
fn lists_of_names_are_named_as_a_whole() {
    let operations = "Decrypt, Encrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, \
        ReEncryptFrom, ReEncryptTo, Sign, Verify, GetPublicKey, CreateGrant, RetireGrant, \
        DescribeKey, GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext, GenerateMac, \
        VerifyMac, DeriveSharedSecret, Encapsulate, Decapsulate";
    check_one(
        "CreateGrant",
        &format!(r#"{{{KEY},"Operations":["Encrypt","Fly"]}}"#),
        &format!(
            "Value '[Encrypt, Fly]' at 'operations' failed to satisfy constraint: Member must \
             satisfy constraint: [Member must satisfy enum value set: [{operations}]]"
        ),
    );
    check_one(
        "UntagResource",
        &format!(r#"{{{KEY},"TagKeys":["a",""]}}"#),
        "Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: \
         [Member must have length less than or equal to 128, Member must have length greater than \
         or equal to 1]",
    );
    check_one(
        "ListKeys",
        r#"{"ResourceOwners":[]}"#,
        "Value '[]' at 'resourceOwners' failed to satisfy constraint: Member must have length \
         greater than or equal to 1",
    );
}

#[test]
fn grant_tokens_are_not_repeated() {
    let tokens = ["\"test-token\""; 11].join(",");
    check_one(
        "DescribeKey",
        &format!(r#"{{{KEY},"GrantTokens":[{tokens}]}}"#),
        "Value at 'grantTokens' failed to satisfy constraint: Member must have length less than or \
         equal to 10",
    );
}

#[test]
fn tags_are_named_one_by_one() {
    let (key, value) = ("a".repeat(129), "v".repeat(257));
    let body = format!(
        r#"{{"Tags":[{{"TagKey":"{key}","TagValue":""}},{{"TagKey":"b"}},{{"TagKey":"c","TagValue":"{value}"}}]}}"#
    );
    check_validation(
        "CreateKey",
        &body,
        &format!(
            "3 validation errors detected: Value '{key}' at 'tags.1.member.tagKey' failed to \
             satisfy constraint: Member must have length less than or equal to 128; Value null at \
             'tags.2.member.tagValue' failed to satisfy constraint: Member must not be null; Value \
             '{value}' at 'tags.3.member.tagValue' failed to satisfy constraint: Member must have \
             length less than or equal to 256"
        ),
    );
}

#[test]
fn an_answer_is_not_many_times_as_long_as_its_question() {
    let body = format!(r#"{{"Tags":[{}{{}}]}}"#, "{},".repeat(170_000));
    let Err(RequestFault::Validation(text)) = parse_as("CreateKey", body.as_bytes()) else {
        panic!("a tag has a key and a value")
    };
    assert!(text.starts_with("340002 validation errors detected: "), "{}", &text[..80]);
    assert!(text.len() < BODY_BYTES_MAX, "{} bytes", text.len());
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    check_validation(
        "Encrypt",
        r#"{"Plaintext":"","EncryptionAlgorithm":"X"}"#,
        "3 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member \
         must not be null; Value at 'plaintext' failed to satisfy constraint: Member must have \
         length greater than or equal to 1; Value 'X' at 'encryptionAlgorithm' failed to satisfy \
         constraint: Member must satisfy enum value set: [RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, \
         SM2PKE, SYMMETRIC_DEFAULT]",
    );
}

#[test]
fn what_has_another_form_is_no_request() {
    use SerializationFault::{Member, NotJson, NotUtf8, TooLong};
    for body in ["[]", "null", "7", r#""text""#] {
        check_serialization("Encrypt", body.as_bytes(), Member);
    }
    for member in [
        r#""KeyId":7"#,
        r#""KeyId":["x"]"#,
        r#""Plaintext":"not base64""#,
        r#""Plaintext":"AAA""#,
        r#""Plaintext":{"type":"Buffer"}"#,
        r#""Plaintext":"\n""#,
        r#""Plaintext":"\u0000""#,
        r#""EncryptionContext":{"a":null}"#,
        r#""EncryptionContext":{"a":1}"#,
        r#""EncryptionContext":[]"#,
        r#""GrantTokens":"one""#,
        r#""GrantTokens":[null]"#,
        r#""DryRun":"true""#,
        r#""EncryptionAlgorithm":1"#,
    ] {
        check_serialization("Encrypt", format!("{{{member}}}").as_bytes(), Member);
    }
    for (operation, body) in [
        ("GenerateRandom", r#"{"NumberOfBytes":"32"}"#),
        ("GenerateRandom", r#"{"NumberOfBytes":32.5}"#),
        ("GenerateRandom", r#"{"NumberOfBytes":4294967297}"#),
        ("CreateKey", r#"{"Tags":[["a","b"]]}"#),
        ("CreateKey", r#"{"Tags":{"a":"b"}}"#),
        ("Decrypt", r#"{"CiphertextBlob":"?"}"#),
        ("ImportKeyMaterial", r#"{"ValidTo":"2026-01-01"}"#),
        ("ImportKeyMaterial", r#"{"ValidTo":1e300}"#),
    ] {
        check_serialization(operation, body.as_bytes(), Member);
    }
    for body in ["{", "{}{}", "{]", r#"{"KeyId":"#, "nope", " ", r#"{"Plaintext":"\u+041"}"#] {
        check_serialization("Encrypt", body.as_bytes(), NotJson);
    }
    check_serialization("Encrypt", b"{\"KeyId\":\"\xff\"}", NotUtf8);
    check_serialization("Encrypt", b"{\"Unheard\":\"\xff\"}", NotUtf8);
    check_serialization("Encrypt", &vec![b' '; BODY_BYTES_MAX + 1], TooLong);
}

#[test]
fn nothing_may_be_said_twice() {
    for body in [
        r#"{"KeyId":"a","KeyId":"b"}"#,
        r#"{"KeyId":null,"KeyId":"b"}"#,
        r#"{"KeyId":"a","Key\u0049d":"b"}"#,
        r#"{"EncryptionContext":{"a":"1","b":"2","a":"1"}}"#,
    ] {
        check_serialization("Encrypt", body.as_bytes(), SerializationFault::Member);
    }
    let context = r#"{"Constraints":{"EncryptionContextEquals":{"a":"1","a":"2"}}}"#;
    check_serialization("CreateGrant", context.as_bytes(), SerializationFault::Member);
}

#[test]
fn depth_is_no_danger() {
    let deep = format!(r#"{{"Unheard":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    // However it is refused or ignored, the stack must hold.
    let _ = parse_as("Encrypt", deep.as_bytes());
    let nested = r#"{"Recipient":"#.repeat(10_000);
    assert!(parse_as("Decrypt", nested.as_bytes()).is_err());
}

#[test]
fn what_was_sent_is_what_is_read() {
    let body = br#"{
        "KeyId": "alias/a",
        "Plaintext": "aGVsbG8gd29ybGQ\u003d",
        "EncryptionContext": {"tenant": "acme", "purpose": "test\u0021"},
        "GrantTokens": ["one"],
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DryRun": true
    }"#;
    let request = EncryptRequest::parse(body).unwrap();
    assert!(matches!(request.key_id, Cow::Borrowed("alias/a")));
    assert_eq!(request.plaintext.expose(), b"hello world");
    let pairs: Vec<(&str, &str)> = request
        .encryption_context
        .pairs()
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(pairs, [("purpose", "test!"), ("tenant", "acme")]);
    assert_eq!(request.encryption_context.get("tenant"), Some("acme"));
    assert_eq!(request.grant_tokens, ["one"]);
    assert_eq!(request.encryption_algorithm, Some(EncryptionAlgorithmSpec::SymmetricDefault));
    assert!(request.dry_run);
    assert_eq!(&request.plaintext.into_inner()[..], b"hello world");

    // As some clients write slashes and pluses.
    let escaped = br#"{"KeyId":"k","Plaintext":"\/\/\u002B\/"}"#;
    assert_eq!(EncryptRequest::parse(escaped).unwrap().plaintext.expose(), b"\xff\xff\xbf");

    let import = br#"{"KeyId":"k","ImportToken":"AAAA","EncryptedKeyMaterial":"AAAA","ValidTo":1.720000123456E9}"#;
    let valid_to = ImportKeyMaterialRequest::parse(import).unwrap().valid_to;
    assert_eq!(valid_to, Some(Timestamp { unix_millis: 1_720_000_123_456 }));
}

#[test]
fn a_request_shows_nothing_of_itself() {
    let body = br#"{"KeyId":"k","Plaintext":"c2VjcmV0","GrantTokens":["test-token"]}"#;
    let request = EncryptRequest::parse(body).unwrap();
    assert_eq!(format!("{request:?}"), "EncryptRequest { .. }");
    assert_eq!(format!("{:?}", request.plaintext), "SecretBlob");
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,40}".prop_map(Into::into),
        "[A-Za-z0-9+/]{0,8}={0,2}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[A-Z][A-Za-z]{0,12}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for sample in SAMPLES {
            let _ = (sample.parse)(&bytes);
        }
    }

    #[test]
    fn any_value_of_any_member_is_accepted_or_refused(
        at in 0..SAMPLES.len(), member in any::<prop::sample::Index>(), value in any_value()
    ) {
        let sample = &SAMPLES[at];
        let mut object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(sample.body).unwrap();
        let name = object.keys().nth(member.index(object.len())).unwrap().clone();
        object.insert(name, value);
        let _ = (sample.parse)(&serde_json::to_vec(&object).unwrap());
    }

    #[test]
    fn any_body_cut_short_is_refused(at in 0..SAMPLES.len(), cut in any::<prop::sample::Index>()) {
        let sample = &SAMPLES[at];
        let cut = 1 + cut.index(sample.body.len() - 1);
        prop_assert!((sample.parse)(&sample.body.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn any_plaintext_and_context_come_through(
        plaintext in prop::collection::vec(any::<u8>(), 1..300),
        context in prop::collection::btree_map(".{0,20}", ".{0,20}", 0..6),
    ) {
        use base64::Engine as _;
        let blob = base64::engine::general_purpose::STANDARD.encode(&plaintext);
        let body = serde_json::json!({"KeyId": "k", "Plaintext": blob, "EncryptionContext": context});
        let body = serde_json::to_vec(&body).unwrap();
        let request = EncryptRequest::parse(&body).unwrap();
        prop_assert_eq!(request.plaintext.expose(), &plaintext[..]);
        let pairs = request.encryption_context.pairs().iter();
        let read: Vec<(&str, &str)> = pairs.map(|(name, value)| (&**name, &**value)).collect();
        let sent: Vec<(&str, &str)> = context.iter().map(|(name, value)| (&**name, &**value)).collect();
        prop_assert_eq!(read, sent);
    }
}
