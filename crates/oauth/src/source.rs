//! A source of tokens: the state, the request that is under way, and those who wait for it.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::answer::Grant;
use crate::endpoint::{Endpoint, Issuer};
use crate::state::{Ask, Handed, Moment, State};
use crate::token::TokenText;
use crate::{Options, OptionsError, Token, TokenError};

/// How a request ended; `None` while it is under way.
type Outcome = Option<Result<Token, TokenError>>;

/// Hands out access tokens to any number of callers. Cheap to clone; all clones are the same source.
#[derive(Clone)]
pub struct TokenSource(Arc<Inner>);

pub(crate) struct Inner {
    place: String,
    issuer: Box<dyn Issuer>,
    /// The moment that moments are counted from.
    origin: Instant,
    core: Mutex<Core>,
}

#[derive(Default)]
struct Core {
    state: State,
    /// Tells how the request that is under way has ended.
    under_way: Option<watch::Receiver<Outcome>>,
    /// Looks whether the token is to be renewed when it is time.
    alarm: Option<AbortHandle>,
}

impl TokenSource {
    /// Checks the options; connects to nothing yet.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        let place = options.place();
        Ok(Self::of(place, Box::new(Endpoint::new(options)?)))
    }

    pub(crate) fn of(place: String, issuer: Box<dyn Issuer>) -> Self {
        Self(Arc::new(Inner { place, issuer, origin: Instant::now(), core: Mutex::default() }))
    }

    /// A token that is valid: at once if there is one, else after a request that all who ask meanwhile share. The
    /// request goes on if this future is dropped. Needs a Tokio runtime.
    ///
    /// # Errors
    /// How the request has ended, or how the last one did if the pause after it is not over.
    pub async fn token(&self) -> Result<Token, TokenError> {
        let mut told = match self.0.ask() {
            Answered::Now(outcome) => return outcome,
            Answered::Later(told) => told,
        };
        match told.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(given_up())),
            Err(_) => Err(given_up()),
        }
    }

    /// The endpoint as messages name it.
    pub fn place(&self) -> &str {
        &self.0.place
    }
}

/// What whoever asks for a token gets without waiting.
enum Answered {
    Now(Result<Token, TokenError>),
    Later(watch::Receiver<Outcome>),
}

impl Inner {
    fn ask(self: &Arc<Self>) -> Answered {
        let mut core = self.core.lock();
        let now = self.now();
        let mut ask = core.state.ask(now);
        if matches!(ask, Ask::Fail(_)) && self.issuer.is_mended() {
            core.state.mended();
            ask = core.state.ask(now);
        }
        match ask {
            Ask::Use(handed) => Answered::Now(Ok(self.token(handed))),
            Ask::UseAndRequest(handed) => {
                let request = self.prepare(&mut core);
                drop(core);
                request.begin();
                Answered::Now(Ok(self.token(handed)))
            }
            Ask::Request => {
                let request = self.prepare(&mut core);
                drop(core);
                let told = request.tell.subscribe();
                request.begin();
                Answered::Later(told)
            }
            Ask::Wait => match &core.under_way {
                Some(told) => Answered::Later(told.clone()),
                None => Answered::Now(Err(given_up())),
            },
            Ask::Fail(error) => Answered::Now(Err(error)),
        }
    }

    pub(crate) fn accept(&self, id: u64) {
        self.core.lock().state.accept(id);
    }

    pub(crate) fn reject(&self, id: u64) {
        let now = self.now();
        if self.core.lock().state.reject(now, id) {
            tracing::info!(endpoint = %self.place, "an access token was refused; the next one is fetched");
        }
    }

    /// The request that the state has decided on; everybody who asks from now on waits for its end.
    fn prepare(self: &Arc<Self>, core: &mut Core) -> UnderWay {
        let (tell, told) = watch::channel(None);
        core.under_way = Some(told);
        UnderWay { inner: Arc::clone(self), rejected: core.state.rejected(), tell, ended: false }
    }

    fn token(self: &Arc<Self>, handed: Handed) -> Token {
        let Handed { id, text, expires_in } = handed;
        Token { id, text, expires_in, source: Arc::downgrade(self) }
    }

    fn now(&self) -> Moment {
        self.origin.elapsed()
    }

    /// Looks again when the token is to be renewed.
    fn set_alarm(self: &Arc<Self>, core: &mut Core) {
        if let Some(alarm) = core.alarm.take() {
            alarm.abort();
        }
        if let Some(at) = core.state.due_at() {
            let task = tokio::spawn(renew_at(Arc::downgrade(self), self.origin + at));
            core.alarm = Some(task.abort_handle());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(alarm) = self.core.get_mut().alarm.take() {
            alarm.abort();
        }
    }
}

/// Renews the token at this time, if it was used. Keeps no source alive.
async fn renew_at(source: Weak<Inner>, at: Instant) {
    sleep_until(at).await;
    let Some(inner) = source.upgrade() else { return };
    let request = {
        let mut core = inner.core.lock();
        core.state.is_due(inner.now()).then(|| inner.prepare(&mut core))
    };
    if let Some(request) = request {
        request.begin();
    }
}

/// A request that is under way. Dropped before its end, it has failed.
struct UnderWay {
    inner: Arc<Inner>,
    rejected: Option<Arc<TokenText>>,
    tell: watch::Sender<Outcome>,
    ended: bool,
}

impl UnderWay {
    /// Runs it as a task, so that it ends whoever stops waiting for it. Not to be called with the lock held: a runtime
    /// that is being shut down drops the task at once.
    fn begin(mut self) {
        tokio::spawn(async move {
            let rejected = self.rejected.take();
            let outcome = self.inner.issuer.issue(rejected).await;
            self.end(outcome);
        });
    }

    fn end(mut self, outcome: Result<Grant, TokenError>) {
        self.ended = true;
        self.settle(outcome);
    }

    fn settle(&self, outcome: Result<Grant, TokenError>) {
        let inner = &self.inner;
        let mut core = inner.core.lock();
        let now = inner.now();
        let outcome = match outcome {
            Ok(grant) => Ok(inner.token(core.state.granted(now, grant))),
            Err(error) => {
                let error = core.state.failed(now, error, rand::rng().random());
                tracing::warn!(endpoint = %inner.place, %error, "no access token");
                Err(error)
            }
        };
        core.under_way = None;
        if self.ended {
            inner.set_alarm(&mut core);
        }
        self.tell.send_replace(Some(outcome));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.ended {
            self.settle(Err(given_up()));
        }
    }
}

/// The runtime is being shut down, or a request has panicked.
fn given_up() -> TokenError {
    TokenError::transient("the request for an access token was given up")
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenSource").field(&self.0.place).finish()
    }
}

#[cfg(test)]
mod tests;
