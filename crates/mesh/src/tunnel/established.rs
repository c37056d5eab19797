use std::fmt;
use std::io::{BufRead, Write};

use rustls::{AlertDescription, Connection, Error};
use serde::Serialize;

use super::provider::CIPHER_NAME;
use crate::certificate::{Serial, UnixSeconds};
use crate::identity::SpiffeId;
use crate::verify::VerifiedPeer;

/// A tunnel whose peer has proved who it is.
///
/// Holds no more than one TLS record of plaintext between calls; how much is protected at once, and
/// so how much memory a connection takes, is up to the caller's pieces.
pub struct Established {
    tunnel: Tunnel,
    facts: TunnelFacts,
}

/// A tunnel that sends no more and still receives: the half-closed state of TCP.
pub struct Finishing {
    tunnel: Tunnel,
}

/// What a report says about a connection, from the connection itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TunnelFacts {
    pub peer: SpiffeId,
    pub peer_serial: Serial,
    pub peer_not_after: UnixSeconds,
    pub tls_version: &'static str,
    pub cipher: &'static str,
    pub key_exchange: String,
}

/// Whether the peer may send more.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
#[must_use = "an end must be passed on, or it looks like truncation"]
pub enum Incoming {
    Open,
    /// The peer said that it has sent everything.
    Ended,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum UnprotectError {
    #[error("the connection's bytes were changed on their way")]
    Forged,
    #[error("the peer closed the tunnel: {0}")]
    RefusedByPeer(String),
    #[error("the peer broke the protocol: {0}")]
    Misbehaved(String),
}

/// The connection ended without the peer's end of stream: bytes may be missing at its end, cut off
/// by whoever carries them.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the connection was cut before the peer had ended its stream: bytes may be missing")]
pub struct Truncated;

struct Tunnel {
    connection: Box<Connection>,
    /// Ciphertext that arrived in one piece with the end of the handshake.
    unread: Vec<u8>,
    ended: bool,
}

impl Established {
    pub(super) fn new(connection: Box<Connection>, peer: &VerifiedPeer, unread: &[u8]) -> Self {
        let group = connection.negotiated_key_exchange_group();
        let facts = TunnelFacts {
            peer: peer.id().clone(),
            peer_serial: peer.serial().clone(),
            peer_not_after: peer.not_after(),
            // The only version and suite that are offered; a handshake with others has failed.
            tls_version: "TLSv1.3",
            cipher: CIPHER_NAME,
            key_exchange: group.map_or_else(String::new, |group| format!("{:?}", group.name())),
        };
        Self { tunnel: Tunnel { connection, unread: unread.to_vec(), ended: false }, facts }
    }

    #[must_use]
    pub fn peer(&self) -> &SpiffeId {
        &self.facts.peer
    }

    #[must_use]
    pub fn facts(&self) -> &TunnelFacts {
        &self.facts
    }

    /// Appends `plaintext`, protected, to `out`, after whatever else was to be sent.
    ///
    /// # Errors
    /// [`UnprotectError::Misbehaved`] if the tunnel's keys are worn out or it broke earlier.
    pub fn protect(
        &mut self,
        mut plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), UnprotectError> {
        let connection = &mut self.tunnel.connection;
        take_outgoing(connection, out);
        while !plaintext.is_empty() {
            let taken = connection.writer().write(plaintext).map_err(|error| broken(&error))?;
            if taken == 0 {
                return Err(UnprotectError::Misbehaved("the tunnel takes no more".to_owned()));
            }
            plaintext = &plaintext[taken..];
            take_outgoing(connection, out);
        }
        Ok(())
    }

    /// Appends what `incoming` ciphertext says to `plaintext`. Call it once with nothing after the
    /// handshake: the peer's first bytes may have come with its last.
    ///
    /// # Errors
    /// [`UnprotectError`]: send what is outgoing and close. `plaintext` holds what came before.
    pub fn unprotect(
        &mut self,
        incoming: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<Incoming, UnprotectError> {
        self.tunnel.unprotect(incoming, plaintext)
    }

    /// Ends this side of the stream: `out` gets the last bytes to send.
    #[must_use = "the peer may still be sending"]
    pub fn finish(mut self, out: &mut Vec<u8>) -> Finishing {
        self.tunnel.connection.send_close_notify();
        take_outgoing(&mut self.tunnel.connection, out);
        Finishing { tunnel: self.tunnel }
    }

    /// Judges the end of the connection.
    ///
    /// # Errors
    /// [`Truncated`] unless the peer had said that it ended.
    pub fn transport_ended(&self) -> Result<(), Truncated> {
        self.tunnel.transport_ended()
    }

    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.tunnel.connection.wants_write()
    }

