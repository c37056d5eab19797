//! A store file is not written to before its content has been verified.
//!
//! redb repairs a file as it opens it, which on a damaged or foreign file destroys what might have
//! been rescued. So a file is on probation first: writes are kept in memory, where redb reads them
//! back, and reach the file, in their order and with their syncs, only when the store accepts what
//! it found.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{BackendError, StorageBackend};

use super::beside::ZEROS;

const PAGE: u64 = 4096;

/// A storage backend on probation, and the handle to end it.
#[derive(Debug)]
pub(super) struct Probation<B> {
    inner: Arc<B>,
    state: Arc<RwLock<State>>,
}

impl<B> Clone for Probation<B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), state: Arc::clone(&self.state) }
    }
}

#[derive(Debug)]
enum State {
    Held(Overlay),
    Accepted,
    /// Accepting failed half-way, and the file is as after a crash; or another took its place.
    Ended,
}

#[derive(Debug)]
struct Overlay {
    len: u64,
    /// The file's own, which does not change meanwhile.
    len_below: u64,
    pages: BTreeMap<u64, Vec<u8>>,
    log: Vec<Op>,
}

#[derive(Debug)]
enum Op {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
    Sync,
}

impl<B: StorageBackend> Probation<B> {
    pub(super) fn new(inner: B) -> io::Result<Self> {
        let len = inner.len()?;
        let overlay = Overlay { len, len_below: len, pages: BTreeMap::new(), log: Vec::new() };
        Ok(Self { inner: Arc::new(inner), state: Arc::new(RwLock::new(State::Held(overlay))) })
    }

    /// Writes what was held back. From here on everything goes straight to the file.
    pub(super) fn accept(&self) -> io::Result<()> {
        let mut state = self.write_state();
        let State::Held(overlay) = &mut *state else { return Ok(()) };
        let log = std::mem::take(&mut overlay.log);
        *state = State::Ended;
        for op in log {
            match op {
                Op::Write { offset, bytes } => self.inner.write(offset, &bytes)?,
                Op::SetLen(len) => set_len(&*self.inner, len)?,
                Op::Sync => self.inner.sync_data()?,
            }
        }
        *state = State::Accepted;
        Ok(())
    }

    /// Nothing reaches the file from here on.
    pub(super) fn end(&self) {
        *self.write_state() = State::Ended;
    }

