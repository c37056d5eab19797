//! The certificate authority and the report's signing key: asymmetric KMS keys of the cell itself.

use std::time::Duration;

use crypto::{Id, PublicKey, Signer, SystemEntropy};
use keys::authorize::Principal;
use keys::{KeySpec, NewKey, Owner};
use mesh::ca::{self, Authority};
use mesh::{Certificate, SpiffeId, TrustDomain, UnixSeconds};
use serde::{Deserialize, Serialize};

use super::{Control, IssuedFact, certificate_reply, failed, refused_by_store};
use crate::ipc::messages::{MeshConfig, Refusal, Reply, Role};
use crate::kms::Kms;
use crate::plan::{CELL_NAMESPACE, EGRESS, INGRESS, KMS};
use crate::store::{Reader, Table};

const AUTHORITIES: Table<AuthorityRecord> = Table::new("authority");
const AUTHORITY_NAME: &str = "cell";

/// The root is replaced by a new one beside it long before this.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const ISSUING_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Renewed when less than this is left of it: no SVID may outlive its issuer.
const ISSUING_REST_MIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Of the ingress's certificate, which it renews at half life.
const SERVING_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Serialize, Deserialize)]
struct AuthorityRecord {
    root_key: Id,
    root: Certificate,
    issuing_key: Id,
    issuing: Certificate,
    report_key: Id,
}

pub(super) struct CellAuthority {
    record: AuthorityRecord,
}

impl CellAuthority {
    /// Reads the authority, or makes it where there is none yet.
    pub(super) fn open(kms: &Kms) -> Result<Self, Refusal> {
        let found = kms
            .store()
            .snapshot()
            .and_then(|snapshot| snapshot.get(&AUTHORITIES, AUTHORITY_NAME))
            .map_err(|error| refused_by_store(&error))?;
        let record = match found {
            Some(found) => found.value,
            None => create(kms)?,
        };
        let mut authority = Self { record };
        authority.renew_issuing(kms)?;
        Ok(authority)
    }

    /// The issuing certificate is replaced well before it could outlive what it issues.
    fn renew_issuing(&mut self, kms: &Kms) -> Result<(), Refusal> {
        let expires = self.record.issuing.not_after().map_err(|error| failed(&error))?;
        if expires.minus(ISSUING_REST_MIN) > now() {
            return Ok(());
        }
        let root_signer = kms.signer(Principal::Cell, self.record.root_key)?;
        let issuing = kms.signer(Principal::Cell, self.record.issuing_key)?.public_key();
        self.record.issuing = certify(&self.record.root, &root_signer, &issuing)?;
        store(kms, &self.record)
    }

    pub(super) fn bundle(&self) -> &Certificate {
        &self.record.root
    }

    pub(super) fn report_key(&self) -> Id {
        self.record.report_key
    }
}

fn create(kms: &Kms) -> Result<AuthorityRecord, Refusal> {
    let key = |description: &str| {
        let new = NewKey::of(Owner::Cell, KeySpec::ECC_NIST_P256, description);
        kms.create_key(&Principal::Admin, new).map(|key| key.id)
    };
    let (root_key, issuing_key) =
        (key("certificate authority: root")?, key("certificate authority: issuing")?);
    let report_key = key("report")?;
    let root_signer = kms.signer(Principal::Cell, root_key)?;
    let entropy = &mut SystemEntropy::new();
    let root = ca::self_sign_root(&root_signer, now(), ROOT_LIFETIME, entropy)
        .map_err(|error| failed(&error))?;
    let issuing = kms.signer(Principal::Cell, issuing_key)?.public_key();
    let issuing = certify(&root, &root_signer, &issuing)?;
    let record = AuthorityRecord { root_key, root, issuing_key, issuing, report_key };
    store(kms, &record)?;
    Ok(record)
}

fn certify(
    root: &Certificate,
    signer: &dyn Signer,
    key: &PublicKey,
) -> Result<Certificate, Refusal> {
    let entropy = &mut SystemEntropy::new();
    ca::certify_issuing_key(root, signer, key, now(), ISSUING_LIFETIME, entropy)
        .map_err(|error| failed(&error))
}

fn store(kms: &Kms, record: &AuthorityRecord) -> Result<(), Refusal> {
    kms.store()
        .transact(|transaction| transaction.put(&AUTHORITIES, AUTHORITY_NAME, record))
        .map_err(|error| refused_by_store(&error))
}

pub(super) fn now() -> UnixSeconds {
    UnixSeconds(crate::kms::now().0)
}

