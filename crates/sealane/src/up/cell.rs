//! What all tasks of the supervisor share.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crypto::Id;
use tokio::sync::{Notify, watch};

use super::control_link::ControlLink;
use crate::cli::model::{ServiceState, VolumeState};
use crate::ipc::messages::{CellFacts, Role, ServiceFact, VolumeStateFact};
use crate::plan::Plan;

/// How long a child may take from its start until it serves.
pub(super) const CHILD_READY_MAX: Duration = Duration::from_secs(30);

pub(super) struct Cell {
    pub dir: PathBuf,
    pub id: Id,
    pub root: bool,
    pub plan: Plan,
    pub link: ControlLink,
    /// Set once: everything is to end.
    pub stopping: watch::Sender<bool>,
    /// Volumes whose KMS key is disabled, by tenant and name.
    pub disabled: watch::Sender<BTreeSet<(String, String)>>,
    /// Tenants that were erased, as far as the cell file names them or something is left of them.
    pub erased: RefCell<BTreeSet<String>>,
    /// Mounted volumes by `tenant/volume`: the path, while there is one.
    pub mounted: BTreeMap<String, watch::Sender<Option<PathBuf>>>,
    /// Services by `tenant/service`: ready, and entirely gone.
    pub ready: BTreeMap<String, watch::Sender<bool>>,
    pub gone: BTreeMap<String, watch::Sender<bool>>,
    /// Set last: nothing of the cell runs but control.
    pub drained: watch::Sender<bool>,
    facts: RefCell<CellFacts>,
    changed: Notify,
}

impl Cell {
    #[must_use]
    pub(super) fn new(dir: PathBuf, id: Id, root: bool, plan: Plan) -> Self {
        let services: Vec<_> =
            plan.instances.iter().map(|i| format!("{}/{}", i.tenant, i.service)).collect();
        let mut facts = CellFacts::default();
        let mut mounted = BTreeMap::new();
        for instance in &plan.instances {
            facts.services.push(ServiceFact {
                name: instance.service.clone(),
                tenant: instance.tenant.clone(),
                state: ServiceState::Waiting,
                reason: None,
                pid: None,
                restarts: 0,
            });
            if let Some(volume) = &instance.volume {
                let name = format!("{}/{}", instance.tenant, volume.name);
                mounted.insert(name, watch::Sender::new(None));
                facts.volumes.push(VolumeStateFact {
                    name: volume.name.clone(),
                    tenant: instance.tenant.clone(),
                    state: VolumeState::Detached,
                    reason: None,
                });
            }
        }
        Self {
            dir,
            id,
            root,
            link: ControlLink::new(),
            stopping: watch::Sender::new(false),
            disabled: watch::Sender::new(BTreeSet::new()),
            erased: RefCell::default(),
            mounted,
            ready: services.iter().map(|n| (n.clone(), watch::Sender::new(false))).collect(),
            gone: services.into_iter().map(|n| (n, watch::Sender::new(true))).collect(),
            plan,
            drained: watch::Sender::new(false),
            facts: RefCell::new(facts),
            changed: Notify::new(),
        }
    }

    /// The uid of `name`, as root; without, everything runs as one user.
    #[must_use]
    pub(super) fn uid(&self, name: &str) -> Option<u32> {
        self.root.then(|| uid_of(self.id, name))
    }

    #[must_use]
    pub(super) fn role_uid(&self, role: &Role) -> Option<u32> {
        self.uid(&role.to_string())
    }

    #[must_use]
    pub(super) fn facts(&self) -> CellFacts {
        self.facts.borrow().clone()
    }

    /// Changes what is known, and wakes who shows it.
    pub(super) fn update(&self, change: impl FnOnce(&mut CellFacts)) {
        {
            let mut facts = self.facts.borrow_mut();
            change(&mut facts);
            facts.ready = facts.services.iter().all(|service| service.state == ServiceState::Ready)
                && facts.volumes.iter().all(|volume| volume.state == VolumeState::Attached);
        }
        // Kept for who is busy showing the change before it: only one waits.
        self.changed.notify_one();
    }

    pub(super) fn update_service(&self, index: usize, change: impl FnOnce(&mut ServiceFact)) {
        self.update(|facts| change(&mut facts.services[index]));
    }

    pub(super) fn update_volume(
        &self,
        tenant: &str,
        volume: &str,
        state: VolumeState,
        reason: Option<String>,
    ) {
        self.update(|facts| {
            let known = |v: &&mut VolumeStateFact| v.tenant == tenant && v.name == volume;
            if let Some(fact) = facts.volumes.iter_mut().find(known) {
                fact.state = state;
                fact.reason = reason;
            }
        });
    }

    pub(super) fn warn(&self, warning: &str) {
        self.update(|facts| {
            if !facts.warnings.iter().any(|known| known == warning) {
                facts.warnings.push(warning.to_owned());
            }
        });
    }

    /// Waits for the next change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    #[must_use]
    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    pub(super) async fn stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as `self`, so this ends only when the cell stops.
        let _ = stopping.wait_for(|&stopping| stopping).await;
    }
}

/// A number of its own for each role, the same at every start, so that files keep their owners.
/// Derived instead of stored, so that nothing can be lost.
#[must_use]
pub(super) fn uid_of(cell: Id, name: &str) -> u32 {
    /// Above what distributions and container tools hand out (subordinate ids end below it).
    const FIRST: u32 = 0x4000_0000;
    const COUNT: u32 = 0x3000_0000;
    let digest = crypto::mac::sha256(format!("sealane uid {cell} {name}").as_bytes());
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    FIRST + number % COUNT
}

/// Delays between restarts of what keeps failing: doubling, and forgotten after a quiet minute.
pub(super) struct Backoff {
    next: Duration,
    min: Duration,
    max: Duration,
    last: Option<tokio::time::Instant>,
}

impl Backoff {
    const QUIET: Duration = Duration::from_secs(60);

    #[must_use]
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { next: min, min, max, last: None }
    }

    /// How long to wait before the restart that is due now.
    pub(super) fn delay(&mut self) -> Duration {
        let now = tokio::time::Instant::now();
        if self.last.is_some_and(|last| now - last > Self::QUIET) {
            self.next = self.min;
        }
        let delay = self.next;
        self.last = Some(now + delay);
        self.next = (self.next * 2).min(self.max);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn back_off_doubles_up_to_its_bound_and_forgets() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);
        let delays: Vec<_> = (0..4).map(|_| backoff.delay().as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5]);
        tokio::time::advance(2 * Backoff::QUIET).await;
        assert_eq!(backoff.delay(), second);
    }
}
