//! Access keys: who may sign requests to the KMS.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use crypto::SystemEntropy;
use keys::Owner;
use keys::access::Principals;
use keys::audit_trail::{AwsIdentity, AwsIdentityKind, Identity};
use keys::authorize::{self, Principal};
use keys::dual_control::Quorum;
use keys::policy::caller::{Caller, CallerKind};
use keys::session_token::OpenedSession;
use keys::sigv4::{AccessKeyId, Scope, SecretAccessKey, SigningKey};
use keys::{CredentialRecord, NewCredential};

use super::erasure::refuse_erased;
use super::records::CREDENTIALS;
use super::{Kms, KmsError, now};
use crate::store::Reader;

/// Credentials that are held ready.
pub(super) const CREDENTIALS_CACHED_MAX: usize = 100_000;
/// As AWS has it for names of users.
const NAME_BYTES_MAX: usize = 64;

/// A credential ready for use.
pub struct Credential {
    pub record: CredentialRecord,
    /// For `aws:userid`.
    pub user_id: String,
    /// Who it is in the audit trail.
    pub identity: Arc<Identity>,
    pub principals: Principals,
    /// Of temporary credentials.
    pub(super) session: Option<OpenedSession>,
    /// Of the last day, region and service that it was used with, which are nearly always the
    /// same: the secret is opened once a day.
    pub(super) day: ArcSwapOption<DayKey>,
}

pub(super) struct DayKey {
    date: Box<str>,
    region: Box<str>,
    service: Box<str>,
    key: SigningKey,
}

/// A signing key in use.
pub struct HeldKey(Arc<DayKey>);

impl HeldKey {
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.0.key
    }
}

impl Credential {
    /// What requests name it by: of temporary credentials, their own id.
    #[must_use]
    pub fn access_key_id(&self) -> AccessKeyId {
        self.session.as_ref().map_or(self.record.access_key_id, |session| session.access_key_id)
    }

    /// The key that signs in `scope`.
    ///
    /// # Errors
    /// [`KmsError`] if the secret cannot be opened.
    pub fn signing_key(&self, kms: &Kms, scope: Scope<'_>) -> Result<HeldKey, KmsError> {
        let Scope { date, region, service } = scope;
        if let Some(held) = &*self.day.load()
            && *held.date == *date
            && *held.region == *region
            && *held.service == *service
        {
            return Ok(HeldKey(Arc::clone(held)));
        }
        let key = match &self.session {
            Some(session) => session.signing_key(scope),
            None => self.record.signing_key(&kms.store().ring(), scope)?,
        };
        let (date, region, service) = (date.into(), region.into(), service.into());
        let held = Arc::new(DayKey { date, region, service, key });
        self.day.store(Some(Arc::clone(&held)));
        Ok(HeldKey(held))
    }
}

impl Kms {
    /// A new access key pair. The secret is shown this once.
    ///
    /// # Errors
    /// [`KmsError`] if the name is taken or not a name, `principal` may not, or nobody else agrees
    /// though the cell is under dual control.
    pub fn create_credential(
        &self,
        principal: &Principal,
        name: &str,
        tenant: Option<&str>,
        quorum: Option<&Quorum>,
    ) -> Result<(CredentialRecord, SecretAccessKey), KmsError> {
        check_user_name(name)?;
        let tenant = tenant.map(|tenant| self.tenant(tenant)).transpose()?.map(|tenant| tenant.id);
        let mut made = super::audit::Use::agreed(principal, "CreateAccessKey", quorum);
        self.changed(&mut made, |change, made| {
            let transaction = &mut change.transaction;
            authorize::may_create(principal)?;
            made.check_agreed(transaction)?;
            refuse_erased(transaction, tenant, Some(name))?;
            let all = transaction.scan(&CREDENTIALS)?;
            let taken = |record: &CredentialRecord| {
                record.revoked.is_none() && record.name == name && record.tenant == tenant
            };
            if all.iter().any(|(_, record)| taken(&record.value)) {
                return Err(KmsError::CredentialExists(name.to_owned()));
            }
            let entropy = &mut SystemEntropy::new();
            let new = NewCredential { name: name.to_owned(), tenant };
            let (record, secret) =
                CredentialRecord::generate(new, transaction.ring(), now(), entropy);
            transaction.put(&CREDENTIALS, record.access_key_id.as_str(), &record)?;
            Ok((record, secret))
        })
    }

