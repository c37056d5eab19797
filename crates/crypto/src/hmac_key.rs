//! HMAC keys of AWS's four kinds (RFC 2104, FIPS 198-1). [`crate::mac`] is for our own use.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::Entropy;

/// The kind of an HMAC key, which is also its hash function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MacSpec {
    Hmac224,
    Hmac256,
    Hmac384,
    Hmac512,
}

/// An HMAC key. Opaque and single-owner; `Debug` names the kind only; wiped on drop.
pub struct MacKeyMaterial {
    spec: MacSpec,
    bytes: Zeroizing<Vec<u8>>,
    /// The key as the hash function has absorbed it. Boxed, so that moving it leaves no copy.
    key: Box<hmac::Key>,
}

/// An authentication code as long as the hash. To compare one with what a caller sent, use
/// [`MacKeyMaterial::verify`].
#[derive(Clone, Copy, Debug)]
pub struct KeyedMac(hmac::Tag);

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("a key of kind {} is {} to {} bytes long", .0.name(), .0.key_bytes_min(), .0.key_bytes_max())]
pub struct KeyLengthError(pub MacSpec);

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the code does not match the message and the key")]
pub struct MacMismatch;

impl MacSpec {
    pub const ALL: [Self; 4] = [Self::Hmac224, Self::Hmac256, Self::Hmac384, Self::Hmac512];

    /// AWS's `KeySpec`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hmac224 => "HMAC_224",
            Self::Hmac256 => "HMAC_256",
            Self::Hmac384 => "HMAC_384",
            Self::Hmac512 => "HMAC_512",
        }
    }

    /// AWS's `MacAlgorithmSpec`, one for each kind of key.
    #[must_use]
    pub const fn algorithm_name(self) -> &'static str {
        match self {
            Self::Hmac224 => "HMAC_SHA_224",
            Self::Hmac256 => "HMAC_SHA_256",
            Self::Hmac384 => "HMAC_SHA_384",
            Self::Hmac512 => "HMAC_SHA_512",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|spec| spec.name() == name)
    }

    #[must_use]
    pub fn from_algorithm_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|spec| spec.algorithm_name() == name)
    }

    /// The length of a generated key, and of a code: that of the hash. No shorter key is accepted.
    #[must_use]
    pub const fn key_bytes_min(self) -> usize {
        match self {
            Self::Hmac224 => 28,
            Self::Hmac256 => 32,
            Self::Hmac384 => 48,
            Self::Hmac512 => 64,
        }
    }

    /// The block of the hash function: a longer key would be hashed first, and gain nothing.
    #[must_use]
    pub const fn key_bytes_max(self) -> usize {
        match self {
            Self::Hmac224 | Self::Hmac256 => 64,
            Self::Hmac384 | Self::Hmac512 => 128,
        }
    }

    const fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Hmac224 => hmac::HMAC_SHA224,
            Self::Hmac256 => hmac::HMAC_SHA256,
            Self::Hmac384 => hmac::HMAC_SHA384,
            Self::Hmac512 => hmac::HMAC_SHA512,
        }
    }
}

impl MacKeyMaterial {
    #[must_use]
    pub fn generate(spec: MacSpec, entropy: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new(vec![0; spec.key_bytes_min()]);
        entropy.fill(&mut bytes);
        Self::new(spec, bytes)
    }

    /// # Errors
    /// [`KeyLengthError`] if a key of this kind cannot be that long.
    pub fn from_bytes(spec: MacSpec, bytes: &[u8]) -> Result<Self, KeyLengthError> {
        if !(spec.key_bytes_min()..=spec.key_bytes_max()).contains(&bytes.len()) {
            return Err(KeyLengthError(spec));
        }
        Ok(Self::new(spec, Zeroizing::new(bytes.to_vec())))
    }

    fn new(spec: MacSpec, bytes: Zeroizing<Vec<u8>>) -> Self {
        let key = Box::new(hmac::Key::new(spec.algorithm(), &bytes));
        Self { spec, bytes, key }
    }

    #[must_use]
    pub const fn spec(&self) -> MacSpec {
        self.spec
    }

    /// The key's bytes, to be wrapped.
    #[must_use]
    pub fn release_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.bytes.clone()
    }

    #[must_use]
    pub fn mac(&self, message: &[u8]) -> KeyedMac {
        KeyedMac(hmac::sign(&self.key, message))
    }

    /// Compares in constant time, and takes no truncated code.
    ///
    /// # Errors
    /// [`MacMismatch`] if `mac` is not the code of `message`.
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> Result<(), MacMismatch> {
        hmac::verify(&self.key, message, mac).map_err(|_| MacMismatch)
    }
}

impl AsRef<[u8]> for KeyedMac {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl fmt::Debug for MacKeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacKeyMaterial({}, ..)", self.spec.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn names_are_those_of_aws() {
        for spec in MacSpec::ALL {
            assert_eq!(MacSpec::from_name(spec.name()), Some(spec));
            assert_eq!(MacSpec::from_algorithm_name(spec.algorithm_name()), Some(spec));
            assert_eq!(MacSpec::from_name(spec.algorithm_name()), None);
        }
    }

    #[test]
    fn a_stored_key_gives_the_same_codes() {
        for spec in MacSpec::ALL {
            let key = MacKeyMaterial::generate(spec, &mut SystemEntropy::new());
            let copy = MacKeyMaterial::from_bytes(spec, &key.release_bytes()).unwrap();
            let mac = key.mac(b"report");
            assert_eq!(mac.as_ref().len(), spec.key_bytes_min());
            assert_eq!(copy.mac(b"report").as_ref(), mac.as_ref());
            assert_eq!(copy.verify(b"report", mac.as_ref()), Ok(()));
            assert_eq!(format!("{copy:?}"), format!("MacKeyMaterial({}, ..)", spec.name()));

            assert_eq!(copy.verify(b"repost", mac.as_ref()), Err(MacMismatch));
            assert_eq!(copy.verify(b"report", &mac.as_ref()[1..]), Err(MacMismatch));
            assert_eq!(copy.verify(b"report", &mac.as_ref()[..16]), Err(MacMismatch));
            assert_eq!(copy.verify(b"report", &[]), Err(MacMismatch));
            for index in 0..mac.as_ref().len() {
                let mut changed = mac.as_ref().to_vec();
                changed[index] ^= 1;
                assert_eq!(copy.verify(b"report", &changed), Err(MacMismatch));
            }
            let other = MacKeyMaterial::generate(spec, &mut SystemEntropy::new());
            assert_eq!(other.verify(b"report", mac.as_ref()), Err(MacMismatch));
        }
    }

    #[test]
    fn a_key_is_as_long_as_its_kind_allows() {
        for spec in MacSpec::ALL {
            for (length, fits) in [
                (0, false),
                (spec.key_bytes_min() - 1, false),
                (spec.key_bytes_min(), true),
                (spec.key_bytes_max(), true),
                (spec.key_bytes_max() + 1, false),
            ] {
                let made = MacKeyMaterial::from_bytes(spec, &vec![7; length]);
                assert_eq!(made.is_ok(), fits, "{spec:?} of {length} bytes");
            }
        }
        let error = MacKeyMaterial::from_bytes(MacSpec::Hmac384, &[]).unwrap_err();
        assert_eq!(error.to_string(), "a key of kind HMAC_384 is 48 to 128 bytes long");
    }
}
