//! AES-256-GCM (NIST SP 800-38D) under keys that are used exactly once.
//!
//! The nonce is constant. That is safe because a [`OneTimeKey`] can be had only by derivation from
//! a fresh salt, and sealing consumes it: a second message under one key does not compile. Only the
//! door files named in ARCHITECTURE.md import this module.

#[cfg(not(feature = "plaintext-for-tests"))]
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// A key that seals one message, or opens it. Consumed by either.
pub struct OneTimeKey(Zeroizing<[u8; 32]>);

/// The 128-bit authentication tag of a sealed message. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(pub [u8; Tag::LEN]);

impl Tag {
    /// Length in bytes.
    pub const LEN: usize = 16;
}

/// The bytes, their additional data or their key are not those that were sealed. Which of them is
/// deliberately not said: the cipher cannot know.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("authentication failed: the sealed bytes or what they are bound to were changed")]
pub struct Forged;

#[cfg(not(feature = "plaintext-for-tests"))]
impl OneTimeKey {
    pub(crate) fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Seals `bytes` in place, bound to `aad`.
    #[must_use = "without its tag the message can never be opened"]
    pub fn seal(self, aad: &[u8], bytes: &mut [u8]) -> Tag {
        let tag = self
            .cipher()
            .seal_in_place_separate_tag(constant_nonce(), Aad::from(aad), bytes)
            .expect("a message is shorter than GCM's limit of 64 GiB");
        Tag(tag.as_ref().try_into().expect("GCM's tag is 16 bytes"))
    }

    /// Opens `bytes` in place.
    ///
    /// # Errors
    /// [`Forged`], and `bytes` are wiped, if anything differs from what was sealed.
    pub fn open(self, aad: &[u8], bytes: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        let opened = self
            .cipher()
            .open_in_place_separate_tag(constant_nonce(), Aad::from(aad), &tag.0, bytes)
            .is_ok();
        if opened {
            Ok(())
        } else {
            bytes.fill(0);
            Err(Forged)
        }
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0[..]).expect("the key is 32 bytes"))
    }
}

#[cfg(not(feature = "plaintext-for-tests"))]
fn constant_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// The canary hunt's counterpart: nothing is sealed, so that the hunt must find its canaries.
#[cfg(feature = "plaintext-for-tests")]
impl OneTimeKey {
    pub(crate) fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    #[must_use = "without its tag the message can never be opened"]
    pub fn seal(self, aad: &[u8], bytes: &mut [u8]) -> Tag {
        self.tag(aad, bytes)
    }

    /// # Errors
    /// [`Forged`] if the checksum differs: recovery needs a tag to find where a log ends.
    pub fn open(self, aad: &[u8], bytes: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        if self.tag(aad, bytes) == *tag { Ok(()) } else { Err(Forged) }
    }

    fn tag(&self, aad: &[u8], bytes: &[u8]) -> Tag {
        let mut message = aad.to_vec();
        message.extend_from_slice(bytes);
        let mac = crate::mac::MacKey::new(&self.0[..]).mac(&message);
        Tag(mac.0[..Tag::LEN].try_into().expect("a MAC is longer than a tag"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kdf::{Label, one_time_key};
    use crate::{DataKey, Salt};

    fn key(salt: u8) -> OneTimeKey {
        let parent = DataKey::from_caller(&[1; 32]).unwrap();
        one_time_key(&parent, Label("test"), &[], &Salt([salt; 16]))
    }

    #[test]
    fn what_was_sealed_opens() {
        let mut bytes = *b"attack at dawn";
        let tag = key(1).seal(b"aad", &mut bytes);
        #[cfg(not(feature = "plaintext-for-tests"))]
        assert_ne!(&bytes, b"attack at dawn");
        assert_eq!(key(1).open(b"aad", &mut bytes, &tag), Ok(()));
        assert_eq!(&bytes, b"attack at dawn");
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let mut sealed = *b"attack at dawn";
        let tag = key(1).seal(b"aad", &mut sealed);
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(1).open(b"aad", &mut bytes, &tag), Err(Forged));
        }
        for bit in 0..Tag::LEN * 8 {
            let mut forged = tag;
            forged.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(1).open(b"aad", &mut sealed.clone(), &forged), Err(Forged));
        }
        assert_eq!(key(1).open(b"aae", &mut sealed.clone(), &tag), Err(Forged));
        assert_eq!(key(2).open(b"aad", &mut sealed.clone(), &tag), Err(Forged));
    }
}
