//! What a cell file amounts to: who runs, under which identity, and who may call whom.
//!
//! The cell file speaks of services; everything that runs speaks of instances, one for each tenant.
//! The plan is the one place where the first becomes the second. It holds no secret and is stored,
//! so that `policy explain` answers while no cell runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use mesh::policy::{Callee, Policy, PolicyError};
use mesh::{SpiffeId, TrustDomain};

use crate::config::{self, EgressRoots};

/// The namespace of identities that belong to the cell itself, not to a tenant.
pub const CELL_NAMESPACE: &str = "sealane";
pub const INGRESS: &str = "ingress";
pub const EGRESS: &str = "egress";
/// By what name services reach the cell's KMS, which its certificate bears for their proxies.
pub const KMS: &str = "kms";

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot read the egress's roots in {}: {source}", file.display())]
#[diagnostic(help("[egress] roots names PEM files, relative to the cell file"))]
pub struct RootsUnreadable {
    file: PathBuf,
    source: std::io::Error,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The name of the cell.
    pub cell: String,
    pub trust_domain: String,
    pub svid_seconds: u64,
    pub isolation: bool,
    pub tenants: Vec<String>,
    pub instances: Vec<Instance>,
    pub routes: Vec<Route>,
    pub egress: Option<Egress>,
    /// Where proxies reach the KMS, if the cell serves it.
    #[serde(default)]
    pub kms: Option<SocketAddr>,
    /// Where each proxy and gateway listens for tunnels, by `namespace/name`.
    pub tunnels: BTreeMap<String, SocketAddr>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Instance {
    pub tenant: String,
    pub service: String,
    pub ports: Vec<u16>,
    /// Peers of the same tenant and names outside alike.
    pub may_call: Vec<Callee>,
    pub volume: Option<Volume>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    pub bytes: u64,
    /// The user of the tenant whose it is.
    #[serde(default)]
    pub user: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    pub host: String,
    pub tenant: String,
    pub service: String,
    pub port: u16,
}

/// A name that a service can look up, and the virtual address that stands for it in its namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    pub name: String,
    pub address: Ipv4Addr,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Egress {
    /// Names outside the cell.
    pub allow: Vec<Callee>,
    /// Those of them that some `may_call` of another tenant names, where this is one tenant's part.
    #[serde(default)]
    pub narrowed: Vec<Callee>,
    /// PEM of the roots that third parties must chain to; empty means the system's.
    pub roots_pem: Vec<String>,
    /// `host:port` → address, for names that no DNS knows.
    pub resolve: BTreeMap<String, String>,
}

impl Plan {
    /// # Errors
    /// If a file with the egress's roots cannot be read.
    pub fn of(
        cell: &config::Cell,
        tunnels: BTreeMap<String, SocketAddr>,
    ) -> Result<Self, RootsUnreadable> {
        let instances = cell.instances().into_iter().map(|instance| Instance {
            tenant: instance.id.tenant,
            service: instance.id.service,
            ports: instance.service.ports.clone(),
            may_call: instance
                .service
                .may_call
                .iter()
                .map(|target| Callee { name: target.host().to_owned(), port: target.port() })
                .collect(),
            volume: instance.service.volume.as_ref().map(|volume| Volume {
                name: volume.name.clone(),
                bytes: volume.size_bytes,
                user: volume.user.clone(),
            }),
        });
        let routes = cell.ingress.iter().flat_map(|ingress| &ingress.routes).map(|route| Route {
            host: route.host.clone(),
            tenant: route.tenant.clone(),
            service: route.service.clone(),
            port: route.port,
        });
        let egress = if cell.egress.allow.is_empty() { None } else { Some(egress(cell)?) };
        Ok(Self {
            cell: cell.name.clone(),
            trust_domain: cell.trust_domain.clone(),
            svid_seconds: cell.svid_ttl.as_secs(),
            isolation: cell.isolation == config::Isolation::Namespaces,
            tenants: cell.tenants.clone(),
            instances: instances.collect(),
            routes: routes.collect(),
            egress,
            kms: cell.kms.as_ref().map(|kms| dialled(kms.listen)),
            tunnels,
        })
    }

