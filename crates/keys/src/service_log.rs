//! Sealed logs: what services print, kept so that a cut, a reordering or a swap is noticed.
//!
//! A log file is a header and frames. Each frame is bound to its number and to the tag of the frame
//! before it, and a finished file ends in an end frame: without one, the file is of a service still
//! running, or its tail is missing, and the reader says so.

use crypto::{DataKey, Entropy, Id, Salt};
use zeroize::Zeroizing;

use crate::record_seal::{self, FramePlace, FrameTag};
use crate::{DomainRing, KeyLookup};

const MAGIC: &[u8; 8] = b"SLNLOG\0\x01";
/// The header of a log file.
pub const HEADER_LEN: usize = MAGIC.len() + 16 + 16 + Salt::LEN;
const FRAME_HEADER_LEN: usize = 4 + 1 + Salt::LEN;
/// The longest text in one frame.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
const KIND_TEXT: u8 = 1;
const KIND_END: u8 = 2;

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum LogError {
    #[error("this is not a sealed log of a version that this program knows")]
    NotALog,
    #[error("the log is sealed under domain key {0}, which is not held")]
    KeyRetired(Id),
    #[error("frame {sequence} of the log was changed, moved or is missing")]
    Forged { sequence: u64 },
    #[error("the log goes on after its end")]
    AfterEnd,
}

/// What a writer of one file needs: handed to the process that writes, which needs no other key.
#[derive(Debug)]
pub struct LogKey {
    pub header: [u8; HEADER_LEN],
    pub key: DataKey,
}

impl LogKey {
    /// A key for one new file of `stream` (a service of a tenant, by its identity).
    pub fn generate(ring: &DomainRing, stream: &str, entropy: &mut dyn Entropy) -> Self {
        let log = Id::random(entropy);
        let salt = entropy.salt();
        let (domain, parent) = ring.current_key();
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(MAGIC);
        header[8..24].copy_from_slice(domain.as_bytes());
        header[24..40].copy_from_slice(log.as_bytes());
        header[40..].copy_from_slice(&salt.0);
        Self { header, key: record_seal::log_file_key(parent, stream, log, &salt) }
    }

    /// The key of an existing file.
    ///
    /// # Errors
    /// [`LogError`] if `header` is not that of a log whose domain key is held.
    pub fn of_header(
        ring: &dyn KeyLookup,
        stream: &str,
        header: &[u8; HEADER_LEN],
    ) -> Result<Self, LogError> {
        if header[..8] != *MAGIC {
            return Err(LogError::NotALog);
        }
        let domain = Id::from_bytes(header[8..24].try_into().expect("16 bytes"));
        let parent = ring.lookup(&domain).ok_or(LogError::KeyRetired(domain))?;
        let salt = Salt(header[40..].try_into().expect("16 bytes"));
        let key = record_seal::log_file_key(parent, stream, log_id(header), &salt);
        Ok(Self { header: *header, key })
    }

    /// The domain key that the file's key derives from: it must be kept for as long as the file.
    #[must_use]
    pub fn domain(&self) -> Id {
        Self::domain_of(&self.header)
    }

    /// As [`LogKey::domain`], of a file whose key is not at hand.
    #[must_use]
    pub fn domain_of(header: &[u8; HEADER_LEN]) -> Id {
        Id::from_bytes(header[8..24].try_into().expect("16 bytes"))
    }

    fn chain(self, stream: &str) -> Chain {
        Chain {
            log: log_id(&self.header),
            key: self.key,
            stream: stream.to_owned(),
            sequence: 0,
            previous: FrameTag([0; FrameTag::LEN]),
        }
    }
}

fn log_id(header: &[u8; HEADER_LEN]) -> Id {
    Id::from_bytes(header[24..40].try_into().expect("16 bytes"))
}

#[derive(Debug)]
struct Chain {
    log: Id,
    key: DataKey,
    stream: String,
    sequence: u64,
    previous: FrameTag,
}

impl Chain {
    fn place(&self, kind: u8) -> FramePlace<'_> {
        let (log, sequence, previous) = (self.log, self.sequence, self.previous);
        FramePlace { log, stream: &self.stream, sequence, kind, previous }
    }

    fn advance(&mut self, tag: FrameTag) {
        self.sequence += 1;
        self.previous = tag;
    }
}

/// Makes the bytes of one log file, to be appended in the order in which they are returned.
#[derive(Debug)]
#[must_use = "a log that is not finished reads like one whose tail is missing"]
pub struct LogWriter(Chain);

impl LogWriter {
    /// The writer, and the header that the file begins with.
    pub fn begin(key: LogKey, stream: &str) -> (Self, [u8; HEADER_LEN]) {
        let header = key.header;
        (Self(key.chain(stream)), header)
    }

    /// Frames of `text`, one for each [`FRAME_BYTES_MAX`] of it.
    pub fn append(&mut self, text: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let mut frames = Vec::new();
        self.append_to(&mut frames, text, entropy);
        frames
    }

