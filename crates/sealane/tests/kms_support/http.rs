//! HTTP/1.1 as bytes on a socket: what is sent is exactly what a test says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;
use super::signed::{AccessKey, signed};

pub(crate) struct Connection {
    stream: TcpStream,
    /// Read and not yet part of an answer.
    ahead: Vec<u8>,
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Answer(Answer),
    /// The connection was closed or reset. Part of an answer may have come before.
    Closed,
}

#[derive(PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?} {body}", self.status, self.headers)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The type of the error, if this is one of AWS's shape.
    pub(crate) fn aws_error(&self) -> Option<String> {
        let id = self.header("x-amzn-requestid")?;
        let json = self.header("content-type")? == "application/x-amz-json-1.1";
        let kind = self.json()["__type"].as_str()?.to_owned();
        (json && !id.is_empty() && self.status >= 400).then_some(kind)
    }

    /// What hyper answers to what is no HTTP, before any of our code sees it.
    pub(crate) fn is_bare_refusal(&self) -> bool {
        (400..500).contains(&self.status) && self.body.is_empty()
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Answer(answer) => answer,
            Self::Closed => panic!("the connection was closed"),
        }
    }
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::try_to(address).unwrap()
    }

    pub(crate) fn try_to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    /// Sends what the peer will take: it may have answered and closed before the end.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_hang(&error) => panic!("the server takes nothing more: {error}"),
            Err(_) => false,
        }
    }

    /// Sends nothing more.
    pub(crate) fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer. Panics if there is neither one nor an end in time.
    pub(crate) fn reply(&mut self) -> Reply {
        match self.try_reply() {
            Ok(reply) => reply,
            Err(error) => panic!("neither an answer nor an end: {error}"),
        }
    }

    fn try_reply(&mut self) -> io::Result<Reply> {
        loop {
            if let Some((answer, len)) = parse(&self.ahead) {
                self.ahead.drain(..len);
                if answer.status == 100 {
                    continue;
                }
                return Ok(Reply::Answer(answer));
            }
            if self.more()? == 0 {
                return Ok(Reply::Closed);
            }
        }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(read) => {
                self.ahead.extend(&bytes[..read]);
                Ok(read)
            }
            Err(error) if is_hang(&error) => Err(error),
            // A reset, for one.
            Err(_) => Ok(0),
        }
    }

    /// Whether the peer says that it waits for a body.
    pub(crate) fn is_told_to_continue(&mut self) -> bool {
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        while self.ahead.len() < CONTINUE.len() && self.more().unwrap() > 0 {}
        self.ahead.starts_with(CONTINUE)
    }

    /// Panics unless the peer closes, having said nothing more.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        let reply = self.reply();
        assert_eq!(reply, Reply::Closed);
        let rest = String::from_utf8_lossy(&self.ahead);
        assert!(rest.is_empty(), "more was said: {rest}");
    }

    /// A signed call.
    pub(crate) fn call(&mut self, key: &AccessKey, operation: &str, body: &[u8]) -> Answer {
        self.try_call(key, operation, body).expect("the server has closed the connection")
    }

    /// `None` if the server goes away meanwhile.
    pub(crate) fn try_call(
        &mut self,
        key: &AccessKey,
        operation: &str,
        body: &[u8],
    ) -> Option<Answer> {
        self.send(&signed(key, operation, body));
        match self.reply() {
            Reply::Answer(answer) => Some(answer),
            Reply::Closed => None,
        }
    }
}

fn is_hang(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// An answer at the front of `bytes`, and its length.
fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let head_len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_len]).expect("a head of ASCII");
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {head}"));
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let len = headers.iter().find(|(name, _)| name == "content-length");
    let body_len: usize = len.map_or(0, |(_, len)| len.parse().unwrap());
    let body = bytes.get(head_len..head_len + body_len)?.to_vec();
    Some((Answer { status, headers, body }, head_len + body_len))
}
