//! ML-KEM (FIPS 203). The library gives raw keys; here they get their DER around them (RFC 9935).

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::family::MlKemSet;
use super::{
    DecapsulateError, EncapsulateError, Encapsulated, NotAKey, PublicKeyDer, SharedSecret,
};

pub(super) struct MlKem {
    set: &'static MlKemSet,
    decapsulating: DecapsulationKey,
    encapsulation_key: Vec<u8>,
}

/// What an expanded private key ends with, after the encapsulation key: that key's hash and the
/// secret of implicit rejection (FIPS 203, algorithm 16).
const AFTER_ENCAPSULATION_KEY: usize = 32 + 32;

impl MlKem {
    pub(super) fn generate(set: &'static MlKemSet) -> Result<Self, Unspecified> {
        let key = DecapsulationKey::generate(set.algorithm)?;
        Self::from_expanded(set, key.key_bytes()?.as_ref()).map_err(|_| Unspecified)
    }

    pub(super) fn from_pkcs8(set: &'static MlKemSet, pkcs8: &[u8]) -> Result<Self, NotAKey> {
        Self::from_expanded(set, pkcs8.strip_prefix(&set.pkcs8_prefix()[..]).ok_or(NotAKey)?)
    }

    fn from_expanded(set: &'static MlKemSet, expanded: &[u8]) -> Result<Self, NotAKey> {
        let decapsulating = DecapsulationKey::new(set.algorithm, expanded).map_err(|_| NotAKey)?;
        let end = expanded.len().checked_sub(AFTER_ENCAPSULATION_KEY).ok_or(NotAKey)?;
        let start = end.checked_sub(set.encapsulation_key_bytes).ok_or(NotAKey)?;
        let key = Self { set, decapsulating, encapsulation_key: expanded[start..end].to_vec() };
        // The library has looked at the length only. A key whose halves do not belong together
        // would decapsulate to noise without ever saying so.
        let tried = set.encapsulate(&key.encapsulation_key)?;
        let secret = key.decapsulate(&tried.ciphertext).map_err(|_| NotAKey)?;
        if bool::from(secret.ct_eq(&tried.shared_secret[..])) { Ok(key) } else { Err(NotAKey) }
    }

    pub(super) fn release_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let expanded = self.decapsulating.key_bytes()?;
        let prefix = self.set.pkcs8_prefix();
        // Reserved at once: a reallocation would leave a copy of the secret behind.
        let mut pkcs8 = Zeroizing::new(Vec::with_capacity(prefix.len() + expanded.as_ref().len()));
        pkcs8.extend_from_slice(&prefix);
        pkcs8.extend_from_slice(expanded.as_ref());
        Ok(pkcs8)
    }

    pub(super) fn public_key(&self) -> Vec<u8> {
        [&self.set.public_key_prefix()[..], &self.encapsulation_key].concat()
    }

    pub(super) fn decapsulate(&self, ciphertext: &[u8]) -> Result<SharedSecret, DecapsulateError> {
        let expected = self.set.ciphertext_bytes;
        if ciphertext.len() != expected {
            return Err(DecapsulateError::CiphertextLength { expected });
        }
        let secret = self
            .decapsulating
            .decapsulate(Ciphertext::from(ciphertext))
            .map_err(|_| DecapsulateError::Failed)?;
        secret.as_ref().try_into().map(Zeroizing::new).map_err(|_| DecapsulateError::Failed)
    }
}

pub(super) fn encapsulate(
    set: &'static MlKemSet,
    public_key: &PublicKeyDer,
) -> Result<Encapsulated, EncapsulateError> {
    let raw = public_key.0.strip_prefix(&set.public_key_prefix()[..]).ok_or(NotAKey)?;
    Ok(set.encapsulate(raw)?)
}

impl MlKemSet {
    /// Fails where `raw` has another length, or coefficients that no key has (FIPS 203, 7.2).
    fn encapsulate(&'static self, raw: &[u8]) -> Result<Encapsulated, NotAKey> {
        let key = EncapsulationKey::new(self.algorithm, raw).map_err(|_| NotAKey)?;
        let (ciphertext, secret) = key.encapsulate().map_err(|_| NotAKey)?;
        let shared_secret = secret.as_ref().try_into().map_err(|_| NotAKey)?;
        Ok(Encapsulated {
            ciphertext: ciphertext.as_ref().to_vec(),
            shared_secret: Zeroizing::new(shared_secret),
        })
    }

    /// `PrivateKeyInfo` up to the expanded key: version 0, the algorithm, and an OCTET STRING that
    /// holds `ML-KEM-PrivateKey`, of whose choices `expandedKey` is an OCTET STRING again.
    fn pkcs8_prefix(&self) -> [u8; 28] {
        let expanded = self.decapsulation_key_bytes;
        let mut prefix = [0; 28];
        prefix[..4].copy_from_slice(&header(0x30, 24 + expanded));
        prefix[4..7].copy_from_slice(&[0x02, 1, 0]);
        prefix[7..20].copy_from_slice(self.identifier);
        prefix[20..24].copy_from_slice(&header(0x04, 4 + expanded));
        prefix[24..].copy_from_slice(&header(0x04, expanded));
        prefix
    }

    /// `SubjectPublicKeyInfo` up to the raw key, which is a BIT STRING without unused bits.
    fn public_key_prefix(&self) -> [u8; 22] {
        let raw = self.encapsulation_key_bytes;
        let mut prefix = [0; 22];
        prefix[..4].copy_from_slice(&header(0x30, 18 + raw));
        prefix[4..17].copy_from_slice(self.identifier);
        prefix[17..21].copy_from_slice(&header(0x03, 1 + raw));
        prefix
    }
}

/// The tag and length of a DER value of 256 to 65535 bytes, as all of these are.
fn header(tag: u8, length: usize) -> [u8; 4] {
    let [high, low] = u16::try_from(length).expect("keys are shorter than 64 KiB").to_be_bytes();
    [tag, 0x82, high, low]
}
