use crypto::{Id, SystemEntropy};
use zeroize::Zeroizing;

use super::Fault;

/// What goes back, apart from HTTP.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The allocator wipes it once hyper has sent it.
    pub(super) body: Vec<u8>,
    pub(super) request_id: String,
    /// `None`: AWS's JSON.
    pub(super) content_type: Option<&'static str>,
    /// The connection cannot be used further.
    pub(super) close: bool,
}

impl Answer {
    pub(super) fn ok(request: Id, mut body: Zeroizing<Vec<u8>>) -> Self {
        let body = std::mem::take(&mut *body);
        Self {
            status: 200,
            body,
            request_id: request.to_string(),
            content_type: None,
            close: false,
        }
    }

    pub(super) fn fault(request: Id, fault: &Fault) -> Self {
        let (status, body) = (fault.status(), fault.body());
        Self { status, body, request_id: request.to_string(), content_type: None, close: false }
    }

    /// Of a request that was not read to its end.
    pub(super) fn unread(fault: &Fault) -> Self {
        Self::fault(Id::random(&mut SystemEntropy::new()), fault)
    }
}
