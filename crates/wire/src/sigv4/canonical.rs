//! The parts of a canonical request. Whatever two requests differ in that means anything must come
//! out different here, and no part may be able to write into the next: a path and a query are
//! encoded, and line ends within a header's value become spaces.

use super::{
    CANONICAL_HEADERS_BYTES_MAX, Form, Headers, QUERY_PARAMETERS_MAX, Quoted, SIGNED_HEADERS_MAX,
    SigV4Error, SignedHeaders,
};

const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

pub(super) fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX_LOWER[usize::from(byte >> 4)];
        pair[1] = HEX_LOWER[usize::from(byte & 0x0f)];
    }
    text
}

/// The normalised path, each segment encoded once more: an escape of the request line is escaped.
pub(super) fn write_path(path: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                // A segment that was written has no slash in it but the one before.
                let parent = out[start..].iter().rposition(|&byte| byte == b'/');
                out.truncate(start + parent.unwrap_or(0));
            }
            _ => {
                out.push(b'/');
                encode(segment.bytes(), out);
            }
        }
    }
    if out.len() == start || path.ends_with('/') {
        out.push(b'/');
    }
}

/// Name and value of each parameter, as they came. What stands between two `&` and is empty says
/// nothing.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Where a parameter lies once encoded: its name, an equals sign, its value.
#[derive(Clone, Copy, Default)]
struct Encoded {
    name: usize,
    equals: usize,
    end: usize,
}

/// The parameters, unescaped and encoded in the one way, in the order of name, then value.
pub(super) fn write_query(query: &str, form: Form, out: &mut Vec<u8>) -> Result<(), SigV4Error> {
    if query.is_empty() {
        return Ok(());
    }
    // First as they come, after what `out` holds; then sorted, after that; then over the first.
    let start = out.len();
    let mut list = [Encoded::default(); QUERY_PARAMETERS_MAX];
    let mut count = 0;
    for (name, value) in parameters(query) {
        if form == Form::Presigned && name == "X-Amz-Signature" {
            continue;
        }
        let (what, max) = ("query-string parameters", QUERY_PARAMETERS_MAX);
        let place = list.get_mut(count).ok_or(SigV4Error::TooMany { what, max })?;
        place.name = out.len();
        recode(name, out)?;
        place.equals = out.len();
        out.push(b'=');
        recode(value, out)?;
        place.end = out.len();
        count += 1;
    }
    let list = &mut list[..count];
    list.sort_unstable_by(|a, b| {
        (&out[a.name..a.equals], &out[a.equals..a.end])
            .cmp(&(&out[b.name..b.equals], &out[b.equals..b.end]))
    });
    let sorted = out.len();
    for parameter in list {
        if out.len() > sorted {
            out.push(b'&');
        }
        out.extend_from_within(parameter.name..parameter.end);
    }
    out.drain(start..sorted);
    Ok(())
}

fn recode(text: &str, out: &mut Vec<u8>) -> Result<(), SigV4Error> {
    for byte in unescape(text.as_bytes()) {
        encode([byte.ok_or(SigV4Error::QueryMalformed)?].into_iter(), out);
    }
    Ok(())
}

/// The bytes that `text` of a query stands for; `None` where an escape is incomplete. A plus sign is
/// a space, as whoever reads the query takes it.
pub(super) fn unescape(text: &[u8]) -> impl Iterator<Item = Option<u8>> {
    let digit = |byte: Option<&u8>| match byte? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let mut bytes = text.iter();
    std::iter::from_fn(move || match bytes.next()? {
        b'%' => {
            let pair = (digit(bytes.next()), digit(bytes.next()));
            Some(pair.0.zip(pair.1).map(|(high, low)| high << 4 | low))
        }
        b'+' => Some(Some(b' ')),
        byte => Some(Some(*byte)),
    })
}

fn encode(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            let high = HEX_UPPER[usize::from(byte >> 4)];
            out.extend_from_slice(&[b'%', high, HEX_UPPER[usize::from(byte & 0x0f)]]);
        }
    }
}

/// One line per signed header, an empty one, and their names.
///
/// Every `x-amz-` header must be among them, as AWS's documentation demands: `x-amz-target` names
/// the operation, and whoever carries a request must not choose it.
pub(super) fn write_headers<'a>(
    headers: &impl Headers<'a>,
    signed: SignedHeaders<'a>,
    out: &mut Vec<u8>,
) -> Result<(), SigV4Error> {
    let mut names = [""; SIGNED_HEADERS_MAX];
    let mut count = 0;
    for (place, name) in names.iter_mut().zip(signed.names()) {
        *place = name;
        count += 1;
    }
    let names = &names[..count];
    let mut values: [Option<&[u8]>; SIGNED_HEADERS_MAX] = [None; SIGNED_HEADERS_MAX];
    let mut repeated = [false; SIGNED_HEADERS_MAX];
    for (name, value) in headers.each() {
        match names.iter().position(|signed| *signed == name) {
            Some(at) if values[at].is_none() => values[at] = Some(value),
            Some(at) => repeated[at] = true,
            None if is_amz(name) => return Err(SigV4Error::HeaderNotSigned(Quoted::of(name))),
            None => {}
        }
    }
    let start = out.len();
    for (at, name) in names.iter().enumerate() {
        let Some(value) = values[at] else {
            return Err(SigV4Error::SignedHeaderAbsent((*name).to_owned()));
        };
        out.extend_from_slice(name.as_bytes());
        let mut before = b':';
        if repeated[at] {
            for (_, value) in headers.each().filter(|(other, _)| other == name) {
                out.push(before);
                write_value(value, start, out)?;
                before = b',';
            }
        } else {
            out.push(before);
            write_value(value, start, out)?;
        }
        out.push(b'\n');
    }
    for (at, name) in names.iter().enumerate() {
        out.push(if at == 0 { b'\n' } else { b';' });
        out.extend_from_slice(name.as_bytes());
    }
    Ok(())
}

fn is_amz(name: &str) -> bool {
    name.as_bytes().get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"x-amz-"))
}

/// Trimmed, each run of white space a single space.
fn write_value(value: &[u8], start: usize, out: &mut Vec<u8>) -> Result<(), SigV4Error> {
    if out.len() - start + value.len() > CANONICAL_HEADERS_BYTES_MAX {
        let (what, bytes_max) = ("The list of signed headers", CANONICAL_HEADERS_BYTES_MAX);
        return Err(SigV4Error::TooLong { what, bytes_max });
    }
    // Most values have no space at all. This asks without leaving early, and so many bytes at once.
    if !value.iter().fold(false, |spaced, &byte| spaced | (byte <= b' ')) {
        out.extend_from_slice(value);
        return Ok(());
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let words = value.split(is_space).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    Ok(())
}
