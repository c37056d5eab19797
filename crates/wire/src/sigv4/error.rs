use std::fmt;

use super::Timestamp;

/// Everything for which a signed request is refused, by this codec or by those who hold the keys
/// and the clock, so that the HTTP layer answers from one list.
///
/// What `Display` writes is the message AWS answers, where it has one. It never repeats the
/// `Authorization` header, as older AWS endpoints do: a bearer token sent here by mistake would
/// then stand in an answer and in logs.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum SigV4Error {
    #[error("Request is missing Authentication Token")]
    TokenMissing,
    #[error(
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
    )]
    FormsMixed,
    #[error("{}", ParametersMissing(*form, names))]
    ParametersMissing { form: Form, names: Vec<&'static str> },
    /// A header or parameter that must be there once.
    #[error("'{0}' appears more than once.")]
    Repeated(&'static str),
    #[error(
        "Authorization header has a part that is not a valid key=value pair of 'Credential', \
         'SignedHeaders' or 'Signature'."
    )]
    AuthorizationMalformed,
    #[error("{what} is longer than {bytes_max} bytes.")]
    TooLong { what: &'static str, bytes_max: usize },
    #[error("There are more than {max} {what}.")]
    TooMany { what: &'static str, max: usize },
    #[error("Unsupported AWS 'algorithm': '{0}' (only AWS4-HMAC-SHA256 for now). ")]
    AlgorithmUnsupported(Quoted),
    #[error(
        "Date must be in ISO-8601 'basic format'. Got '{0}'. \
         See http://en.wikipedia.org/wiki/ISO_8601"
    )]
    DateMalformed(Quoted),
    #[error(
        "Credential must have exactly 5 slash-delimited elements, \
         e.g. keyid/date/region/service/term, got '{0}'"
    )]
    CredentialMalformed(Quoted),
    #[error("Credential should be scoped with a valid terminator: 'aws4_request', not '{0}'. ")]
    TerminatorWrong(Quoted),
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
         HTTP: '{scope}' != '{}', from '{signed_at}'.", signed_at.day()
    )]
    ScopeDateWrong { scope: Quoted, signed_at: Timestamp },
    #[error("Credential should be scoped to a valid region. ")]
    RegionWrong,
    #[error("Credential should be scoped to correct service: '{service}'. ")]
    ServiceWrong { service: String },
    #[error("X-Amz-Expires must be a number of seconds from 1 to {}.", super::EXPIRES_SECONDS_MAX)]
    ExpiresMalformed,
    #[error(
        "SignedHeaders must be lower-case header names, sorted, without duplicates, separated by \
         semicolons."
    )]
    SignedHeadersMalformed,
    #[error("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")]
    HostNotSigned,
    /// An `x-amz-` header that the signature does not cover: whoever carries the request could
    /// change what it asks for.
    #[error("'{0}' must be a 'SignedHeader' in the AWS Authorization.")]
    HeaderNotSigned(Quoted),
    #[error("'{0}' is a 'SignedHeader' in the AWS Authorization but is not in the request.")]
    SignedHeaderAbsent(String),
    #[error("The request method is not a name in capitals.")]
    MethodMalformed,
    #[error("The request path does not begin with a slash.")]
    PathMalformed,
    #[error("The query string contains an incomplete or illegal % escape.")]
    QueryMalformed,
    #[error("x-amz-content-sha256: UNSIGNED-PAYLOAD is not supported; sign the request's body.")]
    PayloadUnsigned,
    #[error("x-amz-content-sha256: STREAMING payloads are not supported; send the body whole.")]
    PayloadStreaming,
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    PayloadHashWrong,

    // From here on others judge: those who hold the clock, the credentials and the signing keys.
    #[error("{}", Late { signed_at, now, window_seconds: *window_seconds })]
    Expired { signed_at: Timestamp, now: Timestamp, window_seconds: u64 },
    #[error("{}", Early { signed_at, now, window_seconds: *window_seconds })]
    NotYetCurrent { signed_at: Timestamp, now: Timestamp, window_seconds: u64 },
    /// Also a revoked one: who tries keys must not learn which were real.
    #[error("The security token included in the request is invalid.")]
    AccessKeyUnknown,
    #[error("The security token included in the request is invalid.")]
    SecurityTokenInvalid,
    #[error("The security token included in the request is expired")]
    SecurityTokenExpired,
    /// Also a signature that is no signature: AWS does not tell them apart.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details."
    )]
    SignatureMismatch,
}

