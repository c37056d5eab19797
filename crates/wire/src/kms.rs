//! AWS KMS's own protocol, JSON 1.1: what a request asks for, what is wrong with it in AWS's words,
//! and the bytes of every answer and error.
//!
//! [`Operation::from_target`] names the operation, [`Request::parse`] reads its request from the
//! body, [`Response::to_body`] writes the answer, [`KmsFault::write_body`] an error. Whether a key
//! exists, what it may be used for and who may use it is not known here; [`messages`] has AWS's
//! words for it.
//!
//! An SDK's user reads these messages and programs match them, so they are AWS's to the letter
//! wherever AWS's own answer is on public record, and follow its pattern elsewhere.

mod agreement;
mod aliases;
mod blob;
mod cipher;
mod context;
mod data_keys;
mod fault;
mod faults;
mod grants;
mod import;
mod key_ref;
mod keys;
mod macs;
mod marker;
mod member;
pub mod messages;
mod operation;
mod pending;
mod policies;
mod random;
mod request;
mod response;
mod rotation;
mod rules;
mod signing;
mod tags;
mod timestamp;
mod unsupported;
mod values;

#[cfg(test)]
mod tests;

pub use agreement::{
    DecapsulateRequest, DecapsulateResponse, DeriveSharedSecretRequest, DeriveSharedSecretResponse,
    EncapsulateRequest, EncapsulateResponse,
};
pub use aliases::{
    AliasListEntry, CreateAliasRequest, DeleteAliasRequest, ListAliasesRequest,
    ListAliasesResponse, UpdateAliasRequest,
};
pub use blob::{SecretBlob, SecretBytes};
pub use cipher::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, ReEncryptRequest,
    ReEncryptResponse, RecipientInfo,
};
pub use context::EncryptionContext;
pub use data_keys::{
    GenerateDataKeyPairRequest, GenerateDataKeyPairResponse,
    GenerateDataKeyPairWithoutPlaintextRequest, GenerateDataKeyPairWithoutPlaintextResponse,
    GenerateDataKeyRequest, GenerateDataKeyResponse, GenerateDataKeyWithoutPlaintextRequest,
    GenerateDataKeyWithoutPlaintextResponse,
};
pub use fault::KmsFault;
pub use grants::{
    CreateGrantRequest, CreateGrantResponse, GrantConstraints, GrantListEntry, ListGrantsRequest,
    ListGrantsResponse, ListRetirableGrantsRequest, RetireGrantRequest, RevokeGrantRequest,
};
pub use import::{
    DeleteImportedKeyMaterialRequest, DeleteImportedKeyMaterialResponse,
    GetParametersForImportRequest, GetParametersForImportResponse, ImportKeyMaterialRequest,
    ImportKeyMaterialResponse,
};
pub use key_ref::{AliasArn, KeyArn, KeyRef, KeyRefFault};
pub use keys::{
    CancelKeyDeletionRequest, CancelKeyDeletionResponse, CreateKeyRequest, CreateKeyResponse,
    DescribeKeyRequest, DescribeKeyResponse, DisableKeyRequest, EnableKeyRequest,
    GetKeyLastUsageRequest, GetKeyLastUsageResponse, GetPublicKeyRequest, GetPublicKeyResponse,
    KeyLastUsageData, KeyListEntry, KeyMetadata, ListKeysRequest, ListKeysResponse,
    MultiRegionConfiguration, MultiRegionKey, ScheduleKeyDeletionRequest,
    ScheduleKeyDeletionResponse, UpdateKeyDescriptionRequest, XksKeyConfiguration,
};
pub use macs::{GenerateMacRequest, GenerateMacResponse, VerifyMacRequest, VerifyMacResponse};
pub use marker::{MARKER_BYTES_MAX, Marker, MarkerFault};
pub use operation::{Entry, Family, Operation, Support, TARGET_PREFIX};
pub use pending::{
    ConnectCustomKeyStoreRequest, ConnectCustomKeyStoreResponse, CreateCustomKeyStoreRequest,
    CreateCustomKeyStoreResponse, CustomKeyStoresListEntry, DeleteCustomKeyStoreRequest,
    DeleteCustomKeyStoreResponse, DescribeCustomKeyStoresRequest, DescribeCustomKeyStoresResponse,
    DisconnectCustomKeyStoreRequest, DisconnectCustomKeyStoreResponse, ReplicateKeyRequest,
    ReplicateKeyResponse, UpdateCustomKeyStoreRequest, UpdateCustomKeyStoreResponse,
    UpdatePrimaryRegionRequest, XksProxyAuthenticationCredential, XksProxyConfiguration,
};
pub use policies::{
    GetKeyPolicyRequest, GetKeyPolicyResponse, ListKeyPoliciesRequest, ListKeyPoliciesResponse,
    PutKeyPolicyRequest,
};
pub use random::{GenerateRandomRequest, GenerateRandomResponse};
pub use request::{BODY_BYTES_MAX, Request, RequestFault, SerializationFault};
pub use response::{CONTENT_TYPE, NoOutput, Response};
pub use rotation::{
    DisableKeyRotationRequest, EnableKeyRotationRequest, GetKeyRotationStatusRequest,
    GetKeyRotationStatusResponse, ListKeyRotationsRequest, ListKeyRotationsResponse,
    RotateKeyOnDemandRequest, RotateKeyOnDemandResponse, RotationsListEntry,
};
pub use signing::{SignRequest, SignResponse, VerifyRequest, VerifyResponse};
pub use tags::{
    ListResourceTagsRequest, ListResourceTagsResponse, Tag, TagResourceRequest,
    UntagResourceRequest,
};
pub use timestamp::Timestamp;
pub use unsupported::UnsupportedValue;
pub use values::{
    AlgorithmSpec, ConnectionErrorCode, ConnectionState, CustomKeyStoreType, CustomerMasterKeySpec,
    DataKeyPairSpec, DataKeySpec, DryRunModifier, EncapsulationAlgorithmSpec,
    EncryptionAlgorithmSpec, ExpirationModel, GrantOperation, ImportState, ImportType,
    IncludeKeyMaterial, KeyAgreementAlgorithmSpec, KeyEncryptionMechanism,
    KeyLastUsageTrackingOperation, KeyManager, KeyMaterialState, KeySpec, KeyState, KeyUsage,
    MacAlgorithmSpec, MessageType, MultiRegionKeyType, Origin, ResourceOwner, RotationType,
    SigningAlgorithmSpec, WrappingKeySpec, XksProxyConnectivity,
};
