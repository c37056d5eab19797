//! GenerateRandom.

use std::borrow::Cow;

use super::blob::SecretBytes;
use super::cipher::RecipientInfo;
use super::request::request;
use super::response::response;
use super::rules;

request! {
    /// Asks for random bytes.
    pub struct GenerateRandomRequest<'a>: GenerateRandom -> GenerateRandomResponse<'r> {
        "NumberOfBytes" number_of_bytes: optional i32, rules::NUMBER_OF_BYTES;
        "CustomKeyStoreId" custom_key_store_id: optional Cow<'a, str>, rules::CUSTOM_KEY_STORE_ID;
        "Recipient" recipient: optional RecipientInfo;
    }
}

response! {
    /// Random bytes: in the clear, or encrypted for an enclave alone.
    pub struct GenerateRandomResponse<'a> {
        "Plaintext" plaintext: Option<SecretBytes<'a>>;
        "CiphertextForRecipient" ciphertext_for_recipient: Option<Cow<'a, [u8]>>;
    }
}
