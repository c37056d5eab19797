//! What operators ask about tenants and users that are, or are to be, erased.

use crypto::Id;
use keys::authorize::Principal;
use keys::dual_control::Quorum;

use super::admin::json;
use super::{Control, not_yours};
use crate::cli::model::{ErasureInfo, TenantInfo, UserInfo};
use crate::ipc::messages::{AdminRequest, Event, Refusal, Reply, USERS_PAGE_MAX, UserPage};
use crate::kms::ErasedRecord;
use crate::time_text;

impl Control {
    pub(super) fn handle_erasure(
        &mut self,
        request: AdminRequest,
        quorum: Option<&Quorum>,
    ) -> Result<Reply, Refusal> {
        match request {
            AdminRequest::TenantErase { name } => {
                let erased = self.kms.erase_tenant(&Principal::Admin, &name, quorum)?;
                // Volumes stop as they do when a key is disabled.
                self.tell_keys()?;
                self.tell(&Event::TenantErased { tenant: erased.tenant_name.clone() });
                json(&erasure_info(erased))
            }
            AdminRequest::UserErase { tenant, user } => {
                let erased = self.kms.erase_user(&Principal::Admin, &tenant, &user, quorum)?;
                self.tell_keys()?;
                json(&erasure_info(erased))
            }
            AdminRequest::Erasures => {
                let erasures = self.kms.erasures()?.into_iter();
                json(&erasures.map(erasure_info).collect::<Vec<_>>())
            }
            AdminRequest::UserList { tenant, start } => {
                let tenant = tenant.map(|name| self.kms.tenant(&name)).transpose()?;
                let after = start.map(|text| user_place(&text)).transpose()?;
                let users =
                    self.kms.users(tenant.map(|tenant| tenant.id), after, USERS_PAGE_MAX)?;
                let last = users.last().filter(|_| users.len() == USERS_PAGE_MAX);
                let next = last.map(|user| format!("{}/{}", user.tenant, user.name));
                let info = |user: crate::kms::User| {
                    let tenant = self.tenant_name(Some(user.tenant))?.unwrap_or_default();
                    let (keys, access_keys) = (user.keys, user.credentials);
                    Ok(UserInfo { tenant, name: user.name, keys, access_keys })
                };
                let users = users.into_iter().map(info).collect::<Result<_, Refusal>>()?;
                json(&UserPage { users, next })
            }
            _ => Err(not_yours("this erases nothing")),
        }
    }

    pub(super) fn tenant_infos(&self) -> Result<Vec<TenantInfo>, Refusal> {
        let erasures = self.kms.erasures()?;
        let erased = |id| {
            let found = erasures.iter().find(|one| one.tenant == id && one.user.is_none());
            found.map(|one| time_text::rfc3339(one.at.0))
        };
        let info = |tenant: crate::kms::records::TenantRecord| TenantInfo {
            key: Some(tenant.key.to_string()),
            erased: erased(tenant.id),
            id: tenant.id.to_string(),
            name: tenant.name,
        };
        Ok(self.kms.tenants()?.into_iter().map(info).collect())
    }

    /// Tenants that a plan names though they were erased, as an operator should hear it.
    pub(super) fn erased_in_plan(&self, tenants: &[String]) -> Result<Vec<String>, Refusal> {
        let named = self.tenant_infos()?.into_iter().filter(|one| tenants.contains(&one.name));
        let line = |one: TenantInfo| {
            let (name, at) = (one.name, one.erased?);
            Some(format!(
                "tenant {name} was erased at {at}, and has no volumes: take it out of the cell file"
            ))
        };
        Ok(named.filter_map(line).collect())
    }
}

/// Where a list of users goes on.
fn user_place(text: &str) -> Result<(Id, String), Refusal> {
    let place = text
        .split_once('/')
        .and_then(|(tenant, name)| Some((tenant.parse().ok()?, name.to_owned())));
    place.ok_or_else(|| Refusal::Failed {
        message: "no list of users goes on from there".into(),
        help: None,
    })
}

fn erasure_info(erased: ErasedRecord) -> ErasureInfo {
    ErasureInfo {
        tenant: erased.tenant_name,
        tenant_id: erased.tenant.to_string(),
        user: erased.user,
        at: time_text::rfc3339(erased.at.0),
        by: match erased.by {
            Principal::Admin => "administrator".to_owned(),
            Principal::Cell => "cell".to_owned(),
            Principal::Workload { spiffe_id, .. } => spiffe_id,
            Principal::Volume { volume, .. } => volume.to_string(),
        },
        keys_destroyed: erased.keys,
        access_keys_revoked: erased.credentials,
        store_rewritten: erased.rewritten.map(|at| time_text::rfc3339(at.0)),
    }
}
