//! Answers in HTTP/1.x, read as far as a load generator must.

use std::ops::Range;

use crate::Error;

/// One whole answer at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Where the body lies; its end is the answer's.
    pub(super) body: Range<usize>,
    /// The server closes after it.
    pub(super) closes: bool,
}

/// The answer that `buffer` begins with, once all of it is there.
///
/// # Errors
/// If it is none, or one whose end only a whole client would find (chunks, end of connection).
pub(super) fn parse(buffer: &[u8]) -> Result<Option<Answer>, Error> {
    let Some(head_len) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        if buffer.len() > HEAD_BYTES_MAX {
            return Err("the head of an answer does not end".into());
        }
        return Ok(None);
    };
    let head = std::str::from_utf8(&buffer[..head_len])?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let (version, rest) = first.split_once(' ').ok_or("an answer without a status line")?;
    let status = rest.get(..3).and_then(|status| status.parse().ok());
    let status = status.filter(|_| version.starts_with("HTTP/1.")).ok_or("no answer of HTTP/1")?;
    let mut length = None;
    let mut closes = version == "HTTP/1.0";
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().map_err(|_| "a length that is no number")?);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        }
    }
    let length = length.ok_or("an answer without a length")?;
    let start = head_len + 4;
    let end = start.checked_add(length).filter(|_| length <= BODY_BYTES_MAX);
    let end = end.ok_or("an answer longer than any of a KMS")?;
    Ok((buffer.len() >= end).then_some(Answer { status, body: start..end, closes }))
}

const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n\
        content-length: 2\r\n\r\n{}";

    #[test]
    fn an_answer_is_taken_only_once_it_is_whole() {
        for cut in 0..WHOLE.len() {
            assert_eq!(parse(&WHOLE[..cut]).unwrap(), None, "{cut}");
        }
        let body = WHOLE.len() - 2..WHOLE.len();
        let answer = Some(Answer { status: 200, body, closes: false });
        assert_eq!(parse(WHOLE).unwrap(), answer);
        assert_eq!(parse(&[WHOLE, b"HTTP/1.1 200"].concat()).unwrap(), answer);
    }

    #[test]
    fn an_answer_says_whether_the_connection_goes_on() {
        let closes = |text: &str| parse(text.as_bytes()).unwrap().unwrap().closes;
        assert!(closes(
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        ));
        assert!(closes("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!closes("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 2\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&[b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
