//! Rotation of key material.

use std::borrow::Cow;

use super::request::request;
use super::response::{NoOutput, output, response};
use super::rules;
use super::timestamp::Timestamp;
use super::values::{
    ExpirationModel, ImportState, IncludeKeyMaterial, KeyMaterialState, RotationType,
};

request! {
    /// Asks that a key rotate by itself.
    pub struct EnableKeyRotationRequest<'a>: EnableKeyRotation -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "RotationPeriodInDays" rotation_period_in_days: optional i32, rules::ROTATION_PERIOD;
    }
}

request! {
    /// Asks that it do not.
    pub struct DisableKeyRotationRequest<'a>: DisableKeyRotation -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

request! {
    /// Asks whether it does.
    pub struct GetKeyRotationStatusRequest<'a>:
        GetKeyRotationStatus -> GetKeyRotationStatusResponse<'r>
    {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

response! {
    /// Whether, how often, and when next.
    pub struct GetKeyRotationStatusResponse<'a> {
        "KeyRotationEnabled" key_rotation_enabled: bool;
        "KeyId" key_id: Cow<'a, str>;
        "RotationPeriodInDays" rotation_period_in_days: Option<i32>;
        "NextRotationDate" next_rotation_date: Option<Timestamp>;
        "OnDemandRotationStartDate" on_demand_rotation_start_date: Option<Timestamp>;
    }
}

request! {
    /// Asks for a rotation now.
    pub struct RotateKeyOnDemandRequest<'a>: RotateKeyOnDemand -> RotateKeyOnDemandResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

response! {
    /// The key that will rotate.
    pub struct RotateKeyOnDemandResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
    }
}

request! {
    /// Asks for the rotations of a key so far.
    pub struct ListKeyRotationsRequest<'a>: ListKeyRotations -> ListKeyRotationsResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "IncludeKeyMaterial" include_key_material: optional IncludeKeyMaterial;
        "Limit" limit: optional i32, rules::LIMIT;
        "Marker" marker: optional Cow<'a, str>, rules::MARKER;
    }
}

response! {
    /// A page of them.
    pub struct ListKeyRotationsResponse<'a> {
        "Rotations" rotations: Vec<RotationsListEntry<'a>>;
        "NextMarker" next_marker: Option<Cow<'a, str>>;
        "Truncated" truncated: bool;
    }
}

output! {
    /// One of them.
    pub struct RotationsListEntry<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "KeyMaterialId" key_material_id: Option<Cow<'a, str>>;
        "KeyMaterialDescription" key_material_description: Option<Cow<'a, str>>;
        "ImportState" import_state: Option<ImportState>;
        "KeyMaterialState" key_material_state: Option<KeyMaterialState>;
        "ExpirationModel" expiration_model: Option<ExpirationModel>;
        "ValidTo" valid_to: Option<Timestamp>;
        "RotationDate" rotation_date: Option<Timestamp>;
        "RotationType" rotation_type: Option<RotationType>;
    }
}
