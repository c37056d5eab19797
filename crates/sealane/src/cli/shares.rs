//! Shares of the root key's seal: gathered from files, standard input and a terminal that shows
//! nothing, and handed out to be written down.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crypto::Id;
use keys::root_seal::{RootSeal, UnsealError};
use keys::seal_shamir::{ShareError, ShareGathering, SharePolicy, ShareProgress};
use keys::share::{ParseShareError, Share};
use miette::Diagnostic;
use zeroize::Zeroizing;

use super::args::Format;
use super::passphrase::{self, PassphraseError};
use super::{Output, UsageError};
use crate::cell_dir::help_with_share;

/// How much of a file is looked at: a remark, a share and an empty line for each that there can be,
/// and as much again.
const LINES_MAX: usize = 4 * SharePolicy::SHARES_MAX as usize;

const VARIABLE_FILE: &str = "SEALANE_SHARES_FILE";
const HOW: &str = "name files by --share-file or SEALANE_SHARES_FILE, one share a line, or run the \
    command on a terminal";

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SharesError {
    #[error("cannot read shares from `{}`", .path.display())]
    #[diagnostic(help("name a file that the user who runs this command can read"))]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("`{}` is no file of shares: it is too long", .path.display())]
    #[diagnostic(help(
        "a file of shares has one share a line; a line that begins with # is skipped"
    ))]
    TooLong { path: PathBuf },
    #[error("{place}: {reason}")]
    #[diagnostic(help("compare the line with what was handed out"))]
    NotAShare { place: String, reason: ParseShareError },
    #[error("{place}: {reason}")]
    #[diagnostic(help("{}", help_with_share(*reason)))]
    Refused { place: String, reason: ShareError },
    #[error("the cell needs {needed} shares, and {given} were given", given = .0.given, needed = .0.needed)]
    #[diagnostic(help("{HOW}"))]
    NotEnough(ShareProgress),
    #[error("cannot read a share from the terminal")]
    #[diagnostic(help("{HOW}"))]
    Terminal { source: io::Error },
    #[error("{given} of {needed} shares were given, which is not enough", given = .0.given, needed = .0.needed)]
    #[diagnostic(help("run the command again once there are enough: what was typed is forgotten"))]
    Cancelled(ShareProgress),
    #[error("the root seal cannot be used: {0}")]
    #[diagnostic(help("restore root.seal from the recovery kit or a backup"))]
    Seal(UnsealError),
}

/// As many shares of the cell as open it: from the files that are named, else the one that
/// `SEALANE_SHARES_FILE` names, and what is missing from the terminal, one at a time.
///
/// # Errors
/// [`SharesError`] if they do not suffice, or one in a file is not what it should be.
pub fn gather(out: &Output, seal: &RootSeal) -> Result<Vec<Share>, SharesError> {
    let mut gathering = ShareGathering::begin(seal).map_err(SharesError::Seal)?;
    for (place, share) in offered(out)? {
        if gathering.progress().is_enough() {
            break;
        }
        gathering.add(share).map_err(|reason| SharesError::Refused { place, reason })?;
    }
    if !gathering.progress().is_enough() {
        if !io::stdin().is_terminal() {
            return Err(SharesError::NotEnough(gathering.progress()));
        }
        ask_for_rest(&mut gathering)?;
    }
    Ok(gathering.into_shares())
}

/// Whether the command was given files of shares. Standard input can be read only once.
pub fn are_named(out: &Output) -> bool {
    !out.share_files.is_empty() || std::env::var_os(VARIABLE_FILE).is_some()
}

/// The shares in the files that the command was given, and where each was found.
///
/// # Errors
/// [`SharesError`] if a file cannot be read, or holds something else.
pub fn offered(out: &Output) -> Result<Vec<(String, Share)>, SharesError> {
    let variable = || std::env::var_os(VARIABLE_FILE).map(PathBuf::from);
    let files = match &out.share_files[..] {
        [] => variable().into_iter().collect(),
        named => named.to_vec(),
    };
    let mut shares = Vec::new();
    for path in files {
        shares.extend(from_file(&path)?);
    }
    Ok(shares)
}

/// One share from the terminal, asked for until a line is one.
///
/// # Errors
/// [`SharesError`] if the terminal is left.
pub fn ask(progress: ShareProgress) -> Result<Share, SharesError> {
    loop {
        let question = format!("A share of the root key ({progress} given): ");
        let line = passphrase::ask(&question).map_err(|error| match error {
            PassphraseError::Terminal { source } => SharesError::Terminal { source },
            _ => SharesError::Cancelled(progress),
        })?;
        let line = std::str::from_utf8(&line).map_err(|_| ParseShareError::NotAShare);
        match line.and_then(Share::parse) {
            Ok(share) => return Ok(share),
            Err(reason) => remark(&format!("{reason}; try again, or end with Ctrl-C")),
        }
    }
}

