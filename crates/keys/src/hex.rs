//! Bytes as lowercase hex in stored JSON: two notations for one value would be one too many, so
//! capital letters are refused.

use crypto::WrappedDataKey;
use serde::{Deserialize, Deserializer, Serializer};

#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0x0f)]));
    }
    text
}

/// The bytes that `text` spells, or `None` if it is not lowercase hex.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// `#[serde(with = "hex::bytes")]` for arrays of a fixed length.
pub mod bytes {
    use super::{Deserialize, Deserializer, Serializer, decode, encode};

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer, B: AsRef<[u8]>>(bytes: &B, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&encode(bytes.as_ref()))
    }

    /// # Errors
    /// If the text is not lowercase hex of the right length.
    pub fn deserialize<'de, D: Deserializer<'de>, B: TryFrom<Vec<u8>>>(
        from: D,
    ) -> Result<B, D::Error> {
        let bytes = decode(&String::deserialize(from)?)
            .ok_or_else(|| serde::de::Error::custom("expected lowercase hex"))?;
        B::try_from(bytes).map_err(|_| serde::de::Error::custom("hex of the wrong length"))
    }
}

/// `#[serde(with = "hex::wrapped")]` for wrapped keys.
pub mod wrapped {
    use super::{Deserializer, Serializer, WrappedDataKey};

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(key: &WrappedDataKey, to: S) -> Result<S::Ok, S::Error> {
        super::bytes::serialize(&key.0, to)
    }

    /// # Errors
    /// If the text is not lowercase hex.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WrappedDataKey, D::Error> {
        super::bytes::deserialize(from).map(WrappedDataKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lowercase_pairs_decode() {
        assert_eq!(decode(&encode(&[0, 0x9a, 0xff])), Some(vec![0, 0x9a, 0xff]));
        for text in ["0", "0g", "AA", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
