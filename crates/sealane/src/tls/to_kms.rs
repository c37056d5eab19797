//! A proxy's TLS towards the cell's own KMS: each end proves itself under the cell's own roots, the
//! KMS by its name, the proxy by the SVID of its workload.

use std::io;
use std::sync::Arc;

use mesh::tunnel::TunnelConfig;
use rustls::client::Resumption;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::egress::server_name;

/// A connection to a KMS that has proved its name.
pub type ToKms = TlsStream<TcpStream>;

/// Shows the SVID, and trusts the roots, that `own` holds now: both are replaced while connections
/// go on.
///
/// # Errors
/// Why there is no handshake, or why the certificate is not the KMS's.
pub async fn connect(own: &TunnelConfig, name: &str, tcp: TcpStream) -> io::Result<ToKms> {
    let server = server_name(name).map_err(io::Error::other)?;
    TlsConnector::from(to_kms_config(own)).connect(server, tcp).await
}

/// # Panics
/// Never: the provider has suites for TLS 1.3.
pub(super) fn to_kms_config(own: &TunnelConfig) -> Arc<ClientConfig> {
    let roots = RootCertStore { roots: own.bundle().roots().to_vec() };
    let shown = CertifiedKey::clone(own.svid().certified_key());
    let mut config = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites for TLS 1.3")
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
