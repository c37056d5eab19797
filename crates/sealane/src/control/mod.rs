//! What the control plane knows and decides, over the KMS: tenants and keys, the certificate
//! authority, what proxies and volumes are told, and what operators ask.
//!
//! It has no socket: [`crate::roles::control`] serves it to a running cell, and the command line
//! uses it directly where no cell runs.

mod admin;
mod authority;
mod caller;
mod dual_control;
mod erasure;
mod report;
mod status;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use keys::WrongState;
use keys::authorize::Principal;
use keys::dual_control::Quorum;
use mesh::TrustDomain;
use mesh::verify::TrustBundle;
use serde::{Deserialize, Serialize};

pub use admin::answer_audit;
pub use caller::{Caller, Launched, Peer};
pub use report::{Report, SignedReport, VerifyReportError, verify_report};

use crate::cell_dir::CellDir;
use crate::config;
use crate::ipc::messages::{
    CellFacts, CellNames, Certificate, ConnectionFact, Event, HostFacts, Refusal, Reply, Request,
    Role, VolumeFact,
};
use crate::kms::{Kms, KmsError, TrailReader};
use crate::plan::Plan;
use crate::roles::dataplane::facts::LINES_MAX;
use crate::store::{Reader, StoreError, Table};
use authority::CellAuthority;

/// The plan of the last run, so that `policy explain` answers while no cell runs.
const PLANS: Table<Plan> = Table::new("plan");
const PLAN_NAME: &str = "last";

/// The control plane of one cell.
pub struct Control {
    kms: Kms,
    authority: CellAuthority,
    plan: Option<Plan>,
    host: HostFacts,
    /// Facts about the cell's keys that weaken a promise; they do not change while it runs.
    key_warnings: Vec<String>,
    dir: CellDir,
    /// Those who opened the cell by their shares for one command agree to that.
    opened_by: Option<Quorum>,
    launched: Launched,
    cell: CellFacts,
    /// By who reported them: a proxy that ends takes its open connections with it.
    connections: BTreeMap<Role, Vec<ConnectionFact>>,
    volumes: BTreeMap<(String, String), VolumeFact>,
    certificates: BTreeMap<String, IssuedFact>,
    /// Where operators are reading the audit trail.
    trail_reader: Option<TrailReader>,
    /// What begins once the cell knows its names.
    once_configured: Option<OnceConfigured>,
    watchers: Vec<(Caller, tokio::sync::mpsc::UnboundedSender<Event>)>,
}

/// Runs once, with the control plane as it then is.
pub type OnceConfigured = Box<dyn FnOnce(&mut Control) -> Result<(), Refusal> + Send>;

/// A certificate that was issued to what runs now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssuedFact {
    pub identity: String,
    pub serial: String,
    pub not_before: u64,
    pub not_after: u64,
}

impl Control {
    /// # Errors
    /// [`Refusal`] if the store cannot be read or the authority cannot be set up.
    pub fn open(kms: Kms, dir: &CellDir, key_warnings: Vec<String>) -> Result<Self, Refusal> {
        let plan = kms
            .store()
            .snapshot()
            .and_then(|snapshot| snapshot.get(&PLANS, PLAN_NAME))
            .map_err(|error| refused_by_store(&error))?;
        let authority = CellAuthority::open(&kms)?;
        Ok(Self {
            kms,
            authority,
            plan: plan.map(|plan| plan.value),
            host: HostFacts::default(),
            key_warnings,
            dir: dir.clone(),
            opened_by: None,
            launched: Launched::default(),
            cell: CellFacts::default(),
            connections: BTreeMap::new(),
            volumes: BTreeMap::new(),
            certificates: BTreeMap::new(),
            trail_reader: None,
            once_configured: None,
            watchers: Vec::new(),
        })
    }

    /// For a command that opens the cell itself: who agrees to what it asks.
    #[must_use]
    pub fn opened_by(self, quorum: Option<Quorum>) -> Self {
        Self { opened_by: quorum, ..self }
    }

    pub fn once_configured(&mut self, begin: OnceConfigured) {
        self.once_configured = Some(begin);
    }

    /// Tells whoever waits for it which volumes' keys can be used now.
    ///
    /// # Errors
    /// [`Refusal`] if the store cannot be read.
    pub fn tell_keys(&mut self) -> Result<(), Refusal> {
        if self.watchers.is_empty() {
            return Ok(());
        }
        let event = self.keys_event()?;
        self.tell(&event);
        Ok(())
    }

    #[must_use]
    pub fn kms(&self) -> &Kms {
        &self.kms
    }

    /// What about the cell's keys weakens a promise.
    #[must_use]
    pub fn key_warnings(&self) -> &[String] {
        &self.key_warnings
    }

