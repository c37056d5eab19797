//! Reads one segment frame by frame.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crypto::Id;
use keys::KeyLookup;
use keys::audit_trail::segment_stream;
use keys::service_log::{FrameMark, HEADER_LEN, LogError, LogKey, LogNext, LogReader, LogWriter};
use zeroize::Zeroizing;

use super::TrailError;
use super::folder::segment_path;

/// What is read from the file at once.
const READ_BYTES: u64 = 256 * 1024;
/// Of a frame: its length and kind, its salt, its tag (`docs/formats/keys.md`).
const FRAME_HEADER_LEN: u64 = 21;
const TAG_LEN: u64 = 16;

pub(super) struct Segment {
    pub(super) first: u64,
    path: PathBuf,
    file: File,
    reader: LogReader,
    /// Read from the file and not opened yet, from `at` on.
    unread: Vec<u8>,
    at: usize,
    /// Where the next frame begins in the file.
    offset: u64,
}

/// What stands next in a segment.
pub(super) enum Next {
    Text(Zeroizing<Vec<u8>>),
    /// The segment was finished, and the file ends here.
    Finished,
    /// The file ends with this many bytes that are no whole frame: it is being written, or the
    /// process or the power failed while it was.
    Unfinished {
        torn: u64,
    },
}

/// A place between two frames: where writing may go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: u64,
    mark: FrameMark,
}

impl Segment {
    /// None if the file has not got its whole header yet.
    pub(super) fn open(
        folder: &Path,
        cell: Id,
        first: u64,
        keys: &dyn KeyLookup,
    ) -> Result<Option<Self>, TrailError> {
        let path = segment_path(folder, first);
        let Some((file, header)) = read_header(&path)? else { return Ok(None) };
        let stream = segment_stream(cell, first);
        let key = LogKey::of_header(keys, &stream, &header)
            .map_err(|error| TrailError::Sealed { path: path.clone(), error })?;
        let reader = LogReader::begin(key, &stream);
        let offset = HEADER_LEN as u64;
        Ok(Some(Self { first, path, file, reader, unread: Vec::new(), at: 0, offset }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn place(&self) -> Place {
        Place { offset: self.offset, mark: self.reader.mark() }
    }

    /// None if the segment was finished.
    pub(super) fn into_writer(self, place: Place) -> Option<LogWriter> {
        self.reader.into_writer(place.mark)
    }

    /// May be called again after [`Next::Unfinished`]: a file that is being written grows.
    pub(super) fn next(&mut self) -> Result<Next, TrailError> {
        loop {
            match self.reader.next_frame(&self.unread[self.at..]) {
                Ok(LogNext::Text { text, consumed }) => {
                    self.advance(consumed);
                    return Ok(Next::Text(text));
                }
                Ok(LogNext::End { consumed }) => self.advance(consumed),
                Ok(LogNext::NeedsMore) if self.fill()? > 0 => {}
                Ok(LogNext::NeedsMore) if self.reader.ended() => return Ok(Next::Finished),
                Ok(LogNext::NeedsMore) => {
                    let torn = (self.unread.len() - self.at) as u64;
                    return Ok(self.unfinished(torn));
                }
                Err(error) => {
                    return match self.never_written(error)? {
                        Some(torn) => Ok(self.unfinished(torn)),
                        None => Err(TrailError::Sealed { path: self.path.clone(), error }),
                    };
                }
            }
        }
    }

    fn advance(&mut self, consumed: usize) {
        self.at += consumed;
        self.offset += consumed as u64;
    }

    /// What was read of a torn frame is forgotten: another may be written in its place.
    fn unfinished(&mut self, torn: u64) -> Next {
        self.unread.clear();
        self.at = 0;
        Next::Unfinished { torn }
    }

    fn fill(&mut self) -> Result<usize, TrailError> {
        self.unread.drain(..self.at);
        self.at = 0;
        let begin = self.offset + self.unread.len() as u64;
        let failed = TrailError::io("read", &self.path);
        read_from(&mut self.file, begin, &mut self.unread).map_err(failed)
    }

    /// A power cut can leave a file that has grown and got zeros instead of its last bytes. A frame
    /// whose tag was not written was never acknowledged, if nothing at all follows it. Whoever
    /// writes such zeros to hide records could as well cut the file, and is noticed like that.
    fn never_written(&mut self, error: LogError) -> Result<Option<u64>, TrailError> {
        if !matches!(error, LogError::Forged { .. }) {
            return Ok(None);
        }
        let unread = &self.unread[self.at..];
        let length = unread.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let written = match length {
            0 => 0,
            length => FRAME_HEADER_LEN + u64::from(length),
        };
        let failed = || TrailError::io("read", &self.path);
        let end = self.file.seek(SeekFrom::End(0)).map_err(failed())?;
        let zeros_begin = self.offset + written;
        let whole_tag = zeros_begin + TAG_LEN <= end;
        if !whole_tag || !zeros_until_end(&mut self.file, zeros_begin).map_err(failed())? {
            return Ok(None);
        }
        Ok(Some(end - self.offset))
    }
}

fn zeros_until_end(file: &mut File, mut begin: u64) -> io::Result<bool> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = read_from(file, begin, &mut bytes)?;
        if read == 0 || bytes.iter().any(|byte| *byte != 0) {
            return Ok(read == 0);
        }
        begin += read as u64;
    }
}

/// Adds at most [`READ_BYTES`] of `file` from `begin` on to `bytes`.
fn read_from(file: &mut File, begin: u64, bytes: &mut Vec<u8>) -> io::Result<usize> {
    file.seek(SeekFrom::Start(begin))?;
    file.take(READ_BYTES).read_to_end(bytes)
}

/// The file after its header. None if the header is not whole.
pub(super) fn read_header(path: &Path) -> Result<Option<(File, [u8; HEADER_LEN])>, TrailError> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(TrailError::io("open", path))?;
    let mut header = [0; HEADER_LEN];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read.map_err(TrailError::io("read", path))?,
    }
    // Grown, and never written.
    Ok((header != [0; HEADER_LEN]).then_some((file, header)))
}
