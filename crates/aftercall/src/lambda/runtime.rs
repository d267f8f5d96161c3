//! The interface of Lambda's runtime: asks for the next invocation, and says what came of it.
//!
//! A loop of our own over one connection of hyper, which is in the program anyway. The crate `lambda_runtime` is alive and
//! does more than is wanted here (layers, streams, types for every event); it would bring a second client and its
//! layers. The interface has four requests and has not changed since 2018.

use std::net::ToSocketAddrs as _;

use bytes::Bytes;
use event::Timestamp;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Where the interface is: a name and a port.
pub(super) const ADDRESS: &str = "AWS_LAMBDA_RUNTIME_API";
/// The version of the interface.
const VERSION: &str = "2018-06-01";
/// Connections that are tried for one request: an idle one may have been closed while the function was frozen.
const TRIES: u32 = 3;

/// The interface cannot be used. The process ends, and Lambda starts another one.
#[derive(Debug, thiserror::Error)]
pub(super) enum RuntimeError {
    #[error("{ADDRESS} is not set; only AWS Lambda can start this command, or `cargo lambda watch`")]
    NotLambda,
    #[error("Lambda's interface at {address} cannot be reached: {problem}")]
    Unreachable { address: String, problem: String },
    #[error("Lambda's interface answered {status} to {request}: {said}")]
    Refused { request: String, status: StatusCode, said: String },
    #[error("an invocation came without `{0}`")]
    Missing(&'static str),
}

/// What an invocation failed by, as Lambda wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// One event, and until when it is to be answered.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) id: String,
    pub(super) deadline: Timestamp,
    pub(super) body: Bytes,
}

/// The function's side of the interface.
pub(super) struct Runtime {
    address: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Runtime {
    pub(super) fn from_environment() -> Result<Self, RuntimeError> {
        let address = std::env::var(ADDRESS).map_err(|_| RuntimeError::NotLambda)?;
        Ok(Self { address, connection: None })
    }

    /// Waits for the next invocation; the function may be frozen meanwhile.
    pub(super) async fn next(&mut self) -> Result<Invocation, RuntimeError> {
        let (headers, body) = self.ask(Method::GET, "invocation/next", None, Bytes::new()).await?;
        let text = |name: &'static str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or(RuntimeError::Missing(name))
        };
        let deadline = text("lambda-runtime-deadline-ms")?.parse().map(Timestamp::from_millis);
        Ok(Invocation {
            id: text("lambda-runtime-aws-request-id")?.to_owned(),
            deadline: deadline.map_err(|_| RuntimeError::Missing("lambda-runtime-deadline-ms"))?,
            body,
        })
    }

    /// Answers an invocation.
    pub(super) async fn respond(&mut self, id: &str, answer: Bytes) -> Result<(), RuntimeError> {
        self.ask(Method::POST, &format!("invocation/{id}/response"), None, answer).await.map(drop)
    }

    /// Says that an invocation failed, or the start of the function.
    pub(super) async fn fail(&mut self, id: Option<&str>, failure: &Failure) -> Result<(), RuntimeError> {
        let path = id.map_or_else(|| "init/error".to_owned(), |id| format!("invocation/{id}/error"));
        let kind = format!("Aftercall.{}", failure.kind);
        let said = serde_json::json!({ "errorMessage": failure.message, "errorType": kind, "stackTrace": [] });
        self.ask(Method::POST, &path, Some(&kind), said.to_string().into()).await.map(drop)
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        failed_by: Option<&str>,
        body: Bytes,
    ) -> Result<(HeaderMap, Bytes), RuntimeError> {
        let mut problem = String::new();
        for _ in 0..TRIES {
            match self.try_once(&method, path, failed_by, &body).await {
                Ok((status, headers, said)) if status.is_success() => return Ok((headers, said)),
                Ok((status, _, said)) => {
                    let (request, said) = (format!("{method} {path}"), String::from_utf8_lossy(&said).into_owned());
                    return Err(RuntimeError::Refused { request, status, said });
                }
                Err(error) => {
                    self.connection = None;
                    problem = error.to_string();
                }
            }
        }
        Err(RuntimeError::Unreachable { address: self.address.clone(), problem })
    }

    async fn try_once(
        &mut self,
        method: &Method,
        path: &str,
        failed_by: Option<&str>,
        body: &Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let mut request =
            Request::builder().method(method).uri(format!("/{VERSION}/runtime/{path}")).header("host", &self.address);
        if let Some(kind) = failed_by {
            request = request.header("lambda-runtime-function-error-type", kind);
        }
        if *method == Method::POST {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(body.clone()))?;
        let connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => self.connection.insert(connection),
            _ => self.connection.insert(connect(&self.address).await?),
        };
        connection.ready().await?;
        let (head, body) = connection.send_request(request).await?.into_parts();
        Ok((head.status, head.headers, body.collect().await?.to_bytes()))
    }
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    // An address of numbers, as it is on Lambda, needs no thread to be looked up.
    let found = address.to_socket_addrs()?.next().ok_or("it is no address")?;
    let stream = TcpStream::connect(found).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // How it ends is seen by the next request.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
