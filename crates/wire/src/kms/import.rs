//! Key material of the caller's own.

use std::borrow::Cow;

use super::request::request;
use super::response::response;
use super::rules;
use super::timestamp::Timestamp;
use super::values::{AlgorithmSpec, ExpirationModel, ImportType, WrappingKeySpec};

request! {
    /// Asks for a key to wrap material with.
    pub struct GetParametersForImportRequest<'a>:
        GetParametersForImport -> GetParametersForImportResponse<'r>
    {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "WrappingAlgorithm" wrapping_algorithm: required AlgorithmSpec;
        "WrappingKeySpec" wrapping_key_spec: required WrappingKeySpec;
    }
}

response! {
    /// The public key that wraps, and the token that goes with what it wrapped.
    pub struct GetParametersForImportResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "ImportToken" import_token: Cow<'a, [u8]>;
        "PublicKey" public_key: Cow<'a, [u8]>;
        "ParametersValidTo" parameters_valid_to: Timestamp;
    }
}

request! {
    /// Brings wrapped material.
    pub struct ImportKeyMaterialRequest<'a>: ImportKeyMaterial -> ImportKeyMaterialResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "ImportToken" import_token: required Vec<u8>, rules::CIPHERTEXT;
        "EncryptedKeyMaterial" encrypted_key_material: required Vec<u8>, rules::CIPHERTEXT;
        "ValidTo" valid_to: optional Timestamp;
        "ExpirationModel" expiration_model: optional ExpirationModel;
        "ImportType" import_type: optional ImportType;
        "KeyMaterialDescription" key_material_description: optional Cow<'a, str>,
            rules::KEY_MATERIAL_DESCRIPTION;
        "KeyMaterialId" key_material_id: optional Cow<'a, str>, rules::KEY_MATERIAL_ID;
    }
}

response! {
    /// The material that was taken.
    pub struct ImportKeyMaterialResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "KeyMaterialId" key_material_id: Option<Cow<'a, str>>;
    }
}

request! {
    /// Asks that imported material be erased.
    pub struct DeleteImportedKeyMaterialRequest<'a>:
        DeleteImportedKeyMaterial -> DeleteImportedKeyMaterialResponse<'r>
    {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "KeyMaterialId" key_material_id: optional Cow<'a, str>, rules::KEY_MATERIAL_ID;
    }
}

response! {
    /// The material that was.
    pub struct DeleteImportedKeyMaterialResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "KeyMaterialId" key_material_id: Option<Cow<'a, str>>;
    }
}
