//! What `sealane init` was asked for, with every question answered.

use std::{fmt, path::PathBuf};

use zeroize::Zeroizing;

use super::{
    Output, UsageError,
    args::{InitArgs, Seal},
    passphrase::{self, Purpose},
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
}

impl fmt::Debug for SealPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile { path } => f.debug_struct("KeyFile").field("path", path).finish(),
            Self::Passphrase(_) => f.write_str("Passphrase(..)"),
        }
    }
}

/// # Errors
/// [`UsageError`] if the arguments contradict each other, or
/// [`passphrase::PassphraseError`] if a passphrase is needed and none can be had.
pub fn plan(args: InitArgs, out: &Output) -> miette::Result<InitPlan> {
    let seal = match args.seal {
        Seal::Keyfile => {
            let path = args.key_file.unwrap_or_else(|| out.dir.join(KEY_FILE_NAME));
            SealPlan::KeyFile { path }
        }
        Seal::Passphrase if args.key_file.is_some() => {
            return Err(UsageError {
                message: "a key file is named, and the seal is a passphrase".into(),
                help: "leave out --key-file (and SEALANE_KEY_FILE), or use --seal keyfile".into(),
            }
            .into());
        }
        Seal::Passphrase => SealPlan::Passphrase(passphrase::obtain(out, Purpose::Create)?),
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
