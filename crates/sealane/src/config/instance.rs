//! What is to run: the instances of a cell, in start order, each with its command.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use super::{Cell, Service, Target};

/// `TENANT/SERVICE`: unique in the cell, and usable as a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InstanceId {
    pub tenant: String,
    pub service: String,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.service)
    }
}

/// A service on behalf of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: InstanceId,
    pub service: Arc<Service>,
}

/// Where an instance and its peers really are. Inside a namespace that is what the cell file
/// says, so `Placement::default()` leaves everything as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Declared port to the port that the instance listens on.
    pub ports: BTreeMap<u16, u16>,
    /// Where its volume is mounted, if not at [`super::VolumeSpec::at`].
    pub volume: Option<PathBuf>,
    /// Where each target is dialled, if not by its name.
    pub peers: BTreeMap<Target, SocketAddr>,
}

/// A command line with every placeholder filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Never empty.
    pub run: Vec<String>,
    /// What the cell file adds to the environment; whoever launches adds `PATH` and the like.
    pub env: BTreeMap<String, String>,
    pub cwd: PathBuf,
}

impl Instance {
    #[must_use]
    pub fn command(&self, placement: &Placement) -> Command {
        let service = &*self.service;
        let declared = service.volume.as_ref().map(|volume| volume.at.as_path());
        let volume = placement.volume.as_deref().or(declared);
        let fill = |template: &super::Template| template.fill(&placement.ports, volume);

        let mut env = BTreeMap::new();
        for (target, variable) in service.may_call.iter().zip(peer_variables(&service.may_call)) {
            let address = placement
                .peers
                .get(target)
                .map_or_else(|| target.to_string(), SocketAddr::to_string);
            if matches!(target, Target::Kms { .. }) {
                // Where AWS's own SDKs and CLI look.
                env.insert("AWS_ENDPOINT_URL_KMS".to_owned(), format!("http://{address}"));
            }
            env.insert(format!("{variable}_URL"), format!("http://{address}"));
            env.insert(format!("{variable}_ADDR"), address);
        }
        // What the file says stands above what is derived from it.
        env.extend(service.env.iter().map(|(name, value)| (name.clone(), fill(value))));
        Command { run: service.run.iter().map(fill).collect(), env, cwd: service.cwd.clone() }
    }
}

/// For each target the beginning of its variables' names: `CATALOG` for `catalog:8080`. A further
/// port of the same name is told as `CATALOG_9090`.
pub(super) fn peer_variables(may_call: &[Target]) -> Vec<String> {
    let name = |(i, target): (usize, &Target)| {
        let plain = target.host().to_ascii_uppercase().replace(['-', '.'], "_");
        let further = may_call[..i].iter().any(|earlier| earlier.host() == target.host());
        if further { format!("{plain}_{}", target.port()) } else { plain }
    };
    may_call.iter().enumerate().map(name).collect()
}

impl Cell {
    /// Every instance, callees before their callers. Services that do not call each other start
    /// in the order of the file, those with a volume first, because attaching one takes longest;
    /// a cycle is cut at the service that this order reaches first.
    #[must_use]
    pub fn instances(&self) -> Vec<Instance> {
        let mut roots: Vec<_> = self.services.iter().collect();
        roots.sort_by_key(|service| service.volume.is_none());
        let mut ordered = Vec::new();
        let mut seen = BTreeSet::new();
        for service in roots {
            self.visit(service, &mut seen, &mut ordered);
        }
        ordered
            .into_iter()
            .flat_map(|service| {
                service.tenants.iter().map(|tenant| Instance {
                    id: InstanceId { tenant: tenant.clone(), service: service.name.clone() },
                    service: Arc::clone(service),
                })
            })
            .collect()
    }

    /// Depth first, with a stack of its own: a long chain of calls must not overflow ours.
    fn visit<'c>(
        &'c self,
        service: &'c Arc<Service>,
        seen: &mut BTreeSet<&'c str>,
        ordered: &mut Vec<&'c Arc<Service>>,
    ) {
        if !seen.insert(&service.name) {
            return;
        }
        let mut stack = vec![(service, 0)];
        while let Some((service, next)) = stack.pop() {
            let Some(target) = service.may_call.get(next) else {
                ordered.push(service);
                continue;
            };
            stack.push((service, next + 1));
            if let Target::Service { service: callee, .. } = target
                && let Some(callee) = self.service(callee)
                && seen.insert(&callee.name)
            {
                stack.push((callee, 0));
            }
        }
    }
}
