//! Message authentication by HMAC-SHA-256 (RFC 2104).

use std::fmt;

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A key for message authentication, derived by [`crate::kdf::mac_key`], or made as somebody else's
/// protocol fixes it.
pub struct MacKey(hmac::Key);

/// A 256-bit authentication code. Comparison takes constant time.
#[derive(Clone, Copy, Debug)]
pub struct Mac(pub [u8; Mac::LEN]);

impl Mac {
    /// Length in bytes.
    pub const LEN: usize = 32;
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Mac {}

impl MacKey {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A key that a protocol of others prescribes, such as the first in SigV4's chain. Nothing binds
    /// it to one use: for whatever is ours, derive one with [`crate::kdf::mac_key`].
    #[must_use]
    pub fn new_for_foreign_protocol(bytes: &[u8]) -> Self {
        Self::new(bytes)
    }

    /// The key that such a protocol derives from this one: the code of `message`. Thus the bytes of
    /// a chain's keys never leave this crate.
    #[must_use]
    pub fn chain_for_foreign_protocol(&self, message: &[u8]) -> Self {
        Self::new(&Zeroizing::new(self.mac(message).0)[..])
    }

    #[must_use]
    pub fn mac(&self, message: &[u8]) -> Mac {
        let tag = hmac::sign(&self.0, message);
        Mac(tag.as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes"))
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

/// SHA-256 of `message` (FIPS 180-4).
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message);
    digest.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, section 4.3 (test case 2); a chained key is the code, used as a key.
    #[test]
    fn rfc4231_case_2_and_a_chain() {
        let key = MacKey::new_for_foreign_protocol(b"Jefe");
        let code = key.mac(b"what do ya want for nothing?");
        assert_eq!(code.0[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(code.0[28..], [0x64, 0xec, 0x38, 0x43]);
        let chained = key.chain_for_foreign_protocol(b"what do ya want for nothing?");
        assert_eq!(chained.mac(b"x"), MacKey::new(&code.0).mac(b"x"));
    }
}
