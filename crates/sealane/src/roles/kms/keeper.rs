//! Whether the KMS holds its keys: it can be unlocked with what its seal asks for, and locked, after
//! which the process holds none.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use keys::root_seal::Seal;
use keys::seal_shamir::ShareGathering;
use keys::share::Share;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::tasks;
use crate::cell_dir::{self, CellDir, Secret, check_secret};
use crate::control::{Answers, Caller, Control, Peer};
use crate::ipc::messages::{AdminRequest, Event, Refusal, Reply, Request, SealFacts, UnlockSecret};
use crate::kms_api::Api;
use crate::store::Store;

/// How long what was under way may take to let go of the keys.
const LETTING_GO_MAX: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    pub(super) dir: CellDir,
    /// Besides root, who may operate the cell.
    pub(super) owner: u32,
    pub(super) api: Arc<Api>,
    pub(super) runtime: Handle,
    pub(super) stop: UnboundedSender<Event>,
    state: State,
}

enum State {
    Locked {
        /// Shares of the root key that were given so far.
        gathering: Option<ShareGathering>,
    },
    Unlocked(Box<Unlocked>),
}

struct Unlocked {
    control: Control,
    /// Ends the tasks below.
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn new(
        dir: CellDir,
        owner: u32,
        api: Arc<Api>,
        runtime: Handle,
        stop: UnboundedSender<Event>,
    ) -> Self {
        Self { dir, owner, api, runtime, stop, state: State::Locked { gathering: None } }
    }

    /// Takes over an open cell, and serves its keys.
    pub(super) fn unlocked_with(&mut self, control: Control) {
        let kms = control.kms().clone();
        let (end, ended) = watch::channel(false);
        let tasks = tasks::start(&self.runtime, &self.dir, &kms, &ended);
        self.api.unlock(kms);
        self.state = State::Unlocked(Box::new(Unlocked { control, end, tasks }));
        tracing::info!("the KMS is unlocked");
    }

