//! Who may call whom: an allow list by identity, denied by default.
//!
//! Both ends ask the same policy: the caller's proxy, so that a refusal is said where the user
//! looks, and the accepting proxy, which alone is relied upon. A permit, [`MayConnect`], comes only
//! from an allowed [`Decision`].

mod explain;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::{Gateway, RESERVED_TENANT, SpiffeId, TrustDomain};

pub use explain::{ExplainError, Explanation};

/// Services, routes, outside names, and entries of one `may_call`, each. A policy is sent whole to
/// every proxy.
pub const ENTRIES_MAX: usize = 10_000;

/// A name and a port, as `may_call` and `egress.allow` spell them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Callee {
    pub name: String,
    pub port: u16,
}

/// What a connection is to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Service {
        id: SpiffeId,
        port: u16,
    },
    /// A host outside of the cell, by way of the egress.
    Outside {
        host: String,
        port: u16,
    },
    /// What the cell itself serves to its services, beside the tunnels.
    Cell {
        name: String,
        port: u16,
    },
}

/// One service as run for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub tenant: String,
    pub name: String,
    pub ports: Vec<u16>,
    pub may_call: Vec<Callee>,
}

/// What the ingress hands to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub host: String,
    pub tenant: String,
    pub to: Callee,
}

/// The policy of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    domain: TrustDomain,
    services: BTreeMap<SpiffeId, Rules>,
    routes: Vec<(Route, SpiffeId)>,
    outside: Vec<Callee>,
    /// What the cell itself serves.
    #[serde(default)]
    of_cell: Vec<Callee>,
    /// Outside names that services beyond those above name in their `may_call`.
    #[serde(default)]
    narrowed: Vec<Callee>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rules {
    ports: Vec<u16>,
    may_call: Vec<Callee>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allowed(MayConnect),
    Denied(Denial),
}

/// The right to open one connection. Only [`Policy::decide`] gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MayConnect {
    source: SpiffeId,
    target: Target,
    rule: Rule,
}

/// The rule that allows a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    MayCall { service: String, callee: Callee },
    Route { host: String },
    OutsideForAll { callee: Callee },
}

/// Why a connection is not allowed, and what would allow it.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Denial {
    #[error("{0} is no service of this cell")]
    SourceUnknown(SpiffeId),
    #[error("{0} is no service of this cell")]
    TargetUnknown(SpiffeId),
    #[error("{service} does not listen on port {port}; its `port` says {declared}")]
    PortUndeclared { service: String, port: u16, declared: String },
    #[error(
        "{source_tenant} and {target_tenant} are different tenants, and no rule crosses tenants"
    )]
    OtherTenant { source_tenant: String, target_tenant: String },
    #[error("`may_call` of {service} does not name {callee}")]
    NotInMayCall { service: String, callee: Callee },
    #[error("no `ingress.route` leads to {tenant}/{callee}")]
    NoRoute { tenant: String, callee: Callee },
    #[error("`egress.allow` does not list {0}")]
    OutsideNotListed(Callee),
    #[error("the cell's own {name} does not listen on port {port}")]
    CellPort { name: String, port: u16 },
    #[error("no gateway calls what the cell serves to its services")]
    GatewayCallsCell,
    #[error("the egress calls nothing inside the cell")]
    EgressCallsNobody,
    #[error("the ingress calls nothing outside of the cell")]
    IngressCallsInside,
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum PolicyError {
    #[error("`{0}` cannot be part of an identity: {1}")]
    Name(String, crate::identity::ParseIdentityError),
    #[error("the tenant name `{RESERVED_TENANT}` is reserved for the cell's gateways")]
    TenantReserved,
    #[error("{tenant}/{service} is declared twice")]
    ServiceTwice { tenant: String, service: String },
    #[error(
        "`may_call` of {service} names {callee}, which is neither a service of {tenant} with that \
             port nor listed in `egress.allow` nor the cell's own"
    )]
    CalleeUnknown { tenant: String, service: String, callee: Callee },
    #[error("the route for {host} leads to {tenant}/{to}, which is no service with that port")]
    RouteToNowhere { host: String, tenant: String, to: Callee },
    #[error("more than {ENTRIES_MAX} entries in one list of the policy")]
    TooManyEntries,
}

