//! The HTTP client that spans are sent by: the one of all who call out, with its TLS. Requests are bounded in time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use opentelemetry_http::{HttpClient, HttpError};
use outbound::{ClientError, ClientOptions, Secret, USER_AGENT};
use tokio::time::Instant;

use crate::config::TraceOptions;

/// What is read of an answer, in bytes: how many spans were not taken stands in it.
const ANSWER_MAX: usize = 64 * 1024;
/// Connections that are kept: there is one request at a time.
const CONNECTIONS: usize = 1;

/// Sends one request at a time.
pub(super) struct Client {
    http: outbound::HttpClient,
    plain: Vec<(HeaderName, String)>,
    secret: Vec<(HeaderName, Secret)>,
    timeout: Duration,
    answers: Answers,
}

/// How the latest request was answered.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<AtomicU16>);

impl Answers {
    /// The status; none if there was no answer.
    pub(super) fn latest(&self) -> Option<u16> {
        Some(self.0.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }
}

impl Client {
    pub(super) fn new(options: &TraceOptions) -> Result<Self, ClientError> {
        let tls = options.endpoint.starts_with("https:");
        let http = ClientOptions { tls, ca_pem: options.ca_pem.as_deref(), connections: CONNECTIONS };
        Ok(Self {
            http: outbound::client(http)?,
            plain: options.plain.clone(),
            secret: options.secret.clone(),
            timeout: options.timeout,
            answers: Answers::default(),
        })
    }

    pub(super) fn answers(&self) -> Answers {
        self.answers.clone()
    }

    fn add_headers(&self, request: &mut Request<Bytes>) -> Result<(), HttpError> {
        let headers = request.headers_mut();
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, text) in &self.plain {
            headers.insert(name, HeaderValue::from_str(text)?);
        }
        for (name, secret) in &self.secret {
            let mut value = HeaderValue::from_str(&secret.get()?)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.answers.0.store(0, Ordering::Relaxed);
        self.add_headers(&mut request)?;
        let deadline = Instant::now() + self.timeout;
        let answer = tokio::time::timeout_at(deadline, self.http.request(request.map(Full::new))).await;
        let answer = answer.map_err(|_| "no answer in time")??;
        let (status, headers) = (answer.status(), answer.headers().clone());
        self.answers.0.store(status.as_u16(), Ordering::Relaxed);
        let body = outbound::read(answer, ANSWER_MAX, ANSWER_MAX, deadline).await;
        let mut answer = Response::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}
