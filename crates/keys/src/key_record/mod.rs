//! A KMS key as it is stored: what it is, whose, in which state, and what may be changed about it.

mod changes;
mod materials;
mod spec;
mod state;

use std::collections::BTreeMap;

use crypto::{DataKey, Entropy, Id, WrappedDataKey};
use serde::{Deserialize, Serialize};

pub use changes::{ImportError, RotateError, WhichMaterial};
pub use materials::{Imported, Material, Materials, PublicKeyDer, RotationKind};
pub use spec::{KeySpec, KeyUsage};
pub use state::{DisabledKey, DoomedKey, EmptyKey, EnabledKey, KeyState, WrongState};

use crate::DomainRing;
use crate::material;

/// Seconds since 1970, as the caller's clock gave them: an `Instant` would not survive a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

/// Whose a key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The cell's own: its certificate authority, its reports. No caller of the API reaches it.
    Cell,
    /// The account's, as any key of an AWS account is.
    Account,
    Tenant(Id),
}

/// Where a key's material comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    #[default]
    Kms,
    External,
}

/// Automatic rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationSchedule {
    pub period_days: u32,
    /// When the next one is due.
    pub next: UnixSeconds,
}

/// A KMS key, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    pub id: Id,
    /// See [`KeyRecord::owner`].
    pub(crate) tenant: Option<Id>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) account: bool,
    /// Somebody of the tenant, by the name that the tenant gave.
    pub user: Option<String>,
    pub spec: KeySpec,
    /// `None`: the first that the spec allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<KeyUsage>,
    pub created: UnixSeconds,
    pub description: String,
    pub state: KeyState,
    #[serde(default, skip_serializing_if = "is_default")]
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Names, with their `alias/`, of the owner's aliases that lead here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The key policy as it was put; `None`: the default one, which leaves everything to whoever
    /// administers the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSchedule>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rotations_on_demand: u32,
    /// Imported material that waits for a rotation on demand to take effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_material: Option<Material>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whose a new key is and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    pub owner: Owner,
    pub user: Option<String>,
    pub spec: KeySpec,
    pub usage: KeyUsage,
    pub origin: Origin,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub policy: Option<String>,
}

impl NewKey {
    /// A key with the spec's first usage and nothing else out of the ordinary.
    #[must_use]
    pub fn of(owner: Owner, spec: KeySpec, description: impl Into<String>) -> Self {
        Self {
            owner,
            user: None,
            spec,
            usage: spec.usages()[0],
            origin: Origin::Kms,
            description: description.into(),
            tags: BTreeMap::new(),
            policy: None,
        }
    }
}

impl KeyRecord {
    /// A new key: enabled with its first material, or waiting for material from outside.
    pub(crate) fn generate(
        new: NewKey,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let id = Id::random(entropy);
        let state = match new.origin {
            Origin::Kms => {
                let materials =
                    Materials(vec![material::generate(id, new.spec, ring, now, entropy)]);
                KeyState::Enabled(EnabledKey { materials })
            }
            Origin::External => KeyState::PendingImport(EmptyKey { materials: Vec::new() }),
        };
        let (tenant, account) = match new.owner {
            Owner::Cell => (None, false),
            Owner::Account => (None, true),
            Owner::Tenant(tenant) => (Some(tenant), false),
        };
        Self {
            id,
            tenant,
            account,
            user: new.user,
            spec: new.spec,
            usage: (new.usage != new.spec.usages()[0]).then_some(new.usage),
            created: now,
            description: new.description,
            state,
            origin: new.origin,
            tags: new.tags,
            aliases: Vec::new(),
            policy: new.policy,
            rotation: None,
            rotations_on_demand: 0,
            next_material: None,
        }
    }

    #[must_use]
    pub fn owner(&self) -> Owner {
        match (self.tenant, self.account) {
            (Some(tenant), _) => Owner::Tenant(tenant),
            (None, true) => Owner::Account,
            (None, false) => Owner::Cell,
        }
    }

    #[must_use]
    pub fn tenant(&self) -> Option<Id> {
        self.tenant
    }

    #[must_use]
    pub fn usage(&self) -> KeyUsage {
        self.usage.unwrap_or_else(|| self.spec.usages()[0])
    }

    /// # Errors
    /// [`WrongState`] if the key may not be used at all. Whether material has expired is asked of
    /// the [`EnabledKey`], with the time.
    pub fn enabled(&self) -> Result<&EnabledKey, WrongState> {
        let key = self.id;
        match &self.state {
            KeyState::Enabled(key) => Ok(key),
            KeyState::Disabled(_) => Err(WrongState::Disabled { key }),
            KeyState::PendingImport(_) => Err(WrongState::PendingImport { key }),
            KeyState::PendingDeletion(_) => Err(WrongState::PendingDeletion { key }),
        }
    }

    /// Material in any state, oldest first: to list it or to rewrap it, never to use it.
    #[must_use]
    pub fn materials(&self) -> &[Material] {
        self.state.materials()
    }

    /// The newest material, unless none was ever imported.
    #[must_use]
    pub fn newest_material(&self) -> Option<&Material> {
        self.materials().last()
    }

    /// Whether any material is still under a domain key other than the current one.
    #[must_use]
    pub fn needs_rewrap(&self, ring: &DomainRing) -> bool {
        let mut held = self.materials().iter().chain(&self.next_material).filter(|m| m.is_held());
        held.any(|material| material.domain != ring.current())
    }

    /// Wraps all material under the current domain key. Ids, and so all ciphertexts, stay valid.
    ///
    /// # Errors
    /// [`crate::MaterialError`] if some of it does not unwrap.
    pub fn rewrap(
        mut self,
        ring: &DomainRing,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, crate::MaterialError> {
        let (id, spec) = (self.id, self.spec);
        for material in self.state.each_material().chain(&mut self.next_material) {
            if material.is_held() {
                *material = material::rewrap(id, spec, material, ring, entropy)?;
            }
        }
        Ok(self)
    }
}

/// A data key beside its wrapped form.
#[derive(Debug)]
pub struct GeneratedDataKey {
    pub key: DataKey,
    pub wrapped: WrappedDataKey,
}

#[cfg(test)]
mod tests;
