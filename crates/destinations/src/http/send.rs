//! One attempt over HTTP.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Error;
use tokio::time::{Instant, timeout_at};

use super::answer::{ANSWER_LIMIT, EXCERPT_LIMIT, excerpt, retry_after};
use super::client::{HttpClient, client};
use super::headers::Headers;
use super::options::Options;
use super::status::{Verdict, verdict};
use crate::error::root_cause;
use crate::{BoxFuture, Destination, ErrorClass, OpenError, OutgoingDelivery, Receipt, SendError, clock};

/// Tells that an earlier event of the conversation is a dead letter, so it may be missing.
const BEHIND_DEAD_LETTER: HeaderName = HeaderName::from_static("aftercall-behind-dead-letter");
/// Says that the delivery is a replay. The idempotency key is that of the first time.
const REPLAYED: HeaderName = HeaderName::from_static("aftercall-replayed");

/// A CRM, or anything else that takes a request for each delivery. Cheap to clone.
#[derive(Clone)]
pub struct HttpDestination(Arc<Shared>);

struct Shared {
    client: HttpClient,
    options: Options,
    headers: Headers,
}

impl HttpDestination {
    /// Checks the options and makes the client; connects to nothing yet.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let headers = Headers::new(&options)?;
        let client = client(&options)?;
        Ok(Self(Arc::new(Shared { client, options, headers })))
    }

    /// Like [`Destination::send`], with headers that only this request has, such as a signature of its payload.
    ///
    /// # Errors
    /// As [`Destination::send`].
    pub async fn send_with(&self, delivery: OutgoingDelivery, headers: HeaderMap) -> Result<Receipt, SendError> {
        self.0.attempt(delivery, headers).await
    }
}

impl Destination for HttpDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(self.0.attempt(delivery, HeaderMap::new()))
    }
}

impl Shared {
    async fn attempt(&self, delivery: OutgoingDelivery, more: HeaderMap) -> Result<Receipt, SendError> {
        let deadline = Instant::now() + self.options.timeout;
        let mut request = self.request(delivery)?;
        request.headers_mut().extend(more);
        let answer = match timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(failed_to_send(&error)),
            Err(_) => {
                let seconds = self.options.timeout.as_secs_f32();
                return Err(SendError::transient(format!("no answer within {seconds} s")));
            }
        };
        self.judge(answer, deadline).await
    }

    fn request(&self, delivery: OutgoingDelivery) -> Result<Request<Full<Bytes>>, SendError> {
        let address = self.options.url.address(&delivery).map_err(SendError::permanent)?;
        // A secret that is missing is missing for every delivery: they wait until it is back.
        let behind_dead = delivery.behind_dead;
        let headers = self.headers.make(delivery.event).map_err(SendError::transient)?;
        let replayed = delivery.replayed;
        let body = match self.options.method {
            Method::DELETE => Full::default(),
            _ => Full::new(delivery.payload),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.options.method.clone();
        *request.uri_mut() = address;
        *request.headers_mut() = headers;
        if behind_dead {
            request.headers_mut().insert(BEHIND_DEAD_LETTER, HeaderValue::from_static("true"));
        }
        if replayed {
            request.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(request)
    }

    /// The status decides. The body is read for the excerpt and so that the connection can be used again; if that
    /// fails or takes too long, the decision stands.
    async fn judge(&self, answer: Response<Incoming>, deadline: Instant) -> Result<Receipt, SendError> {
        let status = answer.status();
        let class = match verdict(status.as_u16(), &self.options.success, &self.options.transient) {
            Verdict::Success => {
                read(answer, 0, deadline).await;
                let status = Some(status.as_u16());
                return Ok(Receipt { status });
            }
            Verdict::Transient => ErrorClass::Transient,
            Verdict::Permanent => ErrorClass::Permanent,
        };
        let retry_after = retry_after(answer.headers(), clock::now());
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
async fn read(answer: Response<Incoming>, keep: usize, deadline: Instant) -> Bytes {
    let mut kept = BytesMut::new();
    let mut body = answer.into_body();
    let mut total = 0;
    while total < ANSWER_LIMIT
        && !body.is_end_stream()
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await
    {
        if let Ok(data) = frame.into_data() {
            total += data.len();
            kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
        }
    }
    kept.freeze()
}

fn answered(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("no standard status");
    let hint = if status.is_redirection() { "; redirects are not followed: configure the final URL" } else { "" };
    format!("the destination answered {} ({reason}){hint}", status.as_u16())
}

/// The request got no answer. That may always be different next time.
fn failed_to_send(error: &Error) -> SendError {
    let cause = root_cause(error);
    match error.is_connect() {
        true => SendError::transient(format!("cannot connect: {cause}")),
        false => SendError::transient(format!("the connection failed before an answer came: {cause}")),
    }
}
