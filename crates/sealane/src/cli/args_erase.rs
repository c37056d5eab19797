//! What may be typed to erase tenants and users.

use clap::{Args, Subcommand};

#[derive(Subcommand, Debug)]
pub enum UserCommand {
    List(UserListArgs),
    Erase(UserEraseArgs),
}

/// Erase a tenant: destroy all its KMS keys at once, and for good.
///
/// What they wrapped, such as its volumes and their backups, can never be opened again. Its access
/// keys are revoked, its volumes stop, and its name is not given to another. In a cell that runs,
/// its services that need no volume go on until the cell file no longer names them. The store is
/// written anew, so that no remains of the keys stay in its file, and the logs of its services are
/// removed; docs/decisions/0008-erasure.md says what older copies still hold. Erasing again finishes
/// what was cut short.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane tenant erase acme\n  sealane tenant erase acme --yes")]
pub struct TenantEraseArgs {
    /// The tenant to erase.
    pub name: String,

    /// Do not ask for the name to be typed once more.
    #[arg(long)]
    pub yes: bool,
}

/// List what was erased, when and by whom.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sealane tenant erasures --output json")]
pub struct ErasuresArgs {}

/// List the users who have a KMS key or an access key.
#[derive(Args, Debug)]
pub struct UserListArgs {
    /// Only this tenant's.
    #[arg(long)]
    pub tenant: Option<String>,
}

/// Erase a user: destroy the KMS keys that were made for it at once, and for good.
///
/// The tenant's access keys of that name are revoked. Logs are a service's and not a user's: they
/// stay. All else is as with `tenant erase`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane user erase acme/alice\n  \
    sealane user erase acme/alice --yes")]
pub struct UserEraseArgs {
    /// The user to erase, and whose it is.
    #[arg(value_name = "TENANT/USER", value_parser = user)]
    pub user: User,

    /// Do not ask for the name to be typed once more.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub tenant: String,
    pub name: String,
}

fn user(text: &str) -> Result<User, String> {
    match text.split_once('/') {
        Some((tenant, name)) if !tenant.is_empty() && !name.is_empty() => {
            Ok(User { tenant: tenant.to_owned(), name: name.to_owned() })
        }
        _ => Err("write TENANT/USER, such as acme/alice".to_owned()),
    }
}
