//! The socket of the KMS: connections, their limits, and bytes to and from HTTP/1.1.
//!
//! A connection costs a task and little memory while it is idle; what a peer may make it hold is
//! bounded by the limits here. What a request means is [`super::request`]'s.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh::policy::{Decision, Denial, Policy, Target};
use mesh::verify::VerifiedPeer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::answer::Answer;
use super::request::{Head, Peer};
use super::{Api, Fault};
use crate::tls::kms::KmsAcceptor;

/// Connections at once; one more is closed at once. Descriptors permitting.
pub const CONNECTIONS_MAX: usize = 20_000;
/// How long a client may take to send the head of a request, idling before it included.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// How long a client may take over a body.
const BODY_PATIENCE: Duration = Duration::from_secs(20);
/// A body so long is read as it comes: of all connections at once they are 320 MiB. Hardly any
/// request of an SDK is longer.
const SHORT_BODY_BYTES: u64 = 16 * 1024;
/// Longer bodies, and those that do not say how long they are, that are read at once, 64 MiB of them:
/// nobody is known yet while they are. Others wait for their turn.
pub const LONG_BODIES_MAX: usize = 128;
/// How long a client may take over a TLS handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// The longest head: request line and headers.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 64;
/// How long requests under way may take to end once the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// How connections are protected.
#[derive(Clone)]
pub enum Transport {
    /// Workloads only as far as the mesh lets them; where there is no mesh, all that have an SVID.
    Tls(KmsAcceptor, Option<Arc<Callers>>),
    /// On loopback only: whoever made this has checked it.
    Plaintext,
}

/// Which workloads may connect. What they may do is said by the policies and grants of keys.
pub struct Callers {
    pub policy: Policy,
    /// What the policy calls this KMS.
    pub here: Target,
}

impl Callers {
    /// The proxy of the caller has asked the same policy. It is not relied upon.
    fn admit(&self, workload: &VerifiedPeer) -> Result<(), Denial> {
        match self.policy.decide(workload.id(), &self.here) {
            Decision::Allowed(_) => Ok(()),
            Decision::Denied(denial) => Err(denial),
        }
    }
}

/// Serves until `stop` says so, then lets requests under way end.
pub async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    transport: Transport,
    mut stop: watch::Receiver<bool>,
) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((tcp, address)) = accepted else {
            // Out of descriptors, for one: others must end before this can go on.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            api.metrics().refused_connections.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let (api, transport) = (Arc::clone(&api), transport.clone());
        let (place, stop) = (Place(Arc::clone(&open)), stop.clone());
        tokio::spawn(async move {
            connection(api, tcp, address, transport, stop).await;
            drop(place);
        });
    }
    let deadline = tokio::time::Instant::now() + DRAIN_MAX;
    while open.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(
    api: Arc<Api>,
    tcp: TcpStream,
    address: SocketAddr,
    transport: Transport,
    stop: watch::Receiver<bool>,
) {
    // A request is one segment and so is its answer: waiting to fill one only costs time.
    let _ = tcp.set_nodelay(true);
    match transport {
        Transport::Plaintext => {
            let peer = Peer { address, workload: None, tls: None };
            speak(api, tcp, peer, stop).await;
        }
        Transport::Tls(acceptor, callers) => {
            let accepting = tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(tcp));
            let Ok(Ok((stream, client))) = accepting.await else { return };
            if let (Some(workload), Some(callers)) = (&client.workload, &callers)
                && let Err(denial) = callers.admit(workload)
            {
                tracing::warn!("{} may not call the KMS: {denial}", workload.id());
                api.metrics().refused_connections.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let peer = Peer { address, workload: client.workload, tls: Some(client.facts) };
            speak(api, stream, peer, stop).await;
        }
    }
}

async fn speak<S>(api: Arc<Api>, stream: S, peer: Peer, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let used_for = peer.workload.as_ref().map(used_for);
    let peer = Arc::new(peer);
    let service = service_fn(move |request| {
        let (api, peer) = (Arc::clone(&api), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(respond(&api, &peer, request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A peer that goes away, or speaks no HTTP, ends its own connection and nothing else.
        _ = &mut connection => return,
        _ = stop.wait_for(|stop| *stop) => {}
        () = elapsed(used_for) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// How long a connection that an SVID vouches for takes requests: no longer than half of what is left
/// of the SVID. By then its owner has the next one, and no request comes under one that has expired.
fn used_for(workload: &VerifiedPeer) -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(workload.not_after().0.saturating_sub(since.as_secs())) / 2
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

async fn respond(api: &Arc<Api>, peer: &Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let answer = match read_body(api, body).await {
        Ok(body) => super::request::answer(api, peer, &Head::of(&head), body).await,
        Err(fault) => {
            let mut answer = Answer::unread(&fault);
            answer.close = true;
            answer
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, answer.content_type.map_or(JSON, HeaderValue::from_static));
    if let Ok(id) = HeaderValue::from_str(&answer.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    if answer.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    debug_assert!(!headers.contains_key(CONTENT_LENGTH), "hyper writes it from the body");
    response
}

/// The whole body, which is short or refused.
async fn read_body(api: &Api, body: Incoming) -> Result<Bytes, Fault> {
    let max = super::request::BODY_BYTES_MAX;
    if body.size_hint().lower() > max as u64 {
        return Err(Fault::body_too_long());
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let long = body.size_hint().upper().is_none_or(|upper| upper > SHORT_BODY_BYTES);
    let _turn = if long {
        let turn = tokio::time::timeout(BODY_PATIENCE, api.long_bodies.acquire()).await;
        Some(turn.ok().and_then(Result::ok).ok_or_else(Fault::busy)?)
    } else {
        None
    };
    let whole = tokio::time::timeout(BODY_PATIENCE, Limited::new(body, max).collect());
    match whole.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::body_too_long()),
        Ok(Err(_)) => Err(Fault::body_cut()),
        Err(_) => Err(Fault::body_slow()),
    }
}

#[cfg(test)]
mod tests;
