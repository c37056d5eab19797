//! Bytes, which the protocol writes in base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::faults::{Faults, Path, Shown};
use super::member::Member;
use super::rules::BlobRule;

/// A caller's secret, decoded once and wiped at the end.
pub struct SecretBlob(Zeroizing<Vec<u8>>);

/// A secret on its way to the caller. Whoever holds the bytes wipes them.
#[derive(Clone, Copy)]
pub struct SecretBytes<'a>(pub &'a [u8]);

impl SecretBlob {
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    #[must_use]
    pub fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl fmt::Debug for SecretBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBlob")
    }
}

impl fmt::Debug for SecretBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes")
    }
}

pub(crate) struct Decoded(Vec<u8>);

impl<'a> Deserialize<'a> for Decoded {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Decoded;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Decoded, E> {
                STANDARD.decode(text).map(Decoded).map_err(|_| E::custom("not base64"))
            }
        }
        from.deserialize_str(Base64)
    }
}

impl<'a> Member<'a> for Vec<u8> {
    type Raw = Decoded;
    type Rule = BlobRule;

    fn check(
        Decoded(bytes): Decoded,
        rule: &BlobRule,
        at: Option<&Path<'_>>,
        faults: &mut Faults,
    ) -> Option<Self> {
        check_length(bytes.len(), rule, at, faults);
        Some(bytes)
    }
}

impl<'a> Deserialize<'a> for SecretBlob {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(from)?.get();
        decode_secret(json).map(Self).ok_or_else(|| D::Error::custom("not base64"))
    }
}

impl<'a> Member<'a> for SecretBlob {
    type Raw = Self;
    type Rule = BlobRule;
    const SENSITIVE: bool = true;

    fn check(
        secret: Self,
        rule: &BlobRule,
        at: Option<&Path<'_>>,
        faults: &mut Faults,
    ) -> Option<Self> {
        check_length(secret.0.len(), rule, at, faults);
        Some(secret)
    }
}

fn check_length(len: usize, rule: &BlobRule, at: Option<&Path<'_>>, faults: &mut Faults) {
    let Some(at) = at else { return };
    if len < rule.min {
        let bound = format_args!("have length greater than or equal to {}", rule.min);
        faults.add(&Shown::Hidden, at, bound);
    } else if len > rule.max {
        let bound = format_args!("have length less than or equal to {}", rule.max);
        faults.add(&Shown::Hidden, at, bound);
    }
}

/// Decodes a JSON string of base64 without leaving a copy of it anywhere.
fn decode_secret(json: &str) -> Option<Zeroizing<Vec<u8>>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    if !inner.contains(&b'\\') {
        return decode_wiped(inner);
    }
    decode_wiped(&unescape(inner)?)
}

/// Some clients escape the slash, or the plus and the equals sign. Nothing else has a place here.
fn unescape(inner: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut rest = inner;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        let (&kind, after) = rest.split_first()?;
        rest = after;
        match kind {
            b'/' => plain.push(b'/'),
            b'u' => {
                let (digits, after) = rest.split_at_checked(4)?;
                rest = after;
                let digits = std::str::from_utf8(digits).ok()?;
                // A sign would pass for a digit.
                let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| all_hex)?;
                plain.push(u8::try_from(code).ok().filter(u8::is_ascii)?);
            }
            _ => return None,
        }
    }
    Some(plain)
}

fn decode_wiped(base64: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(base64.len())]);
    let len = STANDARD.decode_slice(base64, &mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}
