//! The TLS of the KMS: 1.3 and 1.2, one certificate for all names, and for callers inside the cell
//! their SVID instead of a signature.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use crypto::Signer;
use mesh::tunnel::handshake_key;
use mesh::verify::{TrustBundle, VerifiedPeer, verify_svid};
use mesh::{Certificate, UnixSeconds};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::TlsFacts;

#[derive(Debug, thiserror::Error)]
pub enum KmsTlsError {
    #[error("there is no certificate in PEM in it")]
    NoCertificate,
    #[error("there is no private key in PEM in it")]
    NoPrivateKey,
    #[error("certificate and key do not fit together: {0}")]
    Unfit(Error),
}

/// Makes connections to the KMS speak TLS.
#[derive(Clone)]
pub struct KmsAcceptor {
    acceptor: Arc<ArcSwap<ServerConfig>>,
    /// Whose SVIDs are taken; `None`: nobody's.
    bundle: Option<Arc<TrustBundle>>,
}

/// What the handshake showed of a client.
#[derive(Debug)]
pub struct KmsClient {
    /// Proved by the client's SVID, if it showed one.
    pub workload: Option<VerifiedPeer>,
    pub facts: Option<TlsFacts>,
}

impl KmsAcceptor {
    /// From a chain, leaf first, and its key, both in PEM. Clients may show SVIDs of `bundle`.
    ///
    /// # Errors
    /// [`KmsTlsError`] says which of the two cannot be used.
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        bundle: Option<TrustBundle>,
    ) -> Result<Self, KmsTlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| KmsTlsError::NoCertificate)?;
        if chain.is_empty() {
            return Err(KmsTlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| KmsTlsError::NoPrivateKey)?;
        let bundle = bundle.map(Arc::new);
        let config = ServerConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(KmsTlsError::Unfit)?;
        let config = match &bundle {
            Some(bundle) => {
                let bundle = Arc::clone(bundle);
                config.with_client_cert_verifier(Arc::new(SvidVerifier { bundle }))
            }
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_single_cert(chain, key).map_err(KmsTlsError::Unfit)?;
        settle(&mut config);
        Ok(Self { acceptor: Arc::new(ArcSwap::from_pointee(config)), bundle })
    }

    /// With a certificate of the cell's own authority, leaf first, for `key`.
    ///
    /// # Errors
    /// [`KmsTlsError::Unfit`] if the certificate is for another key.
    pub fn from_signer(
        chain: &[Certificate],
        key: Arc<dyn Signer + Send + Sync>,
        bundle: TrustBundle,
    ) -> Result<Self, KmsTlsError> {
        let bundle = Arc::new(bundle);
        let config = of_signer(chain, key, &bundle)?;
        Ok(Self { acceptor: Arc::new(ArcSwap::from(config)), bundle: Some(bundle) })
    }

    /// Shows another certificate from the next handshake on.
    ///
    /// # Errors
    /// As [`KmsAcceptor::from_signer`].
    pub fn replace(
        &self,
        chain: &[Certificate],
        key: Arc<dyn Signer + Send + Sync>,
    ) -> Result<(), KmsTlsError> {
        if let Some(bundle) = &self.bundle {
            self.acceptor.store(of_signer(chain, key, bundle)?);
        }
        Ok(())
    }

    /// # Errors
    /// Why there is no handshake with this client. What is not TLS is refused here.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, KmsClient)> {
        let acceptor = TlsAcceptor::from(self.acceptor.load_full());
        let stream = acceptor.accept(tcp).await?;
        let connection = stream.get_ref().1;
        let facts = TlsFacts::of(connection);
        // Verified in the handshake already; only what it proves is taken out here.
        let chain = connection.peer_certificates().unwrap_or_default();
        let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
        let workload = match &self.bundle {
            Some(bundle) if !chain.is_empty() => {
                let verified = verify_svid(&chain, bundle, now());
                let unfit = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                Some(verified.map_err(unfit)?)
            }
            _ => None,
        };
        Ok((stream, KmsClient { workload, facts }))
    }
}

pub(super) fn of_signer(
    chain: &[Certificate],
    key: Arc<dyn Signer + Send + Sync>,
    bundle: &Arc<TrustBundle>,
) -> Result<Arc<ServerConfig>, KmsTlsError> {
    let chain = chain.iter().map(|one| CertificateDer::from(one.der().to_vec())).collect();
    let certified = CertifiedKey::new(chain, handshake_key(key));
    certified.keys_match().map_err(KmsTlsError::Unfit)?;
    let mut config = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(KmsTlsError::Unfit)?
        .with_client_cert_verifier(Arc::new(SvidVerifier { bundle: Arc::clone(bundle) }))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    settle(&mut config);
    Ok(Arc::new(config))
}

fn settle(config: &mut ServerConfig) {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session shows no certificate, so a caller's identity would live on in it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}

/// Takes SVIDs of the cell and no other certificate; a client need not show any.
#[derive(Debug)]
struct SvidVerifier {
    bundle: Arc<TrustBundle>,
}

impl ClientCertVerifier for SvidVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut chain: Vec<&[u8]> = vec![leaf.as_ref()];
        chain.extend(intermediates.iter().map(AsRef::<[u8]>::as_ref));
        verify_svid(&chain, &self.bundle, UnixSeconds(now.as_secs())).map_err(|error| {
            tracing::debug!(%error, "a client of the KMS showed a certificate that is no SVID");
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
        })?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        let algorithms = super::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        let algorithms = super::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        super::provider().signature_verification_algorithms.supported_schemes()
    }
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixSeconds(since.as_secs())
}
