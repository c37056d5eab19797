//! How a command reaches the cell: through its control process where one runs in DIR, else by
//! opening DIR itself.

use miette::{IntoDiagnostic as _, miette};
use serde::de::DeserializeOwned;

use super::Output;
use super::passphrase::{self, Purpose};
use crate::cell_dir::{self, CellDir, CellDirError, Secret};
use crate::control::{Caller, Control};
use crate::ipc::messages::{AdminRequest, Reply, Request};
use crate::ipc::{CONTROL_SOCKET, Client};

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
        let socket = dir.base().join(CONTROL_SOCKET);
        match cell_dir::lock_patiently(&dir, || Client::is_served(&socket)) {
            Ok(lock) => Self::open(&dir, lock, out),
            Err(CellDirError::AlreadyRunning { .. }) => Self::connect(&dir),
            Err(error) => Err(error.into()),
        }
    }

    fn connect(dir: &CellDir) -> miette::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
        let client = runtime.block_on(Client::connect(&dir.base().join(CONTROL_SOCKET)))?;
        Ok(Self::Running { runtime, client })
    }

    fn open(dir: &CellDir, lock: cell_dir::DirLock, out: &Output) -> miette::Result<Self> {
        let secret = match cell_dir::seal_of(dir)? {
            keys::root_seal::Seal::KeyFile(_) => cell_dir::read_secret(dir, None)?,
            keys::root_seal::Seal::Passphrase(_) => {
                Secret::Passphrase(passphrase::obtain(out, Purpose::Open)?)
            }
        };
        let (_, kms) = cell_dir::open_for_supervisor(dir, &secret)?;
        let control = Control::open(kms, Vec::new()).map_err(|refusal| miette!("{refusal}"))?;
        Ok(Self::Opened { control: Box::new(control), _lock: lock })
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
            Self::Running { runtime, client } => Ok(runtime.block_on(client.call(&request))?),
            Self::Opened { control, .. } => match control.handle(&Caller::Operator, request) {
                Reply::Refused(refusal) => Err(miette!("{refusal}")),
                reply => Ok(reply),
            },
        }
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
