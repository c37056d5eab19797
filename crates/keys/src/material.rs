//! Making, importing, opening and rewrapping key material. Everything goes through the door
//! [`crate::wrap`].

use crypto::hmac_key::MacKeyMaterial;
use crypto::kdf::{self, Label};
use crypto::{DataKey, Entropy, Id, KeyPair};
use zeroize::Zeroizing;

use crate::key_record::{EnabledKey, Imported, PublicKeyDer};
use crate::use_material::UseMaterial;
use crate::wrap::{self, Binding, Purpose, UnwrapKeyError};
use crate::{DomainRing, KeyLookup, KeyRecord, KeySpec, Material, UnixSeconds};

const CHECK_LABEL: Label = Label("sealane/material-check/1");

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum MaterialError {
    #[error("key {key}, material {material}: its domain key {domain} is no longer held")]
    DomainKeyRetired { key: Id, material: Id, domain: Id },
    #[error("key {key}, material {material}: {reason}")]
    Unwrap { key: Id, material: Id, reason: UnwrapKeyError },
    #[error("key {key}, material {material}: the secret is not one of a {spec:?}")]
    NotOfSpec { key: Id, material: Id, spec: KeySpec },
}

/// Bytes from outside that cannot be the material of a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the imported bytes are not the material of a {} key", .0.name())]
pub struct NotMaterial(pub KeySpec);

/// Material from outside.
#[derive(Debug)]
pub struct NewImport<'m> {
    /// 32 bytes, an HMAC key, or a private key in PKCS #8, as the spec has it.
    pub secret: &'m [u8],
    pub description: Option<String>,
    pub expires: Option<UnixSeconds>,
}

/// A key's secret, ready for use. Opening takes an [`EnabledKey`]; using it takes a permit too.
pub struct OpenedMaterial {
    key: Id,
    spec: KeySpec,
    id: Id,
    secret: Secret,
}

type Secret = Box<dyn UseMaterial>;

impl std::fmt::Debug for OpenedMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenedMaterial({} of {}, ..)", self.id, self.key)
    }
}

impl OpenedMaterial {
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The secret, for a use of `key` that some specs have: gives what came of it.
    ///
    /// # Errors
    /// [`MaterialError::NotOfSpec`] if it is not that key's, or not of such a spec.
    pub(crate) fn used_for<T>(
        &self,
        key: Id,
        act: impl FnOnce(&dyn UseMaterial) -> Option<T>,
    ) -> Result<T, MaterialError> {
        let done = if self.key == key { act(&*self.secret) } else { None };
        done.ok_or(MaterialError::NotOfSpec { key, material: self.id, spec: self.spec })
    }
}

impl EnabledKey {
    /// Opens `material` of `record`, whose state this is.
    ///
    /// # Errors
    /// [`MaterialError`] if the material cannot be had.
    pub fn open(
        &self,
        record: &KeyRecord,
        material: &Material,
        ring: &DomainRing,
    ) -> Result<OpenedMaterial, MaterialError> {
        open(record.id, record.spec, material, ring)
    }
}

/// The secret of a new key, and its public half where it has one.
fn fresh(spec: KeySpec, entropy: &mut dyn Entropy) -> (Zeroizing<Vec<u8>>, Option<PublicKeyDer>) {
    match spec {
        KeySpec::SymmetricDefault => {
            (Zeroizing::new(DataKey::generate(entropy).release_to_caller().to_vec()), None)
        }
        KeySpec::Mac(spec) => (MacKeyMaterial::generate(spec, entropy).release_bytes(), None),
        KeySpec::Pair(spec) => {
            let pair = KeyPair::generate(spec);
            let public = PublicKeyDer(pair.public_key().0);
            (pair.release_pkcs8(), Some(public))
        }
    }
}

pub(crate) fn generate(
    key: Id,
    spec: KeySpec,
    ring: &DomainRing,
    now: UnixSeconds,
    entropy: &mut dyn Entropy,
) -> Material {
    let id = Id::random(entropy);
    let (secret, public_key) = fresh(spec, entropy);
    let (domain, parent) = ring.current_key();
    let wrapped = wrap::wrap_secret(parent, binding(key, spec, id, domain), &secret, entropy);
    Material { id, created: now, domain, wrapped, public_key, rotation: None, imported: None }
}

/// Wraps material from outside, as `material` where it was there before.
pub(crate) fn import(
    key: Id,
    spec: KeySpec,
    material: Option<Id>,
    new: &NewImport<'_>,
    ring: &DomainRing,
    now: UnixSeconds,
    entropy: &mut dyn Entropy,
) -> Result<Material, NotMaterial> {
    let secret = parse(spec, new.secret).ok_or(NotMaterial(spec))?;
    let public_key = secret.public_key().map(|public| PublicKeyDer(public.0));
    let id = material.unwrap_or_else(|| Id::random(entropy));
    let (domain, parent) = ring.current_key();
    let wrapped = wrap::wrap_secret(parent, binding(key, spec, id, domain), new.secret, entropy);
    let imported = Some(Imported {
        check: check(key, new.secret),
        description: new.description.clone(),
        expires: new.expires,
    });
    Ok(Material { id, created: now, domain, wrapped, public_key, rotation: None, imported })
}

/// Whether `secret` is what `material` was imported from.
pub(crate) fn is_same(key: Id, material: &Material, secret: &[u8]) -> bool {
    let imported = material.imported.as_ref();
    imported.is_some_and(|imported| check(key, secret) == imported.check)
}

/// The secret is hashed to a key first, since a derivation takes 32 bytes. Whoever reads the store
/// can test a guess with it, and nobody guesses a key.
fn check(key: Id, secret: &[u8]) -> [u8; 16] {
    let hashed = Zeroizing::new(crypto::mac::sha256(secret));
    let parent = DataKey::from_caller(&hashed[..]).expect("32 bytes in");
    let mac = kdf::mac_key(&parent, CHECK_LABEL, &[key.as_bytes()]).mac(b"material");
    *mac.0.first_chunk().expect("a MAC is longer")
}

fn parse(spec: KeySpec, secret: &[u8]) -> Option<Secret> {
    Some(match spec {
        KeySpec::SymmetricDefault => Box::new(DataKey::from_caller(secret)?),
        KeySpec::Mac(spec) => Box::new(MacKeyMaterial::from_bytes(spec, secret).ok()?),
        KeySpec::Pair(spec) => Box::new(KeyPair::from_pkcs8(spec, secret).ok()?),
    })
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

pub(crate) fn open(
    key: Id,
    spec: KeySpec,
    material: &Material,
    ring: &DomainRing,
) -> Result<OpenedMaterial, MaterialError> {
    let secret = unwrap_secret(key, spec, material, ring)?;
    let not_of_spec = MaterialError::NotOfSpec { key, material: material.id, spec };
    let secret = parse(spec, &secret).ok_or(not_of_spec)?;
    Ok(OpenedMaterial { key, spec, id: material.id, secret })
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
        KeySpec::Pair(_) => Purpose::AsymmetricMaterial,
        KeySpec::Mac(_) => Purpose::MacMaterial,
    };
    Binding { purpose, wrapping: domain, wrapped: material, owner: key }
}
