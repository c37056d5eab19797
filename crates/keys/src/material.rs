//! Making, opening and rewrapping key material. Everything goes through the door [`crate::wrap`].

use crypto::{DataKey, Entropy, Id, Signer, SigningKey};
use zeroize::Zeroizing;

use crate::authorize::MaySign;
use crate::key_record::PublicKeyDer;
use crate::wrap::{self, Binding, Purpose, UnwrapKeyError};
use crate::{DomainRing, KeyLookup, KeySpec, Material, UnixSeconds};

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum MaterialError {
    #[error("key {key}, material {material}: its domain key {domain} is no longer held")]
    DomainKeyRetired { key: Id, material: Id, domain: Id },
    #[error("key {key}, material {material}: {reason}")]
    Unwrap { key: Id, material: Id, reason: UnwrapKeyError },
    #[error("key {key}, material {material}: the private key cannot be read")]
    NotAPrivateKey { key: Id, material: Id },
}

pub(crate) fn generate(
    key: Id,
    spec: KeySpec,
    ring: &DomainRing,
    now: UnixSeconds,
    entropy: &mut dyn Entropy,
) -> Material {
    let id = Id::random(entropy);
    let (secret, public_key) = match spec {
        KeySpec::SymmetricDefault => {
            (Zeroizing::new(DataKey::generate(entropy).release_to_caller().to_vec()), None)
        }
        KeySpec::EccNistP256 => {
            let signing = SigningKey::generate();
            let secret = signing.release_pkcs8().expect("a fresh P-256 key has an encoding");
            (secret, Some(PublicKeyDer(signing.public_key().0)))
        }
    };
    let (domain, parent) = ring.current_key();
    let wrapped = wrap::wrap_secret(parent, binding(key, spec, id, domain), &secret, entropy);
    Material { id, created: now, domain, wrapped, public_key }
}

pub(crate) fn rewrap(
    key: Id,
    spec: KeySpec,
    material: &Material,
    ring: &DomainRing,
    entropy: &mut dyn Entropy,
) -> Result<Material, MaterialError> {
    let secret = unwrap_secret(key, spec, material, ring)?;
    let (domain, parent) = ring.current_key();
    let binding = binding(key, spec, material.id, domain);
    let wrapped = wrap::wrap_secret(parent, binding, &secret, entropy);
    Ok(Material { domain, wrapped, ..material.clone() })
}

pub(crate) fn unwrap_symmetric(
    key: Id,
    material: &Material,
    ring: &DomainRing,
) -> Result<DataKey, MaterialError> {
    let secret = unwrap_secret(key, KeySpec::SymmetricDefault, material, ring)?;
    DataKey::from_caller(&secret).ok_or(MaterialError::Unwrap {
        key,
        material: material.id,
        reason: UnwrapKeyError::Length(material.wrapped.0.len()),
    })
}

/// The private key that `permit` allows to sign with.
///
/// # Errors
/// [`MaterialError`] if the key's material cannot be had.
pub fn signing_key(permit: &MaySign<'_>, ring: &DomainRing) -> Result<SigningKey, MaterialError> {
    let (key, material) = (permit.key().id, permit.material());
    let pkcs8 = unwrap_secret(key, permit.key().spec, material, ring)?;
    SigningKey::from_pkcs8(&pkcs8)
        .map_err(|_| MaterialError::NotAPrivateKey { key, material: material.id })
}

fn unwrap_secret(
    key: Id,
    spec: KeySpec,
    material: &Material,
    ring: &DomainRing,
) -> Result<Zeroizing<Vec<u8>>, MaterialError> {
    let retired =
        MaterialError::DomainKeyRetired { key, material: material.id, domain: material.domain };
    let parent = ring.lookup(&material.domain).ok_or(retired)?;
    let binding = binding(key, spec, material.id, material.domain);
    wrap::unwrap_secret(parent, binding, &material.wrapped)
        .map_err(|reason| MaterialError::Unwrap { key, material: material.id, reason })
}

fn binding(key: Id, spec: KeySpec, material: Id, domain: Id) -> Binding {
    let purpose = match spec {
        KeySpec::SymmetricDefault => Purpose::SymmetricMaterial,
        KeySpec::EccNistP256 => Purpose::AsymmetricMaterial,
    };
    Binding { purpose, wrapping: domain, wrapped: material, owner: key }
}
