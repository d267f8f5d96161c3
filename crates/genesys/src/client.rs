//! Requests to the API: each with a token, within the budget, repeated where that is the right answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::Full;
use oauth::{Token, TokenSource};
use outbound::{ClientOptions, HttpClient, USER_AGENT, client, now, read, root_cause};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::answer::{Limits, Verdict, judge};
use crate::budget::{Budget, Go};
use crate::transcript::{PresignedUrl, TranscriptStream};
use crate::{GenesysError, Options};

/// How much of an answer is read, in bytes. The details of a long conversation have some hundred KiB; transcripts are not
/// read here.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// Idle connections that are kept. Within the budget more are hardly ever under way.
const CONNECTIONS: usize = 8;
/// How often a request is repeated after a 429. The budget makes even one rare.
const REPEATS_MAX: u32 = 3;

/// A client of the platform. Cheap to clone; all clones share the token and the budget.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    http: HttpClient,
    tokens: TokenSource,
    api: String,
    timeout: Duration,
    wait_max: Duration,
    /// The moment that the budget's moments are counted from.
    origin: Instant,
    budget: Mutex<Budget>,
    limits: Mutex<Option<Limits>>,
    /// Held by whoever is next to be allowed a request: first come, first served.
    turn: tokio::sync::Mutex<()>,
    /// A request was answered.
    answered: Notify,
}

impl Client {
    /// Checks the options; connects to nothing yet.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn new(options: &Options) -> Result<Self, GenesysError> {
        let (api, oauth) = (options.api()?, options.oauth()?);
        let tokens = TokenSource::new(oauth).map_err(|error| GenesysError::option("login_url", error.to_string()))?;
        let tls = api.starts_with("https");
        let http = client(ClientOptions { tls, ca_pem: options.ca_pem.as_deref(), connections: CONNECTIONS })?;
        Ok(Self(Arc::new(Shared {
            http,
            tokens,
            api,
            timeout: options.timeout,
            wait_max: options.wait_max,
            origin: Instant::now(),
            budget: Mutex::new(Budget::new(options.requests_per_minute)),
            limits: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
            answered: Notify::new(),
        })))
    }

    /// A token, fetched if there is none.
    ///
    /// # Errors
    /// If there is none to be had.
    pub async fn token(&self) -> Result<Token, GenesysError> {
        Ok(self.0.tokens.token().await?)
    }

    /// The address of the token endpoint.
    pub fn token_url(&self) -> &str {
        self.0.tokens.place()
    }

    /// The address of the API.
    pub fn api_url(&self) -> &str {
        &self.0.api
    }

    /// What the platform said of its limits last.
    pub fn limits(&self) -> Option<Limits> {
        *self.0.limits.lock()
    }

    /// Asks for what is at a path of the API, which must be encoded already.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GenesysError> {
        let call = format!("GET {path}");
        let body = self.0.get(&call, path).await?;
        serde_json::from_slice(&body).map_err(|error| GenesysError::Refused {
            call,
            status: 200,
            code: String::new(),
            problem: format!("the answer is not what it should be ({error}); is api_url that of the API?"),
            correlation: None,
        })
    }

    /// Opens a transcript. The address is asked without a token, and does not count in the budget.
    ///
    /// # Errors
    /// If the address has expired (`Refused`), or nobody answers.
    pub async fn open(&self, url: &PresignedUrl) -> Result<TranscriptStream, GenesysError> {
        crate::transcript::open(&self.0.http, &self.0.api, url, self.0.timeout).await
    }
}

impl Shared {
    async fn get(&self, call: &str, path: &str) -> Result<Bytes, GenesysError> {
        let patience = Instant::now() + self.wait_max;
        let (mut replaced, mut repeats) = (false, 0);
        loop {
            let token = self.tokens.token().await?;
            match self.once(call, path, &token, patience).await? {
                (Verdict::Good, body) => {
                    token.accept();
                    return Ok(body);
                }
                (Verdict::Unauthorised(_), _) if !replaced => {
                    token.reject();
                    replaced = true;
                }
                (Verdict::Limited(pause, _), _) if repeats < REPEATS_MAX && Instant::now() + pause < patience => {
                    repeats += 1;
                }
                // If the new one is no good either, the next call's first refusal will tell.
                (Verdict::Unauthorised(error) | Verdict::Limited(_, error) | Verdict::Failed(error), _) => {
                    return Err(error);
                }
            }
        }
    }

    /// One request, when it is its turn.
    async fn once(
        &self,
        call: &str,
        path: &str,
        token: &Token,
        patience: Instant,
    ) -> Result<(Verdict, Bytes), GenesysError> {
        let request = request(&format!("{}{path}", self.api), Some(token))
            .map_err(|problem| GenesysError::option("api_url", problem))?;
        let mut counted = self.turn(call, patience).await?;
        let deadline = Instant::now() + self.timeout;
        let answer = match timeout_at(deadline, self.http.request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let what = if error.is_connect() { "cannot be reached" } else { "closed the connection" };
                let problem = format!("{} {what}: {}", self.api, root_cause(&error));
                return Err(transient(call, problem));
            }
            Err(_) => {
                let problem = format!("{} did not answer within {} s", self.api, self.timeout.as_secs_f32());
                return Err(transient(call, problem));
            }
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        counted.limits = Limits::read(&headers);
        let body = read(answer, ANSWER_MAX, ANSWER_MAX, deadline).await;
        let verdict = judge(call, status, &headers, &body, now());
        if let Verdict::Limited(pause, _) = verdict {
            self.budget.lock().refused(self.origin.elapsed(), pause);
        }
        Ok((verdict, body))
    }

    /// Waits until a request may be made.
    async fn turn(&self, call: &str, patience: Instant) -> Result<Counted<'_>, GenesysError> {
        let late = |at: Instant| GenesysError::RateLimited {
            call: call.to_owned(),
            retry_after: at.saturating_duration_since(Instant::now()).max(Duration::from_secs(1)),
            correlation: None,
        };
        let Ok(_turn) = timeout_at(patience, self.turn.lock()).await else { return Err(late(patience)) };
        loop {
            let answered = self.answered.notified();
            let go = self.budget.lock().ask(self.origin.elapsed());
            match go {
                Go::Now => return Ok(Counted { shared: self, limits: None }),
                Go::At(at) if self.origin + at > patience => return Err(late(self.origin + at)),
                Go::At(at) => sleep_until(self.origin + at).await,
                Go::AfterAnswer => {
                    if timeout_at(patience, answered).await.is_err() {
                        return Err(late(patience));
                    }
                }
            }
        }
    }
}

/// A request that counts until it is answered or given up.
struct Counted<'a> {
    shared: &'a Shared,
    limits: Option<Limits>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let shared = self.shared;
        shared.budget.lock().answered(shared.origin.elapsed(), self.limits);
        if self.limits.is_some() {
            *shared.limits.lock() = self.limits;
        }
        shared.answered.notify_one();
    }
}

/// A GET, with a token or without.
pub(crate) fn request(url: &str, token: Option<&Token>) -> Result<Request<Full<Bytes>>, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(token) = token {
        headers.insert(header::AUTHORIZATION, token.authorization());
    }
    let mut request = Request::new(Full::default());
    *request.uri_mut() = url.parse().map_err(|_| "cannot be used as an address".to_owned())?;
    *request.headers_mut() = headers;
    Ok(request)
}

pub(crate) fn transient(call: &str, problem: String) -> GenesysError {
    GenesysError::Transient { call: call.to_owned(), problem, retry_after: None, correlation: None }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("api", &self.0.api).field("tokens", &self.0.tokens).finish_non_exhaustive()
    }
}
