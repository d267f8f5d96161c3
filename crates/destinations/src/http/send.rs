//! One attempt over HTTP.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use reqwest::{Body, Certificate, Client, Request, Response, Url};
use tokio::time::{Instant, timeout_at};

use super::answer::{ANSWER_LIMIT, EXCERPT_LIMIT, excerpt, retry_after};
use super::headers::Headers;
use super::options::Options;
use super::status::{Verdict, verdict};
use crate::{BoxFuture, Destination, ErrorClass, OpenError, OutgoingDelivery, Receipt, SendError};

/// How long an idle connection is kept: less than the 60 s after which many load balancers drop theirs, so that a
/// request rarely meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A CRM, or anything else that takes a request for each delivery. Cheap to clone.
#[derive(Clone)]
pub struct HttpDestination(Arc<Shared>);

struct Shared {
    client: Client,
    options: Options,
    headers: Headers,
}

impl HttpDestination {
    /// Checks the options and makes the client; connects to nothing yet.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let headers = Headers::new(&options)?;
        let client = client(&options)?;
        Ok(Self(Arc::new(Shared {
            client,
            options,
            headers,
        })))
    }
}

impl Destination for HttpDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(self.0.attempt(delivery))
    }
}

fn client(options: &Options) -> Result<Client, OpenError> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(options.connections);
    if !options.url.is_https() {
        // Without TLS there is nothing to verify: a machine without root certificates will do.
        builder = builder.tls_certs_only([]);
    } else if let Some(pem) = &options.ca_pem {
        let certificates = Certificate::from_pem_bundle(pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(OpenError::option("ca", "holds no certificate in PEM form"));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|e| OpenError::Client {
        detail: root_cause(&e),
    })
}

impl Shared {
    async fn attempt(&self, delivery: OutgoingDelivery) -> Result<Receipt, SendError> {
        let deadline = Instant::now() + self.options.timeout;
        let request = self.request(delivery)?;
        let answer = match timeout_at(deadline, self.client.execute(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(failed_to_send(&error)),
            Err(_) => {
                let seconds = self.options.timeout.as_secs_f32();
                return Err(SendError::transient(format!(
                    "no answer within {seconds} s"
                )));
            }
        };
        self.judge(answer, deadline).await
    }

    fn request(&self, delivery: OutgoingDelivery) -> Result<Request, SendError> {
        let url: Url = self
            .options
            .url
            .address(&delivery)
            .map_err(SendError::permanent)?;
        // A secret that is missing is missing for every delivery: they wait until it is back.
        let headers = self
            .headers
            .make(delivery.event)
            .map_err(SendError::transient)?;
        let mut request = Request::new(self.options.method.clone(), url);
        *request.headers_mut() = headers;
        if self.options.method != Method::DELETE {
            *request.body_mut() = Some(Body::from(delivery.payload));
        }
        Ok(request)
    }

    /// The status decides. The body is read for the excerpt and so that the connection can be used again; if that
    /// fails or takes too long, the decision stands.
    async fn judge(&self, answer: Response, deadline: Instant) -> Result<Receipt, SendError> {
        let status = answer.status();
        let class = match verdict(
            status.as_u16(),
            &self.options.success,
            &self.options.transient,
        ) {
            Verdict::Success => {
                read(answer, 0, deadline).await;
                let status = Some(status.as_u16());
                return Ok(Receipt { status });
            }
            Verdict::Transient => ErrorClass::Transient,
            Verdict::Permanent => ErrorClass::Permanent,
        };
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        // Twice the excerpt, so that a secret that the excerpt would cut in two is still recognised.
        let body = read(answer, 2 * EXCERPT_LIMIT, deadline).await;
        Err(SendError {
            class,
            status: Some(status.as_u16()),
            message: answered(status),
            excerpt: excerpt(&body, &self.headers.secrets()),
            retry_after,
        })
    }
}

/// Reads the body, at most [`ANSWER_LIMIT`] bytes of it and up to the deadline, and gives its first `keep` bytes.
async fn read(mut answer: Response, keep: usize, deadline: Instant) -> Bytes {
    let mut kept = BytesMut::new();
    if answer.content_length() == Some(0) {
        return kept.freeze();
    }
    let mut total = 0;
    while total < ANSWER_LIMIT
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline, answer.chunk()).await
    {
        total += chunk.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(keep - kept.len())]);
    }
    kept.freeze()
}

fn answered(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("no standard status");
    let hint = if status.is_redirection() {
        "; redirects are not followed: configure the final URL"
    } else {
        ""
    };
    format!(
        "the destination answered {} ({reason}){hint}",
        status.as_u16()
    )
}

/// The request got no answer. That may always be different next time, unless the request itself could not be made.
fn failed_to_send(error: &reqwest::Error) -> SendError {
    let cause = root_cause(error);
    if error.is_builder() {
        return SendError::permanent(format!("the request cannot be made: {cause}"));
    }
    if error.is_connect() {
        return SendError::transient(format!("cannot connect: {cause}"));
    }
    SendError::transient(format!(
        "the connection failed before an answer came: {cause}"
    ))
}

/// The innermost cause: the outer ones repeat the URL, or say less.
fn root_cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else {
        return "no cause is known".into();
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
