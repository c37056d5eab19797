//! The encryption context: what a caller binds to a ciphertext.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::faults::{Faults, Path};
use super::member::{Member, Text};

/// Pairs in the order of their names' bytes, each name once. AWS sets no limit on it but one on the
/// whole request's, so whoever uses it as associated data sets theirs.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct EncryptionContext<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> EncryptionContext<'a> {
    /// `None` if a name appears twice.
    #[must_use]
    pub fn from_pairs(mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Option<Self> {
        // Sorted before compared, so that a body full of names costs no square of them.
        pairs.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let twice = pairs.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b));
        (!twice).then_some(Self(pairs))
    }

    #[must_use]
    pub fn pairs(&self) -> &[(Cow<'a, str>, Cow<'a, str>)] {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        self.0.get(found).map(|(_, value)| &**value)
    }
}

impl<'a> Deserialize<'a> for EncryptionContext<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'a> Visitor<'a> for Pairs {
            type Value = EncryptionContext<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(name), Text(value))) = map.next_entry()? {
                    pairs.push((name, value));
                }
                // As for members: which of two counts must not depend on the parser.
                EncryptionContext::from_pairs(pairs)
                    .ok_or_else(|| A::Error::custom("a name appears twice"))
            }
        }
        from.deserialize_map(Pairs)
    }
}

impl<'a> Member<'a> for EncryptionContext<'a> {
    type Raw = Self;
    type Rule = ();

    fn check(context: Self, _: &(), _: Option<&Path<'_>>, _: &mut Faults) -> Option<Self> {
        Some(context)
    }
}
