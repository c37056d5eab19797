//! Stubs of a few lines for this crate's unit tests.

use crypto::{DataKey, Entropy, Id};

/// Entropy that counts: no two draws are alike, and golden bytes stay what they are.
#[derive(Default)]
pub(crate) struct Counting(pub(crate) u64);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 += 1;
            chunk.copy_from_slice(&self.0.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// As [`Counting`], with every byte as good as random: where a single byte is drawn at a time, a
/// counter's would be zero.
#[derive(Default)]
pub(crate) struct Mixed(u64);

impl Entropy for Mixed {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            let mixed = crypto::mac::sha256(&self.0.to_be_bytes());
            chunk.copy_from_slice(&mixed[..chunk.len()]);
        }
    }
}

pub(crate) fn key(byte: u8) -> DataKey {
    DataKey::from_caller(&[byte; 32]).unwrap()
}

pub(crate) fn id(byte: u8) -> Id {
    Id::from_bytes([byte; 16])
}

/// A ring of one domain key, or of several: `ring(1)` opens what `ring(1)` sealed.
pub(crate) fn ring(keys: u8) -> crate::DomainRing {
    let root = crate::RootKey::from_parts(id(200), key(200));
    let entropy = &mut Counting(1 << 32);
    let records: Vec<_> = (0..keys)
        .map(|at| {
            let created = crate::UnixSeconds(u64::from(at));
            crate::DomainKeyRecord::generate(&root, id(201), created, entropy).0
        })
        .collect();
    crate::DomainRing::unwrap_keys(&root, id(201), &records).unwrap()
}
