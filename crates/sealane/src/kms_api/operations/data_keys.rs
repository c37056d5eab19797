//! Data keys, data key pairs, and random bytes.

use std::borrow::Cow;
use std::sync::Arc;

use crypto::{Entropy as _, KeyPair, KeyPairSpec};
use keys::policy::facts::FactValue;
use keys::{EncryptionContext, KeySpec, KeyUsage, encrypt};
use wire::kms::{
    DataKeyPairSpec, DataKeySpec, EncryptionAlgorithmSpec, GenerateDataKeyPairRequest,
    GenerateDataKeyPairResponse, GenerateDataKeyPairWithoutPlaintextRequest,
    GenerateDataKeyPairWithoutPlaintextResponse, GenerateDataKeyRequest, GenerateDataKeyResponse,
    GenerateDataKeyWithoutPlaintextRequest, GenerateDataKeyWithoutPlaintextResponse,
    GenerateRandomRequest, GenerateRandomResponse, KmsFault, messages,
};
use zeroize::Zeroizing;

use super::cipher::{may_wrap, symmetric_material};
use super::{Body, Fault, no_recipient, secret, write};
use crate::kms::KeyEntry;
use crate::kms_api::call::{Call, Question};

/// A data key, and the same encrypted.
struct Made {
    key: Arc<KeyEntry>,
    plaintext: Zeroizing<Vec<u8>>,
    blob: Vec<u8>,
    material: Option<Cow<'static, str>>,
}

/// What both forms of the request ask for.
struct Wanted<'r> {
    action: &'static str,
    key_id: &'r str,
    context: &'r wire::kms::EncryptionContext<'r>,
    spec: Option<DataKeySpec>,
    bytes: Option<i32>,
    grant_tokens: &'r [Cow<'r, str>],
    dry_run: bool,
}

pub(super) fn generate(call: &mut Call, r: GenerateDataKeyRequest<'_>) -> Result<Body, Fault> {
    no_recipient(r.recipient.as_ref())?;
    let wanted = Wanted {
        action: "GenerateDataKey",
        key_id: &r.key_id,
        context: &r.encryption_context,
        spec: r.key_spec,
        bytes: r.number_of_bytes,
        grant_tokens: &r.grant_tokens,
        dry_run: r.dry_run,
    };
    let made = make(call, &wanted)?;
    write(&GenerateDataKeyResponse {
        ciphertext_blob: Cow::Owned(made.blob),
        plaintext: Some(secret(&made.plaintext)),
        key_id: Cow::Borrowed(&made.key.arn),
        ciphertext_for_recipient: None,
        key_material_id: made.material,
    })
}

pub(super) fn generate_wrapped(
    call: &mut Call,
    r: GenerateDataKeyWithoutPlaintextRequest<'_>,
) -> Result<Body, Fault> {
    let wanted = Wanted {
        action: "GenerateDataKeyWithoutPlaintext",
        key_id: &r.key_id,
        context: &r.encryption_context,
        spec: r.key_spec,
        bytes: r.number_of_bytes,
        grant_tokens: &r.grant_tokens,
        dry_run: r.dry_run,
    };
    let made = make(call, &wanted)?;
    write(&GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: Cow::Owned(made.blob),
        key_id: Cow::Borrowed(&made.key.arn),
        key_material_id: made.material,
    })
}

fn make(call: &mut Call, wanted: &Wanted<'_>) -> Result<Made, Fault> {
    let len = match (wanted.spec, wanted.bytes) {
        (Some(DataKeySpec::Aes256), None) => 32,
        (Some(DataKeySpec::Aes128), None) => 16,
        (None, Some(bytes)) => usize::try_from(bytes).unwrap_or_default(),
        _ => return Err(Fault::validation(messages::BYTES_OR_SPEC)),
    };
    let context = call.context("encryptionContext", wanted.context)?;
    let key = call.key(wanted.key_id)?;
    call.grant_tokens(wanted.grant_tokens)?;
    call.note("numberOfBytes", keys::audit_trail::Parameter::Number(len as u64));
    let algorithm = EncryptionAlgorithmSpec::SymmetricDefault;
    let permit = may_wrap(call, &key, wanted.action, algorithm, &context)?;
    symmetric_only(&key)?;
    if wanted.dry_run {
        return Err(Fault::dry_run());
    }
    let mut plaintext = Zeroizing::new(vec![0; len]);
    call.entropy.fill(&mut plaintext);
    let opened = key.opened(permit.newest(), &call.kms.store().ring())?;
    let blob = encrypt::encrypt_with(&permit, &opened, &plaintext, &context, &mut call.entropy)?;
    let material = symmetric_material(&key, opened.id());
    Ok(Made { key, plaintext, blob, material })
}

