//! Services' sealed logs: reading them for `sealane logs`, and removing those of erased tenants.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use keys::service_log::{HEADER_LEN, LogKey, LogNext, LogReader};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use crate::cell_dir::CellDir;
use crate::cli::Output;
use crate::cli::args::LogsArgs;
use crate::cli::cell::CellAccess;
use crate::ipc::messages::{AdminRequest, Reply};
use crate::kms::{Kms, KmsError};

/// A file that has reached this is full.
pub const FILE_BYTES_MAX: u64 = 8 << 20;
/// Files that are kept of one service; the oldest goes first.
pub const FILES_MAX: usize = 8;

const FOLLOW_EVERY: Duration = Duration::from_millis(200);
const SUFFIX: &str = ".log";
/// How often a folder is emptied that does not stay empty: a proxy that was given a key just before
/// its tenant was erased makes one more file, and another command may be removing the same.
const REMOVE_TRIES: usize = 10;

/// The name of the `number`th file of a service.
#[must_use]
pub fn file_name(number: u64) -> String {
    format!("{number:010}{SUFFIX}")
}

/// The numbers of the files in `folder`, oldest first.
#[must_use]
pub fn numbers(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |name: String| name.strip_suffix(SUFFIX)?.parse().ok();
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| number(entry.file_name().into_string().ok()?)).collect();
    numbers.sort_unstable();
    numbers
}

/// Services that have a log, as tenant and name.
#[must_use]
pub fn known(dir: &CellDir) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(dir.logs()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.split_once('.').map(|(t, s)| (t.into(), s.into()))).collect()
}

/// The domain keys that logs lie under: they must be kept for the logs to stay readable.
///
/// # Errors
/// What the file system says.
pub fn domains(dir: &CellDir) -> std::io::Result<Vec<crypto::Id>> {
    let mut domains = std::collections::BTreeSet::new();
    for (tenant, service) in known(dir) {
        let folder = dir.logs().join(format!("{tenant}.{service}"));
        for number in numbers(&folder) {
            let mut header = [0; HEADER_LEN];
            // A file that ends before its header holds nothing yet.
            let read = File::open(folder.join(file_name(number)))?.read_exact(&mut header);
            if read.is_ok() {
                domains.insert(LogKey::domain_of(&header));
            }
        }
    }
    Ok(domains.into_iter().collect())
}

/// Removes the logs of a tenant's services. They are gone for good on return, whoever removed them.
///
/// # Errors
/// What the file system says of the first folder that is left; all are tried.
pub fn remove_of(dir: &CellDir, tenant: &str) -> io::Result<()> {
    let mut done = Ok(());
    for (_, service) in known(dir).into_iter().filter(|(of, _)| of == tenant) {
        let removed = remove_folder(&dir.logs().join(format!("{tenant}.{service}")));
        done = done.and(removed);
    }
    // That a folder is gone lasts once the one above it is synced, whichever others are left.
    let synced = match File::open(dir.logs()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        logs => logs.and_then(|logs| logs.sync_all()),
    };
    done.and(synced)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..REMOVE_TRIES {
        last = std::fs::remove_dir_all(folder);
        match &last {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !folder.exists() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(_) => break,
        }
    }
    last
}

