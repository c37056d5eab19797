//! What may be typed. Names and fields are relied upon by scripts: they are never renamed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::args_audit::AuditCommand;
use super::args_dual_control::DualControlCommand;
use super::args_erase::{ErasuresArgs, TenantEraseArgs, UserCommand};
use super::args_kms::KmsCommand;
use crate::config;

/// Lines that `logs` shows unless told otherwise.
const LOG_LINES_DEFAULT: usize = 100;

/// The heading of what every command takes.
const GLOBAL: &str = "Options of every command";

/// Protects the data of a microservice cluster wherever it is, and proves it.
#[derive(Parser, Debug)]
#[command(
    name = "sealane",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    long_about = "Protects the data of a microservice cluster wherever it is: on a disk, \
        between two services, in the store of its keys and at the cluster's edge.\n\n\
        A cell is one cluster with its own root of trust, keys and stores. A cell file says which \
        services run for which tenants and who may call whom; `sealane up` starts all of it, \
        every disk sealed and every connection protected.",
    after_help = "Begin with:\n  sealane up examples/shop/cell.toml    start the example cell\n  \
        sealane status                        what runs, and how it is protected\n  \
        sealane report                        evidence of it, signed\n\n\
        A command talks to the cell that runs in DIR if one does, and opens DIR itself if none \
        does."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Clone, Debug)]
pub struct GlobalArgs {
    /// Where the cell keeps its keys, stores and sealed volumes.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR",
        env = "SEALANE_DIR",
        default_value = "./sealane.d"
    )]
    pub dir: PathBuf,

    /// How answers are written: for people, or as one JSON value.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub output: Format,

    /// Reads the passphrase of the root key from FILE; else SEALANE_PASSPHRASE or the file that
    /// SEALANE_PASSPHRASE_FILE names, else the terminal.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// Reads shares of the root key from FILE, one a line, or from standard input if it is `-`; may
    /// be given several times. Else from the file that SEALANE_SHARES_FILE names; what is missing is
    /// asked for on the terminal.
    #[arg(long = "share-file", global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub share_files: Vec<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Text,
    Json,
    /// As `export` lines for a shell: of access keys only.
    Env,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Init(InitArgs),
    Up(UpArgs),
    Down(DownArgs),
    Status(StatusArgs),
    /// Show and change what guards the root key: a key file, a passphrase or shares.
    #[command(subcommand)]
    Seal(SealCommand),
    /// Have what one person cannot take back take two.
    #[command(subcommand)]
    DualControl(DualControlCommand),
    /// Create, list and erase tenants, the customers of the cell.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// List and erase users, who are somebody of a tenant.
    #[command(subcommand)]
    User(UserCommand),
    /// Create, list, rotate, disable and enable KMS keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Serve the KMS to programs written for AWS KMS, and manage who may sign requests to it.
    #[command(subcommand)]
    Kms(KmsCommand),
    /// Show, check and export the audit trail: who did what with which key.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// List and check the sealed volumes.
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// List the certificates that running services hold.
    #[command(subcommand)]
    Svid(SvidCommand),
    /// Ask who may call whom, and why.
    #[command(subcommand)]
    Policy(PolicyCommand),
    Report(ReportArgs),
    /// Show the cell's certificate authority.
    #[command(subcommand)]
    Ca(CaCommand),
    Logs(LogsArgs),
    Completions(CompletionsArgs),
}

/// Make a new cell in DIR: its root key, its store and its certificate authority.
///
/// Nothing is asked that a flag or an environment variable already answers.
/// `sealane up` does the same, with the defaults, where DIR holds no cell yet.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    sealane init --dir /var/lib/shop --seal passphrase --name shop --trust-domain shop.example\n  \
    SEALANE_PASSPHRASE_FILE=/run/secrets/root sealane init --seal passphrase\n  \
    sealane init --seal keyfile --key-file /mnt/usb/root.key --anchor /mnt/usb/anchor\n  \
    sealane init --seal shamir --shares 5 --threshold 3")]
pub struct InitArgs {
    /// What guards the root key: a file of mode 0600, good for trying out, a passphrase, or shares
    /// of a secret, which are shown once and handed to several people (`shamir`).
    #[arg(long, value_enum, env = "SEALANE_SEAL", default_value_t = Seal::Keyfile)]
    pub seal: Seal,

