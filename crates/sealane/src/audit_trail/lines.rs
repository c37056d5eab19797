//! Reads a trail line by line, across its segments.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

use crypto::{Id, PublicKey};
use keys::audit_trail::{
    Broken, Expected, FirstBroken, LINE_BYTES_MAX, ParsedLine, TrailHead, Verified, Verifier,
};
use keys::service_log::LogKey;
use zeroize::Zeroizing;

use super::folder::{segment_path, segments};
use super::segment::{Next, Place, Segment, read_header};
use super::{RingSource, TrailError};

/// The lines of a trail, oldest first. After the last there may be more later: asking again reads
/// what was written since.
pub struct Lines {
    folder: PathBuf,
    cell: Id,
    ring: RingSource,
    segment: Option<Segment>,
    /// What was opened, from `at` on not given out yet.
    text: Zeroizing<Vec<u8>>,
    at: usize,
    /// The number of the next line.
    sequence: u64,
    torn: u64,
}

impl Lines {
    /// From the segment on whose first line is `first`.
    pub(super) fn from(folder: &Path, cell: Id, ring: RingSource, first: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            cell,
            ring,
            segment: None,
            text: Zeroizing::new(Vec::new()),
            at: 0,
            sequence: first,
            torn: 0,
        }
    }

    /// The next line without its newline; None if there is none now.
    ///
    /// # Errors
    /// [`TrailError`] if a segment was changed, is missing or cannot be read.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, TrailError> {
        let end = loop {
            let rest = &self.text[self.at..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                break self.at + end;
            }
            if rest.len() > LINE_BYTES_MAX {
                let path = segment_path(&self.folder, self.sequence);
                let error =
                    FirstBroken { sequence: self.sequence, line: 1, what: Broken::Unreadable };
                return Err(TrailError::Broken { path, error });
            }
            if !self.more()? {
                return Ok(None);
            }
        };
        let begin = self.at;
        self.at = end + 1;
        self.sequence += 1;
        Ok(Some(&self.text[begin..end]))
    }

    /// The number of the line that is given out next.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes at the end of the last segment that are no whole frame.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Where the line that was given out last ends, if a frame ends there too.
    pub(super) fn place(&self) -> Option<Place> {
        (self.at == self.text.len()).then(|| self.segment.as_ref().map(Segment::place))?
    }

    /// The segment being read: none before the first line, and after the end of a finished one.
    pub(super) fn into_segment(self) -> Option<Segment> {
        self.segment
    }

    /// The first line of the segment being read.
    pub(super) fn segment_first(&self) -> Option<u64> {
        self.segment.as_ref().map(|segment| segment.first)
    }

    fn more(&mut self) -> Result<bool, TrailError> {
        if self.segment.is_none() {
            self.segment = self.next_segment()?;
        }
        let Some(segment) = &mut self.segment else { return Ok(false) };
        match segment.next()? {
            Next::Text(text) => {
                self.torn = 0;
                self.text.drain(..self.at);
                self.at = 0;
                self.text.extend_from_slice(&text);
                Ok(true)
            }
            Next::Finished if self.at < self.text.len() => {
                Err(TrailError::Unfinished { path: segment.path().to_owned() })
            }
            Next::Finished => {
                self.segment = None;
                self.segment = self.next_segment()?;
                Ok(self.segment.is_some())
            }
            Next::Unfinished { torn } => {
                self.torn = torn;
                let (first, path) = (segment.first, segment.path().to_owned());
                if segments(&self.folder)?.last().is_none_or(|last| *last <= first) {
                    return Ok(false);
                }
                // It may have been finished since it was read, or else the next would not be there.
                match segment.next()? {
                    Next::Unfinished { .. } => Err(TrailError::Unfinished { path }),
                    Next::Text(text) => {
                        self.text.drain(..self.at);
                        self.at = 0;
                        self.text.extend_from_slice(&text);
                        Ok(true)
                    }
                    Next::Finished => {
                        self.segment = None;
                        Ok(true)
                    }
                }
            }
        }
    }

    fn next_segment(&self) -> Result<Option<Segment>, TrailError> {
        let firsts = segments(&self.folder)?;
        let path = segment_path(&self.folder, self.sequence);
        if firsts.binary_search(&self.sequence).is_err() {
            let later = firsts.last().is_some_and(|last| *last > self.sequence);
            let first = self.sequence;
            return if later { Err(TrailError::SegmentMissing { path, first }) } else { Ok(None) };
        }
        let ring = (self.ring)();
        let segment = Segment::open(&self.folder, self.cell, self.sequence, &*ring)?;
        if segment.is_none() && firsts.last().is_some_and(|last| *last > self.sequence) {
            return Err(TrailError::Unfinished { path });
        }
        Ok(segment)
    }
}

impl Iterator for Lines {
    type Item = Result<Vec<u8>, TrailError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().map(|line| line.map(<[u8]>::to_vec)).transpose()
    }
}

/// All lines from the oldest segment on.
///
/// # Errors
/// [`TrailError::Io`] if the folder cannot be read.
pub fn read(dir: &Path, cell: Id, ring: RingSource) -> Result<Lines, TrailError> {
    let first = segments(dir)?.first().copied().unwrap_or(0);
    Ok(Lines::from(dir, cell, ring, first))
}

