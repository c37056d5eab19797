//! How a key's state changes. Each change takes a record and gives the one to be stored.

use crypto::{Entropy, Id};

use super::materials::{Material, Materials, RotationKind};
use super::state::{DoomedKey, EmptyKey, EnabledKey, KeyState, WrongState};
use super::{KeyRecord, KeySpec, Origin, UnixSeconds};
use crate::DomainRing;
use crate::material::{self, MaterialError, NewImport, NotMaterial};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RotateError {
    #[error("key {0} already has {max} generations of material; create a new key", max = Materials::MAX)]
    TooManyMaterials(Id),
    #[error("key {0} was rotated on demand {max} times, which is as often as it may be", max = KeyRecord::ROTATIONS_ON_DEMAND_MAX)]
    TooManyRotations(Id),
    #[error("key {0} is not a symmetric encryption key; create a new key instead of rotating it")]
    NotSymmetric(Id),
    #[error("the material of key {0} is imported; import its next material first")]
    NothingImported(Id),
    #[error(transparent)]
    WrongState(#[from] WrongState),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImportError {
    #[error("the material of key {0} is made by the KMS, so none can be imported")]
    NotExternal(Id),
    #[error("this is not the material that was imported into key {0} before")]
    OtherMaterial(Id),
    #[error("key {key} has no material {material:?} that could be imported again")]
    UnknownMaterial { key: Id, material: Option<Id> },
    #[error("key {0} has new material already, which waits for its rotation")]
    RotationPending(Id),
    #[error("key {0} cannot take new material: only symmetric encryption keys are rotated")]
    NotSymmetric(Id),
    #[error(transparent)]
    Rotate(#[from] RotateError),
    #[error(transparent)]
    NotMaterial(#[from] NotMaterial),
    #[error(transparent)]
    WrongState(#[from] WrongState),
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// Which material of a key an import or a deletion is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhichMaterial {
    /// The first, or else the one it is, where a key has but one.
    Only,
    /// The material of this id, which the key had before.
    Existing(Id),
    /// One more, which takes effect with the next rotation.
    New,
}

impl KeyRecord {
    /// As many as AWS allows.
    pub const ROTATIONS_ON_DEMAND_MAX: u32 = 25;

    /// Enabling an enabled key changes nothing.
    ///
    /// # Errors
    /// [`WrongState`] if it waits for material or for its end.
    pub(crate) fn enable(mut self) -> Result<Self, WrongState> {
        let key = self.id;
        self.state = match self.state {
            KeyState::Disabled(key) => KeyState::Enabled(key.enable()),
            enabled @ KeyState::Enabled(_) => enabled,
            KeyState::PendingImport(_) => return Err(WrongState::PendingImport { key }),
            KeyState::PendingDeletion(_) => return Err(WrongState::PendingDeletion { key }),
        };
        Ok(self)
    }

    /// Disabling a disabled key changes nothing.
    ///
    /// # Errors
    /// As [`KeyRecord::enable`].
    pub(crate) fn disable(mut self) -> Result<Self, WrongState> {
        let key = self.id;
        self.state = match self.state {
            KeyState::Enabled(key) => KeyState::Disabled(key.disable()),
            disabled @ KeyState::Disabled(_) => disabled,
            KeyState::PendingImport(_) => return Err(WrongState::PendingImport { key }),
            KeyState::PendingDeletion(_) => return Err(WrongState::PendingDeletion { key }),
        };
        Ok(self)
    }

    /// Sets the key's end. It may not be used from now on.
    ///
    /// # Errors
    /// [`WrongState`] if that is set already.
    pub(crate) fn doom(mut self, erase_at: UnixSeconds) -> Result<Self, WrongState> {
        if let KeyState::PendingDeletion(_) = self.state {
            return Err(WrongState::PendingDeletion { key: self.id });
        }
        let materials = self.state.into_materials();
        self.state = KeyState::PendingDeletion(DoomedKey { materials, erase_at });
        Ok(self)
    }

    /// Calls the key's end off: it is disabled then, or waits for material. Gives the record back
    /// where there was no end to call off, or where it has come.
    pub(crate) fn pardon(mut self, now: UnixSeconds) -> Result<Self, Box<Self>> {
        match self.state {
            KeyState::PendingDeletion(key) if now < key.erase_at => {
                self.state = Self::at_rest(key.materials);
                Ok(self)
            }
            state => {
                self.state = state;
                Err(Box::new(self))
            }
        }
    }

    /// Disabled where all material is held, else waiting for it.
    fn at_rest(materials: Vec<Material>) -> KeyState {
        match Materials::try_from(materials.clone()) {
            Ok(materials) => KeyState::Disabled(EnabledKey { materials }.disable()),
            Err(_) => KeyState::PendingImport(EmptyKey { materials }),
        }
    }

    /// Adds material, which wraps from now on; what there was goes on opening.
    ///
    /// # Errors
    /// [`RotateError`] if the key is disabled, not symmetric or has been rotated too often.
    pub(crate) fn rotate(
        mut self,
        kind: RotationKind,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, RotateError> {
        let id = self.id;
        self.enabled()?;
        if self.spec != KeySpec::SymmetricDefault {
            return Err(RotateError::NotSymmetric(id));
        }
        if kind == RotationKind::OnDemand {
            if self.rotations_on_demand >= Self::ROTATIONS_ON_DEMAND_MAX {
                return Err(RotateError::TooManyRotations(id));
            }
            self.rotations_on_demand += 1;
        }
        let mut added = match self.origin {
            Origin::Kms => material::generate(id, self.spec, ring, now, entropy),
            Origin::External => {
                let next = self.next_material.take().filter(Material::is_held);
                next.ok_or(RotateError::NothingImported(id))?
            }
        };
        added.rotation = Some(kind);
        added.created = now;
        let KeyState::Enabled(key) = &mut self.state else { return Ok(self) };
        if key.materials.0.len() >= Materials::MAX {
            return Err(RotateError::TooManyMaterials(id));
        }
        key.materials.0.push(added);
        Ok(self)
    }

    /// Takes material from outside. The key can be used once all its material is there.
    ///
    /// # Errors
    /// [`ImportError`] if the key does not take it.
    pub(crate) fn import(
        mut self,
        which: WhichMaterial,
        new: &NewImport<'_>,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ImportError> {
        let id = self.id;
        if self.origin != Origin::External {
            return Err(ImportError::NotExternal(id));
        }
        if let KeyState::PendingDeletion(_) = self.state {
            return Err(WrongState::PendingDeletion { key: id }.into());
        }
        let known = self.materials().iter().chain(&self.next_material);
        let material = match which {
            WhichMaterial::New if self.materials().is_empty() => None,
            WhichMaterial::New => return self.import_next(new, ring, now, entropy),
            WhichMaterial::Existing(wanted) => {
                let found = known.clone().find(|material| material.id == wanted);
                let unknown = ImportError::UnknownMaterial { key: id, material: Some(wanted) };
                Some(found.ok_or(unknown)?.id)
            }
            WhichMaterial::Only => match known.clone().count() {
                0 => None,
                1 => self.newest_material().map(|material| material.id),
                // With several, the material itself says which it is.
                _ => {
                    let same = |m: &&Material| material::is_same(id, m, new.secret);
                    Some(known.clone().find(same).ok_or(ImportError::OtherMaterial(id))?.id)
                }
            },
        };
        let before = known.clone().find(|known| Some(known.id) == material);
        if before.is_some_and(|before| !material::is_same(id, before, new.secret)) {
            return Err(ImportError::OtherMaterial(id));
        }
        let mut imported = material::import(id, self.spec, material, new, ring, now, entropy)?;
        if let Some(before) = before {
            (imported.created, imported.rotation) = (before.created, before.rotation);
        }
        self.put_material(imported);
        Ok(self)
    }

    fn import_next(
        mut self,
        new: &NewImport<'_>,
        ring: &DomainRing,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ImportError> {
        let id = self.id;
        if self.spec != KeySpec::SymmetricDefault {
            return Err(ImportError::NotSymmetric(id));
        }
        if self.next_material.as_ref().is_some_and(Material::is_held) {
            return Err(ImportError::RotationPending(id));
        }
        if self.materials().len() >= Materials::MAX {
            return Err(RotateError::TooManyMaterials(id).into());
        }
        if self.materials().iter().any(|material| material::is_same(id, material, new.secret)) {
            return Err(ImportError::OtherMaterial(id));
        }
        self.next_material = Some(material::import(id, self.spec, None, new, ring, now, entropy)?);
        Ok(self)
    }

    /// Puts `material` in its place, or at the end, and the key in the state that follows.
    fn put_material(&mut self, material: Material) {
        if let Some(next) = self.next_material.as_mut().filter(|next| next.id == material.id) {
            *next = material;
            return;
        }
        let was_disabled = matches!(self.state, KeyState::Disabled(_));
        let mut materials = self.materials().to_vec();
        match materials.iter_mut().find(|known| known.id == material.id) {
            Some(known) => *known = material,
            None => materials.push(material),
        }
        self.state = match Self::at_rest(materials) {
            KeyState::Disabled(key) if !was_disabled => KeyState::Enabled(key.enable()),
            state => state,
        };
    }

    /// Forgets imported material: `which`, or the one that takes effect now. The key waits for it
    /// to come back.
    ///
    /// # Errors
    /// [`ImportError`] if the key has no such material or waits for its end.
    pub(crate) fn delete_imported(mut self, which: Option<Id>) -> Result<Self, ImportError> {
        let key = self.id;
        if self.origin != Origin::External {
            return Err(ImportError::NotExternal(key));
        }
        if let KeyState::PendingDeletion(_) = self.state {
            return Err(WrongState::PendingDeletion { key }.into());
        }
        if self.next_material.as_ref().is_some_and(|next| Some(next.id) == which) {
            self.next_material = None;
            return Ok(self);
        }
        let unknown = ImportError::UnknownMaterial { key, material: which };
        let Some(wanted) = which.or_else(|| self.newest_material().map(|newest| newest.id)) else {
            return Ok(self);
        };
        if !self.materials().iter().any(|material| material.id == wanted) {
            return Err(unknown);
        }
        Ok(self.forget_where(|material| material.id == wanted))
    }

    /// Forgets all material that has expired. `None` where there is none.
    pub(crate) fn expire(self, now: UnixSeconds) -> Option<Self> {
        let due = |material: &Material| material.is_held() && !material.is_usable(now);
        let any = self.materials().iter().chain(&self.next_material).any(due);
        any.then(|| self.forget_where(due))
    }

    fn forget_where(mut self, which: impl Fn(&Material) -> bool) -> Self {
        if self.next_material.as_ref().is_some_and(&which) {
            self.next_material = None;
        }
        let doomed = match &self.state {
            KeyState::PendingDeletion(key) => Some(key.erase_at),
            _ => None,
        };
        if !self.materials().iter().any(&which) {
            return self;
        }
        let mut materials = self.state.into_materials();
        materials.iter_mut().filter(|material| which(material)).for_each(Material::forget);
        self.state = match doomed {
            Some(erase_at) => KeyState::PendingDeletion(DoomedKey { materials, erase_at }),
            None => KeyState::PendingImport(EmptyKey { materials }),
        };
        self
    }
}
