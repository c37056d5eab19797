//! The passphrase of the root key: from a file, the environment or a terminal that shows nothing.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read, Write as _},
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use zeroize::Zeroizing;

use super::Output;

/// Nobody types more; a longer file is the wrong file.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// Never on the command line, where every user of the machine can read it.
const VARIABLE: &str = "SEALANE_PASSPHRASE";
const VARIABLE_FILE: &str = "SEALANE_PASSPHRASE_FILE";
/// The passphrase that takes the place of the other.
const VARIABLE_NEW: &str = "SEALANE_NEW_PASSPHRASE";
const VARIABLE_NEW_FILE: &str = "SEALANE_NEW_PASSPHRASE_FILE";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// For a new root key: asked twice, because a slip would lock the cell for ever.
    Create,
    Open,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PassphraseError {
    #[error("the root key needs a passphrase, and there is no terminal to ask on")]
    #[diagnostic(help("set SEALANE_PASSPHRASE, or name a file by --passphrase-file"))]
    NoTerminal,
    #[error("the root key needs a new passphrase, and there is no terminal to ask on")]
    #[diagnostic(help("set SEALANE_NEW_PASSPHRASE, or name a file by --new-passphrase-file"))]
    NoTerminalForNew,
    #[error("cannot read the passphrase from `{}`", .path.display())]
    #[diagnostic(help("name a file that the user who runs this command can read"))]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot read the passphrase from the terminal")]
    #[diagnostic(help("set SEALANE_PASSPHRASE, or name a file by --passphrase-file"))]
    Terminal { source: io::Error },
    #[error("the passphrase is empty")]
    #[diagnostic(help("give one of several words"))]
    Empty,
    #[error("the passphrase is longer than {PASSPHRASE_BYTES_MAX} bytes")]
    #[diagnostic(help("is it the right file?"))]
    TooLong,
    #[error("the two passphrases differ")]
    #[diagnostic(help("run the command again"))]
    Differ,
    #[error("no passphrase was given")]
    #[diagnostic(help("run the command again, or set SEALANE_PASSPHRASE"))]
    Cancelled,
}

/// The passphrase from the first place that has one: `--passphrase-file`, `SEALANE_PASSPHRASE`,
/// the file that `SEALANE_PASSPHRASE_FILE` names, the terminal.
///
/// # Errors
/// [`PassphraseError`] if none has one.
pub fn obtain(out: &Output, purpose: Purpose) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    match stored(out.passphrase_file.as_deref(), VARIABLE, VARIABLE_FILE) {
        Some(found) => found,
        None if !io::stdin().is_terminal() => Err(PassphraseError::NoTerminal),
        None => match purpose {
            Purpose::Open => prompt("Passphrase of the root key: "),
            Purpose::Create => prompt_twice(),
        },
    }
}

/// The passphrase that a cell is to have from now on: from `file`, `SEALANE_NEW_PASSPHRASE`, the
/// file that `SEALANE_NEW_PASSPHRASE_FILE` names, or the terminal.
///
/// # Errors
/// As [`obtain`].
pub fn obtain_new(file: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    match stored(file, VARIABLE_NEW, VARIABLE_NEW_FILE) {
        Some(found) => found,
        None if !io::stdin().is_terminal() => Err(PassphraseError::NoTerminalForNew),
        None => prompt_twice(),
    }
}

fn stored(
    file: Option<&Path>,
    variable: &str,
    variable_file: &str,
) -> Option<Result<Zeroizing<Vec<u8>>, PassphraseError>> {
    use std::os::unix::ffi::OsStringExt as _;
    if let Some(path) = file {
        return Some(from_file(path));
    }
    if let Some(value) = std::env::var_os(variable) {
        return Some(checked(Zeroizing::new(value.into_vec())));
    }
    std::env::var_os(variable_file).map(|path| from_file(Path::new(&path)))
}

fn prompt_twice() -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let first = prompt("New passphrase of the root key: ")?;
    let second = prompt("The same again: ")?;
    if first == second { Ok(first) } else { Err(PassphraseError::Differ) }
}

fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let unreadable = |source| PassphraseError::Unreadable { path: path.to_path_buf(), source };
    // Room for one byte too many and a line end, so that it never grows and leaves copies behind.
    let mut bytes = Zeroizing::new(vec![0; PASSPHRASE_BYTES_MAX + 3]);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]).map_err(unreadable)? {
            0 => break,
            n => length += n,
        }
    }
    bytes.truncate(length);
    // Editors end a file with a line feed that nobody means.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    checked(bytes)
}

fn checked(bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    match bytes.len() {
        0 => Err(PassphraseError::Empty),
        n if n > PASSPHRASE_BYTES_MAX => Err(PassphraseError::TooLong),
        _ => Ok(bytes),
    }
}

/// Gives the terminal back as it was, however the prompt ends.
struct Silenced(Termios);

impl Silenced {
    fn new() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        // Signals as well: Ctrl-C would otherwise leave a shell that shows nothing typed.
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silenced {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
        let _ = writeln!(io::stderr());
    }
}

fn prompt(question: &str) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    checked(ask(question)?)
}

/// One line from the terminal, which shows nothing of it.
pub(super) fn ask(question: &str) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let failed = |source| PassphraseError::Terminal { source };
    write!(io::stderr(), "{question}").map_err(failed)?;
    let _silenced = Silenced::new().map_err(failed)?;
    // `io::stdin()` would keep what is typed in a buffer that nobody wipes.
    let next = || {
        let mut byte = Zeroizing::new([0]);
        match rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut byte[..]))
        {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(byte[0])),
            Err(error) => Err(failed(error.into())),
        }
    };
    read_line(next)
}

/// One line, byte by byte, with the keys that edit it.
fn read_line(
    mut next: impl FnMut() -> Result<Option<u8>, PassphraseError>,
) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const BACKSPACE: u8 = 8;
    const CTRL_U: u8 = 21;
    const DELETE: u8 = 127;
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX + 1));
    loop {
        match next()? {
            Some(b'\n' | b'\r') => return Ok(line),
            None | Some(CTRL_C | CTRL_D) => return Err(PassphraseError::Cancelled),
            Some(BACKSPACE | DELETE) => {
                // A whole character: what follows the first byte of one begins with the bits 10.
                while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
            }
            Some(CTRL_U) => line.clear(),
            Some(byte) if line.len() <= PASSPHRASE_BYTES_MAX => line.push(byte),
            // One byte beyond the limit is kept, so that the length check refuses it.
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Option<Vec<u8>> {
        let mut keys = keys.iter().copied();
        read_line(|| Ok(keys.next())).ok().map(|line| line.to_vec())
    }

    #[test]
    fn a_line_is_edited_as_a_terminal_does() {
        for (keys, line) in [
            (&b"secret\n"[..], Some(&b"secret"[..])),
            (b"sex\x7fcret\r", Some(b"secret")),
            ("sü\x7fecret\n".as_bytes(), Some(b"secret")),
            (b"wrong\x15secret\n", Some(b"secret")),
            (b"\x7f\x08\n", Some(b"")),
            (b"secret\x03", None),
            (b"secret\x04", None),
            (b"secret", None),
        ] {
            assert_eq!(typed(keys).as_deref(), line);
        }
    }

    #[test]
    fn a_file_at_the_limit_is_taken_and_one_byte_more_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let mut longest = vec![b'a'; PASSPHRASE_BYTES_MAX];
        longest.extend(b"\r\n");
        std::fs::write(&path, &longest).unwrap();
        assert_eq!(from_file(&path).unwrap().len(), PASSPHRASE_BYTES_MAX);
        longest.insert(0, b'a');
        std::fs::write(&path, &longest).unwrap();
        assert!(matches!(from_file(&path), Err(PassphraseError::TooLong)));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(from_file(&path), Err(PassphraseError::Empty)));
        let missing = folder.path().join("missing");
        assert!(matches!(from_file(&missing), Err(PassphraseError::Unreadable { .. })));
    }
}