/// The lines of the newest segment, and those that follow.
///
/// # Errors
/// [`TrailError::Io`] if the folder cannot be read.
pub fn last_segment(dir: &Path, cell: Id, ring: RingSource) -> Result<Lines, TrailError> {
    let first = segments(dir)?.last().copied().unwrap_or(0);
    Ok(Lines::from(dir, cell, ring, first))
}

/// The lines from number `sequence` on, or from the end where there are not so many.
///
/// # Errors
/// As [`Lines::next_line`].
pub fn read_from(
    dir: &Path,
    cell: Id,
    ring: RingSource,
    sequence: u64,
) -> Result<Lines, TrailError> {
    let firsts = segments(dir)?;
    let begun = firsts.partition_point(|first| *first <= sequence);
    // Without a segment that begins early enough, the one that is missing gets named.
    let first = begun.checked_sub(1).map_or(0, |at| firsts[at]);
    let mut lines = Lines::from(dir, cell, ring, first);
    while lines.sequence < sequence && lines.next_line()?.is_some() {}
    Ok(lines)
}

/// The number of the first line that is not older than `millis` since 1970, or of the line that is
/// written next. Lines are as good as in the order of their times.
///
/// # Errors
/// As [`Lines::next_line`].
pub fn find_time(dir: &Path, cell: Id, ring: &RingSource, millis: u64) -> Result<u64, TrailError> {
    let older = |lines: &mut Lines| -> Result<bool, TrailError> {
        let line = lines.next_line()?.map(ParsedLine::parse);
        Ok(matches!(line, Some(Ok(line)) if line.time.0 < millis))
    };
    let firsts = segments(dir)?;
    // Between the last segment that begins with an older line, and the next.
    let (mut low, mut high) = (0, firsts.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let mut lines = Lines::from(dir, cell, ring.clone(), firsts[middle]);
        if older(&mut lines)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let first = firsts.get(low.saturating_sub(1)).copied().unwrap_or(0);
    let mut lines = Lines::from(dir, cell, ring.clone(), first);
    loop {
        let next = lines.sequence;
        if !older(&mut lines)? {
            return Ok(next);
        }
    }
}

/// The last `count` lines, and what gives those that follow.
///
/// # Errors
/// As [`Lines::next_line`].
pub fn tail(
    dir: &Path,
    cell: Id,
    ring: &RingSource,
    count: usize,
) -> Result<(VecDeque<Vec<u8>>, Lines), TrailError> {
    let firsts = segments(dir)?;
    let mut back = 1;
    loop {
        let begin = firsts.len().saturating_sub(back);
        let first = firsts.get(begin).copied().unwrap_or(0);
        let mut lines = Lines::from(dir, cell, ring.clone(), first);
        let mut last = VecDeque::new();
        while let Some(line) = lines.next_line()? {
            last.push_back(line.to_vec());
            if last.len() > count {
                last.pop_front();
            }
        }
        if begin == 0 || last.len() >= count {
            return Ok((last, lines));
        }
        back *= 2;
    }
}

/// Writes all lines as they are, for anybody to check with `keys::audit_trail::verify_export`.
///
/// # Errors
/// As [`Lines::next_line`], or that of `to`.
pub fn export(
    dir: &Path,
    cell: Id,
    ring: RingSource,
    to: &mut dyn Write,
) -> Result<u64, TrailError> {
    let (mut lines, mut count) = (read(dir, cell, ring)?, 0);
    while let Some(line) = lines.next_line()? {
        to.write_all(line).and_then(|()| to.write_all(b"\n")).map_err(TrailError::Export)?;
        count += 1;
    }
    to.flush().map_err(TrailError::Export)?;
    Ok(count)
}

/// A trail whose every record fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub verified: Verified,
    /// At the end, of a group that is being written or was when the cell stopped.
    pub torn: u64,
}

/// Reads the whole trail, in bounded memory, and checks every frame, link and checkpoint, and that
/// the trail contains `stored`.
///
/// # Errors
/// [`TrailError`] names the first record that does not fit.
pub fn verify(
    dir: &Path,
    cell: Id,
    ring: RingSource,
    trusted: &[PublicKey],
    stored: Option<TrailHead>,
) -> Result<Report, TrailError> {
    let expected = Expected { trusted, cell: Some(cell), contains: stored, ..Expected::default() };
    let mut verifier = Verifier::new(expected);
    let mut lines = Lines::from(dir, cell, ring, 0);
    let broken = |first, error| TrailError::Broken { path: segment_path(dir, first), error };
    loop {
        let first = lines.segment_first().unwrap_or(0);
        let Some(line) = lines.next_line()? else { break };
        verifier.push(line).map_err(|error| broken(first, error))?;
    }
    let verified = verifier.finish().map_err(|error| match error.what {
        Broken::Cut { expected } => TrailError::Cut { found: error.sequence, stored: expected },
        _ => broken(0, error),
    })?;
    Ok(Report { verified, torn: lines.torn() })
}

/// The domain keys that the segments in `dir` are sealed under: they must be kept for as long.
///
/// # Errors
/// [`TrailError::Io`] if the folder or a header cannot be read.
pub fn domains_needed(dir: &Path) -> Result<Vec<Id>, TrailError> {
    let mut domains = Vec::new();
    for first in segments(dir)? {
        if let Some((_, header)) = read_header(&segment_path(dir, first))? {
            domains.push(LogKey::domain_of(&header));
        }
    }
    domains.sort_unstable();
    domains.dedup();
    Ok(domains)
}
