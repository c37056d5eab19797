//! What the service says, sealed as it says it, in files that are replaced when they are full.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crypto::SystemEntropy;
use keys::service_log::{HEADER_LEN, LogKey, LogWriter};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::ipc::CallError;
use crate::ipc::messages::{self, Refusal, Reply, Request};
use crate::roles::dataplane::ask;
use crate::service_logs::{FILE_BYTES_MAX, FILES_MAX, file_name, numbers};

/// What is read and sealed at once.
const PIECE_BYTES: usize = 16 * 1024;
/// Output is gathered this long, so that lines that come together cost one frame.
const GATHER_FOR: Duration = Duration::from_millis(20);
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether the file is still there, while nothing is written to it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Seals everything that comes through `pipe` until `draining` is set, which is when the service has
/// ended; then what is left is sealed, and the file is finished, so that a log without an end tells
/// of a crash.
///
/// # Errors
/// If the pipe cannot be read at all. Where a file cannot be written, what it would have held is
/// lost, is counted, and the service goes on: a log must not stop a service.
pub(super) async fn keep(
    pipe: OwnedFd,
    folder: PathBuf,
    mut draining: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut open: Option<LogFile> = None;
    let (mut lost, mut erased): (u64, bool) = (0, false);
    loop {
        let mut length = tokio::select! {
            biased;
            length = pipe.read(&mut piece) => length?,
            () = tokio::time::sleep(LOOK_EVERY), if open.is_some() => {
                // What was removed takes its room on the disk for as long as it is held open.
                open = open.filter(|file| !file.is_removed());
                continue;
            }
            // Nothing waits in the pipe, and nobody is left to write.
            _ = draining.wait_for(|&draining| draining) => 0,
        };
        if length == 0 {
            break;
        }
        if erased {
            continue;
        }
        // A full piece waits for nothing: whoever writes much must not be slowed down by its log.
        if length < PIECE_BYTES {
            tokio::time::sleep(GATHER_FOR).await;
        }
        while length < PIECE_BYTES {
            match pipe.try_read(&mut piece[length..]) {
                Ok(more) if more > 0 => length += more,
                _ => break,
            }
        }
        open = open.filter(|file| !file.is_removed());
        if open.as_ref().is_none_or(|file| file.bytes >= FILE_BYTES_MAX) {
            if let Some(full) = open.take() {
                let _ = full.finish();
            }
            match begin(&folder).await {
                Ok(file) => open = Some(file),
                Err(NoFile::Yet) => {}
                Err(NoFile::Erased) => {
                    tracing::warn!("the tenant was erased: what its services say is not kept");
                    erased = true;
                    continue;
                }
            }
        }
        let written = match &mut open {
            Some(file) => file.append(&piece[..length]),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if let Err(error) = written {
            lost += length as u64;
            open = None;
            tracing::error!("{lost} bytes of the service's log are lost: {error}");
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }
    if let Some(file) = open {
        file.finish()?;
    }
    Ok(())
}

/// Why there is no file to write to.
enum NoFile {
    Yet,
    /// Nor will there be one: the tenant was erased, and its logs with it.
    Erased,
}

/// A file with a key of its own, from control.
async fn begin(folder: &Path) -> Result<LogFile, NoFile> {
    match ask(&Request::LogKey).await {
        Ok(Reply::LogKey(key)) => match LogFile::create(folder, key) {
            Ok(file) => return Ok(file),
            Err(error) => tracing::error!("cannot make a log file: {error}"),
        },
        Ok(other) => tracing::error!("control answered {other:?}"),
        Err(CallError::Refused(Refusal::Erased { .. })) => return Err(NoFile::Erased),
        Err(error) => tracing::error!("no key for a log file: {error}"),
    }
    Err(NoFile::Yet)
}

struct LogFile {
    file: File,
    writer: LogWriter,
    bytes: u64,
}

impl LogFile {
    fn create(folder: &Path, key: messages::LogKey) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let header: [u8; HEADER_LEN] = key.header.try_into().map_err(|_| invalid())?;
        let data_key = crypto::DataKey::from_caller(&key.key.release()).ok_or_else(invalid)?;
        let (writer, header) = LogWriter::begin(LogKey { header, key: data_key }, &key.stream);
        let known = numbers(folder);
        let next = known.last().map_or(0, |last| last + 1);
        // The oldest goes first, so that there are never more than the limit.
        let surplus = (known.len() + 1).saturating_sub(FILES_MAX);
        for old in known.iter().take(surplus) {
            std::fs::remove_file(folder.join(file_name(*old)))?;
        }
        let path = folder.join(file_name(next));
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        if let Err(error) = file.write_all(&header) {
            // The disk is full, and each attempt would leave an empty file.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(Self { file, writer, bytes: header.len() as u64 })
    }

    /// Whether its name is gone: what is written to it from then on, nobody reads.
    fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let frames = self.writer.append(text, &mut SystemEntropy::new());
        self.file.write_all(&frames)?;
        self.bytes += frames.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.file.write_all(&self.writer.finish(&mut SystemEntropy::new()))
    }
}
