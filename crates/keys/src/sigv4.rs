//! Who signed a request: access keys, and the verification of AWS Signature Version 4.
//!
//! `wire` says what a request claims and which bytes its signature covers; here the claim becomes a
//! [`VerifiedSignature`], which nothing else can make. The order is fixed by the types: first the
//! clock ([`check_clock`] gives [`Fresh`]), then the signature.

use std::fmt;

use crypto::Entropy;
use crypto::mac::{Mac, MacKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::UnixSeconds;

/// How far a caller's clock may be from ours. AWS KMS has five minutes; so a captured request can be
/// replayed no longer than that.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 5 * 60;

/// What can be asked of a presigned request at most: a week, as AWS has it.
pub const EXPIRES_SECONDS_MAX: u32 = 7 * 24 * 60 * 60;

/// The public half of an access key, in AWS's form: a kind in four letters, then 16 characters of
/// base32. Not a secret; it names the credential in requests and logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessKeyId([u8; Self::LEN]);

/// Whether a key lasts until it is revoked, or comes with a token that says when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessKeyKind {
    LongTerm,
    Session,
}

impl AccessKeyKind {
    fn prefix(self) -> &'static [u8; 4] {
        match self {
            Self::LongTerm => b"AKIA",
            Self::Session => b"ASIA",
        }
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("not an access key id: expected AKIA or ASIA and 16 of the characters A to Z and 2 to 7")]
pub struct ParseAccessKeyIdError;

impl AccessKeyId {
    /// Length in characters.
    pub const LEN: usize = 20;

    pub fn generate(kind: AccessKeyKind, entropy: &mut dyn Entropy) -> Self {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut text = [0; Self::LEN];
        entropy.fill(&mut text);
        for byte in &mut text[4..] {
            // 32 divides 256, so each character is as likely as any other.
            *byte = ALPHABET[usize::from(*byte % 32)];
        }
        text[..4].copy_from_slice(kind.prefix());
        Self(text)
    }

    /// # Errors
    /// [`ParseAccessKeyIdError`] if no key of ours can be called `text`.
    pub fn parse(text: &str) -> Result<Self, ParseAccessKeyIdError> {
        let text: [u8; Self::LEN] =
            text.as_bytes().try_into().map_err(|_| ParseAccessKeyIdError)?;
        let is_base32 = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'2'..=b'7');
        let kinds = [AccessKeyKind::LongTerm, AccessKeyKind::Session];
        let known = kinds.iter().any(|kind| text.starts_with(kind.prefix()));
        if known && text.iter().all(is_base32) {
            Ok(Self(text))
        } else {
            Err(ParseAccessKeyIdError)
        }
    }

    #[must_use]
    pub fn kind(&self) -> AccessKeyKind {
        let session = self.0.starts_with(AccessKeyKind::Session.prefix());
        if session { AccessKeyKind::Session } else { AccessKeyKind::LongTerm }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base32")
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for AccessKeyId {
    type Error = ParseAccessKeyIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<AccessKeyId> for String {
    fn from(id: AccessKeyId) -> Self {
        id.as_str().to_owned()
    }
}

/// The secret half: 40 characters of base64, 240 bits.
///
/// Opaque and single-owner: no `Clone`, no `Serialize`, no comparison; `Debug` says nothing; wiped
/// on drop. Boxed, so that moving it does not leave copies on the stack.
pub struct SecretAccessKey(Box<Zeroizing<[u8; Self::LEN]>>);

impl SecretAccessKey {
    /// Length in characters.
    pub const LEN: usize = 40;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut text = Box::new(Zeroizing::new([0; Self::LEN]));
        entropy.fill(&mut text[..]);
        for byte in text.iter_mut() {
            // 64 divides 256, so each character is as likely as any other.
            *byte = Self::ALPHABET[usize::from(*byte % 64)];
        }
        Self(text)
    }

    /// Takes over a secret that came from outside: a session token, an unwrapped record.
    ///
    /// # Errors
    /// Gives `None` where `text` is not 40 characters of base64.
    #[must_use]
    pub fn from_caller(text: &[u8]) -> Option<Self> {
        let mut key = Self(Box::new(Zeroizing::new([0; Self::LEN])));
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        if text.len() != Self::LEN || !text.iter().all(is_base64) {
            return None;
        }
        key.0.copy_from_slice(text);
        Some(key)
    }

    /// The only way out: whoever creates an access key is shown its secret, once.
    #[must_use]
    pub fn release_to_caller(self) -> Zeroizing<String> {
        // Base64 throughout, so nothing is replaced; reserved at once, so nothing is left behind.
        let mut text = Zeroizing::new(String::with_capacity(Self::LEN));
        text.extend(self.0.iter().map(|&byte| char::from(byte)));
        text
    }

    pub(crate) fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for SecretAccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretAccessKey(..)")
    }
}