    /// Whose SVIDs are trusted.
    ///
    /// # Errors
    /// [`Refusal`] if the cell's own root cannot be read.
    pub fn trust_bundle(&self) -> Result<TrustBundle, Refusal> {
        let domain = self.kms.cell().trust_domain.as_deref().unwrap_or("cell.invalid");
        let domain = TrustDomain::parse(domain).map_err(|error| failed(&error))?;
        let roots = std::slice::from_ref(self.authority.bundle());
        TrustBundle::new(domain, roots).map_err(|error| failed(&error))
    }

    #[must_use]
    pub fn caller(&self, peer: Peer, supervisor: i32, owner: u32) -> Caller {
        self.launched.caller(peer, supervisor, owner)
    }

    /// Sends every later event that concerns `caller` to `watcher`, and the present state as the
    /// first.
    pub fn watch(&mut self, caller: Caller, watcher: tokio::sync::mpsc::UnboundedSender<Event>) {
        if let Ok(event) = self.keys_event()
            && let Some(event) = event_for(&caller, &event)
        {
            let _ = watcher.send(event);
        }
        self.watchers.push((caller, watcher));
    }

    /// Answers one request.
    pub fn handle(&mut self, caller: &Caller, request: Request) -> Reply {
        let answer = match (caller, request) {
            (Caller::Stranger, _) => Err(not_yours(
                "this user is no operator of the cell; ask as the user who runs `sealane up`",
            )),
            // Without root all children are of the operator's user, so that one which is faster
            // than the supervisor's word about it looks like an operator. It has to wait.
            (Caller::Operator, Request::Hello) => Err(not_yours("no child of the cell asks this")),
            (_, Request::Hello) => Ok(Reply::Done),
            (Caller::Child(role), request) => self.handle_child(&role.clone(), request),
            (Caller::Supervisor, request) => self.handle_supervisor(request),
            (Caller::Operator, Request::Admin(request)) => self.handle_operator(request),
            (Caller::Operator, _) => Err(not_yours("operators ask what the command line asks")),
        };
        answer.unwrap_or_else(Reply::Refused)
    }

    fn handle_child(&mut self, role: &Role, request: Request) -> Result<Reply, Refusal> {
        match (role, request) {
            (Role::Volume { tenant, volume }, Request::OpenVolume) => {
                self.open_volume(tenant, volume)
            }
            (Role::Volume { tenant, volume }, Request::AdvanceAnchor { anchor }) => {
                self.advance_anchor(tenant, volume, anchor)
            }
            (Role::Volume { tenant, volume }, Request::ReportVolume(fact)) => {
                self.volumes.insert((tenant.clone(), volume.clone()), fact);
                Ok(Reply::Done)
            }
            (Role::Proxy { .. } | Role::Ingress | Role::Egress, Request::MeshConfig) => {
                self.mesh_config(role)
            }
            (
                Role::Proxy { .. } | Role::Ingress | Role::Egress,
                Request::IssueSvid { public_key },
            ) => self.issue_svid(role, public_key),
            (Role::Ingress, Request::IssueServing { public_key }) => self.issue_serving(public_key),
            (
                Role::Proxy { .. } | Role::Ingress | Role::Egress,
                Request::ReportConnections(facts),
            ) => {
                let identity = self.identity_of(role).unwrap_or_default();
                self.connections.insert(role.clone(), own_connections(facts, &identity)?);
                Ok(Reply::Done)
            }
            (Role::Proxy { tenant, service }, Request::LogKey) => {
                // Whatever is written from an erasure on would have to be removed once more.
                self.kms.tenant_in_force(tenant)?;
                let stream = log_stream(tenant, service);
                let key = self.kms.create_log(&stream);
                Ok(Reply::LogKey(log_key(key, stream)))
            }
            (role, _) => Err(not_yours(&format!("{role} does not ask for this"))),
        }
    }

