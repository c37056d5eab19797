//! The permits, without which no key's material is reached, and who of the cell's own services and
//! operators gets one. Callers of the API get theirs in [`crate::access`], by policies and grants.
//!
//! The rules for services and operators are fixed: a tenant's
//! principal reaches its own tenant's keys only, the cell's role reaches the cell's own, and an
//! administrator manages keys without being able to use them.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use crypto::{Entropy, Id};
use serde::{Deserialize, Serialize};

use crate::{
    DomainRing, EnabledKey, EncryptionContext, ImportError, KeyRecord, KeyUsage, Material,
    MaterialError, NewImport, NewKey, OpenedMaterial, Owner, RotateError, RotationKind,
    RotationSchedule, UnixSeconds, WhichMaterial, WrongState,
};

/// Who asks, as established by whoever authenticated the caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// The operator: manages keys, uses none.
    Admin,
    /// The control plane itself: its CA, its report.
    Cell,
    Workload {
        tenant: Id,
        spiffe_id: String,
    },
    Volume {
        tenant: Id,
        volume: Id,
    },
}

impl Principal {
    fn tenant(&self) -> Option<Id> {
        match self {
            Self::Admin | Self::Cell => None,
            Self::Workload { tenant, .. } | Self::Volume { tenant, .. } => Some(*tenant),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("the administrator"),
            Self::Cell => f.write_str("the cell"),
            Self::Workload { spiffe_id, .. } => f.write_str(spiffe_id),
            Self::Volume { volume, .. } => write!(f, "volume {volume}"),
        }
    }
}

/// Why no permit was given.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum Refused {
    #[error(transparent)]
    State(#[from] WrongState),
    #[error("{principal} may not use key {key}: it belongs to another tenant")]
    OtherTenant { principal: Principal, key: Id },
    #[error("{principal} may not use key {key} to {act}")]
    NotAllowed { principal: Principal, key: Id, act: &'static str },
    #[error("key {key} is for {usage:?}, which does not include to {act}")]
    OtherUsage { key: Id, usage: KeyUsage, act: &'static str },
    #[error("{principal} may not use key {key} with a context whose {name} is not its own")]
    OtherContext { principal: Principal, key: Id, name: &'static str },
    #[error("{principal} may not manage the cell's tenants and keys")]
    NotAnAdministrator { principal: Principal },
}

/// Permission to use a key in the way of `Act`. Gives access to material that the key holds.
#[derive(Debug)]
pub struct Permit<'k, Act> {
    key: &'k KeyRecord,
    enabled: &'k EnabledKey,
    act: PhantomData<Act>,
}

/// What a [`Permit`] is for.
pub mod act {
    #[derive(Debug)]
    pub enum Wrap {}
    #[derive(Debug)]
    pub enum Open {}
    #[derive(Debug)]
    pub enum Sign {}
    #[derive(Debug)]
    pub enum Verify {}
    #[derive(Debug)]
    pub enum Mac {}
    #[derive(Debug)]
    pub enum Agree {}
}

/// Permission to encrypt and to make data keys.
pub type MayWrap<'k> = Permit<'k, act::Wrap>;
/// Permission to decrypt.
pub type MayOpen<'k> = Permit<'k, act::Open>;
/// Permission to sign.
pub type MaySign<'k> = Permit<'k, act::Sign>;
/// Permission to have the public half used: to verify, or to encapsulate a secret.
pub type MayVerify<'k> = Permit<'k, act::Verify>;
/// Permission to make and check MACs.
pub type MayMac<'k> = Permit<'k, act::Mac>;
/// Permission to derive or receive a shared secret.
pub type MayAgree<'k> = Permit<'k, act::Agree>;

/// Permission to change a key: its state, its material, what is said of it.
#[derive(Debug)]
pub struct MayAdminister<'k> {
    key: &'k KeyRecord,
}

/// Permission to create keys, tenants and what belongs to them, and to rotate domain keys.
#[derive(Debug)]
pub struct MayCreate(());

/// # Errors
/// [`Refused::NotAnAdministrator`]. The control plane creates what the cell file declares.
pub fn may_create(principal: &Principal) -> Result<MayCreate, Refused> {
    match principal {
        Principal::Admin | Principal::Cell => Ok(MayCreate(())),
        Principal::Workload { .. } | Principal::Volume { .. } => {
            Err(Refused::NotAnAdministrator { principal: principal.clone() })
        }
    }
}

/// # Errors
/// [`Refused`] names the rule that stands against it.
pub fn may_wrap<'k>(
    principal: &Principal,
    key: &'k KeyRecord,
    context: &EncryptionContext,
) -> Result<MayWrap<'k>, Refused> {
    let enabled = may_use(principal, key, KeyUsage::EncryptDecrypt, "encrypt")?;
    may_name(principal, key, context)?;
    Ok(Permit::new(key, enabled))
}

