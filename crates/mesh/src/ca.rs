//! The cell's certificate authority: a root, an issuing certificate under it, and what that issues.
//!
//! The keys of both are asymmetric KMS keys, reached through [`Signer`]. A requester sends its
//! public key over a channel that has authenticated it, so there is no certificate signing request
//! to parse, and the identity in a certificate comes from the registry, never from the requester.

use std::time::Duration;

use crypto::{Entropy, PublicKey, Signer};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};

use crate::certificate::{self, Certificate, Serial, UnixSeconds};
use crate::identity::{SpiffeId, TrustDomain};

/// Certificates are valid from a little before they are issued, so that a verifier whose clock is
/// slightly behind does not refuse a fresh one.
pub const BACKDATE: Duration = Duration::from_secs(60);

/// Below this, renewal at half life would leave no time for a retry.
pub const SVID_LIFETIME_MIN: Duration = Duration::from_secs(10);

/// Above this, revocation by expiry stops being an answer.
pub const SVID_LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What a service's certificate lives unless the cell says otherwise.
pub const SVID_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Names in one server certificate.
pub const HOSTS_MAX: usize = 100;

const SERIAL_BYTES: usize = 16;

/// Issues certificates under the cell's issuing key.
pub struct Authority<'a> {
    domain: TrustDomain,
    certificate: Certificate,
    expires: UnixSeconds,
    signer: &'a dyn Signer,
}

/// A leaf and what a verifier needs to get from it to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf first, then the issuing certificate. The root is not sent: who does not have it
    /// must not take it from us.
    pub chain: Vec<Certificate>,
    pub serial: Serial,
    pub not_after: UnixSeconds,
    /// When to ask for the next one: at half life.
    pub renew_at: UnixSeconds,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum IssueError {
    #[error(
        "a lifetime of {} s is not between {} s and {} s",
        .0.as_secs(), SVID_LIFETIME_MIN.as_secs(), SVID_LIFETIME_MAX.as_secs()
    )]
    Lifetime(Duration),
    #[error("{subject} is of another trust domain than this authority, {domain}")]
    TrustDomain { subject: SpiffeId, domain: TrustDomain },
    #[error("the issuing certificate expired at {at}: replace it")]
    IssuerExpired { at: UnixSeconds },
    #[error("the issuing certificate is for another key than the one that signs")]
    SignerMismatch,
    #[error("the public key is not a P-256 key")]
    KeyUnsupported,
    #[error("`{0}` is not a DNS name")]
    HostInvalid(String),
    #[error("a server certificate needs 1 to {HOSTS_MAX} names, not {0}")]
    HostCount(usize),
    #[error("the signing key did not sign; the KMS says why")]
    SignFailed,
    #[error("the issuing certificate is malformed")]
    IssuerMalformed,
    #[error("the time lies outside what a certificate can say")]
    TimeOutOfRange,
}

/// Makes the certificate of a new root, signed by its own key.
///
/// # Errors
/// [`IssueError`] if the key does not sign.
pub fn self_sign_root(
    signer: &dyn Signer,
    now: UnixSeconds,
    lifetime: Duration,
    entropy: &mut dyn Entropy,
) -> Result<Certificate, IssueError> {
    // No name constraints: webpki refuses constraints on URIs that it would have to apply, so the
    // trust domain is checked after the chain, in `verify`.
    let params = authority_params("Sealane root", 1, now, now.plus(lifetime), entropy)?;
    let key = KmsKey::new(signer)?;
    let certificate = params.self_signed(&key).map_err(|_| IssueError::SignFailed)?;
    Ok(own(&certificate))
}

/// Makes the certificate of an issuing key, signed by the root's. The root's key is then not needed
/// again until the issuing one is replaced.
///
/// # Errors
/// [`IssueError`] if the root does not match its key, or the key does not sign.
pub fn certify_issuing_key(
    root: &Certificate,
    root_signer: &dyn Signer,
    issuing_key: &PublicKey,
    now: UnixSeconds,
    lifetime: Duration,
    entropy: &mut dyn Entropy,
) -> Result<Certificate, IssueError> {
    let expires = root.not_after().map_err(|_| IssueError::IssuerMalformed)?;
    let params =
        authority_params("Sealane issuing", 0, now, now.plus(lifetime).min(expires), entropy)?;
    sign(&params, issuing_key, root, root_signer)
}

impl<'a> Authority<'a> {
    /// # Errors
    /// [`IssueError::SignerMismatch`] if `signer` is not the key that `certificate` certifies.
    pub fn new(
        domain: TrustDomain,
        certificate: Certificate,
        signer: &'a dyn Signer,
    ) -> Result<Self, IssueError> {
        let parsed =
            certificate::parse(certificate.der()).map_err(|_| IssueError::IssuerMalformed)?;
        if parsed.public_key().raw != signer.public_key().0 {
            return Err(IssueError::SignerMismatch);
        }
        let expires = certificate::not_after(&parsed);
        Ok(Self { domain, certificate, expires, signer })
    }

