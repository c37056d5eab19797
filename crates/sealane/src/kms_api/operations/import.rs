//! Key material from outside.

use std::borrow::Cow;

use crypto::Id;
use crypto::import::{WrappingAlgorithm, WrappingKeySpec};
use keys::import_token::{ImportParameters, ImportTokenError, unwrap_import};
use keys::policy::facts::FactValue;
use keys::{EncryptionContext, KeyRecord, KeySpec, NewImport, Origin, UnixSeconds, WhichMaterial};
use wire::kms::{
    DeleteImportedKeyMaterialRequest, DeleteImportedKeyMaterialResponse, ExpirationModel,
    GetParametersForImportRequest, GetParametersForImportResponse, ImportKeyMaterialRequest,
    ImportKeyMaterialResponse, ImportType, KmsFault, Timestamp, messages,
};

use super::metadata::{origin, time};
use super::{Body, Fault, material_id, write};
use crate::kms::{KeyEntry, material_name};
use crate::kms_api::call::{Call, Question};

/// Imported material that expires does so within a year, as AWS has it.
const VALID_DAYS_MAX: u64 = 365;

pub(super) fn parameters(
    call: &mut Call,
    request: GetParametersForImportRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    let (algorithm, spec) = (request.wrapping_algorithm, request.wrapping_key_spec);
    call.note_name("wrappingAlgorithm", algorithm.name());
    call.note_name("wrappingKeySpec", spec.name());
    let facts = [
        ("kms:wrappingalgorithm", FactValue::One(algorithm.name())),
        ("kms:wrappingkeyspec", FactValue::One(spec.name())),
    ];
    let none = EncryptionContext::default();
    let question = Question::of("GetParametersForImport", &none).with(&facts);
    let permit = call.may_administer(&key, &question)?;
    external(&key)?;
    super::keys::not_doomed(&key)?;
    let unsupported = |name: &str| {
        Fault::unsupported(format!("{name} is not supported by this KMS for imports."))
    };
    let algorithm = WrappingAlgorithm::from_name(algorithm.name())
        .ok_or_else(|| unsupported(algorithm.name()))?;
    let spec = WrappingKeySpec::from_name(spec.name()).ok_or_else(|| unsupported(spec.name()))?;
    let (ring, now) = (call.kms.store().ring(), call.now());
    let made = ImportParameters::generate(&permit, spec, algorithm, &ring, now, &mut call.entropy);
    write(&GetParametersForImportResponse {
        key_id: Cow::Borrowed(&key.arn),
        import_token: Cow::Owned(made.token),
        public_key: Cow::Owned(made.public_key.0),
        parameters_valid_to: time(made.valid_to),
    })
}

pub(super) fn import(
    call: &mut Call,
    request: ImportKeyMaterialRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    let expires = expiry(call, &request)?;
    let model = request.expiration_model.unwrap_or(ExpirationModel::KeyMaterialExpires);
    let material = call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let facts = [
            ("kms:expirationmodel", FactValue::One(model.name())),
            ("kms:validto", expires.map_or(FactValue::Absent, FactValue::Time)),
        ];
        let none = EncryptionContext::default();
        let question = Question::of("ImportKeyMaterial", &none).with(&facts);
        let permit = call.may_administer(&key, &question)?;
        external(&key)?;
        let (token, wrapped) = (&request.import_token, &request.encrypted_key_material);
        let now = call.now();
        let secret =
            unwrap_import(&permit, token, wrapped, change.ring(), now).map_err(of_token)?;
        let which = which(&key.record, &request)?;
        let description = request.key_material_description.as_deref().map(str::to_owned);
        let new = NewImport { secret: &secret, description, expires };
        let before = ids(&key.record);
        let imported = permit
            .import(which, &new, change.ring(), now, &mut call.entropy)
            .map_err(|error| Fault::of_import(&key.arn, &error))?;
        change.put_key(&imported)?;
        Ok(changed_material(&imported, which, &before))
    })?;
    write(&ImportKeyMaterialResponse {
        key_id: Cow::Borrowed(&key.arn),
        key_material_id: material.map(|material| material_id(key.record.id, material)),
    })
}

