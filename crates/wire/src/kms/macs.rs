//! GenerateMac and VerifyMac.

use std::borrow::Cow;

use super::blob::SecretBlob;
use super::request::request;
use super::response::response;
use super::rules;
use super::values::MacAlgorithmSpec;

request! {
    /// Asks for an HMAC.
    pub struct GenerateMacRequest<'a>: GenerateMac -> GenerateMacResponse<'r> {
        "Message" message: required SecretBlob, rules::PLAINTEXT;
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "MacAlgorithm" mac_algorithm: required MacAlgorithmSpec;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The HMAC.
    pub struct GenerateMacResponse<'a> {
        "Mac" mac: Cow<'a, [u8]>;
        "MacAlgorithm" mac_algorithm: MacAlgorithmSpec;
        "KeyId" key_id: Cow<'a, str>;
    }
}

request! {
    /// Asks whether an HMAC is a key's.
    pub struct VerifyMacRequest<'a>: VerifyMac -> VerifyMacResponse<'r> {
        "Message" message: required SecretBlob, rules::PLAINTEXT;
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "MacAlgorithm" mac_algorithm: required MacAlgorithmSpec;
        "Mac" mac: required Vec<u8>, rules::CIPHERTEXT;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// That it is: one that is not is an error.
    pub struct VerifyMacResponse<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "MacValid" mac_valid: bool;
        "MacAlgorithm" mac_algorithm: MacAlgorithmSpec;
    }
}
