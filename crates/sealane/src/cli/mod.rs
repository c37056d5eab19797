//! The command line: what may be typed, and how answers are shown.
//!
//! [`args`] says what exists, [`commands`] does it, [`model`] is what commands answer with and
//! [`render`] how that reads. Start in [`main`].

pub mod args;
pub mod args_audit;
pub mod args_dual_control;
pub mod args_erase;
pub mod args_kms;
pub mod audit;
pub mod cell;
pub mod commands;
mod dual_control;
pub mod erase;
pub mod init;
pub mod kms;
pub mod live;
pub mod model;
pub mod names;
pub mod output;
mod pages;
pub mod passphrase;
pub mod render;
pub mod seal;
pub mod secret;
pub mod shares;
pub mod unlock;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use miette::Diagnostic;

use args::{
    CaCommand, Cli, Command, KeyCommand, PolicyCommand, ReportCommand, SealCommand, SvidCommand,
    TenantCommand, VolumeCommand,
};
use args_audit::AuditCommand;
use args_dual_control::DualControlCommand;
use args_erase::UserCommand;
use args_kms::{CredentialCommand, KmsCommand};
pub use output::Output;

/// What a shell sees when a command did not do what it was asked to.
const EXIT_FAILURE: u8 = 1;
/// What a shell sees when the command was not understood; clap uses the same.
const EXIT_USAGE: u8 = 2;

/// Arguments that each are fine and together are not.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct UsageError {
    pub message: String,
    #[help]
    pub help: String,
}

/// Parses the command line, does what it says, and turns the outcome into an exit code.
#[must_use]
pub fn main() -> ExitCode {
    // What the supervisor starts is no command line: it is told by descriptor what to be.
    match std::env::args_os().nth(1).as_deref().and_then(std::ffi::OsStr::to_str) {
        Some(crate::launch::ARGUMENT) => return crate::launch::main(),
        Some(crate::roles::ARGUMENT) => return crate::roles::main(),
        _ => {}
    }
    output::set_up_diagnostics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Prints to where it belongs: help to stdout with 0, a usage error to stderr with 2.
        Err(error) => error.exit(),
    };
    let out = Output::new(&cli.global);
    if !matches!(cli.command, Command::Up(_)) {
        // Many commands open the cell themselves. What cannot be done is told by those that serve.
        let _ = crate::roles::boot::harden_alone();
    }
    match dispatch(cli.command, &out) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough: `sealane status | head -1` is no failure.
        Err(report) if report.downcast_ref::<output::ReaderGone>().is_some() => ExitCode::SUCCESS,
        Err(report) => {
            let usage = report.downcast_ref::<UsageError>().is_some();
            output::complain(&report);
            ExitCode::from(if usage { EXIT_USAGE } else { EXIT_FAILURE })
        }
    }
}

fn dispatch(command: Command, out: &Output) -> miette::Result<()> {
    let of_access_keys = matches!(
        command,
        Command::Kms(KmsCommand::Credential(
            CredentialCommand::Create(_) | CredentialCommand::Session(_)
        ))
    );
    if out.format == args::Format::Env && !of_access_keys {
        return Err(UsageError {
            message: "`--output env` is for access keys".into(),
            help: "use it with `kms credential create` or `session`; else `--output json`".into(),
        }
        .into());
    }
    match command {
        Command::Init(args) => commands::init(init::plan(args, out)?, out),
        Command::Up(args) => commands::up(args, out),
        Command::Down(args) => commands::down(args, out),
        Command::Status(args) => commands::status(args, out),
        Command::Seal(SealCommand::Status(_)) => seal::status(out),
        Command::Seal(SealCommand::Unlock(_)) => unlock::unlock(out),
        Command::Seal(SealCommand::Lock(_)) => unlock::lock(out),
        Command::Seal(SealCommand::Rekey(args)) => seal::rekey(args, out),
        Command::Seal(SealCommand::Migrate(args)) => seal::migrate(args, out),
        Command::Seal(SealCommand::RotateRoot(_)) => seal::rotate_root(out),
        Command::Seal(SealCommand::RotateDomain(_)) => seal::rotate_domain(out),
        Command::DualControl(DualControlCommand::Status(_)) => dual_control::status(out),
        Command::DualControl(DualControlCommand::On(_)) => dual_control::switch(true, out),
        Command::DualControl(DualControlCommand::Off(_)) => dual_control::switch(false, out),
        Command::Tenant(TenantCommand::Create(args)) => commands::tenant_create(args, out),
        Command::Tenant(TenantCommand::List(args)) => commands::tenant_list(args, out),
        Command::Tenant(TenantCommand::Erase(args)) => erase::tenant(args, out),
        Command::Tenant(TenantCommand::Erasures(_)) => erase::list(out),
        Command::User(UserCommand::List(args)) => erase::users(args, out),
        Command::User(UserCommand::Erase(args)) => erase::user(args, out),
        Command::Key(KeyCommand::List(args)) => commands::key_list(args, out),
        Command::Key(KeyCommand::Create(args)) => commands::key_create(args, out),
        Command::Key(KeyCommand::Disable(args)) => commands::key_disable(args, out),
        Command::Key(KeyCommand::Enable(args)) => commands::key_enable(args, out),
        Command::Key(KeyCommand::Rotate(args)) => commands::key_rotate(args, out),
        Command::Kms(KmsCommand::Serve(args)) => kms::serve(args, out),
        Command::Kms(KmsCommand::Credential(command)) => match command {
            CredentialCommand::Create(args) => kms::credential_create(args, out),
            CredentialCommand::Session(args) => kms::credential_session(args, out),
            CredentialCommand::List(args) => kms::credential_list(args, out),
            CredentialCommand::Revoke(args) => kms::credential_revoke(args, out),
        },
        Command::Audit(AuditCommand::Tail(args)) => audit::tail(args, out),
        Command::Audit(AuditCommand::Verify(args)) => audit::verify(args, out),
        Command::Audit(AuditCommand::Export(args)) => audit::export(args, out),
        Command::Audit(AuditCommand::Key(_)) => audit::key(out),
        Command::Volume(VolumeCommand::List(args)) => commands::volume_list(args, out),
        Command::Volume(VolumeCommand::Check(args)) => commands::volume_check(args, out),
        Command::Svid(SvidCommand::List(args)) => commands::svid_list(args, out),
        Command::Policy(PolicyCommand::Explain(args)) => commands::policy_explain(args, out),
        Command::Report(args) => match args.command {
            Some(ReportCommand::Verify(args)) => commands::report_verify(args, out),
            Some(ReportCommand::Key(_)) => commands::report_key(out),
            None => commands::report(out),
        },
        Command::Ca(CaCommand::Bundle(args)) => commands::ca_bundle(args, out),
        Command::Logs(args) => commands::logs(args, out),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "sealane", &mut script);
            out.bytes(&script)
        }
    }
}
