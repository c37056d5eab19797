//! What each operation does, a file for each family. A function here reads its request, asks the
//! core for a permit, has it carried out, and writes the answer; it decides nothing about keys.

mod agreement;
mod aliases;
mod cipher;
mod data_keys;
mod grants;
mod import;
mod keys;
mod macs;
mod metadata;
mod pages;
mod policies;
mod rotation;
mod signing;
mod tags;
#[cfg(test)]
mod unsupported_tests;

use std::borrow::Cow;

use wire::kms::{Operation, Request, RequestFault, Response, SecretBytes};
use zeroize::Zeroizing;

use super::Fault;
use super::call::Call;

type Body = Zeroizing<Vec<u8>>;

/// Whether an operation neither waits for a disk nor computes for long, and can run where it was
/// read. What uses an RSA key is not quick, but which kind a key is shows only later: a signature
/// takes a few milliseconds at most.
pub(super) fn is_quick(operation: Operation) -> bool {
    use Operation::*;
    matches!(
        operation,
        Encrypt
            | Decrypt
            | ReEncrypt
            | GenerateDataKey
            | GenerateDataKeyWithoutPlaintext
            | GenerateRandom
            | GenerateMac
            | VerifyMac
            | DescribeKey
            | GetPublicKey
    )
}

/// Reads the request, carries it out and writes the answer.
pub(super) fn perform(call: &mut Call, body: &[u8]) -> Result<Body, Fault> {
    use Operation::*;
    match call.operation {
        Encrypt => cipher::encrypt(call, read(body)?),
        Decrypt => cipher::decrypt(call, read(body)?),
        ReEncrypt => cipher::re_encrypt(call, read(body)?),
        GenerateDataKey => data_keys::generate(call, read(body)?),
        GenerateDataKeyWithoutPlaintext => data_keys::generate_wrapped(call, read(body)?),
        GenerateDataKeyPair => data_keys::generate_pair(call, read(body)?),
        GenerateDataKeyPairWithoutPlaintext => data_keys::generate_wrapped_pair(call, read(body)?),
        GenerateRandom => data_keys::random(call, read(body)?),
        Sign => signing::sign(call, read(body)?),
        Verify => signing::verify(call, read(body)?),
        GenerateMac => macs::generate(call, read(body)?),
        VerifyMac => macs::verify(call, read(body)?),
        DeriveSharedSecret => agreement::derive(call, read(body)?),
        Encapsulate => agreement::encapsulate(call, read(body)?),
        Decapsulate => agreement::decapsulate(call, read(body)?),
        CreateKey => keys::create(call, read(body)?),
        DescribeKey => keys::describe(call, read(body)?),
        ListKeys => keys::list(call, read(body)?),
        EnableKey => keys::enable(call, read(body)?),
        DisableKey => keys::disable(call, read(body)?),
        ScheduleKeyDeletion => keys::schedule_deletion(call, read(body)?),
        CancelKeyDeletion => keys::cancel_deletion(call, read(body)?),
        UpdateKeyDescription => keys::update_description(call, read(body)?),
        GetPublicKey => keys::public_key(call, read(body)?),
        GetKeyLastUsage => keys::last_usage(call, read(body)?),
        CreateAlias => aliases::create(call, read(body)?),
        UpdateAlias => aliases::update(call, read(body)?),
        DeleteAlias => aliases::delete(call, read(body)?),
        ListAliases => aliases::list(call, read(body)?),
        TagResource => tags::tag(call, read(body)?),
        UntagResource => tags::untag(call, read(body)?),
        ListResourceTags => tags::list(call, read(body)?),
        GetKeyPolicy => policies::get(call, read(body)?),
        PutKeyPolicy => policies::put(call, read(body)?),
        ListKeyPolicies => policies::list(call, read(body)?),
        CreateGrant => grants::create(call, read(body)?),
        ListGrants => grants::list(call, read(body)?),
        ListRetirableGrants => grants::list_retirable(call, read(body)?),
        RetireGrant => grants::retire(call, read(body)?),
        RevokeGrant => grants::revoke(call, read(body)?),
        EnableKeyRotation => rotation::enable(call, read(body)?),
        DisableKeyRotation => rotation::disable(call, read(body)?),
        GetKeyRotationStatus => rotation::status(call, read(body)?),
        RotateKeyOnDemand => rotation::on_demand(call, read(body)?),
        ListKeyRotations => rotation::list(call, read(body)?),
        GetParametersForImport => import::parameters(call, read(body)?),
        ImportKeyMaterial => import::import(call, read(body)?),
        DeleteImportedKeyMaterial => import::delete(call, read(body)?),
        ConnectCustomKeyStore
        | CreateCustomKeyStore
        | DeleteCustomKeyStore
        | DescribeCustomKeyStores
        | DisconnectCustomKeyStore
        | UpdateCustomKeyStore
        | ReplicateKey
        | UpdatePrimaryRegion => Err(unsupported(call.operation)),
    }
}

pub(super) fn unsupported(operation: Operation) -> Fault {
    Fault::unsupported(format!("{} is not supported by this KMS.", operation.name()))
}

fn read<'a, R: Request<'a>>(body: &'a [u8]) -> Result<R, RequestFault> {
    R::parse(body)
}

#[expect(clippy::unnecessary_wraps, reason = "every operation ends in it")]
fn write(answer: &impl Response) -> Result<Body, Fault> {
    Ok(answer.to_body())
}

/// Enclaves attest by documents of AWS's own hardware, which no other machine makes.
fn no_recipient<T>(recipient: Option<&T>) -> Result<(), Fault> {
    match recipient {
        None => Ok(()),
        Some(_) => {
            Err(Fault::unsupported("Recipient is not supported: there is no Nitro enclave."))
        }
    }
}

fn material_id(key: crypto::Id, material: crypto::Id) -> Cow<'static, str> {
    Cow::Owned(crate::kms::material_name(key, material))
}

fn secret(bytes: &[u8]) -> SecretBytes<'_> {
    SecretBytes(bytes)
}
