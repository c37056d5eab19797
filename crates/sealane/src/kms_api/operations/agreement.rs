//! Shared secrets: DeriveSharedSecret (ECDH), Encapsulate and Decapsulate (ML-KEM).

use std::borrow::Cow;

use keys::asymmetric;
use keys::authorize::{MayAgree, MayVerify};
use keys::policy::facts::FactValue;
use keys::{EncryptionContext, KeyUsage};
use wire::kms::{
    DecapsulateRequest, DecapsulateResponse, DeriveSharedSecretRequest, DeriveSharedSecretResponse,
    EncapsulateRequest, EncapsulateResponse,
};

use super::{Body, Fault, no_recipient, secret, write};
use crate::kms_api::call::{Call, Question};

pub(super) fn derive(
    call: &mut Call,
    request: DeriveSharedSecretRequest<'_>,
) -> Result<Body, Fault> {
    no_recipient(request.recipient.as_ref())?;
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    let algorithm = request.key_agreement_algorithm;
    call.note_name("keyAgreementAlgorithm", algorithm.name());
    let facts = [("kms:keyagreementalgorithm", FactValue::One(algorithm.name()))];
    let none = EncryptionContext::default();
    let question = Question::of("DeriveSharedSecret", &none).with(&facts);
    let permit: MayAgree<'_> = call.permit(&key, KeyUsage::KeyAgreement, &question)?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    let opened = key.opened(permit.newest(), &call.kms.store().ring())?;
    let shared = asymmetric::agree(&permit, &opened, &request.public_key)?;
    write(&DeriveSharedSecretResponse {
        key_id: Cow::Borrowed(&key.arn),
        shared_secret: Some(secret(&shared)),
        ciphertext_for_recipient: None,
        key_agreement_algorithm: algorithm,
        key_origin: super::metadata::origin(key.record.origin),
    })
}

pub(super) fn encapsulate(call: &mut Call, request: EncapsulateRequest<'_>) -> Result<Body, Fault> {
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    let none = EncryptionContext::default();
    let question = Question::of("Encapsulate", &none);
    let permit: MayVerify<'_> = call.permit(&key, KeyUsage::EncapsulateDecapsulate, &question)?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    let made = asymmetric::encapsulate(&permit)?;
    write(&EncapsulateResponse {
        key_id: Cow::Borrowed(&key.arn),
        shared_secret: secret(&made.shared_secret[..]),
        shared_secret_ciphertext_blob: Cow::Borrowed(&made.ciphertext),
        encapsulation_algorithm: request.encapsulation_algorithm,
    })
}

pub(super) fn decapsulate(call: &mut Call, request: DecapsulateRequest<'_>) -> Result<Body, Fault> {
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    let none = EncryptionContext::default();
    let question = Question::of("Decapsulate", &none);
    let permit: MayAgree<'_> = call.permit(&key, KeyUsage::EncapsulateDecapsulate, &question)?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    let opened = key.opened(permit.newest(), &call.kms.store().ring())?;
    let blob = &request.shared_secret_ciphertext_blob;
    let shared = asymmetric::decapsulate(&permit, &opened, blob)?;
    write(&DecapsulateResponse {
        key_id: Cow::Borrowed(&key.arn),
        shared_secret: secret(&shared[..]),
        encapsulation_algorithm: request.encapsulation_algorithm,
    })
}
