use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use keys::IndexKeys;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A table of records of one type, by name. Each role declares its own as constants.
pub struct Table<T> {
    name: Cow<'static, str>,
    record: PhantomData<fn() -> T>,
}

/// A table for each owner (the grants of a key, the keys of a tenant), so that listing what is one
/// owner's costs nothing for all the others'.
pub struct PartitionedTable<T> {
    name: &'static str,
    record: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> PartitionedTable<T> {
    /// Leaves room for a hyphen and the owner's digits.
    pub const NAME_BYTES_MAX: usize = Table::<T>::NAME_BYTES_MAX - 1 - OWNER_DIGITS;

    /// # Panics
    /// At compile time, on what [`Table::new`] refuses.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        check_name(name, Self::NAME_BYTES_MAX);
        Self { name, record: PhantomData }
    }

    /// The table of `owner`. Its name is in the clear, so the owner is in it as a MAC.
    pub(super) fn of(&self, index: &IndexKeys, owner: &str) -> Table<T> {
        let mac = index.slots.mac(&[self.name.as_bytes(), &[0, 0], owner.as_bytes()].concat());
        let digits = keys::hex::encode(&mac.0[..OWNER_DIGITS / 2]);
        Table { name: format!("{}-{digits}", self.name).into(), record: PhantomData }
    }
}

const fn check_name(name: &str, bytes_max: usize) {
    let bytes = name.as_bytes();
    assert!(!bytes.is_empty() && bytes.len() <= bytes_max, "a table needs a short name");
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'-',
            "a table's name has lowercase letters, digits and hyphens"
        );
        at += 1;
    }
}

/// Whether `name` is that of one owner's table.
pub(super) fn is_partition(name: &str) -> bool {
    let owner = name.rsplit_once('-').map_or("", |(_, owner)| owner);
    owner.len() == OWNER_DIGITS && owner.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// 80 bits: no two owners share a table by accident.
const OWNER_DIGITS: usize = 20;

impl<T: Serialize + DeserializeOwned> Table<T> {
    /// The longest name of a table.
    pub const NAME_BYTES_MAX: usize = 32;

    /// # Panics
    /// At compile time, if `name` is not made of 1 to 32 lowercase letters, digits and hyphens: it
    /// lies in the clear before each record's slot, ended by a zero byte.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        check_name(name, Self::NAME_BYTES_MAX);
        Self { name: Cow::Borrowed(name), record: PhantomData }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

/// Some records of a table, in the order in which they lie, which tells nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    pub records: Vec<(String, Versioned<T>)>,
    /// Where the next page begins, if there is more.
    pub next: Option<PageStart>,
}

/// A place between two records of a table. It stays good when records come and go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageStart(pub(super) [u8; 32]);

impl PageStart {
    #[must_use]
    pub fn to_text(&self) -> String {
        keys::hex::encode(&self.0)
    }

    /// `None` if `text` was not made by [`PageStart::to_text`].
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        keys::hex::decode(text)?.try_into().ok().map(Self)
    }
}