fn ask_for_rest(gathering: &mut ShareGathering) -> Result<(), SharesError> {
    loop {
        let progress = gathering.progress();
        if progress.is_enough() {
            return Ok(());
        }
        let share = ask(progress)?;
        let number = share.number();
        match gathering.add(share) {
            Ok(progress) => remark(&format!("share {number} is right: {progress}")),
            Err(reason) => remark(&format!("{reason}; {}", help_with_share(reason))),
        }
    }
}

fn remark(text: &str) {
    // With stderr closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

fn from_file(path: &Path) -> Result<Vec<(String, Share)>, SharesError> {
    let unreadable = |source| SharesError::Unreadable { path: path.to_owned(), source };
    let file = match path.to_str() {
        // `io::stdin()` would keep what it reads in a buffer that nobody wipes.
        Some("-") => rustix::stdio::stdin().try_clone_to_owned().map(File::from),
        _ => File::open(path),
    };
    let file = file.map_err(unreadable)?;
    let bytes_max = LINES_MAX * Share::LINE_BYTES_MAX;
    // Room for all of it, so that it never grows and leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(bytes_max + 1));
    file.take(bytes_max as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > bytes_max {
        return Err(SharesError::TooLong { path: path.to_owned() });
    }
    let mut shares = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {} of {}", at + 1, path.display());
        match Share::parse(line) {
            Ok(share) => shares.push((place, share)),
            Err(reason) => return Err(SharesError::NotAShare { place, reason }),
        }
    }
    Ok(shares)
}

/// How the seal of a new set is to be: what `--threshold` and `--shares` say, or what is usual.
///
/// # Errors
/// [`UsageError`] if there can be no such set.
pub fn policy(threshold: Option<u8>, count: Option<u8>) -> Result<SharePolicy, UsageError> {
    const THRESHOLD_USUAL: u8 = 3;
    const SHARES_USUAL: u8 = 5;
    let (threshold, count) = (threshold.unwrap_or(THRESHOLD_USUAL), count.unwrap_or(SHARES_USUAL));
    SharePolicy::new(threshold, count).map_err(|error| UsageError {
        message: error.to_string(),
        help: format!(
            "name --threshold from 2 up to --shares, and --shares up to {}",
            SharePolicy::SHARES_MAX
        ),
    })
}

/// Shows the new shares of a cell, once and never again. In JSON they are part of `about`, the
/// command's only answer, which therefore comes before the seal itself: it holds if the command
/// ends well.
///
/// # Errors
/// If nobody reads it: nothing may depend on shares that nobody has.
pub fn hand_out(
    out: &Output,
    cell: Id,
    shares: &[Share],
    about: &[(&str, serde_json::Value)],
) -> io::Result<()> {
    let Some(first) = shares.first() else { return Ok(()) };
    let (threshold, count, set) = (first.threshold(), shares.len(), first.set());
    // Room for all of it, as above.
    let mut text = Zeroizing::new(Vec::with_capacity(LINES_MAX * Share::LINE_BYTES_MAX));
    let lines: Vec<Zeroizing<String>> = shares.iter().map(Share::to_text).collect();
    match out.format {
        Format::Text | Format::Env => {
            for (share, line) in shares.iter().zip(&lines) {
                let number = share.number();
                writeln!(
                    text,
                    "# share {number} of {count}, any {threshold} of which open cell {cell} \
                     (set {set})"
                )?;
                writeln!(text, "{}\n", **line)?;
            }
        }
        Format::Json => {
            let about = about.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let mut answer: serde_json::Map<_, _> = about.collect();
            answer.insert("cell".into(), cell.to_string().into());
            answer.insert("threshold".into(), threshold.into());
            answer.insert("set".into(), set.to_string().into());
            let answer = Answer { about: answer, shares: lines.iter().map(|l| &***l).collect() };
            serde_json::to_writer_pretty(&mut *text, &answer)?;
            text.push(b'\n');
        }
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()?;
    out.remark(&format!(
        "these shares are shown this once: give each to another person, on paper or in a password \
         manager of their own.\nAny {threshold} of the {count} open the cell; with fewer it stays \
         shut for ever."
    ));
    Ok(())
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    about: serde_json::Map<String, serde_json::Value>,
    shares: Vec<&'a str>,
}
