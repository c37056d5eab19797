//! What one handshake asks of us: our certificate, and our judgement of the peer's.
//!
//! One value per handshake, so that the judgement can be taken out afterwards as it was made: rustls
//! keeps of it only that there was one, and of a refusal only an alert.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::ALPN;
use super::provider::{SIGNATURE_SCHEME, provider};
use crate::certificate::UnixSeconds;
use crate::identity::SpiffeId;
use crate::verify::{TrustBundle, VerifiedPeer, VerifyError, verify_svid};

/// What was found out about the peer.
#[derive(Debug)]
pub(super) enum Finding {
    Verified(VerifiedPeer),
    Refused(VerifyError),
    /// A client that did not offer [`ALPN`].
    NotOurProtocol,
}

#[derive(Debug)]
pub(super) struct Verifier {
    own: Arc<CertifiedKey>,
    bundle: Arc<TrustBundle>,
    now: UnixSeconds,
    /// Whom the caller wants to reach. The called side accepts any peer of the cell here: what that
    /// peer may reach is the policy's to say, and it says why.
    expected: Option<SpiffeId>,
    finding: Mutex<Option<Finding>>,
}

impl Verifier {
    pub(super) fn new(
        own: Arc<CertifiedKey>,
        bundle: Arc<TrustBundle>,
        now: UnixSeconds,
        expected: Option<SpiffeId>,
    ) -> Self {
        Self { own, bundle, now, expected, finding: Mutex::new(None) }
    }

    pub(super) fn take_finding(&self) -> Option<Finding> {
        self.finding.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, finding: Finding) {
        *self.finding.lock().unwrap_or_else(PoisonError::into_inner) = Some(finding);
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let mut chain: Vec<&[u8]> = vec![leaf.as_ref()];
        chain.extend(intermediates.iter().map(AsRef::<[u8]>::as_ref));
        let verified = verify_svid(&chain, &self.bundle, self.now);
        let verified = match &self.expected {
            Some(expected) => verified.and_then(|peer| peer.expect(expected)),
            None => verified,
        };
        match verified {
            Ok(peer) => {
                self.note(Finding::Verified(peer));
                Ok(())
            }
            Err(error) => {
                let alert = Error::InvalidCertificate(alert_for(&error));
                self.note(Finding::Refused(error));
                Err(alert)
            }
        }
    }
}

/// What the peer is told. It learns which of its own properties was refused, not what was expected.
fn alert_for(error: &VerifyError) -> CertificateError {
    match error {
        VerifyError::Expired { .. } => CertificateError::Expired,
        VerifyError::NotYetValid { .. } => CertificateError::NotValidYet,
        VerifyError::UntrustedRoot => CertificateError::UnknownIssuer,
        VerifyError::WrongUsage => CertificateError::InvalidPurpose,
        VerifyError::WrongTrustDomain { .. } | VerifyError::WrongPeer { .. } => {
            CertificateError::ApplicationVerificationFailure
        }
        VerifyError::ChainEmpty
        | VerifyError::ChainTooLong(_)
        | VerifyError::Malformed
        | VerifyError::NoUri
        | VerifyError::TwoUris
        | VerifyError::OtherName
        | VerifyError::NotAnIdentity(_) => CertificateError::BadEncoding,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SIGNATURE_SCHEME]
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SIGNATURE_SCHEME]
    }
}

impl ResolvesClientCert for Verifier {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.own))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Verifier {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls goes on without ALPN when a client offers none. A client that does not say it
        // speaks the tunnel is not even shown who we are.
        if client_hello.alpn().is_some_and(|mut offered| offered.any(|name| name == ALPN)) {
            return Some(Arc::clone(&self.own));
        }
        self.note(Finding::NotOurProtocol);
        None
    }
}

/// The caller's clock, so that nothing in a handshake reads the system's.
#[derive(Debug)]
pub(super) struct FixedTime(pub(super) UnixSeconds);

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.0)))
    }
}

fn tls12() -> Error {
    Error::General("a tunnel is TLS 1.3".to_owned())
}
