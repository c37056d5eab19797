//! The embedded store: one file, by redb.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, WriteTransaction, backends::FileBackend,
};

use super::StoreError;
use super::backend::{Backend, Entries, Entry, RawRead, RawWrite, Visit};
use super::beside::FileBeside;
use super::probation::Probation;

const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");
/// redb's own default is 1 GiB, which is the whole budget of a cell with a million keys.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// How long whoever reads in a file that is to be destroyed may take.
const READERS_MAX: Duration = Duration::from_secs(10);
const READERS_POLL: Duration = Duration::from_millis(2);

/// Opens the medium: called again when a failed commit makes the store start over.
type OpenMedium<B> = Box<dyn Fn() -> Result<B, StoreError> + Send + Sync>;

/// redb over a file, or in tests over a disk that lies.
pub struct RedbBackend<B: StorageBackend = FileBackend> {
    path: PathBuf,
    medium: OpenMedium<B>,
    /// Where the database can move. A medium that is no file has nowhere to go.
    beside: Option<Beside<B>>,
    open: Mutex<Option<Open<B>>>,
}

struct Open<B> {
    database: Database,
    probation: Probation<B>,
    /// Held by whoever reads: a database must not be closed under them.
    readers: Arc<()>,
}

/// A second file, which is to take the place of the first.
struct Beside<B> {
    file: FileBeside,
    open: Box<dyn Fn(File) -> Result<B, StoreError> + Send + Sync>,
}

impl RedbBackend<FileBackend> {
    /// A new, empty file of mode 0600, which must not exist yet.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be made.
    pub fn create_file(path: &Path) -> Result<Self, StoreError> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|file| file.sync_all())
            .map_err(|error| StoreError::io("create", path, error))?;
        Self::open_file(path)
    }

    /// # Errors
    /// [`StoreError`] if there is no file, or it holds no intact redb database.
    pub fn open_file(path: &Path) -> Result<Self, StoreError> {
        let beside = FileBeside::of(path);
        beside.discard()?;
        let file = path.to_owned();
        let medium = move || {
            let file =
                OpenOptions::new().read(true).write(true).open(&file).map_err(|error| match error
                    .kind()
                {
                    std::io::ErrorKind::NotFound => StoreError::Missing { path: file.clone() },
                    _ => StoreError::io("open", &file, error),
                });
            file_backend(file?)
        };
        let beside = Beside { file: beside, open: Box::new(file_backend) };
        Ok(Self { beside: Some(beside), ..Self::over(path, Box::new(medium))? })
    }
}

fn file_backend(file: File) -> Result<FileBackend, StoreError> {
    FileBackend::new(file)
        .map_err(|error| StoreError::Corrupted { path: PathBuf::new(), detail: error.to_string() })
}

impl<B: StorageBackend> RedbBackend<B> {
    /// # Errors
    /// [`StoreError`] if the medium holds no intact redb database.
    pub fn over(path: &Path, medium: OpenMedium<B>) -> Result<Self, StoreError> {
        let open = Self::open_medium(path, medium()?)?;
        Ok(Self { path: path.to_owned(), medium, beside: None, open: Mutex::new(Some(open)) })
    }

    fn open_medium(path: &Path, medium: B) -> Result<Open<B>, StoreError> {
        let probation =
            Probation::new(medium).map_err(|error| StoreError::io("read", path, error))?;
        // redb promises an error for a file that others changed, and in debug builds panics on
        // some; the file is on probation, so nothing is half-written either way.
        let held = probation.clone();
        let database = guarded(path, || {
            Database::builder()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(true)
                .create_with_backend(held)
        })?;
        Ok(Open { database, probation, readers: Arc::new(()) })
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&Open<B>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        act(open.as_ref().ok_or_else(|| self.not_open())?)
    }

    /// Everything in a new file. Others read meanwhile.
    fn copied(&self, beside: &Beside<B>) -> Result<Open<B>, StoreError> {
        let (from, _reading) = self.with(|open| {
            let transaction = guarded(&self.path, || open.database.begin_read())?;
            Ok((transaction, Arc::clone(&open.readers)))
        })?;
        let path = beside.file.path();
        let new = Self::open_medium(path, (beside.open)(beside.file.create()?)?)?;
        new.probation.accept().map_err(|error| StoreError::io("write", path, error))?;
        guarded(path, || copy(&from, &new.database))?;
        Ok(new)
    }

    fn not_open(&self) -> StoreError {
        let detail = "it could not be reopened after a failed write".to_owned();
        StoreError::Corrupted { path: self.path.clone(), detail }
    }
}

impl<B: StorageBackend> Backend for RedbBackend<B> {
    fn read(&self) -> Result<Box<dyn RawRead + Sync>, StoreError> {
        let (transaction, reading) = self.with(|open| {
            let transaction = guarded(&self.path, || open.database.begin_read())?;
            Ok((transaction, Arc::clone(&open.readers)))
        })?;
        Ok(Box::new(RedbRead { path: self.path.clone(), transaction, _reading: reading }))
    }

    fn write(&self) -> Result<Box<dyn RawWrite>, StoreError> {
        let transaction = self.with(|open| {
            guarded(&self.path, || -> Result<_, redb::Error> {
                let mut transaction = open.database.begin_write()?;
                transaction.set_durability(Durability::Immediate)?;
                Ok(transaction)
            })
        })?;
        Ok(Box::new(RedbWrite { path: self.path.clone(), transaction }))
    }

