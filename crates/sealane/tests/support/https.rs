//! A small HTTP client, over TLS or not: one keep-alive connection, blocking, with its time-outs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    host: String,
    /// None for plain HTTP.
    config: Option<Arc<ClientConfig>>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub(crate) struct Connection {
    host: String,
    stream: Box<dyn Stream>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, host: &str, roots_pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
            let certificate = certificate.expect("a certificate in PEM");
            roots.add(certificate).expect("a certificate that is fit to be a root");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("a provider that speaks the usual versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { address, host: host.to_owned(), config: Some(Arc::new(config)) }
    }

    pub(crate) fn plain(address: SocketAddr, host: &str) -> Self {
        Self { address, host: host.to_owned(), config: None }
    }

    pub(crate) fn connect(&self) -> io::Result<Connection> {
        let tcp = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.config {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                let tls = ClientConnection::new(Arc::clone(config), name);
                Box::new(StreamOwned::new(tls.map_err(io::Error::other)?, tcp))
            }
        };
        Ok(Connection { host: self.host.clone(), stream })
    }

    pub(crate) fn put(&self, path: &str, body: &[u8]) -> io::Result<Response> {
        self.connect()?.request("PUT", path, body)
    }

    pub(crate) fn get(&self, path: &str) -> io::Result<Response> {
        self.connect()?.request("GET", path, b"")
    }
}

impl Connection {
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> io::Result<Response> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        self.stream.flush()?;
        self.response()
    }

    fn response(&mut self) -> io::Result<Response> {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut bytes)?;
        };
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let bad = || io::Error::new(io::ErrorKind::InvalidData, text.clone());
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
        let length = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .ok_or_else(bad)?;
        while bytes.len() < head + length {
            self.more(&mut bytes)?;
        }
        Ok(Response { status, body: bytes[head..head + length].to_vec() })
    }

    fn more(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
        Ok(())
    }
}
