use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The additional authenticated data that a caller binds to a ciphertext. Not secret: it appears in
/// the audit log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct EncryptionContext(BTreeMap<String, String>);

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum ContextError {
    #[error("the encryption context has {0} pairs; at most {max} are allowed", max = EncryptionContext::PAIRS_MAX)]
    TooManyPairs(usize),
    #[error("the encryption context is {0} bytes long; at most {max} are allowed", max = EncryptionContext::BYTES_MAX)]
    TooLong(usize),
    #[error("a name in the encryption context is empty")]
    EmptyName,
}

impl EncryptionContext {
    /// Pairs in one context.
    pub const PAIRS_MAX: usize = 64;
    /// Names and values together; AWS KMS draws its line at 8 KiB too.
    pub const BYTES_MAX: usize = 8192;

    /// # Errors
    /// [`ContextError`] if a limit is exceeded or a name is empty.
    pub fn new(pairs: BTreeMap<String, String>) -> Result<Self, ContextError> {
        if pairs.len() > Self::PAIRS_MAX {
            return Err(ContextError::TooManyPairs(pairs.len()));
        }
        let bytes = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > Self::BYTES_MAX {
            return Err(ContextError::TooLong(bytes));
        }
        if pairs.keys().any(String::is_empty) {
            return Err(ContextError::EmptyName);
        }
        Ok(Self(pairs))
    }

    /// A context of a few known pairs.
    ///
    /// # Errors
    /// As [`EncryptionContext::new`].
    pub fn of<const N: usize>(pairs: [(&str, String); N]) -> Result<Self, ContextError> {
        Self::new(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    #[must_use]
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The one encoding that is authenticated: the number of pairs, then each name and value in
    /// the order of the names' bytes, all with a 32-bit length in front. Joining with `=` and `,`
    /// instead would let a value imitate another pair.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = length(self.0.len()).to_vec();
        for field in self.0.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend(length(field.len()));
            bytes.extend(field.as_bytes());
        }
        bytes
    }
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("limits keep a context far below 4 GiB").to_be_bytes()
}

impl TryFrom<BTreeMap<String, String>> for EncryptionContext {
    type Error = ContextError;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, ContextError> {
        Self::new(pairs)
    }
}

impl From<EncryptionContext> for BTreeMap<String, String> {
    fn from(context: EncryptionContext) -> Self {
        context.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Result<EncryptionContext, ContextError> {
        EncryptionContext::new(
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn no_two_contexts_encode_alike() {
        let all = [
            context(&[]),
            context(&[("a", "b")]),
            context(&[("a", "")]),
            context(&[("ab", "")]),
            context(&[("a", "b"), ("c", "d")]),
            context(&[("a", "bcd")]),
        ];
        for (at, left) in all.iter().enumerate() {
            for right in &all[at + 1..] {
                let (left, right) = (left.as_ref().unwrap(), right.as_ref().unwrap());
                assert_ne!(left.canonical(), right.canonical());
            }
        }
    }

    #[test]
    fn limits_hold_at_the_limit() {
        let most = "v".repeat(EncryptionContext::BYTES_MAX - 1);
        assert!(context(&[("n", &most)]).is_ok());
        assert_eq!(
            context(&[("nn", &most)]),
            Err(ContextError::TooLong(EncryptionContext::BYTES_MAX + 1))
        );
        let pairs = |count: usize| {
            EncryptionContext::new((0..count).map(|at| (at.to_string(), String::new())).collect())
        };
        assert!(pairs(EncryptionContext::PAIRS_MAX).is_ok());
        assert_eq!(
            pairs(EncryptionContext::PAIRS_MAX + 1),
            Err(ContextError::TooManyPairs(EncryptionContext::PAIRS_MAX + 1))
        );
        assert_eq!(context(&[("", "v")]), Err(ContextError::EmptyName));
    }
}
