//! AWS Signature Version 4, seen from the server: what a signed request claims, and the bytes that
//! its signature must cover.
//!
//! [`SignedRequest::parse`] reads both forms, the `Authorization` header and the presigned query;
//! [`SignedRequest::write_canonical_request`] and [`SignedRequest::write_string_to_sign`] write what
//! is hashed and authenticated. Nothing here hashes, knows a key or reads a clock: a parsed request
//! is a claim until the signature was verified. Services other than S3 are meant: paths are
//! normalised and encoded once more, and the body is always signed.

use std::borrow::Cow;

mod canonical;
mod error;
mod parameters;
#[cfg(test)]
mod tests;
mod timestamp;

pub use error::{Form, Quoted, SigV4Error};
pub use timestamp::Timestamp;

use parameters::{NamedHeaders, Parameters, Presigned};

/// The one algorithm. AWS's other, asymmetric one needs a key pair per credential.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub const TERMINATOR: &str = "aws4_request";

/// The longest that a presigned request may be valid: a week, as AWS has it.
pub const EXPIRES_SECONDS_MAX: u32 = 604_800;
pub const SIGNATURE_HEX_LEN: usize = 64;

pub const METHOD_BYTES_MAX: usize = 16;
pub const PATH_BYTES_MAX: usize = 2048;
/// A presigned query with the longest security token, each of its bytes escaped, fits.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;
pub const QUERY_PARAMETERS_MAX: usize = 64;
pub const AUTHORIZATION_BYTES_MAX: usize = 4096;
pub const ACCESS_KEY_ID_BYTES_MAX: usize = 128;
/// A region or a service.
pub const SCOPE_NAME_BYTES_MAX: usize = 64;
/// SDKs sign about eight.
pub const SIGNED_HEADERS_MAX: usize = 32;
pub const SECURITY_TOKEN_BYTES_MAX: usize = 4096;
/// The names and values of all signed headers.
pub const CANONICAL_HEADERS_BYTES_MAX: usize = 64 * 1024;

/// A request as HTTP delivered it, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a, H> {
    pub method: &'a str,
    /// As on the request line, escapes and all.
    pub path: &'a str,
    /// What follows the first `?`, or nothing.
    pub query: &'a str,
    pub headers: H,
}

/// Headers that can be walked more than once, names in lower case, repeated ones in their order.
///
/// HTTP/2 has `:authority` where HTTP/1.1 has `host`; give it as `host`. Implemented by closures, so
/// that an HTTP library's map is neither copied nor known here:
/// `|| map.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))`.
pub trait Headers<'a> {
    fn each(&self) -> impl Iterator<Item = (&'a str, &'a [u8])>;
}

impl<'a, F, I> Headers<'a> for F
where
    F: Fn() -> I,
    I: Iterator<Item = (&'a str, &'a [u8])>,
{
    fn each(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self()
    }
}

/// Who is said to have signed, and for what the key is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credential<'a> {
    pub access_key_id: &'a str,
    /// `YYYYMMDD`; the day of [`SignedRequest::signed_at`].
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// The names that the signature covers: lower case, sorted, each once, `host` among them.
#[derive(Clone, Copy, Debug)]
pub struct SignedHeaders<'a> {
    raw: &'a str,
    form: Form,
}

impl<'a> SignedHeaders<'a> {
    /// Splits anew each time: an array of them would be the larger part of a parsed request.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        parameters::Pieces::of_signed_headers(self.raw, self.form)
    }
}

/// A request that carries a signature, well formed and not yet verified.
#[derive(Clone, Debug)]
pub struct SignedRequest<'a, H> {
    request: Request<'a, H>,
    form: Form,
    credential: Credential<'a>,
    signed_headers: SignedHeaders<'a>,
    signature: &'a str,
    signed_at: Timestamp,
    expires_seconds: Option<u32>,
    security_token: Option<Cow<'a, str>>,
    payload_hash: Option<&'a [u8]>,
}