    fn accept(&self) -> Result<(), StoreError> {
        self.with(|open| {
            open.probation.accept().map_err(|error| StoreError::io("write", &self.path, error))
        })
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // The old handle first: it holds the file's lock.
        *open = None;
        *open = Some(Self::open_medium(&self.path, (self.medium)()?)?);
        Ok(())
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        let Some(beside) = &self.beside else { return Ok(()) };
        let new = match self.copied(beside) {
            Ok(new) => new,
            Err(error) => {
                // Whatever keeps it from being removed keeps the next attempt from being made.
                let _ = beside.file.discard();
                return Err(error);
            }
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let retired = beside.file.install()?;
        // The file of that name is the new one from here on, so it is written to, or nothing is.
        let old = open.replace(new);
        if let Err(error) = beside.file.settle() {
            *open = None;
            return Err(error);
        }
        drop(open);
        if let Some(old) = old {
            wait_for_readers(&self.path, &old.readers)?;
            // As redb closes a file it cuts off what is free at its end, which is to be destroyed.
            old.probation.end();
        }
        retired.destroy()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Everything, in one transaction: a copy that was cut short is none.
fn copy(from: &ReadTransaction, to: &Database) -> Result<(), redb::Error> {
    let mut transaction = to.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    match from.open_table(RECORDS) {
        Ok(records) => {
            let mut copied = transaction.open_table(RECORDS)?;
            for entry in records.iter()? {
                let (key, value) = entry?;
                copied.insert(key.value(), value.value())?;
            }
        }
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(transaction.commit()?)
}

fn wait_for_readers(path: &Path, readers: &Arc<()>) -> Result<(), StoreError> {
    let deadline = Instant::now() + READERS_MAX;
    while Arc::strong_count(readers) > 1 {
        if Instant::now() >= deadline {
            return Err(StoreError::io("wait for readers of", path, ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(READERS_POLL);
    }
    Ok(())
}

struct RedbRead {
    path: PathBuf,
    transaction: ReadTransaction,
    _reading: Arc<()>,
}

impl RawRead for RedbRead {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(&self.path, || match self.transaction.open_table(RECORDS) {
            Ok(table) => get(&table, key),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    fn scan(&self, prefix: &[u8], each: &mut Visit<'_>) -> Result<(), StoreError> {
        guarded(&self.path, || match self.transaction.open_table(RECORDS) {
            Ok(table) => scan(&table, prefix, each),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(Ok(())),
            Err(error) => Err(error.into()),
        })?
    }

    fn first_lost<'e>(&self, entries: &mut Entries<'e>) -> Result<Option<&'e [u8]>, StoreError> {
        guarded(&self.path, || match self.transaction.open_table(RECORDS) {
            Ok(table) => first_lost(&table, entries),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(entries.next().map(|(key, _)| key)),
            Err(error) => Err(error.into()),
        })
    }

    fn page(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        guarded(&self.path, || match self.transaction.open_table(RECORDS) {
            Ok(table) => page(&table, prefix, after, limit),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        })
    }
}

struct RedbWrite {
    path: PathBuf,
    transaction: WriteTransaction,
}

impl RawRead for RedbWrite {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(&self.path, || get(&self.transaction.open_table(RECORDS)?, key))
    }

    fn scan(&self, prefix: &[u8], each: &mut Visit<'_>) -> Result<(), StoreError> {
        guarded(&self.path, || scan(&self.transaction.open_table(RECORDS)?, prefix, each))?
    }

    fn first_lost<'e>(&self, entries: &mut Entries<'e>) -> Result<Option<&'e [u8]>, StoreError> {
        guarded(&self.path, || first_lost(&self.transaction.open_table(RECORDS)?, entries))
    }

    fn page(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        guarded(&self.path, || page(&self.transaction.open_table(RECORDS)?, prefix, after, limit))
    }
}

impl RawWrite for RedbWrite {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        guarded(&self.path, || -> Result<(), redb::Error> {
            self.transaction.open_table(RECORDS)?.insert(key, value)?;
            Ok(())
        })
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        guarded(&self.path, || -> Result<(), redb::Error> {
            self.transaction.open_table(RECORDS)?.remove(key)?;
            Ok(())
        })
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { path, transaction } = *self;
        guarded(&path, || transaction.commit())
    }
}

fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, redb::Error> {
    Ok(table.get(key)?.map(|value| value.value().to_vec()))
}

/// The inner result is the visitor's.
fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
    each: &mut Visit<'_>,
) -> Result<Result<(), StoreError>, redb::Error> {
    for entry in table.range(prefix..)? {
        let (key, value) = entry?;
        if !key.value().starts_with(prefix) {
            break;
        }
        if let Err(error) = each(key.value(), value.value()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn first_lost<'e>(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    entries: &mut Entries<'e>,
) -> Result<Option<&'e [u8]>, redb::Error> {
    for (key, value) in entries {
        if table.get(key)?.is_none_or(|found| found.value() != value) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

fn page(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
    after: &[u8],
    limit: usize,
) -> Result<Vec<Entry>, redb::Error> {
    let from = after.max(prefix);
    let mut entries = Vec::new();
    for entry in table.range(from..)? {
        let (key, value) = entry?;
        if entries.len() == limit || !key.value().starts_with(prefix) {
            break;
        }
        if key.value() > after {
            entries.push((key.value().to_vec(), value.value().to_vec()));
        }
    }
    Ok(entries)
}

/// Turns redb's errors, and panics that a damaged file provokes, into ours.
fn guarded<T, E: Into<redb::Error>>(
    path: &Path,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, StoreError> {
    let corrupted = |detail: String| StoreError::Corrupted { path: path.to_owned(), detail };
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(match error.into() {
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                corrupted(error.to_string())
            }
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                corrupted("it is shorter than it should be".to_owned())
            }
            redb::Error::Io(error) => StoreError::io("use", path, error),
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path: path.to_owned() },
            other => corrupted(other.to_string()),
        }),
        Err(_) => Err(corrupted("its structure makes no sense".to_owned())),
    }
}
