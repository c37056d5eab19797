//! How many records the tables hold, told without looking: counted as the store is opened, which
//! reads every record anyhow, and with each change from then on.

use std::collections::BTreeMap;

use super::table::is_partition;

/// By table. Of partitioned tables there are as many as owners, and nobody asks: they are left out.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Counts(BTreeMap<String, i64>);

impl Counts {
    pub(super) fn of(&self, table: &str) -> u64 {
        // Only what a transaction adds and takes away can be less than nothing.
        self.0.get(table).map_or(0, |count| u64::try_from(*count).unwrap_or_default())
    }

    pub(super) fn add(&mut self, table: &str) {
        self.change(table, 1);
    }

    pub(super) fn remove(&mut self, table: &str) {
        self.change(table, -1);
    }

    /// Takes over what a transaction has added and taken away.
    pub(super) fn merge(&mut self, changes: &Self) {
        for (table, by) in &changes.0 {
            self.change(table, *by);
        }
    }

    fn change(&mut self, table: &str, by: i64) {
        if is_partition(table) {
            return;
        }
        match self.0.get_mut(table) {
            Some(count) => *count += by,
            None => drop(self.0.insert(table.to_owned(), by)),
        }
    }
}
