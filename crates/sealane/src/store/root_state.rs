//! The authenticated root: one sealed record that changes with every transaction and stands for
//! all others.
//!
//! It holds a multiset hash of all records: the sum, modulo 2^256, of a keyed hash of each. Adding
//! and removing a record costs one hash, and since the key and the sum are secret, no other set of
//! records with the same sum can be found. A second, weighted sum names the culprit: if a single
//! record differs, the ratio of the two differences is the weight of its slot.

use crypto::Id;
use keys::{DomainKeyRecord, IndexKeyRecord, IndexKeys, hex};
use serde::{Deserialize, Serialize};

/// 2^61 - 1: sums modulo this prime fit a `u64`, products a `u128`.
const PRIME: u64 = (1 << 61) - 1;

/// What the root record holds, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RootState {
    /// Transactions since the store was made.
    pub(super) sequence: u64,
    /// The MAC of the root before this one, so that a store one ahead of its anchor can be told
    /// from another store.
    #[serde(with = "hex::bytes")]
    pub(super) previous: [u8; 32],
    pub(super) sums: Sums,
    pub(super) index: IndexKeyRecord,
    /// In the order in which they were made; the last is the current one.
    pub(super) domains: Vec<DomainKeyRecord>,
}

/// Sums over all records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sums {
    pub(super) records: u64,
    #[serde(with = "hex::bytes")]
    total: [u8; 32],
    plain: u64,
    weighted: u64,
}

/// One record's part in the sums.
#[derive(Clone, Copy)]
pub(super) struct Term {
    hash: [u8; 32],
    plain: u64,
    weight: u64,
}

impl Term {
    /// Of the record `sealed` that lies at `key`.
    pub(super) fn of(keys: &IndexKeys, key: &[u8], sealed: &[u8]) -> Self {
        let mut message = Vec::with_capacity(4 + key.len() + sealed.len());
        message.extend(u32::try_from(key.len()).expect("keys are short").to_be_bytes());
        message.extend(key);
        message.extend(sealed);
        let hash = keys.terms.mac(&message).0;
        Self { hash, plain: residue(&hash), weight: weight(key) }
    }
}

/// A slot is a MAC, so its last bytes are as good as random.
fn weight(key: &[u8]) -> u64 {
    let tail = key.last_chunk::<8>().expect("a slot is longer");
    u64::from_be_bytes(*tail) % (PRIME - 1) + 1
}

fn residue(hash: &[u8; 32]) -> u64 {
    u64::from_be_bytes(*hash.first_chunk().expect("a hash is longer")) % PRIME
}

fn times(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right) % u128::from(PRIME);
    u64::try_from(product).expect("less than the prime")
}

fn plus(left: u64, right: u64) -> u64 {
    (left + right) % PRIME
}

fn minus(left: u64, right: u64) -> u64 {
    plus(left, PRIME - right % PRIME)
}

impl Sums {
    pub(super) fn add(&mut self, term: &Term) {
        self.records += 1;
        self.add_to_total(&term.hash);
        self.plain = plus(self.plain, term.plain);
        self.weighted = plus(self.weighted, times(term.weight, term.plain));
    }

    /// Adds what others have added up.
    pub(super) fn merge(&mut self, others: &Self) {
        self.records += others.records;
        self.add_to_total(&others.total);
        self.plain = plus(self.plain, others.plain);
        self.weighted = plus(self.weighted, others.weighted);
    }

    fn add_to_total(&mut self, number: &[u8; 32]) {
        let mut carry = 0;
        for (sum, byte) in self.total.iter_mut().zip(number).rev() {
            let wide = u16::from(*sum) + u16::from(*byte) + carry;
            *sum = wide.to_be_bytes()[1];
            carry = wide >> 8;
        }
    }

    pub(super) fn remove(&mut self, term: &Term) {
        self.records -= 1;
        let mut borrow = 0;
        for (sum, byte) in self.total.iter_mut().zip(term.hash).rev() {
            let wide = 256 + u16::from(*sum) - u16::from(byte) - borrow;
            *sum = wide.to_be_bytes()[1];
            borrow = 1 - (wide >> 8);
        }
        self.plain = minus(self.plain, term.plain);
        self.weighted = minus(self.weighted, times(term.weight, term.plain));
    }

    /// Whether, if exactly one record differs between `self` and `found`, it is the one at `key`.
    pub(super) fn accuses(&self, found: &Self, key: &[u8]) -> bool {
        let plain = minus(found.plain, self.plain);
        let weighted = minus(found.weighted, self.weighted);
        plain != 0 && times(weight(key), plain) == weighted
    }
}

impl RootState {
    pub(super) fn first(index: IndexKeyRecord, domain: DomainKeyRecord) -> Self {
        Self { sequence: 0, previous: [0; 32], sums: Sums::default(), index, domains: vec![domain] }
    }

    pub(super) fn current_domain(&self) -> Option<Id> {
        self.domains.last().map(|domain| domain.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys in it have golden files of their own.
    #[test]
    fn v1_is_read_and_written_as_it_was() {
        let golden = include_str!("../../tests/golden/test-store-root-v1.json").trim_end();
        let read: RootState = serde_json::from_str(golden).unwrap();
        let mut sums = Sums::default();
        (0..3).for_each(|seed| sums.add(&term(seed)));
        assert_eq!(read.sums, sums);
        assert_eq!((read.sequence, read.previous), (7, [3; 32]));
        assert_eq!(serde_json::to_string(&read).unwrap(), golden);
    }

    fn term(seed: u8) -> Term {
        let hash = crypto::mac::sha256(&[seed]);
        Term { hash, plain: residue(&hash), weight: weight(&slot(seed)) }
    }

    fn slot(seed: u8) -> [u8; 32] {
        crypto::mac::sha256(&[seed, 1])
    }

    #[test]
    fn sums_forget_the_order_and_what_was_removed() {
        let (mut left, mut right) = (Sums::default(), Sums::default());
        for seed in 0..50 {
            left.add(&term(seed));
            right.add(&term(49 - seed));
        }
        assert_eq!(left, right);
        for seed in 0..50 {
            left.remove(&term(seed));
        }
        assert_eq!(left, Sums::default());
    }

    #[test]
    fn sums_of_parts_add_up_to_the_sums_of_all() {
        let (mut all, mut parts) = (Sums::default(), [Sums::default(), Sums::default()]);
        for seed in 0..50 {
            all.add(&term(seed));
            parts[usize::from(seed % 3 == 0)].add(&term(seed));
        }
        let [mut whole, other] = parts;
        whole.merge(&other);
        assert_eq!(whole, all);
    }

    #[test]
    fn a_single_difference_is_traced_to_its_slot() {
        let sum = |seeds: &[u8]| {
            let mut sums = Sums::default();
            seeds.iter().for_each(|&seed| sums.add(&term(seed)));
            sums
        };
        let expected = sum(&[1, 2, 3]);
        // Another record in the slot of number 2.
        let mut found = sum(&[1, 3]);
        found.add(&Term { weight: weight(&slot(2)), ..term(77) });
        let accused: Vec<_> =
            (1..=3).filter(|&seed| expected.accuses(&found, &slot(seed))).collect();
        assert_eq!(accused, [2]);
        assert!(!expected.accuses(&sum(&[1, 2, 3]), &slot(2)));
    }
}
