//! Sign and Verify.

use std::borrow::Cow;

use crypto::SigningAlgorithm;
use crypto::key_pair::{Message, MessageError, SignError, VerifyError};
use keys::asymmetric::{self, PairError};
use keys::authorize::{MaySign, MayVerify};
use keys::policy::facts::FactValue;
use keys::{EncryptionContext, KeySpec, KeyUsage};
use wire::kms::{
    KmsFault, MessageType, SignRequest, SignResponse, SigningAlgorithmSpec, VerifyRequest,
    VerifyResponse, messages,
};

use super::{Body, Fault, write};
use crate::kms::KeyEntry;
use crate::kms_api::call::{Call, Question};

pub(super) fn sign(call: &mut Call, request: SignRequest<'_>) -> Result<Body, Fault> {
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    let (kind, spec) = noted(call, request.message_type, request.signing_algorithm);
    let (facts, none) = (facts(kind, spec), EncryptionContext::default());
    let question = Question::of("Sign", &none).with(&facts);
    let permit: MaySign<'_> = call.permit(&key, KeyUsage::SignVerify, &question)?;
    let algorithm = algorithm(&key, spec)?;
    let message = message(&key, kind, spec, request.message.expose())?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    let opened = key.opened(permit.newest(), &call.kms.store().ring())?;
    let signature = asymmetric::sign(&permit, &opened, algorithm, message)
        .map_err(|error| of_message(error, kind, spec, &key))?;
    write(&SignResponse {
        key_id: Cow::Borrowed(&key.arn),
        signature: Cow::Owned(signature),
        signing_algorithm: spec,
    })
}

pub(super) fn verify(call: &mut Call, request: VerifyRequest<'_>) -> Result<Body, Fault> {
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    let (kind, spec) = noted(call, request.message_type, request.signing_algorithm);
    let (facts, none) = (facts(kind, spec), EncryptionContext::default());
    let question = Question::of("Verify", &none).with(&facts);
    let permit: MayVerify<'_> = call.permit(&key, KeyUsage::SignVerify, &question)?;
    let algorithm = algorithm(&key, spec)?;
    let message = message(&key, kind, spec, request.message.expose())?;
    if request.dry_run {
        return Err(Fault::dry_run());
    }
    asymmetric::verify(&permit, algorithm, message, &request.signature)
        .map_err(|error| of_message(error, kind, spec, &key))?;
    write(&VerifyResponse {
        key_id: Cow::Borrowed(&key.arn),
        signature_valid: true,
        signing_algorithm: spec,
    })
}

fn noted(
    call: &mut Call,
    kind: Option<MessageType>,
    spec: SigningAlgorithmSpec,
) -> (MessageType, SigningAlgorithmSpec) {
    let kind = kind.unwrap_or(MessageType::Raw);
    call.note_name("messageType", kind.name());
    call.note_name("signingAlgorithm", spec.name());
    (kind, spec)
}

fn facts(kind: MessageType, spec: SigningAlgorithmSpec) -> [(&'static str, FactValue<'static>); 2] {
    [
        ("kms:signingalgorithm", FactValue::One(spec.name())),
        ("kms:messagetype", FactValue::One(kind.name())),
    ]
}

fn algorithm(key: &KeyEntry, spec: SigningAlgorithmSpec) -> Result<SigningAlgorithm, Fault> {
    let of_key = match key.record.spec {
        KeySpec::Pair(pair) => pair.signing_algorithms(),
        KeySpec::SymmetricDefault | KeySpec::Mac(_) => &[],
    };
    let named = SigningAlgorithm::from_name(spec.name());
    let unfit = || {
        let key_spec = super::metadata::spec(key.record.spec);
        let message = messages::wrong_algorithm(spec.name(), key_spec);
        Fault::new(KmsFault::InvalidKeyUsage, message)
    };
    // AWS signs so with these keys, and this KMS does not.
    let ours_only = spec == SigningAlgorithmSpec::Ed25519PhSha512
        && key.record.spec == KeySpec::Pair(crypto::KeyPairSpec::EccNistEdwards25519);
    if ours_only {
        let name = spec.name();
        return Err(Fault::unsupported(format!("{name} is not supported by this KMS.")));
    }
    named.filter(|named| of_key.contains(named)).ok_or_else(unfit)
}

fn message<'m>(
    key: &KeyEntry,
    kind: MessageType,
    spec: SigningAlgorithmSpec,
    bytes: &'m [u8],
) -> Result<Message<'m>, Fault> {
    Ok(match kind {
        MessageType::Raw => Message::Raw(bytes),
        MessageType::Digest => Message::Digest(bytes),
        MessageType::ExternalMu if spec == SigningAlgorithmSpec::MlDsaShake256 => {
            return Err(Fault::unsupported(
                "MessageType EXTERNAL_MU is not supported by this KMS.",
            ));
        }
        MessageType::ExternalMu => {
            let key_spec = super::metadata::spec(key.record.spec);
            return Err(Fault::validation(messages::message_type_of_spec(kind, key_spec)));
        }
    })
}

fn of_message(
    error: PairError,
    kind: MessageType,
    spec: SigningAlgorithmSpec,
    key: &KeyEntry,
) -> Fault {
    let fault = match error {
        PairError::Sign(SignError::Message(fault))
        | PairError::Verify(VerifyError::Message(fault)) => fault,
        error => return error.into(),
    };
    let key_spec = super::metadata::spec(key.record.spec);
    Fault::validation(match fault {
        MessageError::DigestLength { .. } => messages::digest_length(spec.name()),
        MessageError::Kind => messages::message_type_of_spec(kind, key_spec),
    })
}
