//! Callers who show an SVID instead of signing.

use keys::Owner;
use keys::access::Principals;
use keys::policy::caller::CallerKind;
use mesh::SpiffeId;

use super::credentials::principals;
use super::erasure::refuse_erased;
use super::{Kms, KmsError};

impl Kms {
    /// Who a workload is to the keys: its tenant's, by its SPIFFE ID. `None` for an identity of no
    /// tenant, such as a gateway's.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn workload_principals(&self, workload: &SpiffeId) -> Result<Option<Principals>, KmsError> {
        let tenant = match self.tenant(workload.tenant()) {
            Ok(tenant) => tenant,
            Err(KmsError::UnknownTenant(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        match refuse_erased(&self.store().snapshot()?, Some(tenant.id), None) {
            Ok(()) => {}
            Err(KmsError::Erased(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        let (owner, arn) = (Owner::Tenant(tenant.id), workload.as_str().to_owned());
        Ok(Some(principals(owner, &self.account, arn, CallerKind::Workload)))
    }
}
