//! Keys themselves: made, described, disabled, deleted.

use std::borrow::Cow;

use super::request::request;
use super::response::{NoOutput, output, response};
use super::rules;
use super::tags::Tag;
use super::timestamp::Timestamp;
use super::values::{
    CustomerMasterKeySpec, EncapsulationAlgorithmSpec, EncryptionAlgorithmSpec, ExpirationModel,
    KeyAgreementAlgorithmSpec, KeyLastUsageTrackingOperation, KeyManager, KeySpec, KeyState,
    KeyUsage, MacAlgorithmSpec, MultiRegionKeyType, Origin, ResourceOwner, SigningAlgorithmSpec,
};

request! {
    /// Asks for a new key.
    pub struct CreateKeyRequest<'a>: CreateKey -> CreateKeyResponse<'r> {
        "Policy" policy: optional Cow<'a, str>, rules::POLICY;
        "Description" description: optional Cow<'a, str>, rules::DESCRIPTION;
        "KeyUsage" key_usage: optional KeyUsage;
        "CustomerMasterKeySpec" customer_master_key_spec: optional CustomerMasterKeySpec;
        "KeySpec" key_spec: optional KeySpec;
        "Origin" origin: optional Origin;
        "CustomKeyStoreId" custom_key_store_id: optional Cow<'a, str>, rules::CUSTOM_KEY_STORE_ID;
        "BypassPolicyLockoutSafetyCheck" bypass_policy_lockout_safety_check: defaulted bool;
        "Tags" tags: defaulted Vec<Tag<'a>>;
        "MultiRegion" multi_region: defaulted bool;
        "XksKeyId" xks_key_id: optional Cow<'a, str>, rules::XKS_KEY_ID;
    }
}

response! {
    /// The new key.
    pub struct CreateKeyResponse<'a> {
        "KeyMetadata" key_metadata: KeyMetadata<'a>;
    }
}

request! {
    /// Asks what a key is.
    pub struct DescribeKeyRequest<'a>: DescribeKey -> DescribeKeyResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
    }
}

response! {
    /// What it is.
    pub struct DescribeKeyResponse<'a> {
        "KeyMetadata" key_metadata: KeyMetadata<'a>;
    }
}

output! {
    /// All that is public of a key.
    pub struct KeyMetadata<'a> {
        "AWSAccountId" account_id: Cow<'a, str>;
        "KeyId" key_id: Cow<'a, str>;
        "Arn" arn: Cow<'a, str>;
        "CreationDate" creation_date: Timestamp;
        "Enabled" enabled: bool;
        "Description" description: Cow<'a, str>;
        "KeyUsage" key_usage: KeyUsage;
        "KeyState" key_state: KeyState;
        "DeletionDate" deletion_date: Option<Timestamp>;
        "ValidTo" valid_to: Option<Timestamp>;
        "Origin" origin: Origin;
        "CustomKeyStoreId" custom_key_store_id: Option<Cow<'a, str>>;
        "CloudHsmClusterId" cloud_hsm_cluster_id: Option<Cow<'a, str>>;
        "ExpirationModel" expiration_model: Option<ExpirationModel>;
        "KeyManager" key_manager: KeyManager;
        "CustomerMasterKeySpec" customer_master_key_spec: Option<CustomerMasterKeySpec>;
        "KeySpec" key_spec: KeySpec;
        "EncryptionAlgorithms" encryption_algorithms: Option<&'a [EncryptionAlgorithmSpec]>;
        "SigningAlgorithms" signing_algorithms: Option<&'a [SigningAlgorithmSpec]>;
        "KeyAgreementAlgorithms" key_agreement_algorithms: Option<&'a [KeyAgreementAlgorithmSpec]>;
        "EncapsulationAlgorithms" encapsulation_algorithms:
            Option<&'a [EncapsulationAlgorithmSpec]>;
        "MultiRegion" multi_region: bool;
        "MultiRegionConfiguration" multi_region_configuration: Option<MultiRegionConfiguration<'a>>;
        "PendingDeletionWindowInDays" pending_deletion_window_in_days: Option<i32>;
        "MacAlgorithms" mac_algorithms: Option<&'a [MacAlgorithmSpec]>;
        "XksKeyConfiguration" xks_key_configuration: Option<XksKeyConfiguration<'a>>;
        "CurrentKeyMaterialId" current_key_material_id: Option<Cow<'a, str>>;
    }
}

output! {
    /// A key's siblings in other regions.
    pub struct MultiRegionConfiguration<'a> {
        "MultiRegionKeyType" multi_region_key_type: MultiRegionKeyType;
        "PrimaryKey" primary_key: MultiRegionKey<'a>;
        "ReplicaKeys" replica_keys: Vec<MultiRegionKey<'a>>;
    }
}