    /// Where the key file lies, for `--seal keyfile`; DIR/root.key unless given.
    #[arg(long, value_name = "PATH", env = "SEALANE_KEY_FILE")]
    pub key_file: Option<PathBuf>,

    /// How many shares to make, for `--seal shamir`; 5 unless given, at most 64.
    #[arg(long, value_name = "COUNT")]
    pub shares: Option<u8>,

    /// How many of the shares open the cell, for `--seal shamir`; 3 unless given, at least 2.
    #[arg(long, value_name = "COUNT")]
    pub threshold: Option<u8>,

    /// The name of the cell; unless given, the one in the first cell file that it runs by.
    #[arg(long, env = "SEALANE_CELL_NAME", value_parser = label)]
    pub name: Option<String>,

    /// The trust domain in every identity; unless given, the one in the first cell file.
    #[arg(long, value_name = "DOMAIN", env = "SEALANE_TRUST_DOMAIN", value_parser = trust_domain)]
    pub trust_domain: Option<String>,

    /// The account in the ARNs of keys, twelve digits; unless given, the one in the first cell file.
    #[arg(long, env = "SEALANE_ACCOUNT", value_parser = account)]
    pub account: Option<String>,

    /// The region in the ARNs of keys; unless given, the one in the first cell file.
    #[arg(long, env = "SEALANE_REGION", value_parser = region)]
    pub region: Option<String>,

    /// Where the store's anchor lies, which shows when the store was set back. Best on another
    /// disk: what is rolled back with the store notices nothing. In DIR unless given.
    #[arg(long, value_name = "PATH", env = "SEALANE_ANCHOR")]
    pub anchor: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seal {
    Keyfile,
    Passphrase,
    Shamir,
}

#[derive(Subcommand, Debug)]
pub enum SealCommand {
    Status(SealStatusArgs),
    Unlock(SealUnlockArgs),
    Lock(SealLockArgs),
    Rekey(SealRekeyArgs),
    Migrate(SealMigrateArgs),
    RotateRoot(SealRotateRootArgs),
    RotateDomain(SealRotateDomainArgs),
}

/// Show how the root key is sealed, since when, and whether a cell holds it. No secret is needed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane seal status\n  \
    sealane seal status --output json | jq .shares")]
pub struct SealStatusArgs {}

/// Unlock the KMS that runs locked in DIR.
///
/// Shares may be given one at a time, by several calls and different people: what was given is
/// kept until there are enough.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane seal unlock\n  \
    sealane seal unlock --share-file /media/alice/share")]
pub struct SealUnlockArgs {}

/// Lock the KMS that runs in DIR: it answers nothing from now on, and holds no key.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sealane seal lock")]
pub struct SealLockArgs {}

/// Give the seal a new secret of the same kind: a new key file, passphrase or set of shares.
///
/// The root key, and all that lies under it, stay what they are, and so does an older copy of
/// root.seal: whoever has one, and the old secret, still has the root key. The cell must not run.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane seal rekey --dir /var/lib/shop\n  \
    SEALANE_PASSPHRASE_FILE=old SEALANE_NEW_PASSPHRASE_FILE=new sealane seal rekey\n  \
    sealane seal rekey --shares 7 --threshold 4")]
pub struct SealRekeyArgs {
    #[command(flatten)]
    pub new: NewSecretArgs,
}

/// Put the root key under another kind of seal.
///
/// The old secret is asked for, and from then on the new one opens the cell. A key file that is no
/// longer needed is left where it is, to be destroyed. The cell must not run.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane seal migrate --to passphrase\n  \
    sealane seal migrate --to shamir --shares 5 --threshold 3\n  \
    sealane seal migrate --to keyfile --key-file /mnt/usb/root.key")]
pub struct SealMigrateArgs {
    /// What guards the root key from now on.
    #[arg(long, value_enum)]
    pub to: Seal,

    #[command(flatten)]
    pub new: NewSecretArgs,
}

/// Replace the root key itself, under the same seal and secret.
///
/// What the root key wraps is wrapped anew. The old root key then opens nothing that is written
/// from now on; a copy of the store from before it still opens. The cell must not run.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane seal rotate-root\n  \
    sealane seal rekey && sealane seal rotate-root    after somebody has left who knew the secret")]
pub struct SealRotateRootArgs {}

/// Replace the domain key, which wraps all key material and lies under the root key.
///
/// A cell that runs does so every day by itself, and moves what lies under older domain keys. They
/// are kept for as long as something needs them: tokens that were handed out, logs, the audit trail.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane seal rotate-domain\n  \
    sealane seal rotate-root && sealane seal rotate-domain    after the root key was exposed")]
pub struct SealRotateDomainArgs {}

/// What a new seal is made of.
#[derive(Args, Debug)]
pub struct NewSecretArgs {
    /// Where the new key file comes to lie: unless given where the old one is, which is then kept
    /// as PATH.old, else DIR/root.key.
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,

