//! The ingress's TLS towards clients outside: 1.3 and 1.2, a certificate per host name, nothing for
//! a client that does not say which host it wants.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use crypto::Signer;
use mesh::Certificate;
use mesh::tunnel::handshake_key;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the ingress speaks inside TLS.
pub const ALPN: &[u8] = b"http/1.1";

/// The certificates that the ingress shows, by host. Replaced at any time; a replacement holds from
/// the next handshake on.
#[derive(Debug, Default)]
pub struct HostCertificates {
    by_host: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HostCertificateError {
    #[error("the certificate for {hosts} is for another key than the one it was given with")]
    KeyMismatch { hosts: String },
}

impl HostCertificates {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows `chain`, leaf first, to clients that ask for one of `hosts`.
    ///
    /// # Errors
    /// [`HostCertificateError`] if the leaf is not for `key`: a client could never connect.
    pub fn replace(
        &self,
        hosts: &[&str],
        chain: &[Certificate],
        key: Arc<dyn Signer + Send + Sync>,
    ) -> Result<(), HostCertificateError> {
        let chain = chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
        let certified = Arc::new(CertifiedKey::new(chain, handshake_key(key)));
        certified
            .keys_match()
            .map_err(|_| HostCertificateError::KeyMismatch { hosts: hosts.join(", ") })?;
        let mut by_host = self.by_host.write().unwrap_or_else(PoisonError::into_inner);
        for host in hosts {
            by_host.insert(host.to_ascii_lowercase(), Arc::clone(&certified));
        }
        Ok(())
    }

    /// Shows nothing any more to clients that ask for `host`.
    pub fn remove(&self, host: &str) {
        let mut by_host = self.by_host.write().unwrap_or_else(PoisonError::into_inner);
        by_host.remove(&host.to_ascii_lowercase());
    }
}

impl ResolvesServerCert for HostCertificates {
    /// Without a name, or with one that no route has, there is no certificate: a default one would
    /// tell whoever scans addresses which customers live here.
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = client_hello.server_name()?.to_ascii_lowercase();
        self.by_host.read().unwrap_or_else(PoisonError::into_inner).get(&host).cloned()
    }
}

/// Makes connections from outside speak TLS.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

/// A client outside.
pub type Outside = TlsStream<TcpStream>;

impl Acceptor {
    #[must_use]
    pub fn new(certificates: Arc<HostCertificates>) -> Self {
        Self(TlsAcceptor::from(ingress_config(certificates)))
    }

    /// # Errors
    /// Why there is no handshake with this client. What is not TLS is refused here.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Outside> {
        self.0.accept(tcp).await
    }
}

/// The configuration of the ingress's listener.
///
/// # Panics
/// Never: the versions and suites are constants that fit together.
#[must_use]
pub(super) fn ingress_config(certificates: Arc<HostCertificates>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session shows no certificate, so a replaced one would live on in it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}
