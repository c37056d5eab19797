//! What `kms` does.

use std::net::SocketAddr;
use std::path::Path;

use keys::root_seal::Seal;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use super::args::Format;
use super::args_kms::{
    AuditMode, CredentialCreateArgs, CredentialListArgs, CredentialRevokeArgs,
    CredentialSessionArgs, KmsServeArgs,
};
use super::cell::{self, CellAccess};
use super::model::CredentialInfo;
use super::{Output, UsageError};
use crate::cell_dir::{self, CellDir};
use crate::ipc::messages::{AdminRequest, CredentialGrant, Reply};
use crate::kms_api::Audit;
use crate::roles::kms::{Certificate, Served};

pub(super) fn serve(args: KmsServeArgs, out: &Output) -> miette::Result<()> {
    let certificate = match (&args.tls_cert, &args.tls_key) {
        (Some(chain), Some(key)) => {
            Some(Certificate { chain: read(chain)?, key: zeroize::Zeroizing::new(read(key)?) })
        }
        _ if !args.plaintext => {
            return Err(UsageError {
                message: "without a certificate the KMS does not serve".into(),
                help: "give --tls-cert and --tls-key, or --plaintext on a loopback address".into(),
            }
            .into());
        }
        _ => None,
    };
    if certificate.is_none() && !args.listen.ip().is_loopback() {
        return Err(UsageError {
            message: format!("{} is no loopback address, so it needs TLS", args.listen),
            help: "give --tls-cert and --tls-key, or listen on 127.0.0.1 or [::1]".into(),
        }
        .into());
    }
    let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
    let lock = match cell::take(&dir)? {
        cell::Taken::Free(lock) => lock,
        cell::Taken::Running { .. } => {
            return Err(miette!(
                help = "a cell that `up` started serves its KMS itself: `[kms]` in the cell file",
                "the cell in {} runs already",
                dir.base().display()
            ));
        }
    };
    crate::log::init("kms");
    // Shares come from several people, who are seldom at one terminal.
    let shamir = matches!(cell_dir::seal_of(&dir)?, Seal::Shamir(_));
    let locked = args.locked || (shamir && !super::shares::are_named(out));
    if args.accept_rollback {
        cell::accept_rollback(&dir, &lock, out)?;
    }
    let control = if locked { None } else { Some(cell::open(&dir, out)?) };
    let audit = match args.audit {
        AuditMode::Batched => Audit::Batched,
        AuditMode::Strict => Audit::Strict,
    };
    let (listen, metrics) = (args.listen, args.metrics);
    let served = Served { dir, lock, control, listen, certificate, metrics, audit };
    crate::roles::kms::serve(served, out)
}

fn read(path: &Path) -> miette::Result<Vec<u8>> {
    std::fs::read(path)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read {}", path.display()))
}

/// The first line of output, which says that the KMS serves, and where.
///
/// # Errors
/// If it cannot be written.
pub fn announce(out: &Output, address: SocketAddr, tls: bool) -> miette::Result<()> {
    let url = format!("{}://{address}", if tls { "https" } else { "http" });
    match out.format {
        Format::Json => out.json(&serde_json::json!({ "listening": url })),
        Format::Text | Format::Env => out.line(&format!("listening on {url}")),
    }
}

pub(super) fn credential_create(args: CredentialCreateArgs, out: &Output) -> miette::Result<()> {
    let CredentialCreateArgs { name, tenant } = args;
    let mut cell = CellAccess::of(out)?;
    let request = cell.agreed(AdminRequest::CredentialCreate { name, tenant }, out)?;
    let reply = cell.ask(request)?;
    show_grant(reply, out)
}

pub(super) fn credential_session(args: CredentialSessionArgs, out: &Output) -> miette::Result<()> {
    let (name, tenant, seconds) = (args.name, args.tenant, args.duration.as_secs());
    let request = AdminRequest::CredentialSession { name, tenant, seconds };
    let mut cell = CellAccess::of(out)?;
    let request = cell.agreed(request, out)?;
    show_grant(cell.ask(request)?, out)
}

fn show_grant(reply: Reply, out: &Output) -> miette::Result<()> {
    let Reply::Credential(CredentialGrant { access_key_id, secret, session }) = reply else {
        return Err(miette!("the cell answered something else than an access key"));
    };
    let secret = secret.release();
    let secret = std::str::from_utf8(&secret).into_diagnostic()?;
    let (token, expires) = session.unzip();
    let expires = expires.map(crate::time_text::rfc3339);
    let text = match out.format {
        Format::Json => {
            let value = serde_json::json!({
                "access_key_id": access_key_id,
                "secret_access_key": secret,
                "session_token": token,
                "expires": expires,
            });
            return out.json(&value);
        }
        Format::Env => {
            let mut text = format!(
                "export AWS_ACCESS_KEY_ID={access_key_id}\nexport AWS_SECRET_ACCESS_KEY={secret}\n"
            );
            match token {
                Some(token) => text.push_str(&format!("export AWS_SESSION_TOKEN={token}\n")),
                // One left from before would be sent along, and refused.
                None => text.push_str("unset AWS_SESSION_TOKEN\n"),
            }
            text
        }
        Format::Text => {
            let mut text =
                format!("access key id      {access_key_id}\nsecret access key  {secret}\n");
            if let (Some(token), Some(expires)) = (token, expires) {
                text.push_str(&format!(
                    "session token      {token}\ngood until         {expires}\n"
                ));
            }
            out.remark("the secret is shown this once; `--output env` prints it for a shell");
            text
        }
    };
    out.bytes(text.as_bytes())
}

pub(super) fn credential_list(args: CredentialListArgs, out: &Output) -> miette::Result<()> {
    let mut all: Vec<CredentialInfo> = CellAccess::of(out)?.value(AdminRequest::CredentialList)?;
    if let Some(tenant) = &args.tenant {
        all.retain(|one| one.tenant.as_ref() == Some(tenant));
    }
    out.show(&all)
}

pub(super) fn credential_revoke(args: CredentialRevokeArgs, out: &Output) -> miette::Result<()> {
    let CredentialRevokeArgs { name, tenant } = args;
    let revoke = AdminRequest::CredentialRevoke { name, tenant };
    let revoked: Vec<CredentialInfo> = CellAccess::of(out)?.value(revoke)?;
    out.show(&revoked)
}
