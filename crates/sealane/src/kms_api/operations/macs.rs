//! GenerateMac and VerifyMac.

use std::borrow::Cow;
use std::sync::Arc;

use keys::asymmetric::{self, PairError};
use keys::authorize::MayMac;
use keys::policy::facts::FactValue;
use keys::{EncryptionContext, KeySpec, KeyUsage};
use wire::kms::{
    GenerateMacRequest, GenerateMacResponse, KmsFault, MacAlgorithmSpec, VerifyMacRequest,
    VerifyMacResponse, messages,
};

use super::{Body, Fault, write};
use crate::kms::KeyEntry;
use crate::kms_api::call::{Call, Question};

pub(super) fn generate(call: &mut Call, request: GenerateMacRequest<'_>) -> Result<Body, Fault> {
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    let permit = may_mac(call, &key, "GenerateMac", request.mac_algorithm)?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    let opened = key.opened(permit.newest(), &call.kms.store().ring())?;
    let mac = asymmetric::mac(&permit, &opened, request.message.expose())?;
    write(&GenerateMacResponse {
        mac: Cow::Borrowed(mac.as_ref()),
        mac_algorithm: request.mac_algorithm,
        key_id: Cow::Borrowed(&key.arn),
    })
}

pub(super) fn verify(call: &mut Call, request: VerifyMacRequest<'_>) -> Result<Body, Fault> {
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    let permit = may_mac(call, &key, "VerifyMac", request.mac_algorithm)?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    let opened = key.opened(permit.newest(), &call.kms.store().ring())?;
    asymmetric::verify_mac(&permit, &opened, request.message.expose(), &request.mac).map_err(
        |error| match error {
            PairError::Mac(_) => Fault::silent(KmsFault::KmsInvalidMac),
            error => Fault::internal(&error),
        },
    )?;
    write(&VerifyMacResponse {
        key_id: Cow::Borrowed(&key.arn),
        mac_valid: true,
        mac_algorithm: request.mac_algorithm,
    })
}

fn may_mac<'k>(
    call: &mut Call,
    key: &'k Arc<KeyEntry>,
    action: &'static str,
    algorithm: MacAlgorithmSpec,
) -> Result<MayMac<'k>, Fault> {
    call.note_name("macAlgorithm", algorithm.name());
    let facts = [("kms:macalgorithm", FactValue::One(algorithm.name()))];
    let none = EncryptionContext::default();
    let question = Question::of(action, &none).with(&facts);
    let permit = call.permit(key, KeyUsage::GenerateVerifyMac, &question)?;
    match key.record.spec {
        KeySpec::Mac(spec) if spec.algorithm_name() == algorithm.name() => Ok(permit),
        spec => {
            let message = messages::wrong_algorithm(algorithm.name(), super::metadata::spec(spec));
            Err(Fault::new(KmsFault::InvalidKeyUsage, message))
        }
    }
}
