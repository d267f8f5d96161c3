//! A request on its way: with the destination's secrets, with an access token, and once more if the token was refused.

use bytes::Bytes;
use event::EventId;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error;
use oauth::{Class, Token, TokenError, TokenSource};
use outbound::{HttpClient, read, root_cause};
use tokio::time::{Instant, timeout_at};

use super::answer::ANSWER_LIMIT;
use super::client::client;
use super::headers::Headers;
use super::options::{Auth, Options};
use crate::{OpenError, SendError};

/// What is asked. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) method: Method,
    pub(crate) address: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What came back.
pub(crate) struct Answered {
    pub(crate) response: Response<Incoming>,
    token: Option<Token>,
    /// Where the tokens are from, if a fresh one was refused.
    pub(crate) refused: Option<String>,
}

/// Makes the requests of one destination.
pub(crate) struct Caller {
    client: HttpClient,
    headers: Headers,
    options: Options,
}

impl Caller {
    /// Makes the client; connects to nothing yet.
    pub(crate) fn new(options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let headers = Headers::new(&options)?;
        Ok(Self { client: client(&options)?, headers, options })
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// When an attempt that begins now has to end.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    /// The headers of a request; those of an event tell the receiver which it is. A secret that is missing is missing for
    /// every delivery: they wait until it is back.
    pub(crate) fn headers(&self, event: Option<EventId>) -> Result<HeaderMap, SendError> {
        self.headers.make(event).map_err(SendError::transient)
    }

    /// What must not be shown of an answer.
    pub(crate) fn secrets(&self, answered: Option<&Token>) -> Vec<String> {
        let mut secrets = self.headers.secrets();
        secrets.extend(answered.map(|token| token.expose().to_owned()));
        secrets
    }

    /// Asks, and asks again if it is refused and there are other secrets meanwhile: one that was rotated is nothing that the
    /// delivery can be blamed for.
    async fn ask_again(&self, mut asking: Asking, deadline: Instant) -> Result<Response<Incoming>, SendError> {
        if !self.headers.have_secrets() {
            return self.ask(asking, deadline).await;
        }
        let response = self.ask(asking.clone(), deadline).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let renewed = timeout_at(deadline, self.headers.renewed(&asking.headers)).await.unwrap_or_default();
        if renewed.is_empty() {
            return Ok(response);
        }
        read(response, 0, ANSWER_LIMIT, deadline).await;
        for (name, value) in &renewed {
            asking.headers.insert(name, value.clone());
        }
        self.ask(asking, deadline).await
    }

    /// Asks, and asks again with another token if the first one is refused.
    pub(crate) async fn call(&self, asking: Asking, deadline: Instant) -> Result<Answered, SendError> {
        let Auth::OAuth(source) = &self.options.auth else {
            return Ok(Answered { response: self.ask_again(asking, deadline).await?, token: None, refused: None });
        };
        let token = self.token(source, deadline).await?;
        let response = self.ask(with(asking.clone(), &token), deadline).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            if response.status().is_success() {
                token.accept();
            }
            return Ok(Answered { response, token: Some(token), refused: None });
        }
        // The token was revoked, or has ended earlier than it said: nothing that this delivery can be blamed for.
        token.reject();
        let next = self.token(source, deadline).await?;
        let response = match next.is_same(&token) {
            // It is good for others, so it stays.
            true => response,
            false => {
                read(response, 0, ANSWER_LIMIT, deadline).await;
                self.ask(with(asking, &next), deadline).await?
            }
        };
        let refused = (response.status() == StatusCode::UNAUTHORIZED).then(|| source.place().to_string());
        if response.status().is_success() {
            next.accept();
        }
        Ok(Answered { response, token: Some(next), refused })
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

    async fn ask(&self, asking: Asking, deadline: Instant) -> Result<Response<Incoming>, SendError> {
        let mut request = Request::new(Full::new(asking.body));
        *request.method_mut() = asking.method;
        *request.uri_mut() = asking.address;
        *request.headers_mut() = asking.headers;
        match timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed_to_send(&error)),
            Err(_) => {
                let seconds = self.options.timeout.as_secs_f32();
                Err(SendError::transient(format!("no answer within {seconds} s")))
            }
        }
    }
}

impl Answered {
    /// The token that it was asked with.
    pub(crate) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }
}

/// The headers, and the token's.
fn with(mut asking: Asking, token: &Token) -> Asking {
    asking.headers.insert(header::AUTHORIZATION, token.authorization());
    asking
}

/// The request got no answer. That may always be different next time.
fn failed_to_send(error: &Error) -> SendError {
    let cause = root_cause(error);
    match error.is_connect() {
        true => SendError::transient(format!("cannot connect: {cause}")),
        false => SendError::transient(format!("the connection failed before an answer came: {cause}")),
    }
}
