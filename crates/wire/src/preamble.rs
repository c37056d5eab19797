//! The native tunnel's preamble and the answer to it (`docs/formats/tunnel.md`).
//!
//! The calling proxy says once, at the start of each tunnel, what it wants to reach; the accepting
//! proxy says whether it may and, if not, why. After an acceptance the application's bytes follow.

mod answer;
mod target;

pub use answer::{ANSWER_BYTES_MAX, Answer, AnswerError, REASON_BYTES_MAX, RefusalCode};
pub use target::{ParseTargetError, TARGET_BYTES_MAX, TargetName};

use crate::Decoded;

/// The version this codec speaks. Another version is refused at its first byte.
pub const VERSION: u8 = 1;

/// A whole preamble, header included. A peer has not been authorized when it sends this, so it gets
/// no more memory than a target and a few fields need.
pub const PREAMBLE_BYTES_MAX: usize = 1024;

const HEADER_BYTES: usize = 4;
const FIELD_HEADER_BYTES: usize = 3;
// 2 is reserved for datagrams.
const TRANSPORT_TCP: u8 = 1;

/// Set in a field's type: whoever does not know the field must refuse the connection.
const CRITICAL: u8 = 0x80;
const FIELD_TARGET: u8 = 1;
const FIELD_TRACEPARENT: u8 = 2;

/// How the bytes after the preamble are to be understood.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Transport {
    /// One TCP connection's bytes.
    Tcp,
}

/// What the calling proxy asks for.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Preamble {
    pub transport: Transport,
    pub target: TargetName,
    pub traceparent: Option<TraceParent>,
}

/// A W3C `traceparent` of version 00: 55 bytes of lower-case hex and dashes.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct TraceParent(String);

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum PreambleError {
    #[error("the peer speaks version {0} of the tunnel preamble, this proxy speaks {VERSION}")]
    VersionUnsupported(u8),
    #[error("transport {0} is reserved and not carried by this version")]
    TransportUnsupported(u8),
    #[error("a preamble of {0} bytes is longer than the limit of {PREAMBLE_BYTES_MAX}")]
    TooLong(usize),
    #[error("a field runs past the end of the preamble")]
    FieldCut,
    #[error("field {0} is critical and unknown to this proxy: it is newer than this one")]
    CriticalFieldUnknown(u8),
    #[error("field {0} appears twice")]
    FieldTwice(u8),
    #[error("the preamble names no target")]
    TargetMissing,
    #[error("the target is not NAME:PORT: {0}")]
    Target(#[from] ParseTargetError),
    #[error("the traceparent is not a W3C traceparent of version 00")]
    TraceParent,
}

impl Preamble {
    #[must_use]
    pub fn tcp(target: TargetName) -> Self {
        Self { transport: Transport::Tcp, target, traceparent: None }
    }

    /// The bytes that open a tunnel.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        put_field(&mut fields, FIELD_TARGET | CRITICAL, self.target.as_str().as_bytes());
        if let Some(traceparent) = &self.traceparent {
            put_field(&mut fields, FIELD_TRACEPARENT, traceparent.0.as_bytes());
        }
        let Transport::Tcp = self.transport;
        let fields_len = u16::try_from(fields.len()).expect("a target and a traceparent are short");
        let mut bytes = vec![VERSION, TRANSPORT_TCP];
        bytes.extend_from_slice(&fields_len.to_be_bytes());
        bytes.append(&mut fields);
        assert!(bytes.len() <= PREAMBLE_BYTES_MAX, "what we send, we would also accept");
        bytes
    }

    /// Reads a preamble from the start of `bytes`, which are all that has arrived so far. Never asks
    /// for more than [`PREAMBLE_BYTES_MAX`].
    ///
    /// # Errors
    /// As soon as it is certain that no further byte can mend it.
    pub fn decode(bytes: &[u8]) -> Result<Decoded<Self>, PreambleError> {
        match bytes.first() {
            None => return Ok(Decoded::NeedMore),
            Some(&VERSION) => {}
            Some(&version) => return Err(PreambleError::VersionUnsupported(version)),
        }
        let transport = match bytes.get(1) {
            None => return Ok(Decoded::NeedMore),
            Some(&TRANSPORT_TCP) => Transport::Tcp,
            Some(&other) => return Err(PreambleError::TransportUnsupported(other)),
        };
        let Some(&[high, low]) = bytes.get(2..HEADER_BYTES) else {
            return Ok(Decoded::NeedMore);
        };
        let end = HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
        if end > PREAMBLE_BYTES_MAX {
            return Err(PreambleError::TooLong(end));
        }
        let Some(fields) = bytes.get(HEADER_BYTES..end) else {
            return Ok(Decoded::NeedMore);
        };
        let (target, traceparent) = decode_fields(fields)?;
        let value = Self { transport, target, traceparent };
        Ok(Decoded::Done { value, consumed: end })
    }
}

impl TraceParent {
    /// # Errors
    /// [`PreambleError::TraceParent`] if `text` has another shape, or a trace or parent of zeros.
    pub fn parse(text: &str) -> Result<Self, PreambleError> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            parts.next().filter(|part| {
                part.len() == digits
                    && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            })
        };
        let whole = hex(2) == Some("00")
            && hex(32).is_some_and(|trace| trace.bytes().any(|digit| digit != b'0'))
            && hex(16).is_some_and(|parent| parent.bytes().any(|digit| digit != b'0'))
            && hex(2).is_some();
        if !whole || parts.next().is_some() {
            return Err(PreambleError::TraceParent);
        }
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn decode_fields(mut fields: &[u8]) -> Result<(TargetName, Option<TraceParent>), PreambleError> {
    let mut target = None;
    let mut traceparent = None;
    while !fields.is_empty() {
        let Some((&[kind, high, low], rest)) = fields.split_first_chunk::<FIELD_HEADER_BYTES>()
        else {
            return Err(PreambleError::FieldCut);
        };
        let (value, rest) = rest
            .split_at_checked(usize::from(u16::from_be_bytes([high, low])))
            .ok_or(PreambleError::FieldCut)?;
        fields = rest;
        match kind & !CRITICAL {
            FIELD_TARGET => {
                let text = std::str::from_utf8(value).map_err(|_| ParseTargetError::Character)?;
                // Two targets are how a check on the first and a connect to the second come about.
                if target.replace(TargetName::parse(text)?).is_some() {
                    return Err(PreambleError::FieldTwice(FIELD_TARGET));
                }
            }
            FIELD_TRACEPARENT => {
                let text = std::str::from_utf8(value).map_err(|_| PreambleError::TraceParent)?;
                if traceparent.replace(TraceParent::parse(text)?).is_some() {
                    return Err(PreambleError::FieldTwice(FIELD_TRACEPARENT));
                }
            }
            unknown if kind & CRITICAL != 0 => {
                return Err(PreambleError::CriticalFieldUnknown(unknown));
            }
            _ => {}
        }
    }
    Ok((target.ok_or(PreambleError::TargetMissing)?, traceparent))
}

fn put_field(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let len = u16::try_from(value.len()).expect("the types of field values bound their length");
    out.push(kind);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests;
