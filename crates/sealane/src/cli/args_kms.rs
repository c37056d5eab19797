//! What may be typed after `kms`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Subcommand, Debug)]
pub enum KmsCommand {
    Serve(KmsServeArgs),
    /// Create, list and revoke access keys, which sign requests to the KMS.
    #[command(subcommand)]
    Credential(CredentialCommand),
}

/// Serve AWS KMS's own API over the keys of the cell in DIR, until Ctrl-C.
///
/// Programs written for AWS KMS need nothing but another endpoint. docs/kms.md shows how to begin.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    sealane kms serve --listen 127.0.0.1:7600 --plaintext\n  \
    sealane kms serve --listen 0.0.0.0:7600 --tls-cert kms.pem --tls-key kms-key.pem\n\n\
    Then, in another terminal:\n  \
    source <(sealane kms credential create me --output env)\n  \
    aws kms create-key --endpoint-url http://127.0.0.1:7600 --region us-east-1")]
pub struct KmsServeArgs {
    /// Where to listen. Port 0 takes a free one, which the first line of output names.
    #[arg(long, value_name = "ADDR", env = "SEALANE_KMS_LISTEN")]
    pub listen: SocketAddr,

    /// The certificate chain, leaf first, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "SEALANE_KMS_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// Its private key, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "SEALANE_KMS_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Serve without TLS. Only for loopback addresses: data keys travel in the answers.
    #[arg(long, conflicts_with = "tls_cert")]
    pub plaintext: bool,

    /// When the audit event of a cryptographic call must be on disk: within 100 ms of the answer,
    /// or before it. Changes of keys always wait for theirs.
    #[arg(long, value_enum, default_value_t = AuditMode::Batched, env = "SEALANE_KMS_AUDIT")]
    pub audit: AuditMode,

    /// Start locked, without the secret of the root key; `sealane seal unlock` unlocks it. So does a
    /// cell that is sealed by shares start, unless they are given.
    #[arg(long)]
    pub locked: bool,

    /// Take the store for the newest although it is older than its anchor says, or lacks changes:
    /// an old copy was put back on purpose. The audit trail records it.
    #[arg(long)]
    pub accept_rollback: bool,

    /// Where to serve Prometheus metrics (/metrics) and /health, without TLS.
    #[arg(long, value_name = "ADDR", env = "SEALANE_KMS_METRICS")]
    pub metrics: Option<SocketAddr>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditMode {
    Batched,
    Strict,
}

#[derive(Subcommand, Debug)]
pub enum CredentialCommand {
    Create(CredentialCreateArgs),
    Session(CredentialSessionArgs),
    List(CredentialListArgs),
    Revoke(CredentialRevokeArgs),
}

/// Create an access key pair. Its secret is printed this once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane kms credential create me\n  \
    source <(sealane kms credential create backup --tenant acme --output env)")]
pub struct CredentialCreateArgs {
    /// Whom or what it is for: the user's name in ARNs and in the audit trail.
    pub name: String,

    /// Whose keys it reaches. Without a tenant it administers the account.
    #[arg(long)]
    pub tenant: Option<String>,
}

/// Create temporary credentials, with a session token, for the bearer of an access key.
///
/// They can do what that access key can, end by themselves, and end with it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    source <(sealane kms credential session me --for 1h --output env)")]
pub struct CredentialSessionArgs {
    /// The name that the access key was created for, or its id.
    pub name: String,

    /// Whose it is; without a tenant, the account's.
    #[arg(long)]
    pub tenant: Option<String>,

    /// How long they are good for, from 15m to 36h.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub duration: Duration,
}

/// List access keys, without their secrets.
#[derive(Args, Debug)]
pub struct CredentialListArgs {
    /// Only this tenant's.
    #[arg(long)]
    pub tenant: Option<String>,
}

/// Revoke an access key for good: it signs nothing from now on.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane kms credential revoke me\n  \
    sealane kms credential revoke AKIA…")]
pub struct CredentialRevokeArgs {
    /// The name that it was created for, or its id.
    pub name: String,

    /// Whose it is; without a tenant, the account's.
    #[arg(long)]
    pub tenant: Option<String>,
}

/// A number with s, m, h or d.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number with s, m, h or d, such as 90m".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let all = number.checked_mul(seconds).ok_or_else(wrong)?;
    if (15 * 60..=36 * 60 * 60).contains(&all) {
        Ok(Duration::from_secs(all))
    } else {
        Err("from 15m to 36h".to_owned())
    }
}