    /// Appends what is to be sent to `out`: the end of the handshake, answers to the peer, alerts.
    pub fn take_outgoing(&mut self, out: &mut Vec<u8>) {
        take_outgoing(&mut self.tunnel.connection, out);
    }
}

impl Finishing {
    /// As [`Established::unprotect`].
    ///
    /// # Errors
    /// As [`Established::unprotect`].
    pub fn unprotect(
        &mut self,
        incoming: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<Incoming, UnprotectError> {
        self.tunnel.unprotect(incoming, plaintext)
    }

    /// As [`Established::transport_ended`].
    ///
    /// # Errors
    /// [`Truncated`] unless the peer had said that it ended.
    pub fn transport_ended(&self) -> Result<(), Truncated> {
        self.tunnel.transport_ended()
    }
}

impl Tunnel {
    fn unprotect(
        &mut self,
        incoming: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<Incoming, UnprotectError> {
        let unread = std::mem::take(&mut self.unread);
        self.drain(plaintext)?;
        for mut piece in [unread.as_slice(), incoming] {
            while !piece.is_empty() && !self.ended {
                let read = read_some(&mut self.connection, &mut piece);
                // Records before a bad one were good: they are handed over with the error.
                self.drain(plaintext)?;
                read.map_err(unprotect_error)?;
            }
        }
        Ok(if self.ended { Incoming::Ended } else { Incoming::Open })
    }

    /// Moves out what rustls has decrypted.
    fn drain(&mut self, plaintext: &mut Vec<u8>) -> Result<(), UnprotectError> {
        let mut reader = self.connection.reader();
        loop {
            match reader.fill_buf() {
                Ok([]) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(chunk) => {
                    plaintext.extend_from_slice(chunk);
                    let taken = chunk.len();
                    reader.consume(taken);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    fn transport_ended(&self) -> Result<(), Truncated> {
        if self.ended { Ok(()) } else { Err(Truncated) }
    }
}

/// Hands `incoming` to rustls as far as it takes it, and has it processed. Says how much it took.
pub(super) fn read_some(connection: &mut Connection, incoming: &mut &[u8]) -> Result<usize, Error> {
    let read = connection.read_tls(incoming).map_err(|error| Error::General(error.to_string()))?;
    connection.process_new_packets()?;
    Ok(read)
}

pub(super) fn take_outgoing(connection: &mut Connection, out: &mut Vec<u8>) {
    while connection.wants_write() {
        connection.write_tls(out).expect("writing to memory cannot fail");
    }
}

fn unprotect_error(error: Error) -> UnprotectError {
    match error {
        Error::DecryptError => UnprotectError::Forged,
        Error::AlertReceived(alert) => UnprotectError::RefusedByPeer(alert_text(alert)),
        error => UnprotectError::Misbehaved(error.to_string()),
    }
}

fn broken(error: &std::io::Error) -> UnprotectError {
    UnprotectError::Misbehaved(error.to_string())
}

/// What a peer's alert (RFC 8446, section 6.2) means between two proxies.
pub(super) fn alert_text(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::CertificateExpired => {
            "it finds this proxy's certificate expired or not yet valid: compare the clocks"
        }
        AlertDescription::UnknownCA => "it does not trust the root of this proxy's certificate",
        AlertDescription::BadCertificate => "it finds this proxy's certificate malformed",
        AlertDescription::UnsupportedCertificate => {
            "it finds this proxy's certificate unfit for a tunnel"
        }
        AlertDescription::AccessDenied => "it expected another identity than this proxy's",
        AlertDescription::NoApplicationProtocol => "it does not speak `sealane/1`",
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            "it has no TLS version, cipher or key exchange in common with this proxy"
        }
        AlertDescription::CertificateRequired => "it got no certificate from this proxy",
        alert => return format!("TLS alert {alert:?}"),
    };
    text.to_owned()
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Established({})", self.facts.peer)
    }
}

impl fmt::Debug for Finishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finishing(..)")
    }
}
