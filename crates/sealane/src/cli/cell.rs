//! How a command reaches the cell: through its control process where one runs in DIR, else by
//! opening DIR itself.

use std::time::{Duration, Instant};

use keys::root_seal::Seal;
use keys::share::Share;
use miette::{IntoDiagnostic as _, miette};
use serde::de::DeserializeOwned;

use super::model::DualControlInfo;
use super::{Output, secret, shares};
use crate::cell_dir::{self, CellDir, CellDirError};
use crate::control::{Caller, Control};
use crate::ipc::messages::{AdminRequest, Refusal, Reply, Request};
use crate::ipc::{CONTROL_SOCKET, CallError, Client, SecretBytes};

/// How long DIR may be in use by somebody who is no running cell: another command, or a cell that
/// starts or has just ended.
const BUSY_MAX: Duration = Duration::from_secs(10);
const BUSY_POLL: Duration = Duration::from_millis(20);
/// How long control may take for an answer: a restart of it included.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// DIR, for this process alone or with the cell that runs in it.
pub enum Taken {
    Free(cell_dir::DirLock),
    Running { runtime: tokio::runtime::Runtime, client: Client },
}

/// Takes the lock of DIR, or reaches the cell that holds it. Waits for one that is starting, and
/// for other commands that hold the lock for a moment.
///
/// # Errors
/// If there is no cell, or DIR stays in use by what does not answer.
pub fn take(dir: &CellDir) -> miette::Result<Taken> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    let deadline = Instant::now() + BUSY_MAX;
    loop {
        let busy = match cell_dir::lock(dir) {
            Ok(lock) => return Ok(Taken::Free(lock)),
            Err(error @ CellDirError::AlreadyRunning { .. }) => error,
            Err(CellDirError::NotYours { .. }) => {
                // Whoever may not open DIR may be heard by the cell all the same, or hear why not.
                let socket = dir.base().join(CONTROL_SOCKET);
                let client = runtime.block_on(Client::connect(&socket));
                let dir = dir.base().to_owned();
                let client = client.map_err(|_| CellDirError::NotYours { dir })?;
                return Ok(Taken::Running { runtime, client });
            }
            Err(error) => return Err(error.into()),
        };
        let socket = dir.base().join(CONTROL_SOCKET);
        // A control process whose supervisor was killed may still listen for a moment; one that
        // answers is there to stay.
        let answered = runtime.block_on(async {
            let mut client = Client::connect(&socket).await.ok()?;
            let hello = tokio::time::timeout(ANSWER_MAX, client.call(&Request::Hello)).await;
            // A refusal is an answer too: only children are greeted.
            let answered = matches!(hello, Ok(Ok(_) | Err(CallError::Refused(_))));
            answered.then_some(client)
        });
        if let Some(client) = answered {
            return Ok(Taken::Running { runtime, client });
        }
        if Instant::now() >= deadline {
            return Err(busy.into());
        }
        std::thread::sleep(BUSY_POLL);
    }
}

/// The cell in DIR, however it is reached.
pub enum CellAccess {
    Running { runtime: tokio::runtime::Runtime, client: Client },
    Opened { control: Box<Control>, _lock: cell_dir::DirLock },
}

impl CellAccess {
    /// # Errors
    /// If there is no cell, or it neither runs nor can be opened.
    pub fn of(out: &Output) -> miette::Result<Self> {
        let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
        match take(&dir)? {
            Taken::Free(lock) => Self::open(&dir, lock, out),
            Taken::Running { runtime, client } => Ok(Self::Running { runtime, client }),
        }
    }