    /// Shared, so that readers do not wait for each other.
    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended() -> io::Error {
    io::Error::other("the store's file is no longer in use")
}

impl Overlay {
    fn read(&self, inner: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (page, part, at) in split(offset, out.len()) {
            let out = &mut out[at.clone()];
            match self.pages.get(&page) {
                Some(bytes) => out.copy_from_slice(&bytes[part]),
                None => {
                    let offset = page * PAGE + part.start as u64;
                    read_or_zeros(inner, self.len_below, offset, out)?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, inner: &dyn StorageBackend, offset: u64, bytes: &[u8]) -> io::Result<()> {
        for (page, part, at) in split(offset, bytes.len()) {
            let held = match self.pages.entry(page) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(empty) => {
                    let mut fresh = vec![0; usize::try_from(PAGE).expect("a page is small")];
                    read_or_zeros(inner, self.len_below, page * PAGE, &mut fresh)?;
                    empty.insert(fresh)
                }
            };
            held[part].copy_from_slice(&bytes[at]);
        }
        self.len = self.len.max(offset + bytes.len() as u64);
        self.log.push(Op::Write { offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn set_len(&mut self, inner: &dyn StorageBackend, len: u64) -> io::Result<()> {
        if len < self.len {
            // What is cut off must read as zeros should the file grow again: hide the old bytes.
            let hidden = self.len.max(self.len_below);
            for page in len.div_ceil(PAGE)..hidden.div_ceil(PAGE) {
                self.pages.insert(page, vec![0; usize::try_from(PAGE).expect("a page is small")]);
            }
            let cut = usize::try_from(len % PAGE).expect("a page is small");
            if cut > 0 {
                let page = len / PAGE;
                let mut rest = vec![0; usize::try_from(PAGE).expect("a page is small")];
                self.read(inner, page * PAGE, &mut rest[..cut])?;
                self.pages.insert(page, rest);
            }
        }
        self.len = len;
        self.log.push(Op::SetLen(len));
        Ok(())
    }
}

type Part = std::ops::Range<usize>;

/// The pages that a range touches: page number, range within the page, range within the buffer.
fn split(offset: u64, len: usize) -> impl Iterator<Item = (u64, Part, Part)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let start = usize::try_from(at % PAGE).expect("a page is small");
        let page_len = usize::try_from(PAGE).expect("a page is small");
        let take = (page_len - start).min(len - done);
        let part = (at / PAGE, start..start + take, done..done + take);
        done += take;
        (take > 0).then_some(part)
    })
}

/// What is cut off may hold a record that was deleted, and is out of reach afterwards: it is
/// overwritten first, once it is durable that it is not needed.
fn set_len(inner: &dyn StorageBackend, len: u64) -> io::Result<()> {
    let mut left = inner.len()?.saturating_sub(len);
    if left > 0 {
        inner.sync_data()?;
        while left > 0 {
            let some = left.min(ZEROS.len() as u64);
            left -= some;
            inner.write(len + left, &ZEROS[..usize::try_from(some).unwrap_or(ZEROS.len())])?;
        }
        inner.sync_data()?;
    }
    inner.set_len(len)
}

/// Reads what a file of `len` bytes has of a range; beyond its end there are zeros.
fn read_or_zeros(
    inner: &dyn StorageBackend,
    len: u64,
    offset: u64,
    out: &mut [u8],
) -> io::Result<()> {
    let there = len.saturating_sub(offset).min(out.len() as u64);
    let (head, tail) = out.split_at_mut(usize::try_from(there).expect("at most out.len()"));
    tail.fill(0);
    if head.is_empty() { Ok(()) } else { inner.read(offset, head) }
}

impl<B: StorageBackend> StorageBackend for Probation<B> {
    fn len(&self) -> io::Result<u64> {
        match &*self.read_state() {
            State::Held(overlay) => Ok(overlay.len),
            State::Accepted => self.inner.len(),
            State::Ended => Err(ended()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &*self.read_state() {
            State::Held(overlay) => return overlay.read(&*self.inner, offset, out),
            State::Ended => return Err(ended()),
            State::Accepted => {}
        }
        // Outside the lock: writers do not wait for readers once the file is accepted.
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match &mut *self.write_state() {
            State::Held(overlay) => overlay.set_len(&*self.inner, len),
            State::Accepted => set_len(&*self.inner, len),
            State::Ended => Err(ended()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match &mut *self.write_state() {
            State::Held(overlay) => {
                overlay.log.push(Op::Sync);
                return Ok(());
            }
            State::Ended => return Err(ended()),
            State::Accepted => {}
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match &mut *self.write_state() {
            State::Held(overlay) => overlay.write(&*self.inner, offset, data),
            State::Accepted => self.inner.write(offset, data),
            State::Ended => Err(ended()),
        }
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    /// The same operations on an overlay and on a plain backend read alike, and the file under the
    /// overlay changes only when it is accepted.
    #[test]
    fn held_back_writes_read_like_real_ones() {
        let (under, plain) = (InMemoryBackend::new(), InMemoryBackend::new());
        for backend in [&under, &plain] {
            backend.set_len(10_000).unwrap();
            backend.write(0, &[7; 10_000]).unwrap();
        }
        let probation = Probation::new(under).unwrap();
        let both: [&dyn StorageBackend; 2] = [&probation, &plain];
        for backend in both {
            backend.write(4_000, &[1; 200]).unwrap();
            backend.set_len(20_000).unwrap();
            backend.write(15_000, &[2; 5_000]).unwrap();
            backend.set_len(4_100).unwrap();
            backend.set_len(16_000).unwrap();
            backend.sync_data().unwrap();
        }
        let all = |backend: &dyn StorageBackend| {
            let mut bytes = vec![0; usize::try_from(backend.len().unwrap()).unwrap()];
            backend.read(0, &mut bytes).unwrap();
            bytes
        };
        assert_eq!(all(&*probation.inner), [7; 10_000]);
        assert_eq!(all(&probation), all(&plain));
        probation.accept().unwrap();
        assert_eq!(all(&*probation.inner), all(&plain));
        probation.write(0, &[3]).unwrap();
        assert_eq!(all(&*probation.inner)[0], 3);
    }
}
