//! Key derivation: NIST SP 800-108r1, section 4.1 (counter mode), with HMAC-SHA-256 as the PRF.
//!
//! Every derivation names what the key is for (the label), what object it belongs to (the context)
//! and a salt. The fields are length-prefixed, so that no two different inputs encode alike.

use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use zeroize::Zeroizing;

use crate::DataKey;
use crate::aead::OneTimeKey;
use crate::mac::MacKey;

/// A fresh random value that makes the key of one sealed object unlike any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(pub [u8; Self::LEN]);

impl Salt {
    /// Length in bytes.
    pub const LEN: usize = 16;
}

/// What a derived key is for. One constant per use; two uses never share a label.
///
/// A label ends up in stored formats: never change one, add another.
#[derive(Clone, Copy, Debug)]
pub struct Label(pub &'static str);

/// Derives the key that seals or opens exactly one object, of identity `context`, under `salt`.
#[must_use]
pub fn one_time_key(parent: &DataKey, label: Label, context: &[&[u8]], salt: &Salt) -> OneTimeKey {
    OneTimeKey::new(derive(parent, label, context, &salt.0))
}

/// Derives a key that is itself a parent (a group's key, a table's key).
#[must_use]
pub fn child_key(parent: &DataKey, label: Label, context: &[&[u8]], salt: &Salt) -> DataKey {
    DataKey::from_caller(&derive(parent, label, context, &salt.0)[..]).expect("32 bytes in")
}

/// Derives a key for message authentication; it needs no salt, since a MAC key may be used often.
#[must_use]
pub fn mac_key(parent: &DataKey, label: Label, context: &[&[u8]]) -> MacKey {
    MacKey::new(&derive(parent, label, context, &[])[..])
}

fn derive(parent: &DataKey, label: Label, context: &[&[u8]], salt: &[u8]) -> Zeroizing<[u8; 32]> {
    // Fixed input data: label, then each context field, then the salt. On the stack where it fits,
    // since this runs once for every 4 KiB block.
    const INLINE_BYTES: usize = 256;
    let total = field_len(label.0.as_bytes())
        + context.iter().map(|field| field_len(field)).sum::<usize>()
        + field_len(salt);
    let mut inline = [0; INLINE_BYTES];
    let mut heap = Vec::new();
    let info: &mut [u8] = if total <= INLINE_BYTES {
        &mut inline[..total]
    } else {
        heap.resize(total, 0);
        &mut heap
    };
    let mut rest = &mut info[..];
    for field in std::iter::once(label.0.as_bytes()).chain(context.iter().copied()).chain([salt]) {
        let length = u32::try_from(field.len()).expect("a context field is shorter than 4 GiB");
        let (head, tail) = rest.split_at_mut(field_len(field));
        head[..4].copy_from_slice(&length.to_be_bytes());
        head[4..].copy_from_slice(field);
        rest = tail;
    }
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256)
        .expect("AWS-LC offers counter mode with SHA-256");
    let mut output = Zeroizing::new([0; 32]);
    kbkdf_ctr_hmac(algorithm, parent.expose(), info, &mut output[..])
        .expect("a 32-byte key and output are within the algorithm's limits");
    output
}

fn field_len(field: &[u8]) -> usize {
    4 + field.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: [u8; 32] = [7; 32];

    fn derived(label: &'static str, context: &[&[u8]], salt: u8) -> [u8; 32] {
        let parent = DataKey::from_caller(&PARENT).unwrap();
        *child_key(&parent, Label(label), context, &Salt([salt; 16])).expose()
    }

    #[test]
    fn every_input_matters() {
        let base = derived("a", &[b"x", b"y"], 1);
        assert_eq!(base, derived("a", &[b"x", b"y"], 1));
        assert_ne!(base, derived("b", &[b"x", b"y"], 1));
        assert_ne!(base, derived("a", &[b"xy", b""], 1));
        assert_ne!(base, derived("a", &[b"xy"], 1));
        assert_ne!(base, derived("a", &[b"x", b"y"], 2));
    }

    #[test]
    fn long_contexts_do_not_fall_back_to_short_ones() {
        let long = vec![1; 400];
        assert_ne!(derived("a", &[&long], 1), derived("a", &[&long[..399]], 1));
    }

    /// SP 800-108r1, section 4.1: K(1) = PRF(key, [1]_32 ‖ fixed input), here computed with HMAC.
    #[test]
    fn sp800_108_counter_mode_matches_hmac() {
        let mut message = 1u32.to_be_bytes().to_vec();
        for field in [&b"a"[..], b"x", &[1; 16]] {
            message.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            message.extend(field);
        }
        let expected = crate::mac::MacKey::new(&PARENT).mac(&message);
        assert_eq!(derived("a", &[b"x"], 1), expected.0);
    }
}