impl Policy {
    /// Checks that every rule leads somewhere: a rule that matches nothing is a typing error that
    /// would show only as a refused connection.
    ///
    /// # Errors
    /// [`PolicyError`] names the entry to change.
    pub fn new(
        domain: TrustDomain,
        services: Vec<Service>,
        routes: Vec<Route>,
        outside: Vec<Callee>,
        of_cell: Vec<Callee>,
    ) -> Result<Self, PolicyError> {
        let longest =
            services.iter().map(|service| service.may_call.len().max(service.ports.len()));
        let longest = longest.chain([services.len(), routes.len(), outside.len()]).max();
        if longest > Some(ENTRIES_MAX) {
            return Err(PolicyError::TooManyEntries);
        }
        let mut policy = Self {
            domain,
            services: BTreeMap::new(),
            routes: Vec::new(),
            outside,
            of_cell,
            narrowed: Vec::new(),
        };
        for service in services {
            if service.tenant == RESERVED_TENANT {
                return Err(PolicyError::TenantReserved);
            }
            let id =
                SpiffeId::new(&policy.domain, &service.tenant, &service.name).map_err(|e| {
                    PolicyError::Name(format!("{}/{}", service.tenant, service.name), e)
                })?;
            let rules = Rules { ports: service.ports, may_call: service.may_call };
            if policy.services.insert(id, rules).is_some() {
                let (tenant, service) = (service.tenant, service.name);
                return Err(PolicyError::ServiceTwice { tenant, service });
            }
        }
        for (id, rules) in &policy.services {
            for callee in &rules.may_call {
                if !policy.leads_somewhere(id, callee) {
                    return Err(PolicyError::CalleeUnknown {
                        tenant: id.tenant().to_owned(),
                        service: id.service().to_owned(),
                        callee: callee.clone(),
                    });
                }
            }
        }
        for route in routes {
            let id = SpiffeId::new(&policy.domain, &route.tenant, &route.to.name).ok();
            let known = |id: &SpiffeId| {
                policy.services.get(id).is_some_and(|rules| rules.ports.contains(&route.to.port))
            };
            let Some(id) = id.filter(known) else {
                let Route { host, tenant, to } = route;
                return Err(PolicyError::RouteToNowhere { host, tenant, to });
            };
            policy.routes.push((route, id));
        }
        Ok(policy)
    }

    /// The same, for whoever knows only some of the cell's services: what the others name in their
    /// `may_call` is not open to all.
    #[must_use]
    pub fn narrowed_to_others(self, callees: Vec<Callee>) -> Self {
        Self { narrowed: callees, ..self }
    }

    /// What `name` and `port` mean to `source`: the peer of its own tenant, else what the cell itself
    /// serves, else a host outside.
    #[must_use]
    pub fn resolve(&self, source: &SpiffeId, name: &str, port: u16) -> Target {
        let of_cell = self.of_cell.iter().any(|callee| callee.name == name);
        match SpiffeId::new(&self.domain, source.tenant(), name) {
            Ok(id) if self.services.contains_key(&id) => Target::Service { id, port },
            _ if of_cell => Target::Cell { name: name.to_owned(), port },
            _ => Target::Outside { host: name.to_owned(), port },
        }
    }

    /// Whether `source`, whose identity was verified, may connect to `target`.
    #[must_use]
    pub fn decide(&self, source: &SpiffeId, target: &Target) -> Decision {
        let rule = match target {
            Target::Service { id, port } => self.rule_inside(source, id, *port),
            Target::Outside { host, port } => {
                self.rule_outside(source, Callee { name: host.clone(), port: *port })
            }
            Target::Cell { name, port } => {
                self.rule_of_cell(source, Callee { name: name.clone(), port: *port })
            }
        };
        match rule {
            Ok(rule) => {
                let (source, target) = (source.clone(), target.clone());
                Decision::Allowed(MayConnect { source, target, rule })
            }
            Err(denial) => Decision::Denied(denial),
        }
    }

    /// The names and ports that `source` may call, for the addresses its DNS gives out.
    #[must_use]
    pub fn callees(&self, source: &SpiffeId) -> Vec<Callee> {
        let Some(rules) = self.services.get(source) else {
            return Vec::new();
        };
        let mut callees = rules.may_call.clone();
        callees.extend(self.outside.iter().filter(|callee| self.open_to_all(callee)).cloned());
        callees.sort();
        callees.dedup();
        callees
    }