    /// Ends what uses the keys, and waits until nothing holds them any more.
    ///
    /// # Errors
    /// [`Refusal`] if something did not become durable, or goes on holding them.
    pub(super) fn lock(&mut self) -> Result<(), Refusal> {
        let locked = State::Locked { gathering: None };
        let State::Unlocked(unlocked) = std::mem::replace(&mut self.state, locked) else {
            return Ok(());
        };
        let Unlocked { control, end, tasks } = *unlocked;
        self.api.lock();
        let _ = end.send(true);
        let kms = control.kms().clone();
        let store = Arc::downgrade(kms.store());
        drop(control);
        let deadline = Instant::now() + LETTING_GO_MAX;
        while tasks.iter().any(|task| !task.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let written = kms.write_last_uses().map_err(failed);
        // Calls under way still record what they did.
        wait_for_callers(&store, deadline);
        let closed = kms.trail().close().map_err(failed);
        drop(kms);
        while store.strong_count() > 0 {
            if Instant::now() >= deadline {
                return Err(Refusal::Failed {
                    message: "a request that is under way still holds keys".into(),
                    help: Some("stop the server, which ends it".into()),
                });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        tracing::info!("the KMS is locked");
        written.and(closed)
    }

    fn handle_seal(&mut self, request: AdminRequest) -> Result<Reply, Refusal> {
        match request {
            AdminRequest::SealLock => self.lock()?,
            AdminRequest::SealUnlock { secret } => self.unlock(secret)?,
            _ => {}
        }
        let facts = match &self.state {
            State::Unlocked(_) => SealFacts { locked: false, given: 0, needed: 0 },
            State::Locked { gathering: Some(gathering) } => {
                let progress = gathering.progress();
                SealFacts { locked: true, given: progress.given, needed: progress.needed }
            }
            State::Locked { gathering: None } => {
                let (seal, _) = cell_dir::root_seal_of(&self.dir).map_err(failed)?;
                let needed = match seal.seal_kind() {
                    Seal::Shamir(shamir) => shamir.threshold(),
                    Seal::KeyFile(_) | Seal::Passphrase(_) => 1,
                };
                SealFacts { locked: true, given: 0, needed }
            }
        };
        serde_json::to_value(facts).map(Reply::Json).map_err(failed)
    }

    fn unlock(&mut self, secret: UnlockSecret) -> Result<(), Refusal> {
        let State::Locked { gathering } = &mut self.state else { return Ok(()) };
        let secret = match secret {
            UnlockSecret::KeyFile(text) => {
                let text = String::from_utf8(text.release().to_vec()).map_err(failed)?;
                Secret::KeyFile(zeroize::Zeroizing::new(text))
            }
            UnlockSecret::Passphrase(bytes) => Secret::Passphrase(bytes.release()),
            UnlockSecret::Share(line) => {
                let line = line.release();
                let line = std::str::from_utf8(&line).map_err(failed)?;
                let share = Share::parse(line).map_err(failed)?;
                let so_far = match gathering {
                    Some(so_far) => so_far,
                    None => {
                        let (seal, _) = cell_dir::root_seal_of(&self.dir).map_err(failed)?;
                        gathering.insert(ShareGathering::begin(&seal).map_err(failed)?)
                    }
                };
                let progress = so_far.add(share).map_err(|error| Refusal::Failed {
                    message: error.to_string(),
                    help: Some(cell_dir::help_with_share(error).to_owned()),
                })?;
                if !progress.is_enough() {
                    return Ok(());
                }
                let Some(gathered) = gathering.take() else { return Ok(()) };
                Secret::Shares(gathered.into_shares())
            }
        };
        check_secret(&self.dir, &secret).map_err(of_cell_dir)?;
        let (_, kms) = cell_dir::open_for_supervisor(&self.dir, &secret).map_err(of_cell_dir)?;
        drop(secret);
        let warnings = cell_dir::weaknesses_here(&self.dir).map_err(of_cell_dir)?;
        let control = Control::open(kms, &self.dir, warnings)?;
        self.unlocked_with(control);
        Ok(())
    }
}

/// All but ours and the trail's own hold on the store are requests under way.
fn wait_for_callers(store: &Weak<Store>, deadline: Instant) {
    // Ours, and two of the trail: for its segments' keys and for its checkpoints' signatures.
    const AT_REST: usize = 3;
    while store.strong_count() > AT_REST && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Answers for Keeper {
    fn caller(&self, peer: Peer, supervisor: i32, owner: u32) -> Caller {
        match &self.state {
            State::Unlocked(unlocked) => unlocked.control.caller(peer, supervisor, owner),
            State::Locked { .. } if peer.uid == 0 || peer.uid == self.owner => Caller::Operator,
            State::Locked { .. } => Caller::Stranger,
        }
    }

    fn handle(&mut self, caller: &Caller, request: Request) -> Reply {
        let of_seal = matches!(
            request,
            Request::Admin(
                AdminRequest::SealLock | AdminRequest::SealUnlock { .. } | AdminRequest::SealState
            )
        );
        let answered = match (caller, request) {
            (Caller::Operator, Request::Admin(request)) if of_seal => self.handle_seal(request),
            (Caller::Operator, Request::Admin(AdminRequest::Down)) => {
                let _ = self.stop.send(Event::Stop);
                Ok(Reply::Done)
            }
            (caller, request) => match &mut self.state {
                State::Unlocked(unlocked) => return unlocked.control.handle(caller, request),
                State::Locked { .. } if *caller == Caller::Stranger => {
                    Err(Refusal::NotYours { asked: "this user is no operator of the cell".into() })
                }
                State::Locked { .. } => Err(Refusal::Failed {
                    message: "the cell is locked".into(),
                    help: Some("`sealane seal unlock` unlocks it".into()),
                }),
            },
        };
        answered.unwrap_or_else(Reply::Refused)
    }

    fn watch(&mut self, caller: Caller, watcher: UnboundedSender<Event>) {
        if let State::Unlocked(unlocked) = &mut self.state {
            unlocked.control.watch(caller, watcher);
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::Failed { message: error.to_string(), help: None }
}

fn of_cell_dir(error: cell_dir::CellDirError) -> Refusal {
    let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
    Refusal::Failed { message: error.to_string(), help }
}
