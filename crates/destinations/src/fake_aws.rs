//! A strict fake of AWS's JSON protocol on loopback, for the answers that no emulator gives: partial failures, throttling,
//! refusals and silence.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// What the fake answers: a status and a body, or nothing for ever.
pub(crate) type Answer = Option<(u16, Value)>;
type Answering = dyn Fn(usize, &str, &Value) -> Answer + Send + Sync;

/// The fake; it ends with the runtime of its test.
pub(crate) struct Fake {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    /// The bodies of the requests, in order.
    pub(crate) requests: Arc<Mutex<Vec<Value>>>,
}

/// An answer of a service that refuses a request.
pub(crate) fn refused(code: &str) -> Answer {
    Some((400, serde_json::json!({ "__type": format!("com.amazonaws#{code}"), "message": "as asked." })))
}

impl Fake {
    /// Answers the n-th request, an operation's name and its body, by a function.
    pub(crate) async fn start(answer: impl Fn(usize, &str, &Value) -> Answer + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, answer): (Arc<Mutex<Vec<Value>>>, Arc<Answering>) = (Arc::default(), Arc::new(answer));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                let service = hyper::service::service_fn(move |request| {
                    let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                    async move { respond(request, &seen, &*answer).await }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { url, requests }
    }

    /// The numbers of entries of the requests.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.requests.lock().unwrap().iter().map(|body| body["Entries"].as_array().map_or(0, Vec::len)).collect()
    }
}

async fn respond(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Value>>,
    answer: &Answering,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (target, signature, kind) = (header("x-amz-target"), header("authorization"), header("content-type"));
    let body = request.into_body().collect().await?.to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("a request is JSON");
    assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential="), "not signed: {signature}");
    assert!(kind.starts_with("application/x-amz-json-1."), "{kind}");
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(body.clone());
        seen.len() - 1
    };
    let operation = target.rsplit('.').next().unwrap_or_default();
    let Some((status, answer)) = answer(number, operation, &body) else { return std::future::pending().await };
    Ok(Response::builder().status(status).body(Full::new(answer.to_string().into())).unwrap())
}
