use std::fmt;

use super::{Decision, Policy, Target};
use crate::identity::{Gateway, ParseIdentityError, SpiffeId};

/// What `sealane policy explain FROM TO:PORT` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub source: SpiffeId,
    pub target: Target,
    pub decision: Decision,
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ExplainError {
    #[error("no service is called `{0}`")]
    Unknown(String),
    #[error("`{name}` is run for several tenants: say one of {candidates}")]
    Ambiguous { name: String, candidates: String },
    #[error("`{0}` is not an identity: {1}")]
    Identity(String, ParseIdentityError),
    #[error("`{0}` is not NAME:PORT")]
    Callee(String),
}

impl Policy {
    /// Explains a call. `from` is `SERVICE` where that is unique, `TENANT/SERVICE`, `ingress`,
    /// `egress` or a SPIFFE ID; `to` is what `from` would dial, or `TENANT/SERVICE:PORT`.
    ///
    /// # Errors
    /// [`ExplainError`] if the question cannot be understood; a denied call is an explanation.
    pub fn explain(&self, from: &str, to: &str) -> Result<Explanation, ExplainError> {
        let source = self.named(from)?;
        let not_a_callee = || ExplainError::Callee(to.to_owned());
        let (name, port) = to.rsplit_once(':').ok_or_else(not_a_callee)?;
        let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(not_a_callee)?;
        let target = if name.contains('/') {
            Target::Service { id: self.named(name)?, port }
        } else if source.tenant() == crate::identity::RESERVED_TENANT {
            // A gateway has no tenant of its own to resolve a plain name in.
            Target::Service { id: self.unique(name)?, port }
        } else {
            self.resolve(&source, name, port)
        };
        let decision = self.decide(&source, &target);
        Ok(Explanation { source, target, decision })
    }

    fn named(&self, name: &str) -> Result<SpiffeId, ExplainError> {
        let parsed = |result: Result<SpiffeId, _>| {
            result.map_err(|error| ExplainError::Identity(name.to_owned(), error))
        };
        if name.contains("://") {
            return parsed(SpiffeId::parse(name));
        }
        if let Some((tenant, service)) = name.split_once('/') {
            return parsed(SpiffeId::new(&self.domain, tenant, service));
        }
        self.unique(name)
    }

    fn unique(&self, name: &str) -> Result<SpiffeId, ExplainError> {
        let mut bearers: Vec<_> =
            self.services.keys().filter(|id| id.service() == name).cloned().collect();
        match name {
            "ingress" => bearers.push(SpiffeId::gateway(&self.domain, Gateway::Ingress)),
            "egress" => bearers.push(SpiffeId::gateway(&self.domain, Gateway::Egress)),
            _ => {}
        }
        match bearers.as_slice() {
            [] => Err(ExplainError::Unknown(name.to_owned())),
            [only] => Ok(only.clone()),
            several => {
                let names = several.iter().map(|id| format!("{}/{name}", id.tenant()));
                let candidates = names.collect::<Vec<_>>().join(", ");
                Err(ExplainError::Ambiguous { name: name.to_owned(), candidates })
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} to {}", self.source, self.target)?;
        match &self.decision {
            Decision::Allowed(permit) => write!(f, "allowed: {}", permit.rule()),
            Decision::Denied(denial) => write!(f, "denied: {denial}"),
        }
    }
}