/// Removes the logs of erased tenants that are there nevertheless: an erasure was cut short before
/// they were removed, or they came with a backup. What cannot be removed is tried again on the next
/// opening; the supervisor of a cell may do what its control process may not.
///
/// # Errors
/// [`KmsError`] if the store cannot be read.
pub fn finish_erasures(dir: &CellDir, kms: &Kms) -> Result<(), KmsError> {
    let tenants: Vec<_> = known(dir).into_iter().map(|(tenant, _)| tenant).collect();
    for tenant in kms.erased_among(&tenants)? {
        match remove_of(dir, &tenant) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => tracing::warn!(tenant, %error, "logs of an erased tenant are left"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Shows the last lines of a service's log, and what follows if that is asked for.
///
/// # Errors
/// If a file was changed, or its key is gone; what came before has been shown.
pub fn show(
    cell: &mut CellAccess,
    dir: &CellDir,
    tenant: &str,
    service: &str,
    args: &LogsArgs,
    out: &Output,
) -> miette::Result<()> {
    let folder = dir.logs().join(format!("{tenant}.{service}"));
    let mut texts = Vec::new();
    let mut last = None;
    for number in numbers(&folder) {
        let path = folder.join(file_name(number));
        if let Some(mut file) = OpenLog::begin(cell, tenant, service, path)? {
            texts.extend(file.rest()?);
            last = Some((number, file));
        }
    }
    out.bytes(tail(&texts, args.lines))?;
    if !args.follow {
        return Ok(());
    }
    loop {
        let mut read = None;
        if let Some((number, file)) = &mut last {
            out.bytes(&file.rest()?)?;
            read = Some(*number);
        }
        let mut next = None;
        for number in numbers(&folder).into_iter().filter(|number| Some(*number) > read) {
            let path = folder.join(file_name(number));
            if let Some(file) = OpenLog::begin(cell, tenant, service, path)? {
                next = Some((number, file));
                break;
            }
        }
        if next.is_some() {
            // What came before the file was finished has been read; the rest is in the next.
            if let Some((_, file)) = &mut last {
                out.bytes(&file.rest()?)?;
            }
            last = next;
            continue;
        }
        std::thread::sleep(FOLLOW_EVERY);
    }
}

/// The last `lines` lines of `text`.
fn tail(text: &[u8], lines: usize) -> &[u8] {
    if lines == 0 {
        return &[];
    }
    let whole = text.strip_suffix(b"\n").unwrap_or(text);
    let mut left = lines;
    for (at, _) in whole.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
        left -= 1;
        if left == 0 {
            return &text[at + 1..];
        }
    }
    text
}

/// A log file that may still be growing.
struct OpenLog {
    path: PathBuf,
    file: File,
    reader: LogReader,
    unread: Vec<u8>,
}

impl OpenLog {
    /// `None` for a file without its whole header: it is just being made, or the disk was full.
    fn begin(
        cell: &mut CellAccess,
        tenant: &str,
        service: &str,
        path: PathBuf,
    ) -> miette::Result<Option<Self>> {
        let cannot = || format!("cannot read {}", path.display());
        let mut file = File::open(&path).into_diagnostic().wrap_err_with(cannot)?;
        let mut header = [0; HEADER_LEN];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.into_diagnostic().wrap_err_with(cannot)?,
        }
        let (tenant, service) = (tenant.to_owned(), service.to_owned());
        let request = AdminRequest::LogKey { tenant, service, header: header.to_vec() };
        let Reply::LogKey(key) = cell.ask(request)? else {
            return Err(miette!("the cell answered something else than a key"));
        };
        let data_key = crypto::DataKey::from_caller(&key.key.release());
        let data_key = data_key.ok_or_else(|| miette!("the log's key is not 32 bytes long"))?;
        let reader = LogReader::begin(LogKey { header, key: data_key }, &key.stream);
        Ok(Some(Self { path, file, reader, unread: Vec::new() }))
    }

    /// All whole frames that are there now.
    fn rest(&mut self) -> miette::Result<Vec<u8>> {
        self.file.read_to_end(&mut self.unread).into_diagnostic()?;
        let (mut text, mut at) = (Vec::new(), 0);
        loop {
            let next = self.reader.next_frame(&self.unread[at..]);
            match next.map_err(|error| miette!("{}: {error}", self.path.display()))? {
                LogNext::Text { text: more, consumed } => {
                    text.extend_from_slice(&more);
                    at += consumed;
                }
                LogNext::End { consumed } => at += consumed,
                LogNext::NeedsMore => break,
            }
        }
        self.unread.drain(..at);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_a_tenant_go_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let dir = CellDir::at(folder.path());
        remove_of(&dir, "acme").unwrap();
        for service in ["acme.web", "acme.redis", "acme-2.web", "globex.acme"] {
            let logs = dir.logs().join(service);
            std::fs::create_dir_all(&logs).unwrap();
            std::fs::write(logs.join(file_name(0)), "sealed").unwrap();
        }
        remove_of(&dir, "acme").unwrap();
        let mut left = known(&dir);
        left.sort();
        let pair = |(tenant, service): (&str, &str)| (tenant.to_owned(), service.to_owned());
        assert_eq!(left, [("acme-2", "web"), ("globex", "acme")].map(pair));
        // What is no folder is not made by us: it is left, and the other goes all the same.
        std::fs::write(dir.logs().join("globex.x"), "").unwrap();
        assert!(remove_of(&dir, "globex").is_err());
        assert!(!dir.logs().join("globex.acme").exists());
    }

    #[test]
    fn the_tail_is_whole_lines() {
        let check = |text: &str, lines, expected: &str| {
            assert_eq!(tail(text.as_bytes(), lines), expected.as_bytes(), "{text:?} {lines}");
        };
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 2, "b\nc");
        check("a\nb\n", 5, "a\nb\n");
        check("a\nb\n", 0, "");
        check("", 3, "");
    }
}
