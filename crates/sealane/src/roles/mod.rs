//! What each process of a cell does. The supervisor is in [`crate::up`]; these are its children.

pub mod boot;
pub mod control;
pub mod dataplane;
pub mod egress;
pub mod ingress;
pub mod kms;
mod kms_face;
pub mod lifeline;
pub mod proxy;
pub mod volume;

use std::process::ExitCode;

use boot::{Booted, NeedsOperator, Ready, write_message};

use crate::ipc::messages::Role;

/// The hidden subcommand that is not typed: see [`main`].
pub const ARGUMENT: &str = "__child";

/// The entry of a child process: it learns its role from the supervisor, not from its arguments,
/// which are there for people who look at a list of processes.
#[must_use]
pub fn main() -> ExitCode {
    let booted = match boot::boot() {
        Ok(booted) => booted,
        Err(error) => {
            eprintln!("sealane: a child process cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    crate::log::init(&booted.role.to_string());
    let role = booted.role.clone();
    let supervisor = booted.supervisor.try_clone();
    let ended = run(booted);
    if let Err(error) = &ended {
        let told = error.downcast_ref::<NeedsOperator>();
        if told.is_none() {
            tracing::error!("{role}: {error:#}");
        }
        if let Ok(mut supervisor) = supervisor {
            let help = told.and_then(|told| told.help.clone());
            let ready = Ready { failure: Some(format!("{error:#}")), help, ..Ready::default() };
            let _ = write_message(&mut supervisor, &ready);
        }
    }
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(booted: Booted) -> anyhow::Result<()> {
    // One thread: the work is waiting for sockets, and processes are many.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        match booted.role.clone() {
            Role::Control => control::run(booted).await,
            Role::Proxy { tenant, service } => proxy::run(booted, &tenant, &service).await,
            Role::Volume { tenant, volume } => volume::run(booted, &tenant, &volume).await,
            Role::Ingress => ingress::run(booted).await,
            Role::Egress => egress::run(booted).await,
        }
    })
}
