//! The audit log's chain: each entry carries the hash of the one before, so that an entry changed,
//! removed or slipped in breaks every entry after it, and the first break is named.
//!
//! Entries lie in the store, sealed like any record. The chain is a plain hash and not a MAC, so
//! that whoever is given an export can check it without a key; checkpoints signed over
//! [`AuditChain::head`] then say who vouches for it.

use crypto::Id;
use crypto::mac::sha256;
use serde::{Deserialize, Serialize};

use crate::authorize::Principal;
use crate::{EncryptionContext, UnixSeconds, hex};

/// What happened, as far as it is known when it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEvent {
    pub time: UnixSeconds,
    pub principal: Principal,
    /// AWS's name of the operation, or ours where AWS has none.
    pub operation: String,
    pub key: Option<Id>,
    pub context: EncryptionContext,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Allowed,
    /// The error's text: it names ids, never secrets.
    Refused(String),
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    pub sequence: u64,
    #[serde(with = "hex::bytes")]
    pub previous: [u8; 32],
    pub event: AuditEvent,
}

/// The end of the chain: how many entries there are, and the hash of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditChain {
    pub entries: u64,
    #[serde(with = "hex::bytes")]
    pub head: [u8; 32],
}

impl Default for AuditChain {
    fn default() -> Self {
        Self { entries: 0, head: sha256(b"sealane/audit/1") }
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BrokenChain {
    #[error("audit entry {sequence} is missing: entry {found} stands in its place")]
    Missing { sequence: u64, found: u64 },
    #[error("audit entry {sequence} or the one before it was changed")]
    Changed { sequence: u64 },
    #[error("the audit log has {found} entries, and its head counts {expected}")]
    Cut { found: u64, expected: u64 },
    #[error("the last audit entry, {sequence}, was changed")]
    HeadDiffers { sequence: u64 },
}

impl AuditChain {
    /// Puts `event` at the end. The entry and the advanced chain are to be stored in one
    /// transaction.
    #[must_use]
    pub fn append(&mut self, event: AuditEvent) -> AuditEntry {
        let entry = AuditEntry { sequence: self.entries, previous: self.head, event };
        *self = Self { entries: self.entries + 1, head: entry.hash() };
        entry
    }

    /// Checks `entries`, all of them in order, against this head.
    ///
    /// # Errors
    /// [`BrokenChain`] names the first entry that does not fit.
    pub fn verify<'e>(
        &self,
        entries: impl IntoIterator<Item = &'e AuditEntry>,
    ) -> Result<(), BrokenChain> {
        let mut chain = Self::default();
        for entry in entries {
            let sequence = chain.entries;
            if entry.sequence != sequence {
                return Err(BrokenChain::Missing { sequence, found: entry.sequence });
            }
            if entry.previous != chain.head {
                return Err(BrokenChain::Changed { sequence });
            }
            chain = Self { entries: sequence + 1, head: entry.hash() };
        }
        if chain.entries != self.entries {
            return Err(BrokenChain::Cut { found: chain.entries, expected: self.entries });
        }
        if chain.head != self.head {
            return Err(BrokenChain::HeadDiffers { sequence: chain.entries.saturating_sub(1) });
        }
        Ok(())
    }
}

impl AuditEntry {
    /// Over the entry's JSON: its fields have one order, maps are sorted, and floats do not occur.
    fn hash(&self) -> [u8; 32] {
        let json = serde_json::to_vec(self).expect("an entry has only strings and numbers");
        sha256(&json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: u64) -> (AuditChain, Vec<AuditEntry>) {
        let mut chain = AuditChain::default();
        let entries = (0..length)
            .map(|at| {
                chain.append(AuditEvent {
                    time: UnixSeconds(at),
                    principal: Principal::Admin,
                    operation: "CreateKey".to_owned(),
                    key: None,
                    context: EncryptionContext::default(),
                    outcome: Outcome::Allowed,
                })
            })
            .collect();
        (chain, entries)
    }

    #[test]
    fn a_whole_chain_verifies() {
        for length in [0, 1, 5] {
            let (chain, entries) = chain(length);
            assert_eq!(chain.verify(&entries), Ok(()));
        }
    }

    #[test]
    fn the_first_break_is_named() {
        let check = |spoil: fn(&mut Vec<AuditEntry>), expected| {
            let (chain, mut entries) = chain(5);
            spoil(&mut entries);
            assert_eq!(chain.verify(&entries), Err(expected));
        };
        check(
            |entries| entries[2].event.outcome = Outcome::Refused(String::new()),
            BrokenChain::Changed { sequence: 3 },
        );
        check(
            |entries| entries[4].event.time = UnixSeconds(99),
            BrokenChain::HeadDiffers { sequence: 4 },
        );
        check(|entries| drop(entries.remove(1)), BrokenChain::Missing { sequence: 1, found: 2 });
        check(|entries| drop(entries.pop()), BrokenChain::Cut { found: 4, expected: 5 });
        check(|entries| entries.swap(0, 1), BrokenChain::Missing { sequence: 0, found: 1 });
    }
}
