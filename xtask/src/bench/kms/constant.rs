//! The floor: the HTTP library that Sealane serves with, set up alike, and nothing behind it.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::calls::{Calls, Operation};
use crate::Error;

/// The hidden benchmark that is this server.
pub(in crate::bench) const NAME: &str = "kms-constant";

/// The same as [`super`]'s reference says: how long answers are, one number for each operation.
pub(super) fn arguments(calls: &[Rc<Calls>]) -> Vec<String> {
    let lengths = calls.iter().map(|calls| calls.answer_bytes.to_string());
    ["bench", NAME].map(str::to_owned).into_iter().chain(lengths).collect()
}

/// Serves until standard input ends.
pub(in crate::bench) fn command(arguments: &[String]) -> Result<(), Error> {
    let lengths: Vec<usize> =
        arguments.iter().map(|length| length.parse()).collect::<Result<_, _>>()?;
    if lengths.len() != Operation::ALL.len() {
        return Err("takes the length of an answer for each operation".into());
    }
    let answers = Arc::new(Answers(lengths.into_iter().map(answer).collect()));
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    // As many workers as Sealane has: one for each CPU.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(speak(stream, Arc::clone(&answers)));
        }
    })
}

struct Answers(Vec<Bytes>);

fn answer(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

async fn speak(stream: TcpStream, answers: Arc<Answers>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(respond(&answers, request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(60))
        .max_headers(64)
        .max_buf_size(32 * 1024)
        .half_close(false);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(answers: &Answers, request: Request<Incoming>) -> Response<Full<Bytes>> {
    const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
    const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
    const AN_ID: HeaderValue = HeaderValue::from_static("00000000-0000-4000-8000-000000000000");
    let target = request.headers().get("x-amz-target").map_or(&b""[..], HeaderValue::as_bytes);
    let asked = |operation: &Operation| target.ends_with(operation.name().as_bytes());
    let number = Operation::ALL.iter().position(asked).unwrap_or_default();
    let body = request.into_body().collect().await;
    // It is read, as a KMS must; its content plays no part.
    let known = if body.is_ok() { answers.0.get(number) } else { None };
    let mut response = Response::new(Full::new(known.cloned().unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(REQUEST_ID, AN_ID);
    response
}
