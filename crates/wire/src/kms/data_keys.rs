//! Data keys and data key pairs.

use std::borrow::Cow;

use super::blob::SecretBytes;
use super::cipher::RecipientInfo;
use super::context::EncryptionContext;
use super::request::request;
use super::response::response;
use super::rules;
use super::values::{DataKeyPairSpec, DataKeySpec};

request! {
    /// Asks for a data key, in the clear and wrapped.
    pub struct GenerateDataKeyRequest<'a>: GenerateDataKey -> GenerateDataKeyResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "EncryptionContext" encryption_context: defaulted EncryptionContext<'a>;
        "NumberOfBytes" number_of_bytes: optional i32, rules::NUMBER_OF_BYTES;
        "KeySpec" key_spec: optional DataKeySpec;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "Recipient" recipient: optional RecipientInfo;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The data key, twice.
    pub struct GenerateDataKeyResponse<'a> {
        "CiphertextBlob" ciphertext_blob: Cow<'a, [u8]>;
        "Plaintext" plaintext: Option<SecretBytes<'a>>;
        "KeyId" key_id: Cow<'a, str>;
        "CiphertextForRecipient" ciphertext_for_recipient: Option<Cow<'a, [u8]>>;
        "KeyMaterialId" key_material_id: Option<Cow<'a, str>>;
    }
}

request! {
    /// Asks for a data key, wrapped only.
    pub struct GenerateDataKeyWithoutPlaintextRequest<'a>:
        GenerateDataKeyWithoutPlaintext -> GenerateDataKeyWithoutPlaintextResponse<'r>
    {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "EncryptionContext" encryption_context: defaulted EncryptionContext<'a>;
        "KeySpec" key_spec: optional DataKeySpec;
        "NumberOfBytes" number_of_bytes: optional i32, rules::NUMBER_OF_BYTES;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The wrapped data key.
    pub struct GenerateDataKeyWithoutPlaintextResponse<'a> {
        "CiphertextBlob" ciphertext_blob: Cow<'a, [u8]>;
        "KeyId" key_id: Cow<'a, str>;
        "KeyMaterialId" key_material_id: Option<Cow<'a, str>>;
    }
}

request! {
    /// Asks for a key pair, its private key in the clear and wrapped.
    pub struct GenerateDataKeyPairRequest<'a>:
        GenerateDataKeyPair -> GenerateDataKeyPairResponse<'r>
    {
        "EncryptionContext" encryption_context: defaulted EncryptionContext<'a>;
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "KeyPairSpec" key_pair_spec: required DataKeyPairSpec;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "Recipient" recipient: optional RecipientInfo;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The key pair.
    pub struct GenerateDataKeyPairResponse<'a> {
        "PrivateKeyCiphertextBlob" private_key_ciphertext_blob: Cow<'a, [u8]>;
        "PrivateKeyPlaintext" private_key_plaintext: Option<SecretBytes<'a>>;
        "PublicKey" public_key: Cow<'a, [u8]>;
        "KeyId" key_id: Cow<'a, str>;
        "KeyPairSpec" key_pair_spec: DataKeyPairSpec;
        "CiphertextForRecipient" ciphertext_for_recipient: Option<Cow<'a, [u8]>>;
        "KeyMaterialId" key_material_id: Option<Cow<'a, str>>;
    }
}

request! {
    /// Asks for a key pair, its private key wrapped only.
    pub struct GenerateDataKeyPairWithoutPlaintextRequest<'a>:
        GenerateDataKeyPairWithoutPlaintext -> GenerateDataKeyPairWithoutPlaintextResponse<'r>
    {
        "EncryptionContext" encryption_context: defaulted EncryptionContext<'a>;
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "KeyPairSpec" key_pair_spec: required DataKeyPairSpec;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "DryRun" dry_run: defaulted bool;
    }
}

response! {
    /// The key pair, its private key wrapped.
    pub struct GenerateDataKeyPairWithoutPlaintextResponse<'a> {
        "PrivateKeyCiphertextBlob" private_key_ciphertext_blob: Cow<'a, [u8]>;
        "PublicKey" public_key: Cow<'a, [u8]>;
        "KeyId" key_id: Cow<'a, str>;
        "KeyPairSpec" key_pair_spec: DataKeyPairSpec;
        "KeyMaterialId" key_material_id: Option<Cow<'a, str>>;
    }
}
