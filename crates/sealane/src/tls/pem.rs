//! Certificates as PEM (RFC 7468), for `ca bundle` and for the roots of third parties.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const LINE_CHARS: usize = 64;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PemError {
    #[error("certificate {0} is not PEM")]
    NotPem(usize),
    #[error("certificate {0} is PEM around something else than a certificate")]
    NotACertificate(usize),
    #[error("there is no certificate between BEGIN and END lines")]
    Empty,
}

#[must_use]
pub fn encode(certificates: &[Certificate]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = STANDARD.encode(certificate.der());
        while !rest.is_empty() {
            let tail = rest.split_off(rest.len().min(LINE_CHARS));
            text.push_str(&rest);
            text.push('\n');
            rest = tail;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Reads every certificate of `text`; anything between them is ignored, as is usual for bundles.
///
/// # Errors
/// [`PemError`] names the first that is none, counted from 1.
pub fn decode(text: &[u8]) -> Result<Vec<Certificate>, PemError> {
    let mut certificates = Vec::new();
    for (index, der) in CertificateDer::pem_slice_iter(text).enumerate() {
        let der = der.map_err(|_| PemError::NotPem(index + 1))?;
        let certificate = Certificate::from_der(der.to_vec());
        certificates.push(certificate.map_err(|_| PemError::NotACertificate(index + 1))?);
    }
    if certificates.is_empty() { Err(PemError::Empty) } else { Ok(certificates) }
}
