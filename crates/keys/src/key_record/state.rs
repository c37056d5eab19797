//! What can be done with a key depends on its state, so each state is a type.

use crypto::Id;
use serde::{Deserialize, Serialize};

use super::UnixSeconds;
use super::materials::{Material, Materials};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    Enabled(EnabledKey),
    Disabled(DisabledKey),
    PendingImport(EmptyKey),
    PendingDeletion(DoomedKey),
}

/// A key that may be used. Only this type gives out material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnabledKey {
    pub(super) materials: Materials,
}

/// A key that may not be used until it is enabled again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisabledKey {
    pub(super) materials: Materials,
}

/// A key of external origin, some or all of whose material is still to come, was deleted or has
/// expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyKey {
    pub(super) materials: Vec<Material>,
}

/// A key that ends at a set time, unless that is cancelled before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoomedKey {
    pub(super) materials: Vec<Material>,
    /// From then on there is nothing left of it.
    pub erase_at: UnixSeconds,
}

/// The state that stands against a use.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum WrongState {
    #[error("key {key} is disabled; `sealane key enable {key}` enables it again")]
    Disabled { key: Id },
    #[error("key {key} is pending import: it has no key material that can be used")]
    PendingImport { key: Id },
    #[error("key {key} is pending deletion")]
    PendingDeletion { key: Id },
}

impl WrongState {
    #[must_use]
    pub fn key(&self) -> Id {
        match self {
            Self::Disabled { key }
            | Self::PendingImport { key }
            | Self::PendingDeletion { key } => *key,
        }
    }
}

impl KeyState {
    /// For tables and JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Enabled(_) => "enabled",
            Self::Disabled(_) => "disabled",
            Self::PendingImport(_) => "pending-import",
            Self::PendingDeletion(_) => "pending-deletion",
        }
    }

    /// Material in any state: to list it or to rewrap it, never to use it.
    pub(super) fn materials(&self) -> &[Material] {
        match self {
            Self::Enabled(key) => &key.materials.0,
            Self::Disabled(key) => &key.materials.0,
            Self::PendingImport(key) => &key.materials,
            Self::PendingDeletion(key) => &key.materials,
        }
    }

    pub(super) fn into_materials(self) -> Vec<Material> {
        match self {
            Self::Enabled(key) => key.materials.0,
            Self::Disabled(key) => key.materials.0,
            Self::PendingImport(key) => key.materials,
            Self::PendingDeletion(key) => key.materials,
        }
    }

    /// For changes that keep every material held.
    pub(super) fn each_material(&mut self) -> impl Iterator<Item = &mut Material> {
        match self {
            Self::Enabled(key) => &mut key.materials.0,
            Self::Disabled(key) => &mut key.materials.0,
            Self::PendingImport(key) => &mut key.materials,
            Self::PendingDeletion(key) => &mut key.materials,
        }
        .iter_mut()
    }
}

impl EnabledKey {
    #[must_use]
    pub fn materials(&self) -> &Materials {
        &self.materials
    }

    #[must_use]
    pub fn disable(self) -> DisabledKey {
        DisabledKey { materials: self.materials }
    }

    /// Whether no material of it has expired: nothing may be done with the key then, even before
    /// the record says so.
    #[must_use]
    pub fn is_usable(&self, now: UnixSeconds) -> bool {
        self.materials.0.iter().all(|material| material.is_usable(now))
    }
}

impl DisabledKey {
    #[must_use]
    pub fn enable(self) -> EnabledKey {
        EnabledKey { materials: self.materials }
    }
}