pub(super) fn delete(
    call: &mut Call,
    request: DeleteImportedKeyMaterialRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    let deleted = call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let none = EncryptionContext::default();
        let question = Question::of("DeleteImportedKeyMaterial", &none);
        let permit = call.may_administer(&key, &question)?;
        external(&key)?;
        let wanted = match &request.key_material_id {
            None => None,
            Some(name) => Some(named(&key.record, name)?),
        };
        let deleted = wanted.or_else(|| key.record.newest_material().map(|material| material.id));
        let left =
            permit.delete_imported(wanted).map_err(|error| Fault::of_import(&key.arn, &error))?;
        change.put_key(&left)?;
        Ok(deleted)
    })?;
    write(&DeleteImportedKeyMaterialResponse {
        key_id: Cow::Borrowed(&key.arn),
        key_material_id: deleted.map(|material| material_id(key.record.id, material)),
    })
}

fn external(key: &KeyEntry) -> Result<(), Fault> {
    match key.record.origin {
        Origin::External => Ok(()),
        made_here => Err(Fault::unsupported(messages::wrong_origin(&key.arn, origin(made_here)))),
    }
}

/// When the material is to be gone; `None`: never.
fn expiry(
    call: &Call,
    request: &ImportKeyMaterialRequest<'_>,
) -> Result<Option<UnixSeconds>, Fault> {
    let expires = request.expiration_model != Some(ExpirationModel::KeyMaterialDoesNotExpire);
    let Some(Timestamp { unix_millis }) = request.valid_to else {
        return match expires {
            true => Err(Fault::validation(messages::VALID_TO_MISSING)),
            false => Ok(None),
        };
    };
    if !expires {
        let message = "A validTo date must not be set if the ExpirationModel is \
             KEY_MATERIAL_DOES_NOT_EXPIRE";
        return Err(Fault::validation(message));
    }
    let at = UnixSeconds(u64::try_from(unix_millis / 1000).unwrap_or_default());
    if at <= call.now() {
        return Err(Fault::validation("The validTo date must be in the future."));
    }
    if at.0 - call.now().0 > VALID_DAYS_MAX * 24 * 60 * 60 {
        let message =
            format!("The validTo date must be no more than {VALID_DAYS_MAX} days from now.");
        return Err(Fault::validation(message));
    }
    Ok(Some(at))
}

fn which(
    record: &KeyRecord,
    request: &ImportKeyMaterialRequest<'_>,
) -> Result<WhichMaterial, Fault> {
    let said = request.key_material_id.is_some() || request.import_type.is_some();
    if said && record.spec != KeySpec::SymmetricDefault {
        return Err(Fault::validation(
            "ImportType and KeyMaterialId are for symmetric encryption keys.",
        ));
    }
    if request.import_type == Some(ImportType::ExistingKeyMaterial) && ids(record).is_empty() {
        return Err(Fault::validation(
            "There is no key material yet that this could be: ImportType is NEW_KEY_MATERIAL.",
        ));
    }
    match (&request.key_material_id, request.import_type) {
        (Some(_), Some(ImportType::NewKeyMaterial)) => {
            Err(Fault::validation("KeyMaterialId names existing key material."))
        }
        (Some(name), _) => named(record, name).map(WhichMaterial::Existing),
        (None, Some(ImportType::NewKeyMaterial)) => Ok(WhichMaterial::New),
        (None, _) => Ok(WhichMaterial::Only),
    }
}

fn named(record: &KeyRecord, name: &str) -> Result<Id, Fault> {
    let found = ids(record).into_iter().find(|id| material_name(record.id, *id) == name);
    found.ok_or_else(|| {
        let message = format!("Key material {name} does not exist.");
        Fault::new(KmsFault::NotFound, message)
    })
}

fn ids(record: &KeyRecord) -> Vec<Id> {
    record.materials().iter().chain(&record.next_material).map(|material| material.id).collect()
}

/// The one that was brought: named, new, or the one there is.
fn changed_material(record: &KeyRecord, which: WhichMaterial, before: &[Id]) -> Option<Id> {
    match which {
        WhichMaterial::Existing(id) => Some(id),
        WhichMaterial::New | WhichMaterial::Only => {
            let added = ids(record).into_iter().find(|id| !before.contains(id));
            added.or_else(|| record.newest_material().map(|material| material.id))
        }
    }
}

fn of_token(error: ImportTokenError) -> Fault {
    match error {
        ImportTokenError::Invalid => Fault::silent(KmsFault::InvalidImportToken),
        ImportTokenError::Expired => Fault::silent(KmsFault::ExpiredImportToken),
        // Which layer failed is not told: that would help whoever forges.
        ImportTokenError::Unwrap(_) => Fault::silent(KmsFault::InvalidCiphertext),
    }
}
