//! The decoders of `wire`. Each function panics where a decoder does, or breaks its word.

use wire::kms::{Marker, Operation, Request, RequestFault, TARGET_PREFIX};
use wire::sigv4::{Form, SIGNATURE_HEX_LEN, SignedRequest, Timestamp};

macro_rules! parsers {
    ($($operation:ident => $request:ident,)*) => {
        fn parse(operation: Operation, body: &[u8]) -> Result<Operation, RequestFault> {
            match operation {
                $(Operation::$operation => parse_as::<wire::kms::$request<'_>>(body),)*
            }
        }
    };
}

parsers! {
    CancelKeyDeletion => CancelKeyDeletionRequest,
    ConnectCustomKeyStore => ConnectCustomKeyStoreRequest,
    CreateAlias => CreateAliasRequest,
    CreateCustomKeyStore => CreateCustomKeyStoreRequest,
    CreateGrant => CreateGrantRequest,
    CreateKey => CreateKeyRequest,
    Decapsulate => DecapsulateRequest,
    Decrypt => DecryptRequest,
    DeleteAlias => DeleteAliasRequest,
    DeleteCustomKeyStore => DeleteCustomKeyStoreRequest,
    DeleteImportedKeyMaterial => DeleteImportedKeyMaterialRequest,
    DeriveSharedSecret => DeriveSharedSecretRequest,
    DescribeCustomKeyStores => DescribeCustomKeyStoresRequest,
    DescribeKey => DescribeKeyRequest,
    DisableKey => DisableKeyRequest,
    DisableKeyRotation => DisableKeyRotationRequest,
    DisconnectCustomKeyStore => DisconnectCustomKeyStoreRequest,
    EnableKey => EnableKeyRequest,
    EnableKeyRotation => EnableKeyRotationRequest,
    Encapsulate => EncapsulateRequest,
    Encrypt => EncryptRequest,
    GenerateDataKey => GenerateDataKeyRequest,
    GenerateDataKeyPair => GenerateDataKeyPairRequest,
    GenerateDataKeyPairWithoutPlaintext => GenerateDataKeyPairWithoutPlaintextRequest,
    GenerateDataKeyWithoutPlaintext => GenerateDataKeyWithoutPlaintextRequest,
    GenerateMac => GenerateMacRequest,
    GenerateRandom => GenerateRandomRequest,
    GetKeyLastUsage => GetKeyLastUsageRequest,
    GetKeyPolicy => GetKeyPolicyRequest,
    GetKeyRotationStatus => GetKeyRotationStatusRequest,
    GetParametersForImport => GetParametersForImportRequest,
    GetPublicKey => GetPublicKeyRequest,
    ImportKeyMaterial => ImportKeyMaterialRequest,
    ListAliases => ListAliasesRequest,
    ListGrants => ListGrantsRequest,
    ListKeyPolicies => ListKeyPoliciesRequest,
    ListKeyRotations => ListKeyRotationsRequest,
    ListKeys => ListKeysRequest,
    ListResourceTags => ListResourceTagsRequest,
    ListRetirableGrants => ListRetirableGrantsRequest,
    PutKeyPolicy => PutKeyPolicyRequest,
    ReEncrypt => ReEncryptRequest,
    ReplicateKey => ReplicateKeyRequest,
    RetireGrant => RetireGrantRequest,
    RevokeGrant => RevokeGrantRequest,
    RotateKeyOnDemand => RotateKeyOnDemandRequest,
    ScheduleKeyDeletion => ScheduleKeyDeletionRequest,
    Sign => SignRequest,
    TagResource => TagResourceRequest,
    UntagResource => UntagResourceRequest,
    UpdateAlias => UpdateAliasRequest,
    UpdateCustomKeyStore => UpdateCustomKeyStoreRequest,
    UpdateKeyDescription => UpdateKeyDescriptionRequest,
    UpdatePrimaryRegion => UpdatePrimaryRegionRequest,
    Verify => VerifyRequest,
    VerifyMac => VerifyMacRequest,
}

fn parse_as<'a, R: Request<'a>>(body: &'a [u8]) -> Result<Operation, RequestFault> {
    let request = R::parse(body)?;
    drop(request);
    Ok(R::OPERATION)
}

/// The name of an operation on a line of its own, then a body. Without one, every operation reads
/// all of it.
pub fn kms_json(data: &[u8]) {
    let split =
        data.iter().position(|byte| *byte == b'\n').map(|at| (&data[..at], &data[at + 1..]));
    let named = split.and_then(|(name, body)| {
        let target = format!("{TARGET_PREFIX}{}", std::str::from_utf8(name).ok()?);
        Some((Operation::from_target(&target)?, body))
    });
    match named {
        Some((operation, body)) => reads(operation, body),
        None => Operation::ALL.iter().for_each(|entry| reads(entry.operation, data)),
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(marker) = Marker::decode(text) {
        assert_eq!(marker.encode(), text, "a marker has one form");
    }
    if let Some(operation) = Operation::from_target(text) {
        assert_eq!(format!("{TARGET_PREFIX}{}", operation.name()), text);
    }
}

fn reads(operation: Operation, body: &[u8]) {
    match parse(operation, body) {
        Ok(read) => assert_eq!(read, operation, "a body is read as what was asked for"),
        // What is told to the caller is JSON again.
        Err(fault) => {
            let body = wire::kms::KmsFault::Validation.body(Some(&fault.to_string()));
            let told: serde_json::Value = serde_json::from_slice(&body).expect("a fault is JSON");
            assert!(told["__type"].is_string());
        }
    }
}

/// A request line and headers, a line each, as HTTP delivers them.
pub fn sigv4(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some(first) = lines.next().and_then(|line| std::str::from_utf8(line).ok()) else { return };
    let (method, target) = first.split_once(' ').unwrap_or((first, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
            Some((name, line[colon + 1..].trim_ascii()))
        })
        .collect();
    let each = || headers.iter().map(|(name, value)| (name.as_str(), *value));
    let request = wire::sigv4::Request { method, path, query, headers: each };
    let signed = match SignedRequest::parse(request) {
        Ok(signed) => signed,
        Err(error) => return assert!(!error.aws_type().is_empty()),
    };
    let date = signed.credential().date;
    assert_eq!(signed.signed_at().day(), date, "the scope's day is that of the signature");
    assert_eq!(signed.signature().len(), SIGNATURE_HEX_LEN);
    assert_eq!(signed.form() == Form::Presigned, signed.expires_seconds().is_some());
    let names: Vec<&str> = signed.signed_headers().names().collect();
    assert!(names.windows(2).all(|two| two[0] < two[1]), "sorted, each once: {names:?}");
    assert!(names.contains(&"host"));
    timestamp(signed.signed_at());

    let mut canonical = b"left over".to_vec();
    if signed.write_canonical_request(&[0; 32], &mut canonical).is_ok() {
        let text = canonical.split(|byte| *byte == b'\n');
        // Method, path, query, a line per header, an empty one, the names and the hash: a value
        // with a line of its own in it would sign what was not sent.
        assert_eq!(text.count(), 6 + names.len(), "{}", canonical.escape_ascii());
        assert!(canonical.ends_with(&[b'0'; 64]));
        let mut again = Vec::new();
        signed.write_canonical_request(&[0; 32], &mut again).expect("as before");
        assert_eq!(again, canonical);
    }
    let mut to_sign = b"left over".to_vec();
    signed.write_string_to_sign(&[0; 32], &mut to_sign);
    assert_eq!(to_sign.split(|byte| *byte == b'\n').count(), 4, "{}", to_sign.escape_ascii());
}

fn timestamp(at: Timestamp) {
    let again = Timestamp::parse_iso8601(at.as_str().as_bytes()).expect("its own form");
    assert_eq!(again.unix_seconds(), at.unix_seconds());
    let made = Timestamp::of_unix_seconds(at.unix_seconds()).expect("a time that was read");
    assert_eq!(made.as_str(), at.as_str());
}