/// What a signing key is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope<'a> {
    /// `YYYYMMDD`.
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// The key of one access key for one day, region and service. It costs four HMACs to derive, so it
/// is kept and used for many requests; what it leaks at worst is that day.
#[derive(Debug)]
pub struct SigningKey {
    access_key_id: AccessKeyId,
    key: MacKey,
}

/// Proof that a request's time was within bounds. Only [`check_clock`] makes it.
#[derive(Debug)]
pub struct Fresh(());

/// Proof that the bearer of an access key signed the request at hand. Only [`SigningKey::verify`]
/// makes it; it says who is calling, not what they may do.
#[derive(Debug)]
#[must_use]
pub struct VerifiedSignature {
    access_key_id: AccessKeyId,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the signature is not the one that this key makes of this request")]
pub struct SignatureMismatch;

/// For how long after its time a request counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validity {
    /// Signed in its header, to be sent at once.
    Immediate,
    /// Presigned: until so many seconds after.
    Presigned { expires_seconds: u32 },
}

/// The time of a request is out of bounds; `window_seconds` is what it was held to.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum ClockError {
    #[error("the request was signed more than {window_seconds} s ago")]
    Expired { window_seconds: u64 },
    #[error("the request was signed more than {window_seconds} s from now")]
    NotYetCurrent { window_seconds: u64 },
}

/// Whether a request signed at `signed_at` counts now.
///
/// # Errors
/// [`ClockError`] says in which direction it does not.
pub fn check_clock(
    signed_at: UnixSeconds,
    validity: Validity,
    now: UnixSeconds,
) -> Result<Fresh, ClockError> {
    let window_seconds = match validity {
        Validity::Immediate => CLOCK_SKEW_SECONDS_MAX,
        // The limit is held here too: whoever parsed may have been lenient.
        Validity::Presigned { expires_seconds } => {
            u64::from(expires_seconds.min(EXPIRES_SECONDS_MAX))
        }
    };
    if signed_at.0 > now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
        return Err(ClockError::NotYetCurrent { window_seconds: CLOCK_SKEW_SECONDS_MAX });
    }
    if now.0 > signed_at.0.saturating_add(window_seconds) {
        return Err(ClockError::Expired { window_seconds });
    }
    Ok(Fresh(()))
}

impl SigningKey {
    #[must_use]
    pub fn derive(access_key_id: AccessKeyId, secret: &SecretAccessKey, scope: Scope<'_>) -> Self {
        let mut first = Zeroizing::new([0; 4 + SecretAccessKey::LEN]);
        first[..4].copy_from_slice(b"AWS4");
        first[4..].copy_from_slice(secret.expose());
        let mut key = MacKey::new_for_foreign_protocol(&first[..]);
        for part in [scope.date, scope.region, scope.service, "aws4_request"] {
            key = key.chain_for_foreign_protocol(part.as_bytes());
        }
        Self { access_key_id, key }
    }

    #[must_use]
    pub fn access_key_id(&self) -> AccessKeyId {
        self.access_key_id
    }

    #[cfg(test)]
    pub(crate) fn signature_for_tests(&self, string_to_sign: &[u8]) -> String {
        crate::hex::encode(&self.key.mac(string_to_sign).0)
    }

    /// Takes as long for a signature that is wrong in its first digit as for one wrong in its last.
    ///
    /// # Errors
    /// [`SignatureMismatch`] if `signature_hex` is not this key's signature of `string_to_sign`.
    pub fn verify(
        &self,
        Fresh(()): Fresh,
        string_to_sign: &[u8],
        signature_hex: &str,
    ) -> Result<VerifiedSignature, SignatureMismatch> {
        let given = parse_signature(signature_hex).ok_or(SignatureMismatch)?;
        if self.key.mac(string_to_sign) != given {
            return Err(SignatureMismatch);
        }
        Ok(VerifiedSignature { access_key_id: self.access_key_id })
    }
}

impl VerifiedSignature {
    #[must_use]
    pub fn access_key_id(&self) -> AccessKeyId {
        self.access_key_id
    }
}