/// # Errors
/// As [`may_wrap`].
pub fn may_open<'k>(
    principal: &Principal,
    key: &'k KeyRecord,
    context: &EncryptionContext,
) -> Result<MayOpen<'k>, Refused> {
    let enabled = may_use(principal, key, KeyUsage::EncryptDecrypt, "decrypt")?;
    may_name(principal, key, context)?;
    Ok(Permit::new(key, enabled))
}

/// # Errors
/// As [`may_wrap`].
pub fn may_sign<'k>(principal: &Principal, key: &'k KeyRecord) -> Result<MaySign<'k>, Refused> {
    if let Principal::Volume { .. } = principal {
        return Err(not_allowed(principal, key, "sign"));
    }
    let enabled = may_use(principal, key, KeyUsage::SignVerify, "sign")?;
    Ok(Permit::new(key, enabled))
}

/// # Errors
/// As [`may_wrap`]. A disabled key may be administered, else it could never be enabled.
pub fn may_administer<'k>(
    principal: &Principal,
    key: &'k KeyRecord,
) -> Result<MayAdminister<'k>, Refused> {
    match principal {
        Principal::Admin => Ok(MayAdminister { key }),
        Principal::Cell if key.owner() == Owner::Cell => Ok(MayAdminister { key }),
        _ => Err(not_allowed(principal, key, "administer it")),
    }
}

fn may_use<'k>(
    principal: &Principal,
    key: &'k KeyRecord,
    usage: KeyUsage,
    act: &'static str,
) -> Result<&'k EnabledKey, Refused> {
    if *principal == Principal::Admin {
        return Err(not_allowed(principal, key, act));
    }
    // Ownership first: whether another tenant's key is disabled is nobody's business.
    let owns = match key.owner() {
        Owner::Cell => *principal == Principal::Cell,
        Owner::Account => false,
        Owner::Tenant(tenant) => principal.tenant() == Some(tenant),
    };
    if !owns {
        return Err(Refused::OtherTenant { principal: principal.clone(), key: key.id });
    }
    if key.usage() != usage {
        return Err(Refused::OtherUsage { key: key.id, usage: key.usage(), act });
    }
    Ok(key.enabled()?)
}

/// All volumes of a tenant share its key, so what keeps one volume's process from opening another's
/// data key is that its context must name itself.
fn may_name(
    principal: &Principal,
    key: &KeyRecord,
    context: &EncryptionContext,
) -> Result<(), Refused> {
    let must = |name: &'static str, id: &Id| match context.get(name) {
        Some(value) if value == id.to_string() => Ok(()),
        _ => Err(Refused::OtherContext { principal: principal.clone(), key: key.id, name }),
    };
    match principal {
        Principal::Volume { tenant, volume } => {
            must("tenant", tenant)?;
            must("volume", volume)
        }
        // A workload encrypts what it likes, but never in the name of a tenant that it is not.
        Principal::Workload { tenant, .. } if context.get("tenant").is_some() => {
            must("tenant", tenant)
        }
        Principal::Workload { .. } | Principal::Admin | Principal::Cell => Ok(()),
    }
}

fn not_allowed(principal: &Principal, key: &KeyRecord, act: &'static str) -> Refused {
    Refused::NotAllowed { principal: principal.clone(), key: key.id, act }
}

impl<'k, Act> Permit<'k, Act> {
    pub(crate) fn new(key: &'k KeyRecord, enabled: &'k EnabledKey) -> Self {
        Self { key, enabled, act: PhantomData }
    }

