//! Message authentication by HMAC-SHA-256 (RFC 2104).

use std::fmt;

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;

/// A key for message authentication, derived by [`crate::kdf::mac_key`].
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
