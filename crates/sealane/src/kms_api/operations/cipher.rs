//! Encrypt, Decrypt, ReEncrypt.

use std::borrow::Cow;
use std::sync::Arc;

use crypto::Id;
use keys::authorize::{MayOpen, MayWrap};
use keys::policy::facts::FactValue;
use keys::{EncryptionContext, KeySpec, KeyUsage, encrypt};
use wire::kms::{
    DecryptRequest, DecryptResponse, DryRunModifier, EncryptRequest, EncryptResponse,
    EncryptionAlgorithmSpec, KmsFault, ReEncryptRequest, ReEncryptResponse, messages,
};
use zeroize::Zeroizing;

use super::{Body, Fault, material_id, no_recipient, write};
use crate::kms::KeyEntry;
use crate::kms_api::call::{Call, Question};
use crate::kms_api::key_names::Names;

const ALGORITHM: &str = "kms:encryptionalgorithm";

pub(super) fn encrypt(call: &mut Call, request: EncryptRequest<'_>) -> Result<Body, Fault> {
    let context = call.context("encryptionContext", &request.encryption_context)?;
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    let algorithm =
        request.encryption_algorithm.unwrap_or(EncryptionAlgorithmSpec::SymmetricDefault);
    let permit = may_wrap(call, &key, "Encrypt", algorithm, &context)?;
    check_algorithm(&key, algorithm, &context)?;
    call.note_name("encryptionAlgorithm", algorithm.name());
    check_plaintext(&key, algorithm, request.plaintext.expose().len())?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    let blob = seal(call, &key, &permit, algorithm, request.plaintext.expose(), &context)?;
    write(&EncryptResponse {
        ciphertext_blob: Cow::Owned(blob),
        key_id: Cow::Borrowed(&key.arn),
        encryption_algorithm: algorithm,
    })
}

pub(super) fn decrypt(call: &mut Call, request: DecryptRequest<'_>) -> Result<Body, Fault> {
    let context = call.context("encryptionContext", &request.encryption_context)?;
    no_recipient(request.recipient.as_ref())?;
    call.grant_tokens(&request.grant_tokens)?;
    let algorithm =
        request.encryption_algorithm.unwrap_or(EncryptionAlgorithmSpec::SymmetricDefault);
    let blob = request.ciphertext_blob.as_deref();
    let key = source_key(call, request.key_id.as_deref(), algorithm, blob)?;
    let permit = may_open(call, &key, "Decrypt", algorithm, &context)?;
    check_algorithm(&key, algorithm, &context)?;
    call.note_name("encryptionAlgorithm", algorithm.name());
    let asked_alone = request.dry_run && ignores_ciphertext(&request.dry_run_modifiers);
    let Some(blob) = blob.filter(|_| !asked_alone) else { return Err(Fault::dry_run()) };
    let (plaintext, material) = open(call, &key, &permit, algorithm, blob, &context)?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    write(&DecryptResponse {
        key_id: Cow::Borrowed(&key.arn),
        plaintext: Some(super::secret(&plaintext)),
        encryption_algorithm: algorithm,
        ciphertext_for_recipient: None,
        key_material_id: material.map(|material| material_id(key.record.id, material)),
    })
}

