//! Every request of the API, once with all its members.

use super::*;

type Parse = fn(&[u8]) -> Result<Operation, RequestFault>;

pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) parse: Parse,
    /// With every member the published model knows.
    pub(super) body: &'static str,
    /// In the model's order of members.
    pub(super) required: &'static [&'static str],
}

fn parse<'a, R: Request<'a>>(body: &'a [u8]) -> Result<Operation, RequestFault> {
    let request = R::parse(body)?;
    drop(request);
    Ok(R::OPERATION)
}

#[rustfmt::skip]
pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        name: "CancelKeyDeletion",
        parse: |body| parse::<CancelKeyDeletionRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "ConnectCustomKeyStore",
        parse: |body| parse::<ConnectCustomKeyStoreRequest<'_>>(body),
        body: r#"{"CustomKeyStoreId":"cks-1"}"#,
        required: &["CustomKeyStoreId"],
    },
    Sample {
        name: "CreateAlias",
        parse: |body| parse::<CreateAliasRequest<'_>>(body),
        body: r#"{"AliasName":"alias/test","TargetKeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["AliasName", "TargetKeyId"],
    },
    Sample {
        name: "CreateCustomKeyStore",
        parse: |body| parse::<CreateCustomKeyStoreRequest<'_>>(body),
        body: concat!(
            r#"{"CustomKeyStoreName":"n","CloudHsmClusterId":"cluster-abcdefghijk","#,
            r#""TrustAnchorCertificate":"pem","KeyStorePassword":"test-password","#,
            r#""CustomKeyStoreType":"EXTERNAL_KEY_STORE","#,
            r#""XksProxyUriEndpoint":"https://xks.example","XksProxyUriPath":"/a/kms/xks/v1","#,
            r#""XksProxyVpcEndpointServiceName":"com.amazonaws.vpce.us-east-1.vpce-svc-0123abcd","#,
            r#""XksProxyVpcEndpointServiceOwner":"111122223333","#,
            r#""XksProxyAuthenticationCredential":{"AccessKeyId":"AAAAAAAAAAAAAAAAAAAA","#,
            r#""RawSecretAccessKey":"sssssssssssssssssssssssssssssssssssssssssss"},"#,
            r#""XksProxyConnectivity":"VPC_ENDPOINT_SERVICE"}"#,
        ),
        required: &["CustomKeyStoreName"],
    },
    Sample {
        name: "CreateGrant",
        parse: |body| parse::<CreateGrantRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""GranteePrincipal":"arn:aws:iam::111122223333:role/web","#,
            r#""RetiringPrincipal":"arn:aws:iam::111122223333:role/web","#,
            r#""Operations":["Decapsulate"],"Constraints":{"EncryptionContextSubset":{"a":"b"},"#,
            r#""EncryptionContextEquals":{"a":"b"},"#,
            r#""SourceArn":"arn:aws:s3:us-east-1:111122223333:bucket"},"GrantTokens":["token"],"#,
            r#""Name":"g","DryRun":true,"#,
            r#""GranteeServicePrincipal":"logs.us-east-1.amazonaws.com","#,
            r#""RetiringServicePrincipal":"logs.us-east-1.amazonaws.com"}"#,
        ),
        required: &["KeyId", "Operations"],
    },
    Sample {
        name: "CreateKey",
        parse: |body| parse::<CreateKeyRequest<'_>>(body),
        body: concat!(
            r#"{"Policy":"{}","Description":"","KeyUsage":"ENCAPSULATE_DECAPSULATE","#,
            r#""CustomerMasterKeySpec":"SM2","KeySpec":"ML_KEM_1024","#,
            r#""Origin":"EXTERNAL_KEY_STORE","CustomKeyStoreId":"cks-1","#,
            r#""BypassPolicyLockoutSafetyCheck":true,"Tags":[{"TagKey":"k","TagValue":"v"}],"#,
            r#""MultiRegion":true,"XksKeyId":"xks-key"}"#,
        ),
        required: &[],
    },
    Sample {
        name: "Decapsulate",
        parse: |body| parse::<DecapsulateRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""SharedSecretCiphertextBlob":"c2VjcmV0","EncapsulationAlgorithm":"ML_KEM","#,
            r#""GrantTokens":["token"],"DryRun":true}"#,
        ),
        required: &["KeyId", "SharedSecretCiphertextBlob", "EncapsulationAlgorithm"],
    },
    Sample {
        name: "Decrypt",
        parse: |body| parse::<DecryptRequest<'_>>(body),
        body: concat!(
            r#"{"CiphertextBlob":"c2VjcmV0","EncryptionContext":{"a":"b"},"#,
            r#""GrantTokens":["token"],"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""EncryptionAlgorithm":"SM2PKE","#,
            r#""Recipient":{"KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256","#,
            r#""AttestationDocument":"c2VjcmV0"},"DryRun":true,"#,
            r#""DryRunModifiers":["IGNORE_CIPHERTEXT"]}"#,
        ),
        required: &[],
    },
    Sample {
        name: "DeleteAlias",
        parse: |body| parse::<DeleteAliasRequest<'_>>(body),
        body: r#"{"AliasName":"alias/test"}"#,
        required: &["AliasName"],
    },
    Sample {
        name: "DeleteCustomKeyStore",
        parse: |body| parse::<DeleteCustomKeyStoreRequest<'_>>(body),
        body: r#"{"CustomKeyStoreId":"cks-1"}"#,
        required: &["CustomKeyStoreId"],
    },
    Sample {
        name: "DeleteImportedKeyMaterial",
        parse: |body| parse::<DeleteImportedKeyMaterialRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""KeyMaterialId":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}"#,
        ),
        required: &["KeyId"],
    },
    Sample {
        name: "DeriveSharedSecret",
        parse: |body| parse::<DeriveSharedSecretRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","KeyAgreementAlgorithm":"ECDH","#,
            r#""PublicKey":"c2VjcmV0","GrantTokens":["token"],"DryRun":true,"#,
            r#""Recipient":{"KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256","#,
            r#""AttestationDocument":"c2VjcmV0"}}"#,
        ),
        required: &["KeyId", "KeyAgreementAlgorithm", "PublicKey"],
    },
    Sample {
        name: "DescribeCustomKeyStores",
        parse: |body| parse::<DescribeCustomKeyStoresRequest<'_>>(body),
        body: concat!(
            r#"{"CustomKeyStoreId":"cks-1","CustomKeyStoreName":"n","Limit":1000,"#,
            r#""Marker":"bWFyaw"}"#,
        ),
        required: &[],
    },
    Sample {
        name: "DescribeKey",
        parse: |body| parse::<DescribeKeyRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","GrantTokens":["token"]}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "DisableKey",
        parse: |body| parse::<DisableKeyRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "DisableKeyRotation",
        parse: |body| parse::<DisableKeyRotationRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "DisconnectCustomKeyStore",
        parse: |body| parse::<DisconnectCustomKeyStoreRequest<'_>>(body),
        body: r#"{"CustomKeyStoreId":"cks-1"}"#,
        required: &["CustomKeyStoreId"],
    },
    Sample {
        name: "EnableKey",
        parse: |body| parse::<EnableKeyRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "EnableKeyRotation",
        parse: |body| parse::<EnableKeyRotationRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","RotationPeriodInDays":2560}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "Encapsulate",
        parse: |body| parse::<EncapsulateRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""EncapsulationAlgorithm":"ML_KEM","GrantTokens":["token"],"DryRun":true}"#,
        ),
        required: &["KeyId", "EncapsulationAlgorithm"],
    },
    Sample {
        name: "Encrypt",
        parse: |body| parse::<EncryptRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Plaintext":"c2VjcmV0","#,
            r#""EncryptionContext":{"a":"b"},"GrantTokens":["token"],"#,
            r#""EncryptionAlgorithm":"SM2PKE","DryRun":true}"#,
        ),
        required: &["KeyId", "Plaintext"],
    },
    Sample {
        name: "GenerateDataKey",
        parse: |body| parse::<GenerateDataKeyRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","EncryptionContext":{"a":"b"},"#,
            r#""NumberOfBytes":1024,"KeySpec":"AES_128","GrantTokens":["token"],"#,
            r#""Recipient":{"KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256","#,
            r#""AttestationDocument":"c2VjcmV0"},"DryRun":true}"#,
        ),
        required: &["KeyId"],
    },
    Sample {
        name: "GenerateDataKeyPair",
        parse: |body| parse::<GenerateDataKeyPairRequest<'_>>(body),
        body: concat!(
            r#"{"EncryptionContext":{"a":"b"},"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""KeyPairSpec":"ML_KEM_1024","GrantTokens":["token"],"#,
            r#""Recipient":{"KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256","#,
            r#""AttestationDocument":"c2VjcmV0"},"DryRun":true}"#,
        ),
        required: &["KeyId", "KeyPairSpec"],
    },
    Sample {
        name: "GenerateDataKeyPairWithoutPlaintext",
        parse: |body| parse::<GenerateDataKeyPairWithoutPlaintextRequest<'_>>(body),
        body: concat!(
            r#"{"EncryptionContext":{"a":"b"},"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""KeyPairSpec":"ML_KEM_1024","GrantTokens":["token"],"DryRun":true}"#,
        ),
        required: &["KeyId", "KeyPairSpec"],
    },
    Sample {
        name: "GenerateDataKeyWithoutPlaintext",
        parse: |body| parse::<GenerateDataKeyWithoutPlaintextRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","EncryptionContext":{"a":"b"},"#,
            r#""KeySpec":"AES_128","NumberOfBytes":1024,"GrantTokens":["token"],"DryRun":true}"#,
        ),
        required: &["KeyId"],
    },
    Sample {
        name: "GenerateMac",
        parse: |body| parse::<GenerateMacRequest<'_>>(body),
        body: concat!(
            r#"{"Message":"c2VjcmV0","KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""MacAlgorithm":"HMAC_SHA_512","GrantTokens":["token"],"DryRun":true}"#,
        ),
        required: &["Message", "KeyId", "MacAlgorithm"],
    },
    Sample {
        name: "GenerateRandom",
        parse: |body| parse::<GenerateRandomRequest<'_>>(body),
        body: concat!(
            r#"{"NumberOfBytes":1024,"CustomKeyStoreId":"cks-1","#,
            r#""Recipient":{"KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256","#,
            r#""AttestationDocument":"c2VjcmV0"}}"#,
        ),
        required: &[],
    },
    Sample {
        name: "GetKeyLastUsage",
        parse: |body| parse::<GetKeyLastUsageRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "GetKeyPolicy",
        parse: |body| parse::<GetKeyPolicyRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","PolicyName":"default"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "GetKeyRotationStatus",
        parse: |body| parse::<GetKeyRotationStatusRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "GetParametersForImport",
        parse: |body| parse::<GetParametersForImportRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","WrappingAlgorithm":"SM2PKE","#,
            r#""WrappingKeySpec":"SM2"}"#,
        ),
        required: &["KeyId", "WrappingAlgorithm", "WrappingKeySpec"],
    },
    Sample {
        name: "GetPublicKey",
        parse: |body| parse::<GetPublicKeyRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","GrantTokens":["token"]}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "ImportKeyMaterial",
        parse: |body| parse::<ImportKeyMaterialRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","ImportToken":"c2VjcmV0","#,
            r#""EncryptedKeyMaterial":"c2VjcmV0","ValidTo":1720000123.456,"#,
            r#""ExpirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE","#,
            r#""ImportType":"EXISTING_KEY_MATERIAL","KeyMaterialDescription":"mine","#,
            r#""KeyMaterialId":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}"#,
        ),
        required: &["KeyId", "ImportToken", "EncryptedKeyMaterial"],
    },
    Sample {
        name: "ListAliases",
        parse: |body| parse::<ListAliasesRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Limit":1000,"Marker":"bWFyaw"}"#,
        required: &[],
    },
    Sample {
        name: "ListGrants",
        parse: |body| parse::<ListGrantsRequest<'_>>(body),
        body: concat!(
            r#"{"Limit":1000,"Marker":"bWFyaw","KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""GrantId":"abc","GranteePrincipal":"arn:aws:iam::111122223333:role/web","#,
            r#""GranteeServicePrincipal":"logs.us-east-1.amazonaws.com"}"#,
        ),
        required: &["KeyId"],
    },
    Sample {
        name: "ListKeyPolicies",
        parse: |body| parse::<ListKeyPoliciesRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Limit":1000,"Marker":"bWFyaw"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "ListKeyRotations",
        parse: |body| parse::<ListKeyRotationsRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""IncludeKeyMaterial":"ROTATIONS_ONLY","Limit":1000,"Marker":"bWFyaw"}"#,
        ),
        required: &["KeyId"],
    },
    Sample {
        name: "ListKeys",
        parse: |body| parse::<ListKeysRequest<'_>>(body),
        body: r#"{"Limit":1000,"Marker":"bWFyaw","ResourceOwners":["OTHER_ACCOUNTS_VIA_RAM"]}"#,
        required: &[],
    },
    Sample {
        name: "ListResourceTags",
        parse: |body| parse::<ListResourceTagsRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Limit":1000,"Marker":"bWFyaw"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "ListRetirableGrants",
        parse: |body| parse::<ListRetirableGrantsRequest<'_>>(body),
        body: concat!(
            r#"{"Limit":1000,"Marker":"bWFyaw","#,
            r#""RetiringPrincipal":"arn:aws:iam::111122223333:role/web","#,
            r#""RetiringServicePrincipal":"logs.us-east-1.amazonaws.com"}"#,
        ),
        required: &[],
    },
    Sample {
        name: "PutKeyPolicy",
        parse: |body| parse::<PutKeyPolicyRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","PolicyName":"default","#,
            r#""Policy":"{}","BypassPolicyLockoutSafetyCheck":true}"#,
        ),
        required: &["KeyId", "Policy"],
    },
    Sample {
        name: "ReEncrypt",
        parse: |body| parse::<ReEncryptRequest<'_>>(body),
        body: concat!(
            r#"{"CiphertextBlob":"c2VjcmV0","SourceEncryptionContext":{"a":"b"},"#,
            r#""SourceKeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""DestinationKeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""DestinationEncryptionContext":{"a":"b"},"SourceEncryptionAlgorithm":"SM2PKE","#,
            r#""DestinationEncryptionAlgorithm":"SM2PKE","GrantTokens":["token"],"DryRun":true,"#,
            r#""DryRunModifiers":["IGNORE_CIPHERTEXT"]}"#,
        ),
        required: &["DestinationKeyId"],
    },
    Sample {
        name: "ReplicateKey",
        parse: |body| parse::<ReplicateKeyRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","ReplicaRegion":"eu-west-1","#,
            r#""Policy":"{}","BypassPolicyLockoutSafetyCheck":true,"Description":"","#,
            r#""Tags":[{"TagKey":"k","TagValue":"v"}]}"#,
        ),
        required: &["KeyId", "ReplicaRegion"],
    },
    Sample {
        name: "RetireGrant",
        parse: |body| parse::<RetireGrantRequest<'_>>(body),
        body: concat!(
            r#"{"GrantToken":"token","KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""GrantId":"abc","DryRun":true}"#,
        ),
        required: &[],
    },
    Sample {
        name: "RevokeGrant",
        parse: |body| parse::<RevokeGrantRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","GrantId":"abc","DryRun":true}"#,
        required: &["KeyId", "GrantId"],
    },
    Sample {
        name: "RotateKeyOnDemand",
        parse: |body| parse::<RotateKeyOnDemandRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "ScheduleKeyDeletion",
        parse: |body| parse::<ScheduleKeyDeletionRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","PendingWindowInDays":365}"#,
        required: &["KeyId"],
    },
    Sample {
        name: "Sign",
        parse: |body| parse::<SignRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Message":"c2VjcmV0","#,
            r#""MessageType":"EXTERNAL_MU","GrantTokens":["token"],"#,
            r#""SigningAlgorithm":"ED25519_PH_SHA_512","DryRun":true}"#,
        ),
        required: &["KeyId", "Message", "SigningAlgorithm"],
    },
    Sample {
        name: "TagResource",
        parse: |body| parse::<TagResourceRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Tags":[{"TagKey":"k","#,
            r#""TagValue":"v"}]}"#,
        ),
        required: &["KeyId", "Tags"],
    },
    Sample {
        name: "UntagResource",
        parse: |body| parse::<UntagResourceRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","TagKeys":["k"]}"#,
        required: &["KeyId", "TagKeys"],
    },
    Sample {
        name: "UpdateAlias",
        parse: |body| parse::<UpdateAliasRequest<'_>>(body),
        body: r#"{"AliasName":"alias/test","TargetKeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        required: &["AliasName", "TargetKeyId"],
    },
    Sample {
        name: "UpdateCustomKeyStore",
        parse: |body| parse::<UpdateCustomKeyStoreRequest<'_>>(body),
        body: concat!(
            r#"{"CustomKeyStoreId":"cks-1","NewCustomKeyStoreName":"n","#,
            r#""KeyStorePassword":"test-password","CloudHsmClusterId":"cluster-abcdefghijk","#,
            r#""XksProxyUriEndpoint":"https://xks.example","XksProxyUriPath":"/a/kms/xks/v1","#,
            r#""XksProxyVpcEndpointServiceName":"com.amazonaws.vpce.us-east-1.vpce-svc-0123abcd","#,
            r#""XksProxyVpcEndpointServiceOwner":"111122223333","#,
            r#""XksProxyAuthenticationCredential":{"AccessKeyId":"AAAAAAAAAAAAAAAAAAAA","#,
            r#""RawSecretAccessKey":"sssssssssssssssssssssssssssssssssssssssssss"},"#,
            r#""XksProxyConnectivity":"VPC_ENDPOINT_SERVICE"}"#,
        ),
        required: &["CustomKeyStoreId"],
    },
    Sample {
        name: "UpdateKeyDescription",
        parse: |body| parse::<UpdateKeyDescriptionRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Description":""}"#,
        required: &["KeyId", "Description"],
    },
    Sample {
        name: "UpdatePrimaryRegion",
        parse: |body| parse::<UpdatePrimaryRegionRequest<'_>>(body),
        body: r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","PrimaryRegion":"eu-west-1"}"#,
        required: &["KeyId", "PrimaryRegion"],
    },
    Sample {
        name: "Verify",
        parse: |body| parse::<VerifyRequest<'_>>(body),
        body: concat!(
            r#"{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Message":"c2VjcmV0","#,
            r#""MessageType":"EXTERNAL_MU","Signature":"c2VjcmV0","#,
            r#""SigningAlgorithm":"ED25519_PH_SHA_512","GrantTokens":["token"],"DryRun":true}"#,
        ),
        required: &["KeyId", "Message", "Signature", "SigningAlgorithm"],
    },
    Sample {
        name: "VerifyMac",
        parse: |body| parse::<VerifyMacRequest<'_>>(body),
        body: concat!(
            r#"{"Message":"c2VjcmV0","KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","#,
            r#""MacAlgorithm":"HMAC_SHA_512","Mac":"c2VjcmV0","GrantTokens":["token"],"#,
            r#""DryRun":true}"#,
        ),
        required: &["Message", "KeyId", "MacAlgorithm", "Mac"],
    },
];
