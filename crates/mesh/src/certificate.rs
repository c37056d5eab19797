use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Seconds since 1970 UTC. Certificates know no finer time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
        match date.and_then(|d| d.format(&time::format_description::well_known::Rfc3339).ok()) {
            Some(text) => f.write_str(&text),
            None => write!(f, "second {} after 1970", self.0),
        }
    }
}

/// An X.509 certificate in DER. Public, and proof of nothing until [`crate::verify`] has seen it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Certificate(Vec<u8>);

/// A certificate's serial number as lower-case hex, without leading zeros.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serial(String);

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("these bytes are not one X.509 certificate in DER")]
pub struct CertificateMalformed;

impl Certificate {
    /// # Errors
    /// [`CertificateMalformed`] if `der` is not exactly one certificate.
    pub fn from_der(der: Vec<u8>) -> Result<Self, CertificateMalformed> {
        parse(&der)?;
        Ok(Self(der))
    }

    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// # Errors
    /// [`CertificateMalformed`] if the certificate came in by deserialization and is none.
    pub fn serial(&self) -> Result<Serial, CertificateMalformed> {
        Ok(serial(&parse(&self.0)?))
    }

    /// # Errors
    /// As [`Self::serial`].
    pub fn not_after(&self) -> Result<UnixSeconds, CertificateMalformed> {
        Ok(not_after(&parse(&self.0)?))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} bytes)", self.0.len())
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateMalformed> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateMalformed),
    }
}

pub(crate) fn serial(certificate: &X509Certificate<'_>) -> Serial {
    let hex: String = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    Serial(hex.trim_start_matches('0').to_owned())
}

pub(crate) fn not_after(certificate: &X509Certificate<'_>) -> UnixSeconds {
    // Before 1970 nothing of ours was valid, so the earliest second will do.
    UnixSeconds(u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0))
}
