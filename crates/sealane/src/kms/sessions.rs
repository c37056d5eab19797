//! Temporary credentials: an access key, a secret and a token that says whose they are and until
//! when. Nothing of them is stored: the token brings the secret back, wrapped.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use crypto::SystemEntropy;
use keys::UnixSeconds;
use keys::authorize::{self, Principal};
use keys::dual_control::Quorum;
use keys::session_token::{self, NewSession};
use keys::sigv4::SecretAccessKey;
use wire::sigv4::SigV4Error;

use super::credentials::{Credential, identity};
use super::{Kms, KmsError, now};

/// As AWS has it for GetSessionToken: a quarter of an hour to a day and a half.
const SECONDS_MIN: u64 = 15 * 60;
const SECONDS_MAX: u64 = 36 * 60 * 60;

/// What is shown once.
pub struct SessionToken {
    pub access_key_id: String,
    pub secret: SecretAccessKey,
    pub token: String,
    pub expires: UnixSeconds,
}

impl Kms {
    /// Temporary credentials for the bearer of the access key `name`.
    ///
    /// # Errors
    /// [`KmsError`] if there is no such access key, `principal` may not, or nobody else agrees
    /// though the cell is under dual control.
    pub fn create_session(
        &self,
        principal: &Principal,
        name: &str,
        tenant: Option<&str>,
        seconds: u64,
        quorum: Option<&Quorum>,
    ) -> Result<SessionToken, KmsError> {
        let tenant = tenant.map(|tenant| self.tenant(tenant)).transpose()?.map(|tenant| tenant.id);
        let all = self.credentials()?;
        let mut live = all.into_iter().filter(|record| record.revoked.is_none());
        let found = live.find(|record| record.name == name && record.tenant == tenant);
        let parent = found.ok_or_else(|| KmsError::UnknownCredential(name.to_owned()))?;
        let made = super::audit::Use::agreed(principal, "GetSessionToken", quorum);
        self.used(&made, || {
            authorize::may_create(principal)?;
            made.check_agreed(&self.store.snapshot()?)?;
            let seconds = seconds.clamp(SECONDS_MIN, SECONDS_MAX);
            let expires = UnixSeconds(now().0 + seconds);
            let new = NewSession { parent: parent.access_key_id, expires };
            let entropy = &mut SystemEntropy::new();
            let made = session_token::issue(&new, &self.store.ring(), entropy);
            let access_key_id = made.access_key_id.as_str().to_owned();
            Ok(SessionToken { access_key_id, secret: made.secret, token: made.token, expires })
        })
    }

    /// The credential behind a token. It lives no longer than the access key that it came from.
    ///
    /// # Errors
    /// [`SigV4Error`] in AWS's words, or the store cannot be read.
    pub fn session(
        &self,
        access_key_id: &str,
        token: &str,
        now: UnixSeconds,
    ) -> Result<Option<Arc<Credential>>, SessionError> {
        if let Some(held) = self.cache.session(token) {
            return self.still_good(held, access_key_id, now);
        }
        let opened = session_token::open(token, &self.store.ring())
            .map_err(|_| SigV4Error::SecurityTokenInvalid)?;
        let parent = self.credential(opened.parent.as_str())?;
        let parent = parent.ok_or(SigV4Error::SecurityTokenInvalid)?;
        let credential = Arc::new(Credential {
            record: parent.record.clone(),
            user_id: parent.user_id.clone(),
            identity: Arc::new(identity(&parent.principals, &parent.record, opened.access_key_id)),
            principals: parent.principals.clone(),
            session: Some(opened),
            day: ArcSwapOption::empty(),
        });
        self.cache.hold_session(token, Arc::clone(&credential));
        self.still_good(credential, access_key_id, now)
    }

    fn still_good(
        &self,
        credential: Arc<Credential>,
        access_key_id: &str,
        now: UnixSeconds,
    ) -> Result<Option<Arc<Credential>>, SessionError> {
        let Some(session) = &credential.session else { return Ok(None) };
        if session.access_key_id.as_str() != access_key_id {
            return Err(SigV4Error::SecurityTokenInvalid.into());
        }
        if now >= session.expires {
            return Err(SigV4Error::SecurityTokenExpired.into());
        }
        // The parent may have been revoked since.
        match self.credential(session.parent.as_str())? {
            Some(_) => Ok(Some(credential)),
            None => Err(SigV4Error::SecurityTokenInvalid.into()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Token(#[from] SigV4Error),
    #[error(transparent)]
    Kms(#[from] KmsError),
}