    /// All access keys, revoked ones too, by id.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn credentials(&self) -> Result<Vec<CredentialRecord>, KmsError> {
        let all = self.store.snapshot()?.scan(&CREDENTIALS)?;
        Ok(all.into_iter().map(|(_, record)| record.value).collect())
    }

    /// Revokes the access keys of that name, or the one of that id. From the return of this call on
    /// they sign nothing. Revoking again changes nothing.
    ///
    /// # Errors
    /// [`KmsError::UnknownCredential`], or `principal` may not.
    pub fn revoke_credential(
        &self,
        principal: &Principal,
        name_or_id: &str,
        tenant: Option<&str>,
    ) -> Result<Vec<CredentialRecord>, KmsError> {
        let tenant = tenant.map(|tenant| self.tenant(tenant)).transpose()?.map(|tenant| tenant.id);
        let mut made = super::audit::Use::of(principal, "DeleteAccessKey");
        self.changed(&mut made, |change, _| {
            let transaction = &mut change.transaction;
            authorize::may_create(principal)?;
            let mut revoked = Vec::new();
            for (id, found) in transaction.scan(&CREDENTIALS)? {
                let mut record = found.value;
                let named = record.name == name_or_id && record.tenant == tenant;
                if record.revoked.is_none() && (named || id == name_or_id) {
                    record.revoke(now());
                    transaction.put(&CREDENTIALS, &id, &record)?;
                    change.credentials.push(id);
                    revoked.push(record);
                }
            }
            if revoked.is_empty() {
                return Err(KmsError::UnknownCredential(name_or_id.to_owned()));
            }
            Ok(revoked)
        })
    }

    /// The credential that signs with this id; `None` for one that never was, or was revoked.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn credential(&self, access_key_id: &str) -> Result<Option<Arc<Credential>>, KmsError> {
        self.cache.credential(access_key_id, || {
            let found = self.store.snapshot()?.get(&CREDENTIALS, access_key_id)?;
            let Some(record) = found.map(|found| found.value) else { return Ok(None) };
            if record.revoked.is_some() {
                return Ok(None);
            }
            Ok(Some(Arc::new(self.ready(record)?)))
        })
    }

    fn ready(&self, record: CredentialRecord) -> Result<Credential, KmsError> {
        let (owner, path) = match record.tenant {
            None => (Owner::Account, String::new()),
            Some(id) => (Owner::Tenant(id), format!("{}/", self.tenant_name(id)?)),
        };
        let account = self.account();
        let kind = CallerKind::User { name: record.name.clone() };
        let arn = format!("arn:aws:iam::{account}:user/{path}{}", record.name);
        let principals = principals(owner, account, arn, kind);
        let user_id = record.id.to_string();
        let identity = Arc::new(identity(&principals, &record, record.access_key_id));
        Ok(Credential {
            record,
            user_id,
            identity,
            principals,
            session: None,
            day: ArcSwapOption::empty(),
        })
    }
}

/// A caller, as its own owner's keys and as all others see it.
pub(super) fn principals(owner: Owner, account: &str, arn: String, kind: CallerKind) -> Principals {
    let tenant = match owner {
        Owner::Tenant(id) => Some(id.to_string()),
        Owner::Account | Owner::Cell => None,
    };
    let at_home = Caller { arn, account: account.to_owned(), kind, tenant };
    // No account id has this form, so no policy trusts it by its root.
    let abroad = Caller { account: super::owner_name(owner), ..at_home.clone() };
    Principals { owner, at_home, abroad }
}

/// The bearer of an access key, as the audit trail names it.
pub(super) fn identity(
    principals: &Principals,
    record: &CredentialRecord,
    access_key: AccessKeyId,
) -> Identity {
    Identity::Aws(AwsIdentity {
        kind: AwsIdentityKind::IamUser,
        principal_id: Some(record.id.to_string()),
        arn: principals.at_home.arn.clone(),
        account: principals.at_home.account.as_str().into(),
        access_key: Some(access_key.as_str().to_owned()),
        user_name: Some(record.name.clone()),
    })
}

/// What IAM allows in the name of a user, so that it can stand in an ARN.
pub(super) fn check_user_name(name: &str) -> Result<(), KmsError> {
    if is_user_name(name) { Ok(()) } else { Err(KmsError::BadUserName(name.to_owned())) }
}

/// Whether a user, or the bearer of an access key, can be called so.
#[must_use]
pub fn is_user_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}