    #[must_use]
    pub fn identity(&self, namespace: &str, service: &str) -> String {
        format!("spiffe://{}/ns/{namespace}/sa/{service}", self.trust_domain)
    }

    #[must_use]
    pub fn instance(&self, tenant: &str, service: &str) -> Option<&Instance> {
        self.instances.iter().find(|i| i.tenant == tenant && i.service == service)
    }

    /// Who may call whom.
    ///
    /// # Errors
    /// [`PolicyError`] if a rule leads nowhere; a checked cell file has none of that kind.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        let domain = TrustDomain::parse(&self.trust_domain)
            .map_err(|error| PolicyError::Name(self.trust_domain.clone(), error))?;
        let services = self.instances.iter().map(|instance| mesh::policy::Service {
            tenant: instance.tenant.clone(),
            name: instance.service.clone(),
            ports: instance.ports.clone(),
            may_call: instance.may_call.clone(),
        });
        let routes = self.routes.iter().map(|route| mesh::policy::Route {
            host: route.host.clone(),
            tenant: route.tenant.clone(),
            to: Callee { name: route.service.clone(), port: route.port },
        });
        let outside = self.egress.iter().flat_map(|egress| egress.allow.clone());
        let narrowed = self.egress.iter().flat_map(|egress| egress.narrowed.clone());
        let of_cell = self.kms.map(|kms| Callee { name: KMS.to_owned(), port: kms.port() });
        let policy = Policy::new(
            domain,
            services.collect(),
            routes.collect(),
            outside.collect(),
            of_cell.into_iter().collect(),
        )?;
        Ok(policy.narrowed_to_others(narrowed.collect()))
    }

    /// The part of the plan that concerns one tenant's services: what their proxies are told.
    #[must_use]
    pub fn of_tenant(&self, tenant: &str) -> Self {
        let own = |name: &str| {
            name.split_once('/').is_some_and(|(n, _)| n == tenant || n == CELL_NAMESPACE)
        };
        let narrows = |name: &Callee| {
            let others = self.instances.iter().filter(|i| i.tenant != tenant);
            others.flat_map(|other| &other.may_call).any(|callee| callee == name)
        };
        Self {
            tenants: vec![tenant.to_owned()],
            instances: self.instances.iter().filter(|i| i.tenant == tenant).cloned().collect(),
            routes: self.routes.iter().filter(|r| r.tenant == tenant).cloned().collect(),
            egress: self.egress.as_ref().map(|egress| Egress {
                allow: egress.allow.clone(),
                narrowed: egress.allow.iter().filter(|name| narrows(name)).cloned().collect(),
                ..Egress::default()
            }),
            tunnels: self
                .tunnels
                .iter()
                .filter(|(n, _)| own(n))
                .map(|(n, a)| (n.clone(), *a))
                .collect(),
            ..self.clone()
        }
    }

    /// Every name that a service of `tenant` can look up: all services of the tenant, also those it
    /// may not call (so that the refusal comes from the mesh, with a reason), every name that the
    /// egress allows, and the cell's KMS.
    #[must_use]
    pub fn names_of(&self, tenant: &str) -> Vec<Name> {
        let peers = self.instances.iter().filter(|instance| instance.tenant == tenant);
        let mut names: Vec<String> = peers.map(|peer| peer.service.clone()).collect();
        for callee in self.egress.iter().flat_map(|egress| &egress.allow) {
            if !names.contains(&callee.name) {
                names.push(callee.name.clone());
            }
        }
        names.extend(self.kms.map(|_| KMS.to_owned()));
        let name = |(index, name)| Name { name, address: mesh_address(index) };
        (1..).zip(names).map(name).collect()
    }

    /// Where the proxy of `identity` listens for tunnels.
    #[must_use]
    pub fn tunnel(&self, identity: &SpiffeId) -> Option<SocketAddr> {
        self.tunnels.get(&format!("{}/{}", identity.tenant(), identity.service())).copied()
    }
}

