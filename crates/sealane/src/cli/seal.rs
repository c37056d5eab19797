//! `sealane seal`: how the root key is sealed, and how that is changed.

use std::path::PathBuf;

use crypto::Id;
use crypto::passphrase::Cost;
use keys::root_seal::{Seal, SealKind};
use keys::seal_shamir::SharePolicy;
use keys::share::Share;
use miette::{IntoDiagnostic as _, miette};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::args::{self, Format, NewSecretArgs, SealMigrateArgs, SealRekeyArgs};
use super::cell::{self, CellAccess, Taken};
use super::model::DomainInfo;
use super::render::{Style, Text};
use super::{Output, UsageError, passphrase, secret, shares};
use crate::cell_dir::{self, CellDir, DirLock, Resealed, SealOption};
use crate::ipc::messages::{AdminRequest, SealFacts};
use crate::time_text;

/// How a cell is sealed. Fields are added, never renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealStatus {
    pub cell: String,
    /// The id of the root key.
    pub root: String,
    pub kind: SealKind,
    /// When the root seal was last written, as the file system says.
    pub since: String,
    pub state: SealState,
    /// A change was cut short: the old and the new seal both open the cell.
    pub unfinished: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<SharesStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesStatus {
    pub threshold: u8,
    pub count: u8,
    pub set: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealState {
    /// No cell runs here, so nobody holds the root key.
    Closed,
    /// A cell runs, and has what it needs.
    Unlocked,
    /// A cell runs, and waits to be unlocked.
    Locked,
}

fn option(kind: SealKind) -> args::Seal {
    match kind {
        SealKind::KeyFile => args::Seal::Keyfile,
        SealKind::Passphrase => args::Seal::Passphrase,
        SealKind::Shamir => args::Seal::Shamir,
    }
}

impl Text for SealStatus {
    fn text(&self, _: Style) -> String {
        let by = match (&self.shares, &self.key_file) {
            (Some(SharesStatus { threshold, count, set }), _) => {
                format!("shares: any {threshold} of {count} (set {set})")
            }
            (None, Some(path)) => format!("the key file {}", path.display()),
            (None, None) => "a passphrase".to_owned(),
        };
        let state = match self.state {
            SealState::Closed => "closed: no cell runs here",
            SealState::Unlocked => "unlocked: a cell runs here",
            SealState::Locked => "locked: a cell runs here and waits for its secret",
        };
        let mut text = format!(
            "cell      {}\nroot key  {}\nsealed by {by}\nsince     {}\nstate     {state}\n",
            self.cell, self.root, self.since
        );
        if self.unfinished {
            text.push_str(
                "A change of the seal was cut short; the next `sealane seal rekey`, `migrate` or \
                 `rotate-root` finishes or withdraws it.\n",
            );
        }
        text
    }
}

pub fn status(out: &Output) -> miette::Result<()> {
    let dir = dir_of(out)?;
    let state = match cell::take(&dir)? {
        Taken::Free(_) => SealState::Closed,
        Taken::Running { runtime, client } => {
            let mut cell = CellAccess::Running { runtime, client };
            let facts: SealFacts = cell.value(AdminRequest::SealState)?;
            if facts.locked { SealState::Locked } else { SealState::Unlocked }
        }
    };
    let (seal, since) = cell_dir::root_seal_of(&dir)?;
    let since = since.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let shares = match seal.seal_kind() {
        Seal::Shamir(shamir) => Some(SharesStatus {
            threshold: shamir.threshold(),
            count: shamir.count(),
            set: shamir.set().to_string(),
        }),
        Seal::KeyFile(_) | Seal::Passphrase(_) => None,
    };
    let kind = seal.seal_kind().kind();
    out.show(&SealStatus {
        cell: seal.cell().to_string(),
        root: seal.root().to_string(),
        kind,
        since: time_text::rfc3339(since),
        state,
        unfinished: seal.each().len() > 1,
        key_file: match kind {
            SealKind::KeyFile => Some(cell_dir::key_file(&dir)?),
            SealKind::Passphrase | SealKind::Shamir => None,
        },
        shares,
    })
}

pub fn rekey(args: SealRekeyArgs, out: &Output) -> miette::Result<()> {
    let dir = dir_of(out)?;
    let lock = alone(&dir)?;
    let (seal, _) = cell_dir::root_seal_of(&dir)?;
    let to = seal.seal_kind().kind();
    // A new set is like the old one, unless it is told otherwise.
    let mut new = args.new;
    if let Seal::Shamir(shamir) = seal.seal_kind() {
        new.threshold = new.threshold.or_else(|| Some(shamir.threshold()));
        new.shares = new.shares.or_else(|| Some(shamir.count()));
    }
    change(&dir, &lock, to, new, out)
}

pub fn migrate(args: SealMigrateArgs, out: &Output) -> miette::Result<()> {
    let dir = dir_of(out)?;
    let lock = alone(&dir)?;
    let (seal, _) = cell_dir::root_seal_of(&dir)?;
    if option(seal.seal_kind().kind()) == args.to {
        return Err(UsageError {
            message: "the cell has that seal already".into(),
            help: "`sealane seal rekey` gives it a new secret".into(),
        }
        .into());
    }
    let to = match args.to {
        args::Seal::Keyfile => SealKind::KeyFile,
        args::Seal::Passphrase => SealKind::Passphrase,
        args::Seal::Shamir => SealKind::Shamir,
    };
    change(&dir, &lock, to, args.new, out)
}

/// What a new seal is made of, with every question answered.
enum NewSeal {
    KeyFile(Option<PathBuf>),
    Passphrase(Zeroizing<Vec<u8>>),
    Shares(SharePolicy),
}

fn change(
    dir: &CellDir,
    lock: &DirLock,
    to: SealKind,
    args: NewSecretArgs,
    out: &Output,
) -> miette::Result<()> {
    args.check(option(to))?;
    let policy = match to {
        SealKind::Shamir => Some(shares::policy(args.threshold, args.shares)?),
        SealKind::KeyFile | SealKind::Passphrase => None,
    };
    let secret = secret::obtain(dir, out)?;
    // Before anybody thinks of a new passphrase.
    cell_dir::check_secret(dir, &secret)?;
    let new = match (policy, to) {
        (Some(policy), _) => NewSeal::Shares(policy),
        (None, SealKind::Passphrase) => {
            let file = args.new_passphrase_file.as_deref();
            NewSeal::Passphrase(passphrase::obtain_new(file)?)
        }
        (None, _) => NewSeal::KeyFile(args.key_file),
    };
    let (seal, _) = cell_dir::root_seal_of(dir)?;
    let about = [
        ("kind", serde_json::json!(to)),
        ("root", seal.root().to_string().into()),
        ("key_file", serde_json::Value::Null),
        ("old_key_file", old_key_file(dir, seal.seal_kind())?.into()),
    ];
    let hand_out = |cell: Id, new: &[Share]| shares::hand_out(out, cell, new, &about);
    let option = match &new {
        NewSeal::KeyFile(path) => SealOption::KeyFile(path.clone()),
        NewSeal::Passphrase(passphrase) => {
            SealOption::Passphrase { passphrase, cost: Cost::DEFAULT }
        }
        NewSeal::Shares(policy) => SealOption::Shares { policy: *policy, hand_out: &hand_out },
    };
    let done = cell_dir::reseal(dir, lock, &secret, &option)?;
    say(seal.cell(), to, &done, out)
}

fn old_key_file(dir: &CellDir, seal: &Seal) -> miette::Result<Option<String>> {
    Ok(match seal {
        Seal::KeyFile(_) => Some(cell_dir::key_file(dir)?.display().to_string()),
        Seal::Passphrase(_) | Seal::Shamir(_) => None,
    })
}

fn say(cell: Id, kind: SealKind, done: &Resealed, out: &Output) -> miette::Result<()> {
    match (out.format, kind) {
        // Said with the shares.
        (Format::Json, SealKind::Shamir) => {}
        (Format::Json, _) => out.json(&serde_json::json!({
            "cell": cell.to_string(),
            "kind": kind,
            "root": done.root.to_string(),
            "key_file": done.key_file,
            "old_key_file": done.old_key_file,
        }))?,
        // Whoever keeps the answer keeps the shares and nothing else.
        (Format::Text | Format::Env, SealKind::Shamir) => {
            out.remark("the cell is sealed by these shares from now on");
        }
        (Format::Text | Format::Env, _) => {
            let by = match &done.key_file {
                Some(path) => format!("the key file {}", path.display()),
                None => "the new passphrase".to_owned(),
            };
            out.line(&format!("the cell is sealed by {by} from now on"))?;
        }
    }
    if let Some(old) = &done.old_key_file {
        out.remark(&format!(
            "the old key file is kept in {}: it opens older copies of root.seal; destroy it once \
             the cell has started with the new seal",
            old.display()
        ));
    }
    out.remark(
        "older copies of root.seal still open with the old secret: if it was given away, run \
         `sealane seal rotate-root` too, and destroy them",
    );
    Ok(())
}

pub fn rotate_root(out: &Output) -> miette::Result<()> {
    let dir = dir_of(out)?;
    let lock = alone(&dir)?;
    let secret = secret::obtain(&dir, out)?;
    let done = cell_dir::rotate_root(&dir, &lock, &secret)?;
    match out.format {
        Format::Json => out.json(&serde_json::json!({
            "cell": cell_dir::cell_id(&dir)?.to_string(),
            "root": done.new.to_string(),
            "old_root": done.old.to_string(),
        }))?,
        Format::Text | Format::Env => out.line(&format!(
            "the cell has the new root key {}, under the same seal and secret",
            done.new
        ))?,
    }
    out.remark(
        "older copies of root.seal no longer open the store as it is now; with an older copy of \
         the store, they still open that",
    );
    Ok(())
}

pub fn rotate_domain(out: &Output) -> miette::Result<()> {
    let done: DomainInfo = CellAccess::of(out)?.value(AdminRequest::DomainRotate)?;
    match out.format {
        Format::Json => out.json(&done)?,
        Format::Text | Format::Env => out.line(&format!(
            "the cell has the new domain key {}; records moved under it: {}",
            done.domain, done.moved
        ))?,
    }
    if !done.all {
        out.remark("the rest is moved while the cell runs");
    }
    Ok(())
}

pub(super) fn dir_of(out: &Output) -> miette::Result<CellDir> {
    Ok(CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?))
}

/// The right to change the seal, which nobody has while a cell runs: it holds the old secret.
fn alone(dir: &CellDir) -> miette::Result<DirLock> {
    match cell::take(dir)? {
        Taken::Free(lock) => Ok(lock),
        Taken::Running { .. } => Err(miette!(
            help = format!("stop it with `sealane down --dir {}`", dir.base().display()),
            "a cell runs in {}: its seal can be changed while none does",
            dir.base().display()
        )),
    }
}