pub(super) fn re_encrypt(call: &mut Call, request: ReEncryptRequest<'_>) -> Result<Body, Fault> {
    let from = call.context("sourceEncryptionContext", &request.source_encryption_context)?;
    let to =
        call.context("destinationEncryptionContext", &request.destination_encryption_context)?;
    call.grant_tokens(&request.grant_tokens)?;
    let default = EncryptionAlgorithmSpec::SymmetricDefault;
    let from_algorithm = request.source_encryption_algorithm.unwrap_or(default);
    let to_algorithm = request.destination_encryption_algorithm.unwrap_or(default);
    let blob = request.ciphertext_blob.as_deref();
    let source = source_key(call, request.source_key_id.as_deref(), from_algorithm, blob)?;
    let destination = call.find(&request.destination_key_id, Names::AliasesToo)?;
    call.keys.push(Arc::clone(&destination.arn));
    call.note_text("destinationKeyId", &request.destination_key_id);
    let same = FactValue::Bool(source.record.id == destination.record.id);
    let facts = |algorithm: EncryptionAlgorithmSpec| {
        [(ALGORITHM, FactValue::One(algorithm.name())), ("kms:reencryptonsamekey", same)]
    };
    let usage = KeyUsage::EncryptDecrypt;
    let asked = facts(from_algorithm);
    let question = Question::of("ReEncryptFrom", &from).with(&asked);
    let may_open: MayOpen<'_> = call.permit(&source, usage, &question)?;
    let asked = facts(to_algorithm);
    let question = Question::of("ReEncryptTo", &to).with(&asked);
    let may_wrap: MayWrap<'_> = call.permit(&destination, usage, &question)?;
    check_algorithm(&source, from_algorithm, &from)?;
    check_algorithm(&destination, to_algorithm, &to)?;
    let asked_alone = request.dry_run && ignores_ciphertext(&request.dry_run_modifiers);
    let Some(blob) = blob.filter(|_| !asked_alone) else { return Err(Fault::dry_run()) };
    let (plaintext, material) = open(call, &source, &may_open, from_algorithm, blob, &from)?;
    check_plaintext(&destination, to_algorithm, plaintext.len())?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    let sealed = seal(call, &destination, &may_wrap, to_algorithm, &plaintext, &to)?;
    let newest = symmetric_material(&destination, may_wrap.newest().id);
    write(&ReEncryptResponse {
        ciphertext_blob: Cow::Owned(sealed),
        source_key_id: Cow::Borrowed(&source.arn),
        key_id: Cow::Borrowed(&destination.arn),
        source_encryption_algorithm: from_algorithm,
        destination_encryption_algorithm: to_algorithm,
        source_key_material_id: material.map(|material| material_id(source.record.id, material)),
        destination_key_material_id: newest,
    })
}

/// Whether a dry run asks for permission alone, and not whether the ciphertext would open.
fn ignores_ciphertext(modifiers: &[DryRunModifier]) -> bool {
    modifiers.contains(&DryRunModifier::IgnoreCiphertext)
}

/// The id of a symmetric key's material, as answers name it; asymmetric keys have none.
pub(super) fn symmetric_material(key: &KeyEntry, material: Id) -> Option<Cow<'static, str>> {
    let symmetric = key.record.spec == KeySpec::SymmetricDefault;
    symmetric.then(|| material_id(key.record.id, material))
}

pub(super) fn may_wrap<'k>(
    call: &Call,
    key: &'k KeyEntry,
    action: &'static str,
    algorithm: EncryptionAlgorithmSpec,
    context: &EncryptionContext,
) -> Result<MayWrap<'k>, Fault> {
    let facts = [(ALGORITHM, FactValue::One(algorithm.name()))];
    let question = Question::of(action, context).with(&facts);
    call.permit(key, KeyUsage::EncryptDecrypt, &question)
}

fn may_open<'k>(
    call: &Call,
    key: &'k KeyEntry,
    action: &'static str,
    algorithm: EncryptionAlgorithmSpec,
    context: &EncryptionContext,
) -> Result<MayOpen<'k>, Fault> {
    let facts = [(ALGORITHM, FactValue::One(algorithm.name()))];
    let question = Question::of(action, context).with(&facts);
    call.permit(key, KeyUsage::EncryptDecrypt, &question)
}

/// The key that is named, or that the ciphertext itself names.
fn source_key(
    call: &mut Call,
    name: Option<&str>,
    algorithm: EncryptionAlgorithmSpec,
    blob: Option<&[u8]>,
) -> Result<Arc<KeyEntry>, Fault> {
    if let Some(name) = name {
        return call.key(name);
    }
    if algorithm != EncryptionAlgorithmSpec::SymmetricDefault {
        return Err(Fault::validation("KeyId is required to decrypt with an asymmetric KMS key."));
    }
    let Some(blob) = blob else {
        return Err(Fault::validation("KeyId is required where there is no ciphertext."));
    };
    let id = encrypt::key_of_blob(blob)?;
    // A blob of another KMS names a key that is not here: it is no ciphertext of ours.
    let key = call.find(&id.to_string(), Names::KeysOnly);
    let foreign = |fault: Fault| match fault.is(KmsFault::NotFound) {
        true => Fault::silent(KmsFault::InvalidCiphertext),
        false => fault,
    };
    let key = key.map_err(foreign)?;
    call.keys.push(Arc::clone(&key.arn));
    Ok(key)
}

