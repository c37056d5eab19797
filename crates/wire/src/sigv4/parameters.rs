//! What the `Authorization` header or the presigned query says, before anything is canonicalised.

use std::borrow::Cow;

use super::canonical::unescape;
use super::{
    ACCESS_KEY_ID_BYTES_MAX, ALGORITHM, AUTHORIZATION_BYTES_MAX, Credential, EXPIRES_SECONDS_MAX,
    Form, Headers, QUERY_PARAMETERS_MAX, Quoted, SCOPE_NAME_BYTES_MAX, SECURITY_TOKEN_BYTES_MAX,
    SIGNED_HEADERS_MAX, SigV4Error, SignedHeaders, TERMINATOR, Timestamp,
};

/// The headers that have a meaning here. Each may be there once: of two, one would be judged and
/// the other obeyed.
#[derive(Default)]
pub(super) struct NamedHeaders<'a> {
    pub(super) authorization: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    amz_date: Option<&'a [u8]>,
    date: Option<&'a [u8]>,
    security_token: Option<&'a [u8]>,
    content_sha256: Option<&'a [u8]>,
}

impl<'a> NamedHeaders<'a> {
    pub(super) fn find(headers: &impl Headers<'a>) -> Result<Self, SigV4Error> {
        let mut found = Self::default();
        for (name, value) in headers.each() {
            let (slot, known) = match name.len() {
                4 if name.eq_ignore_ascii_case("host") => (&mut found.host, "Host"),
                4 if name.eq_ignore_ascii_case("date") => (&mut found.date, "Date"),
                10 if name.eq_ignore_ascii_case("x-amz-date") => {
                    (&mut found.amz_date, "X-Amz-Date")
                }
                13 if name.eq_ignore_ascii_case("authorization") => {
                    (&mut found.authorization, "Authorization")
                }
                20 if name.eq_ignore_ascii_case("x-amz-security-token") => {
                    (&mut found.security_token, "X-Amz-Security-Token")
                }
                20 if name.eq_ignore_ascii_case("x-amz-content-sha256") => {
                    (&mut found.content_sha256, "X-Amz-Content-Sha256")
                }
                _ => continue,
            };
            put(slot, value.trim_ascii(), known)?;
        }
        Ok(found)
    }
}

/// The parameters of a presigned query, escaped as they came.
#[derive(Default)]
pub(super) struct Presigned<'a> {
    algorithm: Option<&'a str>,
    credential: Option<&'a str>,
    date: Option<&'a str>,
    expires: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
    security_token: Option<&'a str>,
    content_sha256: Option<&'a str>,
}

impl<'a> Presigned<'a> {
    /// `None` where `X-Amz-Algorithm` does not say that the query carries a signature.
    pub(super) fn find(query: &'a str) -> Result<Option<Self>, SigV4Error> {
        if query.is_empty() {
            return Ok(None);
        }
        let mut found = Self::default();
        for (at, (name, value)) in super::canonical::parameters(query).enumerate() {
            if at == QUERY_PARAMETERS_MAX {
                let what = "query-string parameters";
                return Err(SigV4Error::TooMany { what, max: QUERY_PARAMETERS_MAX });
            }
            let (slot, known) = match name {
                "X-Amz-Algorithm" => (&mut found.algorithm, "X-Amz-Algorithm"),
                "X-Amz-Credential" => (&mut found.credential, "X-Amz-Credential"),
                "X-Amz-Date" => (&mut found.date, "X-Amz-Date"),
                "X-Amz-Expires" => (&mut found.expires, "X-Amz-Expires"),
                "X-Amz-SignedHeaders" => (&mut found.signed_headers, "X-Amz-SignedHeaders"),
                "X-Amz-Signature" => (&mut found.signature, "X-Amz-Signature"),
                "X-Amz-Security-Token" => (&mut found.security_token, "X-Amz-Security-Token"),
                "X-Amz-Content-Sha256" => (&mut found.content_sha256, "X-Amz-Content-Sha256"),
                _ => continue,
            };
            put(slot, value, known)?;
        }
        Ok(found.algorithm.is_some().then_some(found))
    }
}

