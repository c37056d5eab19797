//! Whether a peer's certificate chain proves the identity that it claims.
//!
//! webpki verifies the chain. It has no API for URI names in this setting, so the identity is taken
//! from the leaf afterwards: exactly one URI and no other name, byte for byte.

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::certificate::{self, Certificate, Serial, UnixSeconds};
use crate::identity::{ParseIdentityError, SpiffeId, TrustDomain};

/// A leaf, the issuing certificate, and one more while an issuer is replaced.
pub const CHAIN_CERTIFICATES_MAX: usize = 3;

/// Roots of one trust domain: the present one, and those it overlaps with.
pub const ROOTS_MAX: usize = 16;

/// Whom a verifier trusts: the roots of one trust domain.
#[derive(Debug, Clone)]
pub struct TrustBundle {
    domain: TrustDomain,
    roots: Vec<TrustAnchor<'static>>,
}

/// Proof that a chain was verified: only [`verify_svid`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPeer {
    id: SpiffeId,
    serial: Serial,
    not_after: UnixSeconds,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum BundleError {
    #[error("a trust bundle needs 1 to {ROOTS_MAX} roots, not {0}")]
    RootCount(usize),
    #[error("root {0} is not a certificate of an authority")]
    NotARoot(usize),
}

/// Why a peer's chain is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum VerifyError {
    #[error("the peer sent no certificate")]
    ChainEmpty,
    #[error("the peer sent {0} certificates, more than the limit of {CHAIN_CERTIFICATES_MAX}")]
    ChainTooLong(usize),
    #[error("a certificate of the peer is malformed")]
    Malformed,
    #[error("a certificate of the peer expired at {at}")]
    Expired { at: UnixSeconds },
    #[error("a certificate of the peer is valid only from {from}: compare the clocks")]
    NotYetValid { from: UnixSeconds },
    #[error("no root of the trust bundle has signed the peer's certificate")]
    UntrustedRoot,
    #[error("the peer's certificate is not one for both ends of a tunnel")]
    WrongUsage,
    #[error("the peer's certificate carries no SPIFFE ID")]
    NoUri,
    #[error("the peer's certificate carries several URIs, and an identity is exactly one")]
    TwoUris,
    #[error("the peer's certificate carries a name besides its SPIFFE ID")]
    OtherName,
    #[error("the peer's URI is not a SPIFFE ID of ours: {0}")]
    NotAnIdentity(#[from] ParseIdentityError),
    #[error("the peer is {id}, and the trust bundle is of {expected}")]
    WrongTrustDomain { id: SpiffeId, expected: TrustDomain },
    #[error("the peer is {id}, and {expected} was to be reached")]
    WrongPeer { id: SpiffeId, expected: SpiffeId },
}

impl TrustBundle {
    /// # Errors
    /// [`BundleError`] says which root is none.
    pub fn new(domain: TrustDomain, roots: &[Certificate]) -> Result<Self, BundleError> {
        if roots.is_empty() || roots.len() > ROOTS_MAX {
            return Err(BundleError::RootCount(roots.len()));
        }
        let roots = roots
            .iter()
            .enumerate()
            .map(|(index, root)| {
                let is_authority =
                    certificate::parse(root.der()).is_ok_and(|parsed| parsed.is_ca());
                let der = CertificateDer::from(root.der());
                match anchor_from_trusted_cert(&der) {
                    Ok(anchor) if is_authority => Ok(anchor.to_owned()),
                    _ => Err(BundleError::NotARoot(index)),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { domain, roots })
    }

    /// For TLS that is no tunnel, towards servers of the cell that are known by a DNS name.
    #[must_use]
    pub fn roots(&self) -> &[TrustAnchor<'static>] {
        &self.roots
    }

    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }
}

impl VerifiedPeer {
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    #[must_use]
    pub fn not_after(&self) -> UnixSeconds {
        self.not_after
    }

