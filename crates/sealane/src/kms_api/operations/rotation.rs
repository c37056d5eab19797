//! Rotation: automatic, on demand, and what there was.

use std::borrow::Cow;

use keys::policy::facts::FactValue;
use keys::{
    EncryptionContext, KeySpec, KeyState, Material, Origin, RotationKind, RotationSchedule,
    UnixSeconds,
};
use wire::kms::{
    DisableKeyRotationRequest, EnableKeyRotationRequest, ExpirationModel,
    GetKeyRotationStatusRequest, GetKeyRotationStatusResponse, ImportState, IncludeKeyMaterial,
    KeyMaterialState, ListKeyRotationsRequest, ListKeyRotationsResponse, NoOutput,
    RotateKeyOnDemandRequest, RotateKeyOnDemandResponse, RotationType, RotationsListEntry,
    messages,
};

use super::metadata::{origin, time};
use super::{Body, Fault, material_id, pages, write};
use crate::kms::KeyEntry;
use crate::kms_api::call::{Call, Question};

const DAY_SECONDS: u64 = 24 * 60 * 60;
const PERIOD_DAYS_DEFAULT: u32 = 365;

pub(super) fn enable(
    call: &mut Call,
    request: EnableKeyRotationRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    let days = request.rotation_period_in_days;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let period = days.and_then(|days| u32::try_from(days).ok());
        // Asking again without a period keeps the one there is.
        let before = key.record.rotation.map(|rotation| rotation.period_days);
        let period_days = period.or(before).unwrap_or(PERIOD_DAYS_DEFAULT);
        let facts = [("kms:rotationperiodindays", FactValue::Number(i64::from(period_days)))];
        let none = EncryptionContext::default();
        let question = Question::of("EnableKeyRotation", &none).with(&facts);
        let permit = call.may_administer(&key, &question)?;
        can_rotate(&key)?;
        key.record.enabled().map_err(|state| Fault::of_state(&key.arn, state))?;
        if key.record.rotation.is_some_and(|rotation| rotation.period_days == period_days) {
            return Ok(());
        }
        let next = UnixSeconds(call.now().0 + u64::from(period_days) * DAY_SECONDS);
        let rotation = Some(RotationSchedule { period_days, next });
        let changed = permit.describe(|said| *said.rotation = rotation);
        Ok(change.put_key(&changed)?)
    })?;
    write(&NoOutput)
}

pub(super) fn disable(
    call: &mut Call,
    request: DisableKeyRotationRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let none = EncryptionContext::default();
        let permit = call.may_administer(&key, &Question::of("DisableKeyRotation", &none))?;
        can_rotate(&key)?;
        key.record.enabled().map_err(|state| Fault::of_state(&key.arn, state))?;
        let changed = permit.describe(|said| *said.rotation = None);
        Ok(change.put_key(&changed)?)
    })?;
    write(&NoOutput)
}

/// Only keys whose material the KMS makes rotate by themselves.
fn can_rotate(key: &KeyEntry) -> Result<(), Fault> {
    if key.record.spec != KeySpec::SymmetricDefault {
        return Err(Fault::unsupported(
            "The operation is only supported on symmetric encryption keys.",
        ));
    }
    match key.record.origin {
        Origin::Kms => Ok(()),
        external => Err(Fault::unsupported(messages::wrong_origin(&key.arn, origin(external)))),
    }
}

pub(super) fn status(
    call: &mut Call,
    request: GetKeyRotationStatusRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.require(&key, &Question::of("GetKeyRotationStatus", &EncryptionContext::default()))?;
    if key.record.spec != KeySpec::SymmetricDefault {
        return Err(Fault::unsupported(
            "The operation is only supported on symmetric encryption keys.",
        ));
    }
    let pending = matches!(key.record.state, KeyState::PendingDeletion(_));
    let rotation = key.record.rotation.filter(|_| !pending);
    write(&GetKeyRotationStatusResponse {
        key_rotation_enabled: rotation.is_some(),
        key_id: Cow::Borrowed(&key.arn),
        rotation_period_in_days: rotation.and_then(|r| i32::try_from(r.period_days).ok()),
        next_rotation_date: rotation.map(|rotation| time(rotation.next)),
        // A rotation on demand takes no time here.
        on_demand_rotation_start_date: None,
    })
}

pub(super) fn on_demand(
    call: &mut Call,
    request: RotateKeyOnDemandRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let none = EncryptionContext::default();
        let permit = call.may_administer(&key, &Question::of("RotateKeyOnDemand", &none))?;
        let now = call.now();
        let rotated = permit
            .rotate(RotationKind::OnDemand, change.ring(), now, &mut call.entropy)
            .map_err(|error| Fault::of_rotation(&key.arn, &error))?;
        Ok(change.put_key(&rotated)?)
    })?;
    write(&RotateKeyOnDemandResponse { key_id: Cow::Borrowed(&key.arn) })
}

pub(super) fn list(call: &mut Call, request: ListKeyRotationsRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.require(&key, &Question::of("ListKeyRotations", &EncryptionContext::default()))?;
    if key.record.spec != KeySpec::SymmetricDefault {
        return Err(Fault::unsupported(
            "The operation is only supported on symmetric encryption keys.",
        ));
    }
    let record = &key.record;
    let all = request.include_key_material == Some(IncludeKeyMaterial::AllKeyMaterial);
    let pending = record.next_material.iter().map(|material| (material, true));
    let known = record.materials().iter().map(|material| (material, false)).chain(pending);
    let shown: Vec<_> =
        known.filter(|(material, _)| all || material.rotation.is_some()).enumerate().collect();
    let limit = pages::limit(request.limit, 100, 1000);
    // Their order is their age, so the marker carries the place.
    let place = |(at, _): &(usize, (&Material, bool))| format!("{at:08}");
    let (page, next) = pages::of_slice(&shown, place, request.marker.as_deref(), limit)?;
    let current = record.newest_material().map(|material| material.id);
    let rotations = page.iter().map(|(_, (material, pending))| {
        let state = match (pending, Some(material.id) == current) {
            (true, _) => KeyMaterialState::PendingRotation,
            (false, true) => KeyMaterialState::Current,
            (false, false) => KeyMaterialState::NonCurrent,
        };
        entry(&key, material, state)
    });
    let rotations = rotations.collect();
    let truncated = next.is_some();
    let next_marker = next.map(Cow::Owned);
    write(&ListKeyRotationsResponse { rotations, next_marker, truncated })
}

fn entry<'a>(
    key: &KeyEntry,
    material: &'a Material,
    state: KeyMaterialState,
) -> RotationsListEntry<'a> {
    let imported = material.imported.as_ref();
    RotationsListEntry {
        key_id: Cow::Owned(key.record.id.to_string()),
        key_material_id: Some(material_id(key.record.id, material.id)),
        key_material_description: imported
            .and_then(|imported| imported.description.as_deref())
            .map(Cow::Borrowed),
        import_state: imported.map(|_| match material.is_held() {
            true => ImportState::Imported,
            false => ImportState::PendingImport,
        }),
        key_material_state: Some(state),
        expiration_model: imported.filter(|_| material.is_held()).map(|imported| {
            match imported.expires {
                Some(_) => ExpirationModel::KeyMaterialExpires,
                None => ExpirationModel::KeyMaterialDoesNotExpire,
            }
        }),
        valid_to: material.expires().map(time),
        rotation_date: material.rotation.map(|_| time(material.created)),
        rotation_type: material.rotation.map(|kind| match kind {
            RotationKind::Automatic => RotationType::Automatic,
            RotationKind::OnDemand => RotationType::OnDemand,
        }),
    }
}