/// As [`crate::hex::decode`], but without an allocation for every request.
fn parse_signature(hex: &str) -> Option<Mac> {
    let hex: &[u8; 2 * Mac::LEN] = hex.as_bytes().try_into().ok()?;
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; Mac::LEN];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(Mac(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::Counting;

    const NOW: UnixSeconds = UnixSeconds(1_440_938_160);

    #[test]
    fn access_keys_look_like_awss() {
        let entropy = &mut Counting::default();
        for (kind, prefix) in [(AccessKeyKind::LongTerm, "AKIA"), (AccessKeyKind::Session, "ASIA")]
        {
            let id = AccessKeyId::generate(kind, entropy);
            assert!(id.as_str().starts_with(prefix), "{id}");
            assert_eq!((AccessKeyId::parse(id.as_str()), id.kind()), (Ok(id), kind));
        }
        let text = SecretAccessKey::generate(entropy).release_to_caller();
        assert_eq!(
            SecretAccessKey::from_caller(text.as_bytes()).unwrap().expose(),
            text.as_bytes()
        );
    }

    #[test]
    fn what_is_no_access_key_is_refused() {
        for text in
            ["", "AKIA", "AKIATESTTESTTESTTES1", "AROATESTTESTTESTTEST", "akiatesttesttesttest"]
        {
            assert_eq!(AccessKeyId::parse(text), Err(ParseAccessKeyIdError), "{text}");
        }
        for text in [&[b'a'; 39][..], &[b'a'; 41], &[b'='; 40], &[0; 40]] {
            assert!(SecretAccessKey::from_caller(text).is_none());
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let secret = SecretAccessKey::from_caller(&[b'a'; 40]).unwrap();
        let scope = Scope { date: "20150830", region: "us-east-1", service: "kms" };
        let id = AccessKeyId::parse("AKIATESTTESTTESTTEST").unwrap();
        let key = SigningKey::derive(id, &secret, scope);
        assert_eq!(format!("{secret:?}"), "SecretAccessKey(..)");
        assert!(format!("{key:?}").ends_with("key: MacKey(..) }"), "{key:?}");
    }

    #[test]
    fn a_signature_holds_for_one_text_and_one_scope() {
        let secret = SecretAccessKey::from_caller(&[b'a'; 40]).unwrap();
        let other = SecretAccessKey::from_caller(&[b'b'; 40]).unwrap();
        let scope = Scope { date: "20150830", region: "us-east-1", service: "kms" };
        let id = AccessKeyId::parse("AKIATESTTESTTESTTEST").unwrap();
        let key = SigningKey::derive(id, &secret, scope);
        let signature = key.signature_for_tests(b"text");
        let fresh = || check_clock(NOW, Validity::Immediate, NOW).unwrap();
        let verified = key.verify(fresh(), b"text", &signature).unwrap();
        assert_eq!(verified.access_key_id(), id);
        let refused = |key: &SigningKey, text: &[u8], signature: &str| {
            assert!(key.verify(fresh(), text, signature).is_err(), "{signature}");
        };
        for (secret, scope) in [
            (&other, scope),
            (&secret, Scope { date: "20150831", ..scope }),
            (&secret, Scope { region: "eu-west-1", ..scope }),
            (&secret, Scope { service: "sts", ..scope }),
        ] {
            refused(&SigningKey::derive(id, secret, scope), b"text", &signature);
        }
        refused(&key, b"texT", &signature);
        refused(&key, b"", &signature);
        refused(&key, b"text", "");
        refused(&key, b"text", &signature.to_uppercase());
        refused(&key, b"text", &signature[..62]);
        for at in 0..signature.len() {
            let mut flipped = signature.clone().into_bytes();
            flipped[at] = if flipped[at] == b'0' { b'1' } else { b'0' };
            refused(&key, b"text", std::str::from_utf8(&flipped).unwrap());
        }
    }

    #[test]
    fn the_clock_may_differ_by_five_minutes() {
        let check = |signed_at: u64, validity| check_clock(UnixSeconds(signed_at), validity, NOW);
        let now = NOW.0;
        let expired = |window_seconds| Err(ClockError::Expired { window_seconds });
        let early = Err(ClockError::NotYetCurrent { window_seconds: 300 });
        let week = u64::from(EXPIRES_SECONDS_MAX);
        let presigned = |expires_seconds| Validity::Presigned { expires_seconds };
        for (signed_at, validity, expected) in [
            (now - 300, Validity::Immediate, Ok(())),
            (now - 301, Validity::Immediate, expired(300)),
            (now + 300, Validity::Immediate, Ok(())),
            (now + 301, Validity::Immediate, early),
            (now - 1, presigned(1), Ok(())),
            (now - 2, presigned(1), expired(1)),
            (now + 301, presigned(1), early),
            (now - week, presigned(EXPIRES_SECONDS_MAX), Ok(())),
            (now - week - 1, presigned(u32::MAX), expired(week)),
            (0, presigned(u32::MAX), expired(week)),
            (u64::MAX, Validity::Immediate, early),
        ] {
            let found = check(signed_at, validity).map(|_| ());
            assert_eq!(found, expected, "{signed_at} {validity:?}");
        }
        let end = UnixSeconds(u64::MAX);
        assert!(check_clock(end, presigned(1), end).is_ok());
    }
}
