//! What every proxy and gateway does: hold an SVID, open tunnels, accept tunnels, count.
//!
//! [`Mesh`] is what a process knows; [`connect`] opens tunnels, [`accept`] takes them, [`stream`] is
//! a tunnel as a stream of bytes. What is at the other side of a tunnel differs by role: see
//! [`crate::roles::proxy`], [`crate::roles::ingress`] and [`crate::roles::egress`].

pub mod accept;
pub mod connect;
pub mod dns;
pub mod facts;
pub mod pump;
pub mod stream;
pub mod svid;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use mesh::policy::{Decision, MayConnect, Policy, Target};
use mesh::tunnel::TunnelConfig;
use mesh::verify::TrustBundle;
use mesh::{Certificate, SpiffeId, TrustDomain, UnixSeconds};

use crate::ipc::messages::{MeshConfig, Reply, Request};
use crate::ipc::{CONTROL_SOCKET, CallError, Client};
use crate::plan::Plan;
use connect::Pool;
use facts::Facts;

/// What a process of the data plane knows. Shared by its tasks, which all run on one thread.
pub struct Mesh {
    pub identity: SpiffeId,
    pub plan: Plan,
    pub policy: Policy,
    pub tunnels: TunnelConfig,
    pub facts: Facts,
    pool: Pool,
}

/// How long control may take to answer a process that starts: it may be starting itself.
const CONTROL_PATIENCE: Duration = Duration::from_secs(20);

impl Mesh {
    /// Asks control for all that is needed, and keeps the SVID fresh from then on.
    ///
    /// # Errors
    /// If control does not answer, or answers what cannot be used.
    pub async fn join() -> anyhow::Result<Rc<Self>> {
        let reply = ask(&Request::MeshConfig).await.context("asking control for the mesh")?;
        let Reply::Mesh(config) = reply else { anyhow::bail!("control answered {reply:?}") };
        let MeshConfig { identity, bundle, plan } = *config;
        let domain = TrustDomain::parse(&plan.trust_domain)?;
        let roots: Result<Vec<_>, _> = bundle.into_iter().map(Certificate::from_der).collect();
        let bundle = TrustBundle::new(domain, &roots?)?;
        let first = svid::obtain().await.context("asking control for an SVID")?;
        let mesh = Rc::new(Self {
            identity: SpiffeId::parse(&identity)?,
            policy: plan.policy()?,
            tunnels: TunnelConfig::new(first.svid, bundle),
            facts: Facts::default(),
            pool: Pool::default(),
            plan,
        });
        tokio::task::spawn_local(svid::keep_fresh(Rc::clone(&mesh), first.renew_after));
        tokio::task::spawn_local(facts::report(mesh.facts.clone()));
        Ok(mesh)
    }

    /// Whether this process may connect to `target`, or why not.
    ///
    /// # Errors
    /// The denial, as a user should read it.
    pub fn may_connect(&self, target: &Target) -> Result<MayConnect, String> {
        match self.policy.decide(&self.identity, target) {
            Decision::Allowed(permit) => Ok(permit),
            Decision::Denied(denial) => Err(denial.to_string()),
        }
    }
}

thread_local! {
    /// The one connection to control; taken while a request is under way.
    static CONTROL: RefCell<Option<Client>> = const { RefCell::new(None) };
}

/// Asks control, reconnecting once where the connection has died.
///
/// # Errors
/// What control answers, or that it cannot be reached.
pub async fn ask(request: &Request) -> Result<Reply, CallError> {
    let kept = CONTROL.with(RefCell::take);
    if let Some(mut client) = kept {
        match client.call(request).await {
            Err(CallError::Frame(_)) => {}
            answer => {
                CONTROL.with(|slot| slot.replace(Some(client)));
                return answer;
            }
        }
    }
    let mut client = Client::connect_as_child(Path::new(CONTROL_SOCKET), CONTROL_PATIENCE).await?;
    let answer = client.call(request).await;
    if !matches!(answer, Err(CallError::Frame(_))) {
        CONTROL.with(|slot| slot.replace(Some(client)));
    }
    answer
}

/// The time, as certificates know it.
#[must_use]
pub fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(since.as_secs())
}

#[cfg(test)]
mod tests;
