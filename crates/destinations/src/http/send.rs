//! One attempt over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error;
use oauth::{Class, Token, TokenError, TokenSource};
use outbound::{HttpClient, now, read, retry_after, root_cause};
use tokio::time::{Instant, timeout_at};

use super::answer::{ANSWER_LIMIT, EXCERPT_LIMIT, excerpt};
use super::client::client;
use super::headers::Headers;
use super::options::{Auth, Options};
use super::status::{Verdict, verdict};
use crate::{BoxFuture, Destination, ErrorClass, OpenError, OutgoingDelivery, Receipt, SendError};

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
        let Auth::OAuth(source) = &self.options.auth else {
            let answer = self.ask(delivery, more, deadline).await?;
            return self.judge(answer, None, deadline).await;
        };
        let token = self.token(source, deadline).await?;
        let answer = self.ask(delivery.clone(), with(more.clone(), &token), deadline).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            if answer.status().is_success() {
                token.accept();
            }
            return self.judge(answer, Some(&token), deadline).await;
        }
        // The token was revoked, or has ended earlier than it said: nothing that this delivery can be blamed for.
        token.reject();
        let next = self.token(source, deadline).await?;
        let answer = match next.is_same(&token) {
            // It is good for others, so it stays.
            true => answer,
            false => {
                read(answer, 0, ANSWER_LIMIT, deadline).await;
                self.ask(delivery, with(more, &next), deadline).await?
            }
        };
        let refused = answer.status() == StatusCode::UNAUTHORIZED;
        if answer.status().is_success() {
            next.accept();
        }
        match self.judge(answer, Some(&next), deadline).await {
            // A fresh token is refused for every delivery alike. They wait until the client's rights are mended.
            Err(error) if refused => Err(SendError {
                class: ErrorClass::Transient,
                message: format!("{} to a fresh access token of {}", error.message, source.place()),
                ..error
            }),
            outcome => outcome,
        }
    }

    /// A token. One that cannot be had is missing for every delivery: they wait until it is there.
    async fn token(&self, source: &TokenSource, deadline: Instant) -> Result<Token, SendError> {
        match timeout_at(deadline, source.token()).await {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(TokenError { class, message, retry_after, .. })) => {
                // A secret can be mended at any time, so nobody is kept from trying; the source asks no more than it may.
                let retry_after = retry_after.filter(|_| class != Class::Refused);
                Err(SendError { retry_after, ..SendError::transient(format!("no access token: {message}")) })
            }
            Err(_) => {
                let seconds = self.options.timeout.as_secs_f32();
                let place = source.place();
                Err(SendError::transient(format!("no access token from {place} within {seconds} s")))
            }
        }
    }

    async fn ask(
        &self,
        delivery: OutgoingDelivery,
        more: HeaderMap,
        deadline: Instant,
    ) -> Result<Response<Incoming>, SendError> {
        let mut request = self.request(delivery)?;
        request.headers_mut().extend(more);
        match timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed_to_send(&error)),
            Err(_) => {
                let seconds = self.options.timeout.as_secs_f32();
                Err(SendError::transient(format!("no answer within {seconds} s")))
            }
        }
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
    async fn judge(
        &self,
        answer: Response<Incoming>,
        token: Option<&Token>,
        deadline: Instant,
    ) -> Result<Receipt, SendError> {
        let status = answer.status();
        let class = match verdict(status.as_u16(), &self.options.success, &self.options.transient) {
            Verdict::Success => {
                read(answer, 0, ANSWER_LIMIT, deadline).await;
                let status = Some(status.as_u16());
                return Ok(Receipt { status });
            }
            Verdict::Transient => ErrorClass::Transient,
            Verdict::Permanent => ErrorClass::Permanent,
        };
        let retry_after = retry_after(answer.headers(), now());
        // Twice the excerpt, so that a secret that the excerpt would cut in two is still recognised.
        let body = read(answer, 2 * EXCERPT_LIMIT, ANSWER_LIMIT, deadline).await;
        let mut secrets = self.headers.secrets();
        secrets.extend(token.map(|token| token.expose().to_owned()));
        Err(SendError {
            class,
            status: Some(status.as_u16()),
            message: answered(status),
            excerpt: excerpt(&body, &secrets),
            retry_after,
        })
    }
}

/// The headers, and the token's.
fn with(mut headers: HeaderMap, token: &Token) -> HeaderMap {
    headers.insert(header::AUTHORIZATION, token.authorization());
    headers
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
