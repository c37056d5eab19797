use proptest::prelude::*;

use super::super::*;

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

#[test]
fn the_table_holds_the_whole_api() {
    const NAMES: [&str; 56] = [
        "CancelKeyDeletion",
        "ConnectCustomKeyStore",
        "CreateAlias",
        "CreateCustomKeyStore",
        "CreateGrant",
        "CreateKey",
        "Decapsulate",
        "Decrypt",
        "DeleteAlias",
        "DeleteCustomKeyStore",
        "DeleteImportedKeyMaterial",
        "DeriveSharedSecret",
        "DescribeCustomKeyStores",
        "DescribeKey",
        "DisableKey",
        "DisableKeyRotation",
        "DisconnectCustomKeyStore",
        "EnableKey",
        "EnableKeyRotation",
        "Encapsulate",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GenerateRandom",
        "GetKeyLastUsage",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "GetParametersForImport",
        "GetPublicKey",
        "ImportKeyMaterial",
        "ListAliases",
        "ListGrants",
        "ListKeyPolicies",
        "ListKeyRotations",
        "ListKeys",
        "ListResourceTags",
        "ListRetirableGrants",
        "PutKeyPolicy",
        "ReEncrypt",
        "ReplicateKey",
        "RetireGrant",
        "RevokeGrant",
        "RotateKeyOnDemand",
        "ScheduleKeyDeletion",
        "Sign",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateCustomKeyStore",
        "UpdateKeyDescription",
        "UpdatePrimaryRegion",
        "Verify",
        "VerifyMac",
    ];
    let names: Vec<&str> = Operation::ALL.iter().map(|entry| entry.name).collect();
    assert_eq!(names, NAMES);
    // What finds an operation in the table relies on it.
    assert!(names.is_sorted());
    for entry in Operation::ALL {
        let target = format!("{TARGET_PREFIX}{}", entry.name);
        assert_eq!(Operation::from_target(&target), Some(entry.operation));
        assert_eq!(entry.operation.entry(), entry);
        assert_eq!(entry.operation.name(), entry.name);
    }
    let unsupported = Operation::ALL.iter().filter(|entry| entry.support == Support::Unsupported);
    assert_eq!(unsupported.count(), 8);
    assert_eq!(Operation::ReplicateKey.support(), Support::Unsupported);
    assert_eq!(Operation::Encrypt.support(), Support::Supported);
}

#[test]
fn other_targets_are_unknown() {
    for target in [
        "",
        "TrentService.",
        "TrentService.encrypt",
        "Encrypt",
        "TrentService.Encrypt ",
        "X.Encrypt",
    ] {
        assert_eq!(Operation::from_target(target), None, "{target:?}");
    }
}

#[test]
fn keys_are_named_in_four_ways() {
    let key_arn = format!("arn:aws:kms:us-east-1:111122223333:key/{ID}");
    let alias_arn = "arn:aws-cn:kms:cn-north-1:111122223333:alias/a/b";
    assert_eq!(KeyRef::parse(ID), Ok(KeyRef::KeyId(ID)));
    let many = "mrk-1234567812341234123412345678901a";
    assert_eq!(KeyRef::parse(many), Ok(KeyRef::KeyId(many)));
    assert_eq!(KeyRef::parse("alias/x"), Ok(KeyRef::AliasName("alias/x")));
    let (region, account) = ("us-east-1", "111122223333");
    let of_key = KeyRef::KeyArn(KeyArn { partition: "aws", region, account, key_id: ID });
    assert_eq!(KeyRef::parse(&key_arn), Ok(of_key));
    assert_eq!(of_key.place(), Some((region, account)));
    let of_alias = KeyRef::AliasArn(AliasArn {
        partition: "aws-cn",
        region: "cn-north-1",
        account,
        alias_name: "alias/a/b",
    });
    assert_eq!(KeyRef::parse(alias_arn), Ok(of_alias));
    assert_eq!(KeyRef::KeyId(ID).place(), None);
}

#[test]
fn other_names_are_refused_in_awss_words() {
    let arn = "arn:aws:kms:us-east-1:111122223333:";
    for (name, message) in [
        ("foo".to_owned(), "Invalid keyId 'foo'".to_owned()),
        (String::new(), "Invalid keyId ''".to_owned()),
        ("mrk-1234".to_owned(), "Invalid keyId 'mrk-1234'".to_owned()),
        ("alias/".to_owned(), "Invalid keyId 'alias/'".to_owned()),
        (
            "134f2428cec14b25a1ae9048164dba47".to_owned(),
            "Invalid keyId '134f2428cec14b25a1ae9048164dba47'".to_owned(),
        ),
        (format!("{arn}key/foo"), "Invalid keyId foo".to_owned()),
        (format!("{arn}grant/foo"), format!("Invalid arn {arn}grant/foo")),
        ("arn:aws:kms".to_owned(), "Invalid arn arn:aws:kms".to_owned()),
        (
            format!("arn:aws:s3:us-east-1:111122223333:key/{ID}"),
            format!("Invalid arn arn:aws:s3:us-east-1:111122223333:key/{ID}"),
        ),
        (
            format!("arn:aws:kms:us-east-1:1111:key/{ID}"),
            format!("Invalid arn arn:aws:kms:us-east-1:1111:key/{ID}"),
        ),
    ] {
        assert_eq!(KeyRef::parse(&name).unwrap_err().message(), message, "{name}");
    }
}

