//! Sign and Verify.

use std::borrow::Cow;

use super::blob::SecretBlob;
use super::request::request;
use super::response::response;
use super::rules;
use super::values::{MessageType, SigningAlgorithmSpec};

request! {
    /// Asks for a signature.
    pub struct SignRequest<'a>: Sign -> SignResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "Message" message: required SecretBlob, rules::PLAINTEXT;
        "MessageType" message_type: optional MessageType;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "SigningAlgorithm" signing_algorithm: required SigningAlgorithmSpec;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The signature.
    pub struct SignResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "Signature" signature: Cow<'a, [u8]>;
        "SigningAlgorithm" signing_algorithm: SigningAlgorithmSpec;
    }
}

request! {
    /// Asks whether a signature is a key's.
    pub struct VerifyRequest<'a>: Verify -> VerifyResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "Message" message: required SecretBlob, rules::PLAINTEXT;
        "MessageType" message_type: optional MessageType;
        "Signature" signature: required Vec<u8>, rules::CIPHERTEXT;
        "SigningAlgorithm" signing_algorithm: required SigningAlgorithmSpec;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// That it is: one that is not is an error.
    pub struct VerifyResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "SignatureValid" signature_valid: bool;
        "SigningAlgorithm" signing_algorithm: SigningAlgorithmSpec;
    }
}
