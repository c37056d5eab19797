//! One request, from its bytes to its answer: which operation, who asks, what comes of it, and its
//! event and count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use crypto::{Id, SystemEntropy};
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use keys::UnixSeconds;
use keys::audit_trail::{Access, Event, Failure, Identity, Origin, UnixMillis};
use mesh::verify::VerifiedPeer;
use wire::kms::{KmsFault, Operation, Support};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::call::{Audit, Call, access};
use super::{Api, Fault, authenticate, operations};
use crate::kms::Kms;
use crate::tls::TlsFacts;

pub use wire::kms::BODY_BYTES_MAX;

/// Of a user agent, so much is kept for the audit trail.
const USER_AGENT_BYTES_MAX: usize = 256;

/// Who is at the other end of a connection.
pub struct Peer {
    pub address: SocketAddr,
    /// By its SVID.
    pub workload: Option<VerifiedPeer>,
    pub tls: Option<Option<TlsFacts>>,
}

/// What stands before the body.
pub(super) struct Head<'h> {
    pub(super) method: &'h str,
    pub(super) path: &'h str,
    pub(super) query: &'h str,
    pub(super) headers: &'h HeaderMap,
}

impl<'h> Head<'h> {
    pub(super) fn of(parts: &'h hyper::http::request::Parts) -> Self {
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
        }
    }

    fn text(&self, name: impl hyper::header::AsHeaderName) -> Option<&'h str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What is asked for. AWS answers this before it looks at the signature.
    fn operation(&self) -> Result<Operation, Fault> {
        let unknown = |message| Err(Fault::new(KmsFault::UnknownOperation, message));
        if self.method != "POST" {
            return unknown("Requests are POSTs.");
        }
        // Presigned requests have the operation in their query only where the client cannot set
        // headers; KMS's own clients always send the header.
        let Some(target) = self.text("x-amz-target") else {
            return unknown("The header X-Amz-Target is missing: TrentService. and an operation.");
        };
        let json = |kind: &str| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case(wire::kms::CONTENT_TYPE)
        };
        if !self.text(CONTENT_TYPE).is_some_and(json) {
            return unknown("The Content-Type of a request is application/x-amz-json-1.1.");
        }
        Operation::from_target(target).ok_or_else(|| Fault::silent(KmsFault::UnknownOperation))
    }
}

/// Answers one request.
pub(super) async fn answer(api: &Arc<Api>, peer: &Peer, head: &Head<'_>, body: Bytes) -> Answer {
    let began = Instant::now();
    let request = Id::random(&mut SystemEntropy::new());
    let operation = head.operation();
    let named = operation.as_ref().ok().copied();
    let done = match operation {
        Ok(operation) => carry_out(api, peer, head, body, operation, request).await,
        Err(fault) => Err(fault),
    };
    let (answer, outcome) = match done {
        Ok(body) => (Answer::ok(request, body), super::metrics::Outcome::Ok),
        Err(fault) => (Answer::fault(request, &fault), fault.outcome()),
    };
    api.metrics().count(named, outcome, began.elapsed());
    answer
}

async fn carry_out(
    api: &Arc<Api>,
    peer: &Peer,
    head: &Head<'_>,
    body: Bytes,
    operation: Operation,
    request: Id,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let kms = api.kms.load_full().ok_or_else(Fault::locked)?;
    if kms.trail().healthy().is_err() {
        let of_task = Arc::clone(&kms);
        let _ = tokio::task::spawn_blocking(move || of_task.mend_trail()).await;
    }
    let millis = now_millis();
    let now = UnixSeconds(millis / 1000);
    let who = match authenticate::authenticate(&kms, peer, head, &body, now) {
        Ok(who) => who,
        Err(fault) => {
            let event = stranger(&kms, peer, head, operation, request, millis, &fault);
            return record(api, &kms, event).await.and(Err(fault));
        }
    };
    let call = Call {
        kms,
        who,
        operation,
        request,
        event: Id::random(&mut SystemEntropy::new()),
        millis,
        source: peer.address.ip(),
        secure: peer.tls.is_some(),
        user_agent: user_agent(head),
        entropy: SystemEntropy::new(),
        alias: None,
        keys: Vec::new(),
        used: [None, None],
        parameters: Vec::new(),
        intent: None,
    };
    if operations::is_quick(operation) {
        finish(api, perform(call, &body)).await
    } else {
        // Waits for the disk, or computes for long: others go on meanwhile.
        let performed = tokio::task::spawn_blocking(move || perform(call, &body)).await;
        let performed = performed.map_err(|error| Fault::internal(&error))?;
        finish(api, performed).await
    }
}

struct Performed {
    call: Call,
    done: Result<Zeroizing<Vec<u8>>, Fault>,
}

fn perform(mut call: Call, body: &[u8]) -> Performed {
    let done = match call.operation.support() {
        Support::Supported => operations::perform(&mut call, body),
        Support::Unsupported => Err(operations::unsupported(call.operation)),
    };
    Performed { call, done }
}

/// Puts the call on record. What cannot be put on record is not answered.
async fn finish(api: &Api, performed: Performed) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let Performed { mut call, done } = performed;
    let kms = Arc::clone(&call.kms);
    if let Some(intent) = call.intent.take() {
        let failure = done.as_ref().err().map(failure);
        let outcome = intent.close_async(failure).await;
        return outcome.map_err(|error| Fault::internal(&error)).and(done);
    }
    let event = call.describe(done.as_ref().err());
    if done.is_ok() {
        kms.note_use(call.used.iter().flatten(), call.operation.name(), &event);
    }
    record(api, &kms, event).await.and(done)
}

async fn record(api: &Api, kms: &Kms, event: Event) -> Result<(), Fault> {
    // Nobody waits for the event of a stranger: else whoever knocks makes the disk work.
    let stranger = matches!(*event.identity, Identity::Unknown { .. });
    let recorded = match (api.audit, event.access) {
        _ if stranger => kms.trail().record_async(event).await,
        (Audit::Batched, Access::ReadOnly) => kms.trail().record_async(event).await,
        // A change that was refused left no intent; its event is as durable as its outcome was.
        _ => kms.trail().record_durable_async(event).await.map(drop),
    };
    recorded.map_err(|error| Fault::internal(&error))
}

fn failure(fault: &Fault) -> Failure {
    Failure { code: fault.aws_type().into(), message: fault.message().to_owned() }
}

/// The event of a request whose sender was not established.
fn stranger(
    kms: &Kms,
    peer: &Peer,
    head: &Head<'_>,
    operation: Operation,
    request: Id,
    millis: u64,
    fault: &Fault,
) -> Event {
    Event {
        id: Id::random(&mut SystemEntropy::new()),
        time: UnixMillis(millis),
        identity: Arc::new(Identity::Unknown { access_key: authenticate::claimed_key(head) }),
        name: operation.name().into(),
        origin: Origin::Call,
        access: access(operation),
        region: Arc::clone(kms.region()),
        account: Arc::clone(kms.account()),
        source_ip: Some(peer.address.ip()),
        user_agent: user_agent(head),
        request: Some(request),
        keys: Vec::new(),
        parameters: Vec::new(),
        failure: Some(failure(fault)),
    }
}

fn user_agent(head: &Head<'_>) -> Option<String> {
    let agent = head.text(USER_AGENT)?;
    Some(agent.get(..agent.len().min(USER_AGENT_BYTES_MAX)).unwrap_or_default().to_owned())
}

fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