#[test]
fn markers_are_refused_unless_given_out() {
    for text in ["", "a", "a b", "====", "bWFyaw==", "bWFya\u{e9}"] {
        assert_eq!(Marker::decode(text), Err(MarkerFault), "{text}");
    }
    assert_eq!(Marker::new(vec![0; MARKER_BYTES_MAX + 1]), Err(MarkerFault));
    let longest = Marker::new(vec![0xff; MARKER_BYTES_MAX]).unwrap().encode();
    assert_eq!(longest.len(), 1024);
    let body = format!(r#"{{"Marker":"{longest}"}}"#);
    assert_eq!(ListKeysRequest::parse(body.as_bytes()).unwrap().marker.unwrap(), longest);
}

proptest! {
    #[test]
    fn a_marker_comes_back(bytes in prop::collection::vec(any::<u8>(), 1..=MARKER_BYTES_MAX)) {
        let marker = Marker::new(bytes.clone()).unwrap();
        let back = Marker::decode(&marker.encode()).unwrap();
        prop_assert_eq!(back.as_bytes(), &bytes[..]);
    }

    #[test]
    fn any_text_is_a_key_or_none(text in "(arn:aws:kms:|alias/|mrk-)?.{0,60}") {
        let _ = KeyRef::parse(&text).map_err(|fault| fault.message());
    }
}

#[test]
fn error_bodies_are_awss() {
    fn body(fault: KmsFault, message: Option<&str>) -> String {
        String::from_utf8(fault.body(message)).unwrap()
    }
    assert_eq!(
        body(KmsFault::NotFound, Some(&messages::invalid_key_id("a\"b"))),
        r#"{"__type":"NotFoundException","message":"Invalid keyId 'a\"b'"}"#
    );
    assert_eq!(
        body(KmsFault::AccessDenied, Some("no")),
        r#"{"__type":"AccessDeniedException","Message":"no"}"#
    );
    assert_eq!(body(KmsFault::Serialization, None), r#"{"__type":"SerializationException"}"#);
    for silent in
        [KmsFault::InvalidCiphertext, KmsFault::KmsInvalidMac, KmsFault::KmsInvalidSignature]
    {
        let expected = format!(r#"{{"__type":"{}"}}"#, silent.aws_type());
        assert_eq!(body(silent, Some("the tag is wrong")), expected);
    }
}

#[test]
fn only_what_the_service_did_wrong_is_above_400() {
    for fault in KmsFault::ALL {
        let expected = match fault {
            KmsFault::DependencyTimeout
            | KmsFault::InternalFailure
            | KmsFault::KeyUnavailable
            | KmsFault::KmsInternal => 500,
            KmsFault::ServiceUnavailable => 503,
            _ => 400,
        };
        assert_eq!(fault.http_status(), expected, "{fault:?}");
    }
}

#[test]
fn denials_are_awss() {
    use messages::{Denial, Resource, access_denied};
    let arn = "arn:aws:kms:us-east-1:111122223333:key/1";
    let who = "arn:aws:iam::111122223333:user/a";
    assert_eq!(
        access_denied(who, "Encrypt", Resource::Arn(arn), Denial::NoIdentityPolicyAllows),
        format!(
            "User: {who} is not authorized to perform: kms:Encrypt on resource: {arn} because no \
             identity-based policy allows the kms:Encrypt action"
        )
    );
    assert_eq!(
        access_denied(who, "Decrypt", Resource::OfCiphertext, Denial::NotTold),
        format!(
            "User: {who} is not authorized to perform: kms:Decrypt on the resource associated with \
             this ciphertext because the resource does not exist in this Region, no resource-based \
             policies allow access, or a resource-based policy explicitly denies access"
        )
    );
    assert_eq!(
        access_denied(who, "Sign", Resource::Arn(arn), Denial::DeniedByResourcePolicy),
        format!(
            "User: {who} is not authorized to perform: kms:Sign on resource: {arn} with an explicit \
             deny in a resource-based policy"
        )
    );
}

#[test]
fn refusals_are_awss() {
    let arn = "arn:aws:kms:us-east-1:111122223333:key/1";
    assert_eq!(
        messages::wrong_usage(arn, KeyUsage::SignVerify, Operation::Encrypt),
        format!("{arn} key usage is SIGN_VERIFY which is not valid for Encrypt.")
    );
    assert_eq!(
        messages::wrong_algorithm(MacAlgorithmSpec::HmacSha512.name(), KeySpec::Hmac256),
        "Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256."
    );
    assert_eq!(
        messages::plaintext_too_long("RSAES_OAEP_SHA_1", KeySpec::Rsa2048, 214),
        "Algorithm RSAES_OAEP_SHA_1 and key spec RSA_2048 cannot encrypt data larger than 214 bytes."
    );
    assert_eq!(
        messages::wrong_origin(arn, Origin::AwsKms),
        format!("{arn} origin is AWS_KMS which is not valid for this operation.")
    );
}

#[test]
fn values_are_found_by_their_names() {
    for spec in KeySpec::ALL {
        assert_eq!(KeySpec::from_name(spec.name()), Some(*spec));
    }
    assert_eq!(KeySpec::from_name("rsa_2048"), None);
    assert_eq!(KeySpec::ALL.len(), 20);
    // The older name of a key's kind has each of its values from the newer.
    for spec in CustomerMasterKeySpec::ALL {
        assert!(KeySpec::from_name(spec.name()).is_some());
    }
}
