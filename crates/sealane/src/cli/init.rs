//! What `sealane init` was asked for, with every question answered.

use std::{fmt, path::PathBuf};

use keys::seal_shamir::SharePolicy;
use zeroize::Zeroizing;

use super::{
    Output, UsageError,
    args::{InitArgs, NewSecretArgs, Seal},
    passphrase::{self, Purpose},
    shares,
};

/// The key file in DIR unless another place is named.
pub const KEY_FILE_NAME: &str = "root.key";

#[derive(Debug)]
pub struct InitPlan {
    pub dir: PathBuf,
    pub seal: SealPlan,
    /// `None`: from the first cell file.
    pub name: Option<String>,
    pub trust_domain: Option<String>,
    pub account: Option<String>,
    pub region: Option<String>,
    /// `None`: in DIR, beside the store.
    pub anchor: Option<PathBuf>,
}

/// What guards the root key.
pub enum SealPlan {
    KeyFile { path: PathBuf },
    Passphrase(Zeroizing<Vec<u8>>),
    Shares(SharePolicy),
}

impl fmt::Debug for SealPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile { path } => f.debug_struct("KeyFile").field("path", path).finish(),
            Self::Passphrase(_) => f.write_str("Passphrase(..)"),
            Self::Shares(policy) => f.debug_tuple("Shares").field(policy).finish(),
        }
    }
}

/// # Errors
/// [`UsageError`] if the arguments contradict each other, or
/// [`passphrase::PassphraseError`] if a passphrase is needed and none can be had.
pub fn plan(args: InitArgs, out: &Output) -> miette::Result<InitPlan> {
    let InitArgs { seal, key_file, shares, threshold, .. } = args;
    let new = NewSecretArgs { key_file, new_passphrase_file: None, shares, threshold };
    new.check(seal)?;
    let seal = match seal {
        Seal::Keyfile => {
            let path = new.key_file.unwrap_or_else(|| out.dir.join(KEY_FILE_NAME));
            SealPlan::KeyFile { path }
        }
        Seal::Passphrase => SealPlan::Passphrase(passphrase::obtain(out, Purpose::Create)?),
        Seal::Shamir => SealPlan::Shares(shares::policy(new.threshold, new.shares)?),
    };
    Ok(InitPlan {
        dir: out.dir.clone(),
        seal,
        name: args.name,
        trust_domain: args.trust_domain,
        account: args.account,
        region: args.region,
        anchor: args.anchor,
    })
}

impl NewSecretArgs {
    /// Whether all that is given belongs to a seal of this kind.
    ///
    /// # Errors
    /// [`UsageError`] names what does not.
    pub fn check(&self, seal: Seal) -> Result<(), UsageError> {
        let refuse = |given: bool, message: &str, help: &str| {
            let usage = || UsageError { message: message.to_owned(), help: help.to_owned() };
            if given { Err(usage()) } else { Ok(()) }
        };
        refuse(
            self.key_file.is_some() && seal != Seal::Keyfile,
            "a key file is named, and the seal is another",
            "leave out --key-file (and SEALANE_KEY_FILE), or choose `keyfile`",
        )?;
        refuse(
            self.new_passphrase_file.is_some() && seal != Seal::Passphrase,
            "a new passphrase is named, and the seal is another",
            "leave out --new-passphrase-file, or choose `passphrase`",
        )?;
        refuse(
            (self.shares.is_some() || self.threshold.is_some()) && seal != Seal::Shamir,
            "shares are asked for, and the seal is another",
            "leave out --shares and --threshold, or choose `shamir`",
        )
    }
}
