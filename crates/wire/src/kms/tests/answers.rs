use proptest::prelude::*;

use super::super::*;

const KEY_ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// The body, which must be in one piece of memory, no longer than was foretold.
#[track_caller]
fn check(response: &impl Response, expected: &str) {
    let foretold = response.body_len_max();
    let body = response.to_body();
    assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    assert!(body.len() <= foretold, "{} bytes, not {foretold}", body.len());
    let mut appended = b"before ".to_vec();
    response.write_body(&mut appended);
    assert_eq!(appended, [b"before ", &body[..]].concat());
    if !expected.is_empty() {
        let _: serde_json::Value = serde_json::from_slice(&body).unwrap();
    }
}

#[test]
fn hot_answers_are_as_long_as_foretold() {
    let encrypt = EncryptResponse {
        ciphertext_blob: (&b"cipher"[..]).into(),
        key_id: KEY_ARN.into(),
        encryption_algorithm: EncryptionAlgorithmSpec::SymmetricDefault,
    };
    let expected = format!(
        r#"{{"CiphertextBlob":"Y2lwaGVy","KeyId":"{KEY_ARN}","EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}"#
    );
    check(&encrypt, &expected);
    // The first member has no comma.
    assert_eq!(encrypt.body_len_max(), expected.len() + 1);

    let decrypt = DecryptResponse {
        key_id: KEY_ARN.into(),
        plaintext: Some(SecretBytes(b"plain")),
        encryption_algorithm: EncryptionAlgorithmSpec::SymmetricDefault,
        ciphertext_for_recipient: None,
        key_material_id: Some("ab".into()),
    };
    check(
        &decrypt,
        &format!(
            r#"{{"KeyId":"{KEY_ARN}","Plaintext":"cGxhaW4=","EncryptionAlgorithm":"SYMMETRIC_DEFAULT","KeyMaterialId":"ab"}}"#
        ),
    );
    assert_eq!(
        format!("{decrypt:?} {:?}", decrypt.plaintext),
        "DecryptResponse { .. } Some(SecretBytes)"
    );

    let data_key = GenerateDataKeyResponse {
        ciphertext_blob: (&b"wrapped"[..]).into(),
        plaintext: None,
        key_id: KEY_ARN.into(),
        ciphertext_for_recipient: Some((&b""[..]).into()),
        key_material_id: None,
    };
    check(
        &data_key,
        &format!(
            r#"{{"CiphertextBlob":"d3JhcHBlZA==","KeyId":"{KEY_ARN}","CiphertextForRecipient":""}}"#
        ),
    );
}

#[test]
fn no_output_is_an_empty_body_and_not_an_empty_object() {
    check(&NoOutput, "");
    check(&ConnectCustomKeyStoreResponse {}, "{}");
    fn answer_of<'a, R: Request<'a, Answer<'static> = NoOutput>>() {}
    answer_of::<EnableKeyRequest<'_>>();
    answer_of::<TagResourceRequest<'_>>();
    answer_of::<RetireGrantRequest<'_>>();
}

#[test]
fn times_are_plain_decimals() {
    for (unix_millis, expected) in [
        (0, "0"),
        (1_720_000_123_456, "1720000123.456"),
        (1_720_000_123_000, "1720000123"),
        (1_720_000_123_050, "1720000123.050"),
        (-1_500, "-1.500"),
        (i64::MIN, "-9223372036854775.808"),
    ] {
        let response = GetParametersForImportResponse {
            key_id: "k".into(),
            import_token: (&b"t"[..]).into(),
            public_key: (&b"p"[..]).into(),
            parameters_valid_to: Timestamp { unix_millis },
        };
        let expected = format!(
            r#"{{"KeyId":"k","ImportToken":"dA==","PublicKey":"cA==","ParametersValidTo":{expected}}}"#
        );
        check(&response, &expected);
    }
    assert_eq!(Timestamp::from_unix_seconds(7).unix_millis, 7000);
}

