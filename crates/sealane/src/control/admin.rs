//! What operators ask.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crypto::Id;
use keys::authorize::Principal;
use keys::dual_control::Quorum;
use keys::service_log::HEADER_LEN;
use keys::{CredentialRecord, KeyRecord, NewKey, Owner};
use serde::Serialize;

use super::{Control, failed, log_key, log_stream};
use crate::audit_trail::TrailError;
use crate::cli::model::{
    CredentialInfo, DomainInfo, Explanation, KeyInfo, SvidInfo, TenantInfo, VolumeInfo,
};
use crate::ipc::SecretBytes;
use crate::ipc::messages::{
    AdminRequest, AuditFacts, CredentialGrant, Event, KEYS_PAGE_MAX, KeyPage, Refusal, Reply,
    SealFacts,
};
use crate::kms::{KmsError, TrailReader};
use crate::service_logs;
use crate::store::PageStart;
use crate::time_text;

/// How long an operator waits for what lies under an old domain key to be moved: what is left then,
/// a cell that runs moves by itself.
const MOVING_MAX: Duration = Duration::from_secs(2);
/// Keys of which one is to be named are shown if there are no more than this.
const KEYS_NAMED_MAX: usize = 10;

impl Control {
    pub(super) fn handle_admin(
        &mut self,
        request: AdminRequest,
        quorum: Option<&Quorum>,
    ) -> Result<Reply, Refusal> {
        match request {
            AdminRequest::Status => json(&self.status()?),
            AdminRequest::Report => json(&self.report()?),
            AdminRequest::TenantCreate { name } => {
                let tenant = self.kms.create_tenant(&Principal::Admin, &name)?;
                let (id, key) = (tenant.id.to_string(), Some(tenant.key.to_string()));
                json(&TenantInfo { name: tenant.name, id, key, erased: None })
            }
            AdminRequest::TenantList => json(&self.tenant_infos()?),
            AdminRequest::TenantErase { .. }
            | AdminRequest::UserErase { .. }
            | AdminRequest::Erasures
            | AdminRequest::UserList { .. } => self.handle_erasure(request, quorum),
            AdminRequest::KeyList { tenant, user, start, limit } => {
                json(&self.key_page(tenant, user, start, limit)?)
            }
            AdminRequest::KeyCreate { tenant, user } => {
                let owner = Owner::Tenant(self.kms.tenant(&tenant)?.id);
                let description = match &user {
                    None => format!("further key of tenant {tenant}"),
                    Some(user) => format!("user {tenant}/{user}"),
                };
                let new = NewKey::of(owner, keys::KeySpec::SymmetricDefault, description);
                let new = NewKey { user, ..new };
                let key = self.kms.create_key(&Principal::Admin, new)?;
                json(&self.key_info(&key)?)
            }
            AdminRequest::KeyDisable { key } => {
                let key = self.kms.disable_key(&Principal::Admin, self.find_key(&key)?)?;
                self.tell_keys()?;
                json(&self.key_info(&key)?)
            }
            AdminRequest::KeyEnable { key } => {
                let key = self.kms.enable_key(&Principal::Admin, self.find_key(&key)?)?;
                self.tell_keys()?;
                json(&self.key_info(&key)?)
            }
            AdminRequest::KeyRotate { key } => {
                let key = self.kms.rotate_key(&Principal::Admin, self.find_key(&key)?)?;
                json(&self.key_info(&key)?)
            }
            AdminRequest::DomainRotate => {
                self.kms.rotate_domain(&Principal::Admin)?;
                let deadline = Instant::now() + MOVING_MAX;
                let enough = || Instant::now() >= deadline;
                let logs = || service_logs::domains(&self.dir);
                let moved = self.kms.move_under_domain(&logs, enough)?;
                json(&DomainInfo {
                    domain: self.kms.store().ring().current().to_string(),
                    moved: moved.records,
                    all: moved.all,
                })
            }
            AdminRequest::CredentialCreate { name, tenant } => {
                let (admin, tenant) = (&Principal::Admin, tenant.as_deref());
                let (record, secret) = self.kms.create_credential(admin, &name, tenant, quorum)?;
                Ok(Reply::Credential(CredentialGrant {
                    access_key_id: record.access_key_id.as_str().to_owned(),
                    secret: SecretBytes::new(secret.release_to_caller().as_bytes()),
                    session: None,
                }))
            }
            AdminRequest::CredentialSession { name, tenant, seconds } => {
                let (admin, tenant) = (&Principal::Admin, tenant.as_deref());
                let made = self.kms.create_session(admin, &name, tenant, seconds, quorum)?;
                Ok(Reply::Credential(CredentialGrant {
                    access_key_id: made.access_key_id,
                    secret: SecretBytes::new(made.secret.release_to_caller().as_bytes()),
                    session: Some((made.token, made.expires.0)),
                }))
            }
            AdminRequest::CredentialList => json(&self.credential_infos(self.kms.credentials()?)?),
            AdminRequest::CredentialRevoke { name, tenant } => {
                let (admin, tenant) = (&Principal::Admin, tenant.as_deref());
                let revoked = self.kms.revoke_credential(admin, &name, tenant)?;
                json(&self.credential_infos(revoked)?)
            }
            AdminRequest::VolumeList => json(&self.volume_infos()?),
            AdminRequest::VolumeCheck { tenant, volume } => {
                let before = self.volumes.get(&(tenant.clone(), volume.clone()));
                let before = before.and_then(|fact| fact.last_check.clone());
                self.tell(&Event::CheckVolume { tenant, volume });
                json(&before)
            }
            AdminRequest::LastCheck { tenant, volume } => {
                let fact = self.volumes.get(&(tenant, volume));
                json(&fact.and_then(|fact| fact.last_check.clone()))
            }
            AdminRequest::SvidList => {
                let info = |fact: &super::IssuedFact| SvidInfo {
                    identity: fact.identity.clone(),
                    serial: fact.serial.clone(),
                    not_before: time_text::rfc3339(fact.not_before),
                    not_after: time_text::rfc3339(fact.not_after),
                };
                json(&self.certificates.values().map(info).collect::<Vec<_>>())
            }
            AdminRequest::PolicyExplain { from, to } => self.explain(&from, &to),
            AdminRequest::CaBundle => json(&pem("CERTIFICATE", self.authority.bundle().der())),
            AdminRequest::ReportKey => json(&self.report_key_pem()?),
            AdminRequest::AuditFacts
            | AdminRequest::AuditEnd
            | AdminRequest::AuditFind { .. }
            | AdminRequest::AuditRead { .. } => {
                let kms = &self.kms;
                answer_audit(self.trail_reader.get_or_insert_with(|| kms.trail_reader()), request)
            }
            AdminRequest::LogKey { tenant, service, header } => {
                let stream = log_stream(&tenant, &service);
                let header: [u8; HEADER_LEN] = header.try_into().map_err(|_| Refusal::Failed {
                    message: format!("this is no log file of {stream}"),
                    help: None,
                })?;
                let key = self.kms.open_log(&stream, &header)?;
                Ok(Reply::LogKey(log_key(key, stream)))
            }
            AdminRequest::DualControl
            | AdminRequest::DualControlSwitch { .. }
            | AdminRequest::Agreed { .. } => self.handle_dual_control(&request, quorum),
            AdminRequest::SealState => json(&SealFacts { locked: false, given: 0, needed: 0 }),
            AdminRequest::SealUnlock { .. } => {
                json(&SealFacts { locked: false, given: 0, needed: 0 })
            }
            AdminRequest::SealLock => Err(Refusal::Failed {
                message: "a cell with services is not locked while they run".into(),
                help: Some(
                    "`sealane key disable` stops a tenant's, `sealane down` all of it".into(),
                ),
            }),
            AdminRequest::Down => {
                self.tell(&Event::Stop);
                Ok(Reply::Done)
            }
        }
    }

