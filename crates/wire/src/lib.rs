//! Protocols that cross a socket, as pure codecs: bytes in, values out, and back.
//!
//! **Decides** what bytes mean and which are malformed. **Deliberately does not know** sockets,
//! identities, policy or anything else of Sealane: whoever reads the bytes judges what they ask for.
//! **Start reading** in [`preamble`], the first bytes in every tunnel between two proxies; [`dns`]
//! answers the names that a service may ask for; [`kms`] is the key service's protocol, AWS's own,
//! and [`sigv4`] reads a request that is signed as AWS has them signed.

#![forbid(unsafe_code)]

pub mod dns;
pub mod kms;
pub mod preamble;
pub mod sigv4;

/// What a decoder made of the bytes that have arrived so far.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Decoded<T> {
    /// Well formed as far as it goes; call again with more bytes.
    NeedMore,
    /// Whole. Bytes from `consumed` on belong to what follows.
    Done { value: T, consumed: usize },
}
