//! Encrypt, Decrypt and ReEncrypt.

use std::borrow::Cow;

use super::blob::{SecretBlob, SecretBytes};
use super::context::EncryptionContext;
use super::faults::{Faults, Path, Shown};
use super::request::{request, shape};
use super::response::response;
use super::rules;
use super::values::{DryRunModifier, EncryptionAlgorithmSpec, KeyEncryptionMechanism};

request! {
    /// Asks for a ciphertext of at most 4 KiB.
    pub struct EncryptRequest<'a>: Encrypt -> EncryptResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "Plaintext" plaintext: required SecretBlob, rules::PLAINTEXT;
        "EncryptionContext" encryption_context: defaulted EncryptionContext<'a>;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "EncryptionAlgorithm" encryption_algorithm: optional EncryptionAlgorithmSpec;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The ciphertext, and what it takes to decrypt it.
    pub struct EncryptResponse<'a> {
        "CiphertextBlob" ciphertext_blob: Cow<'a, [u8]>;
        "KeyId" key_id: Cow<'a, str>;
        "EncryptionAlgorithm" encryption_algorithm: EncryptionAlgorithmSpec;
    }
}

request! {
    /// Asks for the plaintext of a ciphertext, which names its own key if that is symmetric.
    pub struct DecryptRequest<'a>: Decrypt -> DecryptResponse<'r> {
        "CiphertextBlob" ciphertext_blob: optional Vec<u8>, rules::CIPHERTEXT;
        "EncryptionContext" encryption_context: defaulted EncryptionContext<'a>;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "KeyId" key_id: optional Cow<'a, str>, rules::KEY_ID;
        "EncryptionAlgorithm" encryption_algorithm: optional EncryptionAlgorithmSpec;
        "Recipient" recipient: optional RecipientInfo;
        "DryRun" dry_run: defaulted bool;
        "DryRunModifiers" dry_run_modifiers: defaulted Vec<DryRunModifier>, rules::NAMES;
    }
    and ciphertext_of_decrypt
}

response! {
    /// The plaintext: in the clear, or encrypted for an enclave alone.
    pub struct DecryptResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "Plaintext" plaintext: Option<SecretBytes<'a>>;
        "EncryptionAlgorithm" encryption_algorithm: EncryptionAlgorithmSpec;
        "CiphertextForRecipient" ciphertext_for_recipient: Option<Cow<'a, [u8]>>;
        "KeyMaterialId" key_material_id: Option<Cow<'a, str>>;
    }
}

request! {
    /// Asks for the same plaintext under another key or context, without seeing it.
    pub struct ReEncryptRequest<'a>: ReEncrypt -> ReEncryptResponse<'r> {
        "CiphertextBlob" ciphertext_blob: optional Vec<u8>, rules::CIPHERTEXT;
        "SourceEncryptionContext" source_encryption_context: defaulted EncryptionContext<'a>;
        "SourceKeyId" source_key_id: optional Cow<'a, str>, rules::KEY_ID;
        "DestinationKeyId" destination_key_id: required Cow<'a, str>, rules::KEY_ID;
        "DestinationEncryptionContext" destination_encryption_context:
            defaulted EncryptionContext<'a>;
        "SourceEncryptionAlgorithm" source_encryption_algorithm: optional EncryptionAlgorithmSpec;
        "DestinationEncryptionAlgorithm" destination_encryption_algorithm:
            optional EncryptionAlgorithmSpec;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
        "DryRunModifiers" dry_run_modifiers: defaulted Vec<DryRunModifier>, rules::NAMES;
    }
    and ciphertext_of_re_encrypt
}

response! {
    /// The new ciphertext, and both keys.
    pub struct ReEncryptResponse<'a> {
        "CiphertextBlob" ciphertext_blob: Cow<'a, [u8]>;
        "SourceKeyId" source_key_id: Cow<'a, str>;
        "KeyId" key_id: Cow<'a, str>;
        "SourceEncryptionAlgorithm" source_encryption_algorithm: EncryptionAlgorithmSpec;
        "DestinationEncryptionAlgorithm" destination_encryption_algorithm: EncryptionAlgorithmSpec;
        "SourceKeyMaterialId" source_key_material_id: Option<Cow<'a, str>>;
        "DestinationKeyMaterialId" destination_key_material_id: Option<Cow<'a, str>>;
    }
}

shape! {
    /// Proof of an enclave, for whose eyes alone the answer is.
    pub struct RecipientInfo {
        "KeyEncryptionAlgorithm" key_encryption_algorithm: optional KeyEncryptionMechanism;
        "AttestationDocument" attestation_document: optional Vec<u8>, rules::ATTESTATION_DOCUMENT;
    }
}

/// Only a dry run that says so may come without a ciphertext: AWS applies modifiers where `DryRun`
/// is true, and nowhere else. The model cannot express that.
fn ciphertext_of_decrypt(request: &DecryptRequest<'_>, faults: &mut Faults) {
    let modifiers = request.dry_run.then_some(&request.dry_run_modifiers[..]);
    demand_ciphertext(request.ciphertext_blob.as_ref(), modifiers, faults);
}

fn ciphertext_of_re_encrypt(request: &ReEncryptRequest<'_>, faults: &mut Faults) {
    let modifiers = request.dry_run.then_some(&request.dry_run_modifiers[..]);
    demand_ciphertext(request.ciphertext_blob.as_ref(), modifiers, faults);
}

/// `modifiers` are those of a dry run; `None` where it is none.
fn demand_ciphertext(
    ciphertext: Option<&Vec<u8>>,
    modifiers: Option<&[DryRunModifier]>,
    faults: &mut Faults,
) {
    let is_ignored = modifiers.is_some_and(|all| all.contains(&DryRunModifier::IgnoreCiphertext));
    if ciphertext.is_none() && !is_ignored {
        let at = Path::member(None, "CiphertextBlob");
        faults.add(&Shown::Null, &at, format_args!("not be null"));
    }
}
