//! A key from a passphrase, by Argon2id (RFC 9106).
//!
//! AWS-LC offers no memory-hard function, so this is the one primitive that comes from elsewhere:
//! RustCrypto's `argon2`. PBKDF2, which AWS-LC does offer, costs an attacker's GPU next to nothing.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::{DataKey, Salt};

/// How hard a guess is. Stored beside what the key wraps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Cost {
    /// RFC 9106, section 4, second recommended option: 64 MiB, three passes, four lanes.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// What a stored record may ask for at most: it must not exhaust the memory of its reader.
    pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
    pub const PASSES_MAX: u32 = 64;
    pub const LANES_MAX: u32 = 64;
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the cost of the passphrase's key is outside the limits: {0:?}")]
pub struct CostOutOfRange(pub Cost);

/// # Errors
/// [`CostOutOfRange`] if `cost` exceeds its named limits or Argon2's own minimum.
pub fn derive_key(passphrase: &[u8], salt: &Salt, cost: Cost) -> Result<DataKey, CostOutOfRange> {
    if cost.memory_kib > Cost::MEMORY_KIB_MAX
        || cost.passes > Cost::PASSES_MAX
        || cost.lanes > Cost::LANES_MAX
    {
        return Err(CostOutOfRange(cost));
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(DataKey::LEN))
        .map_err(|_| CostOutOfRange(cost))?;
    let mut output = Zeroizing::new([0; DataKey::LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, &salt.0, &mut output[..])
        .map_err(|_| CostOutOfRange(cost))?;
    Ok(DataKey::from_caller(&output[..]).expect("32 bytes in"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    #[test]
    fn passphrase_salt_and_cost_all_matter() {
        let derive = |passphrase: &[u8], salt: u8, cost| {
            *derive_key(passphrase, &Salt([salt; 16]), cost).unwrap().expose()
        };
        let base = derive(b"a", 1, CHEAP);
        assert_eq!(base, derive(b"a", 1, CHEAP));
        assert_ne!(base, derive(b"b", 1, CHEAP));
        assert_ne!(base, derive(b"a", 2, CHEAP));
        assert_ne!(base, derive(b"a", 1, Cost { passes: 2, ..CHEAP }));
    }

    #[test]
    fn a_cost_beyond_the_limit_is_refused() {
        let greedy = Cost { memory_kib: Cost::MEMORY_KIB_MAX + 1, ..CHEAP };
        assert_eq!(derive_key(b"a", &Salt([1; 16]), greedy).unwrap_err(), CostOutOfRange(greedy));
    }
}
