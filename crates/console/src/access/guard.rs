//! What stands before every handler: the name under which we are asked, the token, and its scope.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use event::Timestamp;
use parking_lot::Mutex;

use super::failures::Failures;
use super::known::Login;
use super::{Caller, Known, Scope, Token, host};
use crate::Tell;
use crate::connections::Sender;
use crate::openapi::Scopes;
use crate::problem::Problem;

/// Lets requests through, or says what they lack.
pub(crate) struct Guard {
    known: Arc<Known>,
    /// Others can reach the address, so there is never a request without a token.
    wide: bool,
    scopes: Scopes,
    failures: Mutex<Failures>,
    tell: Arc<dyn Tell>,
}

/// The guard as a middleware.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let needed = guard.scopes.needed(request.method(), path.map(MatchedPath::as_str));
    let sender = request.extensions().get::<ConnectInfo<Sender>>().map(|info| info.0.0);
    if !guard.wide && !host::is_loopback(request.uri(), request.headers()) {
        let detail = "an API on a loopback address answers only to a loopback name, such as localhost";
        return Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail).into_response();
    }
    match guard.caller(request.headers(), sender, needed) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Guard {
    pub(crate) fn new(known: Arc<Known>, wide: bool, scopes: Scopes, tell: Arc<dyn Tell>) -> Self {
        Self { known, wide, scopes, failures: Mutex::default(), tell }
    }

    /// Who asks, if it may.
    fn caller(&self, headers: &HeaderMap, sender: Option<IpAddr>, needed: Scope) -> Result<Caller, Problem> {
        if !self.wide && !self.known.needed() {
            return Ok(Caller::local());
        }
        let now = self.tell.now();
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (first, second) = (given.next(), given.next());
        let Some(first) = first else {
            return Err(unauthorized("token-missing", "a token is needed: `Authorization: Bearer act_…`", ""));
        };
        let token = first.to_str().ok().and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| second.is_none() && scheme.eq_ignore_ascii_case("bearer"));
        let Some(token) = token.and_then(|(_, token)| Token::parse(token.trim())) else {
            return Err(self.failed(sender, now, "token-malformed", "that is no `Authorization: Bearer act_…`"));
        };
        let entry = match self.known.login(&token, now) {
            Login::Good(entry) => entry,
            Login::Expired => return Err(self.failed(sender, now, "token-expired", "the token has expired")),
            Login::Unknown => {
                return Err(self.failed(sender, now, "token-unknown", "there is no such token; it may be revoked"));
            }
        };
        if entry.scope < needed {
            return Err(forbidden(&entry.name, entry.scope, needed));
        }
        Ok(Caller { name: Arc::from(entry.name), scope: entry.scope })
    }

    /// A login failed. It is logged as long as the sender may fail.
    fn failed(&self, sender: Option<IpAddr>, now: Timestamp, code: &'static str, detail: &str) -> Problem {
        // There is always one; without it all would share a place.
        let address = sender.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        if let Err(wait) = self.failures.lock().note(address, now) {
            return too_many(wait);
        }
        tracing::warn!(peer = %address, reason = code, "a login at the console failed");
        let cure = "; `aftercall tokens list` on the server shows which there are";
        unauthorized(code, &format!("{detail}{cure}"), ", error=\"invalid_token\"")
    }
}

fn unauthorized(code: &'static str, detail: &str, error: &str) -> Problem {
    let expected = format!("Bearer realm=\"aftercall\"{error}");
    Problem::new(StatusCode::UNAUTHORIZED, code, detail).with(header::WWW_AUTHENTICATE, expected)
}

fn forbidden(name: &str, has: Scope, needed: Scope) -> Problem {
    let detail =
        format!("this needs a token of scope `{needed}`, which `aftercall tokens create` makes; `{name}` has `{has}`");
    let expected = format!("Bearer realm=\"aftercall\", error=\"insufficient_scope\", scope=\"{needed}\"");
    Problem::new(StatusCode::FORBIDDEN, "scope", detail).with(header::WWW_AUTHENTICATE, expected)
}

fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_millis().div_ceil(1_000).max(1);
    let detail = format!("too many failed logins from this address; the next one counts in {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "login-rate", detail).with(header::RETRY_AFTER, seconds)
}

/// What a request needs when its path says nothing: to look is to read, all else changes something.
pub(crate) fn needed_by_method(method: &Method) -> Scope {
    if method == Method::GET || method == Method::HEAD { Scope::Read } else { Scope::Operate }
}
