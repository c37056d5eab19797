use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, Connection, Error, ServerConfig, ServerConnection};

use super::ALPN;
use super::config::TunnelConfig;
use super::established::{Established, alert_text, read_some, take_outgoing};
use super::provider::provider;
use super::verifier::{Finding, FixedTime, Verifier};
use crate::certificate::UnixSeconds;
use crate::identity::SpiffeId;
use crate::verify::VerifyError;

/// What a peer may send before it has proved who it is: two flights with a chain of three
/// certificates take less than 8 KiB.
pub const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;

/// A tunnel whose peer has not yet proved who it is. Nothing of the application passes through it.
#[must_use = "a handshake goes on only while it is given what arrives"]
pub struct Handshaking {
    /// Boxed, because the states of a tunnel are moved and a connection is over 1 KiB.
    connection: Box<Connection>,
    verifier: Arc<Verifier>,
    received: usize,
}

/// What a handshake has come to.
#[derive(Debug)]
#[must_use = "a handshake goes on only while it is given what arrives"]
pub enum Progress {
    Handshaking(Handshaking),
    /// The peer is verified. There may be something to send, and plaintext may have come already.
    Established(Established),
}

/// The end of a handshake that did not succeed.
#[derive(Debug)]
pub struct HandshakeFailed {
    pub reason: HandshakeError,
    /// To be sent before the connection is closed: tells the peer that, and roughly why.
    pub last_words: Vec<u8>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum HandshakeError {
    #[error("{0}")]
    PeerNotVerified(#[from] VerifyError),
    #[error("the peer refused this proxy: {0}")]
    RefusedByPeer(String),
    #[error("the peer does not speak `sealane/1`: it is no proxy of a cell")]
    NotOurProtocol,
    #[error("what arrived is not TLS: the other end is no proxy of a cell")]
    NotTls,
    #[error("the peer offers nothing that a tunnel accepts: {0}")]
    Incompatible(String),
    #[error("the peer sent more than {HANDSHAKE_BYTES_MAX} bytes without proving who it is")]
    TooLong,
    #[error("the connection ended before the peer had proved who it is")]
    Cut,
    #[error("the peer broke the protocol: {0}")]
    Misbehaved(String),
}

impl Handshaking {
    /// Begins a tunnel to `target`; no other identity is accepted at its end.
    ///
    /// # Errors
    /// [`HandshakeError::Misbehaved`] if this proxy's own configuration is unusable.
    pub fn as_client(
        config: &TunnelConfig,
        target: &SpiffeId,
        now: UnixSeconds,
    ) -> Result<Self, HandshakeError> {
        let verifier = verifier(config, now, Some(target.clone()));
        let mut tls = ClientConfig::builder_with_details(provider(), Arc::new(FixedTime(now)))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<_>)
            .with_client_cert_resolver(Arc::clone(&verifier) as Arc<_>);
        tls.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would carry on under a certificate that may have expired since.
        tls.resumption = Resumption::disabled();
        // Who is called is known by SPIFFE ID alone; on the wire it stays unsaid.
        tls.enable_sni = false;
        let nobody = ServerName::try_from("sealane.invalid").expect("this is a DNS name");
        let connection = ClientConnection::new(Arc::new(tls), nobody).map_err(unusable)?;
        Ok(Self { connection: Box::new(connection.into()), verifier, received: 0 })
    }

    /// Begins the accepting end of a tunnel, for any peer of the cell.
    ///
    /// # Errors
    /// [`HandshakeError::Misbehaved`] if this proxy's own configuration is unusable.
    pub fn as_server(config: &TunnelConfig, now: UnixSeconds) -> Result<Self, HandshakeError> {
        let verifier = verifier(config, now, None);
        let mut tls = ServerConfig::builder_with_details(provider(), Arc::new(FixedTime(now)))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(Arc::clone(&verifier) as Arc<_>)
            .with_cert_resolver(Arc::clone(&verifier) as Arc<_>);
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        tls.max_early_data_size = 0;
        let connection = ServerConnection::new(Arc::new(tls)).map_err(unusable)?;
        Ok(Self { connection: Box::new(connection.into()), verifier, received: 0 })
    }

    /// Takes what arrived from the peer, all of it.
    ///
    /// # Errors
    /// [`HandshakeFailed`]: send its last words and close.
    pub fn read_incoming(mut self, mut incoming: &[u8]) -> Result<Progress, HandshakeFailed> {
        while self.connection.is_handshaking() {
            if incoming.is_empty() {
                return Ok(Progress::Handshaking(self));
            }
            match read_some(&mut self.connection, &mut incoming) {
                Ok(read) => self.received += read,
                Err(error) => return Err(self.fail(error)),
            }
            if self.received > HANDSHAKE_BYTES_MAX {
                return Err(self.fail_with(HandshakeError::TooLong));
            }
        }
        // Reached only when rustls has called our verifier and checked the peer's signature.
        match self.verifier.take_finding() {
            Some(Finding::Verified(peer)) if self.connection.alpn_protocol() == Some(ALPN) => {
                Ok(Progress::Established(Established::new(self.connection, &peer, incoming)))
            }
            _ => Err(self.fail_with(HandshakeError::NotOurProtocol)),
        }
    }

    /// The connection ended: so did this handshake.
    #[must_use]
    pub fn transport_ended(self) -> HandshakeError {
        HandshakeError::Cut
    }

    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Appends what is to be sent to `out`.
    pub fn take_outgoing(&mut self, out: &mut Vec<u8>) {
        take_outgoing(&mut self.connection, out);
    }

    fn fail(self, error: Error) -> HandshakeFailed {
        let reason = match (self.verifier.take_finding(), error) {
            (Some(Finding::Refused(refused)), _) => HandshakeError::PeerNotVerified(refused),
            (Some(Finding::NotOurProtocol), _) | (_, Error::NoApplicationProtocol) => {
                HandshakeError::NotOurProtocol
            }
            (_, Error::NoCertificatesPresented) => VerifyError::ChainEmpty.into(),
            (_, Error::AlertReceived(alert)) => HandshakeError::RefusedByPeer(alert_text(alert)),
            (_, Error::PeerIncompatible(why)) => HandshakeError::Incompatible(format!("{why:?}")),
            // Before a hello was understood: whoever this is, it has said nothing in TLS.
            (_, Error::InvalidMessage(_))
                if self.connection.negotiated_cipher_suite().is_none() =>
            {
                HandshakeError::NotTls
            }
            (_, error) => HandshakeError::Misbehaved(error.to_string()),
        };
        self.fail_with(reason)
    }

    fn fail_with(mut self, reason: HandshakeError) -> HandshakeFailed {
        let mut last_words = Vec::new();
        take_outgoing(&mut self.connection, &mut last_words);
        HandshakeFailed { reason, last_words }
    }
}

fn verifier(config: &TunnelConfig, now: UnixSeconds, expected: Option<SpiffeId>) -> Arc<Verifier> {
    Arc::new(Verifier::new(config.svid().certified, config.bundle(), now, expected))
}

fn unusable(error: Error) -> HandshakeError {
    HandshakeError::Misbehaved(error.to_string())
}

impl fmt::Debug for Handshaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handshaking({} bytes received)", self.received)
    }
}