    /// As [`LogWriter::append`], into a buffer that is used again and again.
    pub fn append_to(&mut self, frames: &mut Vec<u8>, text: &[u8], entropy: &mut dyn Entropy) {
        for chunk in text.chunks(FRAME_BYTES_MAX) {
            self.frame(frames, KIND_TEXT, chunk, entropy);
        }
    }

    /// The end frame: after it nothing can be appended, and its absence is noticed.
    #[must_use]
    pub fn finish(mut self, entropy: &mut dyn Entropy) -> Vec<u8> {
        let mut frame = Vec::new();
        self.frame(&mut frame, KIND_END, &[], entropy);
        frame
    }

    fn frame(&mut self, frames: &mut Vec<u8>, kind: u8, text: &[u8], entropy: &mut dyn Entropy) {
        let salt = entropy.salt();
        // Reserved at once: growing would leave copies of the text behind before it is sealed.
        frames.reserve(FRAME_HEADER_LEN + text.len() + FrameTag::LEN);
        frames.extend(u32::try_from(text.len()).expect("frames are short").to_be_bytes());
        frames.push(kind);
        frames.extend(salt.0);
        let begin = frames.len();
        frames.extend(text);
        let body = &mut frames[begin..];
        let tag = record_seal::seal_frame(&self.0.key, self.0.place(kind), &salt, body);
        self.0.advance(tag);
        frames.extend(tag.0);
    }
}

/// What stands next in a log.
#[derive(Debug, PartialEq, Eq)]
pub enum LogNext {
    Text {
        text: Zeroizing<Vec<u8>>,
        consumed: usize,
    },
    /// The writer finished here.
    End {
        consumed: usize,
    },
    /// The given bytes hold no whole frame. At the end of a file: it was not finished, and if bytes
    /// are left over, its last frame is torn.
    NeedsMore,
}

/// A place between two frames.
#[derive(Clone, Copy, Debug)]
pub struct FrameMark {
    sequence: u64,
    previous: FrameTag,
}

/// Reads one log file.
#[derive(Debug)]
pub struct LogReader {
    chain: Chain,
    ended: bool,
}

impl LogReader {
    #[must_use]
    pub fn begin(key: LogKey, stream: &str) -> Self {
        Self { chain: key.chain(stream), ended: false }
    }

    /// Opens the frame that `bytes` begin with.
    ///
    /// # Errors
    /// [`LogError`] if it is not the frame that was written next.
    pub fn next_frame(&mut self, bytes: &[u8]) -> Result<LogNext, LogError> {
        if self.ended && !bytes.is_empty() {
            return Err(LogError::AfterEnd);
        }
        let forged = LogError::Forged { sequence: self.chain.sequence };
        let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_LEN>() else {
            return Ok(LogNext::NeedsMore);
        };
        let len = u32::from_be_bytes(header[..4].try_into().expect("4 bytes"));
        let len = usize::try_from(len).map_err(|_| forged)?;
        let kind = header[4];
        if len > FRAME_BYTES_MAX || !matches!((kind, len), (KIND_TEXT, 1..) | (KIND_END, 0)) {
            return Err(forged);
        }
        let Some((body, tag)) = rest
            .split_at_checked(len)
            .and_then(|(body, rest)| Some((body, rest.first_chunk::<{ FrameTag::LEN }>()?)))
        else {
            return Ok(LogNext::NeedsMore);
        };
        let salt = Salt(header[5..].try_into().expect("16 bytes"));
        let (mut text, tag) = (Zeroizing::new(body.to_vec()), FrameTag(*tag));
        record_seal::open_frame(&self.chain.key, self.chain.place(kind), &salt, &mut text, &tag)
            .map_err(|_| forged)?;
        self.chain.advance(tag);
        let consumed = FRAME_HEADER_LEN + len + FrameTag::LEN;
        if kind == KIND_END {
            self.ended = true;
            return Ok(LogNext::End { consumed });
        }
        Ok(LogNext::Text { text, consumed })
    }

    /// Where the frames read so far end.
    #[must_use]
    pub fn mark(&self) -> FrameMark {
        FrameMark { sequence: self.chain.sequence, previous: self.chain.previous }
    }

    /// A writer that goes on at `mark`, after which nothing may be left in the file. None once the
    /// end frame was seen.
    ///
    /// A frame that stood after the mark is replaced by another under the same number; each draws a
    /// salt of its own, so that the two do not share a key.
    #[must_use]
    pub fn into_writer(self, mark: FrameMark) -> Option<LogWriter> {
        let Self { mut chain, ended } = self;
        chain.sequence = mark.sequence;
        chain.previous = mark.previous;
        (!ended).then_some(LogWriter(chain))
    }

    /// Whether the end frame was seen.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::{Counting, ring};

    const WEB: &str = "spiffe://test/ns/acme/sa/web";

    fn written(texts: &[&[u8]]) -> ([u8; HEADER_LEN], Vec<Vec<u8>>) {
        let entropy = &mut Counting::default();
        let key = LogKey::generate(&ring(1), WEB, entropy);
        let (mut writer, header) = LogWriter::begin(key, WEB);
        let mut frames: Vec<_> = texts.iter().map(|text| writer.append(text, entropy)).collect();
        frames.push(writer.finish(entropy));
        (header, frames)
    }