fn symmetric_only(key: &KeyEntry) -> Result<(), Fault> {
    if key.record.spec == KeySpec::SymmetricDefault {
        return Ok(());
    }
    Err(Fault::new(KmsFault::InvalidKeyUsage, messages::DATA_KEY_OF_ASYMMETRIC))
}

struct MadePair {
    key: Arc<KeyEntry>,
    private: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
    blob: Vec<u8>,
    material: Option<Cow<'static, str>>,
}

pub(super) fn generate_pair(
    call: &mut Call,
    r: GenerateDataKeyPairRequest<'_>,
) -> Result<Body, Fault> {
    no_recipient(r.recipient.as_ref())?;
    let context = call.context("encryptionContext", &r.encryption_context)?;
    call.grant_tokens(&r.grant_tokens)?;
    let action = "GenerateDataKeyPair";
    let made = make_pair(call, action, &r.key_id, &context, r.key_pair_spec, r.dry_run)?;
    write(&GenerateDataKeyPairResponse {
        private_key_ciphertext_blob: Cow::Owned(made.blob),
        private_key_plaintext: Some(secret(&made.private)),
        public_key: Cow::Owned(made.public),
        key_id: Cow::Borrowed(&made.key.arn),
        key_pair_spec: r.key_pair_spec,
        ciphertext_for_recipient: None,
        key_material_id: made.material,
    })
}

pub(super) fn generate_wrapped_pair(
    call: &mut Call,
    r: GenerateDataKeyPairWithoutPlaintextRequest<'_>,
) -> Result<Body, Fault> {
    let context = call.context("encryptionContext", &r.encryption_context)?;
    call.grant_tokens(&r.grant_tokens)?;
    let action = "GenerateDataKeyPairWithoutPlaintext";
    let made = make_pair(call, action, &r.key_id, &context, r.key_pair_spec, r.dry_run)?;
    write(&GenerateDataKeyPairWithoutPlaintextResponse {
        private_key_ciphertext_blob: Cow::Owned(made.blob),
        public_key: Cow::Owned(made.public),
        key_id: Cow::Borrowed(&made.key.arn),
        key_pair_spec: r.key_pair_spec,
        key_material_id: made.material,
    })
}

fn make_pair(
    call: &mut Call,
    action: &'static str,
    key_id: &str,
    context: &EncryptionContext,
    spec: DataKeyPairSpec,
    dry_run: bool,
) -> Result<MadePair, Fault> {
    let key = call.key(key_id)?;
    call.note_name("keyPairSpec", spec.name());
    let facts = [
        ("kms:datakeypairspec", FactValue::One(spec.name())),
        ("kms:encryptionalgorithm", FactValue::One("SYMMETRIC_DEFAULT")),
    ];
    let question = Question::of(action, context).with(&facts);
    let permit = call.permit(&key, KeyUsage::EncryptDecrypt, &question)?;
    symmetric_only(&key)?;
    let unsupported = || {
        let spec = spec.name();
        Fault::unsupported(format!("KeyPairSpec {spec} is not supported by this KMS."))
    };
    let spec = KeyPairSpec::from_name(spec.name()).ok_or_else(unsupported)?;
    if dry_run {
        return Err(Fault::dry_run());
    }
    let pair = KeyPair::generate(spec);
    let (private, public) = (pair.release_pkcs8(), pair.public_key().0);
    let opened = key.opened(permit.newest(), &call.kms.store().ring())?;
    let blob = encrypt::encrypt_with(&permit, &opened, &private, context, &mut call.entropy)?;
    let material = symmetric_material(&key, opened.id());
    Ok(MadePair { key, private, public, blob, material })
}

pub(super) fn random(call: &mut Call, r: GenerateRandomRequest<'_>) -> Result<Body, Fault> {
    no_recipient(r.recipient.as_ref())?;
    if r.custom_key_store_id.is_some() {
        return Err(Fault::unsupported("Custom key stores are not supported by this KMS."));
    }
    let Some(bytes) = r.number_of_bytes else {
        return Err(Fault::validation(messages::NUMBER_OF_BYTES_MISSING));
    };
    let mut plaintext = Zeroizing::new(vec![0; usize::try_from(bytes).unwrap_or_default()]);
    call.entropy.fill(&mut plaintext);
    write(&GenerateRandomResponse {
        plaintext: Some(secret(&plaintext)),
        ciphertext_for_recipient: None,
    })
}
