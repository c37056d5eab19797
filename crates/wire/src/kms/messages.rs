//! What AWS says when something cannot be done. People search for these sentences and programs
//! match them, so they are AWS's own, from its answers on public record.

use super::operation::Operation;
use super::values::{KeySpec, KeyUsage, MessageType, Origin};

/// With [`NotFound`](super::KmsFault::NotFound).
#[must_use]
pub fn key_not_found(key_arn: &str) -> String {
    format!("Key '{key_arn}' does not exist")
}

/// With [`NotFound`](super::KmsFault::NotFound).
#[must_use]
pub fn alias_not_found(alias_arn: &str) -> String {
    format!("Alias {alias_arn} is not found.")
}

/// With [`NotFound`](super::KmsFault::NotFound): the id alone was given.
#[must_use]
pub fn invalid_key_id(key_id: &str) -> String {
    format!("Invalid keyId '{key_id}'")
}

/// With [`NotFound`](super::KmsFault::NotFound): the id stood in an ARN.
#[must_use]
pub fn invalid_key_id_in_arn(key_id: &str) -> String {
    format!("Invalid keyId {key_id}")
}

/// With [`NotFound`](super::KmsFault::NotFound). For an ARN of another region, what AWS names is
/// that region.
#[must_use]
pub fn invalid_arn(arn_or_region: &str) -> String {
    format!("Invalid arn {arn_or_region}")
}

/// With [`NotFound`](super::KmsFault::NotFound).
#[must_use]
pub fn grant_not_found(grant_id: &str) -> String {
    format!("Grant ID {grant_id} not found")
}

/// With [`NotFound`](super::KmsFault::NotFound), for any policy but `default`.
pub const NO_SUCH_POLICY: &str = "No such policy exists";

/// With [`UnsupportedOperation`](super::KmsFault::UnsupportedOperation).
pub const ONLY_DEFAULT_POLICY: &str = "Only default policy is supported";

/// With [`InvalidArn`](super::KmsFault::InvalidArn).
pub const ALIASES_NOT_SUPPORTED: &str = "Key Aliases are not supported for this operation.";

/// With [`Validation`](super::KmsFault::Validation).
pub const ALIAS_OF_ALIAS: &str = "Aliases must refer to keys. Not aliases";

/// With [`Validation`](super::KmsFault::Validation).
pub const ALIAS_PREFIX: &str = "Alias must start with the prefix \"alias/\". Please see \
     https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html";

/// With [`Validation`](super::KmsFault::Validation): the pattern has a colon, no alias may.
#[must_use]
pub fn alias_characters(alias_name: &str) -> String {
    format!("{alias_name} contains invalid characters for an alias")
}

/// With [`AlreadyExists`](super::KmsFault::AlreadyExists).
#[must_use]
pub fn alias_exists(alias_arn: &str) -> String {
    format!("An alias with the name {alias_arn} already exists")
}

/// With [`Disabled`](super::KmsFault::Disabled).
#[must_use]
pub fn disabled(key_arn: &str) -> String {
    format!("{key_arn} is disabled.")
}

/// With [`KmsInvalidState`](super::KmsFault::KmsInvalidState).
#[must_use]
pub fn pending_deletion(key_arn: &str) -> String {
    format!("{key_arn} is pending deletion.")
}

/// With [`KmsInvalidState`](super::KmsFault::KmsInvalidState). The other way round from
/// [`pending_deletion`]: nothing to cancel.
#[must_use]
pub fn not_pending_deletion(key_arn: &str) -> String {
    format!("{key_arn} is not pending deletion.")
}

/// With [`KmsInvalidState`](super::KmsFault::KmsInvalidState).
#[must_use]
pub fn pending_import(key_arn: &str) -> String {
    format!("{key_arn} is pending import.")
}

/// With [`InvalidKeyUsage`](super::KmsFault::InvalidKeyUsage).
#[must_use]
pub fn wrong_usage(key_arn: &str, usage: KeyUsage, operation: Operation) -> String {
    let (usage, operation) = (usage.name(), operation.name());
    format!("{key_arn} key usage is {usage} which is not valid for {operation}.")
}

/// With [`InvalidKeyUsage`](super::KmsFault::InvalidKeyUsage). `algorithm` is the name of one for
/// encrypting, signing or authenticating.
#[must_use]
pub fn wrong_algorithm(algorithm: &str, spec: KeySpec) -> String {
    format!("Algorithm {algorithm} is incompatible with key spec {}.", spec.name())
}

/// With [`InvalidKeyUsage`](super::KmsFault::InvalidKeyUsage).
pub const DATA_KEY_OF_ASYMMETRIC: &str = "You cannot generate a data key with an asymmetric CMK";

/// With [`IncorrectKey`](super::KmsFault::IncorrectKey).
pub const INCORRECT_KEY: &str =
    "The key ID in the request does not identify a CMK that can perform this operation.";

/// With [`Validation`](super::KmsFault::Validation), on `CreateKey`.
#[must_use]
pub fn usage_of_spec(usage: KeyUsage, spec: KeySpec) -> String {
    format!("KeyUsage {} is not compatible with KeySpec {}", usage.name(), spec.name())
}

/// With [`Validation`](super::KmsFault::Validation), on `CreateKey` with the spec by both its names.
pub const SPEC_TWICE: &str = "You cannot specify KeySpec and CustomerMasterKeySpec in the same \
     request. CustomerMasterKeySpec is deprecated.";

