use crypto::{DataKey, Entropy, Id, WrappedDataKey};
use serde::{Deserialize, Serialize};

use crate::DomainRing;
use crate::material;

/// Seconds since 1970, as the caller's clock gave them: an `Instant` would not survive a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

/// What kind of material a key has; AWS's own names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum KeySpec {
    #[serde(rename = "SYMMETRIC_DEFAULT")]
    SymmetricDefault,
    #[serde(rename = "ECC_NIST_P256")]
    EccNistP256,
}

/// What a key is for; AWS's own names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum KeyUsage {
    #[serde(rename = "ENCRYPT_DECRYPT")]
    EncryptDecrypt,
    #[serde(rename = "SIGN_VERIFY")]
    SignVerify,
}

impl KeySpec {
    #[must_use]
    pub fn usage(self) -> KeyUsage {
        match self {
            Self::SymmetricDefault => KeyUsage::EncryptDecrypt,
            Self::EccNistP256 => KeyUsage::SignVerify,
        }
    }
}

/// One generation of a key's secret, wrapped under a domain key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Material {
    pub id: Id,
    pub created: UnixSeconds,
    /// The domain key that wraps it, so that lazy rewrapping finds what is left.
    pub domain: Id,
    #[serde(with = "crate::hex::wrapped")]
    pub wrapped: WrappedDataKey,
    /// `SubjectPublicKeyInfo` of an asymmetric key, so that it can be shown while disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicKeyDer>,
}

/// A public key in DER, as hex in stored JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKeyDer(#[serde(with = "crate::hex::bytes")] pub Vec<u8>);

/// All material of a key, oldest first: the newest wraps, any of them opens. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Material>", into = "Vec<Material>")]
pub struct Materials(Vec<Material>);

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

/// A KMS key, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    pub id: Id,
    /// `None` for the cell's own keys.
    pub tenant: Option<Id>,
    /// Somebody of the tenant, by the name that the tenant gave.
    pub user: Option<String>,
    pub spec: KeySpec,
    pub created: UnixSeconds,
    pub description: String,
    pub state: KeyState,
}

/// What can be done with a key depends on its state, so each state is a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    Enabled(EnabledKey),
    Disabled(DisabledKey),
}

impl KeyState {
    /// For tables and JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Enabled(_) => "enabled",
            Self::Disabled(_) => "disabled",
        }
    }
}

/// A key that may be used. Only this type gives out material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnabledKey {
    materials: Materials,
}

/// A key that may not be used until it is enabled again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisabledKey {
    materials: Materials,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("key {key} is disabled; `sealane key enable {key}` enables it again")]
pub struct WrongState {
    pub key: Id,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RotateError {
    #[error("key {0} already has {max} generations of material; create a new key", max = Materials::MAX)]
    TooManyMaterials(Id),
    #[error("key {0} is asymmetric; create a new key instead of rotating it")]
    Asymmetric(Id),
    #[error(transparent)]
    WrongState(#[from] WrongState),
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
}

impl DisabledKey {
    #[must_use]
    pub fn enable(self) -> EnabledKey {
        EnabledKey { materials: self.materials }
    }
}

/// Whose a new key is and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    pub tenant: Option<Id>,
    pub user: Option<String>,
    pub spec: KeySpec,
    pub description: String,
}

impl KeyRecord {
    /// A new, enabled key with its first material.
    ///
    /// # Panics
    /// If the system cannot generate an asymmetric key for want of randomness.
    pub(crate) fn generate(
        new: NewKey,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let id = Id::random(entropy);
        let material = material::generate(id, new.spec, ring, now, entropy);
        Self {
            id,
            tenant: new.tenant,
            user: new.user,
            spec: new.spec,
            created: now,
            description: new.description,
            state: KeyState::Enabled(EnabledKey { materials: Materials(vec![material]) }),
        }
    }

    /// # Errors
    /// [`WrongState`] if the key may not be used.
    pub fn enabled(&self) -> Result<&EnabledKey, WrongState> {
        match &self.state {
            KeyState::Enabled(key) => Ok(key),
            KeyState::Disabled(_) => Err(WrongState { key: self.id }),
        }
    }

    /// Material in any state: to list it or to rewrap it, never to use it.
    #[must_use]
    pub fn materials(&self) -> &Materials {
        match &self.state {
            KeyState::Enabled(key) => &key.materials,
            KeyState::Disabled(key) => &key.materials,
        }
    }

