use std::fmt;

use zeroize::Zeroizing;

use crate::Entropy;

/// A 256-bit secret key: a root, domain, material or data key, or a key derived from one.
///
/// Opaque and single-owner: no `Clone`, no `Serialize`, no comparison; `Debug` says nothing; the
/// bytes are wiped on drop. Boxed, so that moving the key does not leave copies on the stack.
pub struct DataKey(Box<Zeroizing<[u8; 32]>>);

impl DataKey {
    /// Key length in bytes.
    pub const LEN: usize = 32;

    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut key = Self(Box::new(Zeroizing::new([0; 32])));
        entropy.fill(&mut key.0[..]);
        key
    }

    /// Takes over bytes that came from outside: a key file, an unwrapped key, a caller's own key.
    ///
    /// # Errors
    /// Gives `None` where `bytes` is not exactly 32 bytes long.
    #[must_use]
    pub fn from_caller(bytes: &[u8]) -> Option<Self> {
        let mut key = Self(Box::new(Zeroizing::new([0; 32])));
        if bytes.len() != Self::LEN {
            return None;
        }
        key.0.copy_from_slice(bytes);
        Some(key)
    }

    /// The only way out: whoever asked for a data key is owed its plaintext, and a key is wrapped
    /// as bytes.
    #[must_use]
    pub fn release_to_caller(self) -> Box<Zeroizing<[u8; 32]>> {
        self.0
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// A key wrapped under another: safe to store and to print, useless without its parent.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedDataKey(pub Vec<u8>);

impl fmt::Debug for WrappedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedDataKey({} bytes)", self.0.len())
    }
}
