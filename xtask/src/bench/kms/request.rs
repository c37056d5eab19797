//! Requests as AWS's SDKs write them, signed, and a plain client for what is not measured.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::answer::parse;
use super::sigv4::{Signer, Stamp, canonical_post};
use crate::Error;

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// Shaped and as long as botocore's, for a server reads what it is sent.
const USER_AGENT: &str = "Bench/1.0.0 md/Bench#1.0.0 ua/2.1 os/linux#6.18.0 md/arch#x86_64 \
     lang/rust#1.95.0 md/pyimpl#none m/Z,b,E,e cfg/retry-mode#standard Bench/1.0.0";
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Turns bodies into requests to one server.
pub(super) struct Writer {
    host: String,
    signer: Signer,
}

impl Writer {
    pub(super) fn new(address: SocketAddr, signer: Signer) -> Self {
        Self { host: address.to_string(), signer }
    }

    /// Puts one whole request behind `out`.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        stamp: &Stamp,
        operation: &str,
        body: &[u8],
    ) -> Result<(), Error> {
        let target = format!("TrentService.{operation}");
        let token = self.signer.token().map(str::to_owned);
        let mut headers = vec![
            ("content-type", CONTENT_TYPE),
            ("host", self.host.as_str()),
            ("x-amz-date", stamp.as_str()),
        ];
        let mut names = "content-type;host;x-amz-date;x-amz-target";
        if let Some(token) = &token {
            headers.push(("x-amz-security-token", token));
            names = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
        }
        headers.push(("x-amz-target", &target));
        let canonical = canonical_post(&headers, names, body);
        let signature = self.signer.sign(stamp, canonical.as_bytes());
        write!(
            out,
            "POST / HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: identity\r\nX-Amz-Target: {target}\r\n\
             Content-Type: {CONTENT_TYPE}\r\nUser-Agent: {USER_AGENT}\r\nX-Amz-Date: {}\r\n",
            self.host,
            stamp.as_str()
        )?;
        if let Some(token) = &token {
            write!(out, "X-Amz-Security-Token: {token}\r\n")?;
        }
        write!(
            out,
            "Authorization: AWS4-HMAC-SHA256 Credential={}, SignedHeaders={names}, Signature={}\r\n\
             amz-sdk-invocation-id: 6d2f3f6e-95a3-4c1b-9f0e-0d6a5b6c7d8e\r\n\
             amz-sdk-request: attempt=1\r\nContent-Length: {}\r\n\r\n",
            signature.credential,
            signature.hex,
            body.len()
        )?;
        out.extend_from_slice(body);
        Ok(())
    }
}

/// One request after another.
pub(super) struct Client {
    address: SocketAddr,
    writer: Writer,
    stream: Option<TcpStream>,
}

impl Client {
    pub(super) fn new(address: SocketAddr, signer: Signer) -> Self {
        Self { address, writer: Writer::new(address, signer), stream: None }
    }

    /// The body of an answer of status 200.
    ///
    /// # Errors
    /// If there is none: the answer is quoted.
    pub(super) fn call(&mut self, operation: &str, body: &str) -> Result<Vec<u8>, Error> {
        let mut request = Vec::new();
        self.writer.write(&mut request, &Stamp::at(unix_seconds()), operation, body.as_bytes())?;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&request)?;
        let mut buffer = Vec::new();
        let answer = loop {
            if let Some(answer) = parse(&buffer)? {
                break answer;
            }
            let mut part = [0; 4096];
            match stream.read(&mut part)? {
                0 => return Err(format!("{operation}: the server closed").into()),
                read => buffer.extend_from_slice(&part[..read]),
            }
        };
        if !answer.closes {
            self.stream = Some(stream);
        }
        let body = &buffer[answer.body];
        if answer.status == 200 {
            return Ok(body.to_vec());
        }
        let said = String::from_utf8_lossy(body);
        Err(format!("{operation} was answered with {}: {said}", answer.status).into())
    }

    /// As [`Client::call`], read as JSON.
    pub(super) fn ask(&mut self, operation: &str, body: &str) -> Result<Value, Error> {
        Ok(serde_json::from_slice(&self.call(operation, body)?)?)
    }
}

pub(super) fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address)?;
    // A request is one segment: waiting to fill one would be measured as latency.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::super::sigv4::Credentials;
    use super::*;

    fn written(token: Option<&str>) -> String {
        let (id, secret) = ("test-id".to_owned(), "test-secret".to_owned());
        let credentials = Credentials { id, secret, token: token.map(str::to_owned) };
        let signer = Signer::new(credentials, "us-east-1", "kms");
        let mut writer = Writer::new("127.0.0.1:80".parse().unwrap(), signer);
        let mut out = Vec::new();
        writer.write(&mut out, &Stamp::at(0), "ListKeys", b"{}").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_carries_what_its_signature_covers() {
        let request = written(None);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "{}");
        for line in [
            "POST / HTTP/1.1",
            "Host: 127.0.0.1:80",
            "X-Amz-Target: TrentService.ListKeys",
            "X-Amz-Date: 19700101T000000Z",
            "Content-Length: 2",
        ] {
            assert!(head.lines().any(|found| found == line), "{line}");
        }
        assert!(head.contains("Credential=test-id/19700101/us-east-1/kms/aws4_request, "));
        assert!(!head.contains("Security-Token"));
    }

    #[test]
    fn a_sessions_token_is_sent_and_signed() {
        let request = written(Some("test-token"));
        assert!(request.contains("X-Amz-Security-Token: test-token\r\n"));
        assert!(request.contains(";x-amz-date;x-amz-security-token;x-amz-target, "));
    }
}
