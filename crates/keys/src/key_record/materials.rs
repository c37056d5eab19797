//! The generations of a key's secret.

use crypto::{Id, WrappedDataKey};
use serde::{Deserialize, Serialize};

use super::UnixSeconds;

/// One generation of a key's secret, wrapped under a domain key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Material {
    pub id: Id,
    pub created: UnixSeconds,
    /// The domain key that wraps it, so that lazy rewrapping finds what is left.
    pub domain: Id,
    /// Empty once imported material was deleted or has expired: what it was is remembered, so that
    /// only the same can come back.
    #[serde(with = "crate::hex::wrapped")]
    pub wrapped: WrappedDataKey,
    /// `SubjectPublicKeyInfo` of an asymmetric key, so that it can be shown while disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicKeyDer>,
    /// Why this generation came about; `None` for the first and for those made before it was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
}

/// What made a key rotate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationKind {
    Automatic,
    OnDemand,
}

/// What is known of material that came from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// A MAC under the material itself: the same material is known again, and nothing is revealed.
    #[serde(with = "crate::hex::bytes")]
    pub check: [u8; 16],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// From then on it is gone. `None`: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixSeconds>,
}

impl Material {
    /// Whether there is anything to use, as far as expiry does not forbid it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.wrapped.0.is_empty()
    }

    #[must_use]
    pub fn expires(&self) -> Option<UnixSeconds> {
        self.imported.as_ref().and_then(|imported| imported.expires)
    }

    /// Whether it may be used at `now`.
    #[must_use]
    pub fn is_usable(&self, now: UnixSeconds) -> bool {
        self.is_held() && self.expires().is_none_or(|expires| now < expires)
    }

    /// Forgets the secret, and remembers what it was.
    pub(crate) fn forget(&mut self) {
        self.wrapped.0.clear();
    }
}

/// A public key in DER, as hex in stored JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKeyDer(#[serde(with = "crate::hex::bytes")] pub Vec<u8>);

/// All material of a key, oldest first: the newest wraps, any of them opens. Never empty, and all
/// of it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Material>", into = "Vec<Material>")]
pub struct Materials(pub(super) Vec<Material>);

impl Materials {
    /// Generations of one key. Monthly rotation for forty years stays below it.
    pub const MAX: usize = 512;

    #[must_use]
    pub fn newest(&self) -> &Material {
        self.0.last().expect("materials are never empty")
    }

    #[must_use]
    pub fn find(&self, id: &Id) -> Option<&Material> {
        self.0.iter().find(|material| material.id == *id)
    }

    #[must_use]
    pub fn all(&self) -> &[Material] {
        &self.0
    }
}

impl TryFrom<Vec<Material>> for Materials {
    type Error = &'static str;

    fn try_from(materials: Vec<Material>) -> Result<Self, Self::Error> {
        if !materials.iter().all(Material::is_held) {
            return Err("a key that can be used holds all its material");
        }
        match materials.len() {
            0 => Err("a key has at least one material"),
            1..=Self::MAX => Ok(Self(materials)),
            _ => Err("a key has too many materials"),
        }
    }
}

impl From<Materials> for Vec<Material> {
    fn from(materials: Materials) -> Self {
        materials.0
    }
}