/// Whether the key encrypts so, and would bind the context: one that is merely dropped protects
/// nothing, and nobody would notice.
fn check_algorithm(
    key: &KeyEntry,
    algorithm: EncryptionAlgorithmSpec,
    context: &EncryptionContext,
) -> Result<(), Fault> {
    let fits = match key.record.spec {
        KeySpec::SymmetricDefault => algorithm == EncryptionAlgorithmSpec::SymmetricDefault,
        KeySpec::Pair(_) => pair_algorithm(algorithm).is_some(),
        KeySpec::Mac(_) => false,
    };
    if fits && algorithm != EncryptionAlgorithmSpec::SymmetricDefault && !context.pairs().is_empty()
    {
        return Err(Fault::validation(messages::CONTEXT_OF_ASYMMETRIC));
    }
    if fits {
        return Ok(());
    }
    let spec = super::metadata::spec(key.record.spec);
    Err(Fault::new(KmsFault::InvalidKeyUsage, messages::wrong_algorithm(algorithm.name(), spec)))
}

fn pair_algorithm(algorithm: EncryptionAlgorithmSpec) -> Option<crypto::EncryptionAlgorithm> {
    crypto::EncryptionAlgorithm::from_name(algorithm.name())
}

fn check_plaintext(
    key: &KeyEntry,
    algorithm: EncryptionAlgorithmSpec,
    len: usize,
) -> Result<(), Fault> {
    let KeySpec::Pair(pair) = key.record.spec else { return Ok(()) };
    let max = pair_algorithm(algorithm).and_then(|algorithm| pair.plaintext_bytes_max(algorithm));
    match max {
        Some(max) if len > max => {
            let spec = super::metadata::spec(key.record.spec);
            Err(Fault::validation(messages::plaintext_too_long(algorithm.name(), spec, max)))
        }
        _ => Ok(()),
    }
}

/// Symmetric or by RSA, as the key is. The algorithm was checked.
pub(super) fn seal(
    call: &mut Call,
    key: &KeyEntry,
    permit: &MayWrap<'_>,
    algorithm: EncryptionAlgorithmSpec,
    plaintext: &[u8],
    context: &EncryptionContext,
) -> Result<Vec<u8>, Fault> {
    if let Some(algorithm) = pair_algorithm(algorithm) {
        return Ok(encrypt::encrypt_with_pair(permit, algorithm, plaintext)?);
    }
    let opened = key.opened(permit.newest(), &call.kms.store().ring())?;
    Ok(encrypt::encrypt_with(permit, &opened, plaintext, context, &mut call.entropy)?)
}

fn open(
    call: &Call,
    key: &KeyEntry,
    permit: &MayOpen<'_>,
    algorithm: EncryptionAlgorithmSpec,
    blob: &[u8],
    context: &EncryptionContext,
) -> Result<(Zeroizing<Vec<u8>>, Option<Id>), Fault> {
    let ring = || call.kms.store().ring();
    if let Some(algorithm) = pair_algorithm(algorithm) {
        let opened = key.opened(permit.newest(), &ring())?;
        return Ok((encrypt::decrypt_with_pair(permit, &opened, algorithm, blob)?, None));
    }
    let id = encrypt::material_of_blob(key.record.id, blob)?;
    let material = permit.material(&id);
    let material = material.ok_or_else(|| Fault::silent(KmsFault::InvalidCiphertext))?;
    let opened = key.opened(material, &ring())?;
    Ok((encrypt::decrypt_with(permit, &opened, blob, context)?, Some(id)))
}
