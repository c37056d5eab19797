use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A table of records of one type, by name. Each role declares its own as constants.
pub struct Table<T> {
    name: &'static str,
    record: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Table<T> {
    /// The longest name of a table.
    pub const NAME_BYTES_MAX: usize = 32;

    /// # Panics
    /// At compile time, if `name` is not made of 1 to 32 lowercase letters, digits and hyphens: it
    /// lies in the clear before each record's slot, ended by a zero byte.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= Self::NAME_BYTES_MAX, "a table needs a name");
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'-',
                "a table's name has lowercase letters, digits and hyphens"
            );
            at += 1;
        }
        Self { name, record: PhantomData }
    }

    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}

/// The transaction that last wrote a record: what compare-and-set compares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version(pub u64);

/// A record and its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned<T> {
    pub version: Version,
    pub value: T,
}
