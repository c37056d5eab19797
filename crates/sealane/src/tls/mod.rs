//! All TLS that is no tunnel: the ingress towards clients outside, the egress towards third
//! parties, the KMS and who calls it. The tunnel between proxies is in `mesh/src/tunnel/`; nothing else drives TLS.
//!
//! The provider is named in each configuration, and there is no process-wide default that another
//! crate could set first.

pub mod egress;
pub mod ingress;
pub mod kms;
pub mod pem;
pub mod to_kms;

use std::sync::Arc;

use rustls::CommonState;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use serde::Serialize;

/// What a report says about a TLS connection with the outside, from the connection itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsFacts {
    pub tls_version: String,
    pub cipher: String,
    pub key_exchange: String,
}

impl TlsFacts {
    /// `None` before the handshake is over.
    #[must_use]
    pub fn of(connection: &CommonState) -> Option<Self> {
        let key_exchange = connection.negotiated_key_exchange_group()?;
        Some(Self {
            tls_version: format!("{:?}", connection.protocol_version()?).replace('_', "."),
            // The names of RFC 8446, as tunnels give them; rustls writes its version into them.
            cipher: format!("{:?}", connection.negotiated_cipher_suite()?.suite())
                .replace("TLS13_", "TLS_"),
            key_exchange: format!("{:?}", key_exchange.name()),
        })
    }
}

/// Others choose what they speak, so the outside gets every suite that rustls offers: all have
/// forward secrecy and an AEAD. The hybrid key exchange comes first, as it does in tunnels.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    })
}

#[cfg(test)]
mod tests;
