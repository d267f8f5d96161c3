//! One attempt over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use outbound::{now, read, retry_after};
use tokio::time::Instant;

use super::answer::{ANSWER_LIMIT, EXCERPT_LIMIT, excerpt};
use super::call::{Answered, Asking, Caller};
use super::options::Options;
use super::status::{Verdict, verdict};
use crate::{BoxFuture, Destination, ErrorClass, OpenError, OutgoingDelivery, Receipt, SendError};

/// Tells that an earlier event of the conversation is a dead letter, so it may be missing.
const BEHIND_DEAD_LETTER: HeaderName = HeaderName::from_static("aftercall-behind-dead-letter");
/// Says that the delivery is a replay. The idempotency key is that of the first time.
const REPLAYED: HeaderName = HeaderName::from_static("aftercall-replayed");

/// The attempt's span, for a receiver that has traces too: <https://www.w3.org/TR/trace-context/#traceparent-header>
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// A CRM, or anything else that takes a request for each delivery. Cheap to clone.
#[derive(Clone)]
pub struct HttpDestination(Arc<Caller>);

impl HttpDestination {
    /// Checks the options and makes the client; connects to nothing yet.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Caller::new(options)?)))
    }

    /// Like [`Destination::send`], with headers that only this request has, such as a signature of its payload.
    ///
    /// # Errors
    /// As [`Destination::send`].
    pub async fn send_with(&self, delivery: OutgoingDelivery, headers: HeaderMap) -> Result<Receipt, SendError> {
        attempt(&self.0, delivery, headers).await
    }
}

impl Destination for HttpDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(attempt(&self.0, delivery, HeaderMap::new()))
    }
}

async fn attempt(caller: &Caller, delivery: OutgoingDelivery, more: HeaderMap) -> Result<Receipt, SendError> {
    let deadline = caller.deadline();
    let mut asking = asking(caller, delivery)?;
    asking.headers.extend(more);
    let answered = caller.call(asking, deadline).await?;
    match answered.refused.clone() {
        None => judge(caller, answered, deadline).await,
        // A fresh token is refused for every delivery alike. They wait until the client's rights are mended.
        Some(place) => judge(caller, answered, deadline).await.map_err(|error| SendError {
            class: ErrorClass::Transient,
            message: format!("{} to a fresh access token of {place}", error.message),
            ..error
        }),
    }
}

fn asking(caller: &Caller, delivery: OutgoingDelivery) -> Result<Asking, SendError> {
    let options = caller.options();
    let address = options.url.address(&delivery).map_err(SendError::permanent)?;
    let mut headers = caller.headers(Some(delivery.event))?;
    if delivery.behind_dead {
        headers.insert(BEHIND_DEAD_LETTER, HeaderValue::from_static("true"));
    }
    if delivery.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(place) = delivery.trace
        && let Ok(place) = HeaderValue::try_from(place.to_string())
    {
        // One that is configured stays.
        headers.entry(TRACE_PARENT).or_insert(place);
    }
    let body = match options.method {
        Method::DELETE => Bytes::new(),
        _ => delivery.payload,
    };
    Ok(Asking { method: options.method.clone(), address, headers, body })
}

/// The status decides. The body is read for the excerpt and so that the connection can be used again; if that
/// fails or takes too long, the decision stands.
async fn judge(caller: &Caller, answered: Answered, deadline: Instant) -> Result<Receipt, SendError> {
    let (options, status) = (caller.options(), answered.response.status());
    let class = match verdict(status.as_u16(), &options.success, &options.transient) {
        Verdict::Success => {
            read(answered.response, 0, ANSWER_LIMIT, deadline).await;
            let status = Some(status.as_u16());
            return Ok(Receipt { status });
        }
        Verdict::Transient => ErrorClass::Transient,
        Verdict::Permanent => ErrorClass::Permanent,
    };
    let retry_after = retry_after(answered.response.headers(), now());
    let secrets = caller.secrets(answered.token());
    // Twice the excerpt, so that a secret that the excerpt would cut in two is still recognised.
    let body = read(answered.response, 2 * EXCERPT_LIMIT, ANSWER_LIMIT, deadline).await;
    Err(SendError {
        class,
        status: Some(status.as_u16()),
        message: answered_with(status),
        excerpt: excerpt(&body, &secrets),
        retry_after,
    })
}

fn answered_with(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("no standard status");
    let hint = if status.is_redirection() { "; redirects are not followed: configure the final URL" } else { "" };
    format!("the destination answered {} ({reason}){hint}", status.as_u16())
}