    /// # Errors
    /// [`VerifyError::WrongPeer`] unless this is exactly `expected`.
    pub fn expect(self, expected: &SpiffeId) -> Result<Self, VerifyError> {
        if self.id == *expected {
            Ok(self)
        } else {
            Err(VerifyError::WrongPeer { id: self.id, expected: expected.clone() })
        }
    }
}

/// Verifies a chain of DER certificates, leaf first, as of `now`.
///
/// # Errors
/// The first [`VerifyError`] found.
pub fn verify_svid(
    chain: &[&[u8]],
    bundle: &TrustBundle,
    now: UnixSeconds,
) -> Result<VerifiedPeer, VerifyError> {
    if chain.len() > CHAIN_CERTIFICATES_MAX {
        return Err(VerifyError::ChainTooLong(chain.len()));
    }
    let (leaf, intermediates) = chain.split_first().ok_or(VerifyError::ChainEmpty)?;
    verify_chain(leaf, intermediates, bundle, now)?;
    let leaf = certificate::parse(leaf).map_err(|_| VerifyError::Malformed)?;
    check_usage(&leaf)?;
    let id = identity_of(&leaf)?;
    if id.trust_domain() != bundle.domain.as_str() {
        return Err(VerifyError::WrongTrustDomain { id, expected: bundle.domain.clone() });
    }
    let serial = certificate::serial(&leaf);
    Ok(VerifiedPeer { id, serial, not_after: certificate::not_after(&leaf) })
}

fn verify_chain(
    leaf: &[u8],
    intermediates: &[&[u8]],
    bundle: &TrustBundle,
    now: UnixSeconds,
) -> Result<(), VerifyError> {
    let leaf = CertificateDer::from(leaf);
    let intermediates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.0));
    EndEntityCert::try_from(&leaf)
        .map_err(|error| chain_error(&error))?
        .verify_for_usage(
            // Our authorities sign with P-256 alone; whatever else a chain holds is not ours.
            &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
            &bundle.roots,
            &intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map_err(|error| chain_error(&error))?;
    Ok(())
}

fn chain_error(error: &webpki::Error) -> VerifyError {
    use webpki::Error;
    match error {
        Error::CertExpired { not_after, .. } => {
            VerifyError::Expired { at: UnixSeconds(not_after.as_secs()) }
        }
        Error::CertNotValidYet { not_before, .. } => {
            VerifyError::NotYetValid { from: UnixSeconds(not_before.as_secs()) }
        }
        Error::RequiredEkuNotFoundContext(_)
        | Error::EmptyEkuExtension
        | Error::CaUsedAsEndEntity => VerifyError::WrongUsage,
        // An issuer of the right name and another key: a chain of another root, or a forged one.
        Error::UnknownIssuer
        | Error::InvalidSignatureForPublicKey
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | Error::EndEntityUsedAsCa
        | Error::PathLenConstraintViolated
        | Error::NameConstraintViolation => VerifyError::UntrustedRoot,
        _ => VerifyError::Malformed,
    }
}

/// X509-SVID, section 4.3 and 4.4: a leaf signs handshakes, never certificates, at both ends.
fn check_usage(leaf: &X509Certificate<'_>) -> Result<(), VerifyError> {
    let malformed = |_| VerifyError::Malformed;
    let signs_handshakes = leaf.key_usage().map_err(malformed)?.is_some_and(|usage| {
        let usage = usage.value;
        usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign()
    });
    let both_ends = leaf
        .extended_key_usage()
        .map_err(malformed)?
        .is_some_and(|usage| usage.value.server_auth && usage.value.client_auth);
    if signs_handshakes && both_ends && !leaf.is_ca() {
        Ok(())
    } else {
        Err(VerifyError::WrongUsage)
    }
}

pub(crate) fn identity_of(leaf: &X509Certificate<'_>) -> Result<SpiffeId, VerifyError> {
    let names = leaf.subject_alternative_name().map_err(|_| VerifyError::Malformed)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next().ok_or(VerifyError::NoUri)?;
    if uris.next().is_some() {
        return Err(VerifyError::TwoUris);
    }
    // The standard tolerates DNS names beside the URI. We issue none, and a certificate that is
    // valid for two kinds of verifier is one that can be carried from one to the other.
    if names.len() > 1 {
        return Err(VerifyError::OtherName);
    }
    Ok(SpiffeId::parse(uri)?)
}

#[cfg(test)]
mod tests;