    /// The texts, and whether the end was seen.
    fn read(
        stream: &str,
        header: &[u8; HEADER_LEN],
        mut bytes: &[u8],
    ) -> Result<(Vec<Vec<u8>>, bool), LogError> {
        let key = LogKey::of_header(&ring(1), stream, header)?;
        let (mut reader, mut texts) = (LogReader::begin(key, stream), Vec::new());
        loop {
            match reader.next_frame(bytes)? {
                LogNext::Text { text, consumed } => {
                    texts.push(text.to_vec());
                    bytes = &bytes[consumed..];
                }
                LogNext::End { consumed } => bytes = &bytes[consumed..],
                LogNext::NeedsMore => return Ok((texts, reader.ended())),
            }
        }
    }

    #[test]
    fn a_log_reads_back_and_says_whether_it_ended() {
        let (header, frames) = written(&[b"one", b"two"]);
        let whole = (vec![b"one".to_vec(), b"two".to_vec()], true);
        assert_eq!(read(WEB, &header, &frames.concat()), Ok(whole.clone()));
        assert_eq!(read(WEB, &header, &frames[..2].concat()), Ok((whole.0, false)));
        let torn = &frames.concat()[..frames[0].len() + 3];
        assert_eq!(read(WEB, &header, torn), Ok((vec![b"one".to_vec()], false)));
    }

    #[test]
    fn a_reader_becomes_the_writer_that_goes_on() {
        let (header, frames) = written(&[b"one", b"two"]);
        let key = LogKey::of_header(&ring(1), WEB, &header).unwrap();
        let mut reader = LogReader::begin(key, WEB);
        reader.next_frame(&frames[0]).unwrap();
        let mark = reader.mark();
        reader.next_frame(&frames[1]).unwrap();
        let mut writer = reader.into_writer(mark).unwrap();
        let entropy = &mut Counting(1 << 40);
        let bytes =
            [&frames[0][..], &writer.append(b"2nd", entropy), &writer.finish(entropy)].concat();
        assert_eq!(read(WEB, &header, &bytes), Ok((vec![b"one".to_vec(), b"2nd".to_vec()], true)));
    }

    #[test]
    fn long_text_is_split_at_the_limit() {
        let text = vec![b'x'; FRAME_BYTES_MAX + 1];
        let (header, frames) = written(&[&text, &text[..FRAME_BYTES_MAX]]);
        let lengths: Vec<_> =
            read(WEB, &header, &frames.concat()).unwrap().0.iter().map(Vec::len).collect();
        assert_eq!(lengths, [FRAME_BYTES_MAX, 1, FRAME_BYTES_MAX]);
    }

    #[test]
    fn frames_missing_moved_repeated_or_of_another_log_are_refused() {
        let (header, frames) = written(&[b"one", b"two", b"six"]);
        let check = |order: &[usize], sequence| {
            let bytes: Vec<u8> = order.iter().flat_map(|&at| frames[at].clone()).collect();
            assert_eq!(read(WEB, &header, &bytes), Err(LogError::Forged { sequence }), "{order:?}");
        };
        check(&[0, 2, 3], 1);
        check(&[1, 2, 3], 0);
        check(&[1, 0, 2, 3], 0);
        check(&[0, 0, 1, 2, 3], 1);
        check(&[0, 1, 3], 2);
        let after_end = [&frames.concat()[..], &frames[0]].concat();
        assert_eq!(read(WEB, &header, &after_end), Err(LogError::AfterEnd));
        assert_eq!(
            read("spiffe://test/ns/acme/sa/api", &header, &frames.concat()),
            Err(LogError::Forged { sequence: 0 })
        );
    }

    #[test]
    fn any_flipped_bit_is_refused_or_reads_as_cut() {
        let (header, frames) = written(&[b"one"]);
        let file = [&header[..], &frames.concat()].concat();
        let end_frame = HEADER_LEN + frames[0].len();
        for bit in 0..file.len() * 8 {
            let mut forged = file.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let (header, frames) = forged.split_first_chunk::<HEADER_LEN>().unwrap();
            let read = read(WEB, header, frames);
            let at = bit / 8;
            let (sequence, place, before) = match at {
                0..8 => {
                    assert_eq!(read, Err(LogError::NotALog), "bit {bit}");
                    continue;
                }
                8..24 => {
                    let domain = Id::from_bytes(header[8..24].try_into().unwrap());
                    assert_eq!(read, Err(LogError::KeyRetired(domain)), "bit {bit}");
                    continue;
                }
                // The header's log id and salt are part of what the first frame is opened with.
                24..HEADER_LEN => (0, usize::MAX, vec![]),
                _ if at < end_frame => (0, at - HEADER_LEN, vec![]),
                _ => (1, at - end_frame, vec![b"one".to_vec()]),
            };
            // A length made longer waits for bytes that never come: not data, and not an end.
            let waits = place < 4 && read == Ok((before, false));
            assert!(waits || read == Err(LogError::Forged { sequence }), "bit {bit}: {read:?}");
        }
    }
}