    fn open(dir: &CellDir, lock: cell_dir::DirLock, out: &Output) -> miette::Result<Self> {
        Ok(Self::Opened { control: Box::new(open(dir, out)?), _lock: lock })
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// # Errors
    /// The refusal, as an operator should read it.
    pub fn ask(&mut self, request: AdminRequest) -> miette::Result<Reply> {
        let request = Request::Admin(request);
        match self {
            Self::Running { runtime, client } => runtime.block_on(async {
                match tokio::time::timeout(ANSWER_MAX, client.call(&request)).await {
                    Ok(Err(CallError::Refused(refusal))) => Err(refused(refusal)),
                    Ok(answer) => Ok(answer?),
                    Err(_) => Err(miette!(
                        help = "`sealane down`, or Ctrl-C where `sealane up` runs, stops the cell",
                        "the cell's control process did not answer within {ANSWER_MAX:?}"
                    )),
                }
            }),
            Self::Opened { control, .. } => match control.handle(&Caller::Operator, request) {
                Reply::Refused(refusal) => Err(refused(refusal)),
                reply => Ok(reply),
            },
        }
    }

    /// `request`, with the shares that it takes where the cell is under dual control. A cell that
    /// this command opened knows by whose shares.
    ///
    /// # Errors
    /// If they cannot be had.
    pub fn agreed(&mut self, request: AdminRequest, out: &Output) -> miette::Result<AdminRequest> {
        if !self.is_running() || !self.value::<DualControlInfo>(AdminRequest::DualControl)?.on {
            return Ok(request);
        }
        with_shares(request, out)
    }

    /// Asks for something that is answered with one JSON value.
    ///
    /// # Errors
    /// As [`CellAccess::ask`].
    pub fn value<T: DeserializeOwned>(&mut self, request: AdminRequest) -> miette::Result<T> {
        match self.ask(request)? {
            Reply::Json(value) => serde_json::from_value(value).into_diagnostic(),
            other => Err(miette!("the cell answered something else than was asked: {other:?}")),
        }
    }
}

/// `request`, agreed to by those who hold shares of the root key.
///
/// # Errors
/// If the cell is sealed by something else, or too few shares are given.
pub fn with_shares(request: AdminRequest, out: &Output) -> miette::Result<AdminRequest> {
    let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
    let (seal, _) = cell_dir::root_seal_of(&dir)?;
    if !matches!(seal.seal_kind(), Seal::Shamir(_)) {
        return Err(miette!(
            help = "`sealane seal migrate --to shamir` hands out shares to several people",
            "two people agree by shares of the root key, and one secret opens this cell"
        ));
    }
    let line = |share: &Share| SecretBytes::new(share.to_text().as_bytes());
    let shares = shares::gather(out, &seal)?.iter().map(line).collect();
    Ok(AdminRequest::Agreed { shares, request: Box::new(request) })
}

/// Opens the cell in `dir`, whose lock the caller holds.
///
/// # Errors
/// If it cannot be opened.
pub fn open(dir: &CellDir, out: &Output) -> miette::Result<Control> {
    let secret = secret::obtain(dir, out)?;
    let (_, kms) = cell_dir::open_for_supervisor(dir, &secret)?;
    let warnings = cell_dir::weaknesses_here(dir)?;
    let quorum = cell_dir::quorum(dir, &secret)?;
    let control = Control::open(kms, dir, warnings).map_err(refused)?;
    Ok(control.opened_by(quorum))
}

/// Takes the store in `dir` as it is, and says what that meant.
///
/// # Errors
/// If something else is wrong with it than its age.
pub fn accept_rollback(
    dir: &CellDir,
    lock: &cell_dir::DirLock,
    out: &Output,
) -> miette::Result<()> {
    let secret = secret::obtain(dir, out)?;
    match cell_dir::accept_rollback(dir, lock, &secret)? {
        None => out.remark("there was no rollback to accept"),
        Some(accepted) => out.remark(&format!(
            "accepted the store as of transaction {}, with {} records; its anchor knew {}",
            accepted.store, accepted.records, accepted.anchor
        )),
    }
    Ok(())
}

/// A refusal as an operator reads it: the reason, and apart from it what to do.
pub fn refused(refusal: Refusal) -> miette::Report {
    let (message, help) = match refusal {
        Refusal::NotFound { what, help } => (what, Some(help)),
        Refusal::Failed { message, help } => (message, help),
        Refusal::Erased { what } => (
            format!("{what} was erased"),
            Some("what was erased does not come back; use another name".to_owned()),
        ),
        Refusal::KeyDisabled { key } => (
            format!("the KMS key {key} is disabled"),
            Some(format!("`sealane key enable {key}` enables it")),
        ),
        Refusal::NotYours { asked } => (
            format!("not permitted: {asked}"),
            Some("run the command as root, or as the user that runs the cell".to_owned()),
        ),
        other @ Refusal::OtherTrustDomain { .. } => (other.to_string(), None),
    };
    match help {
        Some(help) => miette!(help = help, "{message}"),
        None => miette!("{message}"),
    }
}