    #[must_use]
    pub fn key(&self) -> &'k KeyRecord {
        self.key
    }

    #[must_use]
    pub fn newest(&self) -> &'k Material {
        self.enabled.materials().newest()
    }

    #[must_use]
    pub fn material(&self, id: &Id) -> Option<&'k Material> {
        self.enabled.materials().find(id)
    }

    /// Opens `material` of the key.
    ///
    /// # Errors
    /// [`MaterialError`] if it cannot be had.
    pub fn open(
        &self,
        material: &Material,
        ring: &DomainRing,
    ) -> Result<OpenedMaterial, MaterialError> {
        self.enabled.open(self.key, material, ring)
    }
}

impl<'k> MayAdminister<'k> {
    pub(crate) fn new(key: &'k KeyRecord) -> Self {
        Self { key }
    }

    #[must_use]
    pub fn key(&self) -> &'k KeyRecord {
        self.key
    }

    /// The record as it is to be stored; enabling an enabled key changes nothing.
    ///
    /// # Errors
    /// [`WrongState`] if the key waits for material or for its end.
    pub fn enable(self) -> Result<KeyRecord, WrongState> {
        self.key.clone().enable()
    }

    /// The record as it is to be stored; disabling a disabled key changes nothing.
    ///
    /// # Errors
    /// As [`MayAdminister::enable`].
    pub fn disable(self) -> Result<KeyRecord, WrongState> {
        self.key.clone().disable()
    }

    /// The record of a key that ends at `erase_at` and may not be used from now on.
    ///
    /// # Errors
    /// [`WrongState`] if an end is set already.
    pub fn doom(self, erase_at: UnixSeconds) -> Result<KeyRecord, WrongState> {
        self.key.clone().doom(erase_at)
    }

    /// The record of a key whose end is called off; `None` where there is none to call off.
    #[must_use]
    pub fn pardon(self, now: UnixSeconds) -> Option<KeyRecord> {
        self.key.clone().pardon(now).ok()
    }

    /// The record with new material, which wraps from now on; what there was goes on opening.
    ///
    /// # Errors
    /// [`RotateError`] if the key is disabled, not symmetric or has been rotated too often.
    pub fn rotate(
        self,
        kind: RotationKind,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<KeyRecord, RotateError> {
        self.key.clone().rotate(kind, ring, now, entropy)
    }

    /// The record with material from outside.
    ///
    /// # Errors
    /// [`ImportError`] if the key does not take it.
    pub fn import(
        self,
        which: WhichMaterial,
        new: &NewImport<'_>,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<KeyRecord, ImportError> {
        self.key.clone().import(which, new, ring, now, entropy)
    }

    /// The record without the imported material `which`, or without the newest.
    ///
    /// # Errors
    /// [`ImportError`] if the key has no such material.
    pub fn delete_imported(self, which: Option<Id>) -> Result<KeyRecord, ImportError> {
        self.key.clone().delete_imported(which)
    }

    /// The record without material that has expired; `None` where none has.
    #[must_use]
    pub fn expire(self, now: UnixSeconds) -> Option<KeyRecord> {
        self.key.clone().expire(now)
    }

    /// The record with `change` made to what is said of the key. State and material have changes of
    /// their own.
    #[must_use]
    pub fn describe(self, change: impl FnOnce(&mut Described<'_>)) -> KeyRecord {
        let mut key = self.key.clone();
        let KeyRecord { description, tags, aliases, policy, rotation, .. } = &mut key;
        change(&mut Described { description, tags, aliases, policy, rotation });
        key
    }
}

/// What is said of a key, and changes nothing about its material or state.
#[derive(Debug)]
pub struct Described<'k> {
    pub description: &'k mut String,
    pub tags: &'k mut BTreeMap<String, String>,
    pub aliases: &'k mut Vec<String>,
    pub policy: &'k mut Option<String>,
    pub rotation: &'k mut Option<RotationSchedule>,
}

