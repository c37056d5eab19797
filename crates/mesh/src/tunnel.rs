//! The tunnel between two proxies: TLS 1.3, authenticated at both ends, as bytes in, bytes out.
//!
//! This is the door where a connection's plaintext becomes ciphertext. A tunnel begins
//! [`Handshaking`]; only a peer that has proved the right identity turns it into [`Established`],
//! which protects and unprotects; [`Established::finish`] says that no more follows. Whoever drops a
//! tunnel without that leaves its peer with a truncated stream, which is what happened.
//!
//! The caller owns the socket and the clock. It hands over what it received, in pieces of any size,
//! and sends what it is given. `docs/formats/tunnel.md` describes what travels.

mod config;
mod established;
mod handshake;
#[cfg(feature = "plaintext-for-tests")]
mod plaintext_for_tests;
mod provider;
mod verifier;

pub use config::{Svid, SvidError, TunnelConfig, handshake_key};
pub use established::{Established, Finishing, Incoming, Truncated, TunnelFacts, UnprotectError};
pub use handshake::{HANDSHAKE_BYTES_MAX, HandshakeError, HandshakeFailed, Handshaking, Progress};

/// What both ends must agree to speak (RFC 7301). The number is that of the preamble's version.
pub const ALPN: &[u8] = b"sealane/1";

#[cfg(test)]
mod tests;
