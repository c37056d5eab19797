//! Who sent a request: a signature by an access key, or the SVID of the connection.

use std::cell::RefCell;
use std::sync::Arc;

use crypto::mac::sha256;
use hyper::HeaderMap;
use keys::UnixSeconds;
use keys::sigv4::{ClockError, Scope, Validity, check_clock};
use wire::sigv4::{Headers, Request, SigV4Error, SignedRequest, Timestamp};

use super::Fault;
use super::call::Who;
use super::request::{Head, Peer};
use crate::kms::Kms;

/// The service in the scope of signatures, as SDKs sign for AWS KMS.
const SERVICE: &str = "kms";

thread_local! {
    /// Canonical request and string to sign are written here, for one request after another.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// # Errors
/// [`Fault`] in AWS's words. Which access keys exist is not told.
pub(super) fn authenticate(
    kms: &Arc<Kms>,
    peer: &Peer,
    head: &Head<'_>,
    body: &[u8],
    now: UnixSeconds,
) -> Result<Who, Fault> {
    match &peer.workload {
        // A request that claims a signature is judged by that alone: an SVID beside it neither
        // mends a bad one nor stands above a good one.
        Some(workload) if !claims_signature(head) => {
            // Its connection is closed long before; a request may have taken its time.
            if now.0 >= workload.not_after().0 {
                return Err(Fault::svid_expired());
            }
            let principals = kms.workload_principals(workload.id())?;
            let unknown = || Fault::from(SigV4Error::AccessKeyUnknown);
            Ok(Who::Workload(Arc::new(principals.ok_or_else(unknown)?)))
        }
        _ => verify(kms, head, body, now),
    }
}

/// Whether there is any part of a signature, also of one that is malformed.
fn claims_signature(head: &Head<'_>) -> bool {
    head.headers.contains_key(hyper::header::AUTHORIZATION)
        || head.headers.contains_key("x-amz-security-token")
        || head.query.contains("X-Amz-")
}

/// The access key that a request claims to be signed with, for the record.
pub(super) fn claimed_key(head: &Head<'_>) -> Option<String> {
    Some(parse(head).ok()?.credential().access_key_id.to_owned())
}

fn parse<'r>(head: &'r Head<'_>) -> Result<SignedRequest<'r, impl Headers<'r>>, SigV4Error> {
    let headers: &HeaderMap = head.headers;
    let each = || headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let (method, path, query) = (head.method, head.path, head.query);
    SignedRequest::parse(Request { method, path, query, headers: each })
}

fn verify(kms: &Arc<Kms>, head: &Head<'_>, body: &[u8], now: UnixSeconds) -> Result<Who, Fault> {
    let signed = parse(head)?;
    signed.require_scope(kms.region(), SERVICE)?;
    let claimed = signed.credential();
    let credential = match signed.security_token() {
        Some(token) => kms.session(claimed.access_key_id, token, now)?,
        None => kms.credential(claimed.access_key_id)?,
    };
    let credential = credential.ok_or(SigV4Error::AccessKeyUnknown)?;
    let validity = signed
        .expires_seconds()
        .map_or(Validity::Immediate, |expires_seconds| Validity::Presigned { expires_seconds });
    let signed_at = signed.signed_at();
    let fresh = check_clock(UnixSeconds(signed_at.unix_seconds()), validity, now)
        .map_err(|error| of_clock(error, signed_at, now))?;
    let scope = Scope { date: claimed.date, region: claimed.region, service: claimed.service };
    let key = credential.signing_key(kms, scope)?;
    let body_hash = sha256(body);
    let verified = BUFFER.with_borrow_mut(|buffer| {
        signed.write_canonical_request(&body_hash, buffer)?;
        let hash = sha256(buffer);
        signed.write_string_to_sign(&hash, buffer);
        let verified = key.key().verify(fresh, buffer, signed.signature());
        verified.map_err(|_| SigV4Error::SignatureMismatch)
    })?;
    Ok(Who::signed(credential, &verified))
}

fn of_clock(error: ClockError, signed_at: Timestamp, now: UnixSeconds) -> SigV4Error {
    let now = Timestamp::of_unix_seconds(now.0).unwrap_or(signed_at);
    match error {
        ClockError::Expired { window_seconds } => {
            SigV4Error::Expired { signed_at, now, window_seconds }
        }
        ClockError::NotYetCurrent { window_seconds } => {
            SigV4Error::NotYetCurrent { signed_at, now, window_seconds }
        }
    }
}
