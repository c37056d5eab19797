//! The secret that opens the cell in DIR, from wherever its seal says.

use keys::root_seal::Seal;

use super::passphrase::{self, Purpose};
use super::{Output, shares};
use crate::cell_dir::{self, CellDir, Secret};

/// What the cell's seal asks for: a key file is read, a passphrase or shares are asked for unless a
/// file or a variable has them.
///
/// # Errors
/// If there is no cell, or its secret cannot be had.
pub fn obtain(dir: &CellDir, out: &Output) -> miette::Result<Secret> {
    let (seal, _) = cell_dir::root_seal_of(dir)?;
    Ok(match seal.seal_kind() {
        Seal::KeyFile(_) => cell_dir::read_secret(dir, None)?,
        Seal::Passphrase(_) => Secret::Passphrase(passphrase::obtain(out, Purpose::Open)?),
        Seal::Shamir(_) => Secret::Shares(shares::gather(out, &seal)?),
    })
}