    /// Enabling an enabled key changes nothing.
    #[must_use]
    pub(crate) fn enable(mut self) -> Self {
        self.state = match self.state {
            KeyState::Disabled(key) => KeyState::Enabled(key.enable()),
            enabled @ KeyState::Enabled(_) => enabled,
        };
        self
    }

    /// Disabling a disabled key changes nothing.
    #[must_use]
    pub(crate) fn disable(mut self) -> Self {
        self.state = match self.state {
            KeyState::Enabled(key) => KeyState::Disabled(key.disable()),
            disabled @ KeyState::Disabled(_) => disabled,
        };
        self
    }

    /// Adds material, which wraps from now on; what there was goes on opening.
    ///
    /// # Errors
    /// [`RotateError`] if the key is disabled, asymmetric or has been rotated too often.
    pub(crate) fn rotate(
        mut self,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, RotateError> {
        if self.spec != KeySpec::SymmetricDefault {
            return Err(RotateError::Asymmetric(self.id));
        }
        let key = match &mut self.state {
            KeyState::Enabled(key) => key,
            KeyState::Disabled(_) => return Err(WrongState { key: self.id }.into()),
        };
        if key.materials.0.len() >= Materials::MAX {
            return Err(RotateError::TooManyMaterials(self.id));
        }
        key.materials.0.push(material::generate(self.id, self.spec, ring, now, entropy));
        Ok(self)
    }

    /// Whether any material is still under a domain key other than the current one.
    #[must_use]
    pub fn needs_rewrap(&self, ring: &DomainRing) -> bool {
        self.materials().all().iter().any(|material| material.domain != ring.current())
    }

    /// Wraps all material under the current domain key. Ids, and so all ciphertexts, stay valid.
    ///
    /// # Errors
    /// [`crate::MaterialError`] if some of it does not unwrap; the record is then as it was.
    pub fn rewrap(
        mut self,
        ring: &DomainRing,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, crate::MaterialError> {
        let (id, spec) = (self.id, self.spec);
        let materials = match &mut self.state {
            KeyState::Enabled(key) => &mut key.materials,
            KeyState::Disabled(key) => &mut key.materials,
        };
        for material in &mut materials.0 {
            *material = material::rewrap(id, spec, material, ring, entropy)?;
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
mod tests {
    use super::*;
    use crate::test_kit::{Counting, ring};

    fn new(spec: KeySpec) -> KeyRecord {
        let new = NewKey { tenant: None, user: None, spec, description: String::new() };
        KeyRecord::generate(new, &ring(1), UnixSeconds(1), &mut Counting::default())
    }

    #[test]
    fn rotation_adds_and_keeps_up_to_the_limit() {
        let mut record = new(KeySpec::SymmetricDefault);
        let first = record.materials().newest().id;
        for count in 2..=Materials::MAX {
            record = record.rotate(&ring(1), UnixSeconds(2), &mut Counting::default()).unwrap();
            assert_eq!(record.materials().all().len(), count);
        }
        assert!(record.materials().find(&first).is_some());
        let id = record.id;
        assert_eq!(
            record.rotate(&ring(1), UnixSeconds(2), &mut Counting::default()),
            Err(RotateError::TooManyMaterials(id))
        );
    }

    #[test]
    fn states_decide_what_can_be_done() {
        let record = new(KeySpec::SymmetricDefault).disable();
        let wrong = WrongState { key: record.id };
        assert_eq!(record.enabled().unwrap_err(), wrong);
        assert_eq!(
            record.clone().rotate(&ring(1), UnixSeconds(2), &mut Counting::default()),
            Err(RotateError::WrongState(wrong))
        );
        assert_eq!(record.clone().disable(), record);
        assert!(record.enable().enabled().is_ok());
        let asymmetric = new(KeySpec::EccNistP256);
        let id = asymmetric.id;
        assert_eq!(
            asymmetric.rotate(&ring(1), UnixSeconds(2), &mut Counting::default()),
            Err(RotateError::Asymmetric(id))
        );
    }

    #[test]
    fn records_survive_json_and_unknown_fields_do_not() {
        let record = new(KeySpec::EccNistP256);
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<KeyRecord>(&json).unwrap(), record);
        let odd = json.replacen('{', "{\"colour\":1,", 1);
        assert!(serde_json::from_str::<KeyRecord>(&odd).is_err());
    }
}