    /// Reads the new passphrase from FILE; else SEALANE_NEW_PASSPHRASE or the file that
    /// SEALANE_NEW_PASSPHRASE_FILE names, else the terminal.
    #[arg(long, value_name = "FILE")]
    pub new_passphrase_file: Option<PathBuf>,

    /// How many shares to make; as many as before unless given, else 5, at most 64.
    #[arg(long, value_name = "COUNT")]
    pub shares: Option<u8>,

    /// How many of the shares open the cell; as many as before unless given, else 3, at least 2.
    #[arg(long, value_name = "COUNT")]
    pub threshold: Option<u8>,
}

/// Start the cell that CELL.toml describes, and keep it running until Ctrl-C.
///
/// The cell is made first where DIR holds none. Whatever an earlier run left behind when it
/// was killed is cleaned up. Ctrl-C, or `sealane down`, drains connections, stops services
/// callers first, and leaves nothing mounted.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane up examples/shop/cell.toml\n  \
    sealane up cell.toml --dir /var/lib/shop\n\n\
    docs/cell-file.md explains every key of the cell file.")]
pub struct UpArgs {
    /// The cell file.
    #[arg(value_name = "CELL.toml")]
    pub cell: PathBuf,
}

/// Stop the cell that runs in DIR, in order, as Ctrl-C does.
///
/// Where none runs, what a killed one left behind is cleaned up.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sealane down --dir /var/lib/shop")]
pub struct DownArgs {}

/// Show services, volumes, keys, certificates and connections, and what weakens a promise.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane status\n  \
    sealane status --output json | jq .warnings")]
pub struct StatusArgs {}

#[derive(Subcommand, Debug)]
pub enum TenantCommand {
    Create(TenantCreateArgs),
    List(TenantListArgs),
    Erase(TenantEraseArgs),
    Erasures(ErasuresArgs),
}

/// Create a tenant and its KMS key.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sealane tenant create acme\n\n\
    `sealane up` creates the tenants of its cell file by itself.")]
pub struct TenantCreateArgs {
    #[arg(value_parser = label)]
    pub name: String,
}

/// List the tenants and their keys.
#[derive(Args, Debug)]
pub struct TenantListArgs {}

#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    List(KeyListArgs),
    Create(KeyCreateArgs),
    /// Stop all use of a key within seconds: volumes under it stop, nothing is lost.
    Disable(KeyArgs),
    /// Allow the use of a disabled key again; what stopped for it comes back.
    Enable(KeyArgs),
    /// Add new material to a key: it seals from now on, and the old goes on opening.
    Rotate(KeyArgs),
}

/// List KMS keys with their state.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane key list\n  sealane key list --tenant acme\n  \
    sealane key list --tenant acme --user alice\n  sealane key list --limit 20")]
pub struct KeyListArgs {
    /// Only this tenant's.
    #[arg(long)]
    pub tenant: Option<String>,

    /// Only those of this user of the tenant.
    #[arg(long, requires = "tenant")]
    pub user: Option<String>,

    /// Show no more than this many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// Create a KMS key for a tenant, or for a user of a tenant.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane key create --tenant acme\n  \
    sealane key create --tenant acme --user alice")]
pub struct KeyCreateArgs {
    #[arg(long)]
    pub tenant: String,