#[test]
fn a_key_is_described_with_what_it_has() {
    let metadata = KeyMetadata {
        account_id: "111122223333".into(),
        key_id: "1".into(),
        arn: "arn:1".into(),
        creation_date: Timestamp::from_unix_seconds(1),
        enabled: true,
        description: "a \"test\"\n".into(),
        key_usage: KeyUsage::EncryptDecrypt,
        key_state: KeyState::Enabled,
        deletion_date: None,
        valid_to: None,
        origin: Origin::AwsKms,
        custom_key_store_id: None,
        cloud_hsm_cluster_id: None,
        expiration_model: None,
        key_manager: KeyManager::Customer,
        customer_master_key_spec: Some(CustomerMasterKeySpec::SymmetricDefault),
        key_spec: KeySpec::SymmetricDefault,
        encryption_algorithms: Some(&[EncryptionAlgorithmSpec::SymmetricDefault]),
        signing_algorithms: None,
        key_agreement_algorithms: None,
        encapsulation_algorithms: None,
        multi_region: false,
        multi_region_configuration: None,
        pending_deletion_window_in_days: Some(7),
        mac_algorithms: None,
        xks_key_configuration: None,
        current_key_material_id: None,
    };
    check(
        &DescribeKeyResponse { key_metadata: metadata },
        concat!(
            r#"{"KeyMetadata":{"AWSAccountId":"111122223333","KeyId":"1","Arn":"arn:1","#,
            r#""CreationDate":1,"Enabled":true,"Description":"a \"test\"\n","#,
            r#""KeyUsage":"ENCRYPT_DECRYPT","KeyState":"Enabled","Origin":"AWS_KMS","#,
            r#""KeyManager":"CUSTOMER","CustomerMasterKeySpec":"SYMMETRIC_DEFAULT","#,
            r#""KeySpec":"SYMMETRIC_DEFAULT","EncryptionAlgorithms":["SYMMETRIC_DEFAULT"],"#,
            r#""MultiRegion":false,"PendingDeletionWindowInDays":7}}"#,
        ),
    );
}

#[test]
fn lists_come_in_pages() {
    let keys = ["a", "b"].map(|id| KeyListEntry { key_id: id.into(), key_arn: id.into() });
    let page =
        ListKeysResponse { keys: keys.into(), next_marker: Some("bWFyaw".into()), truncated: true };
    check(
        &page,
        r#"{"Keys":[{"KeyId":"a","KeyArn":"a"},{"KeyId":"b","KeyArn":"b"}],"NextMarker":"bWFyaw","Truncated":true}"#,
    );
    let last = ListResourceTagsResponse { tags: vec![], next_marker: None, truncated: false };
    check(&last, r#"{"Tags":[],"Truncated":false}"#);
}

#[test]
fn a_grant_is_answered_as_it_was_asked_for() {
    let body = br#"{"KeyId":"k","Operations":["Encrypt"],"Constraints":{"EncryptionContextSubset":{"b":"2","a":"1"}}}"#;
    let asked = CreateGrantRequest::parse(body).unwrap();
    let grant = GrantListEntry {
        key_id: asked.key_id,
        grant_id: "g".into(),
        name: None,
        creation_date: Timestamp { unix_millis: 1 },
        grantee_principal: Some("p".into()),
        retiring_principal: None,
        issuing_account: "i".into(),
        operations: &asked.operations,
        constraints: asked.constraints,
        grantee_service_principal: None,
        retiring_service_principal: None,
    };
    check(
        &ListGrantsResponse { grants: vec![grant], next_marker: None, truncated: false },
        concat!(
            r#"{"Grants":[{"KeyId":"k","GrantId":"g","CreationDate":0.001,"GranteePrincipal":"p","#,
            r#""IssuingAccount":"i","Operations":["Encrypt"],"#,
            r#""Constraints":{"EncryptionContextSubset":{"a":"1","b":"2"}}}],"Truncated":false}"#,
        ),
    );
}

proptest! {
    #[test]
    fn any_text_and_bytes_come_through(text in "\\PC*|[\\x00-\\x7f]*", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        use base64::Engine as _;
        let response = EncryptResponse {
            ciphertext_blob: bytes.clone().into(),
            key_id: text.clone().into(),
            encryption_algorithm: EncryptionAlgorithmSpec::Sm2pke,
        };
        let body = response.to_body();
        prop_assert!(body.len() <= response.body_len_max());
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(&read["KeyId"], &text);
        let blob = base64::engine::general_purpose::STANDARD.encode(&bytes);
        prop_assert_eq!(&read["CiphertextBlob"], &blob);
    }
}