/// Where somebody on this machine reaches what listens there.
fn dialled(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

/// The egress's settings, with the roots themselves: its process reads no files.
fn egress(cell: &config::Cell) -> Result<Egress, RootsUnreadable> {
    let files: &[PathBuf] = match &cell.egress.roots {
        EgressRoots::System => &[],
        EgressRoots::Files(files) => files,
    };
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file)
            .map_err(|source| RootsUnreadable { file: file.clone(), source })
    };
    let callee = |name: &config::EgressName| Callee { name: name.host.clone(), port: name.port };
    Ok(Egress {
        narrowed: Vec::new(),
        allow: cell.egress.allow.iter().map(callee).collect(),
        roots_pem: files.iter().map(read).collect::<Result<_, _>>()?,
        resolve: cell
            .egress
            .resolve
            .iter()
            .map(|(name, address)| (name.to_string(), address.to_string()))
            .collect(),
    })
}

/// The virtual address of the `index`th name: 100.64.1.0 and up, inside the shared address space of
/// RFC 6598, which no real peer of a service can have.
fn mesh_address(index: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 1, 0)) + u32::from(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callee(name: &str, port: u16) -> Callee {
        Callee { name: name.into(), port }
    }

    fn plan() -> Plan {
        let instance = |tenant: &str, service: &str, port, may_call: &[Callee]| Instance {
            tenant: tenant.into(),
            service: service.into(),
            ports: vec![port],
            may_call: may_call.to_vec(),
            volume: None,
        };
        Plan {
            trust_domain: "shop.example".into(),
            tenants: vec!["acme".into(), "globex".into()],
            instances: vec![
                instance(
                    "acme",
                    "web",
                    80,
                    &[callee("db", 1), callee("pay.example", 443), callee(KMS, 7600)],
                ),
                instance("acme", "db", 1, &[]),
                instance("globex", "db", 1, &[callee("theirs.example", 443)]),
            ],
            egress: Some(Egress {
                allow: vec![
                    callee("pay.example", 443),
                    callee("open.example", 443),
                    callee("theirs.example", 443),
                ],
                ..Egress::default()
            }),
            kms: Some(([127, 0, 0, 1], 7600).into()),
            tunnels: ["acme/web", "acme/db", "globex/db", "sealane/egress"]
                .map(|name| (name.to_owned(), ([127, 0, 0, 1], 9).into()))
                .into(),
            ..Plan::default()
        }
    }

    #[test]
    fn a_tenants_part_holds_nothing_of_another_and_decides_alike() {
        let part = plan().of_tenant("acme");
        assert!(!serde_json::to_string(&part).unwrap().contains("globex"));
        let explain = |plan: &Plan, to: &str| {
            plan.policy().unwrap().explain("acme/web", to).unwrap().to_string()
        };
        for to in [
            "db:1",
            "db:2",
            "pay.example:443",
            "pay.example:80",
            "open.example:443",
            "theirs.example:443",
            "globex/db:1",
            "kms:7600",
            "kms:7601",
        ] {
            assert_eq!(explain(&part, to), explain(&plan(), to), "{to}");
        }
        let open = explain(&part, "open.example:443");
        assert!(open.contains("no `may_call` narrows it"), "{open}");
        let theirs = explain(&part, "theirs.example:443");
        assert!(theirs.contains("`may_call` of web does not name"), "{theirs}");
    }

    #[test]
    fn every_name_has_an_address_of_its_own() {
        let names = plan().names_of("acme");
        let found: Vec<_> = names.iter().map(|n| (n.name.as_str(), n.address)).collect();
        let address = |last| Ipv4Addr::new(100, 64, 1, last);
        let expected = [
            ("web", address(1)),
            ("db", address(2)),
            ("pay.example", address(3)),
            ("open.example", address(4)),
            ("theirs.example", address(5)),
            ("kms", address(6)),
        ];
        assert_eq!(found, expected);
    }
}