    fn handle_supervisor(&mut self, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::Configure { plan, host, names } => {
                return self.configure(*plan, host, &names);
            }
            Request::Launched { pid, role } => self.launched.insert(pid, role),
            Request::Exited { pid } => {
                if let Some(role) = self.launched.remove(pid) {
                    self.forget(&role);
                }
            }
            Request::PrepareVolume { tenant, volume } => {
                return self.prepare_volume(&tenant, &volume);
            }
            Request::VolumeFormatted { tenant, volume, file_system } => {
                let id = self.kms.tenant(&tenant)?.id;
                self.kms.record_format(id, &volume, &file_system)?;
            }
            Request::ErasedAmong { tenants } => {
                return admin::json(&self.kms.erased_among(&tenants)?);
            }
            Request::ReportCell(facts) => self.cell = facts,
            Request::Admin(request) => return self.handle_admin(request, None),
            _ => return Err(not_yours("the supervisor does not ask for this")),
        }
        Ok(Reply::Done)
    }

    /// A process has ended: what it held or had open is over.
    fn forget(&mut self, role: &Role) {
        if let Some(facts) = self.connections.get_mut(role) {
            facts.iter_mut().for_each(|fact| fact.open = 0);
        }
        if let Some(identity) = self.identity_of(role) {
            self.certificates.remove(&identity);
        }
    }

    fn configure(
        &mut self,
        plan: Plan,
        host: HostFacts,
        names: &CellNames,
    ) -> Result<Reply, Refusal> {
        if let Some(cell) = &self.kms.cell().trust_domain
            && *cell != plan.trust_domain
        {
            let (cell, file) = (cell.clone(), plan.trust_domain);
            return Err(Refusal::OtherTrustDomain { cell, file });
        }
        self.kms.settle(names, &plan.trust_domain)?;
        plan.policy().map_err(|error| failed(&error))?;
        for tenant in &plan.tenants {
            if let Err(KmsError::UnknownTenant(_)) = self.kms.tenant(tenant) {
                self.kms.create_tenant(&Principal::Admin, tenant)?;
            }
        }
        self.kms
            .store()
            .transact(|transaction| transaction.put(&PLANS, PLAN_NAME, &plan))
            .map_err(|error: StoreError| refused_by_store(&error))?;
        let tenants = plan.tenants.clone();
        self.plan = Some(plan);
        self.host = host;
        if let Some(begin) = self.once_configured.take() {
            begin(self)?;
        }
        let mut lines = self.other_names(names);
        lines.extend(self.erased_in_plan(&tenants)?);
        Ok(Reply::Json(lines.into()))
    }

    /// Where the cell file says otherwise than the cell: what a cell is made with stays.
    fn other_names(&self, names: &CellNames) -> Vec<String> {
        let cell = self.kms.cell();
        let compared = [
            ("name", &names.name, &cell.name, ""),
            ("account", &names.account, &cell.account, config::ACCOUNT_DEFAULT),
            ("region", &names.region, &cell.region, config::REGION_DEFAULT),
        ];
        let other = |(what, file, cell, default): (&str, &String, &Option<String>, &str)| {
            let cell = cell.as_ref().filter(|cell| *cell != file && file != default)?;
            Some(format!(
                "the cell in DIR has the {what} {cell}, which stays; the cell file says {file}"
            ))
        };
        compared.into_iter().filter_map(other).collect()
    }

    /// Who runs and may call whom, as of the last cell file.
    ///
    /// # Errors
    /// [`Refusal`] if there was none yet.
    pub fn plan(&self) -> Result<&Plan, Refusal> {
        self.plan.as_ref().ok_or_else(|| Refusal::Failed {
            message: "no cell file was ever used with this cell".into(),
            help: Some("`sealane up CELL.toml` uses one".into()),
        })
    }

    fn tell(&mut self, event: &Event) {
        self.watchers.retain(|(caller, watcher)| match event_for(caller, event) {
            Some(event) => watcher.send(event).is_ok(),
            None => !watcher.is_closed(),
        });
    }

    /// The volumes of the cell file whose key cannot be used: no others are to come or go.
    fn keys_event(&self) -> Result<Event, Refusal> {
        let mut disabled_volumes = Vec::new();
        for instance in self.plan.iter().flat_map(|plan| &plan.instances) {
            let Some(volume) = &instance.volume else { continue };
            let tenant = match self.kms.tenant(&instance.tenant) {
                Ok(tenant) => tenant,
                Err(KmsError::UnknownTenant(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let usable = match self.kms.volume(tenant.id, &volume.name) {
                Ok(record) => self.kms.is_volume_usable(&record)?,
                Err(KmsError::UnknownVolume(_)) => self.kms.is_usable(tenant.key)?,
                Err(error) => return Err(error.into()),
            };
            if !usable {
                disabled_volumes.push((instance.tenant.clone(), volume.name.clone()));
            }
        }
        Ok(Event::KeysChanged { disabled_volumes })
    }
}

/// What of an event `caller` hears: a child learns nothing of other tenants, not even their names.
fn event_for(caller: &Caller, event: &Event) -> Option<Event> {
    match (caller, event) {
        (Caller::Supervisor, event) => Some(event.clone()),
        (Caller::Child(Role::Volume { tenant, volume }), event) => match event {
            Event::CheckVolume { tenant: of, volume: checked } => {
                (of == tenant && checked == volume).then(|| event.clone())
            }
            Event::KeysChanged { .. } | Event::TenantErased { .. } | Event::Stop => None,
        },
        (Caller::Child(_) | Caller::Operator | Caller::Stranger, _) => None,
    }
}

/// A process is believed about its own connections only, and about no more than it can have.
fn own_connections(
    facts: Vec<ConnectionFact>,
    identity: &str,
) -> Result<Vec<ConnectionFact>, Refusal> {
    let own = |fact: &ConnectionFact| fact.from == identity || fact.to == identity;
    if facts.len() > LINES_MAX || !facts.iter().all(own) {
        return Err(not_yours("a process reports its own connections"));
    }
    Ok(facts)
}

/// What a service's log is bound to.
#[must_use]
pub fn log_stream(tenant: &str, service: &str) -> String {
    format!("{tenant}/{service}")
}

fn log_key(key: keys::service_log::LogKey, stream: String) -> crate::ipc::messages::LogKey {
    let header = key.header.to_vec();
    let key = crate::ipc::SecretBytes::new(&key.key.release_to_caller()[..]);
    crate::ipc::messages::LogKey { header, key, stream }
}

fn certificate_reply(issued: &mesh::ca::Issued) -> Reply {
    Reply::Certificate(Certificate {
        chain: issued.chain.iter().map(|certificate| certificate.der().to_vec()).collect(),
        serial: issued.serial.to_string(),
        not_after: issued.not_after.0,
    })
}

fn not_yours(asked: &str) -> Refusal {
    Refusal::NotYours { asked: asked.to_owned() }
}

/// What an operator reads of an error that has no kind of its own here.
fn failed(error: &dyn std::error::Error) -> Refusal {
    Refusal::Failed { message: error.to_string(), help: None }
}

fn refused_by_store(error: &StoreError) -> Refusal {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string());
    Refusal::Failed { message: error.to_string(), help }
}

impl From<KmsError> for Refusal {
    fn from(error: KmsError) -> Self {
        let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
        match error {
            KmsError::Refused(keys::authorize::Refused::State(WrongState::Disabled { key }))
            | KmsError::State(WrongState::Disabled { key }) => {
                Self::KeyDisabled { key: key.to_string() }
            }
            KmsError::Erased(what) => Self::Erased { what },
            error => Self::Failed { message: error.to_string(), help },
        }
    }
}

/// What answers on the cell's own socket: the control plane, or whoever holds it.
pub trait Answers: Send {
    /// As whom a peer is heard.
    fn caller(&self, peer: Peer, supervisor: i32, owner: u32) -> Caller;
    /// Answers one request.
    fn handle(&mut self, caller: &Caller, request: Request) -> Reply;
    /// Sends every later event that concerns `caller` to `watcher`.
    fn watch(&mut self, caller: Caller, watcher: tokio::sync::mpsc::UnboundedSender<Event>);
}

impl Answers for Control {
    fn caller(&self, peer: Peer, supervisor: i32, owner: u32) -> Caller {
        Self::caller(self, peer, supervisor, owner)
    }

    fn handle(&mut self, caller: &Caller, request: Request) -> Reply {
        Self::handle(self, caller, request)
    }

    fn watch(&mut self, caller: Caller, watcher: tokio::sync::mpsc::UnboundedSender<Event>) {
        Self::watch(self, caller, watcher);
    }
}

/// Shared by the connections of one process.
pub type Shared = Arc<std::sync::Mutex<dyn Answers>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_hear_only_what_concerns_them() {
        let volume = |tenant: &str, volume: &str| {
            Caller::Child(Role::Volume { tenant: tenant.into(), volume: volume.into() })
        };
        let proxy = Role::Proxy { tenant: "acme".into(), service: "web".into() };
        let keys = Event::KeysChanged { disabled_volumes: vec![("globex".into(), "redis".into())] };
        let check = Event::CheckVolume { tenant: "acme".into(), volume: "data".into() };
        let erased = Event::TenantErased { tenant: "acme".into() };
        let cases = [
            (Caller::Supervisor, [true, true, true, true]),
            (volume("acme", "data"), [false, true, false, false]),
            (volume("acme", "other"), [false, false, false, false]),
            (volume("globex", "data"), [false, false, false, false]),
            (Caller::Child(proxy), [false, false, false, false]),
            (Caller::Operator, [false, false, false, false]),
            (Caller::Stranger, [false, false, false, false]),
        ];
        for (caller, expected) in cases {
            let heard =
                [&keys, &check, &erased, &Event::Stop].map(|event| event_for(&caller, event));
            assert_eq!(heard.map(|event| event.is_some()), expected, "{caller:?}");
        }
    }
}