output! {
    /// One of them.
    pub struct MultiRegionKey<'a> {
        "Arn" arn: Cow<'a, str>;
        "Region" region: Cow<'a, str>;
    }
}

output! {
    /// The external key behind a key.
    pub struct XksKeyConfiguration<'a> {
        "Id" id: Cow<'a, str>;
    }
}

request! {
    /// Asks for the keys of the account.
    pub struct ListKeysRequest<'a>: ListKeys -> ListKeysResponse<'r> {
        "Limit" limit: optional i32, rules::LIMIT;
        "Marker" marker: optional Cow<'a, str>, rules::MARKER;
        "ResourceOwners" resource_owners: optional Vec<ResourceOwner>, rules::RESOURCE_OWNERS;
    }
}

response! {
    /// A page of them.
    pub struct ListKeysResponse<'a> {
        "Keys" keys: Vec<KeyListEntry<'a>>;
        "NextMarker" next_marker: Option<Cow<'a, str>>;
        "Truncated" truncated: bool;
    }
}

output! {
    /// One of them.
    pub struct KeyListEntry<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "KeyArn" key_arn: Cow<'a, str>;
    }
}

request! {
    /// Asks that a key be usable.
    pub struct EnableKeyRequest<'a>: EnableKey -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

request! {
    /// Asks that a key be of no use for now.
    pub struct DisableKeyRequest<'a>: DisableKey -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

request! {
    /// Asks that a key be erased after a time to think.
    pub struct ScheduleKeyDeletionRequest<'a>:
        ScheduleKeyDeletion -> ScheduleKeyDeletionResponse<'r>
    {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "PendingWindowInDays" pending_window_in_days: optional i32, rules::PENDING_WINDOW;
    }
}

response! {
    /// When that will be.
    pub struct ScheduleKeyDeletionResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "DeletionDate" deletion_date: Option<Timestamp>;
        "KeyState" key_state: KeyState;
        "PendingWindowInDays" pending_window_in_days: Option<i32>;
    }
}

request! {
    /// Asks that it be not.
    pub struct CancelKeyDeletionRequest<'a>: CancelKeyDeletion -> CancelKeyDeletionResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

response! {
    /// The key that stays, disabled.
    pub struct CancelKeyDeletionResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
    }
}

request! {
    /// Asks for another description.
    pub struct UpdateKeyDescriptionRequest<'a>: UpdateKeyDescription -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "Description" description: required Cow<'a, str>, rules::DESCRIPTION;
    }
}

request! {
    /// Asks for the public half of an asymmetric key.
    pub struct GetPublicKeyRequest<'a>: GetPublicKey -> GetPublicKeyResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
    }
}

response! {
    /// It, as a DER `SubjectPublicKeyInfo`, and what it is for.
    pub struct GetPublicKeyResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "PublicKey" public_key: Cow<'a, [u8]>;
        "CustomerMasterKeySpec" customer_master_key_spec: Option<CustomerMasterKeySpec>;
        "KeySpec" key_spec: KeySpec;
        "KeyUsage" key_usage: KeyUsage;
        "EncryptionAlgorithms" encryption_algorithms: Option<&'a [EncryptionAlgorithmSpec]>;
        "SigningAlgorithms" signing_algorithms: Option<&'a [SigningAlgorithmSpec]>;
        "KeyAgreementAlgorithms" key_agreement_algorithms: Option<&'a [KeyAgreementAlgorithmSpec]>;
        "EncapsulationAlgorithms" encapsulation_algorithms:
            Option<&'a [EncapsulationAlgorithmSpec]>;
    }
}

request! {
    /// Asks when a key was last used.
    pub struct GetKeyLastUsageRequest<'a>: GetKeyLastUsage -> GetKeyLastUsageResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

response! {
    /// When, if it was since that is kept.
    pub struct GetKeyLastUsageResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "KeyLastUsage" key_last_usage: Option<KeyLastUsageData<'a>>;
        "TrackingStartDate" tracking_start_date: Timestamp;
        "KeyCreationDate" key_creation_date: Timestamp;
    }
}

output! {
    /// The last use.
    pub struct KeyLastUsageData<'a> {
        "Operation" operation: KeyLastUsageTrackingOperation;
        "Timestamp" timestamp: Timestamp;
        "CloudTrailEventId" cloud_trail_event_id: Option<Cow<'a, str>>;
        "KmsRequestId" kms_request_id: Option<Cow<'a, str>>;
    }
}