    /// Somebody of the tenant: `sealane user erase` destroys the key.
    #[arg(long)]
    pub user: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane key list\n  sealane key disable acme\n  \
    sealane key enable acme\n  sealane key rotate acme")]
pub struct KeyArgs {
    /// The key's id or ARN, or the name of a tenant (or TENANT/USER) that has one key.
    #[arg(value_name = "KEY")]
    pub key: String,
}

#[derive(Subcommand, Debug)]
pub enum VolumeCommand {
    List(VolumeListArgs),
    Check(VolumeCheckArgs),
}

/// List volumes: size, key and what is sealed in them.
#[derive(Args, Debug)]
pub struct VolumeListArgs {}

/// Open every sealed block of a volume and say whether each is what was written.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane volume check acme/redis\n  \
    sealane volume check redis        where only one tenant has a volume of this name")]
pub struct VolumeCheckArgs {
    /// The volume's name where it is unique, else TENANT/NAME.
    #[arg(value_name = "VOLUME")]
    pub volume: String,
}

#[derive(Subcommand, Debug)]
pub enum SvidCommand {
    List(SvidListArgs),
}

/// List each running service's certificate, its serial and how long it is good for.
#[derive(Args, Debug)]
pub struct SvidListArgs {}

#[derive(Subcommand, Debug)]
pub enum PolicyCommand {
    Explain(PolicyExplainArgs),
}

/// Say whether FROM may call TO:PORT, and which line of the cell file decides it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane policy explain acme/web catalog:8080\n  \
    sealane policy explain catalog payments.example:443")]
pub struct PolicyExplainArgs {
    /// The calling service: its name where it is unique, else TENANT/NAME.
    #[arg(value_name = "FROM")]
    pub from: String,
    /// What is called, as the service itself would write it.
    #[arg(value_name = "TO:PORT", value_parser = target)]
    pub to: String,
}

/// Gather signed evidence from the running cell: what is protected, how, under which key.
///
/// What is not protected comes first. `--output json` writes the signed document itself,
/// which `sealane report verify` checks without the cell.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  sealane report\n  sealane report --output json > evidence.json\n  \
        sealane report verify evidence.json --dir /var/lib/shop"
)]
pub struct ReportArgs {
    #[command(subcommand)]
    pub command: Option<ReportCommand>,
}

#[derive(Subcommand, Debug)]
pub enum ReportCommand {
    Verify(ReportVerifyArgs),
    Key(ReportKeyArgs),
}

/// Print the public key of the cell's reports as PEM: what an auditor keeps to check them by.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sealane report key > report-key.pem\n  \
    sealane report verify evidence.json --key report-key.pem")]
pub struct ReportKeyArgs {}

/// Check the signature of a report, offline.
///
/// The key is never taken from the report itself: it comes from `--key`, or from the cell in DIR.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane report verify evidence.json --key report-key.pem\n  \
    sealane report verify evidence.json --dir /var/lib/shop")]
pub struct ReportVerifyArgs {
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The public key of the cell's reports, as PEM.
    #[arg(long, value_name = "PEM")]
    pub key: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub enum CaCommand {
    Bundle(CaBundleArgs),
}

/// Print the trust bundle as PEM: what a client needs to trust the cell's ingress.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sealane ca bundle > ca.pem\n  \
    curl --cacert ca.pem https://acme.shop.localhost:8443/items/1")]
pub struct CaBundleArgs {}

/// Show what a service has written. It is kept sealed, and opened only here.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane logs acme/web\n  sealane logs redis -f -n 20")]
pub struct LogsArgs {
    /// The service's name where it is unique, else TENANT/NAME.
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// Go on showing what it writes.
    #[arg(short, long)]
    pub follow: bool,
    /// Begin so many lines before the end.
    #[arg(short = 'n', long, value_name = "N", default_value_t = LOG_LINES_DEFAULT)]
    pub lines: usize,
}

/// Print a script that completes commands and options in your shell.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  source <(sealane completions bash)\n  \
    sealane completions fish > ~/.config/fish/completions/sealane.fish")]
pub struct CompletionsArgs {
    pub shell: Shell,
}

/// The rules of the cell file, for what is typed.
fn refused<T>(parsed: Result<T, config::Refusal>) -> Result<T, String> {
    parsed.map_err(|refusal| format!("{}; {}", refusal.message, refusal.help))
}

fn label(text: &str) -> Result<String, String> {
    refused(config::parse_label(text))
}

fn trust_domain(text: &str) -> Result<String, String> {
    refused(config::parse_trust_domain(text))
}

fn account(text: &str) -> Result<String, String> {
    refused(config::parse_account(text))
}

fn region(text: &str) -> Result<String, String> {
    refused(config::parse_region(text))
}

/// `NAME:PORT`, or `TENANT/NAME:PORT`. Whether it exists is the policy's to say.
fn target(text: &str) -> Result<String, String> {
    let name = text.split_once('/').map_or(text, |(_, name)| name);
    refused(config::parse_host_port(name)).map(|_| text.to_owned())
}
