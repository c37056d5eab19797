use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crypto::Signer;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::provider::SIGNATURE_SCHEME;
use crate::certificate::{self, Certificate, Serial, UnixSeconds};
use crate::identity::SpiffeId;
use crate::verify::{CHAIN_CERTIFICATES_MAX, TrustBundle, VerifyError, identity_of};

/// A proxy's own certificate chain with the key that it proves it by.
#[derive(Clone)]
pub struct Svid {
    pub(super) certified: Arc<CertifiedKey>,
    id: SpiffeId,
    serial: Serial,
    not_after: UnixSeconds,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum SvidError {
    #[error("a chain has 1 to {CHAIN_CERTIFICATES_MAX} certificates, not {0}")]
    ChainLength(usize),
    #[error("the certificate is for another key")]
    KeyMismatch,
    #[error("the certificate carries no identity: {0}")]
    NoIdentity(VerifyError),
}

/// What a proxy's tunnels begin with: its own SVID and whom it trusts.
///
/// Both can be replaced at any time and hold from the next handshake on, so that a renewal or a
/// replaced root needs no restart and interrupts nothing.
#[derive(Debug)]
pub struct TunnelConfig {
    svid: RwLock<Svid>,
    bundle: RwLock<Arc<TrustBundle>>,
}

impl Svid {
    /// # Errors
    /// [`SvidError`] if chain and key do not belong together.
    pub fn new(
        chain: &[Certificate],
        key: Arc<dyn Signer + Send + Sync>,
    ) -> Result<Self, SvidError> {
        if chain.len() > CHAIN_CERTIFICATES_MAX {
            return Err(SvidError::ChainLength(chain.len()));
        }
        let leaf = chain.first().ok_or(SvidError::ChainLength(0))?;
        let leaf = certificate::parse(leaf.der())
            .map_err(|_| SvidError::NoIdentity(VerifyError::Malformed))?;
        if leaf.public_key().raw != key.public_key().0 {
            return Err(SvidError::KeyMismatch);
        }
        let id = identity_of(&leaf).map_err(SvidError::NoIdentity)?;
        let (serial, not_after) = (certificate::serial(&leaf), certificate::not_after(&leaf));
        let ders = chain.iter().map(|cert| CertificateDer::from(cert.der().to_vec())).collect();
        let certified = Arc::new(CertifiedKey::new(ders, handshake_key(key)));
        Ok(Self { certified, id, serial, not_after })
    }

    /// For TLS that is no tunnel, towards what knows SVIDs.
    #[must_use]
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

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
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Svid({}, serial {}, until {})", self.id, self.serial, self.not_after)
    }
}

impl TunnelConfig {
    #[must_use]
    pub fn new(svid: Svid, bundle: TrustBundle) -> Self {
        Self { svid: RwLock::new(svid), bundle: RwLock::new(Arc::new(bundle)) }
    }

    pub fn replace_svid(&self, svid: Svid) {
        *self.svid.write().unwrap_or_else(PoisonError::into_inner) = svid;
    }

    pub fn replace_bundle(&self, bundle: TrustBundle) {
        *self.bundle.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bundle);
    }

    #[must_use]
    pub fn svid(&self) -> Svid {
        self.svid.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[must_use]
    pub fn bundle(&self) -> Arc<TrustBundle> {
        Arc::clone(&self.bundle.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets rustls sign with a key of ours, so that the private key needs no copy in a buffer that is
/// not wiped.
#[must_use]
pub fn handshake_key(key: Arc<dyn Signer + Send + Sync>) -> Arc<dyn rustls::sign::SigningKey> {
    let public = key.public_key().0.into();
    Arc::new(HandshakeKey { key, public })
}

struct HandshakeKey {
    key: Arc<dyn Signer + Send + Sync>,
    public: SubjectPublicKeyInfoDer<'static>,
}

struct HandshakeSigner(Arc<dyn Signer + Send + Sync>);

impl rustls::sign::SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered
            .contains(&SIGNATURE_SCHEME)
            .then(|| Box::new(HandshakeSigner(Arc::clone(&self.key))) as Box<_>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.clone())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl rustls::sign::Signer for HandshakeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SIGNATURE_SCHEME
    }
}

impl fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandshakeKey(..)")
    }
}

impl fmt::Debug for HandshakeSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandshakeSigner(..)")
    }
}