fn put<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), SigV4Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(SigV4Error::Repeated(name)),
    }
}

/// What either form must say.
pub(super) struct Parameters<'a> {
    pub(super) form: Form,
    credential: &'a str,
    signed_headers: &'a str,
    pub(super) signature: &'a str,
    pub(super) signed_at: Timestamp,
    pub(super) expires_seconds: Option<u32>,
    security_token: Option<&'a [u8]>,
    pub(super) payload_hash: Option<&'a [u8]>,
}

impl<'a> Parameters<'a> {
    pub(super) fn of_header(
        authorization: &'a [u8],
        headers: &NamedHeaders<'a>,
    ) -> Result<Self, SigV4Error> {
        // Another scheme is no signature at all: the caller has to learn that one is needed.
        if !authorization.starts_with(b"AWS4-") {
            return Err(SigV4Error::TokenMissing);
        }
        if authorization.len() > AUTHORIZATION_BYTES_MAX {
            let what = "The Authorization header";
            return Err(SigV4Error::TooLong { what, bytes_max: AUTHORIZATION_BYTES_MAX });
        }
        let text =
            std::str::from_utf8(authorization).map_err(|_| SigV4Error::AuthorizationMalformed)?;
        let (algorithm, mut rest) = cut(text, b' ');
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        while !rest.is_empty() {
            let (pair, after) = cut(rest, b',');
            rest = after;
            let pair = pair.trim_ascii();
            if let Some(value) = pair.strip_prefix("Credential=") {
                put(&mut credential, value, "Credential")?;
            } else if let Some(value) = pair.strip_prefix("SignedHeaders=") {
                put(&mut signed_headers, value, "SignedHeaders")?;
            } else if let Some(value) = pair.strip_prefix("Signature=") {
                put(&mut signature, value, "Signature")?;
            } else if !pair.is_empty() {
                return Err(SigV4Error::AuthorizationMalformed);
            }
        }
        let date = headers.amz_date.or(headers.date);
        let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
            (credential, signed_headers, signature, date)
        else {
            let absent = [
                ("Credential", credential.is_none()),
                ("Signature", signature.is_none()),
                ("SignedHeaders", signed_headers.is_none()),
                ("X-Amz-Date", date.is_none()),
            ];
            return Err(missing(Form::Header, &absent));
        };
        let signed_at = Timestamp::parse_iso8601(date)
            .or_else(|| Timestamp::parse_http(date).filter(|_| headers.amz_date.is_none()))
            .ok_or_else(|| SigV4Error::DateMalformed(Quoted::of_bytes(date)))?;
        require_algorithm(algorithm)?;
        Ok(Self {
            form: Form::Header,
            credential,
            signed_headers,
            signature,
            signed_at,
            expires_seconds: None,
            security_token: headers.security_token,
            payload_hash: headers.content_sha256,
        })
    }

    pub(super) fn of_query(
        query: &Presigned<'a>,
        headers: &NamedHeaders<'a>,
    ) -> Result<Self, SigV4Error> {
        let &Presigned { algorithm, credential, date, expires, signed_headers, signature, .. } =
            query;
        let (
            Some(algorithm),
            Some(credential),
            Some(signature),
            Some(signed_headers),
            Some(date),
            Some(expires),
        ) = (algorithm, credential, signature, signed_headers, date, expires)
        else {
            let absent = [
                ("X-Amz-Algorithm", algorithm.is_none()),
                ("X-Amz-Credential", credential.is_none()),
                ("X-Amz-Signature", signature.is_none()),
                ("X-Amz-SignedHeaders", signed_headers.is_none()),
                ("X-Amz-Date", date.is_none()),
                ("X-Amz-Expires", expires.is_none()),
            ];
            return Err(missing(Form::Presigned, &absent));
        };
        let signed_at = Timestamp::parse_iso8601(date.as_bytes())
            .ok_or_else(|| SigV4Error::DateMalformed(Quoted::of(date)))?;
        require_algorithm(algorithm)?;
        let expires_seconds = parse_expires(expires).ok_or(SigV4Error::ExpiresMalformed)?;
        Ok(Self {
            form: Form::Presigned,
            credential,
            signed_headers,
            signature,
            signed_at,
            expires_seconds: Some(expires_seconds),
            security_token: either(
                query.security_token,
                headers.security_token,
                "X-Amz-Security-Token",
            )?,
            payload_hash: either(
                query.content_sha256,
                headers.content_sha256,
                "X-Amz-Content-Sha256",
            )?,
        })
    }