impl Control {
    /// The SPIFFE ID of what runs as `role`, if it has one.
    pub(super) fn identity_of(&self, role: &Role) -> Option<String> {
        let plan = self.plan.as_ref()?;
        match role {
            Role::Proxy { tenant, service } => Some(plan.identity(tenant, service)),
            Role::Ingress => Some(plan.identity(CELL_NAMESPACE, INGRESS)),
            Role::Egress => Some(plan.identity(CELL_NAMESPACE, EGRESS)),
            Role::Control | Role::Volume { .. } => None,
        }
    }

    pub(super) fn mesh_config(&self, role: &Role) -> Result<Reply, Refusal> {
        let plan = self.plan()?;
        let identity = self.identity_of(role).unwrap_or_default();
        let plan = match role {
            Role::Proxy { tenant, .. } => plan.of_tenant(tenant),
            _ => plan.clone(),
        };
        let bundle = vec![self.authority.bundle().der().to_vec()];
        Ok(Reply::Mesh(Box::new(MeshConfig { identity, bundle, plan })))
    }

    pub(super) fn issue_svid(&mut self, role: &Role, key: Vec<u8>) -> Result<Reply, Refusal> {
        let identity = self.identity_of(role).unwrap_or_default();
        let subject = SpiffeId::parse(&identity).map_err(|error| failed(&error))?;
        let lifetime = Duration::from_secs(self.plan()?.svid_seconds);
        self.issue(identity, |authority| {
            let entropy = &mut SystemEntropy::new();
            authority.issue_svid(&subject, &PublicKey(key), now(), lifetime, entropy)
        })
    }

    pub(super) fn issue_serving(&mut self, key: Vec<u8>) -> Result<Reply, Refusal> {
        let plan = self.plan()?;
        let hosts: Vec<_> = plan.routes.iter().map(|route| route.host.clone()).collect();
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        // Under a name of its own: it stands for the hosts, not for a workload.
        let name = format!("https://{}", hosts.join(","));
        self.issue(name, |authority| {
            let entropy = &mut SystemEntropy::new();
            authority.issue_server_certificate(
                &hosts,
                &PublicKey(key),
                now(),
                SERVING_LIFETIME,
                entropy,
            )
        })
    }

    /// A certificate for the names under which the cell serves its KMS, and until when it is good.
    ///
    /// # Errors
    /// [`Refusal`] if the authority cannot issue it.
    pub fn issue_for_kms(
        &mut self,
        hosts: &[String],
        key: PublicKey,
    ) -> Result<(Vec<Certificate>, UnixSeconds), Refusal> {
        self.authority.renew_issuing(&self.kms)?;
        let record = &self.authority.record;
        let signer = self.kms.signer(Principal::Cell, record.issuing_key)?;
        let domain =
            TrustDomain::parse(&self.plan()?.trust_domain).map_err(|error| failed(&error))?;
        let authority = Authority::new(domain, record.issuing.clone(), &signer)
            .map_err(|error| failed(&error))?;
        // By this name the services' proxies know it, whatever it is called outside.
        let others = hosts.iter().map(String::as_str).filter(|host| *host != KMS);
        let hosts: Vec<&str> = others.chain([KMS]).collect();
        let entropy = &mut SystemEntropy::new();
        let issued = authority
            .issue_server_certificate(&hosts, &key, now(), SERVING_LIFETIME, entropy)
            .map_err(|error| failed(&error))?;
        Ok((issued.chain, issued.not_after))
    }

    fn issue(
        &mut self,
        identity: String,
        issue: impl FnOnce(&Authority<'_>) -> Result<ca::Issued, ca::IssueError>,
    ) -> Result<Reply, Refusal> {
        self.authority.renew_issuing(&self.kms)?;
        let record = &self.authority.record;
        let signer = self.kms.signer(Principal::Cell, record.issuing_key)?;
        let domain =
            TrustDomain::parse(&self.plan()?.trust_domain).map_err(|error| failed(&error))?;
        let authority = Authority::new(domain, record.issuing.clone(), &signer)
            .map_err(|error| failed(&error))?;
        let issued = issue(&authority).map_err(|error| failed(&error))?;
        let fact = IssuedFact {
            identity: identity.clone(),
            serial: issued.serial.to_string(),
            not_before: now().minus(ca::BACKDATE).0,
            not_after: issued.not_after.0,
        };
        self.certificates.insert(identity, fact);
        Ok(certificate_reply(&issued))
    }
}
