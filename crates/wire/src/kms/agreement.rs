//! Shared secrets: agreed on with another's public key, or encapsulated for a key.

use std::borrow::Cow;

use super::blob::SecretBytes;
use super::cipher::RecipientInfo;
use super::request::request;
use super::response::response;
use super::rules;
use super::values::{EncapsulationAlgorithmSpec, KeyAgreementAlgorithmSpec, Origin};

request! {
    /// Asks for the secret that a key shares with another's public key.
    pub struct DeriveSharedSecretRequest<'a>: DeriveSharedSecret -> DeriveSharedSecretResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "KeyAgreementAlgorithm" key_agreement_algorithm: required KeyAgreementAlgorithmSpec;
        "PublicKey" public_key: required Vec<u8>, rules::PUBLIC_KEY;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
        "Recipient" recipient: optional RecipientInfo;
    }
}

response! {
    /// The raw secret, for the caller to derive keys from.
    pub struct DeriveSharedSecretResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "SharedSecret" shared_secret: Option<SecretBytes<'a>>;
        "CiphertextForRecipient" ciphertext_for_recipient: Option<Cow<'a, [u8]>>;
        "KeyAgreementAlgorithm" key_agreement_algorithm: KeyAgreementAlgorithmSpec;
        "KeyOrigin" key_origin: Origin;
    }
}

request! {
    /// Asks for a fresh secret, in the clear and encapsulated.
    pub struct EncapsulateRequest<'a>: Encapsulate -> EncapsulateResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "EncapsulationAlgorithm" encapsulation_algorithm: required EncapsulationAlgorithmSpec;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The secret, twice.
    pub struct EncapsulateResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "SharedSecret" shared_secret: SecretBytes<'a>;
        "SharedSecretCiphertextBlob" shared_secret_ciphertext_blob: Cow<'a, [u8]>;
        "EncapsulationAlgorithm" encapsulation_algorithm: EncapsulationAlgorithmSpec;
    }
}

request! {
    /// Asks for the secret of an encapsulation.
    pub struct DecapsulateRequest<'a>: Decapsulate -> DecapsulateResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "SharedSecretCiphertextBlob" shared_secret_ciphertext_blob: required Vec<u8>,
            rules::CIPHERTEXT;
        "EncapsulationAlgorithm" encapsulation_algorithm: required EncapsulationAlgorithmSpec;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The secret.
    pub struct DecapsulateResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "SharedSecret" shared_secret: SecretBytes<'a>;
        "EncapsulationAlgorithm" encapsulation_algorithm: EncapsulationAlgorithmSpec;
    }
}