    pub(super) fn credential(&self) -> Result<Credential<'a>, SigV4Error> {
        let malformed = || SigV4Error::CredentialMalformed(Quoted::of(self.credential));
        let mut pieces = Pieces::of(self.credential, b'/', b"2F", self.form);
        let mut next = || pieces.next().ok_or_else(malformed);
        let (access_key_id, date, region) = (next()?, next()?, next()?);
        let (service, terminator) = (next()?, next()?);
        let byte_is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%' && byte != b',';
        let plain = |text: &str| !text.is_empty() && all(text, byte_is_plain);
        let names = [access_key_id, region, service];
        if pieces.next().is_some() || !names.into_iter().all(plain) {
            return Err(malformed());
        }
        for (what, text, bytes_max) in [
            ("The access key id in Credential", access_key_id, ACCESS_KEY_ID_BYTES_MAX),
            ("The region in Credential", region, SCOPE_NAME_BYTES_MAX),
            ("The service in Credential", service, SCOPE_NAME_BYTES_MAX),
        ] {
            if text.len() > bytes_max {
                return Err(SigV4Error::TooLong { what, bytes_max });
            }
        }
        if terminator != TERMINATOR {
            return Err(SigV4Error::TerminatorWrong(Quoted::of(terminator)));
        }
        if date != self.signed_at.day() {
            let scope = Quoted::of(date);
            return Err(SigV4Error::ScopeDateWrong { scope, signed_at: self.signed_at });
        }
        Ok(Credential { access_key_id, date, region, service })
    }

    pub(super) fn signed_headers(&self) -> Result<SignedHeaders<'a>, SigV4Error> {
        let list = SignedHeaders { raw: self.signed_headers, form: self.form };
        let (mut before, mut has_host) = ("", false);
        for (at, name) in list.names().enumerate() {
            if at == SIGNED_HEADERS_MAX {
                let what = "signed headers";
                return Err(SigV4Error::TooMany { what, max: SIGNED_HEADERS_MAX });
            }
            // The empty name follows none, so it is refused too.
            if name <= before || !all(name, is_name_byte) {
                return Err(SigV4Error::SignedHeadersMalformed);
            }
            has_host |= name == "host";
            before = name;
        }
        if has_host { Ok(list) } else { Err(SigV4Error::HostNotSigned) }
    }

    pub(super) fn security_token(&self) -> Result<Option<Cow<'a, str>>, SigV4Error> {
        let Some(raw) = self.security_token else { return Ok(None) };
        // Only a query escapes, and it is longer for it: the limit is of the token itself.
        let token = match self.form {
            Form::Presigned if raw.contains(&b'%') => {
                let bytes: Option<Vec<u8>> = unescape(raw).collect();
                let text = String::from_utf8(bytes.ok_or(SigV4Error::QueryMalformed)?);
                Cow::Owned(text.map_err(|_| SigV4Error::SecurityTokenInvalid)?)
            }
            _ => {
                let text = std::str::from_utf8(raw);
                Cow::Borrowed(text.map_err(|_| SigV4Error::SecurityTokenInvalid)?)
            }
        };
        if token.len() > SECURITY_TOKEN_BYTES_MAX {
            let what = "The security token";
            return Err(SigV4Error::TooLong { what, bytes_max: SECURITY_TOKEN_BYTES_MAX });
        }
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SigV4Error::SecurityTokenInvalid);
        }
        Ok(Some(token))
    }
}