    fn key_page(
        &self,
        tenant: Option<String>,
        user: Option<String>,
        start: Option<String>,
        limit: u32,
    ) -> Result<KeyPage, Refusal> {
        let tenant = tenant.map(|name| self.kms.tenant(&name)).transpose()?;
        let owner = tenant.map(|tenant| Owner::Tenant(tenant.id));
        let start = start.map(|text| {
            PageStart::from_text(&text).ok_or_else(|| Refusal::Failed {
                message: "no list of keys goes on from there".into(),
                help: None,
            })
        });
        let limit = limit.clamp(1, KEYS_PAGE_MAX) as usize;
        let page = self.kms.keys_page(owner, start.transpose()?.as_ref(), limit)?;
        let asked = |key: &&KeyRecord| user.is_none() || key.user == user;
        let infos = page.keys.iter().filter(asked).map(|key| self.key_info(key));
        let keys = infos.collect::<Result<_, _>>()?;
        Ok(KeyPage { keys, next: page.next.map(|next| next.to_text()) })
    }

    /// A key by its id, its ARN, or the name of a tenant that has one key.
    fn find_key(&self, wanted: &str) -> Result<Id, Refusal> {
        let id = wanted.rsplit_once(":key/").map_or(wanted, |(_, id)| id);
        let unknown = |what: String| Refusal::NotFound {
            what,
            help: "`sealane key list` shows the keys of the cell".into(),
        };
        if let Ok(id) = id.parse::<Id>() {
            return match self.kms.describe_key(id) {
                Ok(key) => Ok(key.id),
                Err(KmsError::UnknownKey(_)) => Err(unknown(format!("there is no key {wanted}"))),
                Err(error) => Err(error.into()),
            };
        }
        let (name, user) = match wanted.split_once('/') {
            Some((tenant, user)) => (tenant, Some(user)),
            None => (wanted, None),
        };
        let tenant = match self.kms.tenant(name) {
            Ok(tenant) => tenant,
            Err(KmsError::UnknownTenant(_)) => {
                return Err(unknown(format!("there is no key and no tenant {name}")));
            }
            Err(error) => return Err(error.into()),
        };
        let mut ids = Vec::new();
        self.kms.each_key(Some(Owner::Tenant(tenant.id)), |key| {
            if key.user.as_deref() == user {
                ids.push(key.id);
            }
            if ids.len() > KEYS_NAMED_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        match ids.as_slice() {
            [key] => Ok(*key),
            [] => Err(unknown(format!("{wanted} has no key"))),
            several if several.len() > KEYS_NAMED_MAX => Err(Refusal::NotFound {
                what: format!("{wanted} has more than {KEYS_NAMED_MAX} keys"),
                help: format!("name one by its id: `sealane key list --tenant {name}` shows them"),
            }),
            several => {
                let ids: Vec<_> = several.iter().map(Id::to_string).collect();
                Err(Refusal::NotFound {
                    what: format!("{wanted} has {} keys", several.len()),
                    help: format!("name one of: {}", ids.join(", ")),
                })
            }
        }
    }

    /// The name of a tenant by its id, for people.
    pub(super) fn tenant_name(&self, id: Option<Id>) -> Result<Option<String>, Refusal> {
        Ok(id.map(|id| self.kms.tenant_name(id)).transpose()?.map(|name| name.to_string()))
    }

    fn credential_infos(
        &self,
        records: Vec<CredentialRecord>,
    ) -> Result<Vec<CredentialInfo>, Refusal> {
        let info = |record: CredentialRecord| {
            Ok(CredentialInfo {
                access_key_id: record.access_key_id.as_str().to_owned(),
                tenant: self.tenant_name(record.tenant)?,
                name: record.name,
                created: time_text::rfc3339(record.created.0),
                revoked: record.revoked.map(|at| time_text::rfc3339(at.0)),
            })
        };
        records.into_iter().map(info).collect()
    }

    fn key_info(&self, key: &KeyRecord) -> Result<KeyInfo, Refusal> {
        Ok(KeyInfo {
            id: key.id.to_string(),
            arn: self.kms.arn(key.id).to_string(),
            tenant: self.tenant_name(key.tenant())?,
            user: key.user.clone(),
            state: super::status::key_state(key),
            usage: key.description.clone(),
            rotations: (key.materials().len() as u64).saturating_sub(1),
        })
    }

    pub(super) fn volume_infos(&self) -> Result<Vec<VolumeInfo>, Refusal> {
        let mut infos = Vec::new();
        for record in self.kms.volumes()? {
            let tenant = self.tenant_name(Some(record.tenant))?.unwrap_or_default();
            let fact = self.volumes.get(&(tenant.clone(), record.name.clone()));
            let checked = fact.and_then(|fact| fact.last_check.as_ref());
            infos.push(VolumeInfo {
                state: self.volume_state(&tenant, &record)?,
                tenant,
                id: record.id.to_string(),
                key: record.key.to_string(),
                epoch: record.epoch,
                size_bytes: record.size_bytes,
                bytes_sealed: fact.map_or(0, |fact| fact.bytes_sealed),
                last_check: checked.map(|check| time_text::rfc3339(check.at)),
                name: record.name,
            });
        }
        Ok(infos)
    }

    fn explain(&self, from: &str, to: &str) -> Result<Reply, Refusal> {
        let policy = self.plan()?.policy().map_err(|error| failed(&error))?;
        let explained = policy.explain(from, to).map_err(|error| failed(&error))?;
        let (allowed, reason, rule) = match &explained.decision {
            mesh::policy::Decision::Allowed(permit) => {
                let rule = permit.rule();
                (true, format!("allowed: {rule}"), Some(rule))
            }
            mesh::policy::Decision::Denied(denial) => (false, format!("denied: {denial}"), None),
        };
        json(&Explanation {
            from: explained.source.to_string(),
            to: explained.target.to_string(),
            allowed,
            reason,
            rule,
        })
    }
}

/// What is asked of the audit trail, by whoever may ask it.
///
/// # Errors
/// [`Refusal`] if it cannot be read.
pub fn answer_audit(reader: &mut TrailReader, request: AdminRequest) -> Result<Reply, Refusal> {
    let of_trail = |error: TrailError| failed(&error);
    match request {
        AdminRequest::AuditFacts => {
            let facts = reader.facts()?;
            let key_pem = facts.key.map(|key| pem("PUBLIC KEY", &key.0));
            json(&AuditFacts { cell: facts.cell, key_pem, stored: facts.stored })
        }
        AdminRequest::AuditEnd => json(&reader.end().map_err(of_trail)?),
        AdminRequest::AuditFind { unix_millis } => {
            json(&reader.find(unix_millis).map_err(of_trail)?)
        }
        AdminRequest::AuditRead { from, limit } => json(&reader.read(from, limit as usize)),
        _ => Err(super::not_yours("this asks nothing of the audit trail")),
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Reply, Refusal> {
    serde_json::to_value(value).map(Reply::Json).map_err(|error| failed(&error))
}

/// RFC 7468: 64 letters a line.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
