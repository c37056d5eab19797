use std::io;
use std::path::{Path, PathBuf};

use keys::root_seal::UnsealError;
use keys::seal_shamir::ShareError;
use miette::Diagnostic;

use super::CellDir;
use crate::kms::KmsError;
use crate::store::StoreError;

/// Everything that can stand between an operator and an open cell.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum CellDirError {
    #[error("there is no cell in {}", dir.display())]
    #[diagnostic(help("`sealane init --dir {}` makes one", dir.display()))]
    NoCell { dir: PathBuf },
    #[error("there is a cell in {} already", dir.display())]
    #[diagnostic(help("open it with `sealane up --dir {0}`, or name another directory", dir.display()))]
    CellExists { dir: PathBuf },
    #[error("{} holds other files", dir.display())]
    #[diagnostic(help("name an empty directory or one that does not exist yet"))]
    DirNotEmpty { dir: PathBuf },
    #[error("`init` did not finish in {}", dir.display())]
    #[diagnostic(help(
        "nothing was stored there yet: run the same `sealane init` again, it starts over"
    ))]
    InitUnfinished { dir: PathBuf },
    #[error("the store is there, but its root seal {} is missing", path.display())]
    #[diagnostic(help(
        "restore that file from the recovery kit or a backup; do not run `init` over it"
    ))]
    RootSealLost { path: PathBuf },
    #[error("a cell is already running in {} (pid {pid})", dir.display())]
    #[diagnostic(help("stop it with `sealane down --dir {}`, or talk to it", dir.display()))]
    AlreadyRunning { dir: PathBuf, pid: String },
    #[error("this user may not open the cell in {}", dir.display())]
    #[diagnostic(help("run the command as root, or as the user that made the cell"))]
    NotYours { dir: PathBuf },
    #[error("cannot {act} {}", path.display())]
    #[diagnostic(help("check that it exists, who owns it, and that the disk has room"))]
    Io {
        act: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is damaged: {detail}", path.display())]
    #[diagnostic(help("restore that file from the recovery kit or a backup"))]
    Damaged { path: PathBuf, detail: String },

    #[error("there is no key file at {}", path.display())]
    #[diagnostic(help("put it back there, or attach the disk that it is on"))]
    KeyFileMissing { path: PathBuf },
    #[error("cannot read the key file {}", path.display())]
    #[diagnostic(help("run as the user that owns it"))]
    KeyFileUnreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the key file {} has mode {mode:04o}: others than its owner may read it", path.display())]
    #[diagnostic(help("chmod 600 {}", path.display()))]
    KeyFileOpen { path: PathBuf, mode: u32 },
    #[error("{} is not a key file", path.display())]
    #[diagnostic(help("a key file is one line, `sealane-key-1:` followed by 64 hex digits"))]
    NotAKeyFile { path: PathBuf },
    #[error("{} is not the key file that the cell was sealed with", path.display())]
    #[diagnostic(help("put the right file there, of mode 0600"))]
    WrongKeyFile { path: PathBuf },
    #[error("the passphrase is wrong")]
    #[diagnostic(help(
        "after three attempts check the keyboard layout; a lost passphrase cannot be recovered"
    ))]
    WrongPassphrase,
    #[error("the passphrase is empty")]
    #[diagnostic(help("a passphrase needs at least one character, and should have many more"))]
    EmptyPassphrase,
    #[error(transparent)]
    #[diagnostic(help("{}", help_with_share(*.0)))]
    Share(ShareError),
    #[error("{given} of {needed} shares were given")]
    #[diagnostic(help("ask their holders for the others"))]
    NotEnoughShares { given: usize, needed: u8 },
    #[error("the shares could not be handed out, so nothing was changed")]
    #[diagnostic(help("run the command again where its output can be kept"))]
    HandOut {
        #[source]
        source: io::Error,
    },
    #[error("there is a file at {} already", path.display())]
    #[diagnostic(help(
        "a new key file replaces nothing: move that file away, or name another place"
    ))]
    KeyFileThere { path: PathBuf },
    #[error("an earlier key file is still kept in {}", path.display())]
    #[diagnostic(help(
        "it opens older copies of the root seal: destroy it, or move it away, and try again"
    ))]
    OldKeyFileThere { path: PathBuf },
    #[error("{}: {reason}", path.display())]
    #[diagnostic(help(
        "use the seal that the cell was made with, or restore the file from the recovery kit"
    ))]
    Unseal { path: PathBuf, reason: UnsealError },
    #[error("{value:?} cannot be the cell's {what}: {expected}")]
    BadOption { what: &'static str, value: String, expected: &'static str },

    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kms(#[from] KmsError),
}

impl CellDirError {
    pub(super) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { act, path: path.to_owned(), source }
    }

    pub(super) fn of_unseal(dir: &CellDir, error: UnsealError) -> Self {
        match error {
            UnsealError::WrongPassphrase => Self::WrongPassphrase,
            UnsealError::Share(error) => Self::Share(error),
            UnsealError::NotEnoughShares { given, needed } => {
                Self::NotEnoughShares { given, needed }
            }
            reason => Self::Unseal { path: dir.root_seal(), reason },
        }
    }
}

/// What to do about a share that was refused.
#[must_use]
pub fn help_with_share(share: ShareError) -> &'static str {
    match share {
        ShareError::OtherCell { .. } => "ask its holder for the share of this cell",
        ShareError::OtherSet { .. } => {
            "the cell was sealed anew, and older shares do not open it: ask for the newest"
        }
        ShareError::Wrong { .. } => "ask its holder for the line as it was handed out",
        ShareError::Duplicate { .. } => "ask somebody else for another share",
    }
}
