//! The only algorithms a tunnel uses. Fewer choices are fewer ways to be talked into a worse one.

use std::sync::{Arc, LazyLock};

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

/// How a handshake is signed: with the P-256 key of an SVID.
pub(super) const SIGNATURE_SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

/// The cipher suite, as a report names it.
#[cfg(not(feature = "plaintext-for-tests"))]
pub(super) const CIPHER_NAME: &str = "TLS_AES_256_GCM_SHA384";
#[cfg(feature = "plaintext-for-tests")]
pub(super) const CIPHER_NAME: &str = "NONE (plaintext-for-tests)";

static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
    mapping: &[(SIGNATURE_SCHEME, &[webpki::aws_lc_rs::ECDSA_P256_SHA256])],
};

pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        #[cfg(not(feature = "plaintext-for-tests"))]
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384;
        #[cfg(feature = "plaintext-for-tests")]
        let suite = super::plaintext_for_tests::suite();
        Arc::new(CryptoProvider {
            cipher_suites: vec![suite],
            // The hybrid first: what is recorded today must not be read by a quantum computer
            // later. The others are for peers whose build has no ML-KEM.
            kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
            signature_verification_algorithms: SIGNATURES,
            ..aws_lc_rs::default_provider()
        })
    });
    Arc::clone(&PROVIDER)
}