/// Where a request carries its signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query: a presigned URL.
    Presigned,
}

impl SigV4Error {
    /// What AWS KMS puts in `__type`.
    #[must_use]
    pub fn aws_type(&self) -> &'static str {
        match self {
            Self::TokenMissing => "MissingAuthenticationTokenException",
            Self::ParametersMissing { .. }
            | Self::Repeated(_)
            | Self::AuthorizationMalformed
            | Self::TooLong { .. }
            | Self::TooMany { .. }
            | Self::AlgorithmUnsupported(_)
            | Self::DateMalformed(_)
            | Self::CredentialMalformed(_)
            | Self::ExpiresMalformed
            | Self::SignedHeadersMalformed
            | Self::MethodMalformed
            | Self::PathMalformed
            | Self::QueryMalformed => "IncompleteSignatureException",
            Self::FormsMixed
            | Self::TerminatorWrong(_)
            | Self::ScopeDateWrong { .. }
            | Self::RegionWrong
            | Self::ServiceWrong { .. }
            | Self::HostNotSigned
            | Self::HeaderNotSigned(_)
            | Self::SignedHeaderAbsent(_)
            | Self::PayloadUnsigned
            | Self::PayloadStreaming
            | Self::PayloadHashWrong
            | Self::Expired { .. }
            | Self::NotYetCurrent { .. }
            | Self::SignatureMismatch => "InvalidSignatureException",
            Self::AccessKeyUnknown | Self::SecurityTokenInvalid => "UnrecognizedClientException",
            Self::SecurityTokenExpired => "ExpiredTokenException",
        }
    }
}

/// A little of what the caller sent, for it to recognise: short and printable.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Quoted(String);

impl Quoted {
    const CHARS_MAX: usize = 64;

    pub(super) fn of(text: &str) -> Self {
        let shown = |c: char| if c.is_ascii_graphic() && c != '\'' { c } else { '?' };
        Self(text.chars().take(Self::CHARS_MAX).map(shown).collect())
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self::of(&String::from_utf8_lossy(&bytes[..bytes.len().min(4 * Self::CHARS_MAX)]))
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

struct ParametersMissing<'a>(Form, &'a [&'static str]);

impl fmt::Display for ParametersMissing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &name in self.1 {
            match (self.0, name) {
                (Form::Header, "X-Amz-Date") => f.write_str(
                    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                     header. ",
                )?,
                (Form::Header, _) => {
                    write!(f, "Authorization header requires '{name}' parameter. ")?
                }
                (Form::Presigned, _) => {
                    write!(f, "AWS query-string parameters must include '{name}'. ")?;
                }
            }
        }
        match self.0 {
            Form::Header => Ok(()),
            Form::Presigned => f.write_str("Re-examine the query-string parameters."),
        }
    }
}

struct Late<'a> {
    signed_at: &'a Timestamp,
    now: &'a Timestamp,
    window_seconds: u64,
}

impl fmt::Display for Late<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signed_at, now, window_seconds } = *self;
        let bound = Timestamp::of_unix_seconds(now.unix_seconds().saturating_sub(window_seconds));
        let (bound, window) = (bound.unwrap_or(*now), Window(window_seconds));
        write!(f, "Signature expired: {signed_at} is now earlier than {bound} ({now} - {window})")
    }
}

struct Early<'a> {
    signed_at: &'a Timestamp,
    now: &'a Timestamp,
    window_seconds: u64,
}

impl fmt::Display for Early<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signed_at, now, window_seconds } = *self;
        let bound = Timestamp::of_unix_seconds(now.unix_seconds().saturating_add(window_seconds));
        let (bound, window) = (bound.unwrap_or(*now), Window(window_seconds));
        let text = "Signature not yet current";
        write!(f, "{text}: {signed_at} is still later than {bound} ({now} + {window})")
    }
}

struct Window(u64);

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(60) {
            write!(f, "{} min.", self.0 / 60)
        } else {
            write!(f, "{} sec.", self.0)
        }
    }
}