/// With [`Validation`](super::KmsFault::Validation), on `CreateKey`.
pub const USAGE_MISSING: &str =
    "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.";

/// With [`Validation`](super::KmsFault::Validation): RSA has no place for a context.
pub const CONTEXT_OF_ASYMMETRIC: &str =
    "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.";

/// With [`Validation`](super::KmsFault::Validation).
#[must_use]
pub fn plaintext_too_long(algorithm: &str, spec: KeySpec, bytes_max: usize) -> String {
    let spec = spec.name();
    format!(
        "Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than \
         {bytes_max} bytes."
    )
}

/// With [`Validation`](super::KmsFault::Validation).
#[must_use]
pub fn digest_length(algorithm: &str) -> String {
    format!("Digest is invalid length for algorithm {algorithm}.")
}

/// With [`Validation`](super::KmsFault::Validation).
#[must_use]
pub fn message_type_of_algorithm(message_type: MessageType, algorithm: &str) -> String {
    format!("Message type {} is incompatible with algorithm {algorithm}.", message_type.name())
}

/// With [`Validation`](super::KmsFault::Validation).
#[must_use]
pub fn message_type_of_spec(message_type: MessageType, spec: KeySpec) -> String {
    let (message_type, spec) = (message_type.name(), spec.name());
    format!("Message type {message_type} is incompatible with key spec {spec}.")
}

/// With [`Validation`](super::KmsFault::Validation), on `GenerateDataKey` with both or neither.
pub const BYTES_OR_SPEC: &str = "Please specify either number of bytes or key spec.";

/// With [`Validation`](super::KmsFault::Validation), on `GenerateRandom`.
pub const NUMBER_OF_BYTES_MISSING: &str = "NumberOfBytes is required.";

/// With [`Validation`](super::KmsFault::Validation), on `CreateGrant`.
pub const CONSTRAINTS_BOTH: &str = "More than one constraint supplied";

/// With [`Validation`](super::KmsFault::Validation), on `CreateGrant`.
pub const GRANT_OF_GRANTS: &str = "Grants must not contain only the CreateGrant operation.";

/// With [`Validation`](super::KmsFault::Validation), on `ImportKeyMaterial`.
pub const VALID_TO_MISSING: &str =
    "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES";

/// With [`UnsupportedOperation`](super::KmsFault::UnsupportedOperation).
#[must_use]
pub fn wrong_origin(key_arn: &str, origin: Origin) -> String {
    format!("{key_arn} origin is {} which is not valid for this operation.", origin.name())
}

/// With [`LimitExceeded`](super::KmsFault::LimitExceeded).
#[must_use]
pub fn rotations_used_up(key_arn: &str) -> String {
    format!(
        "The on-demand rotations limit has been reached for the given keyId. \
         No more on-demand rotations can be performed for this key: {key_arn}"
    )
}

/// With [`KmsInvalidState`](super::KmsFault::KmsInvalidState).
#[must_use]
pub fn nothing_to_rotate_to(key_arn: &str) -> String {
    format!("No available key material pending rotation for the key: {key_arn}.")
}

/// With [`Tag`](super::KmsFault::Tag).
pub const TAG_TWICE: &str = "Duplicate tag keys";
/// With [`Tag`](super::KmsFault::Tag).
pub const TAGS_TOO_MANY: &str = "Too many tags";
/// With [`Tag`](super::KmsFault::Tag).
pub const TAG_RESERVED: &str = "Tags beginning with aws: are reserved";

/// With [`DryRunOperation`](super::KmsFault::DryRunOperation), which is how a dry run ends well.
pub const DRY_RUN: &str = "The request would have succeeded, but the DryRun option is set.";

/// Why somebody may not.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Denial {
    NoIdentityPolicyAllows,
    NoResourcePolicyAllows,
    DeniedByIdentityPolicy,
    DeniedByResourcePolicy,
    /// Says no more than that, so that a stranger does not learn which keys exist.
    NotTold,
}

/// What somebody may not touch.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Resource<'a> {
    Arn(&'a str),
    /// Of a key that only the ciphertext names, which stays unnamed.
    OfCiphertext,
    /// Of operations on no key, like `CreateKey`.
    Any,
}

/// With [`AccessDenied`](super::KmsFault::AccessDenied). `action` as policies have it, without its
/// prefix: `Encrypt`, `ReEncryptFrom`.
#[must_use]
pub fn access_denied(who: &str, action: &str, resource: Resource<'_>, denial: Denial) -> String {
    let resource = match resource {
        Resource::Arn(arn) => format!("on resource: {arn}"),
        Resource::OfCiphertext => "on the resource associated with this ciphertext".to_owned(),
        Resource::Any => "on resource: *".to_owned(),
    };
    let denial = match denial {
        Denial::NoIdentityPolicyAllows => {
            format!("because no identity-based policy allows the kms:{action} action")
        }
        Denial::NoResourcePolicyAllows => {
            format!("because no resource-based policy allows the kms:{action} action")
        }
        Denial::DeniedByIdentityPolicy => {
            "with an explicit deny in an identity-based policy".to_owned()
        }
        Denial::DeniedByResourcePolicy => {
            "with an explicit deny in a resource-based policy".to_owned()
        }
        Denial::NotTold => "because the resource does not exist in this Region, no resource-based \
             policies allow access, or a resource-based policy explicitly denies access"
            .to_owned(),
    };
    format!("User: {who} is not authorized to perform: kms:{action} {resource} {denial}")
}
