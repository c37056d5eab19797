//! `sealane seal unlock` and `lock`: of a KMS that runs.

use std::io::IsTerminal as _;

use keys::root_seal::Seal;
use keys::seal_shamir::ShareProgress;
use miette::miette;

use super::args::Format;
use super::cell::{self, CellAccess, Taken};
use super::passphrase::{self, Purpose};
use super::{Output, seal, shares};
use crate::cell_dir::{self, CellDir, Secret};
use crate::ipc::SecretBytes;
use crate::ipc::messages::{AdminRequest, SealFacts, UnlockSecret};

pub fn unlock(out: &Output) -> miette::Result<()> {
    let dir = seal::dir_of(out)?;
    let mut cell = running(&dir)?;
    let mut facts: SealFacts = cell.value(AdminRequest::SealState)?;
    if !facts.locked {
        return say(&facts, out);
    }
    let (root_seal, _) = cell_dir::root_seal_of(&dir)?;
    let whole = |secret| AdminRequest::SealUnlock { secret };
    match root_seal.seal_kind() {
        Seal::KeyFile(_) => {
            let Secret::KeyFile(text) = cell_dir::read_secret(&dir, None)? else {
                return Err(miette!("the key file holds something else"));
            };
            let secret = UnlockSecret::KeyFile(SecretBytes::new(text.as_bytes()));
            facts = cell.value(whole(secret))?;
        }
        Seal::Passphrase(_) => {
            let passphrase = passphrase::obtain(out, Purpose::Open)?;
            let secret = UnlockSecret::Passphrase(SecretBytes::new(&passphrase));
            facts = cell.value(whole(secret))?;
        }
        Seal::Shamir(_) => {
            let offered = shares::offered(out)?;
            let ask = offered.is_empty() && std::io::stdin().is_terminal();
            if offered.is_empty() && !ask {
                return Err(miette!(
                    help = "give --share-file FILE, or run the command at a terminal",
                    "a share of the root key is needed, and there is none"
                ));
            }
            for (_, share) in offered {
                facts = give(&mut cell, &share)?;
            }
            while ask && facts.locked {
                let progress = ShareProgress { given: facts.given, needed: facts.needed };
                match give(&mut cell, &shares::ask(progress)?) {
                    Ok(after) => facts = after,
                    // The good ones are kept; another may be tried.
                    Err(refused) => out.remark(&format!("{refused}")),
                }
            }
        }
    }
    say(&facts, out)
}

fn give(cell: &mut CellAccess, share: &keys::share::Share) -> miette::Result<SealFacts> {
    let secret = UnlockSecret::Share(SecretBytes::new(share.to_text().as_bytes()));
    cell.value(AdminRequest::SealUnlock { secret })
}

pub fn lock(out: &Output) -> miette::Result<()> {
    let mut cell = running(&seal::dir_of(out)?)?;
    let facts: SealFacts = cell.value(AdminRequest::SealLock)?;
    say(&facts, out)
}

fn running(dir: &CellDir) -> miette::Result<CellAccess> {
    match cell::take(dir)? {
        Taken::Running { runtime, client } => Ok(CellAccess::Running { runtime, client }),
        Taken::Free(_) => Err(miette!(
            help = "`sealane kms serve` starts one; other commands open the cell themselves",
            "no cell runs in {}",
            dir.base().display()
        )),
    }
}

fn say(facts: &SealFacts, out: &Output) -> miette::Result<()> {
    match out.format {
        Format::Json => out.json(facts),
        Format::Text | Format::Env if !facts.locked => out.line("unlocked"),
        Format::Text | Format::Env if facts.given > 0 => {
            out.line(&format!("locked: {} of {} shares given", facts.given, facts.needed))
        }
        Format::Text | Format::Env => out.line("locked"),
    }
}