impl<'a, H: Headers<'a>> SignedRequest<'a, H> {
    /// # Errors
    /// [`SigV4Error`] if the request carries no signature, two, or none that could be verified.
    pub fn parse(request: Request<'a, H>) -> Result<Self, SigV4Error> {
        check_request_line(&request)?;
        let headers = NamedHeaders::find(&request.headers)?;
        let presigned = Presigned::find(request.query)?;
        let parameters = match (headers.authorization, presigned) {
            (None, None) => return Err(SigV4Error::TokenMissing),
            (Some(_), Some(_)) => return Err(SigV4Error::FormsMixed),
            (Some(authorization), None) => Parameters::of_header(authorization, &headers)?,
            (None, Some(presigned)) => Parameters::of_query(&presigned, &headers)?,
        };
        Self::judge(request, &parameters)
    }

    /// In the order in which AWS does, so that of two faults the same one is named.
    fn judge(request: Request<'a, H>, raw: &Parameters<'a>) -> Result<Self, SigV4Error> {
        let signed_headers = raw.signed_headers()?;
        let credential = raw.credential()?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let signature = raw.signature;
        if signature.len() != SIGNATURE_HEX_LEN || !parameters::all(signature, is_hex) {
            return Err(SigV4Error::SignatureMismatch);
        }
        match raw.payload_hash {
            Some(b"UNSIGNED-PAYLOAD") => return Err(SigV4Error::PayloadUnsigned),
            Some(hash) if hash.starts_with(b"STREAMING-") => {
                return Err(SigV4Error::PayloadStreaming);
            }
            _ => {}
        }
        Ok(Self {
            request,
            form: raw.form,
            credential,
            signed_headers,
            signature,
            signed_at: raw.signed_at,
            expires_seconds: raw.expires_seconds,
            security_token: raw.security_token()?,
            payload_hash: raw.payload_hash,
        })
    }

    /// The key for another region or service would not verify anyway; asking first gives the caller
    /// an answer to act on.
    ///
    /// # Errors
    /// [`SigV4Error::RegionWrong`] or [`SigV4Error::ServiceWrong`].
    pub fn require_scope(&self, region: &str, service: &str) -> Result<(), SigV4Error> {
        if self.credential.region != region {
            return Err(SigV4Error::RegionWrong);
        }
        if self.credential.service != service {
            return Err(SigV4Error::ServiceWrong { service: service.to_owned() });
        }
        Ok(())
    }

    /// Writes the canonical request, for its SHA-256, over whatever `out` holds. `body_sha256` is
    /// computed, never taken from a header.
    ///
    /// # Errors
    /// [`SigV4Error`] if a signed header is absent, an `x-amz-` header is not signed, the query is
    /// malformed, or the request states another hash of its body.
    pub fn write_canonical_request(
        &self,
        body_sha256: &[u8; 32],
        out: &mut Vec<u8>,
    ) -> Result<(), SigV4Error> {
        let body_hex = canonical::hex(body_sha256);
        if self.payload_hash.is_some_and(|stated| stated != body_hex) {
            return Err(SigV4Error::PayloadHashWrong);
        }
        out.clear();
        out.extend_from_slice(self.request.method.as_bytes());
        out.push(b'\n');
        canonical::write_path(self.request.path, out);
        out.push(b'\n');
        canonical::write_query(self.request.query, self.form, out)?;
        out.push(b'\n');
        canonical::write_headers(&self.request.headers, self.signed_headers, out)?;
        out.push(b'\n');
        out.extend_from_slice(&body_hex);
        Ok(())
    }

    /// Writes what the signature authenticates over whatever `out` holds.
    pub fn write_string_to_sign(&self, canonical_request_sha256: &[u8; 32], out: &mut Vec<u8>) {
        let Credential { date, region, service, .. } = self.credential;
        out.clear();
        for (text, end) in [
            (ALGORITHM, b'\n'),
            (self.signed_at.as_str(), b'\n'),
            (date, b'/'),
            (region, b'/'),
            (service, b'/'),
            (TERMINATOR, b'\n'),
        ] {
            out.extend_from_slice(text.as_bytes());
            out.push(end);
        }
        out.extend_from_slice(&canonical::hex(canonical_request_sha256));
    }
}

impl<'a, H> SignedRequest<'a, H> {
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    #[must_use]
    pub fn credential(&self) -> Credential<'a> {
        self.credential
    }

    #[must_use]
    pub fn signed_headers(&self) -> SignedHeaders<'a> {
        self.signed_headers
    }

    /// 64 lower-case hex digits.
    #[must_use]
    pub fn signature(&self) -> &'a str {
        self.signature
    }

    #[must_use]
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    /// For how long a presigned request asks to be valid; `None` for one signed in its header.
    #[must_use]
    pub fn expires_seconds(&self) -> Option<u32> {
        self.expires_seconds
    }

    /// The token that comes with temporary credentials.
    #[must_use]
    pub fn security_token(&self) -> Option<&str> {
        self.security_token.as_deref()
    }
}

fn check_request_line<H>(request: &Request<'_, H>) -> Result<(), SigV4Error> {
    for (what, text, bytes_max) in [
        ("The request method", request.method, METHOD_BYTES_MAX),
        ("The request path", request.path, PATH_BYTES_MAX),
        ("The query string", request.query, QUERY_BYTES_MAX),
    ] {
        if text.len() > bytes_max {
            return Err(SigV4Error::TooLong { what, bytes_max });
        }
    }
    let in_capitals = request.method.bytes().all(|byte| byte.is_ascii_uppercase());
    if request.method.is_empty() || !in_capitals {
        return Err(SigV4Error::MethodMalformed);
    }
    if !request.path.is_empty() && !request.path.starts_with('/') {
        return Err(SigV4Error::PathMalformed);
    }
    Ok(())
}
