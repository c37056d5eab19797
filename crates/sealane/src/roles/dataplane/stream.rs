//! A tunnel over TCP as a stream of plaintext bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mesh::tunnel::{
    Established, Finishing, Handshaking, Incoming, Progress, TunnelFacts, UnprotectError,
};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use wire::Decoded;

use super::facts::Counted;
use crate::ipc::messages::Protection;

/// Ciphertext that may wait to be sent, and what is read at once.
const PIECE_BYTES: usize = 64 * 1024;

enum State {
    Open(Established),
    /// This side has ended its stream; the peer may still be sending.
    Finishing(Finishing),
    Broken,
}

/// A verified peer at the other end of a TCP connection.
pub struct TunnelStream {
    tcp: TcpStream,
    state: State,
    facts: TunnelFacts,
    /// Ciphertext that has not been sent yet, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// Plaintext that has not been read yet, from `read` on.
    plaintext: Vec<u8>,
    read: usize,
    peer_ended: bool,
    piece: Box<[u8]>,
    counted: Vec<Counted>,
}

/// Runs a handshake to its end.
///
/// # Errors
/// Why there is no tunnel, from whichever side refused.
pub async fn handshake(
    mut tcp: TcpStream,
    mut handshaking: Handshaking,
) -> Result<TunnelStream, String> {
    let mut piece = vec![0; PIECE_BYTES].into_boxed_slice();
    let mut outgoing = Vec::new();
    let broken = |error: io::Error| format!("the connection broke: {error}");
    loop {
        handshaking.take_outgoing(&mut outgoing);
        tcp.write_all(&outgoing).await.map_err(broken)?;
        outgoing.clear();
        let read = tcp.read(&mut piece).await.map_err(broken)?;
        if read == 0 {
            return Err(handshaking.transport_ended().to_string());
        }
        match handshaking.read_incoming(&piece[..read]) {
            Ok(Progress::Handshaking(next)) => handshaking = next,
            Ok(Progress::Established(mut established)) => {
                established.take_outgoing(&mut outgoing);
                let mut stream = TunnelStream::new(tcp, established, outgoing, piece);
                // The peer's first bytes may have come in one piece with the handshake's last.
                stream.unprotect(0).map_err(broken)?;
                stream.flush().await.map_err(broken)?;
                return Ok(stream);
            }
            Err(failed) => {
                let _ = tcp.write_all(&failed.last_words).await;
                let _ = tcp.shutdown().await;
                return Err(failed.reason.to_string());
            }
        }
    }
}

impl TunnelStream {
    fn new(tcp: TcpStream, tunnel: Established, outgoing: Vec<u8>, piece: Box<[u8]>) -> Self {
        Self {
            tcp,
            facts: tunnel.facts().clone(),
            state: State::Open(tunnel),
            outgoing,
            sent: 0,
            plaintext: Vec::new(),
            read: 0,
            peer_ended: false,
            piece,
            counted: Vec::new(),
        }
    }

    #[must_use]
    pub fn facts(&self) -> &TunnelFacts {
        &self.facts
    }

    #[must_use]
    pub fn protection(&self) -> Protection {
        Protection {
            tls_version: self.facts.tls_version.to_owned(),
            cipher: self.facts.cipher.to_owned(),
            key_exchange: self.facts.key_exchange.clone(),
        }
    }

    /// From now on every byte counts, for each line that it belongs to.
    pub fn count(&mut self, counted: Counted) {
        self.counted.push(counted);
    }

    /// Whether the peer has neither closed the tunnel nor said anything while it waited for use.
    pub fn is_idle(&self) -> bool {
        // Past tokio: what it has not been told by the kernel yet, it would call quiet.
        let mut byte = [0];
        let peeked =
            rustix::net::recv(&self.tcp, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        peeked == Err(rustix::io::Errno::AGAIN) && self.plaintext.is_empty()
    }

    /// Reads until `decode` has a value; what follows it stays to be read.
    ///
    /// # Errors
    /// `InvalidData` with what `decode` says, or what broke.
    pub async fn decode<T, E: std::fmt::Display>(
        &mut self,
        decode: impl Fn(&[u8]) -> Result<Decoded<T>, E>,
    ) -> io::Result<T> {
        loop {
            let invalid = |e: E| io::Error::new(io::ErrorKind::InvalidData, e.to_string());
            if let Decoded::Done { value, consumed } =
                decode(&self.plaintext[self.read..]).map_err(invalid)?
            {
                self.read += consumed;
                return Ok(value);
            }
            if self.peer_ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            std::future::poll_fn(|cx| self.poll_fill(cx)).await?;
        }
    }

    /// Reads ciphertext once, and unprotects it.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.read == self.plaintext.len() {
            self.plaintext.clear();
            self.read = 0;
        }
        let mut buffer = ReadBuf::new(&mut self.piece);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
        let arrived = buffer.filled().len();
        if arrived == 0 {
            let ended = match &self.state {
                State::Open(tunnel) => tunnel.transport_ended(),
                State::Finishing(tunnel) => tunnel.transport_ended(),
                State::Broken => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
            // Whoever reads on after the error gets it again, never an end.
            ended.map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, error))?;
            self.peer_ended = true;
            return Poll::Ready(Ok(()));
        }
        self.unprotect(arrived)?;
        Poll::Ready(Ok(()))
    }

    fn unprotect(&mut self, arrived: usize) -> io::Result<()> {
        let before = self.plaintext.len();
        let unprotected = match &mut self.state {
            State::Open(tunnel) => tunnel.unprotect(&self.piece[..arrived], &mut self.plaintext),
            State::Finishing(tunnel) => {
                tunnel.unprotect(&self.piece[..arrived], &mut self.plaintext)
            }
            State::Broken => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        for counted in &self.counted {
            counted.add(self.plaintext.len() - before);
        }
        if let State::Open(tunnel) = &mut self.state {
            tunnel.take_outgoing(&mut self.outgoing);
        }
        match unprotected {
            Ok(Incoming::Open) => Ok(()),
            Ok(Incoming::Ended) => {
                self.peer_ended = true;
                Ok(())
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn broken(&mut self, error: &UnprotectError) -> io::Error {
        self.state = State::Broken;
        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
    }

    /// Sends what can be sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let written =
                ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.outgoing[self.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        self.outgoing.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read == this.plaintext.len() {
            if this.peer_ended {
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_fill(cx))?;
        }
        let rest = &this.plaintext[this.read..];
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        this.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Poll::Ready(Err(error)) = this.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        if this.outgoing.len() - this.sent >= PIECE_BYTES {
            // The last call above has registered for when there is room.
            return Poll::Pending;
        }
        let State::Open(tunnel) = &mut this.state else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let taken = bytes.len().min(PIECE_BYTES);
        if let Err(error) = tunnel.protect(&bytes[..taken], &mut this.outgoing) {
            return Poll::Ready(Err(this.broken(&error)));
        }
        for counted in &this.counted {
            counted.add(taken);
        }
        if let Poll::Ready(Err(error)) = this.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.state, State::Open(_))
            && let State::Open(tunnel) = std::mem::replace(&mut this.state, State::Broken)
        {
            this.state = State::Finishing(tunnel.finish(&mut this.outgoing));
        }
        this.poll_send(cx)
    }
}