impl MayCreate {
    /// A new, enabled key.
    #[must_use]
    pub fn create_key(
        self,
        new: NewKey,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> KeyRecord {
        KeyRecord::generate(new, ring, now, entropy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeySpec;
    use crate::test_kit::{Counting, id, ring};

    const ACME: u8 = 1;
    const GLOBEX: u8 = 2;

    fn record(tenant: Option<u8>, spec: KeySpec) -> KeyRecord {
        let owner = tenant.map_or(Owner::Cell, |tenant| Owner::Tenant(id(tenant)));
        let new = NewKey::of(owner, spec, "");
        KeyRecord::generate(new, &ring(1), UnixSeconds(1), &mut Counting::default())
    }

    fn workload(tenant: u8) -> Principal {
        Principal::Workload { tenant: id(tenant), spiffe_id: format!("spiffe://test/ns/{tenant}") }
    }

    fn volume(tenant: u8, volume: u8) -> Principal {
        Principal::Volume { tenant: id(tenant), volume: id(volume) }
    }

    fn context(tenant: u8, volume: u8) -> EncryptionContext {
        let pairs = [("tenant", id(tenant).to_string()), ("volume", id(volume).to_string())];
        EncryptionContext::of(pairs).unwrap()
    }

    /// Which of wrap, open, sign and administer are allowed.
    fn allowed(principal: &Principal, key: &KeyRecord, context: &EncryptionContext) -> [bool; 4] {
        [
            may_wrap(principal, key, context).is_ok(),
            may_open(principal, key, context).is_ok(),
            may_sign(principal, key).is_ok(),
            may_administer(principal, key).is_ok(),
        ]
    }

    #[test]
    fn the_table_of_who_may_do_what() {
        let acme = record(Some(ACME), KeySpec::SymmetricDefault);
        let signing = record(Some(ACME), KeySpec::ECC_NIST_P256);
        let cell = record(None, KeySpec::SymmetricDefault);
        let ca = record(None, KeySpec::ECC_NIST_P256);
        let (mine, none) = (context(ACME, 9), EncryptionContext::default());
        let check = |principal: Principal,
                     key: &KeyRecord,
                     context: &EncryptionContext,
                     expected: [u8; 4]| {
            assert_eq!(
                allowed(&principal, key, context),
                expected.map(|yes| yes == 1),
                "{principal:?} {key:?}"
            );
        };
        check(Principal::Admin, &acme, &mine, [0, 0, 0, 1]);
        check(Principal::Admin, &ca, &none, [0, 0, 0, 1]);
        check(Principal::Cell, &acme, &mine, [0, 0, 0, 0]);
        check(Principal::Cell, &cell, &none, [1, 1, 0, 1]);
        check(Principal::Cell, &ca, &none, [0, 0, 1, 1]);
        check(workload(ACME), &acme, &none, [1, 1, 0, 0]);
        check(workload(ACME), &acme, &context(GLOBEX, 9), [0, 0, 0, 0]);
        check(workload(ACME), &signing, &none, [0, 0, 1, 0]);
        check(workload(GLOBEX), &acme, &none, [0, 0, 0, 0]);
        check(workload(GLOBEX), &signing, &none, [0, 0, 0, 0]);
        check(workload(ACME), &cell, &none, [0, 0, 0, 0]);
        check(workload(ACME), &ca, &none, [0, 0, 0, 0]);
        check(volume(ACME, 9), &acme, &mine, [1, 1, 0, 0]);
        check(volume(ACME, 8), &acme, &mine, [0, 0, 0, 0]);
        check(volume(ACME, 9), &acme, &none, [0, 0, 0, 0]);
        check(volume(GLOBEX, 9), &acme, &mine, [0, 0, 0, 0]);
        check(volume(ACME, 9), &signing, &mine, [0, 0, 0, 0]);
    }

    #[test]
    fn a_disabled_key_is_named_but_not_to_strangers() {
        let key = record(Some(ACME), KeySpec::SymmetricDefault).disable().unwrap();
        let disabled = Refused::State(WrongState::Disabled { key: key.id });
        assert_eq!(may_open(&volume(ACME, 9), &key, &context(ACME, 9)).unwrap_err(), disabled);
        assert_eq!(may_wrap(&volume(ACME, 9), &key, &context(ACME, 9)).unwrap_err(), disabled);
        let stranger = may_open(&workload(GLOBEX), &key, &EncryptionContext::default());
        assert!(matches!(stranger, Err(Refused::OtherTenant { .. })));
        assert!(may_administer(&Principal::Admin, &key).is_ok());
        assert!(may_create(&workload(ACME)).is_err());
    }
}