    fn rule_inside(&self, source: &SpiffeId, id: &SpiffeId, port: u16) -> Result<Rule, Denial> {
        if *source == SpiffeId::gateway(&self.domain, Gateway::Egress) {
            return Err(Denial::EgressCallsNobody);
        }
        let from_ingress = *source == SpiffeId::gateway(&self.domain, Gateway::Ingress);
        let caller = self.services.get(source);
        if !from_ingress && caller.is_none() {
            return Err(Denial::SourceUnknown(source.clone()));
        }
        if !from_ingress && source.tenant() != id.tenant() {
            // Before anything about the target: another tenant does not learn what exists here.
            return Err(Denial::OtherTenant {
                source_tenant: source.tenant().to_owned(),
                target_tenant: id.tenant().to_owned(),
            });
        }
        let target = self.services.get(id).ok_or_else(|| Denial::TargetUnknown(id.clone()))?;
        if !target.ports.contains(&port) {
            let declared: Vec<_> = target.ports.iter().map(u16::to_string).collect();
            return Err(Denial::PortUndeclared {
                service: id.service().to_owned(),
                port,
                declared: declared.join(", "),
            });
        }
        let callee = Callee { name: id.service().to_owned(), port };
        let Some(caller) = caller else {
            let route = self.routes.iter().find(|(route, to)| to == id && route.to.port == port);
            let tenant = id.tenant().to_owned();
            return route
                .map(|(route, _)| Rule::Route { host: route.host.clone() })
                .ok_or(Denial::NoRoute { tenant, callee });
        };
        let service = source.service().to_owned();
        if caller.may_call.contains(&callee) {
            Ok(Rule::MayCall { service, callee })
        } else {
            Err(Denial::NotInMayCall { service, callee })
        }
    }

    fn rule_outside(&self, source: &SpiffeId, callee: Callee) -> Result<Rule, Denial> {
        if *source == SpiffeId::gateway(&self.domain, Gateway::Ingress) {
            return Err(Denial::IngressCallsInside);
        }
        let rules =
            self.services.get(source).ok_or_else(|| Denial::SourceUnknown(source.clone()))?;
        if !self.outside.contains(&callee) {
            return Err(Denial::OutsideNotListed(callee));
        }
        let service = source.service().to_owned();
        if rules.may_call.contains(&callee) {
            return Ok(Rule::MayCall { service, callee });
        }
        // A listed name is open to every service of the cell until some service names it: then
        // whoever wants it has to.
        if self.open_to_all(&callee) {
            return Ok(Rule::OutsideForAll { callee });
        }
        Err(Denial::NotInMayCall { service, callee })
    }

    /// Never open to all: whoever wants it names it.
    fn rule_of_cell(&self, source: &SpiffeId, callee: Callee) -> Result<Rule, Denial> {
        if source.tenant() == RESERVED_TENANT {
            return Err(Denial::GatewayCallsCell);
        }
        let rules =
            self.services.get(source).ok_or_else(|| Denial::SourceUnknown(source.clone()))?;
        if !self.of_cell.contains(&callee) {
            return Err(Denial::CellPort { name: callee.name, port: callee.port });
        }
        let service = source.service().to_owned();
        if rules.may_call.contains(&callee) {
            Ok(Rule::MayCall { service, callee })
        } else {
            Err(Denial::NotInMayCall { service, callee })
        }
    }

    fn open_to_all(&self, callee: &Callee) -> bool {
        let named = self.services.values().any(|rules| rules.may_call.contains(callee));
        !named && !self.narrowed.contains(callee)
    }

    fn leads_somewhere(&self, source: &SpiffeId, callee: &Callee) -> bool {
        match self.resolve(source, &callee.name, callee.port) {
            Target::Service { id, port } => self.services[&id].ports.contains(&port),
            Target::Outside { .. } => self.outside.contains(callee),
            Target::Cell { .. } => self.of_cell.contains(callee),
        }
    }
}

impl MayConnect {
    #[must_use]
    pub fn source(&self) -> &SpiffeId {
        &self.source
    }

    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The rule that allows it, in words, for the log and the report.
    #[must_use]
    pub fn rule(&self) -> String {
        match &self.rule {
            Rule::MayCall { service, callee } => format!("`may_call` of {service} names {callee}"),
            Rule::Route { host } => format!("`ingress.route` of {host} leads there"),
            Rule::OutsideForAll { callee } => {
                format!("`egress.allow` lists {callee}, and no `may_call` narrows it")
            }
        }
    }
}

impl fmt::Display for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { id, port } => write!(f, "{id} port {port}"),
            Self::Outside { host, port } => write!(f, "{host}:{port} outside of the cell"),
            Self::Cell { name, port } => write!(f, "{name}:{port} of the cell itself"),
        }
    }
}

#[cfg(test)]
mod tests;
