//! What a mesh decides: who a workload is, who may call whom, and how the bytes between two
//! proxies are protected.
//!
//! **Decides** identities and the certificates that prove them, whether a peer's chain proves what
//! it claims, whether one identity may call another, and the TLS tunnel as bytes in, bytes out.
//! **Deliberately does not know** sockets, processes, files or clocks: time is an argument, and the
//! keys of the authority are reached through [`crypto::Signer`]. **Start reading** in [`identity`];
//! [`tunnel`] is the door where a connection's plaintext becomes ciphertext.

#![forbid(unsafe_code)]

pub mod ca;
mod certificate;
pub mod identity;
pub mod policy;
pub mod tunnel;
pub mod verify;

pub use certificate::{Certificate, CertificateMalformed, Serial, UnixSeconds};
pub use identity::{SpiffeId, TrustDomain};
