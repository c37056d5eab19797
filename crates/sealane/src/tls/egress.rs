//! The egress's TLS towards third parties: their certificate is verified by name, against roots
//! that the operator gave or the system's.
//!
//! The system's roots are read from its bundle file. `webpki-roots` would freeze them into the
//! binary, out of the operator's reach; `rustls-native-certs` would read the same file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pem::{self, PemError};

/// Where distributions keep the roots they trust: Debian, Fedora, Alpine.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Larger files are not bundles of roots.
const BUNDLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Whose certificates the egress trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    System,
    /// PEM files; the system's roots then count no more.
    Files(Vec<PathBuf>),
    /// The content of PEM files, for a process that cannot read them itself.
    Pem(Vec<String>),
}

#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("cannot read the roots in {path}: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{path} is larger than {BUNDLE_BYTES_MAX} bytes and so no bundle of roots")]
    TooLarge { path: PathBuf },
    #[error("{path}: {error}")]
    Malformed { path: PathBuf, error: PemError },
    #[error("{path}: certificate {index} is not one of an authority")]
    NotARoot { path: PathBuf, index: usize },
    #[error(
        "this system has no bundle of roots ({}): install ca-certificates, or name PEM files",
        SYSTEM_BUNDLES.join(", ")
    )]
    NoSystemRoots,
    #[error("no root is given, so no third party can be verified: name a PEM file")]
    None,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is neither a DNS name nor an address, so no certificate can be valid for it")]
pub struct HostInvalid(String);

/// A connection to a third party that has proved its name.
pub type Outside = TlsStream<TcpStream>;

/// Makes connections to third parties speak TLS.
pub struct Connector(TlsConnector);

impl Connector {
    /// # Errors
    /// [`RootsError`] names the file to mend.
    pub fn new(roots: &Roots) -> Result<Self, RootsError> {
        Ok(Self(TlsConnector::from(egress_config(roots)?)))
    }

    /// # Errors
    /// Why there is no handshake, or why the third party's certificate is not one for `host`.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<Outside> {
        let name = server_name(host).map_err(io::Error::other)?;
        self.0.connect(name, tcp).await
    }
}

/// The configuration of connections to third parties.
///
/// # Errors
/// [`RootsError`] names the file to mend.
///
/// # Panics
/// Never: the versions and suites are constants that fit together.
pub(super) fn egress_config(roots: &Roots) -> Result<Arc<ClientConfig>, RootsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            let path = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.exists());
            add_system(&mut store, path.ok_or(RootsError::NoSystemRoots)?)?;
        }
        Roots::Files(paths) => {
            for path in paths {
                add_file(&mut store, path)?;
            }
        }
        Roots::Pem(texts) => {
            for text in texts {
                add_text(&mut store, Path::new("[egress] roots"), text.as_bytes())?;
            }
        }
    }
    if store.is_empty() {
        return Err(RootsError::None);
    }
    let mut config = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has suites for both versions")
        .with_root_certificates(store)
        .with_no_client_auth();
    // Each connection verifies its peer: a resumed one would not, and the report could not say.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The name that a third party's certificate must be valid for.
///
/// # Errors
/// [`HostInvalid`].
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, HostInvalid> {
    ServerName::try_from(host.to_owned()).map_err(|_| HostInvalid(host.to_owned()))
}

/// A root that the operator named must count, so one that cannot is an error.
fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), RootsError> {
    add_text(store, path, &read(path)?)
}

fn add_text(store: &mut RootCertStore, path: &Path, text: &[u8]) -> Result<(), RootsError> {
    let malformed = |error| RootsError::Malformed { path: path.to_owned(), error };
    for (index, root) in pem::decode(text).map_err(malformed)?.iter().enumerate() {
        let not_a_root = |_| RootsError::NotARoot { path: path.to_owned(), index: index + 1 };
        store.add(root.der().into()).map_err(not_a_root)?;
    }
    Ok(())
}

/// A distribution's bundle may hold roots of forms that rustls does not know. Those trust nobody,
/// and the others still count.
fn add_system(store: &mut RootCertStore, path: &Path) -> Result<(), RootsError> {
    let malformed = |error| RootsError::Malformed { path: path.to_owned(), error };
    let roots = pem::decode(&read(path)?).map_err(malformed)?;
    store.add_parsable_certificates(roots.iter().map(|root| root.der().into()));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, RootsError> {
    let unreadable = |error| RootsError::Unreadable { path: path.to_owned(), error };
    if std::fs::metadata(path).map_err(unreadable)?.len() > BUNDLE_BYTES_MAX {
        return Err(RootsError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(unreadable)
}