fn require_algorithm(algorithm: &str) -> Result<(), SigV4Error> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    Err(SigV4Error::AlgorithmUnsupported(Quoted::of(algorithm)))
}

fn parse_expires(text: &str) -> Option<u32> {
    // `parse` alone would take a sign and any number of zeros.
    if text.len() > 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|seconds| (1..=EXPIRES_SECONDS_MAX).contains(seconds))
}

/// A value that may come in the query or in a header, but not in both.
fn either<'a>(
    in_query: Option<&'a str>,
    in_header: Option<&'a [u8]>,
    name: &'static str,
) -> Result<Option<&'a [u8]>, SigV4Error> {
    match (in_query, in_header) {
        (Some(_), Some(_)) => Err(SigV4Error::Repeated(name)),
        (in_query, in_header) => Ok(in_query.map(str::as_bytes).or(in_header)),
    }
}

fn missing(form: Form, absent: &[(&'static str, bool)]) -> SigV4Error {
    let names = absent.iter().filter(|(_, absent)| *absent).map(|(name, _)| *name).collect();
    SigV4Error::ParametersMissing { form, names }
}

/// What stands before the first `byte`, and what after it. As `str::split_once`, which costs a third
/// of parsing a request; here sixteen bytes are asked at once.
fn cut(text: &str, byte: u8) -> (&str, &str) {
    let (chunks, _) = text.as_bytes().as_chunks::<16>();
    let absent = |chunk: &&[u8; 16]| !chunk.iter().fold(false, |found, &b| found | (b == byte));
    let skipped = 16 * chunks.iter().take_while(absent).count();
    match text.as_bytes()[skipped..].iter().position(|&other| other == byte) {
        Some(at) => (&text[..skipped + at], &text[skipped + at + 1..]),
        None => (text, ""),
    }
}

/// The bytes of a lower-case header name (RFC 9110, section 5.6.2), without `%`, which in a query
/// would be an escape left over.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!'
            | b'#' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)]
}

/// Whether each byte is what it should be. Without leaving early, so that many are asked at once:
/// they almost always are.
pub(super) fn all(text: &str, good: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |so_far, byte| so_far & good(byte))
}

/// What stands between separators, which a query may escape. Nothing else in these lists needs an
/// escape, so the pieces can be borrowed; a piece with a `%` in it is refused by who reads it.
pub(super) struct Pieces<'a> {
    rest: Option<&'a str>,
    separator: u8,
    escape: Option<&'static [u8; 2]>,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str, separator: u8, escape: &'static [u8; 2], form: Form) -> Self {
        let escape = (form == Form::Presigned).then_some(escape);
        Self { rest: Some(text), separator, escape }
    }

    /// The names in a list of signed headers.
    pub(super) fn of_signed_headers(text: &'a str, form: Form) -> Self {
        Self::of(text, b';', b"3B", form)
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        let bytes = text.as_bytes();
        let is_escaped = |at: usize| {
            let digits = bytes.get(at + 1..at + 3);
            self.escape.is_some_and(|escape| {
                digits.is_some_and(|digits| digits.eq_ignore_ascii_case(escape))
            })
        };
        let mut separators = bytes.iter().enumerate().filter_map(|(at, &byte)| match byte {
            byte if byte == self.separator => Some((at, at + 1)),
            b'%' if is_escaped(at) => Some((at, at + 3)),
            _ => None,
        });
        let Some((end, next)) = separators.next() else {
            self.rest = None;
            return Some(text);
        };
        self.rest = Some(&text[next..]);
        Some(&text[..end])
    }
}
