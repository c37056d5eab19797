//! The metrics on a socket of their own: whoever scrapes them need not reach the KMS.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::Api;

const PATIENCE: Duration = Duration::from_secs(10);
/// Scrapers are few.
const CONNECTIONS_MAX: usize = 64;

/// Serves `GET /metrics`, and `GET /health` (200 while it is unlocked and can keep its
/// trail, else 503), until `stop` says so.
pub async fn serve_metrics(api: Arc<Api>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (Ok((tcp, _)), Ok(place)) = (accepted, Arc::clone(&places).try_acquire_owned()) else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&api, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            let _ = http.serve_connection(TokioIo::new(tcp), service).await;
            drop(place);
        });
    }
}

fn answer(api: &Api, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, api.metrics().text()),
        (&Method::GET, "/health") => match &*api.kms.load() {
            None => (StatusCode::SERVICE_UNAVAILABLE, "locked\n".into()),
            // What cannot be put on record is not answered.
            Some(kms) => match kms.trail().healthy() {
                Ok(()) => (StatusCode::OK, "ok\n".into()),
                Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
            },
        },
        _ => (StatusCode::NOT_FOUND, "there are /metrics and /health\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