    /// Issues the certificate by which `subject` proves itself, for the key `key`.
    ///
    /// # Errors
    /// [`IssueError`]; nothing is issued.
    pub fn issue_svid(
        &self,
        subject: &SpiffeId,
        key: &PublicKey,
        now: UnixSeconds,
        lifetime: Duration,
        entropy: &mut dyn Entropy,
    ) -> Result<Issued, IssueError> {
        if subject.trust_domain() != self.domain.as_str() {
            return Err(IssueError::TrustDomain {
                subject: subject.clone(),
                domain: self.domain.clone(),
            });
        }
        // X509-SVID, section 2: exactly one URI, which is the identity.
        let uri = subject.to_string().try_into().expect("an identity is ASCII");
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(vec![SanType::URI(uri)], &usages, key, now, lifetime, entropy)
    }

    /// Issues a gateway's certificate for clients outside, who verify it by DNS name.
    ///
    /// # Errors
    /// [`IssueError`]; nothing is issued.
    pub fn issue_server_certificate(
        &self,
        hosts: &[&str],
        key: &PublicKey,
        now: UnixSeconds,
        lifetime: Duration,
        entropy: &mut dyn Entropy,
    ) -> Result<Issued, IssueError> {
        if hosts.is_empty() || hosts.len() > HOSTS_MAX {
            return Err(IssueError::HostCount(hosts.len()));
        }
        let names = hosts
            .iter()
            .map(|&host| {
                let invalid = || IssueError::HostInvalid(host.to_owned());
                if rustls_pki_types::DnsName::try_from(host).is_err() {
                    return Err(invalid());
                }
                Ok(SanType::DnsName(host.try_into().map_err(|_| invalid())?))
            })
            .collect::<Result<_, _>>()?;
        let usages = [ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(names, &usages, key, now, lifetime, entropy)
    }

    fn issue(
        &self,
        names: Vec<SanType>,
        usages: &[ExtendedKeyUsagePurpose],
        key: &PublicKey,
        now: UnixSeconds,
        lifetime: Duration,
        entropy: &mut dyn Entropy,
    ) -> Result<Issued, IssueError> {
        if !(SVID_LIFETIME_MIN..=SVID_LIFETIME_MAX).contains(&lifetime) {
            return Err(IssueError::Lifetime(lifetime));
        }
        if self.expires <= now {
            return Err(IssueError::IssuerExpired { at: self.expires });
        }
        // A leaf that outlives its issuer would look valid and verify nowhere.
        let not_after = now.plus(lifetime).min(self.expires);
        let mut params = params("Sealane leaf", now, not_after, entropy)?;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        let leaf = sign(&params, key, &self.certificate, self.signer)?;
        let serial = leaf.serial().expect("a certificate just made parses");
        let renew_at = UnixSeconds(now.0 + (not_after.0 - now.0) / 2);
        Ok(Issued { chain: vec![leaf, self.certificate.clone()], serial, not_after, renew_at })
    }
}

fn authority_params(
    name: &str,
    path_length: u8,
    now: UnixSeconds,
    not_after: UnixSeconds,
    entropy: &mut dyn Entropy,
) -> Result<CertificateParams, IssueError> {
    // Two roots overlap while one replaces the other. A name of their own tells them apart for
    // people, and for verifiers that look up issuers by name.
    let mut tail = [0; 4];
    entropy.fill(&mut tail);
    let name = format!("{name} {:08x}", u32::from_be_bytes(tail));
    let mut params = params(&name, now, not_after, entropy)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(
    name: &str,
    now: UnixSeconds,
    not_after: UnixSeconds,
    entropy: &mut dyn Entropy,
) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(now.minus(BACKDATE))?;
    params.not_after = date(not_after)?;
    params.use_authority_key_identifier_extension = true;
    let mut serial = [0; SERIAL_BYTES];
    entropy.fill(&mut serial);
    // Positive and of full length (RFC 5280, section 4.1.2.2): 126 random bits are left.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn sign(
    params: &CertificateParams,
    subject: &PublicKey,
    issuer: &Certificate,
    signer: &dyn Signer,
) -> Result<Certificate, IssueError> {
    let subject = p256_key(subject)?;
    let issuer = Issuer::from_ca_cert_der(&issuer.der().into(), KmsKey::new(signer)?)
        .map_err(|_| IssueError::IssuerMalformed)?;
    let certificate = params.signed_by(&subject, &issuer).map_err(|_| IssueError::SignFailed)?;
    Ok(own(&certificate))
}

fn own(certificate: &rcgen::Certificate) -> Certificate {
    Certificate::from_der(certificate.der().to_vec()).expect("a certificate just made parses")
}

fn p256_key(key: &PublicKey) -> Result<SubjectPublicKeyInfo, IssueError> {
    SubjectPublicKeyInfo::from_der(&key.0)
        .ok()
        .filter(|key| key.algorithm() == &PKCS_ECDSA_P256_SHA256)
        .ok_or(IssueError::KeyUnsupported)
}

fn date(at: UnixSeconds) -> Result<time::OffsetDateTime, IssueError> {
    i64::try_from(at.0)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or(IssueError::TimeOutOfRange)
}

/// Lets rcgen sign with a key that may lie in another process.
struct KmsKey<'a> {
    signer: &'a dyn Signer,
    public: SubjectPublicKeyInfo,
}

impl<'a> KmsKey<'a> {
    fn new(signer: &'a dyn Signer) -> Result<Self, IssueError> {
        Ok(Self { signer, public: p256_key(&signer.public_key())? })
    }
}

impl PublicKeyData for KmsKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl rcgen::SigningKey for KmsKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
